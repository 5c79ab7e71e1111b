"""Carrying a result to the full size: exact where it is an affine mix, bounded where it is not."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest
from tests.scenes import noise_octaves

from ghostless.nn import guided


def reduced(planes, size):
    return np.stack([cv2.resize(p, size[::-1], interpolation=cv2.INTER_AREA) for p in planes])


def carried(values, result, proxy_size, noise=0.0):
    """Carry `result` of values on a proxy: (F, h, w) -> (3, h, w), back to the values' size."""
    small = np.ascontiguousarray(reduced(values, proxy_size))
    out = np.full((3, *values.shape[1:]), np.nan, np.float32)

    def write(start, stop, planes):
        out[:, start:stop] = planes

    guided.carry(
        small,
        np.ascontiguousarray(result(small), np.float32),
        lambda start, stop: values[:, start:stop].copy(),
        write,
        values.shape[1:],
        noise,
    )
    return out


def textures(count, height, width):
    planes = [noise_octaves(height, width, np.random.default_rng(seed)) for seed in range(count)]
    return np.clip(np.stack(planes) * 0.12 + 0.5, 0, 1).astype(np.float32)


def test_many_small_systems_are_solved():
    random = np.random.default_rng(0)
    half = random.standard_normal((4, 4, 2, 3))
    matrices = np.einsum("ikrc,jkrc->ijrc", half, half) + np.eye(4)[:, :, None, None]
    right = random.standard_normal((4, 3, 2, 3))
    wanted = np.linalg.solve(matrices.transpose(2, 3, 0, 1), right.transpose(2, 3, 0, 1))
    got = guided._solve(matrices.astype(np.float32), right.astype(np.float32))
    np.testing.assert_allclose(got.transpose(2, 3, 0, 1), wanted, rtol=1e-3, atol=1e-4)


def test_interpolation_keeps_pixel_centres():
    """A ramp in image coordinates, sampled at the cells' centres, comes back as the ramp."""
    rows, columns, height, width = 7, 5, 91, 66
    y = (np.arange(rows) + 0.5) * height / rows
    x = (np.arange(columns) + 0.5) * width / columns
    grid = np.stack([np.add.outer(y, x), np.add.outer(y, -x)], axis=1).astype(np.float32)
    part = guided.interpolated(np.ascontiguousarray(grid), 20, 41, (height, width))
    wanted_y, wanted_x = np.arange(20, 41) + 0.5, np.arange(width) + 0.5
    inside = slice(7, -7)
    for got, sign in zip(part, (1, -1), strict=True):
        wanted = np.add.outer(wanted_y, sign * wanted_x)
        np.testing.assert_allclose(got[:, inside], wanted[:, inside], atol=1e-3)


def test_an_affine_mix_is_carried_exactly():
    values = textures(6, 211, 157)
    matrix = np.random.default_rng(1).uniform(-0.3, 0.6, (3, 6)).astype(np.float32)

    def mix(planes):
        return np.tensordot(matrix, planes, 1) + np.float32(0.1)

    out = carried(values, mix, (43, 32))
    np.testing.assert_allclose(out, mix(values), atol=1e-3)
    # Enlarging the proxy's result is no competitor: the detail is not in it.
    plain = cv2.resize(mix(reduced(values, (43, 32)))[0], (157, 211))
    assert np.abs(plain - mix(values)[0]).max() > 0.05


def test_detail_finer_than_the_proxy_survives_where_its_proxy_is_flat():
    values = textures(3, 160, 160)
    checks = 0.5 + 0.05 * (np.indices((80, 80)).sum(axis=0) % 2 * 2 - 1)
    values[:, 40:120, 40:120] = checks.astype(np.float32)
    out = carried(values, lambda planes: 0.6 * planes + 0.1, (40, 40), noise=(1 / 255) ** 2)
    wanted = 0.6 * values + 0.1
    kept = np.std(out[:, 60:100, 60:100]) / np.std(wanted[:, 60:100, 60:100])
    assert 0.2 < kept < 1.05
    coarse = carried(values, lambda planes: np.full_like(planes, 0.4), (40, 40))
    assert np.std(coarse) < 1e-4


def test_mixing_that_changes_over_the_image_is_followed():
    values = textures(6, 240, 320)

    def mix(planes):
        share = np.linspace(0, 1, planes.shape[2], dtype=np.float32)
        return share * planes[:3] + (1 - share) * planes[3:]

    error = carried(values, mix, (60, 80)) - mix(values)
    assert np.sqrt(np.mean(error**2)) < 0.01
    assert np.abs(error).max() < 0.12


def clipped_step(height=120, width=160):
    """A dark and a bright frame of a wall beside a window: one of them is flat on each side."""
    random = np.random.default_rng(2)
    texture = 0.05 * noise_octaves(height, width, random)
    dark, bright = np.full((2, height, width), 0.02, np.float32)
    dark[:, width // 2 :] = 0.6 + texture[:, width // 2 :]
    bright[:, : width // 2] = 0.4 + texture[:, : width // 2]
    bright[:, width // 2 :] = 1.0
    return np.stack([dark] * 3 + [bright] * 3).astype(np.float32)


def best_of_each(planes):
    """Of each place the frame that shows it."""
    chosen = np.where(planes[3:] > 0.98, planes[:3], planes[3:])
    return np.where(chosen > 0.98, 1, chosen)


def test_no_halo_at_a_step_between_clipped_and_dark():
    values = clipped_step()
    out = carried(values, best_of_each, (30, 40), noise=(1 / 255) ** 2)
    wanted = best_of_each(values)
    error = np.abs(out - wanted)
    assert error[:, :, :72].max() < 0.03
    assert error[:, :, 88:].max() < 0.03
    # At the edge itself: no brighter than the window, no darker than the wall by much.
    assert out.max() < wanted.max() + 0.08
    assert out.min() > wanted.min() - 0.08


def test_a_clipped_frame_has_no_part_in_the_slopes():
    values = clipped_step()
    models = guided.fit(values, best_of_each(values), (1 / 255) ** 2)
    rows, _, _, columns = models.coefficients.shape
    inside = models.coefficients[rows // 4 : -rows // 4, :, :, columns * 5 // 8 : -columns // 8]
    of_dark, of_clipped = inside[:, :, :3].sum(axis=2), inside[:, :, 3:6].sum(axis=2)
    assert np.median(of_dark) > 0.8
    moved = np.abs(of_clipped * np.std(values[3:, :, 100:150]))
    assert moved.max() < 1e-3


def test_what_no_model_explains_is_kept_as_far_as_the_proxy_shows_it():
    values = textures(3, 128, 128)
    y, x = np.mgrid[:32, :32] / 32
    bump = np.exp(-((y - 0.5) ** 2 + (x - 0.5) ** 2) / 0.02).astype(np.float32)
    out = carried(values, lambda planes: 0.3 + 0.4 * np.stack([bump] * 3), (32, 32), noise=1e-3)
    assert np.abs(reduced(out, (32, 32)) - (0.3 + 0.4 * bump)).max() < 0.06


def test_a_network_that_blurs_on_the_proxy_does_not_blur_the_photo():
    values = textures(3, 320, 320)

    def soften(planes):
        return np.stack([cv2.GaussianBlur(0.7 * plane + 0.1, (0, 0), 1.0) for plane in planes])

    out = carried(values, soften, (80, 80), noise=(1 / 255) ** 2)
    full = soften(values)
    details = [image[0] - cv2.GaussianBlur(image[0], (0, 0), 4.0) for image in (out, full)]
    assert np.std(details[0]) > 0.85 * np.std(details[1])


@pytest.mark.parametrize(
    ("size", "proxy"),
    [((1, 1), (1, 1)), ((7, 5), (7, 5)), ((1, 300), (1, 40)), ((1001, 667), (104, 72))],
)
def test_any_size(size, proxy):
    values = textures(3, max(size[0], 8), max(size[1], 8))[:, : size[0], : size[1]]
    out = carried(np.ascontiguousarray(values), lambda planes: 0.5 * planes + 0.2, proxy)
    np.testing.assert_allclose(out, 0.5 * values + 0.2, atol=0.02 if min(size) == 1 else 1e-3)


def test_memory_grows_with_the_proxy_and_not_with_the_image():
    small = textures(6, 60, 80)
    models = guided.fit(small, small[:3])
    residual = np.ascontiguousarray(small[:3].transpose(1, 0, 2))
    peaks = []
    for scale in (20, 40):
        size = (60 * scale, 80 * scale)

        def read(start, stop, width=size[1]):
            return np.full((6, stop - start, width), 0.5, np.float32)

        tracemalloc.start()
        guided.apply(models, residual, read, lambda *_: None, size)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    full_size_plane = 60 * 40 * 80 * 40 * 4
    assert peaks[1] < 1.5 * peaks[0]
    assert peaks[1] < 3 * full_size_plane
