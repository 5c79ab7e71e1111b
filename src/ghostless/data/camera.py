"""Cameras in torch: light to display frames by response, noise, clipping, rounding and JPEG."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .. import color
from ..curves import camera_curve
from ..errors import OptionError, unknown_name

ResponseKind = Literal["srgb", "gamma", "camera"]
RESPONSE_KINDS: tuple[ResponseKind, ...] = ("srgb", "gamma", "camera")

# Responses are tables over the square root of light, which is fine enough in the darks.
_TABLE_STEPS = 4096
_GAMMAS = (1.8, 1.9, 2.0, 2.1, 2.2, 2.3, 2.4)
_STRENGTHS = tuple(float(value) for value in np.linspace(0.1, 1.3, 13))

Range = tuple[float, float]
Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CameraSettings:
    """How cameras differ; a range is drawn from anew for each bracket.

    responses: kinds that display curves are drawn from: "srgb"; "gamma" 1.8 to 2.4; "camera", the
        S-curves of `curves.camera_curve`.
    noise_share: share of the brackets with any noise. shot_noise: variance per unit of light
        where 1 clips, log-uniform. read_noise: standard deviation in the same unit, log-uniform.
    white_balance: gain of red and of blue against green, which multiplies their noise.
    rounding: whether frames have 8 bits.
    jpeg_share: share of the brackets stored as JPEG, half of them with chroma at half size.
    jpeg_quality: of the IJG library's scale.
    """

    responses: tuple[ResponseKind, ...] = RESPONSE_KINDS
    noise_share: float = 0.9
    shot_noise: Range = (1e-5, 5e-4)
    read_noise: Range = (2e-4, 3e-3)
    white_balance: Range = (1.0, 2.2)
    rounding: bool = True
    jpeg_share: float = 0.5
    jpeg_quality: tuple[int, int] = (75, 98)

    def __post_init__(self) -> None:
        for kind in self.responses:
            if kind not in RESPONSE_KINDS:
                raise unknown_name("response", kind, RESPONSE_KINDS)
        if not self.responses:
            raise OptionError("expected at least one kind of response, found none")
        for name in ("shot_noise", "read_noise", "white_balance", "jpeg_quality"):
            check_range(name, getattr(self, name), at_least=1e-12)
        for name in ("noise_share", "jpeg_share"):
            check_share(name, getattr(self, name))
        if not 1 <= self.jpeg_quality[0] <= self.jpeg_quality[1] <= 100:
            raise OptionError(f"jpeg_quality: expected 1 to 100, found {self.jpeg_quality}")


def check_range(name: str, value: tuple[float, float], at_least: float = -math.inf) -> None:
    """Raise OptionError unless a setting is an ordered pair of finite numbers."""
    ordered = len(value) == 2 and at_least <= value[0] <= value[1] < math.inf
    if not ordered:
        raise OptionError(f"{name}: expected (low, high) from {at_least:g} up, found {value}")


def check_share(name: str, value: float) -> None:
    """Raise OptionError unless a setting is a share, 0..1."""
    if not 0 <= value <= 1:
        raise OptionError(f"{name}: expected a share from 0 to 1, found {value}")


@dataclass(frozen=True)
class Cameras:
    """One camera per bracket of a batch; tensors of (B,), `gains` (B, 3).

    response: row of `response_tables`. shot_noise and read_noise are 0 where there is none;
    jpeg_quality is 0 where frames are not stored as JPEG.
    """

    response: Tensor
    shot_noise: Tensor
    read_noise: Tensor
    gains: Tensor
    jpeg_quality: Tensor
    half_chroma: Tensor


def uniform(
    shape: tuple[int, ...], limits: Range, generator: torch.Generator, device: torch.device
) -> Tensor:
    """Uniform random numbers of a range."""
    low, high = limits
    return torch.rand(shape, generator=generator, device=device) * (high - low) + low


def log_uniform(
    shape: tuple[int, ...], limits: Range, generator: torch.Generator, device: torch.device
) -> Tensor:
    """Random numbers whose logarithm is uniform in a range."""
    return uniform(shape, (math.log(limits[0]), math.log(limits[1])), generator, device).exp()


class CameraModel:
    """Draws cameras and takes pictures with them, on one device."""

    def __init__(self, settings: CameraSettings, device: torch.device | str = "cpu") -> None:
        self.settings = settings
        self.device = torch.device(device)
        tables = {kind: _tables_of(kind) for kind in settings.responses}
        self.tables = torch.cat([table.to(self.device) for table in tables.values()])
        counts = [len(table) for table in tables.values()]
        self._counts = torch.tensor(counts, device=self.device)
        self._starts = torch.tensor([0, *np.cumsum(counts)[:-1]], device=self.device)
        self._jpeg = JpegModel(self.device)

    def draw(self, batch: int, generator: torch.Generator) -> Cameras:
        """Draw a camera for each bracket."""
        s, device = self.settings, self.device

        def share(value: float) -> Tensor:
            return torch.rand(batch, generator=generator, device=device) < value

        kind = torch.randint(len(self._counts), (batch,), generator=generator, device=device)
        member = torch.rand(batch, generator=generator, device=device) * self._counts[kind]
        noisy = share(s.noise_share).float()
        gains = torch.ones(batch, 3, device=device)
        gains[:, 0::2] = uniform((batch, 2), s.white_balance, generator, device)
        low, high = s.jpeg_quality
        quality = torch.randint(low, high + 1, (batch,), generator=generator, device=device)
        return Cameras(
            self._starts[kind] + member.long(),
            log_uniform((batch,), s.shot_noise, generator, device) * noisy,
            log_uniform((batch,), s.read_noise, generator, device) * noisy,
            gains,
            quality * share(s.jpeg_share),
            share(0.5),
        )

    def photograph(self, light: Tensor, cameras: Cameras, generator: torch.Generator) -> Tensor:
        """Turn light (B, N, 3, H, W), where 1 clips, into display frames, 0..1."""
        display = self.develop(self.add_noise(light, cameras, generator), cameras)
        if self.settings.rounding:
            display = (display * 255).round_().div_(255)
        if self.settings.jpeg_share > 0:
            display = self._jpeg.compress(display, cameras.jpeg_quality, cameras.half_chroma)
        return display

    def add_noise(self, light: Tensor, cameras: Cameras, generator: torch.Generator) -> Tensor:
        """Add shot and read noise, both multiplied by the gains of the white balance."""
        if self.settings.noise_share == 0:
            return light
        gains = cameras.gains.view(-1, 1, 3, 1, 1)
        shot = cameras.shot_noise.view(-1, 1, 1, 1, 1) * gains
        read = cameras.read_noise.view(-1, 1, 1, 1, 1) * gains
        # What is far beyond clipping stays clipped whatever its noise.
        variance = shot * light.clamp(0, 4) + read * read
        random = torch.randn(light.shape, generator=generator, device=light.device)
        return light + random * variance.sqrt_()

    def develop(self, light: Tensor, cameras: Cameras) -> Tensor:
        """Clip each channel at 1 and apply the responses: display values, not rounded."""
        place = light.clamp(0, 1).sqrt_().mul_(_TABLE_STEPS)
        lower = place.floor().clamp_(max=_TABLE_STEPS - 1)
        share = place.sub_(lower)
        row = (cameras.response * (_TABLE_STEPS + 1)).view(-1, 1, 1, 1, 1)
        index = lower.long() + row
        flat = self.tables.view(-1)
        return torch.lerp(flat[index], flat[index + 1], share)

    def linearise(self, display: Tensor, cameras: Cameras) -> Tensor:
        """Light, 0..1 where 1 clips, that display values (B, N, 3, H, W) of cameras mean."""
        batch = display.shape[0]
        tables = self.tables[cameras.response]
        values = display.reshape(batch, -1).clamp(0, 1)
        upper = torch.searchsorted(tables, values).clamp_(1, _TABLE_STEPS)
        below, above = tables.gather(1, upper - 1), tables.gather(1, upper)
        share = ((values - below) / (above - below).clamp(min=1e-12)).clamp_(0, 1)
        root = (upper - 1 + share) / _TABLE_STEPS
        return root.square_().view(display.shape)


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


# JPEG ---------------------------------------------------------------------------------------------

# Quantisation tables of ITU-T T.81, annex K.1, luminance and chrominance, row by row.
_LUMINANCE_TABLE = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE_TABLE = (
    *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99),
    *(99,) * 32,
)
_BLOCK = 8


class JpegModel:
    """What JPEG compression does to pictures, for a batch at once; entropy coding loses nothing."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        n = torch.arange(_BLOCK, dtype=torch.float64)
        basis = torch.cos(math.pi * (2 * n[None, :] + 1) * n[:, None] / (2 * _BLOCK)) * 0.5
        basis[0] /= math.sqrt(2)
        tables = torch.tensor([_LUMINANCE_TABLE, _CHROMINANCE_TABLE], dtype=torch.float32)
        self._basis = basis.float().to(device)
        self._tables = tables.view(2, _BLOCK, _BLOCK).to(device)
        self._to_ycc = torch.tensor(color.YCBCR_FROM_RGB, dtype=torch.float32, device=device)
        self._to_rgb = torch.tensor(color.RGB_FROM_YCBCR, dtype=torch.float32, device=device)

    def compress(self, display: Tensor, quality: Tensor, half_chroma: Tensor) -> Tensor:
        """Frames (B, N, 3, H, W), 0..1, as they come back from JPEG files, rounded to 8 bits.

        quality: (B,) 1 to 100 of the IJG library, 0 leaves the bracket as it is.
        half_chroma: (B,) bool, whether Cb and Cr have half the width and height.
        """
        chosen = quality > 0
        frames = display[chosen]
        if frames.shape[0] == 0:
            return display
        count, height, width = frames.shape[1], *frames.shape[-2:]
        scaled = self._scaled_tables(quality[chosen]).repeat_interleave(count, dim=0)
        half = half_chroma[chosen].repeat_interleave(count).view(-1, 1, 1, 1)
        flat = frames.flatten(0, 1)
        padding = (0, -width % 16, 0, -height % 16)
        padded = F.pad(flat, padding, mode="replicate") * 255
        planes = torch.einsum("ij,bjhw->bihw", self._to_ycc, padded)
        luma = self._code(planes[:, :1] - 128, scaled[:, :1]) + 128
        chroma = planes[:, 1:]
        full = self._code(chroma, scaled[:, 1:])
        small = self._code(F.avg_pool2d(chroma, 2), scaled[:, 1:])
        enlarged = F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
        planes = torch.cat([luma, torch.where(half, enlarged, full)], dim=1)
        back = torch.einsum("ij,bjhw->bihw", self._to_rgb, planes).round_().clamp_(0, 255)
        result = display.clone()
        result[chosen] = back[..., :height, :width].reshape(frames.shape) / 255
        return result

    def _scaled_tables(self, quality: Tensor) -> Tensor:
        """Luminance and chrominance tables (B, 2, 8, 8) of qualities, as the IJG library scales."""
        quality = quality.float()
        scale = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
        tables = (self._tables * scale.view(-1, 1, 1, 1) + 50).div_(100).floor_()
        return tables.clamp_(1, 255)

    def _code(self, planes: Tensor, tables: Tensor) -> Tensor:
        """Quantise planes (B, C, H, W) in 8 x 8 blocks of the cosine transform."""
        batch, channels, height, width = planes.shape
        blocks = planes.view(batch, channels, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
        blocks = blocks.transpose(3, 4)
        steps = tables[:, :, None, None]
        basis = self._basis
        levels = (basis @ blocks @ basis.T / steps).round_() * steps
        back = basis.T @ levels @ basis
        return back.transpose(3, 4).reshape(batch, channels, height, width)
