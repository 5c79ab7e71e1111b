"""The settings that every network shares, and what they mean on this machine.

Imports no torch until a device is chosen, so that a command's help stays quick.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import OptionError
from ..settings import check_settings
from ..work.packages import needs_extra

if TYPE_CHECKING:
    import torch

Quality = Literal["auto", "full", "fast"]
Precision = Literal["auto", "float32", "bfloat16"]

QUALITIES = ("auto", "full", "fast")
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """How to run a network.

    weights: a safetensors file; None for the weights that ship with the package.
    device: "auto" (a CUDA device if there is one), "cpu", "cuda" or "cuda:INDEX".
    quality: "full" runs the network on every pixel, "fast" on a proxy of about a megapixel whose
        result is carried to the full size; "auto" is full on a CPU up to 1.5 megapixels and on a
        GPU as long as its memory lasts, and fast where torch is not installed. Methods with
        `best_pixels` have proxies of so many and are fast above.
    precision: of the convolutions: "float32", "bfloat16", or "auto": bfloat16 where the device
        multiplies in it, which is two to three times as fast and moves an 8-bit result by less
        than a code.
    compile: compile the network's blocks for the device (torch.compile) when they first run; None
        for yes on CUDA devices, no elsewhere. The first photo takes longer for it, the first ever
        most (the compiler keeps its results on disk); where no compiler is at hand the network runs
        as it is.
    """

    weights: Path | str | None = None
    device: str = "auto"
    quality: Quality = "auto"
    precision: Precision = "auto"
    compile: bool | None = None

    def __post_init__(self) -> None:
        check_settings(self)


def needs_torch_extra(what: str) -> AbstractContextManager[None]:
    """Turn a failed import of torch or safetensors into an error that says how to install it."""
    return needs_extra(what, "torch")


def choose_device(name: str) -> torch.device:
    """Return the torch device that `name` means here; raise OptionError if it is not there."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise OptionError(
            f"device: expected auto, cpu, cuda or cuda:INDEX, found {name!r}"
        ) from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise OptionError(
            f"device: expected a device of this machine, found {name!r} "
            f"({torch.cuda.device_count()} CUDA devices are visible); use --device cpu"
        )
    return device


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the type that convolutions compute in on a device."""
    import torch

    if precision == "auto":
        precision = "bfloat16" if _multiplies_in_bfloat16(device) else "float32"
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def _multiplies_in_bfloat16(device: torch.device) -> bool:
    import torch

    if device.type == "cuda":
        return True
    # Without these instructions a CPU emulates, slower than it computes in float32.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
