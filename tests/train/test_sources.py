"""Training data from packed pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ghostless.errors import OptionError
from ghostless.research.data.camera_settings import CameraSettings
from ghostless.research.data.panoramas import from_radiance
from ghostless.research.data.rendered import load_rendered
from ghostless.research.data.rendered_files import RenderedScene
from ghostless.research.data.splits import HELD_OUT_SCENES
from ghostless.research.metrics.exposure_fusion import mef_ssim as mef_ssim_of_three_scales
from ghostless.research.metrics.exposure_fusion import mef_ssim_single_scale
from ghostless.research.train import samples
from ghostless.research.train.quality import mef_ssim, psnr, scale_space_loss
from ghostless.research.train.sources import SimulatedData, fuse_densely

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data() -> SimulatedData:
    random = np.random.default_rng(2)
    held_out = sorted(HELD_OUT_SCENES)[0]
    pictures = []
    for name in ("one", "two", held_out):
        stops = random.uniform(-6, 2, (16, 32, 3)).astype(np.float32)
        pictures.append((name, np.kron(2.0**stops, np.ones((24, 24, 1), np.float32))))
    return SimulatedData(from_radiance(pictures), camera=CameraSettings.plain())


def test_pairs_show_one_still_scene(data: SimulatedData) -> None:
    pair = data.pairs(3, 64, torch.Generator().manual_seed(1))
    assert {name: tuple(value.shape) for name, value in pair.items()} == dict.fromkeys(
        ("under", "over", "target"), (3, 3, 64, 64)
    )
    assert bool((pair["over"].mean((1, 2, 3)) > pair["under"].mean((1, 2, 3))).all())
    for value in pair.values():
        assert 0 <= float(value.min()) <= float(value.max()) <= 1
    again = data.pairs(3, 64, torch.Generator().manual_seed(1))
    assert torch.equal(pair["over"], again["over"])


def test_brackets_light_and_radiance_are_in_one_unit(data: SimulatedData) -> None:
    made = data.brackets(4, 64, torch.Generator().manual_seed(3))
    assert made["frames"].shape == (4, 3, 3, 64, 64)
    assert torch.equal(made["stops"][:, 0], torch.zeros(4))
    # Where the reference neither clips nor is dark, it shows the radiance itself, whatever the
    # camera's response.
    gain = torch.exp2(made["stops"][:, 1]).view(-1, 1, 1, 1)
    middle, truth = made["light"][:, 1], made["radiance"] * gain
    well = (middle > 0.05) & (middle < 0.8)
    for sample in range(4):
        ratio = (middle[sample] / truth[sample].clamp(min=1e-6))[well[sample]].median()
        assert 0.98 < float(ratio) < 1.02


def test_some_brackets_show_rendered_scenes(data: SimulatedData) -> None:
    # Two planes of light, six stops apart, that no panorama has: their brackets are told by it.
    light = np.full((3, 64, 64, 3), 1.0, np.float32)
    light[:, :, 32:] = 64.0
    still = np.broadcast_to(np.eye(4), (3, 4, 4)).copy()
    camera = np.array([[32.0, 0, 31.5], [0, 32.0, 31.5], [0, 0, 1]])
    scene = RenderedScene(
        "planes",
        "planes",
        "train",
        light,
        np.full((3, 64, 64), 0.2, np.float32),
        np.zeros((3, 64, 64), np.uint8),
        np.broadcast_to(camera, (3, 3, 3)).copy(),
        still,
        still[None],
    )
    both = SimulatedData(data.pictures["train"], rendered=load_rendered([scene]))
    generator = torch.Generator().manual_seed(0)
    made = [both.brackets(1, 64, generator)["radiance"][0, 1] for _ in range(24)]
    edges = [float((r[:, -8:].mean() / r[:, :8].mean()).log2().abs()) for r in made]
    rendered = sum(abs(edge - 6) < 0.1 for edge in edges)
    assert 0 < rendered < 16
    assert "1 rendered scenes" in both.description
    large = [both.brackets(1, 128, generator)["radiance"].shape[-1] for _ in range(4)]
    assert large == [128] * 4


def test_nothing_held_out_is_trained_on(data: SimulatedData) -> None:
    names = {split: {e.scene for e in p.entries} for split, p in data.pictures.items()}
    assert names["train"] == {"one", "two"}
    assert names["held-out"] <= HELD_OUT_SCENES
    pairs = data.held_out_pairs()
    assert len(pairs) == 1
    assert pairs[0]["radiance"].shape == pairs[0]["target"].shape
    assert all(side % 128 == 0 for side in pairs[0]["target"].shape[-2:])
    assert torch.equal(pairs[0]["over"], data.held_out_pairs()[0]["over"])
    assert "2 HDR pictures of 2 scenes" in data.description


def test_dense_fusion_of_a_flat_scene_shows_its_well_exposed_tone() -> None:
    radiance = torch.full((1, 3, 32, 32), 2.0**-5)
    fused = fuse_densely(radiance, torch.tensor([6.0]))
    assert float(fused.std()) < 1e-3
    assert 0.35 < float(fused.mean()) < 0.65


def test_flipping_keeps_images_of_a_sample_together() -> None:
    image = torch.rand(8, 3, 16, 16)
    turned = samples.flip({"a": image, "b": image * 2}, torch.Generator().manual_seed(0))
    assert torch.equal(turned["a"] * 2, turned["b"])
    same = [torch.equal(turned["a"][i], image[i]) for i in range(8)]
    assert not all(same)
    assert torch.allclose(turned["a"].sum((2, 3)), image.sum((2, 3)))


def test_pasted_things_move_in_the_bright_frame_only() -> None:
    count, side = 6, 96
    still = torch.arange(count).view(-1, 1, 1, 1).expand(count, 3, side, side) / count
    batch = {name: still.clone() for name in ("under", "over", "target")}
    moved = samples.paste_moving(batch, 1.0, torch.Generator().manual_seed(5))
    assert torch.equal(moved["under"], moved["target"])
    for i in range(count):
        here, there = ((moved[n][i] - still[i]).abs() > 1e-3 for n in ("under", "over"))
        assert bool(here.any())
        assert not torch.equal(here, there)
    none = samples.paste_moving(batch, 0.0, torch.Generator().manual_seed(5))
    assert torch.equal(none["over"], still)


def test_pieces_of_a_pair_move_by_its_own_exposures() -> None:
    generator = torch.Generator().manual_seed(3)
    under = torch.rand(4, 3, 96, 96, generator=generator) * 0.4
    made = samples.move_pieces({"under": under, "over": under * 2}, generator)
    # The still frame shows what the darker one does, brighter: the piece too.
    torch.testing.assert_close(made["still"], made["under"] * 2)
    assert not torch.equal(made["under"], under)
    change = samples.changed(made["over"], made["still"])
    shares = change.mean(dim=(1, 2, 3))
    assert float(shares.min()) > 0.005
    assert float(shares.max()) < 0.6


def test_moving_pairs_know_the_brighter_frame_as_it_would_be(data: SimulatedData) -> None:
    pair = data.moving_pairs(6, 64, torch.Generator().manual_seed(2))
    assert set(pair) == {"under", "over", "still"}
    assert float((pair["over"].mean((1, 2, 3)) - pair["under"].mean((1, 2, 3))).min()) > 0
    moved = samples.changed(pair["over"], pair["still"]).mean(dim=(1, 2, 3))
    assert float(moved.max()) > 0.02
    assert bool((moved < 0.9).all())
    (held, *_) = data.held_out_moving_pairs(64)
    assert held["still"].shape == (2, 3, 64, 64)


def test_what_changed_is_told_from_noise() -> None:
    still = torch.full((1, 3, 32, 32), 0.5)
    frame = still + (torch.rand(still.shape, generator=torch.Generator().manual_seed(0)) - 0.5) / 64
    frame[..., 8:16, 8:16] += 0.1
    change = samples.changed(frame, still)[0, 0]
    assert float(change[9:15, 9:15].min()) == 1
    assert float(change[20:, 20:].max()) < 0.1


def test_jitter_moves_little_but_something() -> None:
    rows = torch.linspace(0, 9, 64)
    image = torch.sin(rows).view(1, 1, 64, 1).expand(2, 3, 64, 64).contiguous()
    moved = samples.jitter(image, 1.5, torch.Generator().manual_seed(0))
    error = float((moved - image).abs().max())
    assert 0.01 < error < 1.6 * 9 / 64


def test_mef_ssim_prefers_what_has_both_details() -> None:
    generator = torch.Generator().manual_seed(0)
    # Too small for coarser scales, at which the border between the halves would count most.
    texture = torch.rand(1, 1, 40, 40, generator=generator)
    left = (torch.arange(40) < 20).float().view(1, 1, 1, 40)
    dark = 0.3 * texture * left
    bright = 1 - 0.3 * (1 - texture) * (1 - left)
    both = 0.35 + 0.3 * texture
    good = float(mef_ssim(dark, bright, both))
    assert good > 0.93
    for worse in (dark, bright, (dark + bright) / 2, 1 - both):
        assert float(mef_ssim(dark, bright, worse)) < good - 0.02


@pytest.mark.parametrize(
    ("side", "metric"), [(96, mef_ssim_of_three_scales), (40, mef_ssim_single_scale)]
)
def test_mef_ssim_is_the_metric_of_as_many_scales_as_fit(
    side: int, metric: Callable[..., float]
) -> None:
    generator = torch.Generator().manual_seed(1)
    base = torch.nn.functional.interpolate(
        torch.rand(1, 1, side // 8, side // 8, generator=generator), (side, side), mode="bicubic"
    ).clamp(0, 1)
    under, over = (base * 0.4), (base * 1.8).clamp(0, 1)
    for fused in ((under + over) / 2, base, under, base.flip(2)):
        ours = float(mef_ssim(under, over, fused))
        planes = [(p[0, 0] * 255).double().numpy() for p in (under, over, fused)]
        assert ours == pytest.approx(metric(planes[:2], planes[2]), abs=1e-5)


def test_losses_have_finite_gradients_on_flat_images() -> None:
    flat = torch.full((1, 1, 32, 32), 0.5)
    fused = flat.clone().requires_grad_()
    (1 - mef_ssim(flat, flat, fused)).mean().backward()
    assert fused.grad is not None
    assert bool(torch.isfinite(fused.grad).all())


def test_scale_space_loss_sees_softness_and_colour() -> None:
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    soft = torch.nn.functional.avg_pool2d(image, 3, 1, 1)
    assert float(scale_space_loss(image, image)) == pytest.approx(0, abs=1e-5)
    assert float(scale_space_loss(soft, image)) > 0.1
    assert float(scale_space_loss(image * 0.8, image)) > 0.02
    assert psnr(image, image) == 100


@pytest.mark.parametrize(("name", "missing"), [("mine", "held-out"), ("hotel_room", "train")])
def test_pictures_of_one_split_alone_are_refused(name: str, missing: str, tmp_path: Path) -> None:
    from ghostless.research.data.panoramas import pack
    from ghostless.research.train.sources import open_data

    cv2.imwrite(str(tmp_path / f"{name}.hdr"), np.ones((64, 128, 3), np.float32))
    pack([tmp_path], tmp_path / "packed")
    with pytest.raises(OptionError, match=f"expected HDR pictures of split '{missing}'"):
        open_data(tmp_path / "packed", torch.device("cpu"))


def test_prepared_references_are_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ghostless.research.data import references
    from ghostless.research.data.panoramas import pack
    from ghostless.research.train.sources import REFERENCES_FOLDER, open_data

    random = np.random.default_rng(0)
    for name in ("somewhere", min(HELD_OUT_SCENES)):
        stops = random.uniform(-5, 2, (32, 64, 3)).astype(np.float32)
        radiance = np.kron(2.0**stops, np.ones((16, 16, 1), np.float32))
        cv2.imwrite(str(tmp_path / f"{name}.hdr"), radiance)
    packed = tmp_path / "packed"
    pack([tmp_path], packed)
    # A short pool: the choice itself is tested with the references.
    monkeypatch.setattr(references.choose_reference, "__defaults__", (("mertens",),))
    references.prepare_references(packed, packed / REFERENCES_FOLDER, 1, (192, 192))
    data = open_data(packed, torch.device("cpu"), camera=CameraSettings.plain())
    assert "references: prepared for 1 (train) and 1 (held-out) views" in data.description
    pair = data.pairs(2, 64, torch.Generator().manual_seed(0))
    assert pair["target"].shape == (2, 3, 64, 64)
    (held_out,) = data.held_out_pairs()
    assert held_out["under"].shape == (1, 3, 128, 128)
    assert held_out["radiance"].shape == (1, 3, 128, 128)
    # The reference shows what the frames show.
    grey = [value.mean(1).flatten() for value in (held_out["over"], held_out["target"])]
    assert float(torch.corrcoef(torch.stack(grey))[0, 1]) > 0.5
