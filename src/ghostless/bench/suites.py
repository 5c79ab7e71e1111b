"""The suites of the benchmark: where their scenes lie, what is true of them, what scores them.

A suite is an entry of `SUITES`; its `find` reads one folder layout. Facts about a suite (still
scenes or moving ones, its metrics, its protocols) stand in the table, never in an `if`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import BracketError, FileReadError, OptionError
from ..photo_files import IMAGE_SUFFIXES, natural_key

Frames = Literal["all", "two"]
Protocol = Literal["lossless", "as-published"]
# Where the results of a second choice of photos lie, within the folder of the first one's.
FOLDERS: dict[Frames, str] = {"all": "all_frames", "two": "two_frames"}
PROTOCOLS: tuple[Protocol, ...] = ("lossless", "as-published")

_JPEG = (".jpg", ".jpeg")
# What data sets call the true picture: SICE, Kalantari & Ramamoorthi 2017, `ghostless simulate`.
_TRUE_RADIANCE = ("truth.exr", "truth.hdr", "hdrimg.hdr", "hdrimg.exr", "ref_hdr.hdr", "gt.hdr")
_TRUE_DISPLAY = ("label.jpg", "label.png", "label.jpeg", "truth.png", "truth.jpg", "gt.png")

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
class Scene:
    """One bracket of a suite.

    files: the photos, in the order of the folder. truth: the true display image, if there is one.
    true_radiance: the true linear image, if there is one.
    """

    name: str
    files: tuple[Path, ...]
    truth: Path | None = None
    true_radiance: Path | None = None

    @property
    def has_jpeg_inputs(self) -> bool:
        """Whether the photos are JPEG files, whose results MEFB saved as JPEG too."""
        return self.files[0].suffix.lower() in _JPEG


@dataclass(frozen=True)
class Suite:
    """What there is to know about a suite before it runs.

    find: lists the scenes of a folder. data: where its scenes lie by default.
    still: nothing moves and the camera is fixed, so that every method fuses the frames as they are
        (align none, deghost off); otherwise the whole line runs.
    metrics: those that are worked out where a scene has what they need. headline: the one to plot.
    protocols: ways of saving before scoring: "lossless"; "as-published" saves the results of JPEG
        photos as JPEG of quality 75 first, as MEFB did.
    frames: which photos are fused, a table each: all, or the darkest and the brightest.
    """

    name: str
    summary: str
    find: Callable[[Path, Frames], tuple[Scene, ...]]
    data: Path
    still: bool
    metrics: tuple[str, ...]
    headline: str
    protocols: tuple[Protocol, ...] = ("lossless",)
    frames: tuple[Frames, ...] = ("all",)


# ---- folders ----


def images_in(folder: Path) -> list[Path]:
    """List the images of a folder by name, frame 9 before frame 10; hidden ones left out."""
    return sorted(
        (
            file
            for file in _entries(folder)
            if file.suffix.lower() in IMAGE_SUFFIXES
            and not file.name.startswith(".")
            and file.is_file()
        ),
        key=lambda file: natural_key(file.name),
    )


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise FileReadError(
            f"{folder}: expected a folder of scenes, found one that cannot be read "
            f"({error.strerror}); name the suite's folder"
        ) from None


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise FileReadError(
            f"{folder}: expected the folder of the suite's scenes, found {found}; name the folder"
        )
    inside = [f for f in _entries(folder) if f.is_dir() and not f.name.startswith(".")]
    return sorted(inside, key=lambda entry: natural_key(entry.name))


def _named(files: list[Path], names: tuple[str, ...]) -> Path | None:
    by_name = {file.name.casefold(): file for file in files}
    return next((by_name[name] for name in names if name in by_name), None)


def _some(scenes: list[Scene], folder: Path, wanted: str) -> tuple[Scene, ...]:
    if not scenes:
        raise BracketError(
            f"{folder}: expected {wanted}, found none; check that this is the suite's folder"
        )
    return tuple(scenes)


def _mefb(folder: Path, frames: Frames) -> tuple[Scene, ...]:
    """Find pairs as NAME/under.* and over.*, or as MEFB has them, NAME/NAME_A.* and NAME_B.*.

    In MEFB's layout the darker photo may be either of the two; the order of files does not matter.
    """
    scenes = []
    for place in [*_subfolders(folder), folder]:
        by_stem = {file.stem: file for file in images_in(place)}
        if "under" in by_stem and "over" in by_stem:
            scenes.append(Scene(place.name, (by_stem["under"], by_stem["over"])))
            continue
        for stem, file in by_stem.items():
            partner = by_stem.get(f"{stem[:-2]}_B")
            if stem.endswith("_A") and partner is not None:
                scenes.append(Scene(stem[:-2], (file, partner)))
    return _some(scenes, folder, "folders with under.* and over.*, or NAME_A.* and NAME_B.*")


def _brackets(folder: Path, frames: Frames) -> tuple[Scene, ...]:
    """Find a bracket in every subfolder that holds two photos or more, or in the folder itself.

    A true image (truth.exr, HDRImg.hdr, label.jpg ...), beside the photos or in their folder
    "truth", is told from them by name.
    """
    inside = _subfolders(folder)
    scenes = [scene for place in inside if (scene := _bracket(place, frames)) is not None]
    if not scenes and (alone := _bracket(folder, frames)) is not None:
        scenes = [alone]
    return _some(scenes, folder, "folders with the photos of one bracket each")


def _bracket(place: Path, frames: Frames) -> Scene | None:
    files = images_in(place)
    # `ghostless simulate` keeps its answers in a folder of their own.
    answers = images_in(place / "truth") if (place / "truth").is_dir() else []
    display = _named([*files, *answers], _TRUE_DISPLAY)
    radiance = _named([*files, *answers], _TRUE_RADIANCE)
    # Linear files beside photos are results or truths of other names.
    photos = [
        file
        for file in files
        if file not in (display, radiance) and file.suffix.lower() not in (".hdr", ".exr")
    ]
    if len(photos) < 2:
        return None
    if frames == "two":
        photos = _darkest_and_brightest(photos)
    return Scene(place.name, tuple(photos), display, radiance)


def _sice(folder: Path, frames: Frames) -> tuple[Scene, ...]:
    """Find scenes as NAME/01.jpg, 02.jpg ... and NAME/label.*.

    The original SICE layout, NAME/1.JPG ... with Label/NAME.JPG, is read too.
    """
    scenes = []
    labels = next((f for f in _subfolders(folder) if f.name.casefold() == "label"), None)
    by_stem = {} if labels is None else {file.stem: file for file in images_in(labels)}
    for scene in _brackets(folder, frames):
        truth = scene.truth or by_stem.get(scene.name)
        if truth is not None:
            scenes.append(Scene(scene.name, scene.files, truth))
    return _some(scenes, folder, "folders with photos and label.jpg")


def _darkest_and_brightest(files: list[Path]) -> list[Path]:
    """Choose two photos by their mean level, at reduced size."""
    import cv2

    means = []
    for file in files:
        image = cv2.imread(str(file), cv2.IMREAD_REDUCED_GRAYSCALE_8)
        if image is None:
            raise FileReadError(f"{file}: expected a photo, found a file that cannot be read")
        means.append(float(image.mean()))
    return [files[means.index(min(means))], files[means.index(max(means))]]


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
            _mefb,
            _SHARED / "mefb30",
            True,
            tuple(MEFB_COLUMNS.values()),
            "MEF_SSIM",
            PROTOCOLS,
        ),
        Suite(
            "sice",
            "SICE's brackets of still scenes against the reference that people picked",
            _sice,
            _SHARED / "static" / "sice",
            True,
            (*_TO_TRUTH, *_TO_SOURCES),
            "MEF_SSIM",
            frames=("all", "two"),
        ),
        Suite(
            "kalantari",
            "brackets of moving people, against true radiance where the folder has it",
            _brackets,
            _SHARED / "dynamic",
            False,
            (*_TO_RADIANCE, *_TONE, *_MOVING),
            "MEF_SSIMd",
        ),
        Suite(
            "simulated",
            "brackets that 'ghostless simulate' wrote, against their true radiance",
            _brackets,
            Path("simulated"),
            False,
            (*_TO_RADIANCE, *_TONE, *_MOVING),
            "PSNR_mu",
        ),
        Suite(
            "folder",
            "any folder of brackets; the metrics that need no truth, and the others where it is",
            _brackets,
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
    from ..errors import unknown_name

    if wanted is None:
        return scenes
    by_name = {scene.name: scene for scene in scenes}
    for name in wanted:
        if name not in by_name:
            raise unknown_name("scene", name, by_name)
    if not wanted:
        raise OptionError("expected at least one scene, found none named")
    return tuple(by_name[name] for name in wanted)
