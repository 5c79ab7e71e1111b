"""Who takes part in a benchmark: methods of the table, with settings, and programs of others.

`mertens:overshoot=clip` is a method with a setting; several settings are parted by commas. Those of
the line around the method go by their names too: `align=none`, `deghost.sensitivity=2`. The word
`as-published`, first of them, is the method as its paper has it (`options.as_published`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ...align import AlignSettings
from ...deghost import DeghostSettings
from ...errors import OptionError, unknown_name
from ...methods import METHODS, get_method
from ...nn.weights import read_info, shipped_path
from ...options import SHORT, FuseOptions, as_published, canonical, from_words
from ...tone.operators import OPERATORS
from .outside import OUTSIDE

# What the benchmark itself decides for all who take part.
_OF_THE_RUN = ("method", "stops", "stops_file", "hdr", "save_stages", "report")


AS_PUBLISHED = "as-published"


@dataclass(frozen=True)
class Contender:
    """One method, with its settings, that takes part.

    label: as the user wrote it. kind: "method" from the table, or a program of others, "outside".
    settings: those given, as text, by name. published: as its paper has it. linear: whether it can
    give radiance.
    """

    label: str
    name: str
    kind: Literal["method", "outside"]
    settings: tuple[tuple[str, str], ...] = ()
    published: bool = False

    @property
    def slug(self) -> str:
        """Name for folders: letters, digits, and - = . only."""
        return re.sub(r"[^A-Za-z0-9.=-]+", "_", self.label)

    @property
    def linear(self) -> bool:
        """Whether it can give radiance."""
        if self.kind == "outside":
            return OUTSIDE[self.name].linear
        return METHODS[self.name].output == "linear"

    @property
    def summary(self) -> str:
        """What it is, in a line."""
        table: Mapping[str, Any] = OUTSIDE if self.kind == "outside" else METHODS
        return str(table[self.name].summary)

    @property
    def is_network(self) -> bool:
        """Whether it is a method that runs a network."""
        return self.kind == "method" and METHODS[self.name].needs_extra

    @property
    def weights(self) -> tuple[Path, ...]:
        """Files that hold its networks: those given, or else the shipped ones."""
        own = METHODS[self.name].weights if self.kind == "method" else None
        if own is None:
            return ()
        given = dict(self.settings)
        others = [Path(text) for key, text in given.items() if key.endswith("_weights")]
        return (Path(given.get("weights") or shipped_path(own)), *others)

    def missing(self) -> str | None:
        """Say why it cannot run here; None if it can."""
        if self.kind == "outside":
            return OUTSIDE[self.name].missing()
        method = METHODS[self.name]
        return method.why_not_here(dict(self.settings).get("weights"))

    def options(self, still: bool) -> FuseOptions:
        """Build the options of the line; in still scenes frames are fused as they are."""
        options = FuseOptions(method=self.name)
        if still:
            options = replace(
                options, align=AlignSettings(model="none"), deghost=DeghostSettings(mode="off")
            )
        if self.published:
            options = as_published(options, get_method(self.name))
        words = (f"{name}={text}" for name, text in self.settings)
        return from_words(words, get_method(self.name), options, self.name)


def parse_contenders(text: str) -> tuple[Contender, ...]:
    """Read "mertens,debevec:tone_map=reinhard,opencv-mertens".

    Raises OptionError with the near names for unknown ones, and for settings that do not fit.
    """
    labels: list[str] = []
    for word in (word.strip() for word in text.split(",")):
        if not word:
            continue
        if "=" in word and ":" not in word and labels and ":" in labels[-1]:
            labels[-1] += f",{word}"  # one more setting of the method before
        else:
            labels.append(word)
    if not labels:
        raise OptionError("--methods: expected names such as mertens,debevec, found none")
    found = [_parse_one(label) for label in dict.fromkeys(labels)]
    slugs = [contender.slug for contender in found]
    for contender in found:
        if slugs.count(contender.slug) > 1:
            raise OptionError(f"--methods: expected methods that differ, found {contender.label!r}")
    return tuple(found)


def all_as_published(text: str) -> str:
    """The same contenders, each method as its paper has it."""
    labels = []
    for contender in parse_contenders(text):
        name, _, rest = contender.label.partition(":")
        plain = contender.kind == "outside" or contender.published
        labels.append(
            contender.label if plain else ",".join(filter(None, [f"{name}:{AS_PUBLISHED}", rest]))
        )
    return ",".join(labels)


def _short(key: str) -> str:
    """A setting's short name where it has one; a method's own without the method."""
    dotted = canonical(key)
    group, _, field = dotted.partition(".")
    if group == "method" and canonical(field) == dotted:
        return field
    return SHORT.get(dotted, dotted)


def _parse_one(label: str) -> Contender:
    name, _, rest = label.partition(":")
    if name not in METHODS and name not in OUTSIDE:
        raise unknown_name("method", name, [*METHODS, *OUTSIDE])
    pairs = []
    words = [word for word in rest.split(",") if word]
    published = words[:1] == [AS_PUBLISHED]
    for word in words[published:]:
        key, equals, value = word.partition("=")
        if not equals or not value:
            raise OptionError(f"{label}: expected settings as name=value, found {word!r}")
        if canonical(key) in _OF_THE_RUN:
            raise OptionError(f"{label}: expected settings of fusing, found {key.strip()!r}")
        pairs.append((_short(key), value.strip()))
    if name in OUTSIDE:
        if words:
            raise OptionError(f"{label}: expected no settings for a program of others")
        return Contender(label, name, "outside")
    contender = Contender(label, name, "method", tuple(pairs), published)
    if any(canonical(key).startswith("tone_map.") for key, _ in pairs) and not contender.linear:
        raise OptionError(
            f"{label}: expected tone_map with a method of linear output, found {name!r}; "
            f"operators: {', '.join(OPERATORS)}"
        )
    if contender.weights and any(key.endswith("weights") for key, _ in pairs):
        for path in contender.weights:
            read_info(path)  # raises for files that are not there or no weights
    if pairs and contender.missing() is None:
        contender.options(still=False)  # raises for a wrong one before any work
    return contender
