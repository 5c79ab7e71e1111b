"""Display references for exposure fusion: the best of a pool of renditions of the true radiance.

SICE's references were picked by people from the results of thirteen methods (Cai, Gu, Zhang:
Learning a deep single image contrast enhancer from multi-exposure images, TIP 2018). Here the pool
is made from the radiance, which is known, and TMQI picks, after guards against colour casts,
clipping, dull or glaring pictures and oddities: what most of the pool agrees on is nearer to what
people picked than what TMQI likes best, and easier to learn.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...bracket import Frame, Fused, Stack
from ...errors import FileReadError, OptionError
from ...exposure.curves import display_values
from ...methods.mertens import MertensSettings
from ...methods.mertens import fuse as fuse_mertens
from ...tone.tonemap import ToneMapSettings, tone_map
from ...work.children import Failure
from ...work.pool import do_apart
from ..bench.pool import on_one_core, raise_failure
from ..metrics.tone_mapping import ToneMappingQuality, tone_mapping_quality
from .camera import CameraModel, uniform
from .camera_settings import CameraSettings
from .draws import SimulationSettings
from .panoramas import (
    FORMAT,
    MANIFEST,
    SUN_PERCENTILE,
    Entry,
    encode_jpeg2000,
    encode_log2,
    load_packed,
    store_bytes,
)
from .simulate import BracketSimulator
from .splits import Split

Radiance = NDArray[np.float32]
Display = NDArray[np.float32]

REFERENCES = "references.json"
_REFERENCE_QUALITY = 98
# A dense clean bracket: a photo at every stop between what shows the brightest and the darkest.
_DENSE_STEP_STOPS = 1.0
_DENSE_MOST = 15
# Light of display codes 0.8 and 0.35 that these two are shown at.
_TOP_SHOWN, _BOTTOM_SHOWN = 0.604, 0.100


@dataclass(frozen=True)
class Choice:
    """The rendition chosen: its name in POOL, the picture (H, W, 3) 0..1, and its TMQI."""

    name: str
    display: Display
    quality: ToneMappingQuality


# The pool -----------------------------------------------------------------------------------------


def dense_bracket(radiance: Radiance, strength: float) -> Stack:
    """Noiseless photos at every stop of the scene's range, by a camera's curve of a strength."""
    brightest = np.log2(np.maximum(radiance.max(axis=2), 1e-9))
    low, high = (float(value) for value in np.percentile(brightest, [1.0, 99.7]))
    darkest = float(np.log2(_TOP_SHOWN)) - high
    lightest = float(np.log2(_BOTTOM_SHOWN)) - low
    count = int(np.clip((lightest - darkest) / _DENSE_STEP_STOPS + 1, 1, _DENSE_MOST))
    stops = np.linspace(darkest, max(lightest, darkest), count)
    light = np.log2(np.maximum(radiance, 1e-9)).astype(np.float64)
    frames = tuple(
        Frame(display_values(np.minimum(light + stop, 0), strength).astype(np.float32), stops=stop)
        for stop in stops.tolist()
    )
    return Stack(frames, reference=count // 2)


_PLAIN = MertensSettings()


def _by_mertens(radiance: Radiance, strength: float, settings: MertensSettings) -> Display:
    return fuse_mertens(dense_bracket(radiance, strength), settings).pixels


def _by_operator(radiance: Radiance, settings: ToneMapSettings) -> Display:
    return tone_map(Fused(radiance, "linear"), settings).pixels


def _operator(name: str, exposure_stops: float = 0.0) -> Callable[[Radiance], Display]:
    return partial(_by_operator, settings=ToneMapSettings(name, exposure_stops))


def _mertens(strength: float, settings: MertensSettings = _PLAIN) -> Callable[[Radiance], Display]:
    return partial(_by_mertens, strength=strength, settings=settings)


POOL: Mapping[str, Callable[[Radiance], Display]] = {
    "mertens": _mertens(0.5),
    "mertens srgb": _mertens(0.0),
    "mertens contrasty": _mertens(1.0),
    "mertens stretched": _mertens(0.5, MertensSettings(stretch_percent=1.0)),
    "mertens exposedness": _mertens(0.5, MertensSettings(contrast=0.0, saturation=0.0)),
    "fusion": _operator("fusion"),
    "fusion brighter": _operator("fusion", 0.4),
    "reinhard-local": _operator("reinhard-local"),
    "durand": _operator("durand"),
    "mantiuk": _operator("mantiuk"),
}

# The guards ---------------------------------------------------------------------------------------

# Shares of pixels that may be white or black in a rendition, beyond the least of the pool.
_MOST_CLIPPED = 0.02
# How far the mean hue of a rendition, in CIE a*b*, may lie from that of the pool.
_MOST_CAST = 8.0
# Mean lightness L* within which a picture is neither glaring nor dull.
_LIGHTNESS = (35.0, 68.0)
# Share of the pool, the renditions nearest to all others, that TMQI may choose among.
_CONSENSUS_SHARE = 0.4


@dataclass(frozen=True)
class _Look:
    clipped: float
    cast: tuple[float, float]
    lightness: float


def _look(display: Display) -> _Look:
    step = max(1, int(np.sqrt(display.shape[0] * display.shape[1] / 250_000)))
    small = np.ascontiguousarray(display[::step, ::step])
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2Lab)
    brightest, darkest = small.max(axis=2), small.min(axis=2)
    clipped = float((darkest > 0.995).mean() + (brightest < 0.008).mean())
    return _Look(
        clipped, (float(lab[..., 1].mean()), float(lab[..., 2].mean())), lab[..., 0].mean()
    )


def passes(looks: Sequence[_Look]) -> list[bool]:
    """Which renditions pass the guards; all, if none does."""
    least = min(look.clipped for look in looks)
    cast = np.median([look.cast for look in looks], axis=0)
    low, high = _LIGHTNESS
    good = [
        look.clipped <= least + _MOST_CLIPPED
        and float(np.hypot(*(np.array(look.cast) - cast))) <= _MOST_CAST
        and low <= look.lightness <= high
        for look in looks
    ]
    return good if any(good) else [True] * len(looks)


def choose_reference(radiance: Radiance, pool: Sequence[str] = tuple(POOL)) -> Choice:
    """Render radiance (H, W, 3), linear, by each method of the pool and choose by TMQI.

    Raises OptionError for pictures under 176 pixels, which TMQI does not judge.
    """
    if min(radiance.shape[:2]) < 176:
        raise OptionError(
            f"expected pictures of at least 176 x 176 pixels for TMQI, found {radiance.shape[:2]}"
        )
    return choose_among(radiance, render_pool(radiance, pool))


def render_pool(radiance: Radiance, pool: Sequence[str] = tuple(POOL)) -> dict[str, Display]:
    """Renditions (H, W, 3), 0..1, of radiance by the methods of the pool."""
    return {name: np.clip(POOL[name](radiance), 0, 1) for name in pool}


def choose_among(radiance: Radiance, displays: Mapping[str, Display]) -> Choice:
    """Choose by TMQI among the renditions that pass the guards and are no oddities."""
    good = passes([_look(display) for display in displays.values()])
    passed = [name for name, kept in zip(displays, good, strict=True) if kept]
    apart = {name: _distance(displays[name], [displays[n] for n in passed]) for name in passed}
    most = max(1, round(_CONSENSUS_SHARE * len(displays)))
    usual = sorted(passed, key=apart.__getitem__)[:most]
    return max(
        (Choice(n, displays[n], tone_mapping_quality(radiance, displays[n] * 255)) for n in usual),
        key=lambda choice: choice.quality.quality,
    )


def _distance(display: Display, others: Sequence[Display]) -> float:
    """Mean squared difference of a rendition from others."""
    return float(np.mean([np.mean(np.square(display - other)) for other in others]))


# Prepared views -----------------------------------------------------------------------------------


def prepare_references(
    packed: Path,
    out: Path,
    views_per_panorama: int = 8,
    size: tuple[int, int] = (448, 448),
    *,
    split: Split | None = None,
    seed: int = 0,
    workers: int = 1,
    overwrite: bool = False,
    progress: Callable[[float], None] | None = None,
) -> int:
    """Store views of packed panoramas with their references, as the choice is slow.

    split: only its scenes; None for all. Each view is its radiance, as `panoramas.pack` stores it,
    and a JPEG of the reference. Returns the number of views. Views that are there already, from a
    run that was cut off, are kept.
    workers: processes to choose in; a view of 448 x 448 takes some seconds of one core.
    """
    # Imported by what needs it: training runs where few packages are installed.
    from ...io.write import WriteSettings, write_text

    if workers < 1:
        raise OptionError(f"workers: expected at least 1, found {workers}")
    panoramas = load_packed(packed)
    settings = SimulationSettings(
        size=size, frames=(1, 1), static=True, objects=(0, 3), camera=_CLEAN_CAMERA
    )
    # Each side by itself: not even an object in front is shared between training and the rest.
    sides = [panoramas.select(split=side) for side in get_args(Split) if split in (None, side)]
    simulators = [
        BracketSimulator(settings, side)
        for side in sides
        if side.select(kinds=("panorama", "picture")).entries
    ]
    jobs = _jobs(simulators, views_per_panorama, seed, out, overwrite)
    total = views_per_panorama * sum(len(simulator.views) for simulator in simulators)
    entries, choices = [], {}
    for entry, choice in _each_stored(jobs, workers):
        entries.append(asdict(entry))
        choices[entry.name] = choice
        if progress is not None:
            progress(len(entries) / total)
    manifest = {"format": FORMAT, "sun_percentile": SUN_PERCENTILE, "images": entries}
    write_text(json.dumps(manifest, indent=1), out / MANIFEST, WriteSettings(overwrite=True))
    write_text(json.dumps(choices, indent=1), out / REFERENCES, WriteSettings(overwrite=True))
    return total


_CLEAN_CAMERA = CameraSettings.plain(noise_share=0, jpeg_share=0)


@dataclass(frozen=True)
class _Job:
    """A view to choose the reference of, and where to store both."""

    name: str
    source: Entry
    radiance: Radiance
    out: Path
    overwrite: bool


_Stored = tuple[Entry, dict[str, object]]


def _jobs(
    simulators: Sequence[BracketSimulator], views_each: int, seed: int, out: Path, overwrite: bool
) -> Iterator[_Job]:
    for view, simulator in product(range(views_each), simulators):
        for number, source in enumerate(simulator.views.entries):
            generator = torch.Generator().manual_seed(seed * 1_000_003 + number * 1009 + view)
            radiance = simulator.sample(1, generator, view=number).radiance[0]
            pixels = np.ascontiguousarray(radiance.permute(1, 2, 0).numpy())
            yield _Job(f"{source.name}_{view}", source, pixels, out, overwrite)


def _each_stored(jobs: Iterator[_Job], workers: int) -> Iterator[_Stored]:
    """Store views one after the other, or in processes of one thread each; results in order."""
    if workers == 1:
        yield from map(_store_view, jobs)
        return
    # Fresh processes: a copy of one that has run torch's threads may hang. Views are made as they
    # are needed, for all at once would fill the memory.
    calls = ((_store_view, job) for job in jobs)
    answers = do_apart(on_one_core, calls, workers, seconds=math.inf, fresh=True)
    stored: dict[int, _Stored] = {}
    given = 0
    with closing(answers):
        for place, answer in answers:
            stored[place] = raise_failure(answer) if isinstance(answer, Failure) else answer
            while given in stored:
                yield stored.pop(given)
                given += 1


def _store_view(job: _Job) -> _Stored:
    from ...io.write import WriteSettings, write_text

    name, source, radiance, out = job.name, job.source, job.radiance, job.out
    codes, low, high = encode_log2(radiance)
    height, width = radiance.shape[:2]
    entry = Entry(
        name, source.scene, "picture", source.split, f"{name}.jp2", width, height, low, high
    )
    facts = out / f"{name}.json"
    if facts.is_file() and not job.overwrite:
        stored = json.loads(facts.read_text(encoding="utf-8"))
        return Entry(**stored["entry"]), stored["choice"]
    choice = choose_reference(radiance)
    store_bytes(encode_jpeg2000(codes), out / entry.file, overwrite=True)
    reference = np.rint(choice.display * 255).astype(np.uint8)
    flags = [cv2.IMWRITE_JPEG_QUALITY, _REFERENCE_QUALITY]
    flags += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    data = cv2.imencode(".jpg", reference[:, :, ::-1], flags)[1]
    store_bytes(np.asarray(data), out / f"{name}.jpg", overwrite=True)
    found: dict[str, object] = {"rendition": choice.name, **asdict(choice.quality)}
    # Written last: a view counts as stored once this is there.
    text = json.dumps({"entry": asdict(entry), "choice": found})
    write_text(text, facts, WriteSettings(overwrite=True))
    return entry, found


@dataclass(frozen=True)
class ReferenceBatch:
    """Static brackets with the display picture that a fusion should give; B brackets of N frames.

    frames: (B, N, 3, h, w) display, dark to bright. stops: (B, N). reference: (B, 3, h, w) display,
        in the colours of the camera's picture style.
    radiance: (B, 3, h, w) linear, 1 = clip in the middle of the exposures.
    """

    frames: Tensor
    stops: Tensor
    reference: Tensor
    radiance: Tensor


@dataclass(frozen=True, kw_only=True)
class ReferenceSettings:
    """What the brackets of prepared views are like; pairs are ranges that each draws from anew.

    frames: how many, once per batch. span_stops: from the darkest to the brightest frame.
    shift_stops: how far the middle of the bracket is off the view's mean brightness.
    """

    frames: tuple[int, int] = (2, 2)
    span_stops: tuple[float, float] = (2.5, 8.0)
    shift_stops: tuple[float, float] = (-1.0, 1.0)
    key: float = 0.15
    camera: CameraSettings = field(default_factory=CameraSettings)


class ReferenceViews:
    """Prepared views on a device, photographed anew at every call.

    Raises FileReadError for a folder that `prepare_references` did not write.
    """

    def __init__(
        self,
        folder: Path,
        settings: ReferenceSettings = ReferenceSettings(),
        device: torch.device | str = "cpu",
        *,
        split: Split | None = "train",
    ) -> None:
        self.settings = settings
        views = load_packed(folder).select(split=split)
        sizes = {(entry.height, entry.width) for entry in views.entries}
        if len(sizes) != 1:
            raise FileReadError(
                f"{folder}: expected prepared views of one size, found {sorted(sizes) or 'none'}; "
                "make them with: ghostless data references"
            )
        self.size = sizes.pop()
        stored = [_read_reference(folder / f"{entry.name}.jpg") for entry in views.entries]
        self.references = torch.from_numpy(np.stack(stored)).permute(0, 3, 1, 2).to(device)
        self.views = views.to(device)
        self.device = self.views.device
        self.camera = CameraModel(settings.camera, self.device)

    def __len__(self) -> int:
        return len(self.views)

    @torch.no_grad()
    def sample(
        self,
        batch: int,
        patch: tuple[int, int],
        generator: torch.Generator,
        *,
        view: int | None = None,
    ) -> ReferenceBatch:
        """Photograph crops of (height, width) of random views, or of one."""
        if patch[0] > self.size[0] or patch[1] > self.size[1]:
            raise OptionError(f"patch: expected at most {self.size} pixels, found {patch}")
        device, s = self.device, self.settings
        index = torch.randint(len(self), (batch,), generator=generator, device=device)
        if view is not None:
            index.fill_(view)
        top, left = (
            torch.randint(side - small + 1, (batch,), generator=generator, device=device)
            for side, small in zip(self.size, patch, strict=True)
        )
        radiance = self.views.windows(index, top, left, patch)
        rows = top.view(-1, 1, 1) + torch.arange(patch[0], device=device).view(1, -1, 1)
        columns = left.view(-1, 1, 1) + torch.arange(patch[1], device=device).view(1, 1, -1)
        reference = self.references[index.view(-1, 1, 1), :, rows, columns].permute(0, 3, 1, 2)

        # As bright as the whole view has it, lest a dark crop be exposed like a bright one.
        shift = uniform((batch, 1), s.shift_stops, generator, device)
        low, high = s.frames
        count = int(torch.randint(low, high + 1, (1,), generator=generator, device=device).item())
        span = uniform((batch, 1), s.span_stops, generator, device)
        stops = span * (torch.linspace(-0.5, 0.5, count, device=device) if count > 1 else 0.0)
        exposures = (stops + shift).exp2().view(batch, -1, 1, 1, 1)
        radiance = radiance * (s.key / self._means(index)).view(-1, 1, 1, 1)
        cameras = self.camera.draw(batch, generator)
        frames = self.camera.photograph(radiance[:, None] * exposures, cameras, generator)
        # What people like in colours is the camera's to say; the frames have it already.
        styled = self.camera.in_style(reference[:, None].float() / 255, cameras)[:, 0]
        return ReferenceBatch(frames, stops, styled, radiance)

    def _means(self, index: Tensor) -> Tensor:
        """Mean of the views' log light, on a coarse grid."""
        steps = [torch.arange(8, side, 16, device=self.device) for side in self.size]
        coarse = self.views.at(
            index,
            steps[0].view(1, -1, 1).expand(len(index), -1, -1),
            steps[1].view(1, 1, -1).expand(len(index), -1, -1),
        )
        return coarse.clamp(min=1e-9).log().mean(dim=(1, 2, 3)).exp()


def _read_reference(path: Path) -> NDArray[np.uint8]:
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if pixels is None:
        raise FileReadError(
            f"{path}: expected the reference of a prepared view, found none; "
            "make it with: ghostless data references"
        )
    return np.ascontiguousarray(pixels[:, :, ::-1]).astype(np.uint8)
