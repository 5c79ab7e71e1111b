"""LCNDR's spatial gradient filter, for training and, in fewer passes over memory, for use."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# sqrt'(0) is infinite; equation 5 needs something below the root.
_GRADIENT_FLOOR = 1e-12


def filter_gradients(features: Tensor) -> Tensor:
    """Spatial gradient filter (equations 4 and 5, at each pixel), per channel.

    E = length of the differences to the left and to the lower neighbour; the result is the larger
    of E here and E one pixel down and to the right. The border is repeated.
    """
    if not torch.is_grad_enabled():
        return _filter_gradients_in_place(features)
    left = torch.cat([features[..., :1], features[..., :-1]], dim=3)
    below = torch.cat([features[:, :, 1:], features[:, :, -1:]], dim=2)
    square = (features - left).square() + (features - below).square()
    edges = torch.sqrt(square + _GRADIENT_FLOOR)
    padded = F.pad(edges, (0, 1, 0, 1), mode="replicate")
    return torch.maximum(edges, padded[:, :, 1:, 1:])


def _filter_gradients_in_place(features: Tensor) -> Tensor:
    """The same in half the passes over memory, which is what it costs; not for training."""
    edges, down = torch.empty_like(features), torch.empty_like(features)
    torch.sub(features[..., 1:], features[..., :-1], out=edges[..., 1:])
    edges[..., 0] = 0
    torch.sub(features[:, :, 1:], features[:, :, :-1], out=down[:, :, :-1])
    down[:, :, -1] = 0
    edges.mul_(edges).addcmul_(down, down).add_(_GRADIENT_FLOOR).sqrt_()
    larger = down
    inner, last = slice(None, -1), slice(-1, None)
    for rows, next_rows in ((inner, slice(1, None)), (last, last)):
        for columns, next_columns in ((inner, slice(1, None)), (last, last)):
            here, beyond = edges[:, :, rows, columns], edges[:, :, next_rows, next_columns]
            torch.maximum(here, beyond, out=larger[:, :, rows, columns])
    return larger
