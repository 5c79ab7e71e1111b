"""Numbers of a training of Chen & Chuang's networks, and the presets.

Preset "paper": VGG-19 perceptual loss, whose weights the user names, and a conditional PatchGAN
with least-squares loss (weight 0.01); frames registered by the frozen network of the first stage.
`pool_last=true` takes "after every two convolutional layers" literally: six poolings.
Preset "program": the same numbers, for no program of theirs was published.
Preset "default": the homography network with six poolings (6.9 million parameters, not 19.5) and
instance norm after its first four convolutions only, on small patches and motions first, and with
heads that say how far each cell of its grids moved: without these it stays at chance for tens of
thousands of pairs, with them it starts after some ten thousand. Fusion without discriminator, the
frames misaligned by what a good aligner leaves, and in place of a perceptual loss
`quality.scale_space_loss`, which says what that costs. A gate beside the attention that is taught
what moved (`nn.gate`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from ...errors import OptionError
from ...nn.homography import CONVOLUTIONS
from .recipe import Recipe, check_choices
from .samples import Spread

_ITERATIONS_PER_EPOCH = 471
_ADVERSARIAL_WEIGHT = 0.01


@dataclass(frozen=True)
class ChenChuangRecipe(Recipe):
    """Numbers of a training of both stages.

    homography_steps, homography_batch, homography_rate: of the first stage; `steps`, `batch` and
        `rate` are the second's.
    homography_channels, instance_norms, pool_last: of the homography network's architecture.
    homography_spread: of the corners' motion, see `samples.Motion`.
    homography_loss: "squared" error of the offsets, or "robust": smooth L1.
    homography_pool: exposure pairs that are simulated once and cut anew with new motions at every
        step; 0 for fresh ones each time, which a CPU is too slow for. 0.9 MB of memory each.
    second_passes: share of the patches of 256 pixels that are such as a second pass sees, which
        begins from the answer of the first: nearly in place, with a border that is repeated.
    small_first: whether patches and motions start small, see `growth_of`.
    local_weight: of the motion of each cell of the last four grids; 0 for no such heads.
    full_size_skip: of the generator's architecture.
    adversarial_weight: 0 trains no discriminator. mef_ssim_weight: of 1 - MEF-SSIM to the frames,
        beside the likeness to the reference, on the same scale of 255.
    registration: what brings the frames of the second stage together: the frozen "network" of the
        first (patches of 256 pixels), or "aligner": they are aligned but for a small rest, or
        "none": as far apart as for the network (the paper's ablation).
    rest_pixels: the largest rest at the corners. moving_share: of samples in which things move;
        the default leaves those to the line's deghosting.
    vgg: path to VGG-19's weights for the perceptual loss (equation 1). vgg_scale: whose they are,
        "caffe" (the paper's lambdas) or "torchvision" (lambdas measured). vgg_pooling: "average" as
        in the program that the lambdas come from, or "max". vgg_channels: what the first layer was
        trained on, "bgr" or "rgb"; "auto" is bgr for Caffe's.
    squeezenet: path to SqueezeNet's features, in place of VGG-19's; lambdas are measured.
    lambdas: "auto", or numbers with commas, the input's first, then a layer's each.
    lambda_pairs: how many pairs of a picture and a middle exposure lambdas are measured on.
    stand_in: what to do without a file of features: True takes `quality.scale_space_loss`, False
        refuses.
    learns: "everything", or "attention" alone, on moving pairs: quick, for a start.
    attention_weight: of the loss by which attention learns what moved, on moving pairs of its own
        (`attention_losses.attention_loss`); 0 leaves that to the other losses, as the paper does.
    attention_batch, attention_patch: of those pairs; 0 for the recipe's. attention_pool: so many
        are simulated once and mirrored anew at every step; 0 for fresh ones.
    apart_share: of those pairs that lie apart by up to `apart_pixels` at the corners, as frames do
        that nobody registered.
    condition: what the discriminator judges beside: the over-exposed frame "warped" (the paper's
        overview) or "unwarped" (its equations 2 and 3).
    """

    homography_steps: int = 60_000
    homography_batch: int = 64
    homography_rate: float = 5e-4
    homography_channels: int = 64
    homography_spread: Spread = "uniform"
    homography_loss: Literal["squared", "robust"] = "robust"
    homography_pool: int = 0
    instance_norms: int = 4
    pool_last: bool = True
    second_passes: float = 0.5
    small_first: bool = True
    local_weight: float = 1.0
    full_size_skip: bool = False
    adversarial_weight: float = 0.0
    mef_ssim_weight: float = 1.0
    registration: Literal["network", "aligner", "none"] = "aligner"
    rest_pixels: float = 1.5
    moving_share: float = 0.0
    vgg: str | None = None
    vgg_scale: Literal["caffe", "torchvision"] = "caffe"
    vgg_pooling: Literal["average", "max"] = "average"
    vgg_channels: Literal["auto", "rgb", "bgr"] = "auto"
    squeezenet: str | None = None
    lambdas: str = "auto"
    lambda_pairs: int = 200
    stand_in: bool = True
    learns: Literal["everything", "attention"] = "everything"
    attention_weight: float = 20.0
    attention_batch: int = 0
    attention_pool: int = 0
    attention_patch: int = 0
    apart_share: float = 0.2
    apart_pixels: float = 12.0
    condition: Literal["warped", "unwarped"] = "warped"
    photo_pairs: Literal["extremes", "mirrored"] = "mirrored"
    architecture: Mapping[str, Any] = field(
        default_factory=lambda: {"adds_to": "local fusion", "gate": True, "shifts": 4}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(
            self,
            homography_spread=get_args(Spread),
            homography_loss=("squared", "robust"),
            registration=("network", "aligner", "none"),
            vgg_scale=("caffe", "torchvision"),
            vgg_pooling=("average", "max"),
            vgg_channels=("auto", "rgb", "bgr"),
            learns=("everything", "attention"),
            condition=("warped", "unwarped"),
        )
        if self.learns == "attention" and not self.attention_weight:
            raise OptionError("attention_weight: expected more than 0 to learn attention, found 0")
        if self.vgg is not None and self.squeezenet is not None:
            raise OptionError("vgg: expected one network of features, found squeezenet too")
        if not 0 <= self.second_passes <= 1:
            raise OptionError(f"second_passes: expected 0 to 1, found {self.second_passes}")
        for name in (
            "homography_pool",
            "local_weight",
            "attention_weight",
            "attention_batch",
            "attention_patch",
            "attention_pool",
        ):
            if getattr(self, name) < 0:
                raise OptionError(f"{name}: expected 0 or more, found {getattr(self, name)}")
        if self.small_first and not self.local_weight:
            raise OptionError(
                "small_first: expected a local_weight above 0 with it, found 0: small patches "
                "teach nothing else"
            )

    def numbers_of(self, stage: str | None) -> Mapping[str, str]:
        if stage != "homography":
            return {}
        return {name: f"homography_{name}" for name in ("steps", "batch")}


_PAPER = ChenChuangRecipe(
    preset="paper",
    steps=200 * _ITERATIONS_PER_EPOCH,
    batch=4,
    patch_pixels=256,
    rate=1e-4,
    schedule="constant",
    ema_decay=0.0,
    homography_steps=500 * _ITERATIONS_PER_EPOCH,
    homography_batch=4,
    homography_rate=1e-4,
    homography_spread="normal",
    homography_loss="squared",
    instance_norms=CONVOLUTIONS,
    pool_last=False,
    second_passes=0.0,
    small_first=False,
    local_weight=0.0,
    adversarial_weight=_ADVERSARIAL_WEIGHT,
    mef_ssim_weight=0.0,
    registration="network",
    moving_share=0.0,
    attention_weight=0.0,
    stand_in=False,
    architecture={},
    photo_size="1200x800",
)
PRESETS: Mapping[str, ChenChuangRecipe] = {
    "paper": _PAPER,
    "program": replace(_PAPER, preset="program"),
    "default": ChenChuangRecipe(),
}
