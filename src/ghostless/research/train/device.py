"""The devices of a run: Lightning Fabric where it is installed, one plain device elsewhere."""

from __future__ import annotations

import os
import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from ...errors import OptionError
from ...nn.settings import Precision, choose_device, choose_dtype
from ...work.packages import missing_package


class Devices(Protocol):
    """What the engine needs of Lightning Fabric; `PlainDevice` is the same for one device."""

    @property
    def device(self) -> torch.device: ...
    @property
    def global_rank(self) -> int: ...
    @property
    def world_size(self) -> int: ...
    def setup(self, module: nn.Module, *optimizers: torch.optim.Optimizer) -> Any: ...
    def backward(self, tensor: Tensor) -> None: ...
    def autocast(self) -> AbstractContextManager[Any]: ...
    def broadcast(self, obj: Any) -> Any: ...
    def barrier(self) -> None: ...


class PlainDevice:
    """One device without Lightning Fabric. There are no others to agree with."""

    global_rank = 0
    world_size = 1

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self.dtype = dtype

    def setup(self, module: nn.Module, *optimizers: torch.optim.Optimizer) -> Any:
        return (module.to(self.device), *optimizers)

    def backward(self, tensor: Tensor) -> None:
        tensor.backward()  # type: ignore[no-untyped-call]

    def autocast(self) -> AbstractContextManager[Any]:
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def broadcast(self, obj: Any) -> Any:
        return obj

    def barrier(self) -> None:
        return None


def open_devices(
    name: str = "auto",
    precision: Precision = "auto",
    devices: int = 1,
    backend: Literal["auto", "fabric", "plain"] = "auto",
) -> Devices:
    """Return the devices to train on, launched.

    name: "auto", "cpu", "cuda" or "cuda:INDEX". devices: how many on this machine; under torchrun
        its own numbers count, machines included.
    backend: "fabric", "plain" (one device), or "auto": plain only where Fabric is not installed.
    Raises OptionError for a device that is not here, MissingPackageError where several devices or
    "fabric" are wanted and lightning-fabric is not installed.
    """
    device = choose_device(name)
    dtype = choose_dtype(precision, device)
    torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    if devices < 1:
        raise OptionError(f"devices: expected 1 or more, found {devices}")
    if backend != "plain":
        try:
            from lightning_fabric import Fabric
        except ModuleNotFoundError:
            if backend == "fabric" or devices > 1 or torchrun:
                what = "training on several devices"
                raise missing_package(what, "lightning_fabric", "train") from None
        else:
            which: Any = [device.index or 0] if device.type == "cuda" and devices == 1 else devices
            if torchrun:
                which = int(os.environ["LOCAL_WORLD_SIZE"])
            fabric = Fabric(
                accelerator=device.type,
                devices=which,
                num_nodes=int(os.environ.get("GROUP_WORLD_SIZE", "1")) if torchrun else 1,
                strategy="ddp" if devices > 1 or torchrun else "auto",
                precision="bf16-mixed" if dtype == torch.bfloat16 else "32-true",
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fabric.launch()
            found: Devices = fabric
            return found
    return PlainDevice(device, dtype)


def hardware(device: torch.device) -> str:
    """What a device is, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} thread(s)"
