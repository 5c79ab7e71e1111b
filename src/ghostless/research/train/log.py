"""What a run tells: a progress bar or plain lines, two log files, TensorBoard with pictures.

rich and tensorboard are used where they are installed, and not missed elsewhere.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from .recipe import Losses, Phase, Validation


class Log:
    """The voice of one run. On all devices but the first it is silent.

    show: also on the screen.
    """

    def __init__(self, folder: Path, *, show: bool, first: bool) -> None:
        self.folder, self.show, self.first = folder, show and first, first
        self._sums: dict[tuple[str, str], Tensor] = {}
        self._count = 0
        self._bar: Any = None
        self._task: Any = None
        self._board: Any = None
        self._phase = ""

    def __enter__(self) -> Log:
        if self.first:
            with suppress(ModuleNotFoundError):
                from torch.utils.tensorboard import SummaryWriter

                self._board = SummaryWriter(str(self.folder))
        if self.show and sys.stderr.isatty():
            with suppress(ModuleNotFoundError):
                from rich import progress
                from rich.console import Console

                self._bar = progress.Progress(
                    progress.TextColumn("{task.description}"),
                    progress.BarColumn(),
                    progress.MofNCompleteColumn(),
                    progress.TextColumn("{task.fields[rate]}"),
                    progress.TimeRemainingColumn(),
                    console=Console(stderr=True),
                )
                self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.say(f"ended by {type(error).__name__}: {error}")
        if self._bar is not None:
            self._bar.stop()
        if self._board is not None:
            self._board.close()

    def say(self, text: str | None) -> None:
        """A line for people, if there is something to say."""
        if not self.first or text is None:
            return
        stamp = time.strftime("%H:%M:%S")
        with (self.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{stamp} {text}\n")
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        elif self.show:
            print(text, file=sys.stderr, flush=True)

    def phase(self, method: str, phase: Phase, step: int, what: str) -> None:
        self._phase = phase.name
        self._sums, self._count = {}, 0
        start = "begins" if step == 0 else f"goes on at step {step}"
        self.say(f"{method}, phase {phase.name}, {phase.steps} steps, {start}; {what}")
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            label = f"{method} {phase.name}"
            self._task = self._bar.add_task(label, total=phase.steps, completed=step, rate="")

    def gather(self, losses: Mapping[str, Losses]) -> None:
        """Add a step's losses up, on their device, without waiting for them."""
        for player, named in losses.items():
            for name, value in named.items():
                key = (player, name)
                self._sums[key] = self._sums[key] + value if key in self._sums else value
        self._count += 1
        if self._bar is not None:
            self._bar.advance(self._task)

    def interval_means(self) -> dict[str, dict[str, float]]:
        """Mean of every loss since the last call, by player."""
        means: dict[str, dict[str, float]] = {}
        if self._sums:
            values = (torch.stack(list(self._sums.values())).double() / self._count).tolist()
            for (player, name), value in zip(self._sums, values, strict=True):
                means.setdefault(player, {})[name] = value
        self._sums, self._count = {}, 0
        return means

    def interval(
        self,
        step: int,
        steps: int,
        means: Mapping[str, Mapping[str, float]],
        *,
        steps_per_second: float,
        samples_per_second: float,
        matrix_share: float | None,
    ) -> None:
        losses = ", ".join(
            f"{player} " + " ".join(f"{name} {value:.4g}" for name, value in named.items())
            for player, named in means.items()
        )
        rate = f"{steps_per_second:.2f} steps/s, {samples_per_second:.1f} samples/s"
        if matrix_share is not None:
            rate += f", {matrix_share:.1%} of the matrix rate"
        left = "" if math.isnan(steps_per_second) else _time((steps - step) / steps_per_second)
        if self._bar is not None:
            self._bar.update(self._task, rate=rate)
        self.say(f"step {step}/{steps}: {losses}" + (f"; {rate}; {left} left" if left else ""))
        flat = {
            f"{player}/{name}": v for player, named in means.items() for name, v in named.items()
        }
        rates = {}
        if left:
            rates = {
                "steps_per_second": steps_per_second,
                "samples_per_second": samples_per_second,
            }
        if matrix_share is not None:
            rates["share_of_matrix_rate"] = matrix_share
        self._record(step, {"losses": flat, **rates})
        self._scalars(step, {**{f"loss/{k}": v for k, v in flat.items()}, **rates})

    def validation(self, step: int, found: Validation) -> None:
        scores = ", ".join(f"{name} {value:.4g}" for name, value in found.scores.items())
        self.say(f"step {step}: held-out scenes: {scores}")
        self._record(step, {"validation": dict(found.scores)})
        self._scalars(step, {f"validation/{k}": v for k, v in found.scores.items()})
        folder = self.folder / "pictures"
        for name, picture in found.pictures.items():
            image = (picture.clamp(0, 1) * 255).round().byte().cpu()
            if self._board is not None:
                with suppress(ModuleNotFoundError):  # it wants Pillow
                    self._board.add_image(f"{self._phase}/{name}", image, step)
            folder.mkdir(exist_ok=True)
            pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy()[:, :, ::-1])
            file = folder / f"{self._phase} {name}.jpg".replace(" ", "_")
            file.write_bytes(cv2.imencode(".jpg", pixels)[1].tobytes())

    def _scalars(self, step: int, values: Mapping[str, float]) -> None:
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{self._phase}/{name}", value, step)

    def _record(self, step: int, content: Mapping[str, Any]) -> None:
        if self.first:
            line = json.dumps({"phase": self._phase, "step": step, **content})
            with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(line + "\n")


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
