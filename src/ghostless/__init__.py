"""Ghostless: bracketed photos of one scene in, one good picture out.

::

    files --read_bracket--> Bracket --align_bracket--> Stack --deghost_stack--> Stack
          --fuse_stack--> Fused --tone_map--> Fused --write_image--> file

`fuse_files` is the whole line; every stage is also a function of its own. Names are loaded when
first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .align import (
        AlignSettings as AlignSettings,
    )
    from .align import (
        align_bracket as align_bracket,
    )
    from .bracket import (
        Bracket as Bracket,
    )
    from .bracket import (
        Frame as Frame,
    )
    from .bracket import (
        Fused as Fused,
    )
    from .bracket import (
        Metadata as Metadata,
    )
    from .bracket import (
        Registration as Registration,
    )
    from .bracket import (
        Stack as Stack,
    )
    from .deghost import (
        DeghostSettings as DeghostSettings,
    )
    from .deghost import (
        deghost_stack as deghost_stack,
    )
    from .errors import (
        BracketError as BracketError,
    )
    from .errors import (
        FileReadError as FileReadError,
    )
    from .errors import (
        GhostlessError as GhostlessError,
    )
    from .errors import (
        InputError as InputError,
    )
    from .errors import (
        MissingPackageError as MissingPackageError,
    )
    from .errors import (
        OptionError as OptionError,
    )
    from .errors import (
        OutputError as OutputError,
    )
    from .errors import (
        SpaceError as SpaceError,
    )
    from .errors import (
        WeightsError as WeightsError,
    )
    from .exposure.assign import assign_stops as assign_stops
    from .exposure.reference import choose_reference as choose_reference
    from .io.read import (
        ReadSettings as ReadSettings,
    )
    from .io.read import (
        read_bracket as read_bracket,
    )
    from .io.read import (
        read_frame as read_frame,
    )
    from .io.read import (
        read_hdr_image as read_hdr_image,
    )
    from .io.read import (
        read_image as read_image,
    )
    from .io.write import (
        WriteSettings as WriteSettings,
    )
    from .io.write import (
        write_hdr_image as write_hdr_image,
    )
    from .io.write import (
        write_image as write_image,
    )
    from .methods import (
        METHODS as METHODS,
    )
    from .methods import (
        Method as Method,
    )
    from .methods import (
        fuse_stack as fuse_stack,
    )
    from .methods import (
        get_method as get_method,
    )
    from .pipeline import (
        FuseOptions as FuseOptions,
    )
    from .pipeline import (
        align_files as align_files,
    )
    from .pipeline import (
        deghost_files as deghost_files,
    )
    from .pipeline import (
        fuse_files as fuse_files,
    )
    from .pipeline import (
        prepare_files as prepare_files,
    )
    from .report import (
        Report as Report,
    )
    from .tone.rendition import hdr_rendition as hdr_rendition
    from .tone.tonemap import ToneMapSettings as ToneMapSettings
    from .tone.tonemap import tone_map as tone_map

__version__ = "0.1.0"

_HOMES = {
    "AlignSettings": "align",
    "align_bracket": "align",
    "Bracket": "bracket",
    "Frame": "bracket",
    "Fused": "bracket",
    "Metadata": "bracket",
    "Registration": "bracket",
    "Stack": "bracket",
    "DeghostSettings": "deghost",
    "deghost_stack": "deghost",
    "BracketError": "errors",
    "FileReadError": "errors",
    "GhostlessError": "errors",
    "InputError": "errors",
    "MissingPackageError": "errors",
    "OptionError": "errors",
    "OutputError": "errors",
    "SpaceError": "errors",
    "WeightsError": "errors",
    "assign_stops": "exposure.assign",
    "choose_reference": "exposure.reference",
    "ReadSettings": "io.read",
    "read_bracket": "io.read",
    "read_frame": "io.read",
    "read_hdr_image": "io.read",
    "read_image": "io.read",
    "WriteSettings": "io.write",
    "write_hdr_image": "io.write",
    "write_image": "io.write",
    "METHODS": "methods",
    "Method": "methods",
    "fuse_stack": "methods",
    "get_method": "methods",
    "FuseOptions": "pipeline",
    "align_files": "pipeline",
    "deghost_files": "pipeline",
    "fuse_files": "pipeline",
    "prepare_files": "pipeline",
    "hdr_rendition": "tone.rendition",
    "Report": "report",
    "ToneMapSettings": "tone.tonemap",
    "tone_map": "tone.tonemap",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    """Load a public name from the module it lives in."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'ghostless' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
