"""Checkpoints of torch: the tensors of a network by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import WeightsError
from .whole import check_whole, damaged

_WANTED = "a checkpoint of torch"
# Under which a checkpoint that holds more than the network keeps it.
_NESTS = ("state_dict", "model_state_dict", "params", "model", "net", "network", "generator")
# What checkpoints hold beside tensors, scores as NumPy's numbers above all. None of it is made.
_PUT_ASIDE = (
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "_codecs.encode",
)


class _Nothing:
    """Stands where a checkpoint names an object that is none of the network's."""

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


def read_torch(path: Path, inside: str | None = None) -> dict[str, NDArray[np.float32]]:
    """Read the tensors of a checkpoint by name, as float32, with torch's `weights_only`.

    inside: name of the part that holds the network; None to find it, be it the file itself or a
        part of one of the usual names. What data-parallel training puts before names, "module.", is
        left out.
    Raises WeightsError for a file that is missing, damaged, too large or holds no tensors, and for
    one that asks for objects other than tensors.
    """
    import torch

    check_whole(path, _WANTED)
    aside: list[Any] = [(_Nothing, name) for name in _PUT_ASIDE]
    try:
        with torch.serialization.safe_globals(aside):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a stranger's file makes of the reader
        raise damaged(path, _WANTED, _in_short(error)) from None
    tensors = _tensors(found, inside)
    if not tensors:
        raise WeightsError(
            f"{path}: expected {_WANTED} with a network in it, found none; "
            "give the file as its authors published it"
        )
    try:
        return {name.removeprefix("module."): _as_array(value) for name, value in tensors.items()}
    except (TypeError, ValueError, RuntimeError, MemoryError) as error:
        raise damaged(path, _WANTED, error) from None


def _tensors(found: Any, inside: str | None) -> dict[str, Any]:
    """The tensors by name, from wherever in the file they are; none if there are none."""
    import torch

    if not isinstance(found, Mapping):
        return {}
    if inside is not None:
        return _tensors(found.get(inside), None)
    for nest in _NESTS:
        if isinstance(found.get(nest), Mapping):
            return _tensors(found[nest], None)
    whole = isinstance(found, Mapping) and all(isinstance(v, torch.Tensor) for v in found.values())
    return {str(name): value for name, value in found.items()} if whole else {}


def _as_array(tensor: Any) -> NDArray[np.float32]:
    import torch

    # A view may repeat a few stored numbers to any size; networks have none that does.
    if tensor.layout != torch.strided or tensor.numel() > tensor.untyped_storage().nbytes():
        raise ValueError("a tensor larger than what is stored of it")
    return np.asarray(tensor.detach().to(torch.float32).contiguous().numpy())


def _in_short(error: Exception) -> str:
    """What torch says, without its advice to open the file unsafely."""
    text = str(error)
    text = text.partition("WeightsUnpickler error: ")[2] or text
    return text.partition(". ")[0].partition("\n")[0] or type(error).__name__
