"""Weights of a narrow network as the start of a wider one that answers the same.

After Chen, Goodfellow, Shlens: Net2Net: Accelerating Learning via Knowledge Transfer, ICLR 2016. A
narrow network learns in hours on a CPU what a wide one needs a GPU for; the wide one begins there.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

# How much the copies of a channel differ in what they pass on, as a share of the mean: without it
# all copies would learn the same for ever. Up to 1 none changes its sign.
_SPREAD = 0.9


def widened(narrow: Mapping[str, Tensor], wide: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The narrow weights repeated to the shapes of the wide ones, so that both compute the same.

    Channel c of the wide network is channel c modulo their number of the narrow one; what is read
    from a channel is shared out among its copies unevenly, by random numbers. For chains of
    convolutions, norms of single channels and fully connected layers, the channels outermost where
    pixels are flattened. Raises ValueError where a size is no multiple.
    """
    return {name: _repeated(name, narrow[name], value) for name, value in wide.items()}


def _repeated(name: str, narrow: Tensor, wide: Tensor) -> Tensor:
    if narrow.ndim != wide.ndim or any(
        w % n for w, n in zip(wide.shape, narrow.shape, strict=True)
    ):
        raise ValueError(
            f"{name}: expected sizes that are multiples of {tuple(narrow.shape)}, "
            f"found {tuple(wide.shape)}"
        )
    times = [w // n for w, n in zip(wide.shape, narrow.shape, strict=True)]
    repeated = narrow.to(wide.dtype).repeat(times)
    if narrow.ndim < 2 or times[1] == 1:
        return repeated
    outputs, inputs = wide.shape[0], narrow.shape[1]
    parts = 1 + _SPREAD * (2 * torch.rand(outputs, times[1], inputs, dtype=torch.float64) - 1)
    parts = (parts / parts.sum(1, keepdim=True)).reshape(outputs, times[1] * inputs)
    return repeated * parts.to(wide.dtype).reshape(*parts.shape, *[1] * (wide.ndim - 2))
