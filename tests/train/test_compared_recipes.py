"""Recipes of MEF-Net, DeepFuse and IFCNN: their losses, and that each preset trains and is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ghostless.methods import METHODS
from ghostless.nn.weights import load_weights
from ghostless.research.train import ifcnn, losses
from ghostless.research.train.command import TrainOptions, prepare
from ghostless.research.train.engine import Run, RunSettings

from .stand_in import StandIn

pytestmark = pytest.mark.usefixtures("one_thread")


def texture(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(4))


def test_the_score_is_one_for_the_frame_itself_and_falls_with_noise() -> None:
    frame = texture(2, 1, 40, 50)
    noise = texture(4, 1, 40, 50)[2:] - 0.5
    scores = [losses.mef_net_score(frame[:, None], frame + k * noise) for k in (0, 0.1, 0.4)]
    torch.testing.assert_close(scores[0], torch.ones(2), atol=2e-3, rtol=0)
    assert (scores[0] > scores[1]).all()
    assert (scores[1] > scores[2]).all()


def test_the_score_wants_the_structure_of_the_frame_of_most_contrast() -> None:
    detailed, flat = texture(1, 1, 40, 50) * 0.4 + 0.3, torch.full((1, 1, 40, 50), 0.5)
    bracket = torch.stack([detailed, flat], dim=1)
    assert losses.mef_net_score(bracket, detailed) > 0.98
    assert losses.mef_net_score(bracket, flat) < 0.4  # the border of zeros is structure
    turned = losses.mef_net_score(bracket.flip(1), detailed)
    torch.testing.assert_close(turned, losses.mef_net_score(bracket, detailed))


def test_the_wanted_luminance_is_that_of_the_frame_in_the_middle() -> None:
    dark, middle = torch.full((1, 1, 30, 30), 0.02), torch.full((1, 1, 30, 30), 0.5)
    bracket = torch.stack([dark, middle], dim=1)
    wanted = losses.wanted_luminance(bracket, bracket)
    assert 0.49 < float(wanted.min()) <= float(wanted.max()) < 0.5
    inner = (slice(None), slice(None), slice(8, -8), slice(8, -8))
    # By hand: the weights are exp(-0.48^2 / 0.08) twice, and 1.
    weight = float(torch.exp(torch.tensor(-2 * 0.48**2 / 0.08)))
    by_hand = (0.5 + 0.02 * weight) / (1 + weight)
    torch.testing.assert_close(wanted[inner], torch.full_like(wanted[inner], by_hand))
    assert losses.luminance_loss(bracket, middle) < losses.luminance_loss(bracket, dark)


def test_what_is_sharp_in_one_picture_is_blurred_in_the_other() -> None:
    sharp = texture(2, 3, 48, 48)
    made = ifcnn.in_and_out_of_focus({"target": sharp}, torch.Generator().manual_seed(1))
    off = [(made[name] - sharp).abs().amax(dim=1) for name in ("near", "far")]
    near = off[0] < 1e-6
    assert 0.1 < float(near.float().mean()) < 0.9
    # A pixel is sharp in exactly one of both, but for those that the blur happens to leave.
    assert float((near ^ (off[1] < 1e-6)).float().mean()) > 0.99
    assert float(made["near"].mean()) == pytest.approx(float(sharp.mean()), abs=0.01)


@pytest.mark.parametrize("preset", ["paper", "program", "default"])
@pytest.mark.parametrize("method", ["mef-net", "deepfuse", "ifcnn"])
def test_every_preset_trains_and_its_weights_are_read(
    method: str, preset: str, tmp_path: Path
) -> None:
    options = TrainOptions(
        batch=2, patch=64, steps=3, preset=preset, changes=("log_every=1", "validate_every=3")
    )
    recipe, phases = prepare(method, options)
    settings = RunSettings(device="cpu", quiet=True)
    Run(method, recipe, phases, lambda _: StandIn(), tmp_path, settings).train()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len([line for line in lines if "losses" in line]) == 3
    (scores,) = (line["validation"] for line in lines if "validation" in line)
    assert {"mef_ssim", "psnr"} <= scores.keys()
    (stored,) = tmp_path.glob("*.best.safetensors")
    network, info = load_weights(METHODS[method].kind, stored)
    assert info.network == method
    assert not info.published
    assert next(network.parameters()).abs().sum() > 0
