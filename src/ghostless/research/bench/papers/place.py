"""Where the experiments of a paper take their data from, and how they are run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....bracket import Frame, Stack
from ....errors import FileReadError, OptionError, unknown_name
from ....io.read import read_frame
from ....methods import METHODS, fuse_stack
from ....options import FuseOptions, as_published
from ...data.photo_sets import find_photo_set
from ...data.scenes import Scene
from ..contenders import AS_PUBLISHED
from ..outside import OUTSIDE
from .printed import PrintedTable

_SHARED = Path("../shared/data")
DEFAULTS = {
    "sice": _SHARED / "static" / "sice",
    "kalantari": _SHARED / "dynamic",
    "mefb": _SHARED / "mefb30",
    "handheld": _SHARED / "dynamic",
}
WHAT = {
    "sice": "scenes laid out like SICE's, with labels (--data sice=DIR)",
    "kalantari": "scenes laid out like Kalantari's, with true radiance (--data kalantari=DIR)",
    "mefb": "pairs laid out like MEFB's (--data mefb=DIR)",
    "handheld": "hand-held brackets, a folder each (--data handheld=DIR)",
    "train": "packed pictures, SICE or Kalantari's scenes to train on (--data train=DIR)",
    "run": "the folder of a training with two outputs (--data run=DIR)",
}


def folders_of(words: Iterable[str]) -> dict[str, Path]:
    """KIND=DIR as folders by kind; raises OptionError for another form or kind."""
    found = _paths_by_name(words, "--data: expected KIND=DIR such as sice=SICE")
    for kind in found:
        if kind not in WHAT:
            raise unknown_name("kind of data", kind, WHAT)
    return found


def rivals_of(words: Iterable[str]) -> dict[str, Path]:
    """METHOD=FILE as weights by method; raises OptionError for another form or method."""
    found = _paths_by_name(words, "--rival: expected METHOD=FILE such as pmgi=FILE")
    for name in found:
        if METHODS.get(name) is None or METHODS[name].weights is None:
            networks = [method for method, entry in METHODS.items() if entry.weights is not None]
            raise unknown_name("method with weights", name, networks)
    return found


def _paths_by_name(words: Iterable[str], expected: str) -> dict[str, Path]:
    """NAME=PATH as paths by name; raises OptionError that says what was expected."""
    found = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or not path:
            raise OptionError(f"{expected}, found {word!r}")
        found[name] = Path(path)
    return found


@dataclass(frozen=True)
class PaperSettings:
    """How a paper's experiments are run.

    folders: of data, by the names in `WHAT`; those beside the checkout where none is named.
    weights: of the paper's own network; None for those that ship. rivals: of others, by method.
    as_published: run it, and the other methods of the table, as their papers do
    (`options.as_published`).
    steps, batch, patch, minutes, changes: of the brief trainings, see `ablation.AblationSettings`.
    scenes: at most so many of each folder. side: longer side that photos are reduced to where they
    are fused in memory; 0 for none. workers, device, seed, quiet: as everywhere.
    """

    folders: dict[str, Path] = field(default_factory=dict)
    weights: Path | None = None
    rivals: Mapping[str, Path] = field(default_factory=dict)
    as_published: bool = True
    steps: int = 2000
    batch: int | None = None
    patch: int | None = None
    minutes: float | None = None
    changes: tuple[str, ...] = ()
    scenes: int | None = None
    side: int = 0
    workers: int = 1
    device: str = "auto"
    seed: int = 0
    quiet: bool = True


@dataclass(frozen=True)
class Place:
    """One call: which paper, where its results lie, and its settings."""

    paper: str
    out: Path
    settings: PaperSettings

    def folder(self, table: PrintedTable) -> Path:
        """The folder that a table is worked out from; raises FileReadError where there is none."""
        found = self.settings.folders.get(table.data, DEFAULTS.get(table.data))
        if found is None or not found.is_dir():
            what = "none" if found is None else f"no folder at {found}"
            raise FileReadError(f"expected {WHAT[table.data]}, found {what}")
        return found

    def scenes(self, table: PrintedTable, least: int = 2) -> list[Scene]:
        """Scenes of a table's folder with at least so many photos, at most those asked for."""
        found = [s for s in find_photo_set(self.folder(table)).scenes if len(s.files) >= least]
        found.sort(key=lambda scene: scene.name)
        if not found:
            raise FileReadError(
                f"{self.folder(table)}: expected scenes of at least {least} photos, found none"
            )
        return found[: self.settings.scenes]

    def label(self, method: str) -> str | None:
        """How the benchmark calls a method; None where it is not here."""
        name = self.paper if method == "own" else method
        if name in OUTSIDE:
            return name
        if name not in METHODS:
            return None
        words = [AS_PUBLISHED] if self.settings.as_published else []
        weights = self.settings.rivals.get(name)
        if name == self.paper and self.settings.weights is not None:
            weights = self.settings.weights
        if weights is not None:
            words.append(f"weights={weights}")
        return ":".join(filter(None, [name, ",".join(words)]))

    def method_settings(self, **changes: Any) -> Any:
        """Settings of the paper's own method."""
        method = METHODS[self.paper]
        options = FuseOptions(method=self.paper)
        if self.settings.as_published:
            options = as_published(options, method)
        own = options.method_settings or method.settings_class()
        given = {"weights": self.settings.weights, "device": self.settings.device}
        return dataclasses.replace(own, **{**given, **changes})

    def fuse(self, frames: list[NDArray[np.uint8]], **changes: Any) -> NDArray[np.uint8]:
        """Fuse photos, dark to bright, by the paper's own method: (H, W, 3) uint8."""
        stack = Stack(tuple(Frame(frame) for frame in frames), reference=0)
        fused = fuse_stack(stack, self.paper, self.method_settings(**changes))
        return levels(fused.pixels)

    def photos(self, scene: Scene) -> list[NDArray[np.uint8]]:
        """Photos of a scene, dark to bright, reduced if so asked."""
        read = [self.reduced(levels(read_frame(file).display())) for file in scene.files]
        sizes = {image.shape for image in read}
        if len(sizes) > 1:
            raise OptionError(f"{scene.name}: expected photos of one size, found {len(sizes)}")
        return sorted(read, key=lambda image: float(image.mean()))

    def label_picture(self, scene: Scene) -> NDArray[np.uint8]:
        """What people picked for a scene."""
        if scene.truth is None:
            raise FileReadError(f"{scene.name}: expected a label, found none")
        return self.reduced(levels(read_frame(scene.truth).display()))

    def reduced(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        import cv2

        longer, side = max(image.shape[:2]), self.settings.side
        if not side or longer <= side:
            return np.ascontiguousarray(image)
        width, height = (max(1, round(s * side / longer)) for s in image.shape[1::-1])
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.uint8)

    def about_weights(self) -> str:
        """A line about the network that ran."""
        from ....nn.weights import read_info, shipped_path

        path = self.settings.weights or shipped_path(self.paper)
        recipe = read_info(path).recipe
        minutes = float(recipe.get("seconds", 0)) / 60
        whose = "that ship" if self.settings.weights is None else f"of {path}"
        adds = dict(recipe.get("architecture") or {}).get("adds_to", "nothing")
        what = "" if adds == "nothing" else f", and add to a {str(adds).removeprefix('a ')}"
        return (
            f"Our weights are those {whose}: preset {recipe.get('preset', 'unknown')}, "
            f"{int(recipe.get('step', 0)):,} steps in {minutes:.0f} minutes{what}; the paper's "
            "own weights were not to be had."
        )


def counted(count: int, thing: str) -> str:
    """A number of things in words.

    >>> counted(1, "scene"), counted(3, "scene")
    ('1 scene', '3 scenes')
    """
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def levels(display: NDArray[Any]) -> NDArray[np.uint8]:
    """Display values 0..1 as uint8."""
    return np.asarray(np.rint(np.clip(display, 0, 1) * 255), np.uint8)


def with_peak(metric: str, value: float, peak: float) -> float:
    """A PSNR for another peak than 255; other values as they are."""
    return value + 20 * math.log10(peak / 255) if metric.startswith("PSNR") else value
