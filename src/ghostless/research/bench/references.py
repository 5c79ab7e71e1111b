"""How near the choice of references by TMQI comes to what people picked, on SICE's scenes.

The radiance of a scene is merged from its photos; the pool of `data.references` renders it, guards
and TMQI choose; and the choice is compared with the label, which people picked from the results of
thirteen other methods. Beside it stand all single renditions, the plain mean of the photos, their
exposure fusion, and the rendition of the pool that is nearest to the label, which no choice beats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...bracket import Stack
from ...exposure.assign import assign_stops
from ...io.read import read_bracket, read_image
from ...methods import fuse_stack
from ..metrics import score
from ..metrics.images import Images
from .suites import SUITES

METRICS = ("PSNR", "SSIM")
CHOSEN, NEAREST = "chosen by TMQI", "nearest of the pool"
MEAN, FUSION = "mean of the photos", "mertens of the photos"


@dataclass(frozen=True)
class ReferenceResult:
    """Scores of each way (rows) on each scene; the rendition chosen for each scene."""

    chosen: Mapping[str, str]
    nearest: Mapping[str, str]
    scores: Mapping[str, Mapping[str, Mapping[str, float]]]
    longer_side_pixels: int

    def means(self) -> dict[str, dict[str, float]]:
        """Mean over the scenes of each metric, by way."""
        return {
            way: {
                name: float(np.mean([values[name] for values in by_scene.values()]))
                for name in METRICS
            }
            for way, by_scene in self.scores.items()
        }

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return {
            "longer_side_pixels": self.longer_side_pixels,
            "chosen": dict(self.chosen),
            "nearest": dict(self.nearest),
            "means": self.means(),
            "scores": {way: dict(by_scene) for way, by_scene in self.scores.items()},
        }

    def as_text(self) -> str:
        """Return a table for the screen."""
        ranked = sorted(self.means().items(), key=lambda item: -item[1]["PSNR"])
        lines = [
            f"{len(self.chosen)} scenes, against what people picked",
            f"{'':<22}  PSNR    SSIM",
        ]
        lines += [f"{way:<24} {row['PSNR']:5.2f}  {row['SSIM']:6.4f}" for way, row in ranked]
        lines += [
            f"scene {scene}: chose {name}, {self.scores[CHOSEN][scene]['PSNR']:.2f} dB; nearest is "
            f"{self.nearest[scene]}, {self.scores[NEAREST][scene]['PSNR']:.2f} dB"
            for scene, name in self.chosen.items()
        ]
        return "\n".join(lines)


def run(
    folder: Path,
    *,
    longer_side_pixels: int = 512,
    progress: Callable[[float], None] | None = None,
) -> ReferenceResult:
    """Choose a reference for each scene of a folder laid out like SICE, and score it.

    longer_side_pixels: pictures are reduced to it first.
    Raises FileReadError for a folder without such scenes.
    """
    from ..data.references import POOL, choose_among, render_pool

    scenes = SUITES["sice"].find(folder, "all")
    scores: dict[str, dict[str, dict[str, float]]] = {}
    chosen, nearest = {}, {}
    for number, scene in enumerate(scenes):
        if scene.truth is None:
            continue
        label = _reduced(read_image(scene.truth).pixels, longer_side_pixels)
        stack = _stack(scene.files, longer_side_pixels)
        radiance = fuse_stack(stack, "debevec").pixels
        pool = render_pool(radiance, tuple(POOL))
        choice = choose_among(radiance, pool)
        rows = {name: _score(display, label) for name, display in pool.items()}
        best = max(rows, key=lambda name: rows[name]["PSNR"])
        photos = [frame.unit() for frame in stack.frames]
        rows[CHOSEN], rows[NEAREST] = rows[choice.name], rows[best]
        rows[MEAN] = _score(np.mean(photos, axis=0), label)
        rows[FUSION] = _score(fuse_stack(stack, "mertens").pixels, label)
        chosen[scene.name], nearest[scene.name] = choice.name, best
        for way, values in rows.items():
            # The pool has exposure fusions of its own: of the radiance, not of the photos.
            key = f"pool: {way}" if way in pool else way
            scores.setdefault(key, {})[scene.name] = values
        if progress is not None:
            progress((number + 1) / len(scenes))
    return ReferenceResult(chosen, nearest, scores, longer_side_pixels)


def _stack(files: Sequence[Path], side: int) -> Stack:
    """The photos of a still scene, exposures estimated, reduced."""
    frames = assign_stops(read_bracket(files)).frames
    small = tuple(replace(frame, pixels=_codes(_reduced(frame.unit(), side))) for frame in frames)
    return Stack(small, reference=len(small) // 2)


def _reduced(pixels: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    scale = side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _codes(display: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    codes: NDArray[np.uint8] = np.rint(np.clip(display, 0, 1) * 255).astype(np.uint8)
    return codes


def _score(display: NDArray[np.floating[Any]], label: NDArray[np.float32]) -> dict[str, float]:
    return score(Images(_codes(display), truth=_codes(label)), METRICS, threads=1)
