"""Why something cannot run here: packages that come with an extra, and are not installed.

Every message about one is made here, so that all of them say what to install.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from ..errors import MissingPackageError

# The extras of pyproject.toml by what is imported of them; the first of a list is looked for first.
EXTRAS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "networks": ("onnxruntime",),
        "torch": ("torch", "safetensors"),
        "train": ("lightning_fabric",),
        "onnx": ("onnx", "onnxscript", "onnxruntime"),
        "heif": ("pillow_heif",),
        "web": ("fastapi", "uvicorn", "python_multipart"),
        "render": ("mitsuba", "mitsuba_oidn", "skimage"),
        "distributed": ("ray",),
    }
)


def is_installed(package: str) -> bool:
    """Whether a package is there to be imported; imports nothing."""
    return importlib.util.find_spec(package) is not None


def missing_package(what: str, package: str, extra: str) -> MissingPackageError:
    """The error for a package of an extra that is not installed. what: that needs it."""
    return MissingPackageError(
        f"{what}: expected the package {package!r}, found it is not installed; "
        f"install it with: pip install 'ghostless[{extra}]'"
    )


def check_installed(what: str, extra: str, *packages: str) -> None:
    """Raise MissingPackageError for a package of an extra that is not installed; imports none.

    packages: those that are looked for; all of the extra where none is named.
    """
    for package in packages or EXTRAS[extra]:
        if not is_installed(package):
            raise missing_package(what, package, extra)


@contextmanager
def needs_extra(what: str, extra: str) -> Iterator[None]:
    """Turn the failed import of an extra's package into MissingPackageError."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS[extra]:
            raise
        raise missing_package(what, package, extra) from None
