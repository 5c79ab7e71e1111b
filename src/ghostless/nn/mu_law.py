"""The mu-law curve on tensors: the domain in which HDR networks work and are judged.

Kalantari, Ramamoorthi: Deep High Dynamic Range Imaging of Dynamic Scenes, SIGGRAPH 2017.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MU = 5000.0


def mu_law(linear: Tensor, mu: float = MU) -> Tensor:
    """Compress linear values, 0..1, to 0..1: log(1 + mu H) / log(1 + mu). Any shape (..., C)."""
    return torch.log1p(mu * linear) / math.log1p(mu)


def inverse_mu_law(compressed: Tensor, mu: float = MU) -> Tensor:
    """Expand mu-law values, 0..1, to linear ones, 0..1: ((1 + mu)^T - 1) / mu.

    Any shape (..., C).
    """
    return torch.expm1(compressed * math.log1p(mu)) / mu
