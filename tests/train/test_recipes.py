"""The recipes: who moves on which losses, the presets' numbers, and that every network learns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ghostless.errors import OptionError, WeightsError
from ghostless.nn.blocks import count_parameters
from ghostless.nn.homography import HOMOGRAPHY, HomographyNetwork, network_input
from ghostless.nn.weights import load_weights
from ghostless.research.train import hdr_gan, homography_stage, mef_gan, samples
from ghostless.research.train.chen_chuang_recipe import PRESETS as CHEN_CHUANG
from ghostless.research.train.command import TrainOptions, prepare
from ghostless.research.train.device import PlainDevice
from ghostless.research.train.engine import Run, RunSettings
from ghostless.research.train.players import PlayerTable
from ghostless.research.train.recipe import Moment, Phase
from ghostless.research.train.samples import Motion, Spread

from .stand_in import CPU, StandIn

pytestmark = pytest.mark.usefixtures("one_thread")

# Networks of three frames that learn from the truth alone, with what makes them small.
HDR_NETWORKS = {
    "kalantari17": ("view_pixels=96", "border_pixels=8", "architecture.channels=8"),
    "deephdr": ("architecture.channels=8", "architecture.blocks=1"),
    "ahdrnet": ("architecture.channels=8", "architecture.growth=4"),
    "nhdrrnet": ("architecture.channels=8", "architecture.blocks=1"),
    "safnet": ("architecture.channels=8",),
}

# method, stage, options that make it small: everything else as the presets have it.
SMALL = [
    ("chen-chuang", "homography", TrainOptions(batch=2)),
    ("chen-chuang", "fusion", TrainOptions(batch=2, patch=128)),
    ("mef-gan", "fusion", TrainOptions(batch=2, patch=64)),
    ("lcndr", "fusion", TrainOptions(batch=2, patch=64)),
    ("hdr-gan", "reconstruction", TrainOptions(batch=2, patch=64)),
    ("dpgn", "fusion", TrainOptions(batch=2, patch=128)),
    ("mef-net", "fusion", TrainOptions(batch=2, patch=128)),
    ("deepfuse", "fusion", TrainOptions(batch=2, patch=64)),
    ("ifcnn", "fusion", TrainOptions(batch=2, patch=64)),
    ("u2fusion", "fusion", TrainOptions(batch=2, patch=32)),
    ("pmgi", "fusion", TrainOptions(batch=2, patch=32)),
    ("sdnet", "fusion", TrainOptions(batch=2, patch=32)),
    ("halder", "fusion", TrainOptions(batch=2, patch=32)),
    ("cf-net", "fusion", TrainOptions(batch=2, patch=32)),
    *(
        (method, "reconstruction", TrainOptions(batch=2, patch=64, changes=changes))
        for method, changes in HDR_NETWORKS.items()
    ),
    ("agreement", "agreement", TrainOptions(batch=2, patch=64)),
]
ADVERSARIAL = ("chen-chuang", "mef-gan", "hdr-gan", "dpgn")
# Switches that make a network small.
CHANGES: dict[str, tuple[str, ...]] = {
    "chen-chuang": ("registration=aligner", "stand_in=true"),
    "dpgn": ("base=4",),
    "u2fusion": ("architecture.channels=4", "preference_pairs=8"),
    "halder": ("architecture.channels=4",),
    "cf-net": ("architecture.channels=4", "architecture.groups=3"),
    **HDR_NETWORKS,
}
IDS = [f"{method}-{stage}" for method, stage, _ in SMALL]


def with_options(options: TrainOptions, **changes: Any) -> TrainOptions:
    return TrainOptions(**{**vars(options), **changes})


def table_of(phase: Phase) -> PlayerTable:
    torch.manual_seed(3)
    table = PlayerTable(PlainDevice(CPU, torch.float32), channels_last=False)
    for player in phase.players:
        table.add(player.name, player.make().train())
    return table


def phase_of(method: str, stage: str, options: TrainOptions) -> Phase:
    return prepare(method, with_options(options, stage=stage))[1][0]


@pytest.mark.parametrize("preset", ["paper", "default"])
@pytest.mark.parametrize(("method", "stage", "options"), SMALL[1:-1], ids=IDS[1:-1])
def test_every_player_has_finite_losses_and_moves_alone(
    method: str, stage: str, options: TrainOptions, preset: str
) -> None:
    changes = CHANGES.get(method, ())
    options = with_options(options, preset=preset, changes=changes)
    phase = phase_of(method, stage, options)
    phase.prepare(StandIn())
    table = table_of(phase)
    batch = phase.draw(StandIn(), torch.Generator().manual_seed(1), 0)
    adversarial = preset == "paper" and method in ADVERSARIAL
    assert len(phase.players) == 1 + adversarial
    for player in phase.players:
        table.give_turn(player.name)
        losses = player.losses(table, batch)
        assert all(bool(torch.isfinite(loss)) for loss in losses.values())
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        for name, network in table.networks.items():
            grads = [p.grad for p in network.parameters() if p.grad is not None]
            assert bool(grads) == (name == player.name)
            network.zero_grad()


def test_the_homography_network_gets_the_registration_right_if_it_answers_the_truth() -> None:
    """What the first stage teaches is what the second stage's warping undoes."""
    from ghostless.nn.homography import homography_from_offsets, warp
    from ghostless.research.train.samples import make_homography_pairs

    rows = torch.linspace(0, 12, 384)
    image = (torch.sin(rows)[:, None] * torch.cos(1.3 * rows)[None] * 0.5 + 0.5).expand(
        2, 3, -1, -1
    )
    offsets = Motion(32.0).draw(2, torch.Generator().manual_seed(0))
    made = make_homography_pairs(image, image, offsets, 64)
    assert float(made.offsets.abs().max()) <= 32
    assert float(made.offsets.abs().mean()) > 5
    warped, inside = warp(made.second, homography_from_offsets(made.offsets))
    error = ((warped - made.first).abs() * inside).max()
    assert float(error) < 0.01
    assert float((made.second - made.first).abs().max()) > 0.1


@pytest.mark.parametrize("spread", ["normal", "uniform"])
def test_corners_move_within_their_bounds_alone_or_together(spread: Spread) -> None:
    generator = torch.Generator().manual_seed(0)
    own, shared, half = (
        Motion(10.0, spread, share).draw(200, generator) for share in (0.0, 1.0, 0.5)
    )
    for offsets in (own, shared, half):
        assert float(offsets.abs().max()) <= 10
        assert float(offsets.abs().max()) > 8
        assert abs(float(offsets.mean())) < 1
    apart = [float((o - o[:, :1]).abs().mean()) for o in (own, half, shared)]
    assert apart[0] > apart[1] > apart[2] == 0


def test_the_homography_network_starts_on_small_patches() -> None:
    options = TrainOptions(batch=2, steps=100, stage="homography")
    _, (phase,) = prepare("chen-chuang", options)
    sides, motions = [], []
    for step in (0, 20, 40, 50, 70, 99):
        batch = phase.draw(StandIn(), torch.Generator().manual_seed(1), step)
        side = batch["input"].shape[-1]
        assert len(batch["input"]) == 2 * (256 // side)
        sides.append(side)
        motions.append(float(batch["offsets"].abs().max()))
    assert sides == [64, 64, 128, 128, 256, 256]
    assert motions[0] < 6 < motions[1] < 12 < motions[4] < 32
    assert homography_stage.growth_of(CHEN_CHUANG["paper"])[0].side == 256


def test_a_repeated_border_is_that_of_a_second_warp() -> None:
    from ghostless.nn.homography import homography_from_offsets, warp

    rows = torch.linspace(0, 9, 256)
    image = (torch.sin(rows)[:, None] * torch.cos(1.3 * rows)[None] * 0.5 + 0.5).expand(
        1, 3, -1, -1
    )
    offsets = Motion(32.0).draw(1, torch.Generator().manual_seed(0))
    first_pass = homography_from_offsets(offsets.flatten(1))
    # A picture that is known beyond the square, shown through the same homography.
    warped, inside = warp(image, first_pass)
    found = samples.repeat_border(warped, first_pass)
    torch.testing.assert_close(found, warped, atol=0.01, rtol=0)
    ramp = torch.arange(256.0).expand(1, 1, 256, 256)
    changed = (samples.repeat_border(ramp, first_pass) - ramp).abs() > 0.01
    outside = ~inside.bool()
    assert 0 < float(outside.float().mean()) < 0.5
    assert float((changed & ~outside).float().mean()) < 0.02
    assert float((changed & outside).sum()) > 0.5 * float(outside.sum())


def test_cells_move_as_the_corners_do() -> None:
    from ghostless.nn.homography import corners, solve_homography

    start = corners(64, 64).expand(2, 4, 2)
    offsets = Motion(6.0).draw(2, torch.Generator().manual_seed(0))
    # 64 cells of one pixel each: the outermost are the corners.
    moved = homography_stage.motion_of_cells(solve_homography(start, start + offsets), 64, 64)
    at_corners = moved[:, :, [0, 0, 63, 63], [0, 63, 63, 0]].transpose(1, 2)
    torch.testing.assert_close(at_corners, offsets.float(), atol=1e-4, rtol=0)


def test_what_helps_to_learn_is_not_shipped(tmp_path: Path) -> None:
    changes = ("homography_channels=2", "homography_pool=4", "small_first=false")
    options = TrainOptions(batch=1, steps=2, stage="homography", changes=changes)
    recipe, phases = prepare("chen-chuang", options)
    settings = RunSettings(device="cpu", quiet=True)
    run = Run("chen-chuang", recipe, phases, lambda _: StandIn(), tmp_path, settings)
    run.train()
    network, info = load_weights(HOMOGRAPHY, tmp_path / "chen-chuang-homography.best.safetensors")
    assert type(network) is HomographyNetwork
    assert info.architecture["instance_norms"] == 4
    assert set(info.scores) >= {"corner_error_median_pixels", "share_under_2_pixels"}
    learning = run.table.module("homography")
    assert set(learning.network.state_dict()) == set(network.state_dict())
    assert [head.in_channels for head in learning.heads.values()] == [4, 4, 8, 8]


def test_attention_learns_alone_from_moving_pairs(tmp_path: Path) -> None:
    changes = ("learns=attention", "attention_pool=4", "apart_share=0.5", "architecture.channels=4")
    options = TrainOptions(batch=2, patch=128, steps=2, stage="fusion", changes=changes)
    recipe, (phase,) = prepare("chen-chuang", options)
    assert (phase.best, phase.lower_is_better) == ("attention_ratio", True)
    first, again = (
        prepare("chen-chuang", options)[1][0].draw(StandIn(), torch.Generator().manual_seed(s), 0)
        for s in (1, 1)
    )
    assert set(first) == {"under", "over", "still"}
    assert all(torch.equal(first[name], again[name]) for name in first)
    run = Run(
        "chen-chuang",
        recipe,
        (phase,),
        lambda _: StandIn(),
        tmp_path,
        RunSettings(quiet=True, device="cpu"),
    )
    before = run.train()
    network = run.table.module("generator")
    assert before.best
    # What merges has not moved: only the gate was told anything.
    assert all(p.grad is None or "gate" in name for name, p in network.named_parameters())


def test_a_gate_is_added_to_weights_without_one(tmp_path: Path) -> None:
    from ghostless.nn.chen_chuang import GENERATOR, ChenChuangArchitecture, Generator
    from ghostless.nn.weights import WeightsInfo, save_weights
    from ghostless.research.train.players import start_from

    torch.manual_seed(0)
    before = Generator(ChenChuangArchitecture(channels=4))
    path = tmp_path / "chen-chuang.safetensors"
    save_weights(before, path, WeightsInfo(GENERATOR.name))
    options = TrainOptions(patch=128, stage="fusion", changes=("architecture.gate=true",))
    (phase,) = prepare("chen-chuang", options)[1]
    gated = Generator(ChenChuangArchitecture(channels=4, gate=True))
    start_from(gated, phase, str(path))
    for name, value in before.state_dict().items():
        assert torch.equal(gated.state_dict()[name], value)
    with pytest.raises(OptionError, match="full_size_skip = False"):
        start_from(
            Generator(ChenChuangArchitecture(channels=4, full_size_skip=True)), phase, str(path)
        )


def test_the_papers_own_attention_can_be_taught_too() -> None:
    changes = ("learns=attention", "architecture.gate=false", "architecture.channels=4")
    options = TrainOptions(batch=2, patch=128, stage="fusion", changes=changes)
    (phase,) = prepare("chen-chuang", options)[1]
    table = table_of(phase)
    table.give_turn("generator")
    batch = phase.draw(StandIn(), torch.Generator().manual_seed(1), 0)
    losses = phase.players[0].losses(table, batch)
    assert set(losses) == {"attention"}
    losses["attention"].backward()  # type: ignore[no-untyped-call]
    learnt = {
        name.partition(".")[0]
        for name, p in table.module("generator").named_parameters()
        if p.grad is not None
    }
    assert learnt == {"attention"}
    with pytest.raises(OptionError, match="attention_weight: expected more than 0"):
        prepare("chen-chuang", with_options(options, changes=(*changes, "attention_weight=0")))


def test_a_pool_holds_the_same_pairs_whenever_it_is_filled() -> None:
    def drawn(pool: homography_stage.ExposurePool) -> Tensor:
        pair = pool.draw(StandIn(), 3, 100, torch.Generator().manual_seed(5))
        return torch.stack([pair["under"], pair["over"]])

    early, late = homography_stage.ExposurePool(20), homography_stage.ExposurePool(20)
    late.draw(StandIn(), 2, 384, torch.Generator().manual_seed(6))
    assert torch.equal(drawn(early), drawn(late))
    assert drawn(early).shape == (2, 3, 3, 100, 100)
    # Dark and bright of one scene, not of two: brighter everywhere.
    under, over = drawn(early)
    assert bool((over >= under).all())


@pytest.mark.parametrize("brightness", [0.02, 0.4, 0.97])
def test_inputs_on_the_device_equal_those_of_inference(brightness: float) -> None:
    random = np.random.default_rng(4)
    images = [
        np.clip(random.random((256, 256, 3), np.float32) * 0.3 + level, 0, 1).round(3)
        for level in (brightness, 0.5)
    ]
    first, second = (torch.from_numpy(i).permute(2, 0, 1)[None] for i in images)
    found = homography_stage.network_inputs(first, second)
    assert torch.equal(found, network_input(*images))


class Beliefs:
    """A table whose discriminator believes what a test says, one answer after the other."""

    def __init__(self, answers: list[tuple[float, float]]) -> None:
        self.answers, self.asked = answers, -1

    def run(self, player: str, *inputs: Tensor, **named: Any) -> Tensor:
        if player == "generator":
            self.asked += 1
            return torch.zeros(1)
        real, fake = self.answers[min(self.asked, len(self.answers) - 1)]
        probability = torch.tensor(real if inputs[0].numel() > 1 else fake)
        return torch.logit(probability) / 2


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([(0.5, 0.5)], []),
        ([(0.3, 0.5), (0.5, 0.5)], ["discriminator"]),
        ([(0.3, 0.7)], ["discriminator"] * 3),
        ([(0.9, 0.5)], ["generator"] * 7),
        ([(0.5, 0.5), (0.5, 0.1), (0.5, 0.1), (0.5, 0.5)], ["generator"] * 2),
    ],
)
def test_balancing_lets_the_laggard_move(answers: Any, expected: list[str]) -> None:
    batch = {name: torch.zeros(2) for name in ("over", "under", "target")}
    assert list(mef_gan.balance(Beliefs(answers), batch, 0)) == expected  # type: ignore[arg-type]
    assert list(mef_gan.balance(Beliefs(answers), batch, 1)) == []  # type: ignore[arg-type]


def test_presets_have_the_papers_numbers() -> None:
    paper = TrainOptions(preset="paper", changes=("stand_in=true",))
    chen, stages = prepare("chen-chuang", paper)
    assert [stage.steps for stage in stages] == [500 * 471, 200 * 471]
    assert (chen.batch, chen.rate, chen.schedule, chen.pool_last) == (4, 1e-4, "constant", False)
    assert (chen.photo_pairs, chen.photo_size) == ("mirrored", "1200x800")
    assert [player.name for player in stages[1].players] == ["discriminator", "generator"]
    assert set(stages[1].frozen) == {"homography"}
    paper = TrainOptions(preset="paper")
    mef, (fusion,) = prepare("mef-gan", paper)
    assert (mef.batch, mef.patch_pixels, mef.steps) == (19, 144, 2 * 1050)
    assert (mef.saturating, mef.gradient_form, fusion.extra) == (True, "differences", None)
    discriminator, generator = fusion.players
    assert (generator.betas, generator.clip_weights) == ((0.9, 0.999), None)
    assert discriminator.optimiser == "sgd"
    assert generator.rate(Moment(1050, 2100)) == pytest.approx(0.7 * 6e-4)
    assert discriminator.rate(Moment(0, 0)) == pytest.approx(12e-4)
    architecture = generator.make().architecture
    assert (architecture.activation, architecture.local_spectral_layers) == ("relu", 3)
    assert count_parameters(discriminator.make()) == 1_718_657
    hdr, (phase,) = prepare("hdr-gan", paper)
    assert (hdr.batch, hdr.patch_pixels, hdr.adversarial_weight) == (2, 512, 1.0)
    assert [p.name for p in phase.players] == ["generator", "discriminator"]
    rates = [phase.players[0].rate(Moment(step, 0)) for step in (114_299, 114_300, 706_400)]
    assert rates == pytest.approx([1e-4, 1e-5, 1e-6])
    made = phase.players[0].make().architecture
    assert (made.curve, made.in_hdr, made.out_hdr) == ("gamma", True, True)
    dpgn, (phase,) = prepare("dpgn", paper)
    assert (dpgn.base, dpgn.dropout, dpgn.adversarial_weight) == (16, 0.3, 0.01)
    lcndr, (phase,) = prepare("lcndr", paper)
    assert (lcndr.batch, lcndr.patch_pixels, lcndr.likeness_weight) == (16, 256, 0.0)
    assert lcndr.mse_form == "printed"
    assert phase.players[0].make().architecture.tau == 128


def test_presets_have_the_programs_numbers() -> None:
    program = TrainOptions(preset="program")
    mef, (fusion,) = prepare("mef-gan", program)
    discriminator, generator = fusion.players
    assert (mef.steps, mef.saturating, mef.gradient_form) == (4 * 1050, False, "high-pass")
    assert (generator.betas, generator.clip_weights) == ((0.0, 0.9), 8.0)
    assert generator.rate(Moment(525, 1050)) == pytest.approx(0.7 * 3e-4)
    assert discriminator.rate(Moment(0, 0)) == pytest.approx(6e-4)
    assert count_parameters(discriminator.make()) == 1_692_961
    torch.manual_seed(0)
    gamma = float(generator.make().attention.gamma.detach())
    assert gamma != 0
    assert abs(gamma) <= 1
    hdr, (phase,) = prepare("hdr-gan", program)
    assert (hdr.ref_index, hdr.eight_bits) == (0, True)
    assert [p.fresh_batch for p in phase.players] == [False, True]
    assert [p.clip_gradients for p in phase.players] == [1.0, 1.0]
    drawn = phase.draw(StandIn(), torch.Generator().manual_seed(0), 0)["frames"] * 255
    assert torch.equal(drawn.round(), drawn.round(decimals=3))
    _, (phase,) = prepare("lcndr", program)
    # Of the program's 107,204 numbers one is a scale that it does not use.
    assert count_parameters(phase.players[0].make()) == 107_203
    assert phase.players[0].rate(Moment(24, 24)) == pytest.approx(0.9e-4)
    dpgn, (phase,) = prepare("dpgn", program)
    assert (dpgn.batch, dpgn.patch_pixels, dpgn.framing) == (1, 1024, "letterbox")
    assert phase.players[0].make().architecture.prior_form == "fused_first"


def test_the_papers_perceptual_loss_is_not_replaced_in_silence() -> None:
    with pytest.raises(OptionError, match=r"vgg: expected a file of VGG-19.* --set vgg=FILE"):
        prepare("chen-chuang", TrainOptions(preset="paper"))
    prepare("chen-chuang", TrainOptions(preset="paper", stage="homography"))
    with pytest.raises(WeightsError, match="squeezenet: expected a file"):
        prepare("chen-chuang", TrainOptions(changes=("squeezenet=nowhere.npz",)))


def test_options_change_the_recipe() -> None:
    recipe, phases = prepare(
        "chen-chuang",
        TrainOptions(steps=7, batch=3, stage="homography", changes=("pool_last=false", "rate=1")),
    )
    assert (recipe.homography_steps, recipe.homography_batch, recipe.rate) == (7, 3, 1.0)
    assert [phase.name for phase in phases] == ["homography"]
    assert not recipe.pool_last
    for wrong, message in (
        (TrainOptions(preset="best"), "unknown preset 'best'"),
        (TrainOptions(stage="first"), "unknown stage 'first'"),
        (TrainOptions(changes=("batchsize=3",)), "unknown number"),
        (TrainOptions(changes=("batch",)), "NAME=VALUE"),
        (
            TrainOptions(changes=("batch=many",)),
            "--set batch: expected a whole number, found 'many'",
        ),
        (TrainOptions(patch=100), "multiple of 64"),
        (TrainOptions(steps=0), "steps: expected 1 or more"),
    ):
        with pytest.raises(OptionError, match=message):
            prepare("dpgn", wrong)
    for change, message in (
        ("homography_loss=round", "homography_loss: expected one of squared, robust"),
        ("homography_spread=wide", "homography_spread: expected one of normal, uniform"),
        ("homography_pool=-1", "homography_pool: expected 0 or more"),
        ("local_weight=0", "small_first: expected a local_weight"),
    ):
        with pytest.raises(OptionError, match=message):
            prepare("chen-chuang", TrainOptions(changes=(change,)))
    with pytest.raises(OptionError, match="did you mean 'mef-gan'"):
        prepare("mefgan", TrainOptions())


def test_every_method_with_weights_has_a_recipe() -> None:
    from ghostless.methods import METHODS

    for method, entry in METHODS.items():
        if not entry.recipe:
            continue
        presets = {"paper", "program", "default"} if entry.paper else {"default"}
        if method in ("kalantari17", "safnet"):
            presets.remove("program")  # no program of theirs that trains was published
        assert presets <= entry.find(entry.recipe).PRESETS.keys()
        for phase in prepare(method, TrainOptions())[1]:
            assert phase.export.train_command == f"ghostless train {method}"


def test_hdr_gan_sees_frames_as_at_inference() -> None:
    from ghostless.nn.hdr_gan import HdrGanArchitecture

    frames = torch.full((2, 3, 3, 8, 8), 0.5)
    batch = {
        "frames": frames,
        "light": frames.pow(2.0),
        "stops": torch.tensor([[-2.0, 0.0, 2.0], [-3.0, 0.0, 3.0]]),
    }
    inputs = hdr_gan.inputs_of(batch, HdrGanArchitecture(in_hdr=True))
    half = [[float((i[b, 3, 0, 0] + 1) / 2) for i in inputs] for b in (0, 1)]
    assert half == [
        pytest.approx([0.25, 0.25 / 4, 0.25 / 16]),
        pytest.approx([0.25, 0.25 / 8, 0.25 / 64]),
    ]


@pytest.mark.parametrize("method", HDR_NETWORKS)
def test_three_steps_make_weights_that_the_method_takes(tmp_path: Path, method: str) -> None:
    from ghostless.methods import METHODS, fuse_stack
    from tests.scenes import make_radiance, make_stack

    options = TrainOptions(steps=3, batch=2, patch=64, changes=HDR_NETWORKS[method])
    recipe, phases = prepare(method, options)
    settings = RunSettings(device="cpu", quiet=True)
    Run(method, recipe, phases, lambda _: StandIn(), tmp_path, settings).train()
    weights = tmp_path / f"{method}.best.safetensors"
    _, info = load_weights(METHODS[method].kind, weights)
    assert set(info.scores) >= {"psnr_mu", "psnr_linear"}
    chosen = METHODS[method].settings_class(weights=weights, device="cpu")
    stack = make_stack(make_radiance(40, 48), (-2, 0, 2))
    assert fuse_stack(stack, method, chosen).pixels.shape == (40, 48, 3)


def test_patches_for_the_flow_network_are_cut_where_the_reference_tells_little() -> None:
    from ghostless.research.train.kalantari17 import PRESETS, cut_patches, lay_by_flow

    recipe = PRESETS["paper"]
    assert (recipe.loss, recipe.batch, recipe.patch_pixels) == ("squared", 20, 40)
    generator = torch.Generator().manual_seed(0)
    batch = dict(StandIn().brackets(2, recipe.view_pixels, generator))
    # The stand-in's things lie still: flow leaves them where they are.
    laid = lay_by_flow(batch)["light"]
    assert float((laid - batch["light"]).abs().mean()) < 0.02
    light = torch.full_like(batch["light"], 0.5**2.2)
    light[..., 128:] = 1.0
    cut = cut_patches({**batch, "light": light}, recipe, generator)
    assert cut["light"].shape == (20, 3, 3, 40, 40)
    assert cut["radiance"].shape == (20, 3, 40, 40)
    clipped = (cut["light"][:, 1] == 1).float().mean(dim=(1, 2, 3))
    assert float((clipped >= 0.5).float().mean()) > 0.9


# Steps and how far the loss must fall: mean of the last quarter over that of the first steps.
LEARNING = {"homography": (16, 0.98), "reconstruction": (30, 0.8), "fusion": (30, 0.9)}


@pytest.mark.slow
@pytest.mark.parametrize(("method", "stage", "options"), SMALL, ids=IDS)
def test_every_network_learns(
    tmp_path: Path, method: str, stage: str, options: TrainOptions
) -> None:
    steps, share = LEARNING[stage]
    changes = [*options.changes, "schedule=constant", "log_every=1", "rate=1e-3", "ema_decay=0.5"]
    if stage == "homography":
        changes += ["homography_rate=3e-4", "small_first=false"]
    recipe, phases = prepare(
        method, with_options(options, stage=stage, steps=steps, changes=tuple(changes))
    )
    settings = RunSettings(device="cpu", quiet=True)
    run = Run(method, recipe, phases, lambda _: StandIn(), tmp_path, settings)
    run.train()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [sum(e["losses"].values()) for e in lines if "losses" in e]
    rate = [e["steps_per_second"] for e in lines if "steps_per_second" in e]
    start, end = np.mean(losses[: steps // 8]), np.mean(losses[-steps // 4 :])
    print(f"{method} {stage}: {start:.4g} -> {end:.4g}, {np.median(rate[2:]):.2f} steps/s")
    assert end < share * start
    scores = [e["validation"] for e in lines if "validation" in e]
    assert len(scores) == 1
