"""The table of ablations: variants of each method as its paper compares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..train.samples import TrainingData
from ...errors import unknown_name
from ...methods import METHODS
from .held_out import Scene, brackets, hdr_gan_outputs, moved_pairs, still_pairs


@dataclass(frozen=True)
class Variant:
    """One row of a table.

    architecture: switches of the network. recipe: changed numbers of the training. settings: of
    the method when it fuses. published: the paper's own figures, by our metrics' names.
    """

    name: str
    architecture: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Ablation:
    """All of a paper's ablations.

    tables: names of variants by the title of their table. batch, patch: of the brief trainings.
    scenes: makes the held-out scenes. first_stage: trained once for all variants, if there is one.
    recipe: changed numbers of every training. settings: of the method, for every variant.
    outputs: gives every output of a network that has several, for scores of their own.
    note: what a reader must know.
    """

    variants: tuple[Variant, ...]
    tables: Mapping[str, tuple[str, ...]]
    metrics: tuple[str, ...]
    batch: int
    patch: int
    scenes: Callable[[TrainingData], list[Scene]]
    stage: str = "fusion"
    first_stage: str | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    outputs: Callable[[Any, Scene], list[Any]] | None = None
    note: str = ""


_LUMA_METRICS = ("MEF_SSIM", "PSNR", "MI", "CC")


def _lcndr(*values: float) -> dict[str, float]:
    return dict(zip(_LUMA_METRICS, values, strict=True))


_HDR_METRICS = ("PSNR_mu", "PSNR_linear", "SSIM_mu", "SSIM_linear")


def _hdr_gan(*values: float) -> dict[str, float]:
    return dict(zip(_HDR_METRICS, values, strict=True))


_TONE_METRICS = ("TMQI", "TMQI_fidelity", "TMQI_naturalness")


def _dpgn(*values: float) -> dict[str, float]:
    return dict(zip(_TONE_METRICS, values, strict=True))


CHEN_CHUANG = Ablation(
    variants=(
        Variant("full", recipe={"registration": "network"}, settings={"homography": "on"}),
        Variant(
            "without homography",
            recipe={"registration": "none"},
            settings={"homography": "off"},
        ),
        Variant(
            "without attention",
            architecture={"attention": False, "gate": False},
            recipe={"registration": "network"},
            settings={"homography": "on"},
        ),
        Variant(
            "added to a local fusion",
            architecture={"adds_to": "local fusion"},
            recipe={"registration": "network"},
            settings={"homography": "on"},
        ),
    ),
    tables={
        "Components (figure 6)": ("full", "without homography", "without attention"),
        "What the output is added to (ours)": ("added to a local fusion", "full"),
    },
    metrics=("PSNR", "SSIM", "MS_SSIM"),
    batch=4,
    patch=256,
    scenes=moved_pairs,
    first_stage="homography",
    recipe={"stand_in": True},
    note="Losses that need no trained features unless a file is named. Scored on pairs whose "
    "brighter frame is moved by up to 32 of 256 pixels at each corner. The paper shows pictures "
    "only.",
)

MEF_GAN = Ablation(
    variants=(
        Variant("full"),
        Variant("without local detail block", architecture={"local_block": False}),
        Variant("without self-attention block", architecture={"attention_block": False}),
        Variant("without gradient loss", recipe={"gradient_weight": 0.0}),
    ),
    tables={
        "Blocks (table III)": (
            "full",
            "without local detail block",
            "without self-attention block",
        ),
        "Gradient loss (figure 11)": ("full", "without gradient loss"),
    },
    metrics=("PSNR_I", "PSNR_S", "CC_I", "CC_S", "MSSIM", "SD_grey"),
    batch=8,
    patch=144,
    scenes=still_pairs,
    settings={"brightness": "net"},
    note="The figures of the paper's table are not at hand.",
)

LCNDR = Ablation(
    variants=(
        Variant("full", published=_lcndr(0.936, 19.521, 7.176, 0.980)),
        Variant(
            "without extraction (CEM)",
            architecture={"extraction": False},
            published=_lcndr(0.916, 18.848, 6.890, 0.952),
        ),
        Variant(
            "without edge revision (ERM)",
            architecture={"edge_revision": False},
            published=_lcndr(0.866, 13.787, 5.714, 0.948),
        ),
        Variant(
            "without self-attention (SAM)",
            architecture={"attention": False},
            published=_lcndr(0.925, 19.153, 6.963, 0.957),
        ),
        Variant(
            "without coordinated modules (CEM, SAM)",
            architecture={"extraction": False, "attention": False},
        ),
        Variant(
            "1 coordinate-attention block",
            architecture={"coordinate_blocks": 1},
            published=_lcndr(0.930, 19.387, 7.025, 0.972),
        ),
        Variant(
            "2 coordinate-attention blocks",
            architecture={"coordinate_blocks": 2},
            published=_lcndr(0.933, 19.493, 7.108, 0.976),
        ),
        Variant(
            "add, add",
            architecture={"tradeoff": "add_add"},
            published=_lcndr(0.886, 13.787, 6.023, 0.864),
        ),
        Variant(
            "add, multiply",
            architecture={"tradeoff": "add_multiply"},
            published=_lcndr(0.816, 10.706, 6.068, 0.801),
        ),
        Variant(
            "multiply, multiply",
            architecture={"tradeoff": "multiply_multiply"},
            published=_lcndr(0.902, 18.753, 7.105, 0.912),
        ),
    ),
    tables={
        "Modules (table IV)": (
            "full",
            "without extraction (CEM)",
            "without edge revision (ERM)",
            "without self-attention (SAM)",
        ),
        "Coordinate-attention blocks (table V)": (
            "1 coordinate-attention block",
            "2 coordinate-attention blocks",
            "full",
        ),
        "Colour (figure 8)": ("without coordinated modules (CEM, SAM)", "full"),
        "Feature trade-off, over then under (table VI)": (
            "add, add",
            "add, multiply",
            "multiply, multiply",
            "full",
        ),
    },
    metrics=(*_LUMA_METRICS, "PSNR_S", "RGB_shares"),
    batch=8,
    patch=128,
    scenes=still_pairs,
    settings={"chroma": "net"},
    note="The marks of table IV cannot be read; its rows M1 to M3 are taken in the order of "
    "its columns C, E, S.",
)

HDR_GAN = Ablation(
    variants=(
        Variant("full", published=_hdr_gan(43.922, 41.572, 0.9905, 0.9865)),
        Variant(
            "two scales",
            architecture={"scales": 2},
            published=_hdr_gan(43.710, 41.139, 0.9904, 0.9855),
        ),
        Variant(
            "four scales",
            architecture={"scales": 4},
            published=_hdr_gan(43.901, 41.416, 0.9906, 0.9865),
        ),
        Variant(
            "without merging blocks",
            architecture={"merging": False, "auxiliary_outputs": False},
            published=_hdr_gan(43.595, 41.009, 0.9900, 0.9854),
        ),
        Variant(
            "one supervised output",
            architecture={"auxiliary_outputs": False},
            published=_hdr_gan(43.838, 41.381, 0.9905, 0.9857),
        ),
        Variant(
            "without discriminator",
            recipe={"adversarial_weight": 0.0},
            published=_hdr_gan(43.729, 41.013, 0.9903, 0.9858),
        ),
        Variant("discriminator on the first output", recipe={"adversarial_outputs": "first"}),
        Variant("discriminator on the last output", recipe={"adversarial_outputs": "last"}),
        Variant(
            "added to a merge",
            architecture={"adds_to": "merge", "in_hdr": False, "out_hdr": False},
        ),
    ),
    tables={
        "Structure and supervision (table II)": (
            "two scales",
            "four scales",
            "without merging blocks",
            "one supervised output",
            "full",
        ),
        "Discriminator (table III)": (
            "without discriminator",
            "discriminator on the last output",
            "discriminator on the first output",
            "full",
        ),
        "What the outputs are added to (ours)": ("added to a merge", "full"),
    },
    metrics=_HDR_METRICS,
    batch=2,
    patch=128,
    scenes=brackets,
    stage="reconstruction",
    outputs=hdr_gan_outputs,
    note="Results are brought to the truth's exposure first. The second output is scored "
    "(of two scales the only one), as in the paper's best rows; every output stands in the JSON.",
)

DPGN = Ablation(
    variants=(
        Variant("CPG encoder, DPG decoder", published=_dpgn(0.8056, 0.6618, 0.5618)),
        Variant(
            "plain encoder and decoder",
            architecture={"content_priors": False, "detail_priors": False},
            published=_dpgn(0.7272, 0.5755, 0.3300),
        ),
        Variant(
            "CPG encoder only",
            architecture={"detail_priors": False},
            published=_dpgn(0.7781, 0.6105, 0.4515),
        ),
        Variant(
            "DPG decoder only",
            architecture={"content_priors": False},
            published=_dpgn(0.8014, 0.6113, 0.5767),
        ),
        Variant("added to a local fusion", architecture={"adds_to": "local fusion"}),
    ),
    tables={
        "Priors (table 2)": (
            "plain encoder and decoder",
            "CPG encoder only",
            "DPG decoder only",
            "CPG encoder, DPG decoder",
        ),
        "What the output is added to (ours)": (
            "added to a local fusion",
            "CPG encoder, DPG decoder",
        ),
    },
    metrics=(*_TONE_METRICS, "PSNR", "SSIM", "MEF_SSIM"),
    batch=4,
    patch=128,
    scenes=still_pairs,
    settings={"brightness": "net"},
    note="TMQI against the simulated scene's true radiance; the paper does not name its own.",
)


def ablation_of(method: str) -> Ablation:
    """The paper's tables of a method; raises OptionError, with the near names, if it has none."""
    known = {name: entry for name, entry in METHODS.items() if entry.ablations}
    if method not in known:
        raise unknown_name("method with ablations", method, known)
    found: Ablation = known[method].find(known[method].ablations)
    return found
