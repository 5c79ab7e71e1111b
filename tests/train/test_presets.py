"""Every preset of every network trains, and goes on bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ghostless.research.train import perceptual
from ghostless.research.train.chen_chuang_recipe import PRESETS
from ghostless.research.train.command import TrainOptions, prepare
from ghostless.research.train.engine import Run, RunSettings

from .stand_in import StandIn

pytestmark = pytest.mark.usefixtures("one_thread")

# What makes each network small; everything else as its presets have it.
SMALL: dict[tuple[str, str], dict[str, Any]] = {
    ("chen-chuang", "homography"): {"changes": ("homography_channels=1",)},
    ("chen-chuang", "fusion"): {
        "patch": 256,
        "changes": ("architecture.channels=2", "lambda_pairs=2"),
    },
    ("mef-gan", "fusion"): {"batch": 2, "patch": 64},
    ("lcndr", "fusion"): {"patch": 32},
    ("hdr-gan", "reconstruction"): {"patch": 64, "changes": ("architecture.base_channels=2",)},
    ("dpgn", "fusion"): {"batch": 2, "patch": 128, "changes": ("base=1",)},
    ("u2fusion", "fusion"): {
        "patch": 32,
        "changes": ("architecture.channels=2", "preference_pairs=2"),
    },
    ("pmgi", "fusion"): {"patch": 32},
    ("sdnet", "fusion"): {"patch": 32},
    ("halder", "fusion"): {"patch": 32, "changes": ("architecture.channels=2",)},
    ("cf-net", "fusion"): {
        "patch": 32,
        "changes": ("architecture.channels=2", "architecture.groups=3"),
    },
}
STEPS = 3


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file such as SqueezeNet's, of random numbers."""
    torch.manual_seed(0)
    state = perceptual.SqueezeNet().state_dict()
    path = tmp_path_factory.mktemp("features") / "squeezenet.npz"
    np.savez(path, **{name.removeprefix("fires."): value.numpy() for name, value in state.items()})
    return path


def test_chen_and_chuang_published_no_program() -> None:
    assert replace(PRESETS["program"], preset="paper") == PRESETS["paper"]


@pytest.mark.parametrize(
    ("method", "stage", "preset"),
    [
        (method, stage, preset)
        for method, stage in SMALL
        for preset in ("paper", "program")
        if (method, preset) != ("chen-chuang", "program")
    ],
)
def test_a_preset_trains_and_goes_on_bit_for_bit(
    tmp_path: Path, features: Path, method: str, stage: str, preset: str
) -> None:
    small = dict(SMALL[method, stage])
    changes = (*small.pop("changes", ()), "log_every=1")
    if method == "chen-chuang":
        changes += (f"squeezenet={features}",)
    options = TrainOptions(
        preset=preset, stage=stage, steps=STEPS, **{"batch": 1, **small}, changes=changes
    )

    def trained(folder: Path, minutes: float | None = None, resume: bool = False) -> Run:
        recipe, phases = prepare(method, options)
        settings = RunSettings(device="cpu", quiet=True, minutes=minutes, resume=resume)
        run = Run(method, recipe, phases, lambda _: StandIn(), folder, settings)
        run.train()
        return run

    whole = trained(tmp_path / "whole")
    begun = trained(tmp_path / "parts", minutes=1e-6)
    assert 0 < begun.state.step < STEPS
    resumed = trained(tmp_path / "parts", resume=True)
    assert resumed.finished
    assert resumed.state.best == whole.state.best
    for name in whole.optimisers:
        one, other = (run.table.module(name).state_dict() for run in (whole, resumed))
        assert all(torch.equal(one[key], other[key]) for key in one)
    if stage == "fusion" and method == "chen-chuang":
        assert "lambdas measured on 2 pairs" in (tmp_path / "whole" / "log.txt").read_text()
