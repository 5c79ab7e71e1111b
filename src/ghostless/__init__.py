"""Ghostless: bracketed photos of one scene in, one good picture out.

    files --read_bracket--> Bracket --align--> Stack --deghost--> Stack --fuse--> Fused
          --tone_map--> Fused --write_image--> file

`fuse_files` is the whole line; every stage is also a function of its own. Names are loaded when
first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .align import AlignSettings, align
    from .bracket import Bracket, Frame, Fused, Metadata, Registration, Stack
    from .deghost import DeghostSettings, deghost
    from .errors import (
        BracketError,
        FileReadError,
        GhostlessError,
        InputError,
        MissingPackageError,
        OptionError,
        OutputError,
        SpaceError,
        WeightsError,
    )
    from .exposure import assign_stops, choose_reference
    from .io.read import ReadSettings, read_bracket, read_frame, read_image
    from .io.write import WriteSettings, write_image
    from .methods import METHODS, Method, fuse, get_method
    from .pipeline import FuseOptions, align_files, deghost_files, fuse_files
    from .report import Report
    from .tonemap import ToneMapSettings, tone_map

__version__ = "0.1.0"

_HOMES = {
    "AlignSettings": "align",
    "align": "align",
    "Bracket": "bracket",
    "Frame": "bracket",
    "Fused": "bracket",
    "Metadata": "bracket",
    "Registration": "bracket",
    "Stack": "bracket",
    "DeghostSettings": "deghost",
    "deghost": "deghost",
    "BracketError": "errors",
    "FileReadError": "errors",
    "GhostlessError": "errors",
    "InputError": "errors",
    "MissingPackageError": "errors",
    "OptionError": "errors",
    "OutputError": "errors",
    "SpaceError": "errors",
    "WeightsError": "errors",
    "assign_stops": "exposure",
    "choose_reference": "exposure",
    "ReadSettings": "io.read",
    "read_bracket": "io.read",
    "read_frame": "io.read",
    "read_image": "io.read",
    "WriteSettings": "io.write",
    "write_image": "io.write",
    "METHODS": "methods",
    "Method": "methods",
    "fuse": "methods",
    "get_method": "methods",
    "FuseOptions": "pipeline",
    "align_files": "pipeline",
    "deghost_files": "pipeline",
    "fuse_files": "pipeline",
    "Report": "report",
    "ToneMapSettings": "tonemap",
    "tone_map": "tonemap",
}

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604  the table above is the list


def __getattr__(name: str) -> Any:
    """Load a public name from the module it lives in."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'ghostless' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    # A submodule may carry the name of its function (`align`, `deghost`): the function wins.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
