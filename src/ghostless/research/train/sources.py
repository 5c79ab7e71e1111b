"""Training data out of packed pictures: simulated on the device, answers included.

Pairs are exposures of still views with prepared references (data/references.py), brackets are of
moving ones (data/simulate.py). Where no references are prepared, an exposure fusion of a dense
clean bracket stands in, which no network can then surpass. Networks for moving
scenes are trained on frames that lie on each other up to what an aligner leaves, because aligned
frames are what they get.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ...nn.priors import fuse_by
from ...nn.srgb import linear_to_srgb
from ...pixels.pyramid_steps import balanced_steps, halvings
from ..data.camera_settings import REAL_CAMERAS, CameraSettings
from ..data.draws import SimulatedBatch, SimulationSettings
from ..data.panoramas import MANIFEST, Panoramas, check_split, load_packed
from ..data.references import ReferenceBatch, ReferenceSettings, ReferenceViews
from ..data.rendered import RenderedScenes, RenderedSimulator, load_rendered
from ..data.rendered_files import FOLDER as RENDERED_FOLDER
from ..data.rendered_files import PACKED as RENDERED_MANIFEST
from ..data.rendered_files import read_packed
from ..data.simulate import BracketSimulator
from ..data.splits import Split
from .recipe import Draws, Recipe
from .samples import Batch, TrainingData, replace_parts

# From the darker to the brighter frame of a pair: between the ends of a bracket of three to nine
# photos, such as exposure fusion is used for.
PAIR_GAP_STOPS = (3.0, 9.0)
# Any two photos of a bracket may have to be aligned.
EXPOSURE_GAP_STOPS = (1.0, 8.0)
# Kalantari's training brackets have 2 or 3 stops between frames; cameras offer 1 to 3 and more.
BRACKET_GAP_STOPS = (1.5, 3.5)
# Any two photos of a bracket may have to be compared.
COMPARISON_GAP_STOPS = (0.5, 8.0)
# Brackets of any number of photos, from the bare two to what an HDR bracket of seven holds.
PHOTO_GAP_STOPS = (0.7, 4.0)
PHOTOS, MOST_PHOTOS_SPAN_STOPS = (2, 7), 12.0
# Of the bracket's middle. Not all brackets are well chosen: in some even the brightest photo has
# black corners, in some the darkest has white ones.
PHOTO_KEY = (0.01, 0.7)
# Share of the brackets in which something moved and was replaced.
REPLACED_SHARE = 0.35
# Between the clean photos that such a bracket's target is fused from.
_CAREFUL_GAP_STOPS = 1.5
# With the darker frame as the reference, and with the brighter.
COMPARISONS = ("comparisons to the darker", "comparisons to the brighter")
# Pairs in which things move; the darker frame is what the picture keeps to.
MOVING_PAIRS = "moving pairs"
MOVING_PAIR_GAP_STOPS = (1.5, 8.0)
MOVING_PAIR_SHARE = 0.85
# Share of the comparisons in which anything moves: most of a photo stands still in most photos.
MOVING_SHARE = 0.6
# What an aligner leaves between frames.
REST_PIXELS, REST_DEGREES, REST_PERSPECTIVE_PIXELS = 1.5, 0.1, 0.5
# Share of the batches that show rendered scenes, where there are any: fewer scenes than pictures,
# but with parallax, which an aligner cannot take out.
RENDERED_SHARE = 0.25
# Exposures of the clean bracket that a reference is fused from where none are prepared.
_DENSE_FRAMES = 7
HELD_OUT_SIZE = (384, 512)
# Prepared views that are looked at in each validation; the first ones are of as many scenes.
_MOST_HELD_OUT_VIEWS = 16
# Within a packed folder.
REFERENCES_FOLDER = "references"
_HELD_OUT_SEED = 20_000

Pairing = Literal["extremes", "mirrored"]
Framing = Literal["crop", "letterbox"]
SPLITS: tuple[Split, ...] = ("train", "held-out")


class SimulatedData(TrainingData):
    """Pairs and brackets from pictures on a device.

    pictures: HDR pictures and surfaces of both splits, on the device.
    references: folder of prepared views, or None.
    rendered: scenes of the training split on the same device, for brackets, or None.
    camera: what takes the photos; of brackets, whose answer is the scene's own light and no
        picture style's, it is set to be `faithful`.
    """

    def __init__(
        self,
        pictures: Panoramas,
        references: Path | None = None,
        rendered: RenderedScenes | None = None,
        *,
        camera: CameraSettings = REAL_CAMERAS,
    ) -> None:
        self._camera = camera
        self._rendered = rendered
        self._rendered_simulators: dict[int, RenderedSimulator] = {}
        self._views: dict[str, ReferenceViews] = {}
        if references is not None:
            for split in SPLITS:
                self._views[split] = ReferenceViews(
                    references,
                    ReferenceSettings(span_stops=PAIR_GAP_STOPS, camera=camera),
                    pictures.device,
                    split=split,
                )
        self.pictures = {split: pictures.select(split=split) for split in SPLITS}
        self._pictures_device = pictures.device
        self._simulators: dict[tuple[str, str, tuple[int, int]], BracketSimulator] = {}

    @property
    def device(self) -> torch.device:
        return self._pictures_device

    @property
    def description(self) -> str:
        parts = []
        for split, pictures in self.pictures.items():
            views = [entry for entry in pictures.entries if entry.kind != "surface"]
            scenes = len({entry.scene for entry in views})
            surfaces = len(pictures.entries) - len(views)
            parts.append(f"{split}: {len(views)} HDR pictures of {scenes} scenes")
            parts[-1] += f" and {surfaces} surfaces" if surfaces else ""
        kind = "an exposure fusion of a dense clean bracket"
        if self._views:
            counts = " and ".join(f"{len(views)} ({split})" for split, views in self._views.items())
            kind = f"prepared for {counts} views"
        if self._rendered is not None:
            parts.append(f"{len(self._rendered)} rendered scenes (train)")
        return f"brackets simulated from HDR pictures; {'; '.join(parts)}; references: {kind}"

    def pairs(self, batch: int, patch_pixels: int, generator: torch.Generator) -> Batch:
        if self._views:
            views = self._views["train"]
            return pair_of(views.sample(batch, (patch_pixels, patch_pixels), generator))
        simulator = self._simulator("train", "pairs", (patch_pixels, patch_pixels))
        made = self._pair(simulator, simulator.sample(batch, generator))
        return {name: made[name] for name in ("under", "over", "target")}

    def exposures(self, batch: int, patch_pixels: int, generator: torch.Generator) -> Batch:
        simulator = self._simulator("train", "exposures", (patch_pixels, patch_pixels))
        return self._exposures(simulator, simulator.sample(batch, generator))

    def brackets(self, batch: int, patch_pixels: int, generator: torch.Generator) -> Batch:
        if self._rendered is not None and patch_pixels <= min(self._rendered.size):
            coin = torch.rand((), generator=generator, device=self.device)
            if float(coin) < RENDERED_SHARE:
                rendered = self._rendered_simulator(patch_pixels)
                return self._bracket(rendered, rendered.sample(batch, generator))
        simulator = self._simulator("train", "brackets", (patch_pixels, patch_pixels))
        return self._bracket(simulator, simulator.sample(batch, generator))

    def comparisons(self, batch: int, patch_pixels: int, generator: torch.Generator) -> Batch:
        # The darker frame is the reference of half of the batches, the brighter of the others.
        coin = torch.rand((), generator=generator, device=self.device)
        what = COMPARISONS[int(coin < 0.5)]
        simulator = self._simulator("train", what, (patch_pixels, patch_pixels))
        return self._comparison(simulator, simulator.sample(batch, generator))

    def moving_pairs(self, batch: int, patch_pixels: int, generator: torch.Generator) -> Batch:
        simulator = self._simulator("train", MOVING_PAIRS, (patch_pixels, patch_pixels))
        return self._moving_pair(simulator, simulator.sample(batch, generator))

    def held_out_moving_pairs(self, patch_pixels: int) -> Sequence[Batch]:
        size = (patch_pixels, patch_pixels)
        return self._held_out(MOVING_PAIRS, self._moving_pair, size, batch=2)

    def photos(self, batch: int, long_side: int, generator: torch.Generator) -> Batch:
        upright = torch.rand((), generator=generator, device=self.device) < 0.3
        sides = (long_side * 3 // 4, long_side)
        simulator = self._simulator("train", "photos", sides[::-1] if upright else sides)
        made = simulator.sample(batch, generator)
        found = self._photos(simulator, made)
        if float(torch.rand((), generator=generator, device=self.device)) < REPLACED_SHARE:
            again, reference = self._exposed_again(simulator, made, generator)
            found["photos"] = replace_parts(found["photos"], again, reference, generator)
        return found

    def held_out_photos(self) -> Sequence[Batch]:
        return self._held_out("photos", self._photos, (288, 384))

    def _rendered_simulator(self, patch_pixels: int) -> RenderedSimulator:
        if patch_pixels not in self._rendered_simulators:
            assert self._rendered is not None
            settings = SimulationSettings(
                size=(patch_pixels, patch_pixels),
                frames=(3, 3),
                gap_stops=BRACKET_GAP_STOPS,
                reference=1,
                ghosts=False,
                camera=self._camera.faithful(),
            )
            self._rendered_simulators[patch_pixels] = RenderedSimulator(
                settings, self._rendered, registered=True
            )
        return self._rendered_simulators[patch_pixels]

    def held_out_pairs(self) -> Sequence[Batch]:
        if not self._views:
            return self._held_out("pairs", self._pair)
        views = self._views["held-out"]
        height, width = (side // 128 * 128 for side in views.size)
        found = []
        for view in range(min(len(views), _MOST_HELD_OUT_VIEWS)):
            generator = torch.Generator(self.device).manual_seed(_HELD_OUT_SEED + view)
            made = views.sample(1, (height, width), generator, view=view)
            found.append({**pair_of(made), "radiance": made.radiance})
        return found

    def held_out_exposures(self, patch_pixels: int) -> Sequence[Batch]:
        return self._held_out("exposures", self._exposures, (patch_pixels, patch_pixels))

    def held_out_comparisons(self, patch_pixels: int) -> Sequence[Batch]:
        # Several of each scene, for cameras and what moves differ more than scenes do.
        size = (patch_pixels, patch_pixels)
        return [
            batch
            for what in COMPARISONS
            for batch in self._held_out(what, self._comparison, size, batch=2)
        ]

    def held_out_brackets(self) -> Sequence[Batch]:
        return self._held_out("brackets", self._bracket)

    def _held_out(
        self,
        what: str,
        make: Callable[[BracketSimulator, SimulatedBatch], Batch],
        size: tuple[int, int] = HELD_OUT_SIZE,
        batch: int = 1,
    ) -> list[Batch]:
        simulator = self._simulator("held-out", what, size)
        batches = []
        for view in range(len(simulator.views)):
            generator = torch.Generator(self.device).manual_seed(_HELD_OUT_SEED + view)
            batches.append(make(simulator, simulator.sample(batch, generator, view=view)))
        return batches

    def _simulator(self, split: Split, what: str, size: tuple[int, int]) -> BracketSimulator:
        key = (split, what, size)
        if key not in self._simulators:
            if what in ("pairs", "exposures"):
                settings = SimulationSettings(
                    size=size,
                    frames=(2, 2),
                    gap_stops=PAIR_GAP_STOPS if what == "pairs" else EXPOSURE_GAP_STOPS,
                    reference=0,
                    static=True,
                    objects=(0, 0),
                    ghosts=False,
                    camera=self._camera,
                )
            elif what == "photos":
                settings = SimulationSettings(
                    size=size,
                    frames=PHOTOS,
                    gap_stops=PHOTO_GAP_STOPS,
                    span_stops=MOST_PHOTOS_SPAN_STOPS,
                    key=PHOTO_KEY,
                    reference=0,
                    static=True,
                    objects=(0, 0),
                    ghosts=False,
                    camera=self._camera,
                )
            elif what in (*COMPARISONS, MOVING_PAIRS):
                pair = what == MOVING_PAIRS
                settings = SimulationSettings(
                    size=size,
                    frames=(2, 2),
                    gap_stops=MOVING_PAIR_GAP_STOPS if pair else COMPARISON_GAP_STOPS,
                    reference=0 if pair else COMPARISONS.index(what),
                    key=(0.03, 0.6),
                    scale=(1.0, 2.0),
                    shake_pixels=REST_PIXELS,
                    shake_degrees=REST_DEGREES,
                    shake_perspective_pixels=REST_PERSPECTIVE_PIXELS,
                    objects=(1, 5),
                    object_share=(0.04, 0.6),
                    object_travel=(0.02, 0.6),
                    moving_share=MOVING_PAIR_SHARE if pair else MOVING_SHARE,
                    defocus_share=0.2,
                    samples=1,
                    ghosts=False,
                    still_frames=True,
                    camera=self._camera,
                )
            else:
                settings = SimulationSettings(
                    size=size,
                    frames=(3, 3),
                    gap_stops=BRACKET_GAP_STOPS,
                    reference=1,
                    shake_pixels=REST_PIXELS,
                    shake_degrees=REST_DEGREES,
                    shake_perspective_pixels=REST_PERSPECTIVE_PIXELS,
                    objects=(0, 4),
                    ghosts=False,
                    camera=self._camera.faithful(),
                )
            self._simulators[key] = BracketSimulator(settings, self.pictures[split])
        return self._simulators[key]

    def _pair(self, simulator: BracketSimulator, made: SimulatedBatch) -> Batch:
        gap = made.stops[:, 1] - made.stops[:, 0]
        fused = fuse_densely(made.radiance, gap)[:, None]
        return {
            **self._exposures(simulator, made),
            "target": simulator.camera.in_style(fused, made.cameras)[:, 0],
            "radiance": made.radiance,
        }

    def _exposed_again(
        self, simulator: BracketSimulator, made: SimulatedBatch, generator: torch.Generator
    ) -> tuple[Tensor, int]:
        """All photos as one of them tells, (B, N, 3, H, W), and which: what it lacks, they lack."""
        count = made.frames.shape[1]
        reference = int(torch.randint(count, (1,), generator=generator, device=self.device))
        stops = made.stops - made.stops[:, reference : reference + 1]
        seen = made.radiance * stops[:, made.reference].neg().exp2().view(-1, 1, 1, 1)
        light = seen.clamp_max(1)[:, None] * stops.exp2().view(*stops.shape, 1, 1, 1)
        return simulator.camera.photograph_cleanly(light, made.cameras), reference

    def _photos(self, simulator: BracketSimulator, made: SimulatedBatch) -> dict[str, Tensor]:
        span = made.stops[:, -1] - made.stops[:, 0]
        # As photos that a careful photographer would have taken, all with this camera.
        wanted = math.ceil(float(span.max()) / _CAREFUL_GAP_STOPS) + 1
        count = max(made.frames.shape[1], wanted)
        gains = (span.view(-1, 1) * torch.linspace(0, 1, count, device=span.device)).exp2()
        light = made.radiance[:, None] * gains.view(*gains.shape, 1, 1, 1)
        clean = simulator.camera.photograph_cleanly(light, made.cameras)
        steps = balanced_steps((clean.shape[-2], clean.shape[-1]))
        target = fuse_by(steps, clean.unbind(1)).clamp(0, 1)
        return {"photos": made.frames, "target": target}

    def _exposures(self, simulator: BracketSimulator, made: SimulatedBatch) -> Batch:
        return {"under": made.frames[:, 0], "over": made.frames[:, 1]}

    def _comparison(self, simulator: BracketSimulator, made: SimulatedBatch) -> Batch:
        assert made.still_frames is not None
        other = 1 - made.reference
        return {
            "reference": made.frames[:, made.reference],
            "frame": made.frames[:, other],
            "still": made.still_frames[:, other],
        }

    def _moving_pair(self, simulator: BracketSimulator, made: SimulatedBatch) -> Batch:
        found = self._comparison(simulator, made)
        return {"under": found["reference"], "over": found["frame"], "still": found["still"]}

    def _bracket(
        self, simulator: BracketSimulator | RenderedSimulator, made: SimulatedBatch
    ) -> Batch:
        stops = made.stops - made.stops[:, :1]
        # From the unit of the reference frame to that of the darkest.
        radiance = made.radiance * torch.exp2(-stops[:, made.reference]).view(-1, 1, 1, 1)
        return {
            "frames": made.frames,
            "light": simulator.camera.linearise(made.frames, made.cameras),
            "stops": stops,
            "radiance": radiance,
        }


def pair_of(made: ReferenceBatch) -> Batch:
    """A pair from a bracket of two frames."""
    return {
        "under": made.frames[:, 0],
        "over": made.frames[:, -1],
        "target": made.reference,
    }


def fuse_densely(radiance: Tensor, gap_stops: Tensor) -> Tensor:
    """Exposure fusion (B, 3, H, W) of clean exposures from the darker to the brighter frame.

    radiance: (B, 3, H, W), 1 where the darker frame clips. gap_stops: (B,).
    """
    steps = torch.linspace(0, 1, _DENSE_FRAMES, device=radiance.device)
    gains = torch.exp2(gap_stops.view(-1, 1) * steps)
    frames = [
        linear_to_srgb((radiance * gains[:, number].view(-1, 1, 1, 1)).clamp_max(1))
        for number in range(_DENSE_FRAMES)
    ]
    height, width = radiance.shape[-2:]
    depth = max(1, min(height, width).bit_length() - 2)
    return fuse_by(halvings((height, width), depth), frames).clamp(0, 1)


@dataclass(frozen=True)
class PhotoUse:
    """How a recipe takes photos, see `Recipe`.

    cache: folder for what is decoded. draws: what the recipe's networks are shown. quiet: do not
    tell which scene is being decoded.
    """

    cache: Path
    pairs: Pairing = "extremes"
    size: str = "1200"
    framing: Framing = "crop"
    draws: Draws = "pairs"
    quiet: bool = True

    @classmethod
    def of(cls, recipe: Recipe, data: Path, run: Path, quiet: bool = True) -> PhotoUse:
        """As a recipe says, decoded beside its run; runs on the same photos share the folder."""
        text = f"{data.resolve().as_posix()} {recipe.photo_size}"
        name = f"photos-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        return cls(
            run.absolute().parent / name,
            recipe.photo_pairs,
            recipe.photo_size,
            recipe.framing,
            recipe.draws,
            quiet,
        )


@lru_cache(maxsize=1)
def _load(folder: Path, device: torch.device) -> Panoramas:
    return load_packed(folder, device)


def open_data(
    folder: Path,
    device: torch.device,
    *,
    camera: CameraSettings = REAL_CAMERAS,
    photos: PhotoUse | None = None,
) -> TrainingData:
    """Training data from a folder that `ghostless data pack` wrote, or from photographed brackets.

    photos: how a recipe takes photos; None where only packed pictures will do.
    Raises OptionError unless there are pictures to train on and held-out ones, and what
    `PhotoData` raises.
    """
    if photos is not None and not (folder / MANIFEST).is_file():
        # What decodes photos needs packages that a machine with packed pictures may lack.
        from .photographed import PhotoData

        return PhotoData(folder, device, photos)
    pictures = _load(folder, device)
    for split in SPLITS:
        check_split(pictures, split)
    references, scenes = folder / REFERENCES_FOLDER, folder / RENDERED_FOLDER
    rendered = None
    if (scenes / RENDERED_MANIFEST).is_file():
        rendered = load_rendered(read_packed(scenes), split="train").to(device)
    return SimulatedData(
        pictures,
        references if (references / MANIFEST).is_file() else None,
        rendered,
        camera=camera,
    )
