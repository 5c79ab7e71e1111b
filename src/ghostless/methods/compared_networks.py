"""Entries of the table: networks of two frames that papers compare theirs with."""

from __future__ import annotations

from ..bracket import MAX_FRAMES
from .entry import Method, PaperRuntime

_AS_PUBLISHED = {"order": "sequential", "quality": "full", "precision": "float32"}


def _on_sice(seconds: float) -> PaperRuntime:
    return PaperRuntime(
        seconds,
        "an image of the SICE set",
        "a GeForce RTX 3060",
        "the LCNDR paper's measurement",
    )


COMPARED_NETWORKS = (
    Method(
        name="u2fusion",
        summary="network: one dense net keeps of both photos as much as they tell",
        group="compare",
        settings=".settings:StretchedPairSettings",
        as_published={**_AS_PUBLISHED, "stretch": "max", "luma": "studio"},
        output="display",
        paper="Xu, Ma, Jiang, Guo, Ling: U2Fusion: A Unified Unsupervised Image Fusion "
        "Network, IEEE TPAMI 2022",
        frames=(2, MAX_FRAMES),
        frames_at_once=2,
        network=".u2fusion:NETWORK",
        published=".u2fusion:PUBLISHED",
        recipe="..research.train.u2fusion",
        paper_parameters={"network": 659_217},
        paper_runtime=_on_sice(1.156),
    ),
    Method(
        name="pmgi",
        summary="network: two paths, one led by each photo, that exchange what they find",
        group="compare",
        settings=".settings:StretchedPairSettings",
        as_published={**_AS_PUBLISHED, "stretch": "minmax", "luma": "studio"},
        output="display",
        paper="Zhang, Xu, Xiao, Guo, Ma: Rethinking the Image Fusion: A Fast Unified Image "
        "Fusion Network based on Proportional Maintenance of Gradient and Intensity, AAAI 2020",
        frames=(2, MAX_FRAMES),
        frames_at_once=2,
        network=".pmgi:NETWORK",
        published=".pmgi:PUBLISHED",
        recipe="..research.train.pmgi",
        paper_parameters={"network": 42_017},
        paper_runtime=_on_sice(0.612),
    ),
    Method(
        name="sdnet",
        summary="network: squeezes two photos into one from which both can be rebuilt",
        group="compare",
        settings=".settings:StretchedPairSettings",
        as_published={**_AS_PUBLISHED, "stretch": "minmax", "luma": "studio"},
        output="display",
        paper="Zhang, Ma: SDNet: A Versatile Squeeze-and-Decomposition Network for Real-Time "
        "Image Fusion, IJCV 2021",
        frames=(2, MAX_FRAMES),
        frames_at_once=2,
        network=".sdnet:NETWORK",
        published=".sdnet:PUBLISHED",
        recipe="..research.train.sdnet",
        paper_parameters={"squeeze": 28_705, "decomposition": 38_386},
        paper_runtime=_on_sice(0.267),
    ),
    Method(
        name="halder",
        summary="network: attention maps blend two photos, a third network brightens",
        group="compare",
        as_published=_AS_PUBLISHED,
        output="display",
        paper="Liu, Shang, Liu, Fan: HALDeR: Hierarchical Attention-Guided Learning with "
        "Detail-Refinement for Multi-Exposure Image Fusion, IEEE ICME 2021",
        frames=(2, MAX_FRAMES),
        frames_at_once=2,
        network=".halder:NETWORK",
        published=".halder:PUBLISHED",
        recipe="..research.train.halder",
        graph="..research.graphs:rgb_pair",
        paper_parameters={"network": 1_233_289},
        paper_runtime=_on_sice(0.086),
    ),
    Method(
        name="cf-net",
        summary="network: fuses two photos at half their size and enlarges the result",
        group="compare",
        as_published=_AS_PUBLISHED,
        output="display",
        paper="Deng, Zhang, Xu, Gu, Duan: Deep Coupled Feedback Network for Joint Exposure "
        "Fusion and Image Super-Resolution, IEEE TIP 2021",
        frames=(2, MAX_FRAMES),
        frames_at_once=2,
        network=".cf_net:NETWORK",
        recipe="..research.train.cf_net",
        graph="..research.graphs:rgb_pair",
        paper_parameters={"network": 17_048_297},
        paper_runtime=_on_sice(2.619),
    ),
)
