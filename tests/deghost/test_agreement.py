"""Finding what moved by the network that ships."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ghostless.deghost.agreement import AgreementNetwork
from ghostless.deghost.mapping import Codes
from ghostless.deghost.regions import regions_of_chance

Flags = NDArray[np.bool_]


def textured(height: int, width: int, seed: int = 1) -> Codes:
    """Light with texture at every scale, 0..1."""
    rng = np.random.default_rng(seed)
    light = np.zeros((height, width, 3), np.float32)
    for size in (6, 24, 96):
        layer = rng.normal(0, 1, (size, size, 3)).astype(np.float32)
        light += cv2.resize(layer, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.exp2(0.6 * light - 2.5), np.float32)


def photograph(light: Codes, exposure: float, seed: int) -> Codes:
    codes = np.minimum(light * np.float32(exposure), 1) ** np.float32(1 / 2.2) * 255
    noise = np.random.default_rng(seed).normal(0, 1, light.shape)
    return np.asarray(np.rint(np.clip(codes + noise, 0, 255)), np.float32)


def pair(height: int, width: int) -> tuple[Codes, Codes, Flags]:
    """A reference, a frame two stops brighter in which a disc moved, and where it was and is."""
    light, other = textured(height, width), textured(height, width, 2)
    y, x = np.mgrid[:height, :width]
    before = (y - height / 2) ** 2 + (x - width / 3) ** 2 < (height / 7) ** 2
    after = (y - height / 2) ** 2 + (x - width * 2 / 3) ** 2 < (height / 7) ** 2
    first, second = light.copy(), light.copy()
    first[before], second[after] = other[before] * 0.3, other[before][: after.sum()].mean(0) * 0.3
    return photograph(first, 1, 3), photograph(second, 4, 4), before | after


@pytest.mark.parametrize("size", [(200, 300), pytest.param((1100, 1300), marks=pytest.mark.slow)])
def test_what_moved_is_found_at_any_size_and_what_stands_still_is_not(
    size: tuple[int, int],
) -> None:
    reference, frame, moved = pair(*size)
    chance = AgreementNetwork().moved(reference, frame, np.ones(size, np.bool_))
    assert chance.shape == size
    assert chance.dtype == np.float32
    found = regions_of_chance(chance)
    overlap = (found & moved).sum() / (found | moved).sum()
    assert overlap > 0.7
    still = AgreementNetwork().moved(
        photograph(textured(*size), 1, 3),
        photograph(textured(*size), 4, 4),
        np.ones(size, np.bool_),
    )
    assert regions_of_chance(still).mean() < 1e-3


def test_what_is_not_usable_is_not_judged() -> None:
    reference, frame, _ = pair(128, 160)
    usable = np.ones((128, 160), np.bool_)
    usable[:, :80] = False
    assert not AgreementNetwork().moved(reference, frame, usable)[:, :80].any()


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (17, 3), (33, 31)])
def test_any_size_has_finite_chances(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.uniform(0, 255, (2, *size, 3)).astype(np.float32)
    chance = AgreementNetwork().moved(first, second, np.ones(size, np.bool_))
    assert chance.shape == size
    assert ((chance >= 0) & (chance <= 1)).all()


def test_regions_start_where_it_is_sure_and_grow_where_it_may_be() -> None:
    chance = np.zeros((60, 80), np.float32)
    chance[10:30, 10:30] = 0.5
    assert not regions_of_chance(chance).any()
    chance[15:25, 15:25] = 0.9
    found = regions_of_chance(chance)
    assert found[10:30, 10:30].all()
    assert not found[40:].any()
    chance[50:52, 50:52] = 0.9
    assert not regions_of_chance(chance)[45:].any()


def test_sensitivity_moves_the_thresholds() -> None:
    chance = np.zeros((40, 40), np.float32)
    chance[10:20, 10:20] = 0.55
    shares = [regions_of_chance(chance, sensitivity).mean() for sensitivity in (0.5, 1.0, 2.0, 4.0)]
    assert shares[0] == shares[1] == 0
    assert shares[2] > 0
    assert shares == sorted(shares)


def test_what_a_region_surrounds_moved_with_it_unless_it_is_a_scene_of_its_own() -> None:
    # A shirt moved over itself: only its rim tells.
    chance = np.full((200, 300), 0.01, np.float32)
    cv2.rectangle(chance, (40, 40), (140, 160), 0.95, 40)
    assert regions_of_chance(chance)[40:161, 40:141].all()
    # A frame of moving leaves round the rest of the picture.
    chance = np.full((200, 300), 0.01, np.float32)
    cv2.rectangle(chance, (5, 5), (294, 194), 0.95, 10)
    assert not regions_of_chance(chance)[40:160, 40:260].any()
