"""The table of fusion methods. Facts about a method stand here as data, and nowhere else.

To add a method, write one file beside this one with a settings dataclass and a function
`fuse(stack, settings, *, progress=None) -> Fused`, and add one entry to `METHODS`. The tests run
over the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..bracket import MAX_FRAMES, Fused, Mask, Space, Stack
from ..errors import BracketError, OptionError, unknown_name
from ..io.arrays import Photos
from ..nn.settings import needs_networks_extra
from ..pixels.seam import folded, unrolled

FuseFunction = Callable[..., Fused]


@dataclass(frozen=True)
class Method:
    """What there is to know about a fusion method before it runs.

    load: returns (fuse function, settings class); imports the method's file only when called.
    frames: smallest and largest number of frames that it takes.
    frames_at_once: how many frames its network sees at once, the others being fused in turn or
        chosen from; None for methods that see all.
    reference: whether the result keeps the geometry and moving things of one frame ("frame") or
        treats all frames alike ("none").
    needs_stops: whether exposures must be known.
    planes: what it works on: "rgb", or "luma" with the chroma fused by rule.
    output: space of the result.
    aligns, deghosts: whether it registers frames or rejects moving things by itself.
    size_multiple: sides are padded to a multiple of this and cropped back.
    large_images: how a large image is run: "streamed" (rows at a time, exact), "stripes" (with a
        halo, exact), "whole".
    needs_torch: whether the extra `networks` must be installed.
    weights: name of the weights file, None for methods without.
    further_weights: names of those that an option uses.
    paper_parameters: number of trained parameters of each of the paper's networks, by name; those
        that ship may be smaller: see `parameters`.
    paper: authors, title, venue, year.
    """

    name: str
    summary: str
    load: Callable[[], tuple[FuseFunction, type[Any]]]
    output: Space
    paper: str
    frames: tuple[int, int] = (1, MAX_FRAMES)
    frames_at_once: int | None = None
    reference: Literal["none", "frame"] = "none"
    needs_stops: bool = False
    planes: Literal["rgb", "luma"] = "rgb"
    aligns: bool = False
    deghosts: bool = False
    size_multiple: int = 1
    large_images: Literal["streamed", "stripes", "whole"] = "streamed"
    needs_torch: bool = False
    weights: str | None = None
    further_weights: tuple[str, ...] = ()
    paper_parameters: Mapping[str, int] = field(default_factory=dict, hash=False)

    @property
    def parameters(self) -> dict[str, int]:
        """Number of parameters in each file of weights that ships, by its name, counted there."""
        if self.weights is None:
            return {}
        from ..nn.weights import has_weights, shipped_path, stored_parameters

        names = [name for name in (self.weights, *self.further_weights) if has_weights(name)]
        return {name: stored_parameters(shipped_path(name)) for name in names}

    def check(self, stack: Stack) -> None:
        """Raise BracketError if the method cannot take this stack."""
        low, high = self.frames
        if not low <= len(stack.frames) <= high:
            wanted = f"{low}" if low == high else f"{low} to {high}"
            raise BracketError(
                f"method {self.name!r} expected {wanted} frames, found {len(stack.frames)}; "
                "choose another method (see 'ghostless methods')"
            )
        if self.needs_stops:
            stack.stops  # noqa: B018  raises where an exposure is unknown

    def check_settings(self, settings: Any) -> None:
        """Raise OptionError for settings of another method; imports this method's file."""
        settings_class = self.load()[1]
        if not isinstance(settings, settings_class):
            raise OptionError(
                f"method {self.name!r}: expected settings of the class {settings_class.__name__}, "
                f"found {type(settings).__name__}"
            )

    def check_ready(self, settings: Any = None) -> None:
        """Raise, before any work is done, what would keep the method from running after it.

        settings: None for the method's defaults. Raises OptionError for settings of another method
        or a device that is not there, MissingPackageError, and WeightsError for weights that are
        missing, damaged or of another network.
        """
        settings_class = self.load()[1]
        if settings is not None:
            self.check_settings(settings)
        if self.weights is not None:
            from ..nn.settings import choose_device
            from ..nn.weights import check_weights

            chosen = settings if settings is not None else settings_class()
            check_weights(self.weights, chosen.weights)
            choose_device(chosen.device)


def _mertens() -> tuple[FuseFunction, type[Any]]:
    from . import mertens

    return mertens.fuse, mertens.MertensSettings


def _debevec() -> tuple[FuseFunction, type[Any]]:
    from . import debevec

    return debevec.fuse, debevec.DebevecSettings


def _chen_chuang() -> tuple[FuseFunction, type[Any]]:
    with needs_networks_extra("method 'chen-chuang'"):
        from . import chen_chuang

    return chen_chuang.fuse, chen_chuang.ChenChuangSettings


def _hdr_gan() -> tuple[FuseFunction, type[Any]]:
    with needs_networks_extra("method 'hdr-gan'"):
        from . import hdr_gan

    return hdr_gan.fuse, hdr_gan.HdrGanSettings


def _mef_gan() -> tuple[FuseFunction, type[Any]]:
    with needs_networks_extra("method 'mef-gan'"):
        from . import mef_gan

    return mef_gan.fuse, mef_gan.MefGanSettings


def _lcndr() -> tuple[FuseFunction, type[Any]]:
    with needs_networks_extra("method 'lcndr'"):
        from . import lcndr

    return lcndr.fuse, lcndr.LcndrSettings


def _dpgn() -> tuple[FuseFunction, type[Any]]:
    with needs_networks_extra("method 'dpgn'"):
        from . import dpgn

    return dpgn.fuse, dpgn.DpgnSettings


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            name="mertens",
            summary="exposure fusion: the best-exposed, sharpest parts, blended over scales",
            load=_mertens,
            output="display",
            paper="Mertens, Kautz, Van Reeth: Exposure Fusion, Pacific Graphics 2007",
        ),
        Method(
            name="debevec",
            summary="radiance merge: one linear HDR image of the scene",
            load=_debevec,
            output="linear",
            needs_stops=True,
            paper="Debevec, Malik: Recovering High Dynamic Range Radiance Maps from "
            "Photographs, SIGGRAPH 1997",
        ),
        Method(
            name="chen-chuang",
            summary="network: attention picks from the bright frame what fits the dark one, "
            "a U-Net merges",
            load=_chen_chuang,
            output="display",
            paper="Chen, Chuang: Deep Exposure Fusion with Deghosting via Homography Estimation "
            "and Attention Learning, ICASSP 2020",
            frames=(2, MAX_FRAMES),
            frames_at_once=2,
            reference="none",
            # Its own homography network is an option: the line's aligner takes any frames. Its
            # attention can reject what moved, in favour of the darkest frame; the line keeps the
            # reference's.
            aligns=False,
            size_multiple=128,
            large_images="stripes",
            needs_torch=True,
            weights="chen-chuang",
            further_weights=("chen-chuang-homography",),
            paper_parameters={
                "homography": 19_487_496,
                "attention": 112_512,
                "merging": 1_252_163,
                "discriminator": 2_772_673,
            },
        ),
        Method(
            name="hdr-gan",
            summary="network: one linear HDR image from three frames of a moving scene",
            load=_hdr_gan,
            output="linear",
            paper="Niu, Wu, Liu, Guo, Lau: HDR-GAN: HDR Image Reconstruction from Multi-Exposed "
            "LDR Images with Large Motions, IEEE TIP 2021",
            frames=(2, MAX_FRAMES),
            frames_at_once=3,
            reference="frame",
            needs_stops=True,
            deghosts=True,
            size_multiple=4,
            large_images="stripes",
            needs_torch=True,
            weights="hdr-gan",
            paper_parameters={"generator": 2_557_382, "discriminator": 660_929},
        ),
        Method(
            name="mef-gan",
            summary="network: local detail and self-attention over the whole image, merged",
            load=_mef_gan,
            output="display",
            paper="Xu, Ma, Zhang: MEF-GAN: Multi-Exposure Image Fusion via Generative "
            "Adversarial Networks, IEEE TIP 2020",
            frames=(2, MAX_FRAMES),
            frames_at_once=2,
            size_multiple=8,
            large_images="stripes",
            needs_torch=True,
            weights="mef-gan",
            paper_parameters={"generator": 487_582, "discriminator": 1_692_961},
        ),
        Method(
            name="lcndr",
            summary="network: weight maps for the luma by coordinate attention and self-attention",
            load=_lcndr,
            output="display",
            paper="Li, Liu, Zhou, Zhang, Kasabov: Learning a Coordinated Network for "
            "Detail-refinement Multi-exposure Image Fusion, accepted 2022",
            frames=(2, MAX_FRAMES),
            frames_at_once=2,
            planes="luma",
            size_multiple=8,
            large_images="stripes",
            needs_torch=True,
            weights="lcndr",
            paper_parameters={"network": 219_099},
        ),
        Method(
            name="dpgn",
            summary="network: a U-Net guided at every scale by the pyramids of exposure fusion",
            load=_dpgn,
            output="display",
            paper="Yin, Chen, Peng, Tsai: Deep Prior Guided Network for High-Quality Image "
            "Fusion, ICME 2020",
            frames=(2, MAX_FRAMES),
            frames_at_once=2,
            size_multiple=64,
            large_images="stripes",
            needs_torch=True,
            weights="dpgn",
            paper_parameters={"generator": 43_739_937, "discriminator": 2_766_529},
        ),
    )
}


def get_method(name: str) -> Method:
    """Return the table's entry for `name`; raise OptionError with the near names otherwise."""
    try:
        return METHODS[name]
    except KeyError:
        raise unknown_name("method", name, METHODS) from None


def fuse_stack(
    stack: Stack | Photos,
    method: str = "mertens",
    settings: Any = None,
    *,
    progress: Callable[[float], None] | None = None,
) -> Fused:
    """Fuse an aligned (and, for moving scenes, deghosted) stack into one image.

    stack: frames registered to one reference; masks are honoured. Or photos as `as_bracket` takes
        them, arrays or paths, that lie on each other already.
    method: a name from the table (`ghostless methods`).
    settings: the method's own settings dataclass; None for its defaults.
    progress: called with the fraction done, 0..1.
    Returns a Fused image in the method's output space, (H, W, 3) float32.
    Raises OptionError for an unknown method, BracketError for a stack that it cannot take.
    """
    from ..exposure.stack import as_stack

    entry = get_method(method)
    stack = as_stack(stack)
    entry.check(stack)
    run, settings_class = entry.load()
    chosen = settings if settings is not None else settings_class()
    entry.check_settings(chosen)
    if stack.wraps and entry.needs_torch:
        fused: Fused = run(_unrolled(stack), chosen, progress=progress)
        fused = replace(fused, pixels=folded(fused.pixels, stack.frames[0].width))
    else:
        fused = run(stack, chosen, progress=progress)
    return replace(fused, opaque=stack.opaque, wraps=stack.wraps)


def _unrolled(stack: Stack) -> Stack:
    """A stack that goes all the way round as one that networks, which see no seam, can fuse."""

    def masks(held: Sequence[Mask | None]) -> tuple[Mask | None, ...]:
        return tuple(None if mask is None else unrolled(mask) for mask in held)

    frames = tuple(
        replace(frame, pixels=unrolled(frame.pixels), opaque=opaque)
        for frame, opaque in zip(
            stack.frames, masks([frame.opaque for frame in stack.frames]), strict=True
        )
    )
    return replace(
        stack, frames=frames, valid=masks(stack.valid), confidence=masks(stack.confidence)
    )
