"""Networks on tensors tile by tile (see `regions`): pixels in and out, and what memory allows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .regions import (
    PaddedFrame,
    Progress,
    Region,
    Tile,
    check_finite,
    make_tiles,
    reflected,
    repeated,
    run_in_tiles,
)

# A network's file needs these beside those below.
__all__ = (
    "PaddedFrame",
    "Progress",
    "Region",
    "Tile",
    "check_finite",
    "computing",
    "make_tiles",
    "map_writer",
    "pixel_writer",
    "reflected",
    "repeated",
    "run_in_tiles",
    "tile_budget",
    "to_pixels",
    "to_tensor",
)


def to_tensor(
    pixels: NDArray[np.float32], device: torch.device, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Pixels (h, w, C) as a tensor (1, C, h, w) laid out channels last."""
    array = torch.from_numpy(np.ascontiguousarray(pixels))
    return array.to(device=device, dtype=dtype).permute(2, 0, 1).unsqueeze(0)


def to_pixels(tensor: Tensor) -> NDArray[np.float32]:
    """A tensor (1, C, h, w) as float32 pixels (h, w, C)."""
    return tensor[0].permute(1, 2, 0).to("cpu", torch.float32).numpy()


def pixel_writer(target: NDArray[np.float32]) -> Callable[[Tile, Tensor], None]:
    """Return a `write` for `run_in_tiles` into an image (H, W, C), which crops the padding off."""
    height, width = target.shape[:2]

    def write(tile: Tile, result: Tensor) -> None:
        inner = tile.inner
        rows = max(0, min(inner.bottom, height) - inner.top)
        columns = max(0, min(inner.right, width) - inner.left)
        block = to_pixels(result)[:rows, :columns]
        target[inner.top : inner.top + rows, inner.left : inner.left + columns] = block

    return write


def map_writer(target: Tensor, scale: int) -> Callable[[Tile, Tensor], None]:
    """Return a `write` for `run_in_tiles` into a map (B, C, H / scale, W / scale)."""

    def write(tile: Tile, result: Tensor) -> None:
        rows, columns = tile.inner.slices(scale)
        target[..., rows, columns] = result

    return write


def tile_budget(device: torch.device, bytes_per_pixel: int, cpu_bytes: float = 1.5e9) -> int:
    """How many pixels to run at once on a device.

    bytes_per_pixel: peak of all tensors alive at once. On the CPU `cpu_bytes` are used, 1.5 GB by
    default, which leaves 24 MP images under 6 GB in all; on a CUDA device 70 % of what is free.
    """
    memory = cpu_bytes
    if device.type == "cuda":
        memory = 0.7 * torch.cuda.mem_get_info(device)[0]
    return max(2**16, int(memory / bytes_per_pixel))


def computing(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[object]:
    """Context in which convolutions compute in `dtype`, from float32 weights and inputs."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype == torch.bfloat16)
