"""Exposure fusion with learned weights: as the network was trained, and what any method keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ghostless.bracket import Frame, Stack
from ghostless.errors import WeightsError
from ghostless.methods import learned_fusion, mertens
from ghostless.methods.exposure_fusion import Exponents, fuse_exposures, mean_weights
from ghostless.methods.learned_fusion import LearnedFusionSettings, fuse
from ghostless.methods.ranges import fit_range
from ghostless.pixels.pyramid_steps import halvings_alike

torch = pytest.importorskip("torch")

from ghostless.nn import learned_fusion as network  # noqa: E402
from ghostless.nn.weights import WeightsInfo, save_weights  # noqa: E402


def photos(count: int = 3, size: tuple[int, int] = (157, 203), seed: int = 0) -> list[Frame]:
    """Exposures of a scene two stops apart, noisy."""
    rng = np.random.default_rng(seed)
    height, width = size
    light = cv2.resize(rng.uniform(0.02, 1, (12, 15, 3)).astype(np.float32), (width, height))
    frames = []
    for number in range(count):
        codes = np.sqrt(np.clip(light * 4.0 ** (number - count / 2), 0, 1)) * 255
        codes += rng.normal(0, 2, codes.shape)
        frames.append(Frame(np.clip(np.rint(codes), 0, 255).astype(np.uint8)))
    return frames


def stack_of(frames: list[Frame]) -> Stack:
    return Stack(tuple(frames), reference=len(frames) // 2)


def save(net: network.LearnedFusionNetwork, path: Path) -> Path:
    channels = {"channels": list(net.architecture.channels)}
    save_weights(net, path, WeightsInfo("learned-fusion", channels, {}, "none", "none", {}))
    return path


@pytest.fixture(scope="module")
def taught() -> network.LearnedFusionNetwork:
    """A network that has learnt something or other."""
    torch.manual_seed(3)
    net = network.LearnedFusionNetwork()
    for layer, spread in (
        (net.last, 0.05),
        (net.curve, 0.2),
        (net.curve_of_more, 0.2),
        (net.share, 0.5),
    ):
        torch.nn.init.normal_(layer.weight, std=spread)
    torch.nn.init.normal_(net.last.bias, std=0.3)
    return net


@pytest.fixture(scope="module")
def weights(taught: network.LearnedFusionNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(taught, tmp_path_factory.mktemp("weights") / "taught.safetensors")


@pytest.mark.parametrize(("count", "size"), [(2, (157, 203)), (4, (203, 120)), (1, (64, 64))])
def test_numpy_gives_what_the_trained_network_gives(
    count: int,
    size: tuple[int, int],
    taught: network.LearnedFusionNetwork,
    weights: Path,
) -> None:
    frames = photos(count, size)
    planes = [torch.from_numpy(f.pixels.astype(np.float32) / 255).permute(2, 0, 1) for f in frames]
    batch = torch.stack(planes)[None]
    with torch.no_grad():
        maps, common = taught.guide(batch)
        blended = network.blend(batch, maps)
        numbers = taught.choose_curve(common, blended, count)
        whole = taught(batch)[0].permute(1, 2, 0).numpy()
    stack = stack_of(frames)
    copies = learned_fusion._Copies.of(stack)
    own = learned_fusion._Network.load(weights)
    found, shared = own.guide(copies.pictures, np.stack(mean_weights(copies, Exponents(), 1)))
    np.testing.assert_allclose(found, maps[0].numpy(), atol=1e-3)
    np.testing.assert_allclose(shared, common[0].numpy(), atol=1e-3)
    correction = learned_fusion._Correction(found)
    pixels = fuse_exposures(
        mertens.Photos(stack), Exponents(), halvings_alike, reweigh=correction.correct
    )
    np.testing.assert_allclose(pixels, blended[0].permute(1, 2, 0).numpy(), atol=1e-4)
    inside = np.clip(pixels, 0, 1)
    curve = own.choose_curve(shared, inside, count)
    np.testing.assert_allclose(curve, numbers[0].numpy(), atol=1e-3)
    learned_fusion.bend(inside, *curve)
    np.testing.assert_allclose(inside, np.clip(whole, 0, 1), atol=1e-3)


def test_a_network_that_has_learnt_nothing_fuses_as_exposure_fusion(tmp_path: Path) -> None:
    untaught = save(network.LearnedFusionNetwork(), tmp_path / "untaught.safetensors")
    stack = stack_of(photos())
    found = fuse(stack, LearnedFusionSettings(weights=untaught)).pixels
    # But for the finest band, which is weighed as the next.
    plain = fuse_exposures(mertens.Photos(stack), Exponents(), halvings_alike)
    fit_range(plain)
    assert np.abs(found - plain).mean() < 0.004


def test_the_order_of_the_photos_does_not_matter(weights: Path) -> None:
    frames, settings = photos(4), LearnedFusionSettings(weights=weights)
    one, other = (fuse(stack_of(some), settings).pixels for some in (frames, frames[::-1]))
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_what_is_masked_has_no_influence(weights: Path) -> None:
    frames, settings = photos(3), LearnedFusionSettings(weights=weights)
    opaque = np.full((157, 203), 255, np.uint8)
    opaque[40:80, 60:120] = 0
    found = []
    for value in (0, 255):
        pixels = frames[2].pixels.copy()
        pixels[44:76, 64:116] = value
        masked = Frame(pixels, opaque=opaque)
        stack = replace(stack_of([frames[0], frames[1], masked]), filled=True)
        found.append(fuse(stack, settings).pixels)
    assert np.abs(found[0] - found[1]).max() < 1e-4
    assert all(np.isfinite(pixels).all() for pixels in found)


@pytest.mark.parametrize(("a", "b"), [(0.8, 0.0), (-0.8, 0.0), (0.0, 0.8), (0.4, -0.4)])
def test_no_curve_falls_or_leaves_the_range(a: float, b: float) -> None:
    ramp = np.repeat(np.linspace(0, 1, 256, dtype=np.float32)[None, :, None], 3, axis=2)
    learned_fusion.bend(ramp, a, b)
    assert np.all(np.diff(ramp[0, :, 0]) > 0)
    assert ramp.min() == 0
    assert ramp.max() == 1


def test_weights_of_another_shape_are_one_clear_error(tmp_path: Path) -> None:
    net = network.LearnedFusionNetwork(network.LearnedFusionArchitecture((8, 8, 8)))
    info = WeightsInfo("mertens", {}, {}, "none", "none", {})
    other = tmp_path / "other.safetensors"
    save_weights(net, other, info)
    with pytest.raises(WeightsError, match="learned-fusion"):
        fuse(stack_of(photos()), LearnedFusionSettings(weights=other))
    shorter = save(net, tmp_path / "shorter.safetensors")
    assert fuse(stack_of(photos()), LearnedFusionSettings(weights=shorter)).pixels.max() <= 1
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(shorter.read_bytes()[:-40])
    with pytest.raises(WeightsError, match="damaged"):
        fuse(stack_of(photos()), LearnedFusionSettings(weights=damaged))
