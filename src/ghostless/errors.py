"""Every error that Ghostless raises on purpose.

::

    GhostlessError                 the base: catch this one
    |-- InputError                 what was given cannot be used
    |   |-- FileReadError          a file is missing, empty, damaged, too large or not an image
    |   |-- BracketError           the frames do not make a bracket
    |   |-- OptionError            an option or a name is not one we know
    |   `-- SpaceError             a display image where a linear one is needed, or the reverse
    |-- OutputError                the result cannot be written where it should go
    |-- MissingPackageError        an optional package is needed and not installed
    `-- WeightsError               a network's weights are missing, damaged or of another network

A message is one line that says what was expected, what was found, in which file, and what to do
next. The command prints it and exits with status 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GhostlessError(Exception):
    """Base of all errors that Ghostless raises on purpose."""


class InputError(GhostlessError):
    """What was given cannot be used."""


class FileReadError(InputError):
    """A file is missing, empty, damaged, too large or not an image."""


class BracketError(InputError):
    """The frames do not make a bracket: too few, different sizes, all equally exposed."""


class OptionError(InputError):
    """An option's value or a name is not one we know."""


class SpaceError(InputError):
    """A display image was given where a linear one is needed, or the reverse."""


class OutputError(GhostlessError):
    """The result cannot be written where it should go."""


class MissingPackageError(GhostlessError):
    """An optional package is needed and not installed."""


class WeightsError(GhostlessError):
    """A network's weights are missing, damaged or of another network."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> OptionError:
    """Build the error for a name that is not in a table, with the nearest known names.

    >>> print(unknown_name("method", "mertns", ["mertens", "debevec"]))
    unknown method 'mertns': did you mean 'mertens'? Known: debevec, mertens
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=2)
    hint = "" if not near else f"did you mean {' or '.join(repr(n) for n in near)}? "
    return OptionError(f"unknown {kind} {name!r}: {hint}Known: {', '.join(names)}")
