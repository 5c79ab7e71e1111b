"""The tensors' pyramids and weights equal those of exposure fusion itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests import laplacian  # noqa: E402
from tests.scenes import make_frames, make_radiance  # noqa: E402

from ghostless.bracket import Stack  # noqa: E402
from ghostless.methods import mertens  # noqa: E402
from ghostless.nn import priors  # noqa: E402
from ghostless.nn.fullsize import Region  # noqa: E402
from ghostless.pixels import pyramid, pyramid_steps  # noqa: E402


def frames(height=70, width=53, grey=False):
    radiance = make_radiance(height, width, seed=3)
    if grey:
        radiance = np.repeat(radiance[..., :1], 3, axis=2)
    return make_frames(radiance, [-2, 2])


def tensor(array):
    return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)[None]


def array(tensor):
    return tensor[0].permute(1, 2, 0).numpy()


def noise(height, width):
    return np.random.default_rng(0).uniform(0, 1, (height, width, 3)).astype(np.float32)


@pytest.mark.parametrize("size", [(16, 24), (17, 31), (3, 2), (2, 5)])
def test_reduce_and_expand_equal_those_of_pyramid(size):
    image = noise(*size)
    small = pyramid.reduce(image)
    np.testing.assert_allclose(array(priors.reduce(tensor(image))), small, atol=1e-6)
    np.testing.assert_allclose(
        array(priors.expand(tensor(small), size)), pyramid.expand(small, size), atol=1e-6
    )


def test_collapse_undoes_the_laplacian_pyramid():
    image = noise(37, 50)
    levels = [tensor(level) for level in laplacian.laplacian_pyramid(image, 5)]
    np.testing.assert_allclose(array(priors.collapse(levels)), image, atol=1e-6)


@pytest.mark.parametrize("grey", [False, True])
def test_blending_with_these_weights_and_pyramids_is_exposure_fusion(grey):
    pair = frames(grey=grey)
    images = [tensor(frame.display()) for frame in pair]
    weights = priors.mertens_weights(images)
    torch.testing.assert_close(weights[0] + weights[1], torch.ones_like(weights[0]))
    levels = 6
    made = priors.weighted_priors(images, weights, levels - 1)
    top = priors.weighted_content(
        [priors.gaussian_pyramid(image, levels)[-1] for image in images],
        [priors.gaussian_pyramid(weight, levels)[-1] for weight in weights],
    )
    fused = priors.collapse([*made.detail, top]).clamp(0, 1)
    paper = mertens.MertensSettings(saturation=1, overshoot="clip", levels=levels)
    expected = mertens.fuse(Stack(pair, reference=0), paper).pixels
    np.testing.assert_allclose(array(fused), expected, atol=2e-5)
    balanced = priors.fuse_by(pyramid_steps.balanced_steps((70, 53)), images).clamp(0, 1)
    expected = mertens.fuse(Stack(pair, reference=0), replace(paper, levels=None)).pixels
    np.testing.assert_allclose(array(balanced), expected, atol=2e-5)
    np.testing.assert_allclose(array(made.content[0]).clip(0, 1).mean(), expected.mean(), atol=0.1)


def test_grey_pixels_of_a_coloured_image_have_no_saturation():
    image = noise(8, 8)
    image[2, 3] = 0.4
    other = noise(8, 8)[::-1].copy()
    weights = priors.mertens_weights([tensor(image), tensor(other)])
    assert float(weights[0][0, 0, 2, 3]) < 1e-6


def test_items_of_a_batch_decide_about_colour_on_their_own():
    grey = np.repeat(noise(8, 8)[..., :1], 3, axis=2)
    coloured = noise(8, 8)
    both = torch.cat([tensor(grey), tensor(coloured)])
    other = both.flip(2)
    together = priors.mertens_weights([both, other])[0]
    for item in range(2):
        alone = priors.mertens_weights([both[item : item + 1], other[item : item + 1]])[0]
        torch.testing.assert_close(together[item : item + 1], alone)
    assert priors.has_colour([both]).flatten().tolist() == [False, True]


def test_priors_of_one_image_twice_are_its_own_pyramids():
    image = noise(32, 48)
    made = priors.make_priors([tensor(image)] * 2, 3)
    gaussian = laplacian.gaussian_pyramid(image, 4)
    details = laplacian.laplacian_pyramid(image, 4)
    for level in range(3):
        np.testing.assert_allclose(array(made.content[level]), gaussian[level], atol=1e-6)
        np.testing.assert_allclose(array(made.detail[level]), details[level], atol=1e-6)


def test_priors_fused_first_are_the_pyramids_of_the_fused_image():
    images = [tensor(frame.display()) for frame in frames(64, 32)]
    made = priors.make_priors(images, 3)
    tops = [priors.gaussian_pyramid(image, 4)[-1] for image in images]
    weights = priors.mertens_weights(images)
    top_weights = [priors.gaussian_pyramid(weight, 4)[-1] for weight in weights]
    fused = priors.collapse([*made.detail, priors.weighted_content(tops, top_weights)])
    other = priors.make_priors(images, 3, form="fused_first")
    for level, image in enumerate(priors.gaussian_pyramid(fused, 3)):
        torch.testing.assert_close(other.content[level] + other.detail[level], image)
    assert (other.detail[0] - made.detail[0]).abs().max() > 1e-3


def test_weights_of_the_program_are_nearly_all_equal():
    images = [tensor(frame.display()) for frame in frames(64, 64)]
    weights = priors.program_weights(images)[0]
    assert ((weights - 0.5).abs() < 1e-3).float().mean() > 0.9
    true = priors.mertens_weights(images)[0]
    assert ((true - 0.5).abs() < 1e-3).float().mean() < 0.1


def test_gradients_are_finite_also_for_grey_and_flat_images():
    image = torch.full((1, 3, 8, 8), 0.4, requires_grad=True)
    other = torch.rand(1, 3, 8, 8)
    priors.make_priors([image, other], 2).detail[1].sum().backward()
    assert torch.isfinite(image.grad).all()


def test_weights_of_a_region_equal_those_of_the_whole():
    images = [torch.rand(1, 3, 24, 16, dtype=torch.float64) for _ in range(2)]
    images[0][:, :, :12] = images[0][:, :1, :12]
    images[1][:, :, :12] = images[1][:, :1, :12]
    whole = priors.mertens_weights(images)[0][:, :, 1:8]
    region = [image[:, :, :9] for image in images]
    coloured = priors.has_colour(images)
    torch.testing.assert_close(priors.mertens_weights(region, coloured)[0][:, :, 1:8], whole)
    assert (priors.mertens_weights(region)[0][:, :, 1:8] - whole).abs().max() > 0.1


def test_local_fusion_is_the_mean_with_the_detail_of_both():
    pair = [tensor(frame.display()) for frame in frames(160, 224)]
    fused, mean = priors.fuse_locally(pair), (pair[0] + pair[1]) / 2
    everywhere = priors.fit_range(priors.fuse_images(priors.make_priors(pair, 5)))
    coarse = [priors.gaussian_pyramid(image, 6)[-1] for image in (fused, everywhere, mean)]
    apart = [float((image - coarse[2]).abs().mean()) for image in coarse[:2]]
    assert apart[0] < 0.7 * apart[1]
    # Of equal images nothing is left to choose.
    alike = priors.fuse_locally([pair[0], pair[0]])
    torch.testing.assert_close(alike, priors.fit_range(pair[0]))
    contrast = [float((image - priors.expand(priors.reduce(image), image.shape[2:])).abs().mean())
                for image in (fused, mean)]  # fmt: skip
    assert contrast[0] > 1.2 * contrast[1]


def test_range_is_fitted_smoothly_and_in_order():
    values = torch.linspace(-0.5, 1.5, 2001, dtype=torch.float64, requires_grad=True)
    fitted = priors.fit_range(values)
    assert bool((fitted.diff() > 0).all())
    assert bool((fitted > 0).all())
    assert bool((fitted < 1).all())
    inside = (values >= 0.1) & (values <= 0.9)
    assert torch.equal(fitted[inside], values[inside])
    (slope,) = torch.autograd.grad(fitted.sum(), values)
    assert float(slope.diff().abs().max()) < 0.02  # no corner
    torch.testing.assert_close(fitted.flip(0), 1 - fitted)


def test_local_fusion_of_a_region_is_that_of_the_whole():
    generator = torch.Generator().manual_seed(0)
    pair = torch.rand(2, 1, 3, 640, 576, generator=generator, dtype=torch.float64)
    whole = priors.fuse_locally(list(pair))
    region = Region(230, 330, 200, 333)
    around = region.grown(priors.LOCAL_HALO, priors.LOCAL_MULTIPLE, (640, 576))
    assert (around.top, around.left) == (64, 32)
    part = region.within(around, priors.fuse_locally([around.cut(image) for image in pair]))
    torch.testing.assert_close(part, region.cut(whole), rtol=0, atol=1e-13)
