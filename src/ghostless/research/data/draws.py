"""What a simulated bracket is like, and how its numbers are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...errors import OptionError
from .camera import Cameras
from .camera import log_uniform as _log_uniform
from .camera import uniform as _uniform
from .camera_settings import CameraSettings, Range, check_range, check_share

MIN_LIGHT = 1e-9


@dataclass(frozen=True, kw_only=True)
class SimulationSettings:
    """What brackets are like. A pair is a range that each bracket draws from anew.

    size: (height, width) of the frames in pixels.
    frames: how many, drawn once per batch. gap_stops: between neighbours in exposure.
    span_stops: from the darkest to the brightest at most; gaps shrink to fit, not below
        the least gap asked for.
    reference: frame that keeps still; None for the middle one, the darker of two.
    key: brightness, in the middle of the exposures, of the view's mean (of log light), 1 = clip.
    scale: pixels of the picture per pixel of the frame; 1 and more is sharp. Less is taken where
        the picture is too small for the view.
    turn_degrees: how far views are tilted. flips: whether they may be mirrored.
    static: whether nothing moves, neither camera nor objects.
    shake_pixels, shake_degrees, shake_perspective_pixels: each frame against the reference: shift
        in x and y, turn, and what perspective moves the borders. shake_affine_pixels: what each of
        stretch, squeeze and both shears moves them.
    objects: how many. object_share: their diameter against the frame's shorter side.
    object_travel: how far they go from one frame to the next, against the shorter side,
        log-uniform; some leave the frame. object_turn_degrees: from one frame to the next.
    still_share: share of the objects that stay where they are but for parallax, nearer than the
        background: they shift by up to `parallax` times the camera's shift.
    moving_share: share of the brackets in which anything but the camera moves.
    edge_pixels: width of their soft edges, log-uniform.
    object_stops: how much brighter or darker than the view they are.
    blur_pixels: how far shake smears the brightest frame at most; darker frames by less, as their
        exposures are shorter. shutter_share: the brightest frame's exposure at most, against the
        time between frames; it smears what moves.
    defocus_share: share of the frames that are out of focus, by a Gaussian of up to
        `defocus_pixels`.
    samples: moments and places within a pixel that are averaged; a square number.
    cast_stops: colour cast of the light left by white balance, red and blue against green.
    ghosts, flow: whether ghost masks and flow are wanted; they take time.
    still_frames: whether the frames are wanted, too, as they would be had nothing moved but the
        camera; they take as long again.
    """

    size: tuple[int, int] = (256, 256)
    frames: tuple[int, int] = (2, 7)
    gap_stops: Range = (1.0, 6.0)
    span_stops: float = 14.0
    reference: int | None = None
    key: Range = (0.06, 0.35)
    scale: Range = (1.0, 1.6)
    turn_degrees: float = 12.0
    flips: bool = True
    static: bool = False
    shake_pixels: float = 6.0
    shake_degrees: float = 0.5
    shake_perspective_pixels: float = 1.0
    shake_affine_pixels: float = 0.0
    objects: tuple[int, int] = (0, 4)
    object_share: Range = (0.08, 0.45)
    object_travel: Range = (0.01, 0.3)
    object_turn_degrees: float = 8.0
    still_share: float = 0.3
    moving_share: float = 1.0
    parallax: float = 0.5
    edge_pixels: Range = (0.4, 3.0)
    object_stops: Range = (-2.5, 2.5)
    blur_pixels: float = 2.0
    shutter_share: float = 0.05
    defocus_share: float = 0.0
    defocus_pixels: float = 2.0
    samples: int = 4
    cast_stops: float = 0.15
    ghosts: bool = True
    flow: bool = False
    still_frames: bool = False
    camera: CameraSettings = field(default_factory=CameraSettings)

    def __post_init__(self) -> None:
        if min(self.size) < 16:
            raise OptionError(f"size: expected at least 16 x 16 pixels, found {self.size}")
        if not 1 <= self.frames[0] <= self.frames[1] <= 20:
            raise OptionError(f"frames: expected (low, high) from 1 to 20, found {self.frames}")
        if self.reference is not None and not 0 <= self.reference < self.frames[0]:
            raise OptionError(
                f"reference: expected 0 to {self.frames[0] - 1}, found {self.reference}"
            )
        if not 0 <= self.objects[0] <= self.objects[1] <= 32:
            raise OptionError(f"objects: expected (low, high) from 0 to 32, found {self.objects}")
        if math.isqrt(max(self.samples, 0)) ** 2 != self.samples or self.samples < 1:
            raise OptionError(f"samples: expected a square number, found {self.samples}")
        for name in ("key", "scale", "object_share", "object_travel", "edge_pixels"):
            check_range(name, getattr(self, name), at_least=1e-6)
        check_range("gap_stops", self.gap_stops, at_least=0.01)
        check_range("object_stops", self.object_stops)
        for name in ("still_share", "moving_share", "parallax", "shutter_share", "defocus_share"):
            check_share(name, getattr(self, name))


@dataclass(frozen=True)
class SimulatedBatch:
    """Brackets and their answers, B brackets of N frames, dark to bright; all on one device.

    frames: (B, N, 3, H, W) display values, 0..1, as files would hold them.
    stops: (B, N) exposure in stops, 0 in the middle of the bracket.
    radiance: (B, 3, H, W) clean linear light of the reference; 1.0 = where the reference clips.
    homographies: (B, N, 3, 3) from pixel centres (x, y, 1) of the reference to the frame's.
    ghosts: (B, N, H, W) 0..1 on the reference's pixels: how far the frame, brought onto the
        reference by its homography, shows another thing there; 0 for the reference.
        None where not wanted.
    reference: index of the reference frame.
    flow: (B, N, 2, H, W) where each pixel of the reference goes in each frame, (dx, dy) with camera
        and objects, or None.
    cameras: response, noise and files of each bracket.
    hidden: (B, N, H, W) of rendered scenes: 1 where what the reference shows cannot be seen in the
        frame; else None.
    still_frames: (B, N, 3, H, W) the frames, noise and all, as they would be had everything but the
        camera stood still where the reference shows it; None where not wanted.
    """

    frames: Tensor
    stops: Tensor
    radiance: Tensor
    homographies: Tensor
    ghosts: Tensor | None
    reference: int
    flow: Tensor | None
    cameras: Cameras
    hidden: Tensor | None = None
    still_frames: Tensor | None = None


def draw_integer(limits: tuple[int, int], generator: torch.Generator) -> int:
    """One random integer from low to high, both included."""
    low, high = limits
    draw = torch.randint(low, high + 1, (1,), generator=generator, device=generator.device)
    return int(draw.item())


def draw_stops(
    settings: SimulationSettings, batch: int, count: int, generator: torch.Generator
) -> Tensor:
    """Exposures (B, N) in stops, dark to bright, 0 in the middle."""
    device = generator.device
    gaps = _uniform((batch, 1), settings.gap_stops, generator, device)
    if count > 1:
        widest = settings.span_stops / (count - 1)
        gaps = gaps.clamp(max=max(widest, settings.gap_stops[0]))
    places = torch.arange(count, device=device) - (count - 1) / 2
    stops: Tensor = gaps * places
    return stops


def draw_smear(settings: SimulationSettings, stops: Tensor, generator: torch.Generator) -> Tensor:
    """Smear by shake and exposure time of each frame, (B, N, 3): x, y in pixels, time."""
    if settings.static:
        return torch.zeros(*stops.shape, 3, device=stops.device)
    shape = (stops.shape[0], stops.shape[1])
    angle = _uniform(shape, (0, 2 * math.pi), generator, stops.device)
    length = _uniform(shape, (0, settings.blur_pixels), generator, stops.device)
    time = _uniform((shape[0], 1), (0, settings.shutter_share), generator, stops.device)
    shorter = (stops - stops[:, -1:]).exp2()
    return torch.stack(
        [angle.cos() * length * shorter, angle.sin() * length * shorter, time * shorter], dim=2
    )


def draw_defocus(
    settings: SimulationSettings, batch: int, count: int, generator: torch.Generator
) -> Tensor:
    """Standard deviation (B, N) of each frame's defocus in pixels, 0 where it is sharp."""
    if settings.defocus_share == 0:
        return torch.zeros(batch, count, device=generator.device)
    sizes = _uniform((2, batch, count), (0, 1), generator, generator.device)
    return settings.defocus_pixels * sizes[0] * (sizes[1] < settings.defocus_share)


def draw_brightness(
    settings: SimulationSettings, light: Tensor, generator: torch.Generator
) -> Tensor:
    """Factors (B, 3) that bring the mean of log light (B, 3, H, W) to a key, with a colour cast."""
    batch = light.shape[0]
    mean = light.clamp(min=MIN_LIGHT).log().mean(dim=(1, 2, 3)).exp()
    key = _log_uniform((batch,), settings.key, generator, light.device)
    limits = (-settings.cast_stops, settings.cast_stops)
    cast = _uniform((batch, 3), limits, generator, light.device)
    cast[:, 1] = 0
    return (key / mean).view(-1, 1) * cast.exp2()


def samples_of(settings: SimulationSettings) -> list[tuple[float, float, float]]:
    """Places within a pixel, x and y from its centre, and moments, -0.5..0.5.

    Moments are spread evenly over places, so that few samples make an even smear.
    """
    steps = math.isqrt(settings.samples)
    samples = []
    for i in range(settings.samples):
        column, row = i % steps, i // steps
        moment = column * steps + (row + column) % steps
        samples.append(
            (
                (column + 0.5) / steps - 0.5,
                (row + 0.5) / steps - 0.5,
                (moment + 0.5) / settings.samples - 0.5,
            )
        )
    return samples
