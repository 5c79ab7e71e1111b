"""The training engine: resuming, players, stopping, watching."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ghostless.errors import OptionError, OutputError, WeightsError
from ghostless.nn.dpgn import Dpgn, DpgnArchitecture
from ghostless.nn.homography import HomographyArchitecture, HomographyNetwork
from ghostless.nn.weights import NetworkKind, WeightsInfo, load_weights, save_weights
from ghostless.research.train.checkpoint import CHECKPOINT
from ghostless.research.train.command import TrainOptions, prepare
from ghostless.research.train.ema import Average
from ghostless.research.train.engine import Run, RunSettings
from ghostless.research.train.export import card, finish, ship
from ghostless.research.train.players import start_from
from ghostless.research.train.recipe import Moment, Phase, Player, Recipe, Table, Validation, cosine
from ghostless.research.train.watch import DivergedError, FiniteWatch, warning_if_not_falling

from .stand_in import StandIn


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Small(nn.Module):
    """A network with everything that a checkpoint must hold: parameters, statistics, dropout."""

    def __init__(self, _architecture: Any = None) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(6, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.Dropout(0.2),
            nn.Conv2d(4, 3, 3, padding=1),
        )

    def forward(self, pair: Tensor) -> Tensor:
        out: Tensor = self.layers(pair)
        return out


class Judge(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 3)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.layer(image)
        return out


KIND = NetworkKind("small", dict, lambda _: Small(), "none")
RECIPE = Recipe(steps=8, batch=2, patch_pixels=16, validate_every=4, log_every=2, ema_decay=0.9)
SETTINGS = RunSettings(device="cpu", quiet=True)


def fuse(table: Table, batch: Any) -> Tensor:
    out: Tensor = table.run("generator", torch.cat([batch["under"], batch["over"]], dim=1))
    return out


def phases(recipe: Recipe = RECIPE, spoil_at: int | None = None) -> tuple[Phase, ...]:
    """A generator and a discriminator that gets batches of its own, in two phases."""
    calls: list[int] = []

    def generator_losses(table: Table, batch: Any) -> dict[str, Tensor]:
        fused = fuse(table, batch)
        calls.append(0)
        error = (fused - batch["target"]).square().mean()
        if spoil_at is not None and len(calls) == spoil_at + 1:
            error = error * torch.tensor(float("nan"))
        return {"error": error, "liked": -0.01 * table.run("discriminator", fused).mean()}

    def judge_losses(table: Table, batch: Any) -> dict[str, Tensor]:
        with torch.no_grad():
            fused = fuse(table, batch)
        scores = table.run("discriminator", torch.cat([batch["target"], fused]))
        real, fake = scores.chunk(2)
        return {"judged": (real - 1).square().mean() + fake.square().mean()}

    def validate(table: Table, data: Any) -> Validation:
        batch = data.held_out_pairs()[0]
        error = float((fuse(table, batch) - batch["target"]).square().mean())
        return Validation({"error": error}, {"fused": fuse(table, batch)[0]})

    def phase(name: str, kind: NetworkKind) -> Phase:
        return Phase(
            name=name,
            steps=recipe.steps,
            players=(
                Player("generator", Small, generator_losses, lambda m: 1e-2 * cosine(m.step, 8)),
                Player(
                    "discriminator",
                    Judge,
                    judge_losses,
                    lambda m: 1e-3 * 0.9**m.updates,
                    optimiser="sgd",
                    clip_weights=0.5,
                    fresh_batch=True,
                ),
            ),
            draw=lambda data, generator, step: data.pairs(recipe.batch, 16, generator),
            validate=validate,
            best="error",
            lower_is_better=True,
            export=kind,
            known_failures="It is a test.",
        )

    return phase("first", replace(KIND, name="small-first")), phase("second", KIND)


def make_run(folder: Path, *, recipe: Recipe = RECIPE, **settings: Any) -> Run:
    chosen = replace(SETTINGS, **settings)
    return Run("small", recipe, phases(recipe), lambda _: StandIn(), folder, chosen)


def stop_after(run: Run, steps: int) -> None:
    """Make a run stop as if its time were over."""
    step, taken = run._step, [0]

    def counted(phase: Phase) -> Any:
        found = step(phase)
        taken[0] += 1
        if taken[0] == steps:
            run.stop_reason = "test"
        return found

    run._step = counted  # type: ignore[method-assign]


def everything(run: Run) -> dict[str, Tensor]:
    """All numbers of a run that the next step depends on."""
    found: dict[str, Tensor] = {"torch": torch.get_rng_state(), "data": run.generator.get_state()}
    for name, network in run.table.networks.items():
        found |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
        for index, state in run.optimisers[name].state_dict()["state"].items():
            for key, value in state.items():
                if isinstance(value, Tensor):
                    found[f"{name}.{index}.{key}"] = value
    found |= {f"average.{k}": v for k, v in run.average.network.state_dict().items()}
    return found


@pytest.mark.parametrize("backend", ["fabric", "plain"])
@pytest.mark.parametrize("stop", [3, 8, 11])
def test_resumed_equals_uninterrupted(tmp_path: Path, backend: str, stop: int) -> None:
    if backend == "fabric":
        pytest.importorskip("lightning_fabric")
    whole = make_run(tmp_path / "whole", backend=backend)
    whole.train()
    cut = make_run(tmp_path / "cut", backend=backend)
    stop_after(cut, stop)
    cut.train()
    assert not cut.finished
    resumed = make_run(tmp_path / "cut", backend=backend, resume=True)
    assert resumed.train().phase == 2
    expected, found = everything(whole), everything(resumed)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name
    assert resumed.state.best == whole.state.best
    assert resumed.state.history == whole.state.history
    assert resumed.state.updates == whole.state.updates == 32


def test_another_seed_gives_another_network(tmp_path: Path) -> None:
    first, other = make_run(tmp_path / "a"), make_run(tmp_path / "b", seed=1)
    first.train(), other.train()
    assert first.state.best != other.state.best


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    code = f"""
import sys; sys.path[:0] = {sys.path!r}
import os, signal
from pathlib import Path
from tests.train import test_engine as t
t.torch.set_num_threads(1)
t.Run._validate = (lambda old: lambda self, phase: (old(self, phase), self._save_checkpoint()))(
    t.Run._validate)
run = t.make_run(Path({str(tmp_path / "cut")!r}), backend="plain")
t.stop_after(run, 6)
step = run._step
def die(phase):
    found = step(phase)
    if run.stop_reason: os.kill(os.getpid(), signal.SIGKILL)
    return found
run._step = die
run.train()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == -9, done.stderr
    resumed = make_run(tmp_path / "cut", backend="plain", resume=True)
    resumed.train()
    whole = make_run(tmp_path / "whole", backend="plain")
    whole.train()
    for name, value in everything(whole).items():
        assert torch.equal(value, everything(resumed)[name]), name


def test_a_run_is_not_overwritten_nor_resumed_with_other_numbers(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    stop_after(run, 2)
    run.train()
    with pytest.raises(OptionError, match="--resume"):
        make_run(tmp_path).train()
    with pytest.raises(OptionError, match="batch = 2"):
        make_run(tmp_path, recipe=replace(RECIPE, batch=3), resume=True).train()
    assert not list(tmp_path.glob("*.part"))


def test_a_run_where_no_folder_can_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for place in ("file", "file/run"):
        with pytest.raises(OutputError, match=f"{place}: expected a folder for the run"):
            make_run(tmp_path / place)


def test_minutes_stop_with_a_checkpoint(tmp_path: Path) -> None:
    started = time.monotonic()
    run = make_run(tmp_path, recipe=replace(RECIPE, steps=1_000_000), minutes=1 / 60)
    run.train()
    assert time.monotonic() - started < 10
    assert (tmp_path / CHECKPOINT).is_file()
    assert run.stop_reason is not None
    assert "minutes" in run.stop_reason
    assert 0 < run.state.step < 1_000_000


def test_nan_stops_the_run_and_says_where(tmp_path: Path) -> None:
    run = Run("small", RECIPE, phases(spoil_at=5), lambda _: StandIn(), tmp_path, SETTINGS)
    with pytest.raises(DivergedError) as caught:
        run.train()
    message = str(caught.value)
    assert "phase 'first', step 5, generator" in message
    assert "loss 'error'" in message
    assert "layers.0.weight" in message
    assert "step 5" in (tmp_path / "log.txt").read_text()
    # The checkpoint, if there is one, is from before.
    assert not (tmp_path / CHECKPOINT).exists()


def test_a_watch_names_the_first_of_several_late(tmp_path: Path) -> None:
    network, watch = Judge(), FiniteWatch(every=10)
    for step, value in enumerate((1.0, float("inf"), float("nan"))):
        network.zero_grad()
        network(torch.ones(1, 3, 4, 4)).mean().backward()
        watch.note(f"step {step}", {"fine": torch.tensor(0.0), "bad": torch.tensor(value)}, network)
    with pytest.raises(DivergedError, match=r"step 1.*inf.*loss 'bad'"):
        watch.look()
    network.layer.weight.grad.fill_(float("nan"))  # type: ignore[union-attr]
    watch.note("step 3", {"fine": torch.tensor(0.0)}, network)
    with pytest.raises(DivergedError, match=r"step 3.*gradient of parameter 'layer.weight'"):
        watch.look()


def test_a_loss_that_does_not_fall_is_told() -> None:
    assert warning_if_not_falling([1.0, 0.9, 0.8, 0.7]) is None
    assert "not fallen" in (warning_if_not_falling([1.0, 0.9, 1.2, 1.0]) or "")
    assert warning_if_not_falling([1.0, 2.0]) is None


def test_players_move_in_turn_and_only_they(tmp_path: Path) -> None:
    run = make_run(tmp_path, backend="plain")
    seen: list[tuple[str, bool]] = []
    move = run._move

    def watched(player: Player, batch: Any) -> Any:
        before = {n: [p.clone() for p in m.parameters()] for n, m in run.table.networks.items()}
        found = move(player, batch)
        for name, network in run.table.networks.items():
            same = all(
                torch.equal(a, b) for a, b in zip(before[name], network.parameters(), strict=True)
            )
            assert same != (name == player.name)
        seen.append(
            (
                player.name,
                bool(
                    max(
                        run.table.networks["discriminator"].parameters(),
                        key=lambda p: float(p.detach().abs().max()),
                    )
                    .detach()
                    .abs()
                    .max()
                    <= 0.5
                ),
            )
        )
        return found

    run._move = watched  # type: ignore[method-assign]
    stop_after(run, 2)
    run.train()
    assert [name for name, _ in seen] == ["generator", "discriminator"] * 2
    assert seen[1][1]  # clipped


def test_a_player_may_ask_for_a_fresh_batch(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    batches = []
    move = run._move
    run._move = lambda player, batch: (batches.append(batch), move(player, batch))[1]  # type: ignore[method-assign]
    stop_after(run, 1)
    run.train()
    assert not torch.equal(batches[0]["under"], batches[1]["under"])


def test_the_average_follows_from_afar() -> None:
    network = Small()
    average = Average(network, decay=0.5)
    start = network.layers[0].weight.detach().clone()  # type: ignore[union-attr,operator]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    network.layers[1].running_mean.fill_(3.0)  # type: ignore[union-attr,operator]
    average.update(network, step=1000)
    assert torch.allclose(average.network.layers[0].weight, start + 0.5)  # type: ignore[index,union-attr]
    assert float(average.network.layers[1].running_mean[0]) == 3.0  # type: ignore[index,union-attr]


def test_logs_tell_rates_losses_and_scores(tmp_path: Path) -> None:
    make_run(tmp_path).train()
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    intervals = [e for e in entries if "losses" in e]
    assert {e["phase"] for e in intervals} == {"first", "second"}
    assert set(intervals[0]["losses"]) == {
        "generator/error",
        "generator/liked",
        "discriminator/judged",
    }
    assert all(e["samples_per_second"] > 0 for e in intervals)
    assert (tmp_path / "pictures" / "first_fused.jpg").is_file()
    assert 0 < intervals[1]["share_of_matrix_rate"] < 1
    assert [e["step"] for e in entries if "validation" in e] == [4, 8, 4, 8]
    assert "steps/s" in (tmp_path / "log.txt").read_text()
    if pytest.importorskip("tensorboard"):
        assert list(tmp_path.glob("events.*"))


def test_finished_weights_and_card(tmp_path: Path) -> None:
    make_run(tmp_path / "run").train()
    with (tmp_path / "run" / "log.jsonl").open("ab") as log:  # as a kill and a disk leave it
        log.write(b'\xff[1]\n[2]\n{"phase": "first", "validation": 3, "step": 9}\n{"phase": "fi')
    first, second = finish(tmp_path / "run", phases())
    _, info = load_weights(KIND, second)
    assert info.data == "stand-in"
    assert info.recipe["steps"] == 8
    assert set(info.scores) == {"error"}
    text = second.with_suffix(".md").read_text()
    for wanted in ("stand-in", "It is a test.", "CPU", "error", "| 8 |", "of 8 planned"):
        assert wanted in text
    assert "A short run" not in text
    long = replace(phases()[1], steps=1000)
    assert "A short run" in card(long, info, 1, 1, tmp_path / "run")
    shipped = ship([first, second], tmp_path / "weights")
    assert [path.name for path in shipped] == ["small-first.safetensors", "small.safetensors"]
    assert (tmp_path / "weights" / "small.md").read_text() == text


def test_a_run_starts_from_weights_and_says_so(tmp_path: Path) -> None:
    only = (phases()[1],)

    def run_of(folder: str, **settings: Any) -> Run:
        chosen = replace(SETTINGS, **settings)
        return Run("small", RECIPE, only, lambda _: StandIn(), tmp_path / folder, chosen)

    run_of("first").train()
    (first,) = finish(tmp_path / "first", only)
    trained, _ = load_weights(KIND, first)
    second = run_of("second", start=str(first))
    second._set_up(only[0], None)
    for name, value in trained.state_dict().items():
        assert torch.equal(second.table.module("generator").state_dict()[name], value), name
    stop_after(second, 3)
    second.train()
    first.unlink()  # a resumed run needs it no more
    run_of("second", start=str(first), resume=True).train()
    (done,) = finish(tmp_path / "second", only)
    _, info = load_weights(KIND, done)
    assert info.recipe["started_from"]["step"] == 8
    assert "It started from weights of 8 steps" in done.with_suffix(".md").read_text()
    with pytest.raises(OptionError, match="expected one stage"):
        make_run(tmp_path / "both", start=str(done))
    with pytest.raises(WeightsError, match=str(first)):
        run_of("third", start=str(first)).train()


def test_weights_of_another_architecture_start_nothing(tmp_path: Path) -> None:
    options = TrainOptions(batch=2, patch=128, stage="fusion", changes=("base=2",))
    _, (phase,) = prepare("dpgn", options)
    weights = tmp_path / "dpgn.safetensors"
    save_weights(Dpgn(DpgnArchitecture(base=3)), weights, WeightsInfo("dpgn"))
    run = Run("dpgn", RECIPE, (phase,), lambda _: StandIn(), tmp_path / "run",
              replace(SETTINGS, start=str(weights)))  # fmt: skip
    with pytest.raises(OptionError, match=r"has base = 3, .*adds_to = 'nothing'"):
        run.train()


def test_wider_networks_start_where_narrower_ones_ended(tmp_path: Path) -> None:
    options = TrainOptions(stage="homography", changes=("homography_channels=6",))
    _, (phase,) = prepare("chen-chuang", options)
    weights = tmp_path / "narrow.safetensors"
    architecture = HomographyArchitecture(pool_last=True, base_channels=2, instance_norms=4)
    narrow = HomographyNetwork(architecture).eval()
    save_weights(narrow, weights, WeightsInfo("chen-chuang-homography", recipe={"step": 7}))
    wide = HomographyNetwork(replace(architecture, base_channels=6)).eval()
    assert start_from(wide, phase, str(weights)) == {"commit": "", "step": 7}
    seen = torch.rand(2, 8, 256, 256)
    with torch.no_grad():
        torch.testing.assert_close(wide(seen), narrow(seen), rtol=0, atol=1e-3)
    # Copies of a channel must learn different things: what follows reads them unevenly.
    second = wide.features[1].conv.weight
    assert (second[:, :2] - second[:, 2:4]).abs().min() > 0
    other = HomographyNetwork(replace(architecture, base_channels=3))
    with pytest.raises(OptionError, match="has base_channels = 2"):
        start_from(other, phase, str(weights))


def test_cosine_warms_up_and_falls() -> None:
    rates = [cosine(step, 1000) for step in range(1001)]
    assert rates[0] == pytest.approx(1 / 20)
    assert max(rates) == 1.0
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)


def test_moment_is_what_rates_depend_on() -> None:
    player = phases()[0].players[1]
    assert player.rate(Moment(0, 2)) == pytest.approx(1e-3 * 0.81)
