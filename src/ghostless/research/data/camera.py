"""Cameras in torch: light to display frames by lens, sensor, development, files.

A real camera is no curve per channel: see docs/simulation.md for what one does, step by step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...exposure.curves import camera_curve
from ...pixels import color
from . import darkroom
from .camera_settings import CameraSettings, Range, ResponseKind
from .darkroom import each
from .jpeg import JpegModel
from .sensors import COLOR_MATRICES, sensor_matrix

# Responses are tables over the square root of light, which is fine enough in the darks.
_TABLE_STEPS = 4096
_GAMMAS = (1.8, 1.9, 2.0, 2.1, 2.2, 2.3, 2.4)
_STRENGTHS = tuple(float(value) for value in np.linspace(0.1, 1.3, 13))
_CONTRASTS = 7
# What can be done with clipped channels, and what the tone curve is applied to.
_WHITE, _TINTED, _BLENDED = range(3)
_CHANNELS, _LUMINANCE, _HUE = range(3)
# Cells across a frame that glare and local tone mapping blur over.
_GLARE_CELLS = 8
_LOCAL_CELLS = 24
# Light of the darkest frame beyond which glare grows no more: a sun's would mostly fall elsewhere.
_GLARE_LIGHT = 64.0
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Cameras:
    """One camera per bracket of a batch; tensors of (B,), `gains` (B, 3).

    response: row of `response_tables`. shot_noise and read_noise are 0 where there is none;
    jpeg_quality is 0 where frames are not stored as JPEG. real: how the rest differs, None where
    all are plain.
    """

    response: Tensor
    shot_noise: Tensor
    read_noise: Tensor
    gains: Tensor
    jpeg_quality: Tensor
    half_chroma: Tensor
    real: RealCameras | None = None


@dataclass(frozen=True)
class RealCameras:
    """What sets real cameras apart from curves, as CameraSettings names it; (B,), 0 = without.

    exposure_stops, flicker, bands (cycles over the rows), glare, vignetting; patch_share: sides of
    the bracket against the lens's frame, place: (B, 2) in it. matrix: (B, 3, 3) linear sRGB to
    sensor, back: its inverse. white: (B, 3) where each channel clips, white balanced. highlights
    and tone: what is done, in the order of the settings' shares. style: (B, 3, 3) on display RGB.
    """

    exposure_stops: Tensor
    flicker: Tensor
    bands: Tensor
    glare: Tensor
    vignetting: Tensor
    patch_share: Tensor
    place: Tensor
    coloured: Tensor
    matrix: Tensor
    back: Tensor
    white: Tensor
    highlights: Tensor
    tint: Tensor
    fade_start: Tensor
    compress: Tensor
    tone: Tensor
    local_strength: Tensor
    styled: Tensor
    style: Tensor
    fade: Tensor
    blackened: Tensor
    black: Tensor
    grain: Tensor
    smooth: Tensor
    sharpen: Tensor
    sharpen_pixels: Tensor
    hot_pixels: Tensor


def uniform(
    shape: tuple[int, ...], limits: Range, generator: torch.Generator, device: torch.device
) -> Tensor:
    """Uniform random numbers of a range. Of `shape`."""
    low, high = limits
    return torch.rand(shape, generator=generator, device=device) * (high - low) + low


def log_uniform(
    shape: tuple[int, ...], limits: Range, generator: torch.Generator, device: torch.device
) -> Tensor:
    """Random numbers whose logarithm is uniform in a range. Of `shape`."""
    return uniform(shape, (math.log(limits[0]), math.log(limits[1])), generator, device).exp()


@dataclass(frozen=True)
class _Dice:
    """Draws for each of a batch (B,)."""

    batch: int
    generator: torch.Generator
    device: torch.device

    def number(self, limits: Range) -> Tensor:
        return uniform((self.batch,), limits, self.generator, self.device)

    def chance(self, value: float) -> Tensor:
        return (self.number((0, 1)) < value).float()

    def choice(self, shares: tuple[float, float, float]) -> Tensor:
        place = self.number((0, 1))
        return (place >= shares[0]).long() + (place >= shares[0] + shares[1]).long()


class CameraModel:
    """Draws cameras and takes pictures with them, on one device."""

    def __init__(self, settings: CameraSettings, device: torch.device | str = "cpu") -> None:
        self.settings = settings
        self.device = torch.device(device)
        self._plain = settings.plain_share == 1
        contrasts = [0.0]
        if settings.style_share > 0 and settings.contrast != (0.0, 0.0):
            contrasts += np.linspace(*settings.contrast, _CONTRASTS).tolist()
        self._contrasts = len(contrasts)
        tables = {kind: _tables_of(kind) for kind in settings.responses}
        self.tables = _with_contrasts(torch.cat(list(tables.values())), contrasts).to(self.device)
        self._linear_tables = _srgb_to_linear(self.tables)
        self._srgb_table = _tables_of("srgb").to(self.device)
        counts = [len(table) for table in tables.values()]
        self._counts = torch.tensor(counts, device=self.device)
        self._starts = torch.tensor([0, *np.cumsum(counts)[:-1]], device=self.device)
        self._jpeg = JpegModel(self.device)
        sensors = np.array([np.eye(3), *(sensor_matrix(name) for name in COLOR_MATRICES)])
        self._sensors = torch.tensor(sensors, dtype=torch.float32, device=self.device)
        backward = torch.tensor(np.linalg.inv(sensors), dtype=torch.float32)
        self._sensors_back = backward.to(self.device)

    # Drawing --------------------------------------------------------------------------------------

    def draw(self, batch: int, generator: torch.Generator) -> Cameras:
        """Draw a camera for each bracket."""
        s, device = self.settings, self.device

        def share(value: float) -> Tensor:
            return torch.rand(batch, generator=generator, device=device) < value

        kind = torch.randint(len(self._counts), (batch,), generator=generator, device=device)
        member = torch.rand(batch, generator=generator, device=device) * self._counts[kind]
        noisy = share(s.noise_share).float()
        warmth = torch.rand((batch, 2), generator=generator, device=device)
        if not self._plain:
            # Light that lacks blue has much red: what one gain has the other lacks, give or take.
            warmth[:, 1] = 0.65 * (1 - warmth[:, 0]) + 0.35 * warmth[:, 1]
        gains = torch.ones(batch, 3, device=device)
        gains[:, 0] = warmth[:, 0] * (s.red_gain[1] - s.red_gain[0]) + s.red_gain[0]
        gains[:, 2] = warmth[:, 1] * (s.blue_gain[1] - s.blue_gain[0]) + s.blue_gain[0]
        low, high = s.jpeg_quality
        quality = torch.randint(low, high + 1, (batch,), generator=generator, device=device)
        cameras = Cameras(
            (self._starts[kind] + member.long()) * self._contrasts,
            log_uniform((batch,), s.shot_noise, generator, device) * noisy,
            log_uniform((batch,), s.read_noise, generator, device) * noisy,
            gains,
            quality * share(s.jpeg_share),
            share(0.5),
        )
        return cameras if self._plain else self._draw_real(cameras, generator)

    def _draw_real(self, cameras: Cameras, generator: torch.Generator) -> Cameras:
        """Draw what sets these cameras apart from curves."""
        s, device, batch = self.settings, self.device, len(cameras.response)
        dice = _Dice(batch, generator, device)
        number, chance, choice = dice.number, dice.chance, dice.choice
        real = 1 - chance(s.plain_share)

        def some(value: float) -> Tensor:
            return chance(value) * real

        coloured = some(s.sensor_share)
        index = (number((0, len(COLOR_MATRICES))).long() + 1) * coloured.long()
        white = torch.where(coloured[:, None] > 0, cameras.gains, torch.ones_like(cameras.gains))
        styled = some(s.style_share)
        contrast = number((0, self._contrasts - 1)).long() + min(1, self._contrasts - 1)
        style = darkroom.style_matrices(
            number(s.saturation), number((-s.hue_degrees, s.hue_degrees))
        )
        drawn = RealCameras(
            exposure_stops=some(s.exposure_share) * s.exposure_stops,
            flicker=some(s.flicker_share) * number(s.flicker),
            bands=chance(s.band_share) * number((0.5, 3)),
            glare=some(s.glare_share) * log_uniform((batch,), s.glare, generator, device),
            vignetting=some(s.vignetting_share) * number(s.vignetting),
            patch_share=number((0.15, 1)),
            place=uniform((batch, 2), (-1, 1), generator, device),
            coloured=coloured > 0,
            matrix=self._sensors[index],
            back=self._sensors_back[index],
            white=white,
            highlights=choice(s.highlight_shares) * coloured.long(),
            tint=number(s.tint),
            fade_start=number(s.fade_start),
            compress=some(s.compress_share) > 0,
            tone=choice(s.tone_shares) * real.long(),
            local_strength=some(s.local_share) * number(s.local_strength),
            styled=styled > 0,
            style=style,
            fade=number((0, s.fade)),
            blackened=some(s.black_share) > 0,
            black=number(s.black),
            grain=some(s.grain_share) > 0,
            smooth=some(s.smooth_share) * log_uniform((batch,), s.smooth, generator, device),
            sharpen=some(s.sharpen_share) * number(s.sharpen),
            sharpen_pixels=number(s.sharpen_pixels),
            hot_pixels=some(s.hot_share) * log_uniform((batch,), s.hot_pixels, generator, device),
        )
        response = cameras.response + contrast * styled.long()
        return replace(cameras, response=response, real=drawn)

    # Photographing --------------------------------------------------------------------------------

    def photograph(self, light: Tensor, cameras: Cameras, generator: torch.Generator) -> Tensor:
        """Turn light (B, N, 3, H, W), where 1 clips, into display frames, 0..1."""
        real = cameras.real
        if real is None:
            display = self.develop(self.add_noise(light, cameras, generator), cameras)
        else:
            seen = self._through_lens(light, real, generator)
            sensed = _where(real.coloured, darkroom.mix_channels, seen, real.matrix)
            sensed = self.add_noise(sensed, cameras, generator)
            sensed = self._add_hot_pixels(sensed, light, real, generator)
            display = self.develop(sensed, cameras)
            count = light.shape[1]
            change = uniform((len(light), count), (-1, 1), generator, self.device)
            level = real.black[:, None] + change * self.settings.black_change
            display = _where(real.blackened, darkroom.move_black, display, level)
        if self.settings.rounding:
            display = (display * 255).round_().div_(255)
        if self.settings.jpeg_share > 0:
            display = self._jpeg.compress(display, cameras.jpeg_quality, cameras.half_chroma)
        return display

    def photograph_cleanly(self, light: Tensor, cameras: Cameras) -> Tensor:
        """The same without all that differs between frames by chance: noise, glare, rounding."""
        if cameras.real is not None:
            real = cameras.real
            light = _where(real.coloured, darkroom.mix_channels, light, real.matrix)
        return self.develop(light, cameras)

    def _through_lens(self, light: Tensor, real: RealCameras, generator: torch.Generator) -> Tensor:
        """Light that reaches the sensor: missed exposures, flicker, vignetting, glare."""
        batch, count = light.shape[:2]
        height, width = light.shape[-2:]
        shape = (batch, count)
        missed = uniform(shape, (-1, 1), generator, self.device) * real.exposure_stops[:, None]
        gains = each(missed.exp2())
        lost = darkroom.vignette((height, width), real.vignetting, real.patch_share, real.place)
        # The brightest frame's exposure lasts over many swings of a lamp, the darkest sees one.
        depth = real.flicker[:, None] * (1 - 0.8 * _relative_exposures(light))
        phase = uniform(shape, (0, 2 * math.pi), generator, self.device)
        flicker = darkroom.flicker_gains(height, depth, phase, real.bands)
        changed = uniform(shape, (-1, 1), generator, self.device) * self.settings.glare_change
        glare = real.glare[:, None] * (1 + changed)
        around = uniform((batch,), (-1.5, 1.5), generator, self.device).exp2()
        seen = light * (gains * flicker * lost)
        return _where(real.glare > 0, _add_glare, seen, glare, around)

    def add_noise(self, light: Tensor, cameras: Cameras, generator: torch.Generator) -> Tensor:
        """Add shot and read noise, both multiplied by the gains of the white balance.

        (B, 3, H, W) to the same.
        """
        if self.settings.noise_share == 0:
            return light
        gains = cameras.gains.view(-1, 1, 3, 1, 1)
        shot = cameras.shot_noise.view(-1, 1, 1, 1, 1) * gains
        read = cameras.read_noise.view(-1, 1, 1, 1, 1) * gains
        # What is far beyond clipping stays clipped whatever its noise.
        variance = shot * light.clamp(0, 4) + read * read
        random = torch.randn(light.shape, generator=generator, device=light.device)
        if cameras.real is not None:
            batch, count, _, height, width = light.shape
            size = (batch, count, 3, -(-height // 2), -(-width // 2))
            coarse = torch.randn(size, generator=generator, device=light.device)
            random = _where(cameras.real.grain, darkroom.correlate, random, coarse)
        return light + random * variance.sqrt_()

    def _add_hot_pixels(
        self, sensed: Tensor, light: Tensor, real: RealCameras, generator: torch.Generator
    ) -> Tensor:
        """Add pixels that glow, the same in each frame, by their exposures."""
        if not bool((real.hot_pixels > 0).any()):
            return sensed
        size = (len(light), 1, *light.shape[2:])
        place = torch.rand(size, generator=generator, device=self.device)
        glow = torch.rand(size, generator=generator, device=self.device)
        lit = (place < each(real.hot_pixels)).float() * glow
        # Demosaicing spreads what one pixel has over its neighbours.
        lit = darkroom.binomial(lit).mul_(4)
        return sensed + lit * each(_relative_exposures(light))

    def develop(self, light: Tensor, cameras: Cameras) -> Tensor:
        """Turn what sensors saw, white balanced, into display values, not rounded.
        (B, 3, H, W) to the same.

        Plain cameras clip each channel at 1 and apply their responses; see RealCameras for others.
        """
        real = cameras.real
        if real is None:
            return _look_up(light.clamp(0, 1), cameras.response, self.tables)
        linear = torch.minimum(light, real.white.view(-1, 1, 3, 1, 1))
        kinds = real.highlights
        linear = _where(
            kinds == _BLENDED, darkroom.blend_highlights, linear, real.white, real.fade_start
        )
        most = torch.where(
            (kinds == _TINTED)[:, None], 1 + real.tint[:, None] * (real.white - 1), 1.0
        )
        linear = torch.minimum(linear, most.view(-1, 1, 3, 1, 1))
        linear = _where(real.coloured, darkroom.mix_channels, linear, real.back)
        linear = _where(real.compress, darkroom.compress_gamut, linear).clamp_(0, 1)
        linear = _where(real.local_strength > 0, _map_locally, linear, real.local_strength)
        display = self._tone(linear, cameras, real)
        display = self.in_style(display, cameras)
        display = _where(real.smooth > 0, darkroom.smooth, display, real.smooth)
        return _where(
            real.sharpen > 0, darkroom.sharpen, display, real.sharpen, real.sharpen_pixels
        )

    def in_style(self, display: Tensor, cameras: Cameras) -> Tensor:
        """Display pictures (B, N, 3, H, W), 0..1, in the colours of the cameras' picture styles."""
        real = cameras.real
        if real is None:
            return display
        return _where(real.styled, darkroom.apply_style, display, real.style, real.fade)

    def _tone(self, linear: Tensor, cameras: Cameras, real: RealCameras) -> Tensor:
        """Apply the tone curves to linear pictures, 0..1: display values."""

        def channels(pictures: Tensor, rows: Tensor) -> Tensor:
            return _look_up(pictures, rows, self.tables)

        def ratios(pictures: Tensor, rows: Tensor) -> Tensor:
            grey = darkroom.luminance(pictures).clamp_(max=1)
            factor = _look_up(grey, rows, self._linear_tables) / grey.clamp(min=1e-6)
            return self._encode(darkroom.compress_gamut(pictures * factor))

        def hues(pictures: Tensor, rows: Tensor) -> Tensor:
            low, high = pictures.amin(dim=2, keepdim=True), pictures.amax(dim=2, keepdim=True)
            ends = _look_up(torch.cat([low, high], dim=2), rows, self._linear_tables)
            slope = (ends[:, :, 1:] - ends[:, :, :1]) / (high - low).clamp(min=1e-6)
            return self._encode((pictures - low).mul_(slope).add_(ends[:, :, :1]))

        display = linear
        for kind, apply in ((_CHANNELS, channels), (_LUMINANCE, ratios), (_HUE, hues)):
            display = _where(real.tone == kind, apply, display, cameras.response)
        return display

    def _encode(self, linear: Tensor) -> Tensor:
        rows = torch.zeros(len(linear), dtype=torch.long, device=linear.device)
        return _look_up(linear.clamp(0, 1), rows, self._srgb_table)

    def linearise(self, display: Tensor, cameras: Cameras) -> Tensor:
        """Light, 0..1 where 1 clips, that display values (B, N, 3, H, W) of cameras mean.

        By their nominal curves alone, as a program that knows these would have it.
        """
        batch = display.shape[0]
        tables = self.tables[cameras.response]
        values = display.reshape(batch, -1).clamp(0, 1)
        upper = torch.searchsorted(tables, values).clamp_(1, _TABLE_STEPS)
        below, above = tables.gather(1, upper - 1), tables.gather(1, upper)
        share = ((values - below) / (above - below).clamp(min=1e-12)).clamp_(0, 1)
        root = (upper - 1 + share) / _TABLE_STEPS
        return root.square_().view(display.shape)


def _where(
    chosen: Tensor, apply: Callable[..., Tensor], pictures: Tensor, *values: Tensor
) -> Tensor:
    """Apply a step to the chosen brackets of a batch, with their own values, and to no others."""
    count = int(chosen.sum())
    if count == 0:
        return pictures
    if count == len(chosen):
        return apply(pictures, *values)
    result = pictures.clone()
    result[chosen] = apply(pictures[chosen], *(value[chosen] for value in values))
    return result


def _look_up(light: Tensor, rows: Tensor, tables: Tensor) -> Tensor:
    """Values of light, 0..1, by each bracket's row of tables over its square root."""
    place = light.sqrt().mul_(_TABLE_STEPS)
    lower = place.floor().clamp_(max=_TABLE_STEPS - 1)
    share = place.sub_(lower)
    index = lower.int() + (rows * (_TABLE_STEPS + 1)).int().view(-1, 1, 1, 1, 1)
    flat = tables.view(-1)
    below = flat.index_select(0, index.reshape(-1)).view(light.shape)
    above = flat[1:].index_select(0, index.reshape(-1)).view(light.shape)
    return torch.lerp(below, above, share)


def _relative_exposures(light: Tensor) -> Tensor:
    """About how long frames were exposed (B, N) against the longest, by the light in them."""
    mean = light.mean(dim=(2, 3, 4))
    return mean / mean.amax(dim=1, keepdim=True).clamp(min=1e-12)


def _add_glare(light: Tensor, glare: Tensor, around: Tensor) -> Tensor:
    """Spread a share (B, N) of the light: half over the region, half over all.

    around: (B,) how bright the part of the frame beyond the patch is, against the patch.
    """
    exposures = _relative_exposures(light)
    most = _GLARE_LIGHT * exposures / exposures.amin(dim=1, keepdim=True).clamp(min=1e-12)
    wide = darkroom.spread_widely(torch.minimum(light, each(most)), _GLARE_CELLS)
    wide = wide + wide.mean(dim=(3, 4), keepdim=True) * each(around)
    return light * (1 - each(glare)) + wide * each(glare / 2)


def _map_locally(linear: Tensor, strength: Tensor) -> Tensor:
    return darkroom.map_locally(linear, strength, _LOCAL_CELLS).clamp_(0, 1)


def _with_contrasts(tables: Tensor, contrasts: list[float]) -> Tensor:
    """Each table with each contrast in the middle tones, (members x contrasts, steps + 1)."""
    bend = tables * (1 - tables) * (2 * tables - 1)
    rows = [tables + value * bend if value else tables for value in contrasts]
    return torch.stack(rows, dim=1).flatten(0, 1)


def _srgb_to_linear(display: Tensor) -> Tensor:
    values = color.srgb_to_linear(display.cpu().numpy())
    return torch.from_numpy(values).to(display.device)


def _tables_of(kind: ResponseKind) -> Tensor:
    """Display values at the squares of evenly spaced numbers: (members, steps + 1)."""
    light = np.linspace(0, 1, _TABLE_STEPS + 1) ** 2
    rows: list[Values]
    if kind == "srgb":
        rows = [color.linear_to_srgb(light).astype(np.float64)]
    elif kind == "gamma":
        rows = [light ** (1 / gamma) for gamma in _GAMMAS]
    else:
        rows = [_camera_table(light, strength) for strength in _STRENGTHS]
    tables = torch.tensor(np.array(rows), dtype=torch.float32)
    return tables / tables[:, -1:]


def _camera_table(light: Values, strength: float) -> Values:
    light_of_code = np.exp2(camera_curve(strength))
    light_of_code[0] = 0
    codes = np.linspace(0, 1, len(light_of_code))
    return np.asarray(np.interp(light, light_of_code, codes), np.float64)
