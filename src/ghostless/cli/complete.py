"""Names that the shell completes. They are asked for at every press of a key: quick, no errors."""

from __future__ import annotations

from collections.abc import Iterable


def starting(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def method_names(incomplete: str) -> list[str]:
    from ..methods import METHODS

    return starting(incomplete, ["auto", *METHODS])


def alignments(incomplete: str) -> list[str]:
    from typing import get_args

    from ..align import AlignModel

    return starting(incomplete, get_args(AlignModel))


def deghost_modes(incomplete: str) -> list[str]:
    from typing import get_args

    from ..deghost import Mode

    return starting(incomplete, get_args(Mode))


def finders(incomplete: str) -> list[str]:
    from typing import get_args

    from ..deghost import Finder

    return starting(incomplete, get_args(Finder))


def operators(incomplete: str) -> list[str]:
    from ..tone.operators import OPERATORS

    return starting(incomplete, ["auto", *OPERATORS])


def preset_names(incomplete: str) -> list[str]:
    from ..errors import GhostlessError
    from ..presets import preset_names as names

    try:
        return starting(incomplete, names())
    except GhostlessError:
        return []
