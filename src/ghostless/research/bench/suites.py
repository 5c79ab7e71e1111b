"""The suites of the benchmark: where their scenes lie, what is true of them, what scores them.

A suite is an entry of `SUITES`; its `read` reads one folder layout of `data.scenes`. Facts about a
suite (still scenes or moving ones, its metrics, its protocols) stand in the table, never in an
`if`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ...errors import FileReadError, OptionError
from ...pixels.stripes import Progress
from ..data.scenes import Scene, read_brackets, read_mefb, read_sice, read_simulated
from .lucky import GROUPS, PRINTED, make_brackets, read_groups
from .printed import Printed

Frames = Literal["all", "two"]
Protocol = Literal["lossless", "as-published"]
# Where the results of a second choice of photos lie, within the folder of the first one's.
FOLDERS: dict[Frames, str] = {"all": "all_frames", "two": "two_frames"}
PROTOCOLS: tuple[Protocol, ...] = ("lossless", "as-published")

# The twenty metrics of MEFB by the columns of its published table. Its Qc and Qy are free of the
# rounding errors that its program gives elsewhere, so that they stand beside the exact forms.
MEFB_COLUMNS = {
    "CE": "Cross_entropy",
    "EN": "Entropy",
    "FMI": "FMI",
    "NMI": "NMI",
    "PSNR": "Psnr",
    "Qncie": "Qncie",
    "TE": "TE",
    "AG": "Avg_gradient",
    "EI": "Edge_intensity",
    "Qabf": "Qabf",
    "Qp": "Qp",
    "SD": "SD",
    "SF": "Spatial_frequency",
    "Qc": "Qc_exact",
    "Qw": "Qw",
    "Qy": "Qy_exact",
    "MEFSSIM": "MEF_SSIM",
    "Qcb": "Qcb",
    "Qcv": "Qcv",
    "VIF": "VIF",
}


@dataclass(frozen=True)
class Suite:
    """What there is to know about a suite before it runs.

    read: lists the scenes of a folder. data: where its scenes lie by default.
    still: nothing moves and the camera is fixed, so that every method fuses the frames as they are
        (align none, deghost off); otherwise the whole line runs.
    metrics: those that are worked out where a scene has what they need. headline: the one to plot.
    protocols: ways of saving before scoring: "lossless"; "as-published" saves the results of JPEG
        photos as JPEG of quality 75 first, as MEFB did.
    frames: which photos are fused, a table each: all, or the darkest and the brightest.
    groups: what its scenes' names begin with, a table each; one table where there are none.
    make: makes its scenes of HDR pictures: called with their folder, that for the scenes, how many
        in each group, and a progress function.
    printed: what a paper prints of the headline on scenes of its own.
    """

    name: str
    summary: str
    read: Callable[[Path], tuple[Scene, ...]]
    data: Path
    still: bool
    metrics: tuple[str, ...]
    headline: str
    protocols: tuple[Protocol, ...] = ("lossless",)
    frames: tuple[Frames, ...] = ("all",)
    groups: tuple[str, ...] = ()
    make: Callable[[Path, Path, int, Progress | None], None] | None = None
    printed: Printed | None = None

    def find(self, folder: Path, frames: Frames) -> tuple[Scene, ...]:
        """List the scenes of a folder, with all their photos or two of each.

        Raises FileReadError for a folder that cannot be read, BracketError for one without scenes.
        """
        scenes = self.read(folder)
        return scenes if frames == "all" else tuple(map(_darkest_and_brightest, scenes))


def _darkest_and_brightest(scene: Scene) -> Scene:
    """Keep two photos of a scene, by their mean level at reduced size."""
    import cv2

    if len(scene.files) == 2:
        return scene
    means = []
    for file in scene.files:
        image = cv2.imread(str(file), cv2.IMREAD_REDUCED_GRAYSCALE_8)
        if image is None:
            raise FileReadError(f"{file}: expected a photo, found a file that cannot be read")
        means.append(float(image.mean()))
    chosen = (means.index(min(means)), means.index(max(means)))
    return replace(scene, files=tuple(scene.files[index] for index in chosen))


# ---- the table ----

_TO_TRUTH = ("PSNR", "PSNR_I", "PSNR_S", "CC_I", "CC_S", "SSIM", "MS_SSIM")
_TO_RADIANCE = (
    "PSNR_mu",
    "PSNR_linear",
    "SSIM_mu",
    "SSIM_linear",
    "PU21_PSNR",
    "PU21_SSIM",
    "HDR_VDP2",
)
_TO_SOURCES = ("MEF_SSIM", "MEF_SSIM1", "MI", "CC", "MSSIM")
_TONE = ("TMQI", "TMQI_fidelity", "TMQI_naturalness")
_MOVING = ("MEF_SSIMd", "MI", "CC", "MSSIM")
_SHARED = Path("../shared/data")

SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite(
            "mefb",
            "MEFB's exposure pairs of still scenes, twenty metrics, 21 published methods beside",
            read_mefb,
            _SHARED / "mefb30",
            True,
            tuple(MEFB_COLUMNS.values()),
            "MEF_SSIM",
            PROTOCOLS,
        ),
        Suite(
            "sice",
            "SICE's brackets of still scenes against the reference that people picked",
            read_sice,
            _SHARED / "static" / "sice",
            True,
            (*_TO_TRUTH, *_TO_SOURCES, "SD_grey"),
            "MEF_SSIM",
            frames=("all", "two"),
        ),
        Suite(
            "kalantari",
            "brackets of moving people, against true radiance where the folder has it",
            read_brackets,
            _SHARED / "dynamic",
            False,
            (*_TO_RADIANCE, *_TONE, *_MOVING),
            "MEF_SSIMd",
        ),
        Suite(
            "simulated",
            "brackets that 'ghostless simulate' wrote, against what their photos can hold",
            read_simulated,
            Path("simulated"),
            False,
            (*_TO_RADIANCE, *_TO_TRUTH, *_TONE, *_MOVING),
            "PSNR_mu",
        ),
        Suite(
            "lucky",
            "brackets of HDR pictures as LuckyHDR's paper has them: 2 and 3 stops apart, and moved",
            read_groups,
            Path("packed"),
            False,
            ("PSNR_mu", "PSNR_linear", "SSIM_mu"),
            "PSNR_mu",
            groups=GROUPS,
            make=make_brackets,
            printed=PRINTED,
        ),
        Suite(
            "folder",
            "any folder of brackets; the metrics that need no truth, and the others where it is",
            read_brackets,
            _SHARED / "dynamic",
            False,
            (*_TO_RADIANCE, *_TO_TRUTH, *_TONE, *_MOVING),
            "MEF_SSIMd",
        ),
    )
}


# ---- the published table ----

Published = dict[str, dict[str, dict[str, float]]]


def read_published(path: Path) -> Published:
    """Read a table of published scores: columns pair, method, and MEFB's metrics.

    Returns {method: {pair: {metric of ours: value}}}. Raises FileReadError where the file cannot
    be read or has no such columns.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileReadError(
            f"{path}: expected a CSV file of published scores, found one that cannot be read "
            f"({getattr(error, 'strerror', None) or error}); leave it out or mend it"
        ) from None
    metrics = [name for name in MEFB_COLUMNS if rows and name in rows[0]]
    if not metrics or "pair" not in rows[0] or "method" not in rows[0]:
        raise FileReadError(
            f"{path}: expected columns pair, method and MEFB's metrics such as MEFSSIM, found "
            f"{', '.join(map(str, rows[0])) if rows else 'no rows'}"
        )
    table: Published = {}
    for number, row in enumerate(rows, start=2):
        try:
            values = {MEFB_COLUMNS[name]: float(row[name]) for name in metrics if row[name]}
        except (TypeError, ValueError):
            raise FileReadError(
                f"{path}: expected numbers in line {number}, found {list(row.values())[2:5]} ..."
            ) from None
        table.setdefault(row["method"], {})[row["pair"]] = values
    return table


def chosen_scenes(scenes: tuple[Scene, ...], wanted: tuple[str, ...] | None) -> tuple[Scene, ...]:
    """Pick scenes by name; raise OptionError with the near names for one that is not there."""
    from ...errors import unknown_name

    if wanted is None:
        return scenes
    by_name = {scene.name: scene for scene in scenes}
    for name in wanted:
        if name not in by_name:
            raise unknown_name("scene", name, by_name)
    if not wanted:
        raise OptionError("expected at least one scene, found none named")
    return tuple(by_name[name] for name in wanted)
