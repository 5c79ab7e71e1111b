"""The compared networks of three frames: layers, reach, tiles, and what goes into them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.scenes import add_disc, expose, make_frames, make_radiance, make_stack  # noqa: E402

from ghostless.bracket import Frame, Stack  # noqa: E402
from ghostless.errors import OptionError, WeightsError  # noqa: E402
from ghostless.methods import (  # noqa: E402
    METHODS,
    ahdrnet,
    deephdr,
    fuse_stack,
    get_method,
    kalantari17,
    safnet,
)
from ghostless.nn import fast, fullsize  # noqa: E402
from ghostless.nn import safnet as saf  # noqa: E402
from ghostless.nn.blocks import count_parameters  # noqa: E402
from ghostless.nn.mu_law import mu_law  # noqa: E402
from ghostless.nn.published import import_weights  # noqa: E402
from ghostless.nn.three_frames import network_frames  # noqa: E402
from ghostless.nn.weights import WeightsInfo, load_weights, save_weights  # noqa: E402

NAMES = ("kalantari17", "deephdr", "ahdrnet", "nhdrrnet", "safnet")
SMALL: dict[str, dict[str, Any]] = {
    "kalantari17": {"channels": 6},
    "deephdr": {"channels": 2, "blocks": 1},
    "ahdrnet": {"channels": 4, "growth": 2},
    "nhdrrnet": {"channels": 2, "blocks": 1},
    "safnet": {"channels": 4},
}
STOPS = (-2.0, 0.0, 2.0)
# Of a disc that moves, in light.
COLOUR = (0.5, 0.3, 0.15)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build(name: str, seed: int = 0, **changes: Any) -> Any:
    kind = METHODS[name].kind
    torch.manual_seed(seed)
    return kind.build(replace(kind.architecture(), **{**SMALL[name], **changes})).eval()


def settings_of(name: str, folder: Path, **options: Any) -> Any:
    changes = options.pop("architecture", {})
    path = folder / f"{name}-{'-'.join(map(str, changes.values()))}.safetensors"
    save_weights(build(name, **changes), path, WeightsInfo(name))
    return METHODS[name].settings_class(
        weights=path, device="cpu", precision="float32", quality="full", **options
    )


def frames_of(height: int, width: int, seed: int = 0) -> list[Any]:
    generator = torch.Generator().manual_seed(seed)
    return list(torch.rand(3, 1, 6, height, width, generator=generator, dtype=torch.float64))


# The networks


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("kalantari17", {"network": 383_909}),
        ("deephdr", {"network": 16_606_339}),
        # The authors' program has 73,856 more, in layers that it never calls.
        ("ahdrnet", {"network": 1_515_139 - 73_856}),
        # The port's tenth block of 4,064,256 is never run.
        ("nhdrrnet", {"network": 45_486_339 - 4_064_256}),
        ("safnet", {"full": 1_120_849, "small": 566_713}),
    ],
)
def test_parameter_counts_are_those_of_the_table(name: str, counts: dict[str, int]) -> None:
    kind = METHODS[name].kind
    forms = counts if name == "safnet" else {"network": None}
    found = {}
    for form in forms:
        changes = {} if form == "network" else {"form": form}
        found[form] = count_parameters(kind.build(kind.architecture(**changes)))
    assert found == counts == METHODS[name].paper_parameters


@pytest.mark.parametrize("name", NAMES)
def test_all_frames_count_and_the_result_is_radiance(name: str) -> None:
    network = build(name).double()
    frames = frames_of(64, 96)
    with torch.no_grad():
        found = [network(*frames)]
        for number in range(3):
            other = [*frames]
            other[number] = other[number].flip(-1)
            found.append(network(*other))
    outputs = [each[0] if isinstance(each, tuple) else each for each in found]
    assert outputs[0].shape == (1, 3, 64, 96)
    assert float(outputs[0].min()) >= 0
    assert float(outputs[0].max()) <= 1
    for other in outputs[1:]:
        assert float((other - outputs[0]).abs().max()) > 1e-6


@pytest.mark.parametrize(
    ("name", "halo", "step"),
    [
        ("kalantari17", kalantari17.HALO_PIXELS, 1),
        ("deephdr", deephdr.HALO_PIXELS, 8),
        ("ahdrnet", ahdrnet.HALO_PIXELS, 1),
    ],
)
def test_the_halo_is_as_wide_as_the_network_sees(name: str, halo: int, step: int) -> None:
    network = build(name, **({"blocks": 9} if name == "deephdr" else {})).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.02)
    reach, side, middle = 0, 512, 256
    for offset in range(step):
        x = torch.rand(1, 6, 16, side, dtype=torch.float64).requires_grad_(True)
        network(x, x, x)[0, 0, 8, middle + offset].backward()
        seen = x.grad.abs().sum((0, 1, 2)).nonzero()
        reach = max(reach, middle + offset - int(seen.min()), int(seen.max()) - middle - offset)
    assert halo - step < reach <= halo


@pytest.mark.parametrize(
    ("name", "changes"),
    [*((name, {}) for name in NAMES), ("safnet", {"form": "small"})],
)
def test_tiles_do_not_show(
    name: str, changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = make_stack(make_radiance(40, 900, range_stops=7), STOPS)
    settings = settings_of(name, tmp_path, architecture=changes)
    whole = fuse_stack(stack, name, settings).pixels
    told: list[float] = []
    monkeypatch.setattr(fullsize, "tile_budget", lambda *_: 450 * 48)
    tiled = fuse_stack(stack, name, settings, progress=told.append).pixels
    assert len(told) >= 2
    assert whole.std() > 1e-3
    np.testing.assert_allclose(tiled, whole, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (5, 70), (33, 18)])
def test_any_size(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    radiance = np.ascontiguousarray(make_radiance(80, 80)[: size[0], : size[1]])
    fused = fuse_stack(make_stack(radiance, STOPS), name, settings_of(name, tmp_path))
    assert fused.pixels.shape == (*size, 3)
    assert np.isfinite(fused.pixels).all()
    assert (fused.pixels >= 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_fast_result_is_near_that_of_every_pixel(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "PROXY_PIXELS", 64 * 96)
    stack = make_stack(make_radiance(128, 192, range_stops=6), STOPS)
    settings = settings_of(name, tmp_path)
    full = fuse_stack(stack, name, settings).pixels
    quick = fuse_stack(stack, name, replace(settings, quality="fast"))
    assert any("ran on 96 x 64 pixels" in note for note in quick.notes)
    assert np.abs(mu(quick.pixels / 4) - mu(full / 4)).mean() < 0.1


def test_numbers_that_no_network_has_are_refused() -> None:
    for name, changes, told in (
        ("safnet", {"form": "tiny"}, "form: expected one of full, small, found 'tiny'"),
        ("deephdr", {"blocks": 0}, "blocks: expected a whole number from 1 to 64, found 0"),
        ("ahdrnet", {"growth": 10_000}, "growth: expected a whole number from 1 to 512"),
        ("kalantari17", {"channels": 1}, "channels: expected a whole number from 2 to 512"),
    ):
        with pytest.raises(OptionError, match=told):
            METHODS[name].kind.architecture(**changes)


# What goes in


def test_the_two_halves_of_a_frame_agree_on_the_papers_curve() -> None:
    radiance = torch.rand(1, 3, 4, 4) / 16
    times = [torch.full((1, 1, 1, 1), exposure) for exposure in (1.0, 4.0, 16.0)]
    for frame, time in zip(
        network_frames([radiance * t for t in times], times), times, strict=True
    ):
        torch.testing.assert_close(frame[:, :3].pow(2.2) / time, frame[:, 3:])
        torch.testing.assert_close(frame[:, 3:], radiance)


def test_the_network_gets_the_photos_by_the_curve_that_is_asked_for(tmp_path: Path) -> None:
    stack = make_stack(make_radiance(36, 40), STOPS)
    network, _ = load_weights(ahdrnet.NETWORK, settings_of("ahdrnet", tmp_path).weights)

    def by_hand(to_light: Any) -> np.ndarray:
        lights = [
            torch.from_numpy(to_light(frame)).permute(2, 0, 1)[None].float()
            for frame in stack.frames
        ]
        times = [torch.full((1, 1, 1, 1), 2.0 ** (stop - STOPS[0])) for stop in STOPS]
        with torch.no_grad():
            out = network(*network_frames(lights, times))
        # From the darkest frame's unit to that of the reference.
        return out[0].permute(1, 2, 0).numpy() * 4

    found = {
        response: fuse_stack(
            stack, "ahdrnet", settings_of("ahdrnet", tmp_path, response=response)
        ).pixels
        for response in ("srgb", "gamma")
    }
    srgb, gamma = by_hand(Frame.linear), by_hand(lambda frame: frame.display() ** 2.2)
    np.testing.assert_allclose(found["srgb"], srgb, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["gamma"], gamma, rtol=1e-4, atol=1e-5)
    assert np.abs(srgb - gamma).max() > 1e-3
    with pytest.raises(OptionError, match="response"):
        settings_of("ahdrnet", tmp_path, response="log")


def test_linear_frames_stay_linear_whatever_the_curve(tmp_path: Path) -> None:
    stack = make_stack(make_radiance(20, 24), STOPS)
    frames = tuple(
        replace(frame, pixels=frame.linear(), transfer="linear") for frame in stack.frames
    )
    linear = replace(stack, frames=frames)
    results = [
        fuse_stack(linear, "ahdrnet", settings_of("ahdrnet", tmp_path, response=response)).pixels
        for response in ("srgb", "gamma")
    ]
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("name", NAMES)
def test_further_frames_serve_and_are_told_when_they_do_not(name: str, tmp_path: Path) -> None:
    frames = make_frames(make_radiance(32, 40, range_stops=11), (-4, -2, 0, 2, 4))
    stack = Stack(frames, reference=2)
    rounds = fuse_stack(stack, name, settings_of(name, tmp_path))
    nearest = fuse_stack(stack, name, settings_of(name, tmp_path, more_frames="nearest"))
    assert not any("did not need" in note for note in rounds.notes)
    assert any(f"{name} did not need" in note for note in nearest.notes)
    assert np.abs(rounds.pixels - nearest.pixels).max() > 1e-4


def test_without_weights_it_says_how_to_get_some(tmp_path: Path) -> None:
    for name in NAMES:
        assert get_method(name).group == "compare"
        reason = get_method(name).why_not_here()
        assert reason is not None
        assert f"ghostless train {name}" in reason
        assert ("ghostless weights import" in reason) == (name == "safnet")


# Kalantari & Ramamoorthi


def test_kalantaris_result_is_a_mean_of_the_frames() -> None:
    network = build("kalantari17").double()
    frames = frames_of(24, 30)
    with torch.no_grad():
        out = network(*frames)
    lights = torch.stack([frame[:, 3:] for frame in frames])
    assert bool((out <= lights.amax(0) + 1e-6).all())
    assert bool((out >= lights.amin(0) * 0.99 - 1e-6).all())


def test_kalantaris_frames_follow_the_reference(tmp_path: Path) -> None:
    """A disc that moved lies where the reference has it before the network looks."""
    radiance = make_radiance(160, 200, 3, range_stops=4)
    shown = [add_disc(radiance, (x, 80), 24, COLOUR) for x in (92, 100, 108)]
    frames = tuple(
        Frame(expose(light, stop), stops=stop) for light, stop in zip(shown, STOPS, strict=True)
    )
    stack = Stack(frames, reference=1)
    still = make_stack(shown[1], STOPS)
    settings = settings_of("kalantari17", tmp_path, response="srgb")
    found = fuse_stack(stack, "kalantari17", settings).pixels
    wanted = fuse_stack(still, "kalantari17", settings).pixels
    network, _ = load_weights(kalantari17.NETWORK, settings.weights)

    def laid_as_they_are() -> np.ndarray:
        lights = [torch.from_numpy(frame.linear()).permute(2, 0, 1)[None] for frame in frames]
        times = [torch.full((1, 1, 1, 1), 2.0 ** (stop - STOPS[0])) for stop in STOPS]
        with torch.no_grad():
            return network(*network_frames(lights, times))[0].permute(1, 2, 0).numpy() * 4

    place = slice(50, 110), slice(60, 140)
    missed = np.abs(laid_as_they_are()[place] - wanted[place]).mean()
    assert np.abs(found[place] - wanted[place]).mean() < 0.5 * missed


# NHDRRNet


def test_every_place_of_nhdrrnet_sees_the_whole_scene() -> None:
    network = build("nhdrrnet").double()
    frames = frames_of(32, 512)
    other = [frame.clone() for frame in frames]
    for frame in other:
        frame[..., 480:] = 1 - frame[..., 480:]
    with torch.no_grad():
        change = (network(*frames) - network(*other)).abs().amax(dim=(0, 1, 2))
    assert float(change[:64].max()) > 0


# SAFNet


def test_safnets_merge_never_leaves_what_the_frames_show() -> None:
    frames = frames_of(20, 24)
    masks = [torch.rand(1, 1, 20, 24, dtype=torch.float64) for _ in range(2)]
    merged = saf.merge(frames, masks)
    lights = torch.stack([frame[:, :3] for frame in frames])
    assert bool((merged <= lights.amax(0) + 1e-12).all())
    assert bool((merged >= lights.amin(0) - 1e-12).all())
    nothing = saf.merge(frames, [torch.zeros_like(mask) for mask in masks])
    torch.testing.assert_close(nothing, frames[1][:, :3])
    # Of a reference in the middle of its range the reference alone counts.
    frames[1][:, 3:] = 0.5
    torch.testing.assert_close(saf.merge(frames, masks), frames[1][:, :3])


def test_safnets_warp_reads_where_the_flow_points() -> None:
    image = torch.rand(1, 2, 12, 16, dtype=torch.float64)
    flow = torch.zeros(1, 2, 12, 16, dtype=torch.float64)
    flow[:, 0], flow[:, 1] = 3, -2
    found = saf.warp(image, flow)
    torch.testing.assert_close(found[..., 2:, :13], image[..., :10, 3:])
    # Of a cut of the image, with its corner, the same.
    part = saf.warp(image[..., 1:9, 4:], flow[..., 3:8, 4:9], (0, 2))
    torch.testing.assert_close(part, found[..., 3:8, 4:9])


def test_safnet_finds_flow_at_half_the_size_until_that_is_large() -> None:
    assert saf.flow_size(1000, 1500) == (512, 752)
    assert saf.flow_size(64, 96) == (32, 48)
    large = saf.flow_size(4000, 6000)
    assert large[0] % 16 == large[1] % 16 == 0
    assert 1_500_000 <= large[0] * large[1] < 1_600_000


def test_safnet_takes_the_whole_image_as_tiles_do_above_the_largest_flow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = make_stack(make_radiance(96, 128), STOPS)
    settings = settings_of("safnet", tmp_path)
    full = fuse_stack(stack, "safnet", settings).pixels
    monkeypatch.setattr(saf, "FLOW_PIXELS", 1000)
    monkeypatch.setattr(safnet, "FLOW_PIXELS", 1000)
    coarse = fuse_stack(stack, "safnet", settings).pixels
    assert saf.flow_size(96, 128) == (32, 48)
    assert np.abs(mu(coarse) - mu(full)).mean() < 0.05


def mu(pixels: Any) -> Any:
    return mu_law(torch.from_numpy(pixels)).numpy()


@pytest.mark.parametrize("form", ["full", "small"])
def test_safnets_published_weights_are_read_by_name(form: str, tmp_path: Path) -> None:
    """A checkpoint named as the authors' becomes the network that it was."""
    network = build("safnet", form=form, channels=40)
    names = safnet._published_names(form)
    assert set(names.values()) == set(network.state_dict())
    theirs = {theirs: network.state_dict()[ours] for theirs, ours in names.items()}
    file = tmp_path / "SAFNet.pth"
    torch.save(theirs, file)
    out = tmp_path / "out.safetensors"
    info = import_weights(safnet.NETWORK, safnet.PUBLISHED, [file], out)
    assert info.published["licence"] == "academic use only"
    loaded, _ = load_weights(safnet.NETWORK, out)
    assert loaded.architecture == network.architecture
    frames = [frame.float() for frame in frames_of(32, 32)]
    with torch.no_grad():
        torch.testing.assert_close(loaded(*frames)[0], network(*frames)[0])
    del theirs["decoder.conv6.bias"]
    torch.save(theirs, file)
    with pytest.raises(WeightsError, match=r"decoder\.conv6\.bias"):
        import_weights(safnet.NETWORK, safnet.PUBLISHED, [file], out, overwrite=True)


def test_safnet_s_of_its_authors_merges_a_moving_scene(shared: Path, tmp_path: Path) -> None:
    """With the published weights, a disc that moved lies where the reference has it."""
    file = shared / "official" / "safnet-s" / "SAFNet_S_siggraph17.pth"
    if not file.is_file():
        pytest.skip("needs the authors' weights")
    out = tmp_path / "safnet-s.safetensors"
    import_weights(safnet.NETWORK, safnet.PUBLISHED, [file], out)
    radiance = make_radiance(160, 224, 3, range_stops=5)
    shown = [add_disc(radiance, (x, 80), 24, COLOUR) for x in (100, 112, 124)]
    frames = tuple(
        Frame(expose(light, stop), stops=stop) for light, stop in zip(shown, STOPS, strict=True)
    )
    settings = METHODS["safnet"].settings_class(weights=out, device="cpu", precision="float32")
    found = fuse_stack(Stack(frames, reference=1), "safnet", settings).pixels
    truth = np.clip(shown[1], 0, 4) / 4
    error = np.mean((mu(np.clip(found / 4, 0, 1)) - mu(truth)) ** 2)
    plain = fuse_stack(Stack(frames, reference=1), "debevec").pixels
    ghosted = np.mean((mu(np.clip(plain / 4, 0, 1)) - mu(truth)) ** 2)
    print(f"PSNR-mu {-10 * np.log10(error):.1f}, of a plain merge {-10 * np.log10(ghosted):.1f}")
    assert error < ghosted
    assert -10 * np.log10(error) > 30
