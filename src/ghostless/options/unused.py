"""Options that would do nothing in a run, so that nobody takes them to have had an effect.

One table for all faces: the line refuses what differs from its default, the command what was given,
and what came from a preset, which is for many kinds of run, is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..deghost import DeghostSettings
from ..errors import OptionError
from ..io.write import WriteSettings, format_of, space_of
from ..tone.controls import OF_DISPLAYS, ToneControls
from ..tone.tonemap import ToneMapSettings

if TYPE_CHECKING:
    from ..methods import Method
    from . import FuseOptions


@dataclass(frozen=True)
class Rule:
    """When an option does nothing.

    option: its name, as the command has it with dashes. of: the settings of `FuseOptions` that it
    belongs to, and its field there; "" for the whole of them.
    why: tells what was expected, found, and what to do, for a run in which it does nothing.
    """

    option: str
    of: str
    field: str
    why: Callable[[FuseOptions, Method, Path], str | None]

    def covers(self, name: str) -> bool:
        """Whether a setting's dotted name is this option's, or among them."""
        return name == f"{self.of}.{self.field}" or (
            not self.field and name.startswith(f"{self.of}.")
        )

    def value(self, options: FuseOptions) -> Any:
        settings = getattr(options, self.of)
        return getattr(settings, self.field) if self.field else settings

    def without(self, options: FuseOptions) -> FuseOptions:
        """The options with this one at its default."""
        changed: dict[str, Any] = {self.of: self._default()}
        if self.field:
            default = getattr(self._default(), self.field)
            changed = {self.of: replace(getattr(options, self.of), **{self.field: default})}
        return replace(options, **changed)

    def is_set(self, options: FuseOptions) -> bool:
        default = self._default()
        return bool(
            self.value(options) != (getattr(default, self.field) if self.field else default)
        )

    def _default(self) -> Any:
        kinds: Mapping[str, Callable[[], Any]] = {
            "tone_map": ToneMapSettings,
            "tone": ToneControls,
            "deghost": DeghostSettings,
            "write": WriteSettings,
        }
        return kinds[self.of]()


def _tone_mapping(options: FuseOptions, method: Method, out: Path) -> str | None:
    if space_of(out) == "linear":
        return (
            f"expected a display file such as .jpg, found {out.name}, which holds the radiance as "
            "it is; leave the option out"
        )
    if method.output == "display":
        return (
            f"expected a method whose result is radiance, found {method.name!r}, whose result is a "
            "display picture already; leave the option out or use --method debevec"
        )
    return None


def _tone_of_displays(options: FuseOptions, method: Method, out: Path) -> str | None:
    if space_of(out) == "display":
        return None
    return (
        f"expected a display file such as .jpg, found {out.name}, which holds the radiance as it "
        "is; leave the option out"
    )


def _compression(options: FuseOptions, method: Method, out: Path) -> str | None:
    known = format_of(out)
    if known.lossy:
        return None
    return (
        f"expected a file that is compressed with loss, such as .jpg, found {known.name}; "
        "leave the option out"
    )


def _finding_ghosts(options: FuseOptions, method: Method, out: Path) -> str | None:
    if options.deghost.mode == "off":
        return "expected deghosting, found it off; leave one of both options out"
    if options.deghost.mode == "auto" and method.deghosts:
        return (
            f"expected a method that leaves ghosts to deghosting, found {method.name!r}, which "
            "deals with them by itself; leave the option out or use --deghost on"
        )
    return None


RULES = (
    Rule("tone_map", "tone_map", "", _tone_mapping),
    *(Rule(name, "tone", name, _tone_of_displays) for name in OF_DISPLAYS),
    Rule("jpeg_quality", "write", "quality", _compression),
    Rule("deghost_by", "deghost", "by", _finding_ghosts),
    Rule("sensitivity", "deghost", "sensitivity", _finding_ghosts),
    Rule("feather_pixels", "deghost", "feather_pixels", _finding_ghosts),
    Rule("proxy_pixels", "deghost", "proxy_pixels", _finding_ghosts),
)


def unused_options(options: FuseOptions, method: Method, out: Path) -> dict[str, str]:
    """Options that would do nothing in this run, whether they are set or not, and why.

    method: that will fuse. out: the file that will be written.
    """
    reasons = ((rule.option, rule.why(options, method, out)) for rule in RULES)
    return {option: why for option, why in reasons if why is not None}


def first_unused(given: Mapping[str, Any], unused: Mapping[str, str]) -> tuple[str, str] | None:
    """The dotted name of the first value given that would do nothing, and why.

    unused: as from `unused_options`. A value "auto" asks for nothing.
    """
    for rule in RULES:
        for name, value in given.items():
            if rule.option in unused and rule.covers(name) and value != "auto":
                return name, unused[rule.option]
    return None


def check_unused(options: FuseOptions, method: Method, out: Path) -> None:
    """Raise OptionError if an option is set that would do nothing in this run."""
    unused = unused_options(options, method, out)
    for rule in RULES:
        if rule.option in unused and rule.is_set(options):
            raise OptionError(f"{rule.option.replace('_', ' ')}: {unused[rule.option]}")


def without_unused(options: FuseOptions, method: Method, out: Path) -> FuseOptions:
    """The options with those that would do nothing at their defaults."""
    unused = unused_options(options, method, out)
    for rule in RULES:
        if rule.option in unused:
            options = rule.without(options)
    return options
