"""The moving average of a network's weights, which is what gets validated and shipped."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Average:
    """Exponential moving average of a network's parameters; its buffers are the newest.

    decay: after the first steps, where it is (1 + step) / (10 + step); 0 keeps a plain copy.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        averaged: list[Tensor] = list(self.network.parameters())
        torch._foreach_lerp_(averaged, list(network.parameters()), 1 - decay)
        buffers = list(self.network.buffers())
        if buffers:
            torch._foreach_copy_(buffers, list(network.buffers()))
