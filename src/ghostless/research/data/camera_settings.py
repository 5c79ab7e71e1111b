"""What simulated cameras are like: ranges that every camera is drawn from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from ...errors import OptionError, unknown_name

ResponseKind = Literal["srgb", "gamma", "camera"]
RESPONSE_KINDS: tuple[ResponseKind, ...] = ("srgb", "gamma", "camera")
CAMERA_KINDS = ("plain", "real")

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class CameraSettings:
    """How cameras differ; a range is drawn from anew for each bracket, `*_share` is the share of
    the brackets that have an effect at all.

    The default is the cameras that people have; `plain()` maps each channel by one curve and adds
    noise, and nothing else.

    plain_share: brackets that have none of what follows down to `hot_pixels`.

    exposure_stops: how far each frame is off its nominal exposure at most; shutters and apertures
        have tolerances (ISO 516 gives shutters theirs), of which this is our guess.
    flicker: how far lamps swing about their mean in the shortest exposure, which longer ones
        average out (IEEE 1789 is about how deep LEDs may be modulated); the range is our guess.
        band_share: of those, with bands by a rolling shutter.
    glare: share of the light that lens and sensor spread widely, log-uniform: the veiling glare
        that ISO 9358 measures, up to a few percent of a lens, less in a patch; the range is what
        the spreads of `bench cameras` need. glare_change: how much, as a
        share, it differs between the frames of one bracket.
    vignetting: light missing in the corners of the frame, of which a bracket shows a part; up to
        two stops of open lenses, most of it corrected in the camera.
    sensor: colours by `sensors.COLOR_MATRICES`. red_gain, blue_gain: white balance against green;
        dcraw's lists of cameras have 1.4 to 2.6 and 1.1 to 2.4 from shade to tungsten light. A
        sensor's red and blue clip at these and multiply their noise by them.
    highlight_shares: what is done with channels that clip: all clipped where green does, so that
        they are neutral; left, by up to `tint` of what red and blue have beyond green; faded
        to neutral from `fade_start` of their range on. dcraw's -H 0, 1 and 2.
    compress_share: cameras that pull colours beyond sRGB towards grey instead of clipping them.
    tone_shares: tone curve on each channel; on luminance, ratios kept; on the largest and smallest
        channel with the middle one between them, as Adobe's DNG SDK does (RefBaselineRGBTone).
    local_strength: local tone mapping of phones, 0 none, 1 an even base layer (Hasinoff and others
        2016, "Burst photography", fuse synthetic exposures to the same end).
    style: picture styles. saturation, hue_degrees: factor and largest turn. contrast: in the middle
        tones, 2 (gain - 1), part of the nominal curve. fade: how far chroma fades near
        black and white, at most.
    black: lifted, or crushed where below 0, in display values. black_change: between frames.
    grain: noise correlated by demosaicing and noise reduction. smooth: noise reduction, contrast of
        the texture that it removes, log-uniform. sharpen: amount of an unsharp mask on luma;
        sharpen_pixels: its radius. Ranges of the parameters that raw developers offer.
    hot_pixels: how many of the sensor's pixels glow, log-uniform, more in longer exposures.

    responses: kinds that display curves are drawn from: "srgb"; "gamma" 1.8 to 2.4; "camera", the
        S-curves of `curves.camera_curve`.
    noise_share: share of the brackets with any noise. shot_noise: variance per unit of light
        where 1 clips, log-uniform. read_noise: standard deviation in the same unit, log-uniform.
        From small pixels at high ISO to large ones at ISO 100 in a picture of reduced size.
    rounding: whether frames have 8 bits.
    jpeg_share: share of the brackets stored as JPEG, half of them with chroma at half size.
    jpeg_quality: of the IJG library's scale.
    """

    plain_share: float = 0.1
    exposure_share: float = 0.8
    exposure_stops: float = 0.15
    flicker_share: float = 0.06
    flicker: Range = (0.03, 0.3)
    band_share: float = 0.4
    glare_share: float = 0.8
    glare: Range = (5e-4, 2e-2)
    glare_change: float = 0.3
    vignetting_share: float = 0.7
    vignetting: Range = (0.05, 0.6)
    sensor_share: float = 0.9
    red_gain: Range = (1.4, 2.6)
    blue_gain: Range = (1.1, 2.4)
    highlight_shares: tuple[float, float, float] = (0.62, 0.08, 0.3)
    tint: Range = (0.02, 0.25)
    fade_start: Range = (0.6, 0.95)
    compress_share: float = 0.4
    tone_shares: tuple[float, float, float] = (0.35, 0.3, 0.35)
    local_share: float = 0.25
    local_strength: Range = (0.15, 0.6)
    style_share: float = 0.8
    saturation: Range = (0.7, 1.5)
    hue_degrees: float = 5.0
    contrast: Range = (-0.3, 0.5)
    fade: float = 1.0
    black_share: float = 0.5
    black: Range = (-0.02, 0.03)
    black_change: float = 0.004
    grain_share: float = 0.6
    smooth_share: float = 0.35
    smooth: Range = (4e-3, 2.5e-2)
    sharpen_share: float = 0.6
    sharpen: Range = (0.1, 1.0)
    sharpen_pixels: Range = (0.5, 1.8)
    hot_share: float = 0.12
    hot_pixels: Range = (1e-5, 2e-4)
    responses: tuple[ResponseKind, ...] = RESPONSE_KINDS
    noise_share: float = 0.9
    shot_noise: Range = (1e-6, 3e-4)
    read_noise: Range = (5e-5, 2e-3)
    rounding: bool = True
    jpeg_share: float = 0.5
    jpeg_quality: tuple[int, int] = (75, 98)

    def __post_init__(self) -> None:
        for kind in self.responses:
            if kind not in RESPONSE_KINDS:
                raise unknown_name("response", kind, RESPONSE_KINDS)
        if not self.responses:
            raise OptionError("expected at least one kind of response, found none")
        for name in (
            *("shot_noise", "read_noise", "jpeg_quality", "red_gain", "blue_gain", "glare"),
            *("smooth", "sharpen_pixels", "hot_pixels"),
        ):
            check_range(name, getattr(self, name), at_least=1e-12)
        for name in ("flicker", "vignetting", "tint", "fade_start", "local_strength"):
            check_range(name, getattr(self, name), at_least=0)
            if getattr(self, name)[1] >= 1:
                raise OptionError(f"{name}: expected less than 1, found {getattr(self, name)}")
        for name in ("saturation", "sharpen"):
            check_range(name, getattr(self, name), at_least=0)
        for name in ("contrast", "black"):
            check_range(name, getattr(self, name), at_least=-0.9)
            if getattr(self, name)[1] > 0.9:
                raise OptionError(f"{name}: expected at most 0.9, found {getattr(self, name)}")
        for name in (*self._shares(), "band_share", "glare_change", "fade"):
            check_share(name, getattr(self, name))
        for name in ("highlight_shares", "tone_shares"):
            shares = getattr(self, name)
            if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
                raise OptionError(f"{name}: expected three shares that sum to 1, found {shares}")
        for name in ("exposure_stops", "hue_degrees", "black_change"):
            check_range(name, (0.0, getattr(self, name)), at_least=0)
        if not 1 <= self.jpeg_quality[0] <= self.jpeg_quality[1] <= 100:
            raise OptionError(f"jpeg_quality: expected 1 to 100, found {self.jpeg_quality}")

    @classmethod
    def _shares(cls) -> list[str]:
        return [name for name in cls.__dataclass_fields__ if name.endswith("_share")]

    @classmethod
    def plain(cls, **changes: object) -> CameraSettings:
        """Cameras that map each channel by one curve: noise, clipping, 8 bits, JPEG, no more."""
        kept = ("plain_share", "noise_share", "jpeg_share", "band_share")
        off: dict[str, object] = {name: 0.0 for name in cls._shares() if name not in kept}
        off.update(
            plain_share=1.0,
            red_gain=(1.0, 2.2),
            blue_gain=(1.0, 2.2),
            tone_shares=(1.0, 0.0, 0.0),
            contrast=(0.0, 0.0),
            shot_noise=(1e-5, 5e-4),
            read_noise=(2e-4, 3e-3),
        )
        return cls(**{**off, **changes})  # type: ignore[arg-type]

    def faithful(self) -> CameraSettings:
        """Return the same cameras set to show a scene's own light: one curve per channel, no style.

        What is left can be undone by an HDR merge, as far as clipping, glare and noise leave
        anything to undo; nobody could tell a missed exposure of the reference from another scene.
        """
        return replace(
            self,
            exposure_stops=min(self.exposure_stops, 0.05),
            vignetting_share=0.0,
            local_share=0.0,
            style_share=0.0,
            tone_shares=(1.0, 0.0, 0.0),
            highlight_shares=(0.7, 0.0, 0.3),
        )

    @classmethod
    def of_kind(cls, kind: str, **changes: object) -> CameraSettings:
        """Settings of "plain" or "real" cameras, some of them changed."""
        if kind not in CAMERA_KINDS:
            raise unknown_name("camera", kind, CAMERA_KINDS)
        return cls.plain(**changes) if kind == "plain" else cls(**changes)  # type: ignore[arg-type]


def check_range(name: str, value: tuple[float, float], at_least: float = -math.inf) -> None:
    """Raise OptionError unless a setting is an ordered pair of finite numbers."""
    ordered = len(value) == 2 and at_least <= value[0] <= value[1] < math.inf
    if not ordered:
        raise OptionError(f"{name}: expected (low, high) from {at_least:g} up, found {value}")


def check_share(name: str, value: float) -> None:
    """Raise OptionError unless a setting is a share, 0..1."""
    if not 0 <= value <= 1:
        raise OptionError(f"{name}: expected a share from 0 to 1, found {value}")


REAL_CAMERAS = CameraSettings()
