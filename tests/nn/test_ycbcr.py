"""The networks' colour conversions equal those of `ghostless.pixels.color`."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ghostless.nn import ycbcr  # noqa: E402
from ghostless.pixels import color  # noqa: E402


def images(count):
    random = np.random.default_rng(0)
    return [random.uniform(0, 1, (6, 5, 3)).astype(np.float32) for _ in range(count)]


def tensor(array):
    return torch.from_numpy(array).permute(2, 0, 1)[None]


def array(tensor):
    return tensor[0].permute(1, 2, 0).numpy()


def test_conversions_equal_those_of_color():
    (rgb,) = images(1)
    found = ycbcr.rgb_to_ycbcr(tensor(rgb))
    np.testing.assert_allclose(array(found), color.rgb_to_ycbcr(rgb), atol=1e-6)
    np.testing.assert_allclose(array(ycbcr.luma(tensor(rgb)))[..., 0], array(found)[..., 0])
    np.testing.assert_allclose(array(ycbcr.ycbcr_to_rgb(found)), rgb, atol=2e-6)


def test_chroma_rule_equals_that_of_color():
    planes = [color.rgb_to_ycbcr(rgb)[..., 1:].copy() for rgb in images(3)]
    planes.append(np.full_like(planes[0], 0.5))
    found = ycbcr.fuse_chroma([tensor(plane) for plane in planes])
    np.testing.assert_allclose(array(found), color.fuse_chroma(planes), atol=1e-6)
    neutral = tensor(planes[-1])
    assert torch.equal(ycbcr.fuse_chroma([neutral, neutral]), neutral)


def test_with_chroma_of_takes_luma_and_chroma_from_two_images():
    first, second = (tensor(rgb) for rgb in images(2))
    mixed = ycbcr.rgb_to_ycbcr(ycbcr.with_chroma_of(ycbcr.luma(first), second))
    torch.testing.assert_close(mixed[:, :1], ycbcr.luma(first))
    torch.testing.assert_close(mixed[:, 1:], ycbcr.rgb_to_ycbcr(second)[:, 1:])
