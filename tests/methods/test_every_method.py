"""What every method of the table promises, whichever it is: a new one is tested by being there.

Networks run with small random weights: what is tested is how they treat a stack, not their skill.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.scenes import make_radiance, make_stack

from ghostless.bracket import Mask, Metadata, Stack
from ghostless.errors import BracketError, WeightsError
from ghostless.methods import METHODS, Method, fuse_stack

STOPS = (-2.0, 0.0, 2.0)
# Settings with which a method is quick enough for a test.
QUICK: dict[str, dict[str, Any]] = {"sen": {"iterations": 3}, "hu": {"iterations": 3}}
# Changes to an architecture that make a network small enough for a quick test.
SMALL: dict[str, dict[str, Any]] = {
    "chen-chuang": {"channels": 4},
    "hdr-gan": {"base_channels": 4},
    "kalantari17": {"channels": 8},
    "deephdr": {"channels": 4, "blocks": 1},
    "ahdrnet": {"channels": 4, "growth": 4},
    "nhdrrnet": {"channels": 4, "blocks": 1},
    "safnet": {"channels": 4},
    "dpgn": {"base": 4, "levels": 3, "side_outputs": 3},
    "u2fusion": {"channels": 4, "narrowing": (8, 4)},
    "halder": {"channels": 8},
    "cf-net": {"channels": 4, "groups": 3, "coupled_blocks": 1},
}


def small_stack(height: int = 37, width: int = 50, method: Method = METHODS["mertens"]) -> Stack:
    """Frames of a still scene, three if the method takes as many; odd sizes."""
    count = min(len(STOPS), method.frames[1])
    stack = make_stack(make_radiance(height, width, seed=6), STOPS[-count:])
    frames = tuple(
        replace(frame, metadata=Metadata(camera=f"camera {number}"))
        for number, frame in enumerate(stack.frames)
    )
    for frame in frames:
        frame.pixels.setflags(write=False)
    return replace(stack, frames=frames)


def quick_settings(method: Method, folder: Path) -> Any:
    """The method's default settings; a network gets random weights."""
    if method.weights is None:
        settings = method.load()[1]()
        return replace(settings, **QUICK.get(method.name, {}))
    torch = pytest.importorskip("torch")
    from ghostless.nn.weights import WeightsInfo, save_weights

    file = folder / f"{method.name}.safetensors"
    if not file.exists():
        torch.manual_seed(3)
        kind = method.kind
        architecture = replace(kind.architecture(), **SMALL.get(method.name, {}))
        save_weights(kind.build(architecture).eval(), file, WeightsInfo(kind.name))
    on = {"device": "cpu", "precision": "float32"} if method.needs_extra else {}
    return method.load()[1](weights=file, **on)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(params=list(METHODS))
def method(request: pytest.FixtureRequest) -> Iterator[Method]:
    entry = METHODS[request.param]
    if not entry.needs_extra:
        yield entry
        return
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield entry
    torch.set_num_threads(before)


def check_result(method: Method, folder: Path) -> None:
    """The result is an image of the size and space promised, the same each time, inputs kept."""
    stack = small_stack(method=method)
    before = [frame.pixels.copy() for frame in stack.frames]
    settings = quick_settings(method, folder)
    told: list[float] = []
    fused = fuse_stack(stack, method.name, settings, progress=told.append)
    assert fused.space == method.output
    assert fused.pixels.shape == (37, 50, 3)
    assert np.isfinite(fused.pixels).all()
    assert fused.pixels.min() >= 0
    if method.output == "display":
        assert fused.pixels.max() <= 1
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)
    for frame, pixels in zip(stack.frames, before, strict=True):
        np.testing.assert_array_equal(frame.pixels, pixels)
    again = fuse_stack(stack, method.name, settings)
    np.testing.assert_array_equal(again.pixels, fused.pixels)


def check_frames(method: Method, folder: Path) -> None:
    """As many frames as the table says are taken, and the others refused."""
    stack = small_stack(20, 24, method)
    settings = quick_settings(method, folder)
    low, high = method.frames
    for count in {max(low, 1), min(high, 2), min(high, 4)} - set(range(low)):
        some = make_stack(make_radiance(20, 24, seed=6), np.linspace(-2, 2, count))
        assert fuse_stack(some, method.name, settings).pixels.shape == (20, 24, 3)
    for count in (low - 1, high + 1):
        if count >= 1:
            wrong = Stack(stack.frames[:1] * count, 0)
            with pytest.raises(BracketError, match=f"found {count}"):
                fuse_stack(wrong, method.name, settings)


def check_exposures(method: Method, folder: Path) -> None:
    """A method that needs exposures refuses a stack without; the others fuse it."""
    stack = small_stack(20, 24, method)
    unknown = replace(stack, frames=tuple(replace(frame, stops=None) for frame in stack.frames))
    settings = quick_settings(method, folder)
    if method.needs_stops:
        with pytest.raises(BracketError, match="exposure"):
            fuse_stack(unknown, method.name, settings)
    else:
        fuse_stack(unknown, method.name, settings)


def check_types(method: Method, folder: Path) -> None:
    """The same picture in 8 bits, 16 bits and floats gives the same result."""
    stack = small_stack(method=method)
    settings = quick_settings(method, folder)
    expected = fuse_stack(stack, method.name, settings).pixels
    for convert in (lambda p: p.astype(np.uint16) * 257, lambda p: (p / 255).astype(np.float32)):
        frames = tuple(replace(frame, pixels=convert(frame.pixels)) for frame in stack.frames)
        other = fuse_stack(replace(stack, frames=frames), method.name, settings).pixels
        assert np.abs(other - expected).mean() < 2e-3 * max(1.0, float(expected.mean()))


def check_masks(method: Method, folder: Path) -> None:
    """What the masks hide has all but no influence, on methods that leave ghosts to the masks."""
    stack = small_stack(method=method)
    hidden = np.full((37, 50), 255, np.uint8)
    hidden[10:25, 12:30] = 0

    def influence(mask: Mask | None) -> float:
        results = []
        for seed in (1, 2):
            pixels = stack.frames[-1].pixels.copy()
            pixels[hidden == 0] = np.random.default_rng(seed).integers(60, 200, (270, 3))
            frames = (*stack.frames[:-1], replace(stack.frames[-1], pixels=pixels))
            masks = (*[None] * (len(frames) - 1), mask)
            masked = replace(stack, frames=frames, confidence=masks)
            results.append(fuse_stack(masked, method.name, quick_settings(method, folder)).pixels)
        return float(np.abs(results[0] - results[1]).mean())

    unmasked = influence(None)
    # One that finds ghosts by itself may see that this is one.
    assert unmasked > 0 or method.deghosts
    assert influence(hidden) <= 0.05 * unmasked


def check_metadata(method: Method, folder: Path) -> None:
    """The result carries the facts of the reference photo."""
    stack = small_stack(20, 24, method)
    last = len(stack.frames) - 1
    stack = replace(stack, reference=last)
    fused = fuse_stack(stack, method.name, quick_settings(method, folder))
    assert fused.metadata.camera == f"camera {last}"


CHECKS = (
    check_result,
    check_frames,
    check_exposures,
    check_types,
    check_masks,
    check_metadata,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_what_the_table_promises(check: Any, method: Method, folder: Path) -> None:
    if check is check_masks and method.needs_extra:
        pytest.skip("networks see the filled pixels; their own tests say what they make of masks")
    check(method, folder)


def test_a_network_without_weights_says_how_to_get_some(method: Method, folder: Path) -> None:
    if method.weights is None:
        pytest.skip("needs no weights")
    settings = replace(quick_settings(method, folder), weights=folder / "missing.safetensors")
    with pytest.raises(WeightsError, match=r"missing\.safetensors"):
        fuse_stack(small_stack(20, 24, method), method.name, settings)


def test_settings_are_known_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from dataclasses import fields\n"
        "from ghostless.methods import METHODS\n"
        "for method in METHODS.values():\n"
        "    names = {field.name for field in fields(method.settings_class())}\n"
        "    assert ('weights' in names) == (method.weights is not None)\n"
        "    assert ('order' in names) == (method.frames_at_once == 2)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_the_table_names_is_there() -> None:
    pytest.importorskip("torch")
    for method in METHODS.values():
        named = (method.weight_maps, method.recipe, method.graph, method.ablations)
        for reference in (*named, method.published):
            assert not reference or method.find(reference) is not None
        if method.network:
            assert method.kind.name == method.name
