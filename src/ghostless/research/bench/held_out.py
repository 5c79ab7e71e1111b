"""Held-out scenes of a training's data, as stacks to fuse and what the result is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...bracket import Frame, Stack

if TYPE_CHECKING:
    from ..train.samples import Batch, TrainingData


@dataclass(frozen=True)
class Scene:
    """Frames to fuse and what the result is compared with."""

    name: str
    stack: Stack
    truth: NDArray[np.uint8] | None = None
    radiance: NDArray[np.float32] | None = None


def still_pairs(data: TrainingData) -> list[Scene]:
    return [_pair_scene(number, batch) for number, batch in enumerate(data.held_out_pairs())]


def moved_pairs(data: TrainingData) -> list[Scene]:
    """The middle 256 pixels of each pair, the brighter one moved as in the training."""
    import torch

    from ...nn.four_points import SIDE_PIXELS
    from ..train.fusion_stage import middle
    from ..train.homography_stage import UNREGISTERED
    from ..train.samples import make_homography_pairs, margin_of

    side = SIDE_PIXELS + 2 * margin_of(UNREGISTERED)
    scenes = []
    for number, batch in enumerate(data.held_out_pairs()):
        generator = torch.Generator(data.device).manual_seed(number)
        under, over, target = (middle(batch[name], side) for name in ("under", "over", "target"))
        offsets = UNREGISTERED.draw(1, generator)
        made = make_homography_pairs(under, over, offsets, margin_of(UNREGISTERED))
        moved = {"under": made.first, "over": made.second, "target": middle(target, SIDE_PIXELS)}
        scenes.append(_pair_scene(number, moved))
    return scenes


def _pair_scene(number: int, batch: Batch) -> Scene:
    frames = tuple(Frame(_levels(batch[name])) for name in ("under", "over"))
    radiance = _pixels(batch["radiance"]) if "radiance" in batch else None
    return Scene(f"{number:02d}", Stack(frames, reference=0), _levels(batch["target"]), radiance)


def brackets(data: TrainingData) -> list[Scene]:
    from ...pixels import color

    scenes = []
    for number, batch in enumerate(data.held_out_brackets()):
        frames = []
        for index in range(3):
            # Linearised by its own camera, as a frame with a known curve would be.
            light = np.clip(_pixels(batch["light"][:, index]), 0, 1)
            codes = np.rint(color.linear_to_srgb(light) * 65535).astype(np.uint16)
            frames.append(Frame(codes, stops=float(batch["stops"][0, index])))
        scenes.append(
            Scene(
                f"{number:02d}",
                Stack(tuple(frames), reference=1),
                radiance=_pixels(batch["radiance"]),
            )
        )
    return scenes


def hdr_gan_outputs(network: Any, scene: Scene) -> list[NDArray[np.float32]]:
    """Radiance (H, W, 3) of every output of HDR-GAN's generator on a bracket of three."""
    import torch

    from ...nn.hdr_gan import network_inputs, radiance_of_output

    device = next(network.parameters()).device

    def planes(pixels: NDArray[np.float32]) -> Any:
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None].to(device)

    frames = scene.stack.frames
    stops = scene.stack.stops
    exposures = [torch.full((1, 1, 1, 1), 2.0 ** (s - stops[0]), device=device) for s in stops]
    inputs = network_inputs(
        [planes(frame.display()) for frame in frames],
        [planes(frame.linear()) for frame in frames],
        exposures,
        network.architecture,
    )
    with torch.inference_mode():
        found = [radiance_of_output(o, network.architecture) for o in network(*inputs)]
    return [_pixels(radiance) for radiance in found]


def _pixels(image: Any) -> NDArray[np.float32]:
    """(1, 3, H, W) of a tensor as (H, W, 3)."""
    return np.ascontiguousarray(image[0].permute(1, 2, 0).float().cpu().numpy())


def _levels(image: Any) -> NDArray[np.uint8]:
    return np.rint(np.clip(_pixels(image), 0, 1) * 255).astype(np.uint8)
