from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.methods.test_every_method import quick_settings
from tests.scenes import make_radiance, make_stack

from ghostless.errors import OptionError, WeightsError
from ghostless.methods import METHODS, maps
from ghostless.methods.maps import attention_map
from ghostless.methods.mertens import MertensSettings, fuse, weight_maps

ATTENTION = sorted(name for name, method in METHODS.items() if "attention" in method.shows)


def test_weight_maps_add_up_to_one_and_explain_the_picture() -> None:
    stack = make_stack(make_radiance(90, 130, seed=4), (-2, 0, 2))
    maps = weight_maps(stack)
    assert [values.shape for values in maps] == [(90, 130)] * 3
    np.testing.assert_allclose(np.sum(maps, axis=0), 1, atol=1e-5)
    # Without a pyramid the picture is the mean by these weights, so they are the real ones.
    plain = MertensSettings(levels=1, overshoot="clip")
    mean = sum(
        values[..., None] * frame.display()
        for values, frame in zip(maps, stack.frames, strict=True)
    )
    np.testing.assert_allclose(fuse(stack, plain).pixels, mean, atol=1e-5)


def test_small_weight_maps_are_the_means_of_large_ones() -> None:
    stack = make_stack(make_radiance(90, 130, seed=4), (-2, 0, 2))
    whole = weight_maps(stack)
    small = weight_maps(stack, proxy_pixels=90 * 130 // 25)
    for large, reduced in zip(whole, small, strict=True):
        assert reduced.shape == (18, 26)
        means = large.reshape(18, 5, 26, 5).mean(axis=(1, 3))
        np.testing.assert_allclose(reduced, means, atol=1e-5)


def test_what_is_masked_weighs_nothing() -> None:
    stack = make_stack(make_radiance(60, 80, seed=4), (-2, 0, 2))
    mask = np.full((60, 80), 255, np.uint8)
    mask[:30] = 0
    masked = replace(stack, confidence=(None, None, mask))
    assert weight_maps(masked)[2][:30].max() == 0


@pytest.mark.parametrize("method", [m for m in METHODS if "weights" in METHODS[m].shows])
def test_weights_of_the_table_s_methods_add_up_to_one(method: str, tmp_path: Path) -> None:
    stack = make_stack(make_radiance(60, 80, seed=4), (-2, 0, 2))
    found = maps.weight_maps(stack, method, quick_settings(METHODS[method], tmp_path))
    assert len(found) == 3
    np.testing.assert_allclose(np.sum(found, axis=0), 1, atol=1e-5)


def test_maps_are_told_to_be_missing() -> None:
    stack = make_stack(make_radiance(16, 16), (0, 2))
    with pytest.raises(OptionError, match="weights"):
        maps.weight_maps(stack, "debevec")
    with pytest.raises(OptionError, match="attention"):
        attention_map(stack, "mertens")


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch = pytest.importorskip("torch")
    from ghostless.nn.weights import WeightsInfo, save_weights

    torch.manual_seed(5)
    folder = tmp_path_factory.mktemp("weights")
    paths = {}
    for name in ATTENTION:
        kind = METHODS[name].kind
        architecture = kind.architecture()
        if name == "chen-chuang":
            architecture = replace(architecture, channels=4)
        paths[name] = folder / f"{name}.safetensors"
        save_weights(kind.build(architecture).eval(), paths[name], WeightsInfo(name))
    return paths


@pytest.mark.parametrize("method", ATTENTION)
def test_attention_is_shown_where_it_is(method: str, untrained: dict[str, Path]) -> None:
    stack = make_stack(make_radiance(70, 100, seed=4), (-1, 1, 3))
    settings = METHODS[method].load()[1](weights=untrained[method], device="cpu")
    shown = attention_map(stack, method, settings)
    scale = 100 / shown.shape[1]
    assert shown.shape[0] == pytest.approx(70 / scale, abs=1)
    assert 0 <= shown.min() < shown.max() <= 1
    other = make_stack(make_radiance(70, 100, seed=9), (-1, 1, 3))
    assert np.abs(attention_map(other, method, settings) - shown).mean() > 1e-4
    # The hook is gone: a second map is of one pass again.
    np.testing.assert_array_equal(attention_map(stack, method, settings), shown)


@pytest.mark.parametrize("method", ATTENTION)
def test_no_weights_no_attention(method: str) -> None:
    pytest.importorskip("torch")
    settings = METHODS[method].load()[1](weights="missing.safetensors")
    with pytest.raises(WeightsError):
        attention_map(make_stack(make_radiance(16, 16), (0, 2)), method, settings)
