"""Networks with their authors' weights score what their authors' programs score.

The weights and the pairs of MEFB lie beside the checkout; the figures are MEF-SSIM of the authors'
programs on these pairs, or of ours that were found to equal theirs number for number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from tests.methods.test_published_programs import read, score

from ghostless.bracket import Frame, Stack
from ghostless.methods import METHODS, fuse_stack
from ghostless.nn.published import import_weights

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
PAIRS = ("Memorial", "House", "Office", "ICCV_03")


@dataclass(frozen=True)
class Run:
    """One run of the authors' weights.

    files: of the weights, by pattern. mef_ssim: of the pairs in turn. settings: besides the
    method's `as_published`, or in place of it where they are given.
    """

    method: str
    files: str
    mef_ssim: tuple[float, ...]
    settings: dict[str, Any] = field(default_factory=dict)


EXACT = {"quality": "full", "precision": "float32"}
RUNS = {
    "mef-net": Run("mef-net", "mef-net/*.pt", (0.8860, 0.9004, 0.9491, 0.9738)),
    "ifcnn": Run("ifcnn", "ifcnn/IFCNN-MEAN.pth", (0.9099, 0.9294, 0.9088, 0.9559)),
    "ifcnn without equalising": Run(
        "ifcnn", "ifcnn/IFCNN-MEAN.pth", (0.9321, 0.8866, 0.9491, 0.9499), EXACT
    ),
    "ifcnn max of normal colours": Run(
        "ifcnn",
        "ifcnn/IFCNN-MAX.pth",
        (0.9175, 0.8714, 0.9103, 0.9111),
        {**EXACT, "planes": "imagenet"},
    ),
    "deepfuse": Run("deepfuse", "deepfuse/*.npz", (0.9380, 0.9205, 0.9807, 0.9722)),
    # No program of theirs was run on these: the network is the authors' to 4e-7.
    "refusion": Run("refusion", "refusion/*.pth", (0.9411, 0.7561, 0.9558, 0.9204)),
    "meflut": Run("meflut", "meflut/2frames/*.txt", (0.7876, 0.7028, 0.7848, 0.9199)),
    "meflut between greys": Run(
        "meflut", "meflut/2frames/*.txt", (0.7852, 0.7045, 0.7810, 0.9203), {"interpolate": True}
    ),
    "sdnet": Run("sdnet", "sdnet/*", (0.9474, 0.8955, 0.9622, 0.9573)),
    "pmgi": Run("pmgi", "pmgi/*", (0.9129, 0.9331, 0.9559, 0.9564)),
    "u2fusion": Run("u2fusion", "u2fusion/*", (0.9490, 0.9409, 0.9301, 0.9656)),
    "halder": Run("halder", "halder/*", (0.9245, 0.8920, 0.9130, 0.9498)),
}


@pytest.mark.parametrize("name", RUNS)
def test_the_figures_are_those_of_the_authors_weights(
    name: str, shared: Path, tmp_path: Path
) -> None:
    run = RUNS[name]
    entry = METHODS[run.method]
    files = sorted((shared / "official").glob(run.files))
    if not files:
        pytest.skip("needs the authors' weights in ../shared/data/official")
    out = tmp_path / "weights.safetensors"
    import_weights(entry.kind, entry.find(entry.published), files, out)
    settings = entry.settings_class(weights=out, **(run.settings or entry.as_published))
    found = []
    for pair in PAIRS:
        folder = shared / "mefb30" / pair
        frames = [Frame(read(next(folder.glob(f"{each}.*")))) for each in ("under", "over")]
        pixels = fuse_stack(Stack(tuple(frames), 0), run.method, settings).pixels
        found.append(score(frames, np.floor(pixels * 255 + 0.5).astype(np.uint8)))
    assert found == pytest.approx(run.mef_ssim, abs=0.002)
