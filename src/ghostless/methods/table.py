"""The table of fusion methods: all facts about a method stand in its entry, and nowhere else.

To add a method, write a file of its name beside this one with a function
`fuse(stack, settings, *, progress=None) -> Fused`, and add an entry here. The tests run over the
table.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..bracket import MAX_FRAMES, Space
from .compared_networks import COMPARED_NETWORKS
from .entry import Attention, Method, PaperRuntime

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            name="mertens",
            summary="exposure fusion: the best-exposed, sharpest parts, blended over scales",
            settings=".mertens:MertensSettings",
            output="display",
            seconds=(0.1, 0.06),
            as_published={
                "saturation": 1.0,
                "well_exposedness": 1.0,
                "overshoot": "clip",
                "levels": "paper",
            },
            weight_maps=".mertens:weight_maps",
            wraps=True,
            paper="Mertens, Kautz, Van Reeth: Exposure Fusion, Pacific Graphics 2007",
        ),
        Method(
            name="learned-fusion",
            summary="exposure fusion with weights that a small network corrects, without torch",
            settings=".learned_fusion:LearnedFusionSettings",
            output="display",
            seconds=(0.1, 0.1),
            wraps=True,
            network="..nn.learned_fusion:NETWORK",
            runs_without_torch=True,
            recipe="..research.train.learned_fusion",
        ),
        Method(
            name="debevec",
            summary="radiance merge: one linear HDR image of the scene",
            settings=".debevec:DebevecSettings",
            output="linear",
            seconds=(0.1, 0.07),
            as_published={"weighting": "hat", "response": "estimate"},
            needs_stops=True,
            wraps=True,
            paper="Debevec, Malik: Recovering High Dynamic Range Radiance Maps from "
            "Photographs, SIGGRAPH 1997",
        ),
        Method(
            name="chen-chuang",
            summary="network: attention picks from the bright frame what fits the dark one, "
            "a U-Net merges",
            settings=".settings:ChenChuangSettings",
            output="display",
            seconds=(1.3, 0.2),
            as_published={
                "homography": "on",
                "homography_passes": 1,
                "homography_mirrored": False,
                "homography_check": False,
                "order": "extremes",
                "quality": "full",
            },
            paper="Chen, Chuang: Deep Exposure Fusion with Deghosting via Homography Estimation "
            "and Attention Learning, ICASSP 2020",
            frames=(2, MAX_FRAMES),
            frames_at_once=2,
            further_weights=("chen-chuang-homography",),
            network="..nn.chen_chuang:GENERATOR",
            best_pixels=200_000,
            attention=Attention("attention.map", gate=True),
            recipe="..research.train.chen_chuang",
            graph="..research.graphs:rgb_pair",
            ablations="..research.bench.ablations:CHEN_CHUANG",
            paper_parameters={
                "homography": 19_487_496,
                "attention": 112_512,
                "merging": 1_252_163,
                "discriminator": 2_772_673,
            },
            paper_runtime=PaperRuntime(None, "", "trained on a Tesla P100", "its paper"),
        ),
        Method(
            name="hdr-gan",
            summary="network: one linear HDR image from three frames of a moving scene",
            settings=".settings:HdrGanSettings",
            output="linear",
            seconds=(5.5, 0.2),
            as_published={"more_frames": "nearest", "response": "srgb", "quality": "full"},
            paper="Niu, Wu, Liu, Guo, Lau: HDR-GAN: HDR Image Reconstruction from Multi-Exposed "
            "LDR Images with Large Motions, IEEE TIP 2021",
            frames=(2, MAX_FRAMES),
            frames_at_once=3,
            needs_stops=True,
            deghosts=True,
            network="..nn.hdr_gan:GENERATOR",
            recipe="..research.train.hdr_gan",
            graph="..research.graphs:hdr_gan",
            ablations="..research.bench.ablations:HDR_GAN",
            paper_parameters={"generator": 2_557_382, "discriminator": 660_929},
            paper_runtime=PaperRuntime(
                0.29, "1500 x 1000 pixels in 8.8 GB", "a Tesla V100", "its paper"
            ),
        ),
        Method(
            name="mef-gan",
            summary="network: local detail and self-attention over the whole image, merged",
            settings=".settings:MefGanSettings",
            output="display",
            seconds=(2.7, 0.2),
            as_published={
                "order": "sequential",
                "chroma": "net",
                "brightness": "net",
                "quality": "full",
            },
            paper="Xu, Ma, Zhang: MEF-GAN: Multi-Exposure Image Fusion via Generative "
            "Adversarial Networks, IEEE TIP 2020",
            frames=(2, MAX_FRAMES),
            frames_at_once=2,
            network="..nn.mef_gan:GENERATOR",
            best_pixels=400_000,
            attention=Attention("attention.attention"),
            recipe="..research.train.mef_gan",
            graph="..research.graphs:rgb_pair",
            ablations="..research.bench.ablations:MEF_GAN",
            paper_parameters={"generator": 487_582, "discriminator": 1_692_961},
            paper_runtime=PaperRuntime(
                1.007,
                "an image of the SICE set",
                "a GeForce RTX 3060",
                "the LCNDR paper's measurement",
            ),
        ),
        Method(
            name="lcndr",
            summary="network: weight maps for the luma by coordinate attention and self-attention",
            settings=".settings:LcndrSettings",
            output="display",
            seconds=(3.2, 0.2),
            as_published={"order": "sequential", "chroma": "net", "quality": "full"},
            paper="Li, Liu, Zhou, Zhang, Kasabov: Learning a Coordinated Network for "
            "Detail-refinement Multi-exposure Image Fusion, accepted 2022",
            frames=(2, MAX_FRAMES),
            frames_at_once=2,
            network="..nn.lcndr:NETWORK",
            best_pixels=400_000,
            attention=Attention("branch.attention.attention"),
            recipe="..research.train.lcndr",
            graph="..research.graphs:lcndr",
            ablations="..research.bench.ablations:LCNDR",
            paper_parameters={"network": 219_099},
            paper_runtime=PaperRuntime(
                0.079, "an image of the SICE set", "a GeForce RTX 3060", "its paper"
            ),
        ),
        Method(
            name="dpgn",
            summary="network: a U-Net guided at every scale by the pyramids of exposure fusion",
            settings=".settings:PaintingSettings",
            output="display",
            seconds=(2.8, 0.2),
            as_published={
                "order": "extremes",
                "chroma": "prior",
                "brightness": "net",
                "quality": "full",
            },
            paper="Yin, Chen, Peng, Tsai: Deep Prior Guided Network for High-Quality Image "
            "Fusion, ICME 2020",
            frames=(2, MAX_FRAMES),
            frames_at_once=2,
            network="..nn.dpgn_tiled:NETWORK",
            recipe="..research.train.dpgn",
            graph="..research.graphs:dpgn",
            ablations="..research.bench.ablations:DPGN",
            paper_parameters={"generator": 43_739_937, "discriminator": 2_766_529},
            paper_runtime=PaperRuntime(None, "", "trained on a TITAN RTX", "its paper"),
        ),
        Method(
            name="fmmef",
            summary="small patches of most contrast, over scales: quick, much detail",
            settings=".fmmef:FmmefSettings",
            output="display",
            seconds=(0, 0.45),
            paper="Li, Ma, Yong, Zhang: Fast Multi-Scale Structural Patch Decomposition for "
            "Multi-Exposure Image Fusion, IEEE TIP 2020",
        ),
        Method(
            name="spd-mef",
            summary="large patches of most contrast, averaged: local contrast everywhere",
            settings=".spd_mef:SpdMefSettings",
            output="display",
            seconds=(0, 0.47),
            paper="Ma, Li, Yong, Wang, Meng, Zhang: Robust Multi-Exposure Image Fusion: A "
            "Structural Patch Decomposition Approach, IEEE TIP 2017",
        ),
        Method(
            name="mespd",
            summary="as fmmef, with edges left whole: light and airy",
            group="compare",
            settings=".mespd:MespdSettings",
            as_published={"as_published": True},
            output="display",
            seconds=(0, 0.55),
            paper="Li, Chan, Qi, Xie: Detail-Preserving Multi-Exposure Fusion with "
            "Edge-Preserving Structural Patch Decomposition, IEEE TCSVT 2021",
        ),
        Method(
            name="dem",
            summary="exposure fusion in YUV: what is brighter in the scene stays brighter",
            group="compare",
            settings=".dem:DemSettings",
            output="display",
            seconds=(0, 0.09),
            wraps=True,
            paper="Wang, Chen, Wu, Li: Detail-Enhanced Multi-Scale Exposure Fusion in YUV Color "
            "Space, IEEE TCSVT 2020",
        ),
        Method(
            name="kou",
            summary="exposure fusion whose weights keep to edges on every scale",
            group="compare",
            settings=".kou:KouSettings",
            output="display",
            seconds=(0, 0.52),
            paper="Kou, Li, Wen, Chen: Multi-Scale Exposure Fusion via Gradient Domain Guided "
            "Image Filtering, IEEE ICME 2017",
        ),
        Method(
            name="fler",
            summary="two photos far apart, with a virtual one made between them",
            group="compare",
            settings=".fler:FlerSettings",
            as_published={"as_published": True},
            output="display",
            seconds=(0, 1.5),
            frames=(2, 2),
            paper="Yang, Cao, Wu, Li: Multi-Scale Fusion of Two Large-Exposure-Ratio Images, "
            "IEEE Signal Processing Letters 2018",
        ),
        Method(
            name="gff",
            summary="the frame of most detail, weights smoothed along edges; no pyramid",
            group="compare",
            settings=".gff:GffSettings",
            as_published={"as_published": True},
            output="display",
            seconds=(0, 0.61),
            paper="Li, Kang, Hu: Image Fusion with Guided Filtering, IEEE TIP 2013",
        ),
        Method(
            name="dsift-ef",
            summary="the frame of most structure around, chosen by dense SIFT; no pyramid",
            group="compare",
            settings=".dsift_ef:DsiftEfSettings",
            as_published={"as_published": True},
            output="display",
            seconds=(0.025, 0.64),
            in_stripes=False,
            paper="Liu, Wang: Dense SIFT for Ghost-Free Multi-Exposure Fusion, Journal of Visual "
            "Communication and Image Representation 2015",
        ),
        Method(
            name="gd",
            summary="the strongest gradients, integrated: even light, details everywhere",
            group="compare",
            settings=".gd:GdSettings",
            as_published={"as_published": True},
            output="display",
            seconds=(0.01, 0.16),
            in_stripes=False,
            paper="Paul, Sevcenco, Agathoklis: Multi-Exposure and Multi-Focus Image Fusion in "
            "Gradient Domain, Journal of Circuits, Systems and Computers 2016",
        ),
        Method(
            name="li",
            summary="as kou with another filter, and the details of all frames on top: drastic",
            group="compare",
            settings=".li:LiSettings",
            as_published={"detail": 1.0, "smoothness": 1.0},
            output="display",
            seconds=(0, 2),
            in_stripes=False,
            paper="Li, Wei, Wen, Zheng: Detail-Enhanced Multi-Scale Exposure Fusion, IEEE TIP 2017",
        ),
        Method(
            name="eef",
            summary="every frame as several of less range, fused: nothing overshoots",
            group="compare",
            settings=".eef:EefSettings",
            as_published={"slope_weight": True},
            output="display",
            seconds=(0, 0.7),
            wraps=True,
            paper="Hessel, Morel: An Extended Exposure Fusion and its Application to Single Image "
            "Contrast Enhancement, WACV 2020",
        ),
        Method(
            name="sen",
            summary="patches of the other frames where the reference tells nothing: HDR of a "
            "moving scene",
            group="compare",
            settings=".sen:SenSettings",
            output="linear",
            seconds=(0, 4.2),
            as_published={"response": "srgb"},
            needs_stops=True,
            deghosts=True,
            in_stripes=False,
            paper="Sen, Kalantari, Yaesoubi, Darabi, Goldman, Shechtman: Robust Patch-Based HDR "
            "Reconstruction of Dynamic Scenes, SIGGRAPH Asia 2012",
        ),
        Method(
            name="hu",
            summary="every frame rebuilt as if taken with the reference, then merged: HDR of a "
            "moving scene",
            group="compare",
            settings=".hu:HuSettings",
            output="linear",
            seconds=(0, 4.8),
            as_published={"response": "srgb"},
            needs_stops=True,
            deghosts=True,
            in_stripes=False,
            paper="Hu, Gallo, Pulli, Sun: HDR Deghosting: How to Deal with Saturation?, CVPR 2013",
        ),
        *COMPARED_NETWORKS,
    )
}

# What "auto" takes, by the space of the file and the number of photos; None: any other number.
AUTO: Mapping[Space, Mapping[int | None, str]] = {
    "display": {2: "learned-fusion", None: "mertens"},
    "linear": {None: "debevec"},
}
