"""What a method looked at: maps to lay over its picture.

Methods that weigh frames have one map per frame, adding up to 1. Networks with attention show
where it is, from the darkest and the brightest frame on a proxy, which is how large a picture
these networks see best anyway.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..bracket import Stack
from ..errors import OptionError
from ..pixels.reduced import reduced, size_within
from . import METHODS, Method, fuse_stack, get_method

if TYPE_CHECKING:
    from torch import Tensor

Map = NDArray[np.float32]


def weight_maps(stack: Stack, method: str, settings: Any = None) -> list[Map]:
    """Return how much each frame counts where, one map (h, w) float32, 0..1, per frame.

    settings: None for the method's defaults. Raises OptionError for a method that weighs no frames.
    """
    entry = get_method(method)
    _check_shows(entry, "weights")
    chosen = settings if settings is not None else entry.settings_class()
    found: list[Map] = entry.find(entry.weight_maps)(stack, chosen)
    return found


def _check_shows(entry: Method, what: str) -> None:
    if what not in entry.shows:
        can = ", ".join(name for name, other in METHODS.items() if what in other.shows)
        raise OptionError(f"expected a method that shows its {what} ({can}), found {entry.name!r}")


def attention_map(
    stack: Stack, method: str, settings: Any = None, proxy_pixels: int = 200_000
) -> Map:
    """Return where a network's attention is, for the darkest and brightest frame of a stack.

    chen-chuang: how much of the bright frame passes its gate, the mean over channels, 0..1.
    mef-gan, lcndr: how much each place is looked at by all others, its share of the most
        looked-at place, 0..1; the mean of all passes.
    Returns (h, w) float32 of about `proxy_pixels` or some times fewer.
    Raises OptionError for a method without attention, WeightsError while it has no weights.
    """
    entry = get_method(method)
    _check_shows(entry, "attention")
    attention = entry.attention
    assert attention is not None
    settings = settings if settings is not None else entry.settings_class()
    from ..nn.weights import load_network

    network = load_network(entry.kind, settings).network
    proxy = _pair_proxy(stack, proxy_pixels)
    seen: list[Map] = []

    def keep(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        values = output[0].mean(dim=0) if attention.gate else _looked_at(module, inputs[0])
        seen.append(values.detach().float().cpu().numpy())

    try:
        module = network.get_submodule(attention.module)
    except AttributeError:
        raise OptionError(
            f"expected weights with attention, found those of {method!r} without"
        ) from None
    hook = module.register_forward_hook(keep)
    try:
        fuse_stack(proxy, method, replace(settings, quality="full"))
    finally:
        hook.remove()
    shown = np.asarray(np.mean(seen, axis=0), np.float32)
    # Networks pad the bottom and the right to a multiple of their size.
    frame = proxy.frames[0]
    padded = entry.kind.sides(network.architecture).padded(frame.height, frame.width)
    scale = padded[0] / shown.shape[0]
    shown = shown[: math.ceil(frame.height / scale), : math.ceil(frame.width / scale)]
    if not attention.gate:
        shown = shown / max(float(shown.max()), 1e-12)
    return np.clip(shown, 0, 1)


def _pair_proxy(stack: Stack, pixels: int) -> Stack:
    """The darkest and brightest frame, reduced to about so many pixels."""
    size = size_within(stack.frames[0].pixels.shape, pixels=pixels)
    frames = tuple(
        replace(frame, pixels=reduced(frame.pixels, size))
        for frame in (stack.frames[0], stack.frames[-1])
    )
    return Stack(frames, reference=0, registrations=stack.registrations[:1] * 2)


def _looked_at(module: Any, features: Tensor) -> Tensor:
    """Mean of the attention map over all that look, (h, w); some rows of the map at a time."""
    import torch
    import torch.nn.functional as F

    features = features.to(module.query.weight.dtype)
    pooling = module.key_pooling
    pooled = F.avg_pool2d(features, pooling) if pooling > 1 else features
    queries = module.query(features)[:1].flatten(2).transpose(1, 2)
    keys = module.key(pooled)[:1].flatten(2)
    total = torch.zeros_like(keys[0, 0])
    for some in queries.split(1024, dim=1):
        total += torch.softmax(some @ keys, dim=-1).sum(dim=(0, 1))
    mean: Tensor = total / queries.shape[1]
    return mean.reshape(pooled.shape[-2:])
