"""Rendered scenes as training data: brackets with true parallax, exact flow and exact ghosts.

`ghostless render` wrote each moment of a scene with its depth, what is seen at every pixel, and
where the camera and all things were. Here exposures are spread over the moments, and a camera
photographs them; the answers follow from geometry alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import InputError, OptionError
from .camera import CameraModel
from .draws import (
    SimulatedBatch,
    SimulationSettings,
    draw_brightness,
    draw_integer,
    draw_smear,
    draw_stops,
    samples_of,
)
from .rendered_files import RenderedScene
from .splits import Split

# A thing that moved less than this against what stands still is no ghost.
_GHOST_PIXELS = 0.5
# What is seen lies behind what hides it by at least this share of its depth.
_HIDDEN_SHARE = 0.02
_HIDDEN_NEARNESS = 1e-4


@dataclass(frozen=True)
class RenderedScenes:
    """S scenes of one size on a device; shapes as in RenderedScene, with S in front.

    stops: (S, M, 3, H, W) float16, log2 radiance. thing: 255 where there is none, as is the last
    of `poses`, which stands still.
    """

    names: tuple[str, ...]
    stops: Tensor
    nearness: Tensor
    thing: Tensor
    intrinsics: Tensor
    cameras: Tensor
    poses: Tensor

    def __len__(self) -> int:
        return len(self.names)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        return int(self.stops.shape[-2]), int(self.stops.shape[-1])

    def to(self, device: torch.device | str) -> RenderedScenes:
        """Return the same scenes on another device."""
        tensors = [field.name for field in fields(self) if field.name != "names"]
        return RenderedScenes(
            self.names, **{name: getattr(self, name).to(device) for name in tensors}
        )


def load_rendered(scenes: Sequence[RenderedScene], *, split: Split | None = None) -> RenderedScenes:
    """Lay out scenes, of a split or all, on the CPU; raises InputError if their sizes differ."""
    chosen = [scene for scene in scenes if split in (None, scene.split)]
    sizes = {scene.radiance.shape for scene in chosen}
    if len(sizes) != 1:
        raise InputError(
            "expected rendered scenes of one size and number of moments, found "
            f"{', '.join(str(size[:3]) for size in sorted(sizes)) or 'none'}"
        )
    most = max(len(scene.poses) for scene in chosen)
    count = sizes.pop()[0]
    poses = np.broadcast_to(np.eye(4), (len(chosen), most + 1, count, 4, 4)).copy()
    things = []
    for number, scene in enumerate(chosen):
        poses[number, : len(scene.poses)] = scene.poses
        things.append(np.where(scene.thing < len(scene.poses), scene.thing, most))
    light = np.stack([scene.radiance for scene in chosen])
    stops = np.log2(np.maximum(light, 2.0**-14)).astype(np.float16)
    return RenderedScenes(
        tuple(scene.name for scene in chosen),
        torch.from_numpy(np.ascontiguousarray(stops.transpose(0, 1, 4, 2, 3))),
        torch.from_numpy(np.stack([scene.nearness for scene in chosen])),
        torch.from_numpy(np.stack(things).astype(np.uint8)),
        torch.from_numpy(np.stack([scene.intrinsics for scene in chosen])).float(),
        torch.from_numpy(np.stack([scene.cameras for scene in chosen])).float(),
        torch.from_numpy(poses).float(),
    )


@dataclass(frozen=True)
class _Draw:
    """Scenes and moments of a batch: `rows` picks what belongs to (B, N) out of (S, M, ...).

    patches: (B, 3, 3) from the pixels of the scenes to those of the frames.
    """

    index: Tensor
    moments: Tensor
    reference: int
    patches: Tensor

    def rows(self, values: Tensor) -> Tensor:
        return values[self.index[:, None], self.moments]


class RenderedSimulator:
    """An endless stream of brackets from rendered scenes on a device.

    settings: of them, size, frames, gap_stops, span_stops, reference, key, flips, blur_pixels,
        samples, cast_stops, ghosts, flow and camera count; what moves and shakes is in the scenes.
    registered: whether frames are brought onto the reference by the homography of the plane at
        the middle depth, as by an aligner; what parallax is left remains.
    """

    def __init__(
        self, settings: SimulationSettings, scenes: RenderedScenes, *, registered: bool = False
    ) -> None:
        height, width = scenes.size
        if settings.size[0] > height or settings.size[1] > width:
            raise OptionError(
                f"size: expected at most the {width} x {height} pixels of the rendered scenes, "
                f"found {settings.size[1]} x {settings.size[0]}"
            )
        most = int(scenes.stops.shape[1])
        if settings.frames[0] > most:
            raise OptionError(
                f"frames: expected at most the {most} moments of the rendered scenes, "
                f"found {settings.frames[0]}"
            )
        self.settings = settings
        self.scenes = scenes
        self.registered = registered
        self.device = scenes.stops.device
        self.camera = CameraModel(settings.camera, self.device)
        self._most = most

    @torch.no_grad()
    def sample(
        self, batch: int, generator: torch.Generator, *, view: int | None = None
    ) -> SimulatedBatch:
        """Simulate a batch of brackets, as BracketSimulator does.

        homographies: those of the plane at the reference's middle depth; identities if registered.
        ghosts: where a thing that moved is seen, before or after. flow: of every pixel, exact.
        hidden: (B, N, H, W) 1 where what the reference shows is behind something in the frame, or
        beyond its borders.
        """
        s = self.settings
        count = draw_integer((s.frames[0], min(s.frames[1], self._most)), generator)
        reference = (count - 1) // 2 if s.reference is None else s.reference
        draw = self._draw(batch, count, reference, generator, view)
        stops = draw_stops(s, batch, count, generator)
        smear = draw_smear(s, stops, generator)
        planes = self._planes(draw)
        applied = planes if self.registered else torch.eye(3, device=self.device).expand_as(planes)

        light = self._light(draw, applied, smear)
        light *= draw_brightness(s, light[:, reference], generator).view(-1, 1, 3, 1, 1)
        light *= stops.exp2().view(batch, count, 1, 1, 1)
        cameras = self.camera.draw(batch, generator)
        flow, ghosts, hidden = self._answers(draw, applied)
        return SimulatedBatch(
            frames=self.camera.photograph(light, cameras, generator),
            stops=stops,
            radiance=light[:, reference].clone(),
            homographies=torch.linalg.inv(applied) @ planes,
            ghosts=ghosts if s.ghosts else None,
            reference=reference,
            flow=flow if s.flow else None,
            cameras=cameras,
            hidden=hidden,
        )

    def _draw(
        self,
        batch: int,
        count: int,
        reference: int,
        generator: torch.Generator,
        view: int | None,
    ) -> _Draw:
        """Scenes, a random order of moments in each, and where patches are cut, some mirrored."""
        device, s = self.device, self.settings
        index = torch.randint(len(self.scenes), (batch,), generator=generator, device=device)
        if view is not None:
            index.fill_(view)
        order = torch.rand(batch, self._most, generator=generator, device=device).argsort(dim=1)
        height, width = self.scenes.size
        room = torch.tensor([width - s.size[1], height - s.size[0]], device=device)
        place = torch.rand(batch, 2, generator=generator, device=device)
        corner = (place * (room + 1)).floor().minimum(room)
        patches = torch.eye(3, device=device).repeat(batch, 1, 1)
        patches[:, :2, 2] = -corner
        mirrored = torch.rand(batch, generator=generator, device=device) < 0.5
        if s.flips:
            patches[:, 0, 0] = 1 - 2 * mirrored.float()
            patches[:, 0, 2] += (s.size[1] - 1 + 2 * corner[:, 0]) * mirrored
        return _Draw(index, order[:, :count], reference, patches)

    # Light ----------------------------------------------------------------------------------------

    def _light(self, draw: _Draw, applied: Tensor, smear: Tensor) -> Tensor:
        """Light (B, N, 3, h, w), smeared by shake and, if asked for, brought onto the reference."""
        batch, count = draw.moments.shape
        source = draw.rows(self.scenes.stops).float().exp2_().flatten(0, 1)
        to_scene = torch.linalg.inv(draw.patches)[:, None] @ applied
        shaken = bool((smear[..., :2] != 0).any())
        samples = samples_of(self.settings) if shaken else [(0.0, 0.0, 0.0)]
        total = source.new_zeros(len(source), 3, *self.settings.size)
        for _, _, moment in samples:
            # The pictures are averages over their pixels already: only the smear is sampled.
            shift = torch.eye(3, device=self.device).repeat(batch, count, 1, 1)
            shift[..., :2, 2] = moment * smear[..., :2]
            matrix = (to_scene @ shift).flatten(0, 1)
            total += _look_up(source, _through(matrix, self.settings.size), "bilinear")
        return total.div_(len(samples)).view(batch, count, 3, *self.settings.size)

    # Answers --------------------------------------------------------------------------------------

    def _relative(self, draw: _Draw, moved: bool) -> Tensor:
        """From the reference's camera space to each frame's (B, N, K, 4, 4) for every thing.

        moved: with the things' own motion; else as if all stood still (K is 1).
        """
        cameras = draw.rows(self.scenes.cameras)
        before = cameras[:, draw.reference, None, None]
        after: Tensor = torch.linalg.inv(cameras)[:, :, None]
        if not moved:
            still: Tensor = after @ before
            return still
        poses = self.scenes.poses[draw.index[:, None], :, draw.moments]
        way = poses @ torch.linalg.inv(poses[:, draw.reference : draw.reference + 1])
        moving: Tensor = after @ way @ before
        return moving

    def _planes(self, draw: _Draw) -> Tensor:
        """Homographies (B, N, 3, 3), between frames, of the plane at the middle depth."""
        near = draw.rows(self.scenes.nearness)[:, draw.reference]
        middle = near.flatten(1).median(dim=1).values.view(-1, 1, 1)
        matrix = self._relative(draw, moved=False)[:, :, 0]
        plane = matrix[..., :3, :3].clone()
        plane[..., :, 2] += matrix[..., :3, 3] * middle
        inner = draw.patches[:, None] @ draw.rows(self.scenes.intrinsics)
        homographies: Tensor = inner @ plane @ torch.linalg.inv(inner[:, draw.reference, None])
        return homographies / homographies[..., 2:, 2:]

    def _answers(self, draw: _Draw, applied: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Flow (B, N, 2, h, w), ghosts and hidden (B, N, h, w)."""
        size = self.settings.size
        patches = torch.linalg.inv(draw.patches)
        still = _through(torch.eye(3, device=self.device)[None], size)
        pixels = _through(patches, size)
        near, thing = (
            _look_up(plane[:, None].float(), pixels, "nearest")[:, 0]
            for plane in (
                draw.rows(self.scenes.nearness)[:, draw.reference],
                draw.rows(self.scenes.thing)[:, draw.reference],
            )
        )
        target, depth = self._project(draw, pixels, near, thing.long(), moved=True)
        standing, _ = self._project(draw, pixels, near, thing.long(), moved=False)
        batch, count = draw.moments.shape
        hidden = self._behind(draw, target, depth, thing)
        height, width = self.scenes.size
        beyond = (target < -0.5).any(-1)
        beyond |= (target[..., 0] > width - 0.5) | (target[..., 1] > height - 0.5) | (depth < 0)
        hidden |= beyond
        hidden[:, draw.reference] = False

        went = (target - standing).norm(dim=-1) > _GHOST_PIXELS
        arrived = _look_up(
            self._movers(draw).flatten(0, 1)[:, None], standing.flatten(0, 1), "nearest"
        ).view(batch, count, *self.settings.size)
        ghosts = torch.maximum(went.float(), arrived)
        ghosts[:, draw.reference] = 0
        # From pixels of the scene's picture to those of the frame.
        back = torch.linalg.inv(applied) @ draw.patches[:, None]
        flow = _transformed(back, target) - still
        return flow.permute(0, 1, 4, 2, 3), ghosts, hidden.float()

    def _behind(self, draw: _Draw, target: Tensor, depth: Tensor, thing: Tensor) -> Tensor:
        """Where something nearer is seen at `target`: another thing, or more of the same.

        Of the same thing all pixels around must be nearer, for the depth of a plane seen at a
        slant changes much within one.
        """
        shape = draw.moments.shape
        near = draw.rows(self.scenes.nearness).flatten(0, 1)[:, None]
        others = draw.rows(self.scenes.thing).flatten(0, 1)[:, None].float()
        places = target.flatten(0, 1)
        seen, least, other = (
            _look_up(plane, places, "nearest").view(*shape, *self.settings.size)
            for plane in (near, -F.max_pool2d(-near, 3, 1, 1), others)
        )
        bound = depth * (1 + _HIDDEN_SHARE) + _HIDDEN_NEARNESS
        differs = other.long() != thing[:, None]
        return torch.where(differs, seen, least) > bound

    def _project(
        self, draw: _Draw, pixels: Tensor, near: Tensor, thing: Tensor, *, moved: bool
    ) -> tuple[Tensor, Tensor]:
        """Where pixels of the reference's picture go in each frame's, and 1 / their depth there.

        pixels: (B, h, w, 2). Returns (B, N, h, w, 2) and (B, N, h, w).
        """
        intrinsics = draw.rows(self.scenes.intrinsics)
        ones = torch.ones_like(pixels[..., :1])
        inverse = torch.linalg.inv(intrinsics[:, draw.reference])
        rays = torch.cat([pixels, ones], -1) @ inverse.transpose(1, 2)[:, None]
        points = torch.cat([rays, near[..., None]], -1)
        matrices = self._relative(draw, moved)
        batch, count = draw.moments.shape
        which = thing if moved else torch.zeros_like(thing)
        rows = torch.arange(batch, device=self.device).view(-1, 1, 1)
        placed = []
        for frame in range(count):
            own = matrices[:, frame][rows, which]
            placed.append((own @ points[..., None])[..., 0])
        there = torch.stack(placed, dim=1)
        z = there[..., 2:3]
        z = torch.where(z.abs() < 1e-6, torch.full_like(z, 1e-6), z)
        projected = (there[..., :3] / z) @ intrinsics.transpose(2, 3)[:, :, None]
        return projected[..., :2], near[:, None] / z[..., 0]

    def _movers(self, draw: _Draw) -> Tensor:
        """1 where a frame's picture (B, N, H, W) shows a thing that stands elsewhere by then."""
        thing = draw.rows(self.scenes.thing).long()
        poses = self.scenes.poses[draw.index[:, None], :, draw.moments]
        change = (poses - poses[:, draw.reference : draw.reference + 1]).abs().amax(dim=(-1, -2))
        rows = torch.arange(len(thing), device=self.device).view(-1, 1, 1, 1)
        frames = torch.arange(thing.shape[1], device=self.device).view(1, -1, 1, 1)
        return (change[rows, frames, thing] > 1e-5).float()


def _through(matrix: Tensor, size: tuple[int, int]) -> Tensor:
    """Where matrices (B, 3, 3) take the pixels of a frame: (B, h, w, 2)."""
    device = matrix.device
    y, x = torch.meshgrid(
        torch.arange(size[0], dtype=torch.float32, device=device),
        torch.arange(size[1], dtype=torch.float32, device=device),
        indexing="ij",
    )
    return _transformed(matrix, torch.stack([x, y], dim=-1)[None])


def _transformed(matrix: Tensor, points: Tensor) -> Tensor:
    """Points (..., h, w, 2) taken by matrices (..., 3, 3)."""
    moved = torch.cat([points, torch.ones_like(points[..., :1])], -1)
    moved = moved @ matrix.transpose(-1, -2).unsqueeze(-3)
    return moved[..., :2] / moved[..., 2:]


def _look_up(source: Tensor, places: Tensor, mode: str) -> Tensor:
    """Values (B, C, h, w) of pictures (B, C, H, W) at places (B, h, w, 2); borders go on."""
    height, width = source.shape[-2:]
    scale = torch.tensor([2 / width, 2 / height], device=source.device)
    grid = (places + 0.5) * scale - 1
    return F.grid_sample(source, grid, mode, "border", align_corners=False)
