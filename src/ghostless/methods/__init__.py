"""Methods of fusion: one stack in, one image out. `table` says which there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ..bracket import Fused, Mask, Stack
from ..errors import unknown_name
from ..io.arrays import Photos
from ..pixels.seam import folded, unrolled
from .entry import Method, PaperRuntime
from .table import METHODS

__all__ = ["METHODS", "Method", "PaperRuntime", "fuse_stack", "get_method"]


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
    if stack.wraps and not entry.wraps:
        fused: Fused = run(_unrolled(stack), chosen, progress=progress)
        fused = replace(fused, pixels=folded(fused.pixels, stack.frames[0].width))
    else:
        fused = run(stack, chosen, progress=progress)
    notes = (*fused.notes, *_on_weights(entry, chosen))
    return replace(fused, opaque=stack.opaque, wraps=stack.wraps, notes=notes)


def _on_weights(entry: Method, settings: Any) -> list[str]:
    """What to tell of weights that are not ours."""
    given = getattr(settings, "weights", None)
    if entry.weights is None or given is None:
        return []
    from ..nn.weights import read_info

    published = read_info(given).published
    if not published:
        return []
    source, licence = (published.get(name, "unknown") for name in ("source", "licence"))
    return [f"weights by the method's authors: {source}; licence: {licence}"]


def _unrolled(stack: Stack) -> Stack:
    """A stack that goes all the way round as one that methods that see no seam can fuse."""

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
