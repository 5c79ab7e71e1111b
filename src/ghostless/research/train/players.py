"""The networks of a training run, by player, and the weights that one starts from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...errors import OptionError
from ...nn.blocks import load_folded_state
from ...nn.weights import find_weights, load_weights
from .device import Devices
from .recipe import Phase
from .widen import widened


@dataclass
class State:
    """Where a run is.

    interval_means: the exported player's loss at each interval of the log. started_from: how the
    weights were trained that the run started from, if it did.
    """

    phase: int = 0
    step: int = 0
    updates: int = 0
    seconds: float = 0.0
    best: dict[str, float] = field(default_factory=dict)
    interval_means: list[float] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    started_from: dict[str, Any] = field(default_factory=dict)


class PlayerTable:
    """The networks of a phase. While one player moves, the others only look on."""

    def __init__(self, devices: Devices, channels_last: bool) -> None:
        self.devices = devices
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.networks: dict[str, nn.Module] = {}
        self.wrapped: dict[str, Any] = {}
        self.moving: str | None = None

    def add(self, name: str, network: nn.Module, wrapped: Any = None) -> None:
        self.networks[name] = network
        self.wrapped[name] = network if wrapped is None else wrapped

    def give_turn(self, name: str | None) -> None:
        self.moving = name
        for other, network in self.networks.items():
            network.requires_grad_(other == name)

    def run(self, player: str, *inputs: Tensor, **named: Any) -> Any:
        # Through the wrapper of DDP only whoever moves: it waits for gradients from every call.
        network = self.wrapped[player] if player == self.moving else self.networks[player]
        with self.devices.autocast():
            out = network(
                *(self._laid_out(value) for value in inputs),
                **{name: self._laid_out(value) for name, value in named.items()},
            )
        return _as_float(out)

    def module(self, player: str) -> Any:
        return self.networks[player]

    def _laid_out(self, value: Any) -> Any:
        if isinstance(value, Tensor) and value.ndim == 4:
            return value.contiguous(memory_format=self.memory_format)
        return value


def _as_float(out: Any) -> Any:
    if isinstance(out, Tensor):
        return out.float()
    if isinstance(out, list | tuple):
        return type(out)(_as_float(value) for value in out)
    if dataclasses.is_dataclass(out) and not isinstance(out, type):
        values = {f.name: _as_float(getattr(out, f.name)) for f in dataclasses.fields(out)}
        return dataclasses.replace(out, **values)
    return out


def start_from(network: nn.Module, phase: Phase, start: str) -> dict[str, Any]:
    """Fill a network from trained weights; return how those were trained.

    They are of the same architecture, but for what the network says it `grows_by`, which begins as
    it is, and `widens_by`: sizes that may be multiples of theirs.
    """
    path = find_weights(phase.export, None if start == "shipped" else start)
    trained, info = load_weights(phase.export, path)
    grown: list[str] = []
    wider: list[str] = []
    if hasattr(network, "architecture"):
        wanted = dataclasses.asdict(cast(Any, network.architecture))
        found = dataclasses.asdict(trained.architecture)
        grown = [
            name for name in getattr(network, "grows_by", ()) if wanted[name] and not found[name]
        ]
        wider = [
            name
            for name in getattr(network, "widens_by", ())
            if wanted[name] > found[name] and wanted[name] % found[name] == 0
        ]
        changed = {*grown, *wider}
        unlike = [n for n, value in wanted.items() if found[n] != value and n not in changed]
        if unlike:
            changes = ", ".join(f"{name} = {found[name]!r}" for name in unlike)
            raise OptionError(
                f"start: {path} has {changes}; set the same by --set or start from other weights"
            )
    # Parts that the weights lack begin as they are.
    own = {k: v for k, v in network.state_dict().items() if k.partition(".")[0] in grown}
    state = {**own, **trained.state_dict()}
    load_folded_state(network, widened(state, network.state_dict()) if wider else state)
    kept = ("step", "batch", "patch_pixels", "rate", "seconds", "hardware", "started_from")
    own_rate = f"{phase.name}_rate"  # of a stage that has its own
    return {"commit": info.commit} | {
        k: info.recipe[k] for k in (*kept, own_rate) if k in info.recipe
    }
