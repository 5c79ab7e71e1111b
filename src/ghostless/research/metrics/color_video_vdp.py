"""ColorVideoVDP by its authors' package `cvvdp`, which is found at run time and in no extra.

Mantiuk, Hanji, Ashraf, Asano, Chapiro: ColorVideoVDP, SIGGRAPH 2024. The value is in
just-objectionable differences: 10 for no visible difference, one less where 75 % of people prefer
the true image.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import MissingPackageError

# The package's names of a 30-inch 4K display, 200 cd/m2, and of an HDR one given cd/m2.
_DISPLAY = "standard_4k"
_HDR_DISPLAY = "standard_hdr_linear"


def color_video_vdp(result: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Score a display image (H, W, 3) uint8 against the truth, JOD, on a standard 4K display.

    Raises MissingPackageError where the package `cvvdp` is not installed.
    """
    return _predict(_DISPLAY, result, truth)


def color_video_vdp_hdr(
    result: NDArray[Any], truth: NDArray[Any], white_nits: float = 203.0
) -> float:
    """Score linear RGB (H, W, 3) against true radiance, JOD; 1.0 is shown at `white_nits`.

    Raises MissingPackageError where the package `cvvdp` is not installed.
    """
    shown = [np.maximum(np.asarray(image, np.float32), 0) * white_nits for image in (result, truth)]
    return _predict(_HDR_DISPLAY, *shown)


def _predict(display: str, result: NDArray[Any], truth: NDArray[Any]) -> float:
    value, _ = _metric(display).predict(result, truth, dim_order="HWC")
    return float(value)


@lru_cache(maxsize=2)
def _metric(display: str) -> Any:
    try:
        package = importlib.import_module("pycvvdp")
    except ImportError as error:
        raise MissingPackageError(
            "CVVDP: expected the package 'cvvdp' (ColorVideoVDP), found that it cannot be "
            f"imported ({error}); pip install cvvdp"
        ) from error
    return package.cvvdp(display_name=display, quiet=True)
