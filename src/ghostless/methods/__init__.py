"""The table of fusion methods. Facts about a method stand here as data, and nowhere else.

To add a method, write one file beside this one with a settings dataclass and a function
`fuse(stack, settings) -> Fused`, and add one entry to `METHODS`. The tests run over the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ..bracket import MAX_FRAMES, Fused, Space, Stack
from ..errors import BracketError, unknown_name

FuseFunction = Callable[[Stack, Any], Fused]


@dataclass(frozen=True)
class Method:
    """What there is to know about a fusion method before it runs.

    load: returns (fuse function, settings class); imports the method's file only when called.
    frames: smallest and largest number of frames that the method itself fuses in one go.
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
    paper: authors, title, venue, year.
    """

    name: str
    summary: str
    load: Callable[[], tuple[FuseFunction, type[Any]]]
    output: Space
    paper: str
    frames: tuple[int, int] = (1, MAX_FRAMES)
    reference: Literal["none", "frame"] = "none"
    needs_stops: bool = False
    planes: Literal["rgb", "luma"] = "rgb"
    aligns: bool = False
    deghosts: bool = False
    size_multiple: int = 1
    large_images: Literal["streamed", "stripes", "whole"] = "streamed"
    needs_torch: bool = False
    weights: str | None = None

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


def _mertens() -> tuple[FuseFunction, type[Any]]:
    from . import mertens

    return mertens.fuse, mertens.MertensSettings


def _debevec() -> tuple[FuseFunction, type[Any]]:
    from . import debevec

    return debevec.fuse, debevec.DebevecSettings


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
    )
}


def get_method(name: str) -> Method:
    """Return the table's entry for `name`; raise OptionError with the near names otherwise."""
    try:
        return METHODS[name]
    except KeyError:
        raise unknown_name("method", name, METHODS) from None


def fuse_stack(stack: Stack, method: str = "mertens", settings: Any = None) -> Fused:
    """Fuse an aligned (and, for moving scenes, deghosted) stack into one image.

    stack: frames registered to one reference; masks are honoured.
    method: a name from the table (`ghostless methods`).
    settings: the method's own settings dataclass; None for its defaults.
    Returns a Fused image in the method's output space, (H, W, 3) float32.
    Raises OptionError for an unknown method, BracketError for a stack that it cannot take.
    """
    entry = get_method(method)
    entry.check(stack)
    run, settings_class = entry.load()
    return run(stack, settings if settings is not None else settings_class())
