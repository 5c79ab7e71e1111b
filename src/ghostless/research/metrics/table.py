"""The table of metrics: what each needs, which way it is better, where it was published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from . import (
    color_video_vdp,
    exposure_fusion,
    gradient,
    hdr_vdp,
    information,
    lost,
    perception,
    phase_congruency,
    radiance,
    structure,
    truth,
)
from .images import Images as Images
from .images import (
    greys,
    mean_over_sources,
    of_intensity,
    of_result,
    of_saturation,
    of_whole_images,
    per_channel,
    sum_over_sources,
    to_radiance,
    to_truth,
)

Need = Literal["sources", "truth", "true_radiance", "radiance"]


@dataclass(frozen=True)
class Metric:
    """What there is to know about a metric.

    needs: what it compares the result with; empty for a metric of the result alone.
    sources: how many sources it takes, least and most (None for any number).
    value_range: smallest and largest value that it can have; None for unbounded.
    mefb: one of the twenty metrics of MEFB (Zhang, Information Fusion 2021).
    package: the optional package that computes it; such a metric runs only when named.
    comparable: whether means over pictures say which method is better; the benchmark ranks no
        methods by the others, and their note says why.
    tensor_form: whether `research.metrics.tensor` computes it too, on any device, in batches.
    note: how far its values have been checked, where that is not against the official code.
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
    package: str | None = None
    comparable: bool = True
    tensor_form: bool = True
    note: str = ""

    def applies_to(self, images: Images) -> bool:
        """Whether the images hold what the metric needs."""
        if images.is_display == (self.needs == "true_radiance"):
            return False
        if self.needs == "sources":
            low, high = self.sources
            return len(images.sources) >= low and (high is None or len(images.sources) <= high)
        return self.needs is None or getattr(images, self.needs) is not None


def _mefb(name: str, summary: str, compute: Any, paper: str, **facts: Any) -> Metric:
    facts.setdefault("needs", "sources")
    return Metric(name, summary, compute, paper, sources=(2, 2), mefb=True, **facts)


_ROUNDING = "in flat (clipped) windows it divides rounding errors, as MEFB's program does"

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        # To a true display image.
        Metric(
            "PSNR",
            "peak signal-to-noise ratio, dB, peak 255",
            to_truth(truth.psnr),
            "definition",
            needs="truth",
            value_range=(None, None),
        ),
        Metric(
            "PSNR_I",
            "PSNR of intensity, dB, peak 255",
            of_intensity(truth.psnr),
            "Xu, Ma, Zhang: MEF-GAN, TIP 2020",
            needs="truth",
            value_range=(None, None),
        ),
        Metric(
            "PSNR_S",
            "PSNR of saturation, dB, peak 255",
            of_saturation(truth.psnr),
            "Xu, Ma, Zhang: MEF-GAN, TIP 2020",
            needs="truth",
            value_range=(None, None),
        ),
        Metric(
            "CC_I",
            "correlation of intensity",
            of_intensity(truth.correlation),
            "Xu, Ma, Zhang: MEF-GAN, TIP 2020",
            needs="truth",
            value_range=(-1, 1),
        ),
        Metric(
            "CC_S",
            "correlation of saturation",
            of_saturation(truth.correlation),
            "Xu, Ma, Zhang: MEF-GAN, TIP 2020",
            needs="truth",
            value_range=(-1, 1),
        ),
        Metric(
            "SSIM",
            "structural similarity, mean over R, G, B",
            to_truth(truth.ssim),
            "Wang et al.: Image quality assessment, TIP 2004",
            needs="truth",
            value_range=(-1, 1),
        ),
        Metric(
            "MS_SSIM",
            "structural similarity over five scales, mean over R, G, B",
            to_truth(truth.ms_ssim),
            "Wang, Simoncelli, Bovik: Multi-scale structural similarity, Asilomar 2003",
            needs="truth",
        ),
        Metric(
            "RGB_shares",
            "largest difference of R's, G's or B's share of all levels from the truth's, percent",
            to_truth(truth.difference_of_shares),
            "after figure 8 of Li et al.: Learning a coordinated network (LCNDR)",
            needs="truth",
            higher_is_better=False,
            value_range=(0, 100),
            tensor_form=False,
        ),
        Metric(
            "CVVDP",
            "ColorVideoVDP on a 4K display, JOD",
            to_truth(color_video_vdp.color_video_vdp),
            "Mantiuk et al.: ColorVideoVDP, SIGGRAPH 2024, by the package cvvdp",
            needs="truth",
            value_range=(None, 10),
            package="cvvdp",
            tensor_form=False,
        ),
        # To true radiance.
        Metric(
            "PSNR_mu",
            "PSNR after the mu-law, dB",
            to_radiance(radiance.psnr_mu),
            "Kalantari, Ramamoorthi: Deep HDR imaging of dynamic scenes, TOG 2017",
            needs="true_radiance",
            value_range=(None, None),
        ),
        Metric(
            "PSNR_linear",
            "PSNR of linear radiance, dB",
            to_radiance(radiance.psnr_linear),
            "Kalantari, Ramamoorthi: Deep HDR imaging of dynamic scenes, TOG 2017",
            needs="true_radiance",
            value_range=(None, None),
        ),
        Metric(
            "SSIM_mu",
            "SSIM after the mu-law",
            to_radiance(radiance.ssim_mu),
            "Niu et al.: HDR-GAN, TIP 2021",
            needs="true_radiance",
            value_range=(-1, 1),
        ),
        Metric(
            "SSIM_linear",
            "SSIM of linear radiance",
            to_radiance(radiance.ssim_linear),
            "Niu et al.: HDR-GAN, TIP 2021",
            needs="true_radiance",
            value_range=(-1, 1),
        ),
        Metric(
            "PU21_PSNR",
            "PSNR of perceptually uniform luminance, dB, white at 203 cd/m2",
            to_radiance(radiance.pu21_psnr),
            "Mantiuk, Azimi: PU21, Picture Coding Symposium 2021",
            needs="true_radiance",
            value_range=(None, None),
        ),
        Metric(
            "PU21_SSIM",
            "SSIM of perceptually uniform luminance, white at 203 cd/m2",
            to_radiance(radiance.pu21_ssim),
            "Mantiuk, Azimi: PU21, Picture Coding Symposium 2021",
            needs="true_radiance",
            value_range=(-1, 1),
        ),
        Metric(
            "HDR_VDP2",
            "HDR-VDP-2's quality correlate, 24-inch display at 0.5 m, white at 203 cd/m2",
            to_radiance(hdr_vdp.hdr_vdp_quality),
            "Mantiuk et al.: HDR-VDP-2, SIGGRAPH 2011; Narwaria et al.: HDR-VDP-2.2, JEI 2015",
            needs="true_radiance",
            value_range=(None, 100),
            tensor_form=False,
            note="built from its description, not checked against the original",
        ),
        Metric(
            "CVVDP_HDR",
            "ColorVideoVDP on an HDR display, JOD, white at 203 cd/m2",
            to_radiance(color_video_vdp.color_video_vdp_hdr),
            "Mantiuk et al.: ColorVideoVDP, SIGGRAPH 2024, by the package cvvdp",
            needs="true_radiance",
            value_range=(None, 10),
            package="cvvdp",
            tensor_form=False,
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
            lambda images: exposure_fusion.mef_ssim(*greys(images)),
            "Ma, Zeng, Wang: Perceptual quality assessment for MEF, TIP 2015",
            needs="sources",
            mefb=True,
        ),
        Metric(
            "MEF_SSIM1",
            "MEF-SSIM on the full scale only",
            lambda images: exposure_fusion.mef_ssim_single_scale(*greys(images)),
            "Ma, Zeng, Wang: Perceptual quality assessment for MEF, TIP 2015",
            needs="sources",
            value_range=(-1, 1),
        ),
        Metric(
            "MEF_SSIMd",
            "MEF-SSIM for moving scenes: what moves should be shown once",
            lambda images: exposure_fusion.mef_ssim_moving(*greys(images)),
            "Fang, Zhu, Ma, Wang, Li: Perceptual evaluation for MEF of dynamic scenes, TIP 2020",
            needs="sources",
            value_range=(-1, 1),
            tensor_form=False,
            note="built from the paper, not checked against the authors' code",
        ),
        Metric(
            "MI",
            "mutual information with the sources, bits, summed",
            sum_over_sources(information.mutual_information),
            "Qu, Zhang, Yan: Information measure for image fusion, Electronics Letters 2002",
            needs="sources",
            value_range=(0, None),
        ),
        Metric(
            "CC",
            "correlation with the sources' grey values, mean",
            mean_over_sources(truth.correlation),
            "Li, Liu, Zhou, Zhang, Kasabov: Learning a coordinated network (LCNDR)",
            needs="sources",
            value_range=(-1, 1),
        ),
        Metric(
            "MSSIM",
            "SSIM with the sources' grey values, mean",
            mean_over_sources(truth.ssim),
            "Xu, Ma, Zhang: MEF-GAN, TIP 2020",
            needs="sources",
            value_range=(-1, 1),
        ),
        Metric(
            "SD_grey",
            "standard deviation of the grey values",
            lambda images: gradient.standard_deviation(greys(images)[1].astype(np.uint8)),
            "Xu, Ma, Zhang: MEF-GAN, TIP 2020, equation 20",
            value_range=(0, 127.5),
            tensor_form=False,
        ),
        *(
            Metric(
                name,
                f"percent of the pixels that are {what}, though a source shows something there",
                function,
                "definition",
                needs="sources",
                higher_is_better=False,
                value_range=(0, 100),
                sources=(1, None),
                tensor_form=False,
            )
            for name, what, function in (
                ("Crushed", "3 or less", lost.crushed),
                ("Blown", "252 or more", lost.blown),
            )
        ),
        # Two of MEFB's as exact arithmetic has them: these can be compared on clipped scenes too.
        Metric(
            "Qc_exact",
            "Qc, flat windows without rounding errors",
            lambda images: images.exact_window_similarities.cvejic,
            "Cvejic et al.: Int. J. Signal Processing 2005",
            needs="sources",
            value_range=(-1, 1),
            sources=(2, 2),
        ),
        Metric(
            "Qy_exact",
            "Qy, flat windows without rounding errors",
            lambda images: images.exact_window_similarities.yang,
            "Yang et al.: Information Fusion 2008",
            needs="sources",
            value_range=(-1, 1),
            sources=(2, 2),
        ),
        # The rest of MEFB's twenty, on exactly two sources, mean over R, G, B.
        _mefb(
            "Cross_entropy",
            "relative entropy of the sources' levels, bits",
            per_channel(information.cross_entropy),
            "Bulanon, Burks, Alchanatis: Biosystems Engineering 2009",
            higher_is_better=False,
            value_range=(None, None),
        ),
        _mefb(
            "Entropy",
            "entropy of the levels, bits",
            of_result(information.entropy),
            "van Aardt: J. Applied Remote Sensing 2008",
            needs=None,
            value_range=(0, 8),
        ),
        _mefb(
            "FMI",
            "mutual information of edges",
            per_channel(information.feature_mutual_information),
            "Haghighat, Razian: Fast-FMI, AICT 2014",
        ),
        _mefb(
            "NMI",
            "normalised mutual information",
            per_channel(information.normalised_mutual_information),
            "Hossny, Nahavandi, Creighton: Electronics Letters 2008",
            value_range=(0, 2),
        ),
        _mefb(
            "Psnr",
            "MEFB's PSNR (root of the squared error over the pixel count), dB",
            per_channel(information.benchmark_psnr),
            "Jagalingam, Hegde: Aquatic Procedia 2015, as computed by MEFB",
            value_range=(None, None),
        ),
        _mefb(
            "Qncie",
            "nonlinear correlation information entropy",
            per_channel(information.nonlinear_correlation_entropy),
            "Wang, Shen, Zhang: Physica D 2005",
        ),
        _mefb(
            "TE",
            "Tsallis mutual information",
            per_channel(information.tsallis_information),
            "Cvejic, Canagarajah, Bull: Electronics Letters 2006",
            value_range=(None, None),
        ),
        _mefb(
            "Avg_gradient",
            "mean gradient, levels",
            of_result(gradient.average_gradient),
            "Cui et al.: Optics Communications 2015",
            needs=None,
            value_range=(0, None),
        ),
        _mefb(
            "Edge_intensity",
            "mean Sobel response",
            of_result(gradient.edge_intensity),
            "Rajalingam, Priya 2018",
            needs=None,
            value_range=(0, None),
        ),
        _mefb(
            "Qabf",
            "edge strength and orientation kept",
            per_channel(gradient.edge_preservation),
            "Xydeas, Petrovic: Objective image fusion performance measure 2000",
        ),
        _mefb(
            "Qp",
            "phase congruency kept",
            of_whole_images(phase_congruency.phase_congruency_quality),
            "Zhao, Laganiere, Liu: IJICIC 2007",
            tensor_form=False,
        ),
        _mefb(
            "SD",
            "standard deviation of the levels",
            of_result(gradient.standard_deviation),
            "definition",
            needs=None,
            value_range=(0, 127.5),
        ),
        _mefb(
            "Spatial_frequency",
            "root mean squared differences of neighbours",
            of_result(gradient.spatial_frequency),
            "Eskicioglu, Fisher: Trans. Communications 1995",
            needs=None,
            value_range=(0, None),
        ),
        _mefb(
            "Qc",
            "similarity weighted by covariance",
            lambda images: images.window_similarities.cvejic,
            "Cvejic et al.: Int. J. Signal Processing 2005",
            value_range=(None, None),
            tensor_form=False,
            comparable=False,
            note=_ROUNDING,
        ),
        _mefb(
            "Qw",
            "similarity of edges weighted by saliency",
            per_channel(structure.piella_edge_similarity),
            "Piella, Heijmans: ICIP 2003",
            value_range=(-1, 1),
        ),
        _mefb(
            "Qy",
            "similarity, redundant and complementary parts apart",
            lambda images: images.window_similarities.yang,
            "Yang et al.: Information Fusion 2008",
            value_range=(None, None),
            tensor_form=False,
            comparable=False,
            note=_ROUNDING,
        ),
        _mefb(
            "Qcb",
            "contrast kept after contrast sensitivity",
            per_channel(perception.chen_blum_quality),
            "Chen, Blum: Image and Vision Computing 2009",
        ),
        _mefb(
            "Qcv",
            "visible difference weighted by edges",
            per_channel(perception.chen_varshney_quality),
            "Chen, Varshney: Information Fusion 2007",
            higher_is_better=False,
            value_range=(0, None),
        ),
        _mefb(
            "VIF",
            "visual information kept",
            per_channel(perception.fusion_visual_information),
            "Han et al.: Information Fusion 2013",
            value_range=(0, None),
        ),
    )
}
