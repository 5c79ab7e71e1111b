"""The methods that others compare themselves with do what their authors' own programs do.

What those programs give for three pairs of MEFB lies beside the photos; the settings that follow
them to the letter are named here, and the figures of their MEF-SSIM.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ghostless.bracket import Frame, Stack
from ghostless.methods import fuse_stack, get_method
from ghostless.research.metrics.exposure_fusion import mef_ssim

PAIRS = ("Memorial", "House", "Office")


@dataclass(frozen=True)
class Published:
    """How near the authors' program a method comes.

    file: how the program's results are called. settings: that follow it. psnr: least, in dB.
    mef_ssim: of the three pairs in turn. mean: MEF-SSIM over all thirty.
    """

    method: str
    file: str
    psnr: float
    mef_ssim: tuple[float, float, float]
    mean: float
    settings: dict[str, Any] = field(default_factory=dict)


AS_PUBLISHED = {"as_published": True}
PROGRAMS = (
    Published("fmmef", "FMMEF", 80, (0.9691, 0.9586, 0.9828), 0.97633),
    Published("mespd", "MESPD", 80, (0.9456, 0.9563, 0.9767), 0.96583, AS_PUBLISHED),
    Published("spd-mef", "SPDMEFSTATIC", 90, (0.9575, 0.9624, 0.9898), 0.97800),
    Published("dem", "DEM", 55, (0.9496, 0.9458, 0.9725), 0.96683),
    Published("kou", "KOU", 54, (0.9527, 0.9579, 0.9771), 0.97050),
    Published("fler", "FLER", 45, (0.9609, 0.9576, 0.9543), 0.97125, AS_PUBLISHED),
    Published("gff", "GFF", 53, (0.9535, 0.9508, 0.9389), 0.95278, AS_PUBLISHED),
    Published("dsift-ef", "DSIFT", 68, (0.9341, 0.9429, 0.9501), 0.95500, AS_PUBLISHED),
    Published("gd", "GD", 42, (0.9654, 0.9517, 0.9757), 0.97173, AS_PUBLISHED),
    Published("eef", "EEF", 50, (0.9428, 0.9472, 0.9286), 0.95401),
)


@pytest.fixture(params=PROGRAMS, ids=lambda program: program.method)
def program(request: pytest.FixtureRequest) -> Published:
    found: Published = request.param
    return found


def read(path: Path) -> NDArray[np.uint8]:
    return np.ascontiguousarray(cv2.imread(str(path), cv2.IMREAD_COLOR)[:, :, ::-1])


def fused_pair(folder: Path, program: Published) -> tuple[list[Frame], NDArray[np.uint8]]:
    frames = [Frame(read(next(folder.glob(f"{name}.*")))) for name in ("under", "over")]
    settings = get_method(program.method).load()[1](**program.settings)
    pixels = fuse_stack(Stack(tuple(frames), 0), program.method, settings).pixels
    return frames, np.floor(pixels * 255 + 0.5).astype(np.uint8)


def grey(picture: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.floor(picture @ np.array([0.2989, 0.5870, 0.1140]) + 0.5)


def score(frames: list[Frame], fused: NDArray[np.uint8]) -> float:
    return mef_ssim([grey(frame.pixels) for frame in frames], grey(fused))


@pytest.mark.parametrize("pair", PAIRS)
def test_it_agrees_with_the_published_program(shared: Path, program: Published, pair: str) -> None:
    frames, fused = fused_pair(shared / "mefb30" / pair, program)
    theirs = read(shared / "reference" / f"{program.file}_{pair}.png")
    error = np.mean(np.square(fused.astype(np.float64) - theirs))
    assert 10 * np.log10(255**2 / error) > program.psnr
    expected = program.mef_ssim[PAIRS.index(pair)]
    assert score(frames, fused) == pytest.approx(expected, abs=1e-3)


@pytest.mark.slow
def test_it_scores_as_the_published_program(shared: Path, program: Published) -> None:
    folders = sorted(path for path in (shared / "mefb30").iterdir() if path.is_dir())
    scores = [score(*fused_pair(folder, program)) for folder in folders]
    assert len(scores) == 30
    assert np.mean(scores) == pytest.approx(program.mean, abs=1e-3)
