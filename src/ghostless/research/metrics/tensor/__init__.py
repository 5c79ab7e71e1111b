"""Metrics as tensor code: batched, on any device, and differentiable where they serve as losses.

`TENSOR_METRICS` computes what the metrics of the same names in `research.metrics.METRICS` compute
(its `tensor_form` says which have one). Importing this package imports torch; `research.metrics`
does so only when it is told a device. Display images are (B, C, H, W), levels 0..255.

Without a tensor form: Qc and Qy (rounding errors of the official program's sums are part of them),
Qp and HDR_VDP2 (steerable pyramids that nothing is trained on), MEF_SSIMd (histogram matching).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....errors import InputError
from ..images import _GREY, Images
from . import exposure_fusion, fusion, tone_mapping, truth
from .exposure_fusion import mef_ssim as mef_ssim
from .truth import ms_ssim as ms_ssim
from .truth import psnr as psnr
from .truth import ssim as ssim

# Images of a batch are scored together up to this many pixels.
_BATCH_PIXELS = 4_000_000


@dataclass(frozen=True)
class TensorImages:
    """A batch of results and what they are compared with, RGB (B, 3, H, W) of one size and type.

    Display images hold levels 0..255; radiance any scale. See `..images.Images`.
    """

    fused: Tensor
    sources: tuple[Tensor, ...] = ()
    truth: Tensor | None = None
    true_radiance: Tensor | None = None
    radiance: Tensor | None = None

    @classmethod
    def of(
        cls,
        batch: Sequence[Images],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> TensorImages:
        """Put images of one size, with equally many sources, on a device.

        Images (H, W, 3) to (B, 3, H, W).
        """

        def stacked(images: Sequence[NDArray[Any] | None]) -> Tensor | None:
            found = [image for image in images if image is not None]
            if not found:
                return None
            tensor = torch.from_numpy(np.stack(found)).to(device)
            return tensor.permute(0, 3, 1, 2).to(dtype).contiguous()

        fused = stacked([images.fused for images in batch])
        assert fused is not None
        sources = [stacked(group) for group in zip(*(i.sources for i in batch), strict=True)]
        return cls(
            fused,
            tuple(source for source in sources if source is not None),
            stacked([images.truth for images in batch]),
            stacked([images.true_radiance for images in batch]),
            stacked([images.radiance for images in batch]),
        )

    @cached_property
    def greys(self) -> tuple[list[Tensor], Tensor]:
        """Grey levels (B, 1, H, W) of the sources and of the result, rounded as by rgb2gray."""
        return [grey(source) for source in self.sources], grey(self.fused)

    @cached_property
    def tone_mapping(self) -> tuple[Tensor, Tensor, Tensor]:
        """TMQI's quality, fidelity and naturalness, (B,) each."""
        assert self.radiance is not None
        return tone_mapping.tone_mapping_quality(self.radiance, self.fused)

    @cached_property
    def window_similarities(self) -> tuple[Tensor, Tensor]:
        """Qc_exact and Qy_exact, (B,) each."""
        first, second = self.sources
        return fusion.exact_window_similarities(first, second, self.fused)


def grey(rgb: Tensor) -> Tensor:
    """Grey levels (B, 1, H, W) of RGB levels, rounded to whole ones as MATLAB's rgb2gray."""
    return (truth.weighted_sum(rgb, _GREY.tolist()) + 0.5).floor()


Compute = Callable[[TensorImages], Tensor]


def _to_truth(function: Callable[..., Tensor], part: int | None = None) -> Compute:
    """Metric of the result against the truth, or of their intensity (0) or saturation (1)."""

    def compute(images: TensorImages) -> Tensor:
        assert images.truth is not None
        pair = [images.fused, images.truth]
        if part is not None:
            pair = [truth.intensity_and_saturation(image)[part] for image in pair]
        return function(*pair)

    return compute


def _to_radiance(function: Callable[..., Tensor]) -> Compute:
    return lambda images: function(images.fused, images.true_radiance)


def _of_pair(function: Callable[..., Tensor]) -> Compute:
    return lambda images: function(*images.sources, images.fused)


def _of_result(function: Callable[[Tensor], Tensor]) -> Compute:
    return lambda images: function(images.fused)


def _of_greys(function: Callable[..., Tensor], *, mean: bool) -> Compute:
    """Mean or sum over the sources of a metric of their grey levels and the result's."""

    def compute(images: TensorImages) -> Tensor:
        sources, result = images.greys
        values = torch.stack([function(source, result) for source in sources])
        return values.mean(dim=0) if mean else values.sum(dim=0)

    return compute


TENSOR_METRICS: dict[str, Compute] = {
    "PSNR": _to_truth(truth.psnr),
    "PSNR_I": _to_truth(truth.psnr, 0),
    "PSNR_S": _to_truth(truth.psnr, 1),
    "CC_I": _to_truth(truth.correlation, 0),
    "CC_S": _to_truth(truth.correlation, 1),
    "SSIM": _to_truth(truth.ssim),
    "MS_SSIM": _to_truth(truth.ms_ssim),
    "PSNR_mu": _to_radiance(truth.psnr_mu),
    "PSNR_linear": _to_radiance(truth.psnr_linear),
    "SSIM_mu": _to_radiance(truth.ssim_mu),
    "SSIM_linear": _to_radiance(truth.ssim_linear),
    "PU21_PSNR": _to_radiance(truth.pu21_psnr),
    "PU21_SSIM": _to_radiance(truth.pu21_ssim),
    "TMQI": lambda images: images.tone_mapping[0],
    "TMQI_fidelity": lambda images: images.tone_mapping[1],
    "TMQI_naturalness": lambda images: images.tone_mapping[2],
    "MEF_SSIM": lambda images: exposure_fusion.mef_ssim(*images.greys),
    "MEF_SSIM1": lambda images: exposure_fusion.mef_ssim(*images.greys, scales=1),
    "MI": _of_greys(fusion.mutual_information, mean=False),
    "CC": _of_greys(truth.correlation, mean=True),
    "MSSIM": _of_greys(truth.ssim, mean=True),
    "Cross_entropy": _of_pair(fusion.cross_entropy),
    "Entropy": _of_result(fusion.entropy),
    "FMI": _of_pair(fusion.feature_mutual_information),
    "NMI": _of_pair(fusion.normalised_mutual_information),
    "Psnr": _of_pair(fusion.benchmark_psnr),
    "Qncie": _of_pair(fusion.nonlinear_correlation_entropy),
    "TE": _of_pair(fusion.tsallis_information),
    "Avg_gradient": _of_result(fusion.average_gradient),
    "Edge_intensity": _of_result(fusion.edge_intensity),
    "Qabf": _of_pair(fusion.edge_preservation),
    "SD": _of_result(fusion.standard_deviation),
    "Spatial_frequency": _of_result(fusion.spatial_frequency),
    "Qw": _of_pair(fusion.piella_edge_similarity),
    "Qc_exact": lambda images: images.window_similarities[0],
    "Qy_exact": lambda images: images.window_similarities[1],
    "Qcb": _of_pair(fusion.chen_blum_quality),
    "Qcv": _of_pair(fusion.chen_varshney_quality),
    "VIF": _of_pair(fusion.fusion_visual_information),
}


def score_batch(
    batch: Sequence[Images],
    names: Iterable[str],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
) -> list[dict[str, float]]:
    """Score results by metrics that have a tensor form, those of one size together.

    batch: images; every one must hold what the metrics need. dtype: float64 equals the NumPy
    forms, float32 is faster on most GPUs and agrees to some 1e-4. Returns a dict for each result.
    Raises InputError where the device's memory does not last.
    """
    chosen = list(names)
    groups: dict[Any, list[int]] = {}
    for number, images in enumerate(batch):
        groups.setdefault((images.fused.shape, len(images.sources)), []).append(number)
    scores: list[dict[str, float]] = [{} for _ in batch]
    for (shape, _), numbers in groups.items():
        together = max(1, _BATCH_PIXELS // (shape[0] * shape[1]))
        for start in range(0, len(numbers), together):
            part = numbers[start : start + together]
            with _within_memory(device):
                tensors = TensorImages.of([batch[number] for number in part], device, dtype)
            values = {name: _values(name, tensors) for name in chosen}
            for place, number in enumerate(part):
                scores[number] = {name: values[name][place] for name in chosen}
    return scores


def scorer(
    images: Images, device: torch.device, dtype: torch.dtype = torch.float64
) -> Callable[[str], float]:
    """What scores one result by the name of a metric, the images lying on a device already."""
    with _within_memory(device):
        tensors = TensorImages.of([images], device, dtype)
    return lambda name: _values(name, tensors)[0]


@torch.no_grad()
def _values(name: str, images: TensorImages) -> list[float]:
    with _within_memory(images.fused.device):
        return [float(value) for value in TENSOR_METRICS[name](images).tolist()]


@contextmanager
def _within_memory(device: torch.device | str) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise InputError(
            f"score: expected images whose metrics fit into the memory of {device}, found larger "
            "ones; use the device cpu"
        ) from None
