"""What the agreement network sees: expectations that hold for the camera, not for what moved."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostless.deghost.evidence import CHANNELS, evidence
from ghostless.deghost.mapping import Codes

MATCHED = slice(6, 9)
COLOUR = slice(12, 15)
GAIN = 4 / 255


def scene(seed: int = 0, side: int = 160) -> Codes:
    """Soft random light of many colours, (side, side, 3), 0..1."""
    rng = np.random.default_rng(seed)
    import cv2

    coarse = rng.random((9, 9, 3)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)).clip(0, 1)


def usable(codes: Codes) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.ones(codes.shape[:2], np.bool_)


def test_curves_of_channels_are_expected() -> None:
    light = scene()
    reference, frame = light * 255, np.sqrt(light) * np.float32(230)
    seen = evidence(reference, frame, usable(light))
    assert seen.shape == (CHANNELS, 160, 160)
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen[:3], np.moveaxis(reference, 2, 0) / 255, atol=1e-6)
    np.testing.assert_allclose(seen[3:6], np.moveaxis(frame, 2, 0) / 255, atol=1e-6)
    # Within two codes, where steps of a code in the reference are up to two in the frame.
    assert np.percentile(np.abs(seen[6:]), 95) < 2.5 * GAIN


def test_what_a_camera_mixes_is_expected_of_a_colour_though_not_of_a_channel() -> None:
    light = np.float32(0.1) + np.float32(0.8) * scene()
    mix = np.array([[1.6, -0.5, -0.1], [-0.2, 1.5, -0.3], [0.0, -0.6, 1.6]], np.float32)

    def camera(exposure: float) -> Codes:
        sensor = np.minimum(light * np.float32(exposure), 1)
        display = np.clip(sensor @ mix.T, 0, 1) ** np.float32(1 / 2.2)
        return np.asarray(display * np.float32(255), np.float32)

    seen = evidence(camera(0.5), camera(1.5), usable(light))
    matched, colour = (float(np.abs(seen[part]).mean()) for part in (MATCHED, COLOUR))
    assert colour < 0.7 * matched


def test_what_moved_stands_out() -> None:
    light = scene()
    reference, frame = light * 200, np.sqrt(light) * np.float32(255)
    moved = frame.copy()
    moved[40:70, 40:70] = frame[110:140, 10:40][:, ::-1]
    where = np.abs(moved - frame).max(axis=2) > 40
    seen = np.abs(evidence(reference, moved, usable(light)))
    for part in (MATCHED, COLOUR):
        strength = seen[part].max(axis=0)
        assert np.median(strength[where]) > 5 * np.median(strength[~where])


def test_what_is_not_usable_teaches_nothing() -> None:
    light = scene()
    reference, frame = light * 200, np.sqrt(light) * np.float32(255)
    some = usable(light)
    some[:, :60] = False
    broken = frame.copy()
    broken[:, :60] = 0
    ours = evidence(reference, broken, some)[..., 60:]
    right = evidence(reference, frame, some)[..., 60:]
    np.testing.assert_allclose(ours[:, :, 2:], right[:, :, 2:], atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 128.0, 255.0])
def test_flat_and_unusable_frames_give_finite_evidence(value: float) -> None:
    flat = np.full((20, 30, 3), value, np.float32)
    nothing = np.zeros((20, 30), np.bool_)
    for some in (nothing, ~nothing):
        assert np.isfinite(evidence(flat, 255 - flat, some)).all()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31))
def test_any_size_and_content_is_finite(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.uniform(0, 255, (2, height, width, 3)).astype(np.float32)
    seen = evidence(first, second, rng.random((height, width)) < 0.5)
    assert seen.shape == (CHANNELS, height, width)
    assert np.isfinite(seen).all()
