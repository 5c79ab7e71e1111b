"""Archives of NumPy arrays, and the kernels of programs whose convolution is the true one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import WeightsError
from .whole import check_whole, damaged

_WANTED = "an archive of NumPy arrays (.npz)"


def read_npz(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read the arrays of an .npz archive by name, as float32; nothing is unpickled.

    Raises WeightsError for a file that is missing, damaged, too large, or holds anything but
    numbers.
    """
    check_whole(path, _WANTED)
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it is no archive")
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # zipfile's, zlib's and NumPy's own, whatever the file is
        raise damaged(path, _WANTED, error) from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            raise WeightsError(
                f"{path}: expected real numbers in {name[:80]!r}, found something else; "
                "the file is of another network"
            )
    return {name: np.asarray(array, np.float32) for name, array in arrays.items()}


def flipped(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """A kernel (out, in, h, w) of a true convolution, as Theano's, for torch's correlation."""
    return np.ascontiguousarray(kernel[:, :, ::-1, ::-1])
