"""Attention shared by several networks: self-attention in bounded memory, coordinate attention.

Self-attention relates every token of a feature map with every other: at 24 megapixels, one
eighth of the size, 375,000 tokens. Written out, the attention map would take 560 GB; here it is
never formed, and the result is still exact.
"""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from .blocks import divide_by_singular_value

# Attention maps up to this size are simply computed; larger ones never exist as a whole.
SMALL_MAP_BYTES = 64 * 2**20

_FUSED_KERNELS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return softmax(query key^T) value, without the usual division by sqrt(channels).

    query: (batch, tokens, d); key: (batch, keys, d); value: (batch, keys, c) with d <= c.
    Returns (batch, tokens, c) in the type of `value`. Logits and softmax are float32 at least:
    unscaled logits grow beyond what 16-bit types hold.

    Query and key are padded with zeros to c channels, which changes no product: the kernels that
    never form the map (memory in proportion to the tokens) want equal channel counts.
    """
    exact = torch.float64 if value.dtype == torch.float64 else torch.float32
    padding = value.shape[-1] - query.shape[-1]
    with torch.autocast(value.device.type, enabled=False):
        q = F.pad(query.to(exact), (0, padding)).unsqueeze(1)
        k = F.pad(key.to(exact), (0, padding)).unsqueeze(1)
        v = value.to(exact).unsqueeze(1)
        map_bytes = q.shape[0] * q.shape[2] * k.shape[2] * q.element_size()
        if map_bytes <= SMALL_MAP_BYTES:
            out = F.scaled_dot_product_attention(q, k, v, scale=1.0)
        else:
            try:
                with warnings.catch_warnings(), sdpa_kernel(_FUSED_KERNELS):
                    warnings.simplefilter("ignore")  # reasons of every kernel that does not fit
                    out = F.scaled_dot_product_attention(q, k, v, scale=1.0)
            except RuntimeError:
                # No such kernel for this device, type or channel count.
                out = attend_in_blocks(q, k, v)
    return out.squeeze(1).to(value.dtype)


def attend_in_blocks(
    query: Tensor, key: Tensor, value: Tensor, block_bytes: int = SMALL_MAP_BYTES
) -> Tensor:
    """Return softmax(query key^T) value, some rows of the attention map at a time: exact.

    Shapes (..., tokens, channels). A block of the map takes at most `block_bytes`, one row at
    least.
    """
    items = query.shape[:-2].numel()
    row_bytes = max(1, items * key.shape[-2] * query.element_size())
    rows = max(1, block_bytes // row_bytes)
    keys = key.transpose(-2, -1)
    parts = torch.split(query, rows, dim=-2)
    return torch.cat([torch.softmax(part @ keys, dim=-1) @ value for part in parts], dim=-2)


def attend_row_by_row(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return what `attend` does, for a map of queries, as a loop that an ONNX graph can hold.

    query: (B, d, h, w); key: (B, keys, d); value: (B, keys, c). Returns (B, h * w, c).
    Written without a loop, the graph would form the whole attention map: 1.1 GB for a megapixel
    at one eighth of its size, and 40 times slower than one row of it after another.
    """
    from torch._higher_order_ops.scan import scan

    keys = key.transpose(1, 2)

    def attend_row(carry: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        # A scan must hand something on from step to step, and no input may be its output.
        return carry.clone(), torch.softmax(row @ keys, dim=-1) @ value

    rows = query.permute(2, 0, 3, 1).contiguous()
    _, out = scan(attend_row, rows.new_zeros(()), rows)
    attended: Tensor = out.permute(1, 0, 2, 3).flatten(1, 2)
    return attended


class SelfAttention(nn.Module):
    """Self-attention over all positions of a feature map, 1x1 projections included.

    channels: of input and output. key_channels: of query and key (an eighth of the cost).
    spectral: spectral norm on the projections (MEF-GAN).
    key_pooling: 1 is exact; n > 1 averages keys and values over n x n positions first, an
        approximation for maps too large even for this.
    norms: batch norm and LeakyReLU (0.01) after each projection (LCNDR's text).

    Input (B, channels, h, w); the output, of the same shape, is the attended values alone, with
    neither scale nor residual: those differ from network to network.
    """

    def __init__(
        self,
        channels: int,
        key_channels: int,
        *,
        spectral: bool = False,
        key_pooling: int = 1,
        norms: bool = False,
    ) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, key_channels, 1)
        self.key = nn.Conv2d(channels, key_channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.key_pooling = key_pooling
        widths = (key_channels, key_channels, channels) if norms else ()
        self.norms = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(width), nn.LeakyReLU(0.01)) for width in widths
        )
        if spectral:
            for layer in (self.query, self.key, self.value):
                divide_by_singular_value(layer)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            # Projections too: logits of 16-bit queries and keys would be as coarse as these.
            wide = x.to(self.query.weight.dtype)
            pooled = F.avg_pool2d(wide, self.key_pooling) if self.key_pooling > 1 else wide
            query, key, value = self.query(wide), self.key(pooled), self.value(pooled)
            if self.norms:
                ours = zip(self.norms, (query, key, value), strict=True)
                query, key, value = (norm(projected) for norm, projected in ours)
            if torch.onnx.is_in_onnx_export():
                out = attend_row_by_row(query, _tokens(key), _tokens(value))
            else:
                out = attend(_tokens(query), _tokens(key), _tokens(value))
            return out.transpose(1, 2).reshape(x.shape).to(x.dtype)


def _tokens(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, h*w, C)."""
    return x.flatten(2).transpose(1, 2)


class CoordinateAttention(nn.Module):
    """Coordinate attention (Hou, Zhou, Feng, CVPR 2021): one gate per row and one per column.

    The gates come from the means over each row and over each column, joined into one sequence:
    1x1 convolution, batch norm, h-swish, split, 1x1 convolution and sigmoid each. The hidden
    width is max(8, channels / reduction).

    Row and column means are all it takes from the whole image, so `gates` and `apply_gates` let a
    caller gather the means first and then work through the image in stripes, exactly.
    """

    def __init__(self, channels: int, reduction: int = 64) -> None:
        super().__init__()
        hidden = max(8, channels // reduction)
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.norm = nn.BatchNorm2d(hidden)
        self.activation = nn.Hardswish()
        self.to_rows = nn.Conv2d(hidden, channels, 1)
        self.to_columns = nn.Conv2d(hidden, channels, 1)

    def gates(self, row_means: Tensor, column_means: Tensor) -> tuple[Tensor, Tensor]:
        """Gates (B, C, H, 1) and (B, C, 1, W), 0..1, from means of these same shapes."""
        height = row_means.shape[2]
        sequence = torch.cat([row_means, column_means.transpose(2, 3)], dim=2)
        hidden = self.activation(self.norm(self.reduce(sequence)))
        rows, columns = hidden[:, :, :height], hidden[:, :, height:]
        return (
            torch.sigmoid(self.to_rows(rows)),
            torch.sigmoid(self.to_columns(columns.transpose(2, 3))),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        rows, columns = self.gates(x.mean(dim=3, keepdim=True), x.mean(dim=2, keepdim=True))
        return x * rows * columns


class SqueezeExcitation(nn.Module):
    """Squeeze and excitation (Hu, Shen, Sun, CVPR 2018): one gate for each channel.

    channels: of input and output. hidden: width between. Like `CoordinateAttention` it takes means
    of rows and columns, for a caller that works in stripes.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(channels, hidden)
        self.widen = nn.Linear(hidden, channels)

    def gates(self, row_means: Tensor, column_means: Tensor) -> tuple[Tensor, Tensor]:
        """Gates (B, C, 1, 1), 0..1, and ones of this shape, to go with `CoordinateAttention`'s."""
        means = row_means.mean(dim=(2, 3))
        gate = torch.sigmoid(self.widen(F.relu(self.narrow(means))))[..., None, None]
        return gate, torch.ones_like(gate)
