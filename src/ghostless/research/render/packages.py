"""The packages of the extra `render`, imported where they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from ...errors import MissingPackageError


def import_for_rendering(name: str) -> Any:
    """Import a package; raises MissingPackageError that says how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingPackageError(
            f"expected the package {name.partition('.')[0]} for rendering, found none; "
            "install it with: pip install 'ghostless[render]'"
        ) from None
