"""The training engine: one loop for every recipe.

A run is a folder:

    recipe.json                 what was asked for
    checkpoint.pt               everything that a resumed run needs, written atomically
    checkpoint.earlier.pt       the one before, for when something happens to the newest
    NAME.best.safetensors       averaged weights with the best validation score so far
    log.txt, log.jsonl          what happened, for people and for programs
    pictures/                   held-out scenes at the last validation
    events.*                    TensorBoard, if it is installed
    NAME.safetensors, NAME.md   the finished weights and their card (`export.finish`)

A resumed run equals an uninterrupted one: the random numbers of a step follow from the seed and
the step, the rates from the step, and the rest is in the checkpoint. (On a CPU bit for bit; CUDA's
convolutions add up in varying order.)
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, cast

import torch
from torch.utils.flop_counter import FlopCounterMode

from ...errors import FileReadError, OptionError, OutputError
from ...io.atomic import write_atomically
from ...nn.settings import Precision
from ...nn.weights import WeightsInfo, find_weights, load_weights, save_weights
from ..environment import commit
from .checkpoint import (
    CHECKPOINT,
    has_checkpoint,
    in_place_of,
    read_checkpoint,
    restore,
    save_checkpoint,
)
from .device import hardware, open_devices
from .ema import Average
from .log import Log
from .players import PlayerTable, State, start_from
from .recipe import Batch, Losses, Moment, Phase, Player, Recipe
from .samples import TrainingData
from .watch import (
    FALL_WITHIN_INTERVALS,
    FiniteWatch,
    count_flop,
    matrix_rate,
    synchronise,
    warning_if_not_falling,
)

CHECKPOINT_SECONDS = 120.0


@dataclass(frozen=True)
class RunSettings:
    """How to run a training, whatever the recipe.

    minutes: stop cleanly, with a checkpoint, when these are over.
    device, precision, devices, backend: see `device.open_devices`.
    resume: go on from the folder's checkpoint; without one the run starts anew.
    start: weights to start from, a path or "shipped", of the run's one phase; None for random ones.
    compile, channels_last: None for yes on CUDA devices, no elsewhere.
    quiet: no progress on the screen.
    """

    minutes: float | None = None
    device: str = "auto"
    precision: Precision = "auto"
    devices: int = 1
    backend: str = "auto"
    seed: int = 0
    resume: bool = False
    start: str | None = None
    compile: bool | None = None
    channels_last: bool | None = None
    quiet: bool = False


class Run:
    """One training of one method."""

    def __init__(
        self,
        method: str,
        recipe: Recipe,
        phases: tuple[Phase, ...],
        data: Callable[[torch.device], TrainingData],
        folder: Path,
        settings: RunSettings = RunSettings(),
    ) -> None:
        self.method, self.recipe, self.phases, self.settings = method, recipe, phases, settings
        self.folder = folder
        self.started = time.monotonic()
        if settings.start is not None and len(phases) > 1:
            names = ", ".join(phase.name for phase in phases)
            raise OptionError(f"start: expected one stage to start, found several: {names}")
        self.devices = open_devices(
            settings.device, settings.precision, settings.devices, cast(Any, settings.backend)
        )
        self.device = self.devices.device
        cuda = self.device.type == "cuda"
        self.compile = cuda if settings.compile is None else settings.compile
        self.channels_last = cuda if settings.channels_last is None else settings.channels_last
        self.data = data(self.device)
        self.generator = torch.Generator(self.device)
        self.state = State()
        self.watch = FiniteWatch(every=25 if cuda else 1)
        self.stop_reason: str | None = None
        self.finished = False
        self.samples = 0  # of the latest step and this device
        self.flop_per_step: float | None = None
        self.matrix_rate: float | None = None
        self._compiled = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{folder}: expected a folder for the run, found that none can be there "
                f"({error.strerror}); choose another place"
            ) from None
        self.log = Log(folder, show=not settings.quiet, first=self.devices.global_rank == 0)

    # ---- the loop --------------------------------------------------------------------------

    def train(self) -> State:
        """Run to the end of the recipe, or until the time is over; return where it stopped."""
        saved = self._open_checkpoint()
        with self._stopping_cleanly(), self.log:
            while self.state.phase < len(self.phases) and self.stop_reason is None:
                phase = self.phases[self.state.phase]
                self._set_up(phase, saved)
                saved = None
                self.log.phase(self.method, phase, self.state.step, self._description())
                self.log.say(phase.prepare(self.data))
                while self.state.step < phase.steps and self.stop_reason is None:
                    with self._counting():
                        losses = self._step(phase)
                    self.state.step += 1
                    self._after_step(phase, losses)
                if self.state.step == phase.steps:
                    self.state.phase, self.state.step = self.state.phase + 1, 0
                    self.state.interval_means = []
            self.watch.look()
            self.finished = self.state.phase == len(self.phases)
            self._save_checkpoint()
            self.log.say(f"stopped: {self.stop_reason}" if self.stop_reason else "done")
        return self.state

    def _step(self, phase: Phase) -> dict[str, Losses]:
        """Every player's move, then the balancing ones, then the average."""
        self._seed(self.state.phase, self.state.step)
        batch = phase.draw(self.data, self.generator, self.state.step)
        self.samples = len(next(iter(batch.values())))
        losses = {}
        for player in phase.players:
            if player.fresh_batch:
                batch = phase.draw(self.data, self.generator, self.state.step)
            losses[player.name] = self._move(player, batch)
        if phase.extra is not None:
            by_name = {player.name: player for player in phase.players}
            for name in phase.extra(self.table, batch, self.state.step):
                losses[name] = self._move(by_name[name], batch)
        self.average.update(self.table.module(phase.export_player), self.state.step)
        return losses

    def _move(self, player: Player, batch: Batch) -> Losses:
        """One step of one player down the sum of its losses."""
        network, optimiser = self.table.module(player.name), self.optimisers[player.name]
        self.table.give_turn(player.name)
        losses = player.losses(self.table, batch)
        self.devices.backward(torch.stack(list(losses.values())).sum())
        self.watch.note(self._where(player.name), losses, network)
        if player.clip_gradients is not None:
            torch.nn.utils.clip_grad_value_(network.parameters(), player.clip_gradients)
        for group in optimiser.param_groups:
            group["lr"] = player.rate(Moment(self.state.step, self.state.updates))
        optimiser.step()
        optimiser.zero_grad()
        if player.clip_weights is not None:
            with torch.no_grad():
                for weight in network.parameters():
                    weight.clamp_(-player.clip_weights, player.clip_weights)
        self.state.updates += 1
        return {name: value.detach() for name, value in losses.items()}

    def _after_step(self, phase: Phase, losses: dict[str, Losses]) -> None:
        """Log, validate, save and look at the clock."""
        state, last = self.state, self.state.step == phase.steps
        self.log.gather(losses)
        if state.step % self.recipe.log_every == 0 or last:
            self._log_interval(phase)
        if state.step % self.recipe.validate_every == 0 or last:
            self._validate(phase)
        if self.settings.minutes is not None and self._seconds() > 60 * self.settings.minutes:
            self.stop_reason = self.stop_reason or f"{self.settings.minutes:g} minutes are over"
        if self.devices.world_size > 1:
            self.stop_reason = self.devices.broadcast(self.stop_reason)
        if time.monotonic() - self._saved_at > CHECKPOINT_SECONDS and not last:
            self._save_checkpoint()

    # ---- around it -------------------------------------------------------------------------

    def _where(self, player: str) -> str:
        phase = self.phases[self.state.phase].name
        return f"{self.method}, phase {phase!r}, step {self.state.step}, {player}"

    def _seconds(self) -> float:
        return time.monotonic() - self.started

    def _seed(self, *place: int) -> None:
        """Make the random numbers that follow a function of the seed, the place and the rank."""
        text = repr((self.settings.seed, self.devices.global_rank, *place)).encode()
        number = int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "little")
        self.generator.manual_seed(number)
        torch.manual_seed(number)  # dropout

    def _set_up(self, phase: Phase, saved: Mapping[str, Any] | None) -> None:
        """Build the players of a phase, or take them from a checkpoint."""
        self.table = PlayerTable(self.devices, self.channels_last)
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        self._compiled = False
        # Equal networks on every rank: seeded without the rank.
        torch.manual_seed(self.settings.seed * 1009 + self.state.phase)
        for player in phase.players:
            network = cast(Any, player.make()).to(
                device=self.device, memory_format=self.table.memory_format
            )
            if player.name == phase.export_player:
                if saved is None and self.settings.start is not None:
                    self.state.started_from = start_from(
                        phase.exported(network), phase, self.settings.start
                    )
                self.average = Average(network, self.recipe.ema_decay)
            rate = player.rate(Moment(0, 0))
            optimiser: torch.optim.Optimizer = (
                torch.optim.Adam(network.parameters(), lr=rate, betas=player.betas)
                if player.optimiser == "adam"
                else torch.optim.SGD(network.parameters(), lr=rate)
            )
            wrapped, optimiser = self.devices.setup(network, optimiser)
            # The module that gathers gradients, without Fabric's conversion of outputs, which
            # frozen dataclasses do not survive.
            wrapped = getattr(wrapped, "_forward_module", wrapped)
            self.table.add(player.name, network.train(), wrapped)
            self.optimisers[player.name] = optimiser
        if saved is not None:
            self._restore(saved)
        for name, kind in phase.frozen.items():
            path = self._best_path(kind.name)
            frozen, _ = load_weights(kind, find_weights(kind, path if path.is_file() else None))
            self.table.add(name, frozen.to(self.device))
        self._saved_at = time.monotonic()
        self._interval_start = (self.state.step, time.monotonic())

    @contextmanager
    def _counting(self) -> Iterator[None]:
        """Count the operations of a phase's first step, then compile.

        Counting rounds some operations otherwise: a resumed run has the checkpoint's count.
        """
        if self._compiled or self.devices.world_size > 1 or self.state.step:
            yield
        else:
            with FlopCounterMode(display=False) as counter:
                yield
            self.flop_per_step = count_flop(counter)
        if not self._compiled:
            if self.devices.world_size == 1 and self.matrix_rate is None:
                with self.devices.autocast():
                    ones = torch.ones(1, 1, device=self.device)
                    self.matrix_rate = matrix_rate(self.device, (ones @ ones).dtype)
            self._compile()

    def _compile(self) -> None:
        self._compiled = True
        if self.compile:
            # Where a graph cannot be compiled, or no compiler is at hand, it runs as it is.
            torch._dynamo.config.suppress_errors = True
            for network in self.table.networks.values():
                network.compile()
        self._interval_start = (self.state.step + 1, time.monotonic())

    def _log_interval(self, phase: Phase) -> None:
        synchronise(self.device)
        means = self.log.interval_means()
        own = sum(means.get(phase.export_player, {}).values())
        state = self.state
        if len(state.interval_means) < FALL_WITHIN_INTERVALS:
            state.interval_means.append(own)
            warning = warning_if_not_falling(state.interval_means)
            if warning:
                self.log.say(warning)
        since, at = self._interval_start
        now = time.monotonic()
        # The first step of a run is for counting and compiling: it says nothing of the speed.
        steps_per_second = (state.step - since) / max(1e-9, now - at) or math.nan
        self._interval_start = (state.step, now)
        share = None
        if self.flop_per_step and self.matrix_rate and state.step > since:
            share = steps_per_second * self.flop_per_step / self.matrix_rate
        self.log.interval(
            state.step,
            phase.steps,
            means,
            steps_per_second=steps_per_second,
            samples_per_second=steps_per_second * self.samples * self.devices.world_size,
            matrix_share=share,
        )

    @torch.no_grad()
    def _validate(self, phase: Phase) -> None:
        """Score the averaged network on the held-out scenes; keep it if it is the best."""
        self.watch.look()
        if self.devices.global_rank == 0:
            table = PlayerTable(self.devices, self.channels_last)
            for name, network in self.table.networks.items():
                table.add(name, network)  # frozen ones
            table.add(phase.export_player, self.average.network)
            found = phase.validate(table, self.data)
            self.log.validation(self.state.step, found)
            score, name = found.scores[phase.best], phase.export.name
            self.state.history.append(
                {"phase": phase.name, "step": self.state.step} | dict(found.scores)
            )
            best = self.state.best.get(name)
            if best is None or (score < best if phase.lower_is_better else score > best):
                self.state.best[name] = score
                best_network = phase.exported(self.average.network)
                save_weights(best_network, self._best_path(name), self._info(phase))
        self.devices.barrier()
        # Validating is no training time.
        self._interval_start = (self.state.step, time.monotonic())

    def _info(self, phase: Phase) -> WeightsInfo:
        scores = {k: v for k, v in self.state.history[-1].items() if k not in ("phase", "step")}
        return WeightsInfo(
            network=phase.export.name,
            recipe={
                **dataclasses.asdict(self.recipe),
                "phase": phase.name,
                "phase_steps": phase.steps,
                "step": self.state.step,
                "seconds": round(self.state.seconds + self._seconds()),
                "hardware": hardware(self.device),
                "seed": self.settings.seed,
                **({"started_from": self.state.started_from} if self.state.started_from else {}),
            },
            data=self.data.description,
            commit=commit(mark_changes=False) or "",
            scores=scores,
        )

    def _best_path(self, name: str) -> Path:
        return self.folder / f"{name}.best.safetensors"

    def _description(self) -> str:
        return (
            f"{hardware(self.device)}, {self.devices.world_size} device(s), {self.data.description}"
        )

    # ---- checkpoints -----------------------------------------------------------------------

    def _asked(self) -> dict[str, Any]:
        asked = {"method": self.method, **dataclasses.asdict(self.recipe)}
        asked["phases"] = [f"{phase.name}: {phase.steps} steps" for phase in self.phases]
        asked["seed"] = self.settings.seed
        asked["start"] = self.settings.start
        return asked

    def _open_checkpoint(self) -> Mapping[str, Any] | None:
        """Find out where to begin; return what a resumed run goes on from."""
        path = self.folder / CHECKPOINT
        if not has_checkpoint(self.folder):
            if self.devices.global_rank == 0:
                text = json.dumps(self._asked(), indent=2) + "\n"

                def write(scratch: Path) -> None:
                    scratch.write_text(text, encoding="utf-8")

                write_atomically(self.folder / "recipe.json", write, overwrite=True)
            return None
        if not self.settings.resume:
            raise OptionError(
                f"{self.folder}: expected an empty run folder, found a checkpoint; "
                "go on from it with --resume, or choose another folder"
            )
        try:
            saved = read_checkpoint(path, self.device)
        except FileReadError as error:
            raise self._with_the_last_good(error) from None
        # A number that the recipe did not have when the run began had its default's effect.
        began = {**dataclasses.asdict(type(self.recipe)()), **saved["asked"]}
        for name, value in self._asked().items():
            if began.get(name) != value:
                raise OptionError(
                    f"{path}: expected to go on with {name} = {began.get(name)!r}, as the "
                    f"run began, found {value!r}; give the same options, or another folder"
                )
        try:
            self.state = self._checked_state(saved, path)
        except FileReadError as error:
            raise self._with_the_last_good(error) from None
        self.flop_per_step = saved.get("flop_per_step")
        return saved if saved["networks"] else None

    def _checked_state(self, saved: Mapping[str, Any], path: Path) -> State:
        """The state in a checkpoint; FileReadError if it is of no run with these phases."""
        fresh, found = dataclasses.asdict(State()), saved["state"]
        for name, value in fresh.items():
            kind = int | float if isinstance(value, float) else type(value)
            if not isinstance(found.get(name), kind):
                raise FileReadError(
                    f"{path}: expected a checkpoint of 'ghostless train', found no {name!r} in it"
                )
        state = State(**{name: found[name] for name in fresh})
        steps = [*(phase.steps for phase in self.phases), 0]
        numbers = [*state.best.values(), *state.interval_means]
        if (
            not 0 <= state.phase < len(steps)
            or not 0 <= state.step <= steps[state.phase]
            or not (math.isfinite(state.seconds) and state.updates >= 0)
            or (state.step > 0 and not saved["networks"])
            or not all(isinstance(number, int | float) for number in numbers)
            or not all(isinstance(entry, dict) for entry in state.history)
        ):
            raise FileReadError(
                f"{path}: expected a checkpoint of this run, found one at phase {state.phase}, "
                f"step {state.step} that cannot be gone on from"
            )
        return state

    def _restore(self, saved: Mapping[str, Any]) -> None:
        networks = {name: self.table.module(name) for name in self.optimisers}
        path = self.folder / CHECKPOINT
        try:
            restore(saved, networks, self.average.network, self.optimisers, path)
        except FileReadError as error:
            raise self._with_the_last_good(error) from None

    def _with_the_last_good(self, error: FileReadError) -> FileReadError:
        good = in_place_of(self.folder / CHECKPOINT, self.device, self.folder)
        return FileReadError(f"{error}; {good}")

    def _save_checkpoint(self) -> None:
        """Write the checkpoint atomically: after a kill there is the old one or the new one."""
        self.watch.look()
        if self.devices.global_rank == 0:
            state = dataclasses.asdict(self.state)
            state["seconds"] += self._seconds()
            between = self.finished or self.state.step == 0
            content = {
                "asked": self._asked(),
                "state": state,
                "flop_per_step": self.flop_per_step,
                # Between phases the next one starts anew.
                "networks": {}
                if between
                else {n: self.table.module(n).state_dict() for n in self.optimisers},
                "average": None if between else self.average.network.state_dict(),
                "optimisers": {}
                if between
                else {name: o.state_dict() for name, o in self.optimisers.items()},
            }
            save_checkpoint(content, self.folder)
        self._saved_at = time.monotonic()
        self.devices.barrier()

    @contextmanager
    def _stopping_cleanly(self) -> Iterator[None]:
        """Let an interruption end the run after the step, with a checkpoint."""

        def stop(number: int, frame: FrameType | None) -> None:
            self.stop_reason = f"{signal.Signals(number).name}; go on with --resume"

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
