"""Brackets with known answers: a camera that shakes photographs HDR scenes in which things move.

Everything runs in torch on the device that the pictures are on, a batch at a time. A view is cut
from a picture at its own sharpness; objects cut from surfaces and other pictures lie over it; each
frame is drawn through its own homography at its own moment, so that the truth needs no estimate:
the reference's clean light, the homographies, the motion of everything and the ghosts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import InputError
from . import darkroom
from .camera import CameraModel
from .camera import log_uniform as _log_uniform
from .camera import uniform as _uniform
from .draws import (
    MIN_LIGHT,
    SimulatedBatch,
    SimulationSettings,
    draw_brightness,
    draw_defocus,
    draw_integer,
    draw_smear,
    draw_stops,
    samples_of,
)
from .panoramas import Panoramas

# An object that moved less than this against the background is no ghost.
_GHOST_PIXELS = 0.5
# Places tried for a view; the one with most contrast is taken.
_PLACES_TRIED = 3
_PROBE = 24


@dataclass(frozen=True)
class _Objects:
    """K objects per bracket, farthest first.

    sprites: (B, K, 4, S, S) light premultiplied by cover, and cover.
    poses: (B, N, K, 3, 3) from the reference's pixels to the sprite's, at each frame's moment.
    velocities: (B, K, 2) pixels of the reference per frame.
    moved: (B, N, K) 1 where a frame shows it elsewhere than the reference does.
    """

    sprites: Tensor
    poses: Tensor
    velocities: Tensor
    moved: Tensor

    def stopped(self, reference: int) -> _Objects:
        """The same objects, at rest where the reference shows them."""
        return replace(
            self,
            poses=self.poses[:, reference : reference + 1].expand_as(self.poses),
            velocities=torch.zeros_like(self.velocities),
            moved=torch.zeros_like(self.moved),
        )


@dataclass(frozen=True)
class _Views:
    """Windows of pictures (B, 3, h, w) of light, and (B, 3, 3) from reference to window pixels."""

    light: Tensor
    matrices: Tensor


class BracketSimulator:
    """An endless stream of brackets from pictures on a device.

    panoramas: HDR pictures to take views of, and surfaces (optional) to cut objects from.
    """

    def __init__(self, settings: SimulationSettings, panoramas: Panoramas) -> None:
        self.settings = settings
        self.views = panoramas.select(kinds=("panorama", "picture"))
        self.materials = panoramas
        self.device = panoramas.device
        if not self.views.entries:
            raise InputError("expected HDR pictures to simulate from, found only surfaces")
        # Large panoramas offer more views: drawn by the root of their pixels.
        areas = (self.views.widths * self.views.heights).float()
        self._weights = areas.sqrt()
        self.camera = CameraModel(settings.camera, self.device)

    @torch.no_grad()
    def sample(
        self, batch: int, generator: torch.Generator, *, view: int | None = None
    ) -> SimulatedBatch:
        """Simulate a batch of brackets.

        generator: on the simulator's device; the same state gives the same brackets.
        view: index of the only picture to take views of; None for all.
        """
        s = self.settings
        count = draw_integer(s.frames, generator)
        reference = (count - 1) // 2 if s.reference is None else s.reference
        stops = draw_stops(s, batch, count, generator)
        homographies = self._homographies(batch, count, reference, generator)
        views = self._views(batch, generator, view)
        objects = self._objects(batch, homographies, reference, views, generator)
        smear = draw_smear(s, stops, generator)
        defocus = draw_defocus(s, batch, count, generator)

        light = darkroom.defocus(self._light(views, objects, homographies, smear), defocus)
        brightness = draw_brightness(s, light[:, reference], generator).view(-1, 1, 3, 1, 1)
        gains = brightness * stops.exp2().view(batch, count, 1, 1, 1)
        light *= gains
        cameras = self.camera.draw(batch, generator)
        still_frames = None
        if s.still_frames:
            stopped = None if objects is None else objects.stopped(reference)
            still = self._light(views, stopped, homographies, smear)
            still = darkroom.defocus(still, defocus) * gains
            # The same noise in both: what differs is what moved.
            before = generator.get_state()
            still_frames = self.camera.photograph(still, cameras, generator)
            generator.set_state(before)
        return SimulatedBatch(
            frames=self.camera.photograph(light, cameras, generator),
            stops=stops,
            radiance=light[:, reference].clone(),
            homographies=homographies,
            ghosts=self._ghosts(objects, reference, smear) if s.ghosts else None,
            reference=reference,
            flow=self._flow(objects, homographies, reference, smear) if s.flow else None,
            cameras=cameras,
            still_frames=still_frames,
        )

    # What is drawn for each bracket ---------------------------------------------------------------

    def _homographies(
        self, batch: int, count: int, reference: int, generator: torch.Generator
    ) -> Tensor:
        """Random shake (B, N, 3, 3), float32; the reference's is the identity."""
        s, device = self.settings, self.device
        height, width = s.size
        shape = (batch, count)
        free = torch.ones(count, device=device)
        free[reference] = 0
        if s.static:
            free.zero_()
        signed = [_uniform(shape, (-1, 1), generator, device) * free for _ in range(5)]
        angle = signed[0] * math.radians(s.shake_degrees)
        shake = torch.eye(3, device=device).repeat(batch, count, 1, 1)
        shake[..., 0, 0] = shake[..., 1, 1] = angle.cos()
        shake[..., 0, 1], shake[..., 1, 0] = -angle.sin(), angle.sin()
        shake[..., 0, 2] = signed[1] * s.shake_pixels
        shake[..., 1, 2] = signed[2] * s.shake_pixels
        # Perspective moves a border point, half a side from the centre, by the pixels asked for.
        shake[..., 2, 0] = signed[3] * s.shake_perspective_pixels / (width / 2) ** 2
        shake[..., 2, 1] = signed[4] * s.shake_perspective_pixels / (height / 2) ** 2
        if s.shake_affine_pixels:
            drawn = _uniform((*shape, 2, 2), (-1, 1), generator, device) * free.view(-1, 1, 1)
            shake[..., :2, :2] += drawn * (s.shake_affine_pixels / (max(s.size) / 2))
        centre = _shift((width - 1) / 2, (height - 1) / 2, device)
        around_centre: Tensor = centre @ shake @ torch.linalg.inv(centre)
        return around_centre

    # Views ----------------------------------------------------------------------------------------

    def _views(self, batch: int, generator: torch.Generator, only: int | None) -> _Views:
        """Cut windows that hold the view of every frame."""
        s, device = self.settings, self.device
        height, width = s.size
        if only is None:
            weights = self._weights.expand(batch, -1)
            index = torch.multinomial(weights, 1, generator=generator)[:, 0]
        else:
            index = torch.full((batch,), only, device=device)
        angle = _uniform((batch,), (-1, 1), generator, device) * math.radians(s.turn_degrees)
        scale = _log_uniform((batch,), s.scale, generator, device)
        reach = self._reach()
        # Half the window's sides in pixels of the frame, at the largest turn.
        turn = math.radians(s.turn_degrees)
        half_x = (width * math.cos(turn) + height * math.sin(turn)) / 2 + reach
        half_y = (width * math.sin(turn) + height * math.cos(turn)) / 2 + reach
        room = torch.minimum(
            self.views.heights[index] / (2 * half_y), self.views.widths[index] / (2 * half_x)
        )
        scale = torch.minimum(scale, room)
        window = (
            2 * math.ceil(half_y * s.scale[1]) + 2,
            2 * math.ceil(half_x * s.scale[1]) + 2,
        )
        centre = self._places(index, half_x * scale, half_y * scale, generator)
        corner = (centre - torch.tensor(window[::-1], device=device) / 2).floor()
        light = self.views.windows(index, corner[:, 1].long(), corner[:, 0].long(), window)
        mirrored = torch.ones(batch, device=device)
        if s.flips:
            mirrored -= 2 * (torch.rand(batch, generator=generator, device=device) < 0.5).float()
        place = centre - corner
        matrix = torch.zeros(batch, 3, 3, device=device)
        matrix[:, 0, 0], matrix[:, 0, 1] = angle.cos() * scale * mirrored, -angle.sin() * scale
        matrix[:, 1, 0], matrix[:, 1, 1] = angle.sin() * scale * mirrored, angle.cos() * scale
        matrix[:, :2, 2], matrix[:, 2, 2] = place, 1
        matrices = matrix @ _shift(-(width - 1) / 2, -(height - 1) / 2, device)
        return _Views(light, matrices)

    def _reach(self) -> float:
        """How many pixels beyond the reference's borders the other frames see."""
        s = self.settings
        if s.static:
            return 2.0
        turned = math.radians(s.shake_degrees) * math.hypot(*s.size) / 2
        bent = 2 * (s.shake_perspective_pixels + s.shake_affine_pixels)
        return s.shake_pixels + turned + bent + s.blur_pixels / 2 + 2

    def _places(
        self, index: Tensor, half_x: Tensor, half_y: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Centres (B, 2) of views, x and y: of a few tried the one with most contrast."""
        batch, device = len(index), self.device
        widths, heights = self.views.widths[index].float(), self.views.heights[index].float()
        wraps = self.views.wraps[index]
        best = torch.zeros(batch, 2, device=device)
        most = torch.full((batch,), -1.0, device=device)
        steps = torch.linspace(-1, 1, _PROBE, device=device)
        for _ in range(_PLACES_TRIED):
            random = torch.rand(batch, 2, generator=generator, device=device)
            inside = half_x + random[:, 0] * (widths - 2 * half_x).clamp(min=0)
            x = torch.where(wraps, random[:, 0] * widths, inside)
            y = half_y + random[:, 1] * (heights - 2 * half_y).clamp(min=0)
            rows = (y.view(-1, 1) + steps * half_y.view(-1, 1)).long()
            columns = (x.view(-1, 1) + steps * half_x.view(-1, 1)).long()
            probe = self.views.at(index, rows[:, :, None], columns[:, None, :])
            contrast = probe.clamp(min=MIN_LIGHT).log2().mean(dim=1).flatten(1).std(dim=1)
            better = contrast > most
            best = torch.where(better[:, None], torch.stack([x, y], dim=1), best)
            most = torch.where(better, contrast, most)
        return best

    # Objects --------------------------------------------------------------------------------------

    def _objects(
        self,
        batch: int,
        homographies: Tensor,
        reference: int,
        views: _Views,
        generator: torch.Generator,
    ) -> _Objects | None:
        s, device = self.settings, self.device
        most = s.objects[1]
        if most == 0:
            return None
        height, width = s.size
        shorter = min(s.size)
        shape = (batch, most)
        diameter = _log_uniform(shape, s.object_share, generator, device) * shorter
        side = math.ceil(shorter * s.object_share[1] * _ROOM) + 4
        sprites = self._sprites(diameter, side, views, generator)
        # Each bracket has its own number of objects: the others are invisible.
        low, high = s.objects
        number = torch.randint(low, high + 1, (batch, 1), generator=generator, device=device)
        sprites *= (torch.arange(most, device=device) < number).view(batch, most, 1, 1, 1)

        moving = self._moving(shape, generator)
        speed = _log_uniform(shape, s.object_travel, generator, device) * shorter * moving
        heading = _uniform(shape, (0, 2 * math.pi), generator, device)
        velocities = torch.stack([heading.cos() * speed, heading.sin() * speed], dim=2)
        place = torch.rand((batch, most, 2), generator=generator, device=device)
        place = place * torch.tensor([width, height], device=device)
        angle = _uniform(shape, (0, 2 * math.pi), generator, device)
        turn = _uniform(shape, (-1, 1), generator, device) * moving
        turn = turn * math.radians(s.object_turn_degrees)
        near = _uniform(shape, (0, s.parallax), generator, device) * (1 - moving)

        count = homographies.shape[1]
        time = torch.arange(count, device=device, dtype=torch.float32) - reference
        # In parallax, near things follow the shift of the camera more than the background does.
        shift = _apply(homographies, torch.tensor([width / 2, height / 2], device=device))
        shift = shift - torch.tensor([width / 2, height / 2], device=device)
        position = (
            place[:, None]
            + velocities[:, None] * time.view(1, -1, 1, 1)
            + near[:, None, :, None] * shift[:, :, None]
        )
        angles = angle[:, None] + turn[:, None] * time.view(1, -1, 1)
        poses = _poses(position, angles, side)
        way = (position - position[:, reference : reference + 1]).norm(dim=3)
        rim = (angles - angle[:, None]).abs() * diameter[:, None] / 2
        moved = ((way + rim) > _GHOST_PIXELS).float()
        return _Objects(sprites, poses, velocities, moved)

    def _moving(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Which objects (B, O) move: 1 or 0."""
        s, device = self.settings, self.device
        still = torch.rand(shape, generator=generator, device=device) < s.still_share
        if s.moving_share < 1:
            moves = torch.rand((shape[0], 1), generator=generator, device=device) < s.moving_share
            still |= ~moves
        return torch.zeros_like(still).float() if s.static else (~still).float()

    def _sprites(
        self, diameter: Tensor, side: int, views: _Views, generator: torch.Generator
    ) -> Tensor:
        """Textured shapes with soft edges (B, K, 4, side, side)."""
        s, device = self.settings, self.device
        batch, most = diameter.shape
        total = batch * most
        index = torch.randint(len(self.materials), (total,), generator=generator, device=device)
        random = torch.rand(2, total, generator=generator, device=device)
        top = (random[0] * (self.materials.heights[index] - side).clamp(min=1)).long()
        left = (random[1] * self.materials.widths[index]).long()
        light = self.materials.windows(index, top, left, (side, side))
        light = light.view(batch, most, 3, side, side)
        # As bright as the view, give or take; the sun in an object would be no object.
        mean = light.clamp(min=MIN_LIGHT).log().mean(dim=(2, 3, 4), keepdim=True).exp()
        light = (light / mean).clamp_(max=64.0)
        around = views.light.clamp(min=MIN_LIGHT).log().mean(dim=(1, 2, 3)).exp()
        brightness = _uniform((batch, most), s.object_stops, generator, device).exp2()
        light *= (brightness * around.view(-1, 1)).view(batch, most, 1, 1, 1)
        cover = self._covers(diameter, side, generator)[:, :, None]
        return torch.cat([light * cover, cover], dim=2)

    def _covers(self, diameter: Tensor, side: int, generator: torch.Generator) -> Tensor:
        """Covers (B, K, side, side) of wavy ellipses: 1 inside, 0 outside, soft between."""
        device = self.device
        shape = (*diameter.shape, 1, 1)
        axis = torch.arange(side, device=device) - (side - 1) / 2
        y, x = axis.view(-1, 1), axis.view(1, -1)
        stretch = _log_uniform(shape, (0.5, 1.0), generator, device)
        radius = torch.hypot(x.expand((*shape[:2], side, side)), y / stretch)
        bearing = torch.atan2(y, x)
        outline = torch.ones((*diameter.shape, side, side), device=device)
        for waves in range(2, 7):
            size = _uniform(shape, (0, 0.3 / waves), generator, device)
            phase = _uniform(shape, (0, 2 * math.pi), generator, device)
            outline += size * torch.cos(waves * bearing + phase)
        edge = _log_uniform(shape, self.settings.edge_pixels, generator, device)
        inside = diameter.view(shape) / 2 * outline - radius
        cover = (inside / edge + 0.5).clamp_(0, 1)
        # Nothing reaches the sprite's border.
        border = ((side - 1) / 2 - 1 - torch.maximum(x.abs(), y.abs())).clamp(0, 1)
        return cover * cover * (3 - 2 * cover) * border

    # Drawing --------------------------------------------------------------------------------------

    def _light(
        self, views: _Views, objects: _Objects | None, homographies: Tensor, smear: Tensor
    ) -> Tensor:
        """Light (B, N, 3, H, W) of all frames; drawn once where nothing moves."""
        count = homographies.shape[1]
        if self.settings.static:
            once = self._draw(views, objects, homographies[:, 0], 0, smear[:, 0])
            return once[:, None].repeat(1, count, 1, 1, 1)
        frames = [
            self._draw(views, objects, homographies[:, n], n, smear[:, n]) for n in range(count)
        ]
        return torch.stack(frames, dim=1)

    def _draw(
        self, views: _Views, objects: _Objects | None, homography: Tensor, n: int, smear: Tensor
    ) -> Tensor:
        """Light (B, 3, H, W) of frame n: the mean over its pixels and its exposure time."""
        s = self.settings
        to_reference = torch.linalg.inv(homography)
        total = views.light.new_zeros(len(homography), 3, *s.size)
        for place_x, place_y, moment in samples_of(self.settings):
            x, y = place_x + moment * smear[:, 0], place_y + moment * smear[:, 1]
            seen = to_reference @ _shifts(x, y)
            image = self._sample(views.light, views.matrices @ seen, "border")
            if objects is not None:
                late = objects.velocities * (moment * smear[:, 2]).view(-1, 1, 1)
                image = self._overlay(image, objects, n, seen, late)
            total += image
        return total.div_(s.samples)

    def _overlay(
        self, image: Tensor, objects: _Objects, n: int, seen: Tensor, late: Tensor
    ) -> Tensor:
        """Lay the objects of frame n over a picture, displaced by `late` (B, K, 2)."""
        for k in range(objects.sprites.shape[1]):
            earlier = _shifts(-late[:, k, 0], -late[:, k, 1])
            matrix = objects.poses[:, n, k] @ earlier @ seen
            sprite = self._sample(objects.sprites[:, k], matrix, "zeros")
            image.addcmul_(image, sprite[:, 3:], value=-1).add_(sprite[:, :3])
        return image

    def _sample(self, source: Tensor, matrix: Tensor, beyond: str) -> Tensor:
        """Bilinear samples of (B, C, h, w) at `matrix` times the frame's pixels: (B, C, H, W).

        Linear in light: no cubic kernel, whose rings round lamps would go below black.
        """
        height, width = source.shape[-2:]
        # grid_sample counts from -1 to 1 over the source, border to border.
        scale = torch.tensor([[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1]])
        scale = torch.cat([scale, torch.tensor([[0.0, 0.0, 1.0]])]).to(source.device)
        grid = self._grid_through(scale @ matrix)
        return F.grid_sample(source, grid, "bilinear", beyond, align_corners=False)

    def _grid_through(self, matrix: Tensor) -> Tensor:
        """Where (B, 3, 3) matrices take the frame's pixels: (B, H, W, 2), x and y."""
        height, width = self.settings.size
        x = torch.arange(width, dtype=torch.float32, device=self.device)
        y = torch.arange(height, dtype=torch.float32, device=self.device).view(-1, 1)
        # Sums of what depends on the column and on the row: a third of a product's time.
        columns = matrix[:, :, 0, None, None] * x
        rows = matrix[:, :, 1, None, None] * y + matrix[:, :, 2, None, None]
        share = (columns[:, 2] + rows[:, 2]).reciprocal_()
        grid = torch.empty(len(matrix), height, width, 2, device=self.device)
        for axis in range(2):
            torch.mul(columns[:, axis] + rows[:, axis], share, out=grid[..., axis])
        return grid

    # Answers --------------------------------------------------------------------------------------

    def _visible(self, objects: _Objects, n: int, smear: Tensor) -> Tensor:
        """How much of each object is seen (B, K, H, W) in frame n, as if nothing shook."""
        parts = [
            self._visible_at(objects, n, x, y, moment * smear[:, n, 2])
            for x, y, moment in samples_of(self.settings)
        ]
        return torch.stack(parts).mean(dim=0)

    def _visible_at(self, objects: _Objects, n: int, x: float, y: float, late: Tensor) -> Tensor:
        free: Tensor | None = None
        seen = []
        for k in reversed(range(objects.sprites.shape[1])):
            way = objects.velocities[:, k] * late[:, None]
            matrix = objects.poses[:, n, k] @ _shifts(x - way[:, 0], y - way[:, 1])
            cover = self._sample(objects.sprites[:, k, 3:], matrix, "zeros")[:, 0]
            seen.append(cover if free is None else cover * free)
            free = 1 - cover if free is None else free * (1 - cover)
        return torch.stack(seen[::-1], dim=1)

    def _ghosts(self, objects: _Objects | None, reference: int, smear: Tensor) -> Tensor:
        batch, count = smear.shape[:2]
        if objects is None or self.settings.static:
            return torch.zeros(batch, count, *self.settings.size, device=self.device)
        before = self._visible(objects, reference, smear)
        ghosts = []
        for n in range(count):
            after = before if n == reference else self._visible(objects, n, smear)
            moved = objects.moved[:, n, :, None, None]
            here = torch.maximum((before * moved).sum(dim=1), (after * moved).sum(dim=1))
            ghosts.append(here.clamp(0, 1))
        return torch.stack(ghosts, dim=1)

    def _flow(
        self, objects: _Objects | None, homographies: Tensor, reference: int, smear: Tensor
    ) -> Tensor:
        """Where every pixel of the reference goes in every frame, relative to itself."""
        still = self._grid_through(torch.eye(3, device=self.device)[None])
        flows = []
        visible = None if objects is None else self._visible(objects, reference, smear)
        for n in range(homographies.shape[1]):
            target = self._grid_through(homographies[:, n])
            if objects is not None and visible is not None:
                for k in range(visible.shape[1]):
                    way = torch.linalg.inv(objects.poses[:, n, k]) @ objects.poses[:, reference, k]
                    moved = self._grid_through(homographies[:, n] @ way)
                    target = torch.where((visible[:, k] > 0.5)[..., None], moved, target)
            flows.append((target - still).permute(0, 3, 1, 2))
        return torch.stack(flows, dim=1)


# Sprites have room for outlines that swing out by this much.
_ROOM = 1.35


def _shift(x: float, y: float, device: torch.device) -> Tensor:
    matrix = torch.eye(3, device=device)
    matrix[0, 2], matrix[1, 2] = x, y
    return matrix


def _shifts(x: Tensor, y: Tensor) -> Tensor:
    matrix = torch.eye(3, device=x.device).repeat(len(x), 1, 1)
    matrix[:, 0, 2], matrix[:, 1, 2] = x, y
    return matrix


def _poses(position: Tensor, angles: Tensor, side: int) -> Tensor:
    """Matrices (..., 3, 3) from pixels to those of sprites that lie at (..., 2), turned."""
    poses = torch.zeros(*angles.shape, 3, 3, device=angles.device)
    poses[..., 0, 0] = poses[..., 1, 1] = angles.cos()
    poses[..., 0, 1], poses[..., 1, 0] = angles.sin(), -angles.sin()
    poses[..., 2, 2] = 1
    rotated = (poses[..., :2, :2] @ position[..., None])[..., 0]
    poses[..., :2, 2] = (side - 1) / 2 - rotated
    return poses


def _apply(matrices: Tensor, point: Tensor) -> Tensor:
    """Where matrices (..., 3, 3) take one point (2,): (..., 2)."""
    homogeneous = torch.cat([point, point.new_ones(1)])
    moved = matrices @ homogeneous
    return moved[..., :2] / moved[..., 2:]
