"""Which method fuses: the one that was asked for, or what "auto" stands for.

"auto" depends on the file and on how many photos make the bracket, by `methods.table.AUTO`. The
line asks when it has read them; before that faces ask with what they know.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SpaceError
from ..io.write import space_of
from ..methods import Method, get_method
from ..methods.table import AUTO
from ..settings import settings_of

if TYPE_CHECKING:
    from . import FuseOptions


def choose_method(
    name: str, out: Path, photos: int | None = None, own: Collection[str] = ()
) -> Method:
    """Pick the method for an output file; raise SpaceError where the two do not fit.

    name: a method's, or "auto". photos: how many make the bracket; None where that is not known.
    own: names of settings of a method's own that were asked for: "auto" takes the method that has
        them, whatever the number.
    """
    space = space_of(out)
    if name == "auto":
        candidates = auto_methods(out)
        usual = AUTO[space].get(photos, AUTO[space][None])
        ordered = sorted(candidates, key=lambda method: method.name != usual)
        for method in ordered:
            if set(own) <= set(settings_of(method.settings_class)):
                return method
        return ordered[0]
    method = get_method(name)
    if space == "linear" and method.output == "display":
        raise SpaceError(
            f"{out.name}: expected a method with a linear result for a {out.suffix} file, found "
            f"{name!r} which gives a display image; use --method debevec or write a .jpg or .png"
        )
    return method


def auto_methods(out: Path) -> tuple[Method, ...]:
    """The methods that "auto" chooses among for an output file, the usual one first."""
    found = AUTO[space_of(out)]
    others = [name for photos, name in found.items() if photos is not None]
    return tuple(get_method(name) for name in dict.fromkeys([found[None], *others]))


def method_of(options: FuseOptions, out: Path, photos: int | None = None) -> Method:
    """The method that options ask for, see `choose_method`; settings of one alone choose it."""
    own = options.method_settings
    names = () if own is None or isinstance(own, tuple) else settings_of(type(own))
    return choose_method(options.method, out, photos, names)


def names_by_photos(options: FuseOptions, out: Path) -> Callable[[int], str]:
    """What gives the name of the method for a number of photos."""
    return lambda photos: method_of(options, out, photos).name


def settings_for(options: FuseOptions, method: Method) -> Any:
    """The settings among the options that a method is to run with; None for its defaults."""
    own = options.method_settings
    if not isinstance(own, tuple):
        return own
    return next((each for each in own if isinstance(each, method.settings_class)), None)
