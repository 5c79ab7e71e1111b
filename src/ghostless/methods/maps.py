"""What a method looked at: maps to lay over its picture.

`WEIGHT_MAPS` are those of methods that weigh frames: one per frame, adding up to 1. `ATTENTION`
says where to read the attention of the networks that have one, from the darkest and the brightest
frame on a proxy, which is how large a picture these networks see best anyway.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Stack
from ..errors import OptionError
from . import fuse_stack, get_method

if TYPE_CHECKING:
    from torch import Tensor

    from ..nn.weights import NetworkKind

Map = NDArray[np.float32]


def _mertens_weights(stack: Stack, settings: Any) -> list[Map]:
    from .mertens import MertensSettings, weight_maps

    return weight_maps(stack, settings or MertensSettings())


WEIGHT_MAPS: dict[str, Callable[[Stack, Any], list[Map]]] = {"mertens": _mertens_weights}


@dataclass(frozen=True)
class _Attention:
    """Where a network's attention is.

    kind: of the network. modules: those of a network to look at. gate: whether their output is a
        gate, shown as its mean over the channels; else they are self-attention, of which is shown
        how much each place is looked at.
    """

    kind: NetworkKind
    modules: Callable[[Any], list[Any]]
    gate: bool = False


def _chen_chuang() -> _Attention:
    from .chen_chuang import GENERATOR

    return _Attention(GENERATOR, lambda network: [network.attention.attention], gate=True)


def _mef_gan() -> _Attention:
    from .mef_gan import GENERATOR

    return _Attention(GENERATOR, _self_attention)


def _lcndr() -> _Attention:
    from .lcndr import NETWORK

    return _Attention(NETWORK, _self_attention)


def _self_attention(network: Any) -> list[Any]:
    from ..nn.attention import SelfAttention

    return [module for module in network.modules() if isinstance(module, SelfAttention)]


ATTENTION: dict[str, Callable[[], _Attention]] = {
    "chen-chuang": _chen_chuang,
    "mef-gan": _mef_gan,
    "lcndr": _lcndr,
}


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
    if method not in ATTENTION:
        raise OptionError(
            f"expected a method with an attention map ({', '.join(ATTENTION)}), found {method!r}"
        )
    entry = get_method(method)
    settings = settings if settings is not None else entry.load()[1]()
    attention = ATTENTION[method]()
    from ..nn.fullsize import padded_size
    from ..nn.weights import load_network

    network = load_network(attention.kind, settings).network
    proxy = _pair_proxy(stack, proxy_pixels)
    seen: list[Map] = []

    def keep(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        values = output[0].mean(dim=0) if attention.gate else _looked_at(module, inputs[0])
        seen.append(values.detach().float().cpu().numpy())

    modules = [module for module in attention.modules(network) if module is not None]
    hooks = [module.register_forward_hook(keep) for module in modules]
    try:
        fuse_stack(proxy, method, replace(settings, quality="full"))
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise OptionError(f"expected weights with attention, found those of {method!r} without")
    shown = np.asarray(np.mean(seen, axis=0), np.float32)
    # Networks pad the bottom and the right to a multiple of their size.
    frame = proxy.frames[0]
    scale = padded_size(frame.height, frame.width, entry.size_multiple)[0] / shown.shape[0]
    shown = shown[: math.ceil(frame.height / scale), : math.ceil(frame.width / scale)]
    if not attention.gate:
        shown = shown / max(float(shown.max()), 1e-12)
    return np.clip(shown, 0, 1)


def _pair_proxy(stack: Stack, pixels: int) -> Stack:
    """The darkest and brightest frame, reduced to about so many pixels."""
    first = stack.frames[0]
    scale = min(1.0, math.sqrt(pixels / (first.height * first.width)))
    size = (max(1, round(first.width * scale)), max(1, round(first.height * scale)))
    frames = tuple(
        replace(frame, pixels=cv2.resize(frame.pixels, size, interpolation=cv2.INTER_AREA))  # type: ignore[arg-type]
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
