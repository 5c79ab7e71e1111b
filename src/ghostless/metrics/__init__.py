"""The table of metrics. Facts about a metric stand here as data; a file beside it per family."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OptionError, unknown_name
from . import gradient, information, perception, phase_congruency, radiance, structure, truth
from .tone_mapping import ToneMappingQuality, tone_mapping_quality

Bytes = NDArray[np.uint8]
Need = Literal["sources", "truth", "true_radiance", "radiance"]

# MATLAB's rgb2gray: the luminance row of the inverse of its NTSC matrix.
_GREY = np.array([0.298936021293775, 0.587043074451121, 0.114020904255103])


@dataclass(frozen=True)
class Images:
    """What a metric may look at. Every image is RGB (H, W, 3) of one size.

    fused: the result, uint8, or float32 radiance where it is scored against true radiance.
    sources: the frames that were fused, uint8, dark to bright.
    truth: what a display result should be, uint8.
    true_radiance: what a linear result should be, float.
    radiance: the scene's radiance, float, for metrics of tone mapping.
    """

    fused: NDArray[Any]
    sources: tuple[Bytes, ...] = ()
    truth: Bytes | None = None
    true_radiance: NDArray[np.floating[Any]] | None = None
    radiance: NDArray[np.floating[Any]] | None = None

    def __post_init__(self) -> None:
        others = [*self.sources, self.truth, self.true_radiance, self.radiance]
        for other in others:
            if other is not None and other.shape != self.fused.shape:
                raise InputError(
                    f"expected all images to have the result's size, "
                    f"{self.fused.shape[1]} x {self.fused.shape[0]} pixels, "
                    f"found {other.shape[1]} x {other.shape[0]}; give images of one scene"
                )

    @cached_property
    def tone_mapping(self) -> ToneMappingQuality:
        """TMQI's three numbers, computed once."""
        assert self.radiance is not None
        return tone_mapping_quality(self.radiance, self.fused)


def grey(image: Bytes) -> NDArray[np.float64]:
    """Grey values 0..255 (H, W) of uint8 RGB, rounded to whole levels as MATLAB's rgb2gray."""
    return np.asarray(np.floor(image.astype(np.float64) @ _GREY + 0.5))


@dataclass(frozen=True)
class Metric:
    """What there is to know about a metric.

    needs: what it compares the result with; empty for a metric of the result alone.
    sources: how many sources it takes, least and most (None for any number).
    value_range: smallest and largest value that it can have; None for unbounded.
    mefb: one of the twenty metrics of MEFB (Zhang, Information Fusion 2021).
    """

    name: str
    summary: str
    compute: Callable[[Images], float]
    paper: str
    needs: Need | None = None
    higher_is_better: bool = True
    value_range: tuple[float | None, float | None] = (0, 1)
    sources: tuple[int, int | None] = (2, None)
    mefb: bool = False

    def applies_to(self, images: Images) -> bool:
        """Whether the images hold what the metric needs."""
        if self.needs == "sources":
            low, high = self.sources
            return len(images.sources) >= low and (high is None or len(images.sources) <= high)
        if self.needs is not None:
            return getattr(images, self.needs) is not None
        return images.fused.dtype == np.uint8


def _per_channel(function: Callable[..., float]) -> Callable[[Images], float]:
    """Mean over R, G, B of a metric of single planes of the two sources and the result."""

    def compute(images: Images) -> float:
        first, second = images.sources
        return float(
            np.mean(
                [
                    function(
                        *(np.ascontiguousarray(i[:, :, c]) for i in (first, second, images.fused))
                    )
                    for c in range(3)
                ]
            )
        )

    return compute


def _of_result(function: Callable[[Bytes], float]) -> Callable[[Images], float]:
    """Mean over R, G, B of a metric of single planes of the result alone."""

    def compute(images: Images) -> float:
        planes = [np.ascontiguousarray(images.fused[:, :, channel]) for channel in range(3)]
        return float(np.mean([function(plane) for plane in planes]))

    return compute


def _to_truth(function: Callable[..., float]) -> Callable[[Images], float]:
    return lambda images: function(images.fused, images.truth)


def _to_radiance(function: Callable[..., float]) -> Callable[[Images], float]:
    return lambda images: function(images.fused, images.true_radiance)


def _intensity(function: Callable[..., float], part: int) -> Callable[[Images], float]:
    """A metric of the intensity (0) or saturation (1) plane against the truth's."""

    def compute(images: Images) -> float:
        assert images.truth is not None
        result = truth.intensity_and_saturation(images.fused)[part]
        return function(result, truth.intensity_and_saturation(images.truth)[part])

    return compute


def _greys(images: Images) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    return [grey(source) for source in images.sources], grey(images.fused)


def _mean_over_sources(function: Callable[..., float]) -> Callable[[Images], float]:
    def compute(images: Images) -> float:
        sources, result = _greys(images)
        return float(np.mean([function(source, result) for source in sources]))

    return compute


def _total_mutual_information(images: Images) -> float:
    sources, result = _greys(images)
    levels = result.astype(np.uint8)
    return sum(
        information.mutual_information(source.astype(np.uint8), levels) for source in sources
    )


def _mefb(name: str, summary: str, compute: Any, paper: str, **facts: Any) -> Metric:
    facts.setdefault("needs", "sources")
    return Metric(name, summary, compute, paper, sources=(2, 2), mefb=True, **facts)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        # To a true display image.
        Metric(
            "PSNR",
            "peak signal-to-noise ratio, dB, peak 255",
            _to_truth(truth.psnr),
            "definition",
            needs="truth",
            value_range=(None, None),
        ),
        Metric(
            "PSNR_I",
            "PSNR of intensity, dB, peak 255",
            _intensity(truth.psnr, 0),
            "Xu, Ma, Zhang: MEF-GAN, TIP 2020",
            needs="truth",
            value_range=(None, None),
        ),
        Metric(
            "PSNR_S",
            "PSNR of saturation, dB, peak 255",
            _intensity(truth.psnr, 1),
            "Xu, Ma, Zhang: MEF-GAN, TIP 2020",
            needs="truth",
            value_range=(None, None),
        ),
        Metric(
            "CC_I",
            "correlation of intensity",
            _intensity(truth.correlation, 0),
            "Xu, Ma, Zhang: MEF-GAN, TIP 2020",
            needs="truth",
            value_range=(-1, 1),
        ),
        Metric(
            "CC_S",
            "correlation of saturation",
            _intensity(truth.correlation, 1),
            "Xu, Ma, Zhang: MEF-GAN, TIP 2020",
            needs="truth",
            value_range=(-1, 1),
        ),
        Metric(
            "SSIM",
            "structural similarity, mean over R, G, B",
            _to_truth(truth.ssim),
            "Wang et al.: Image quality assessment, TIP 2004",
            needs="truth",
            value_range=(-1, 1),
        ),
        Metric(
            "MS_SSIM",
            "structural similarity over five scales, mean over R, G, B",
            _to_truth(truth.ms_ssim),
            "Wang, Simoncelli, Bovik: Multi-scale structural similarity, Asilomar 2003",
            needs="truth",
        ),
        # To true radiance.
        Metric(
            "PSNR_mu",
            "PSNR after the mu-law, dB",
            _to_radiance(radiance.psnr_mu),
            "Kalantari, Ramamoorthi: Deep HDR imaging of dynamic scenes, TOG 2017",
            needs="true_radiance",
            value_range=(None, None),
        ),
        Metric(
            "PSNR_linear",
            "PSNR of linear radiance, dB",
            _to_radiance(radiance.psnr_linear),
            "Kalantari, Ramamoorthi: Deep HDR imaging of dynamic scenes, TOG 2017",
            needs="true_radiance",
            value_range=(None, None),
        ),
        Metric(
            "SSIM_mu",
            "SSIM after the mu-law",
            _to_radiance(radiance.ssim_mu),
            "Niu et al.: HDR-GAN, TIP 2021",
            needs="true_radiance",
            value_range=(-1, 1),
        ),
        Metric(
            "SSIM_linear",
            "SSIM of linear radiance",
            _to_radiance(radiance.ssim_linear),
            "Niu et al.: HDR-GAN, TIP 2021",
            needs="true_radiance",
            value_range=(-1, 1),
        ),
        Metric(
            "PU21_PSNR",
            "PSNR of perceptually uniform luminance, dB, white at 203 cd/m2",
            _to_radiance(radiance.pu21_psnr),
            "Mantiuk, Azimi: PU21, Picture Coding Symposium 2021",
            needs="true_radiance",
            value_range=(None, None),
        ),
        Metric(
            "PU21_SSIM",
            "SSIM of perceptually uniform luminance, white at 203 cd/m2",
            _to_radiance(radiance.pu21_ssim),
            "Mantiuk, Azimi: PU21, Picture Coding Symposium 2021",
            needs="true_radiance",
            value_range=(-1, 1),
        ),
        # To the scene's radiance, for display images.
        Metric(
            "TMQI",
            "quality of tone mapping",
            lambda images: images.tone_mapping.quality,
            "Yeganeh, Wang: Objective quality assessment of tone-mapped images, TIP 2013",
            needs="radiance",
        ),
        Metric(
            "TMQI_fidelity",
            "structural fidelity to the radiance",
            lambda images: images.tone_mapping.fidelity,
            "Yeganeh, Wang: Objective quality assessment of tone-mapped images, TIP 2013",
            needs="radiance",
        ),
        Metric(
            "TMQI_naturalness",
            "likeness of brightness and contrast to natural photos",
            lambda images: images.tone_mapping.naturalness,
            "Yeganeh, Wang: Objective quality assessment of tone-mapped images, TIP 2013",
            needs="radiance",
        ),
        # To the sources, any number of them.
        Metric(
            "MEF_SSIM",
            "structure and contrast of the best-exposed source, three scales",
            lambda images: structure.mef_ssim(*_greys(images)),
            "Ma, Zeng, Wang: Perceptual quality assessment for MEF, TIP 2015",
            needs="sources",
            mefb=True,
        ),
        Metric(
            "MEF_SSIM1",
            "MEF-SSIM on the full scale only",
            lambda images: structure.mef_ssim_single_scale(*_greys(images)),
            "Ma, Zeng, Wang: Perceptual quality assessment for MEF, TIP 2015",
            needs="sources",
        ),
        Metric(
            "MI",
            "mutual information with the sources, bits, summed",
            _total_mutual_information,
            "Qu, Zhang, Yan: Information measure for image fusion, Electronics Letters 2002",
            needs="sources",
            value_range=(0, None),
        ),
        Metric(
            "CC",
            "correlation with the sources' grey values, mean",
            _mean_over_sources(truth.correlation),
            "Li et al.: LCNDR",
            needs="sources",
            value_range=(-1, 1),
        ),
        Metric(
            "MSSIM",
            "SSIM with the sources' grey values, mean",
            _mean_over_sources(truth.ssim),
            "Xu, Ma, Zhang: MEF-GAN, TIP 2020",
            needs="sources",
            value_range=(-1, 1),
        ),
        # The rest of MEFB's twenty, on exactly two sources, mean over R, G, B.
        _mefb(
            "Cross_entropy",
            "relative entropy of the sources' levels, bits",
            _per_channel(information.cross_entropy),
            "Bulanon, Burks, Alchanatis: Biosystems Engineering 2009",
            higher_is_better=False,
            value_range=(0, None),
        ),
        _mefb(
            "Entropy",
            "entropy of the levels, bits",
            _of_result(information.entropy),
            "van Aardt: J. Applied Remote Sensing 2008",
            needs=None,
            value_range=(0, 8),
        ),
        _mefb(
            "FMI",
            "mutual information of edges",
            _per_channel(information.feature_mutual_information),
            "Haghighat, Razian: Fast-FMI, AICT 2014",
        ),
        _mefb(
            "NMI",
            "normalised mutual information",
            _per_channel(information.normalised_mutual_information),
            "Hossny, Nahavandi, Creighton: Electronics Letters 2008",
            value_range=(0, 2),
        ),
        _mefb(
            "Psnr",
            "MEFB's PSNR (root of the squared error over the pixel count), dB",
            _per_channel(information.benchmark_psnr),
            "Jagalingam, Hegde: Aquatic Procedia 2015, as computed by MEFB",
            value_range=(None, None),
        ),
        _mefb(
            "Qncie",
            "nonlinear correlation information entropy",
            _per_channel(information.nonlinear_correlation_entropy),
            "Wang, Shen, Zhang: Physica D 2005",
        ),
        _mefb(
            "TE",
            "Tsallis mutual information",
            _per_channel(information.tsallis_information),
            "Cvejic, Canagarajah, Bull: Electronics Letters 2006",
            value_range=(None, None),
        ),
        _mefb(
            "Avg_gradient",
            "mean gradient, levels",
            _of_result(gradient.average_gradient),
            "Cui et al.: Optics Communications 2015",
            needs=None,
            value_range=(0, None),
        ),
        _mefb(
            "Edge_intensity",
            "mean Sobel response",
            _of_result(gradient.edge_intensity),
            "Rajalingam, Priya 2018",
            needs=None,
            value_range=(0, None),
        ),
        _mefb(
            "Qabf",
            "edge strength and orientation kept",
            _per_channel(gradient.edge_preservation),
            "Xydeas, Petrovic: Objective image fusion performance measure 2000",
        ),
        _mefb(
            "Qp",
            "phase congruency kept",
            _per_channel(phase_congruency.phase_congruency_quality),
            "Zhao, Laganiere, Liu: IJICIC 2007",
        ),
        _mefb(
            "SD",
            "standard deviation of the levels",
            _of_result(gradient.standard_deviation),
            "definition",
            needs=None,
            value_range=(0, 127.5),
        ),
        _mefb(
            "Spatial_frequency",
            "root mean squared differences of neighbours",
            _of_result(gradient.spatial_frequency),
            "Eskicioglu, Fisher: Trans. Communications 1995",
            needs=None,
            value_range=(0, None),
        ),
        _mefb(
            "Qc",
            "similarity weighted by covariance",
            _per_channel(structure.cvejic_similarity),
            "Cvejic et al.: Int. J. Signal Processing 2005",
            value_range=(None, None),
        ),
        _mefb(
            "Qw",
            "similarity of edges weighted by saliency",
            _per_channel(structure.piella_edge_similarity),
            "Piella, Heijmans: ICIP 2003",
            value_range=(-1, 1),
        ),
        _mefb(
            "Qy",
            "similarity, redundant and complementary parts apart",
            _per_channel(structure.yang_similarity),
            "Yang et al.: Information Fusion 2008",
            value_range=(None, None),
        ),
        _mefb(
            "Qcb",
            "contrast kept after contrast sensitivity",
            _per_channel(perception.chen_blum_quality),
            "Chen, Blum: Image and Vision Computing 2009",
        ),
        _mefb(
            "Qcv",
            "visible difference weighted by edges",
            _per_channel(perception.chen_varshney_quality),
            "Chen, Varshney: Information Fusion 2007",
            higher_is_better=False,
            value_range=(0, None),
        ),
        _mefb(
            "VIF",
            "visual information kept",
            _per_channel(perception.fusion_visual_information),
            "Han et al.: Information Fusion 2013",
            value_range=(0, None),
        ),
    )
}


def get_metric(name: str) -> Metric:
    """Return the table's entry for `name`; raise OptionError with the near names otherwise."""
    try:
        return METRICS[name]
    except KeyError:
        raise unknown_name("metric", name, METRICS) from None


def score(images: Images, names: Iterable[str] | None = None) -> dict[str, float]:
    """Score a result by the named metrics, or by all that the images allow.

    Raises OptionError for an unknown name, or for a metric whose needs the images do not meet.
    """
    if names is None:
        return {m.name: m.compute(images) for m in METRICS.values() if m.applies_to(images)}
    chosen = [get_metric(name) for name in names]
    for metric in chosen:
        if not metric.applies_to(images):
            raise OptionError(f"metric {metric.name!r} {_unmet(metric, images)}")
    return {metric.name: metric.compute(images) for metric in chosen}


def _unmet(metric: Metric, images: Images) -> str:
    if metric.needs == "sources":
        low, high = metric.sources
        wanted = f"exactly {low}" if high == low else f"at least {low}"
        return f"expected {wanted} sources, found {len(images.sources)}; give them with --sources"
    if metric.needs is None:
        return "expected a display image, found a linear one; score a tone-mapped file"
    what = {"truth": "a true image", "true_radiance": "true radiance", "radiance": "radiance"}
    return f"expected {what[metric.needs]} to compare with, found none; give it with --truth"
