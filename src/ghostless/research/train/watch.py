"""Watching a training: values that are no numbers, losses that do not fall, the speed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ...errors import GhostlessError

# Intervals of the log after which the mean loss must lie below that of the first.
FALL_WITHIN_INTERVALS = 4


class DivergedError(GhostlessError):
    """The training made NaN or infinity."""


class FiniteWatch:
    """Finds the first step, loss and parameter that are not finite.

    Looking at a number on a GPU waits for it. So what there is to look at stays on the device and
    is looked at every few moves; nothing is saved between a wrong value and the look.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self._waiting: list[tuple[str, list[str], Tensor]] = []

    def note(self, where: str, losses: Mapping[str, Tensor], network: nn.Module) -> None:
        """Take down a move's losses and its gradients, after backward and before the optimiser."""
        trained = [(n, p) for n, p in network.named_parameters() if p.grad is not None]
        norms = torch._foreach_norm([p.grad for _, p in trained if p.grad is not None])
        names = [f"loss {name!r}" for name in losses]
        names += [f"the gradient of parameter {name!r}" for name, _ in trained]
        values = [value.detach().float() for value in losses.values()]
        self._waiting.append((where, names, torch.stack([*values, *(n.float() for n in norms)])))
        if len(self._waiting) >= self.every:
            self.look()

    def look(self) -> None:
        """Raise DivergedError at the first value that is not finite."""
        waiting, self._waiting = self._waiting, []
        for where, names, values in waiting:
            wrong = (~torch.isfinite(values)).cpu()
            if bool(wrong.any()):
                index = int(torch.nonzero(wrong)[0, 0])
                also = [n for n, w in zip(names, wrong.tolist(), strict=True) if w][1:]
                more = f" and {len(also)} more, of which {also[0]}" if also else ""
                raise DivergedError(
                    f"{where}: expected finite numbers, found {float(values[index])} in "
                    f"{names[index]}{more}; the last checkpoint is from before: go on from it "
                    "with a lower rate or in float32"
                )


def warning_if_not_falling(interval_means: Sequence[float]) -> str | None:
    """A warning once the first few intervals are over and the mean loss has not fallen."""
    if len(interval_means) != FALL_WITHIN_INTERVALS:
        return None
    first, last = interval_means[0], interval_means[-1]
    if last < first:
        return None
    return (
        f"warning: the loss has not fallen over the first {FALL_WITHIN_INTERVALS} intervals of "
        f"the log ({first:.4g}, now {last:.4g}); look at the data and the rate"
    )


def count_flop(run: FlopCounterMode) -> float:
    """Floating-point operations that a counter saw."""
    return float(run.get_total_flops())


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of a large matrix product, best of three, measured."""
    side, repeats = (8192, 10) if device.type == "cuda" else (512, 4)
    one = torch.ones(side, side, device=device, dtype=dtype)
    best = 0.0
    for _ in range(3):
        synchronise(device)
        start = time.perf_counter()
        for _ in range(repeats):
            one @ one
        synchronise(device)
        best = max(best, 2 * side**3 * repeats / (time.perf_counter() - start))
    return best


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
