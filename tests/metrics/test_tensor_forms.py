"""The tensor forms of metrics equal the NumPy ones: every one, on any picture, in any batch."""

from __future__ import annotations

import math
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings

from ghostless.errors import GhostlessError, OptionError
from ghostless.research.metrics import Images, score
from ghostless.research.metrics._filters import TooSmallError
from ghostless.research.metrics.table import METRICS

from .pictures import Bytes, fused_by_opencv, noisy, photo, picture_sets

torch = pytest.importorskip("torch")

from ghostless.research.metrics import tensor  # noqa: E402
from ghostless.research.metrics.tensor import TENSOR_METRICS, TensorImages, score_batch  # noqa: E402

# TMQI takes radiance to 32 bits, so that moments of nearly flat windows lose most of their digits.
TOLERANCE = {"TMQI": 1e-6, "TMQI_fidelity": 1e-6}


def views(fused: Bytes, sources: tuple[Bytes, ...], truth: Bytes) -> list[Images]:
    """The same pictures as a display result and as a linear one."""
    light = truth.astype(np.float32) / 100
    return [
        Images(fused, sources, truth=truth, radiance=light),
        Images(fused.astype(np.float32) / 100, true_radiance=light),
    ]


def a_scene(height: int, width: int, seed: int = 0) -> list[Images]:
    sources = (photo(height, width, -1.5, seed), photo(height, width, 1.5, seed))
    fused = fused_by_opencv(sources)
    return views(fused, sources, noisy(fused, 5, seed))


@pytest.fixture(scope="module")
def scene() -> list[Images]:
    return a_scene(178, 203)


def fitting(name: str, images: list[Images]) -> Images:
    return next(view for view in images if METRICS[name].applies_to(view))


def test_the_table_says_which_have_a_tensor_form() -> None:
    assert set(TENSOR_METRICS) == {m.name for m in METRICS.values() if m.tensor_form}


@pytest.mark.parametrize("name", TENSOR_METRICS)
def test_every_tensor_form_equals_its_namesake(name: str, scene: list[Images]) -> None:
    images = fitting(name, scene)
    expected = METRICS[name].compute(images)
    (found,) = score_batch([images], [name])
    assert found[name] == pytest.approx(expected, rel=TOLERANCE.get(name, 1e-11))
    (found,) = score_batch([images], [name], dtype=torch.float32)
    assert found[name] == pytest.approx(expected, rel=1e-3)


@settings(max_examples=20, deadline=None)
@given(picture_sets(4))
def test_forms_agree_on_any_picture_and_on_what_is_too_small(pictures: tuple[Bytes, ...]) -> None:
    first, second, fused, truth = pictures
    compared = set()
    for images in views(fused, (first, second), truth):
        tensors = TensorImages.of([images])
        for name, compute in TENSOR_METRICS.items():
            if not METRICS[name].applies_to(images):
                continue
            compared.add(name)
            try:
                expected = METRICS[name].compute(images)
            except TooSmallError as error:
                words = str(error)
                with pytest.raises(TooSmallError, match=re.escape(words)):
                    compute(tensors)
                continue
            # In flat pictures VIF and Qcb divide rest by rest.
            assert float(compute(tensors)[0]) == pytest.approx(expected, rel=2e-6, abs=1e-6), name
    assert compared == set(TENSOR_METRICS)


def test_a_batch_scores_each_result_as_alone() -> None:
    scenes = [a_scene(60, 70, 1)[0], a_scene(50, 52, 2)[0], a_scene(60, 70, 3)[0]]
    names = [n for n in TENSOR_METRICS if METRICS[n].applies_to(scenes[0])]
    names = [n for n in names if n != "MS_SSIM" and not n.startswith("TMQI")]
    together = score_batch(scenes, names)
    for images, found in zip(scenes, together, strict=True):
        assert found == pytest.approx(score_batch([images], names)[0], rel=1e-12)
    assert together[0]["SD"] != together[2]["SD"]


def test_three_sources() -> None:
    frames = tuple(photo(60, 70, stops) for stops in (-2.0, 0.0, 2.0))
    images = Images(fused_by_opencv(frames), frames)
    names = ["MEF_SSIM", "MEF_SSIM1", "MI", "CC", "MSSIM"]
    expected = {name: METRICS[name].compute(images) for name in names}
    assert score_batch([images], names)[0] == pytest.approx(expected, rel=1e-11)


def test_score_takes_a_device_and_keeps_the_order_of_names(scene: list[Images]) -> None:
    names = ["MEF_SSIM", "Qc", "VIF", "SD"]
    found = score(scene[0], names, device="cpu")
    assert list(found) == names
    assert found == pytest.approx(score(scene[0], names), rel=1e-11)
    assert list(score(Images(photo(20, 30)), device="cpu")) == list(score(Images(photo(20, 30))))
    with pytest.raises(OptionError, match="device: expected auto, cpu, cuda"):
        score(scene[0], names, device="toaster")


def test_what_does_not_fit_into_the_device_is_told_in_one_line(
    scene: list[Images], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(images: TensorImages) -> None:
        raise torch.OutOfMemoryError("tried to allocate 80 GiB")

    monkeypatch.setitem(TENSOR_METRICS, "SD", full)
    with pytest.raises(GhostlessError, match="use the device cpu"):
        score_batch([scene[0]], ["SD"])


@pytest.mark.parametrize(
    "loss",
    [
        lambda x, a, b: tensor.ssim(x, a),
        lambda x, a, b: tensor.psnr(x, a),
        lambda x, a, b: tensor.mef_ssim([a, b], x, scales=1),
        lambda x, a, b: tensor.mef_ssim([a, b], x, scales=2),
    ],
    ids=["SSIM", "PSNR", "MEF-SSIM on one scale", "MEF-SSIM on two scales"],
)
def test_gradients_of_what_serves_as_loss(loss: object) -> None:
    generator = torch.Generator().manual_seed(0)
    first, second, fused = 255 * torch.rand(
        3, 1, 1, 23, 24, generator=generator, dtype=torch.float64
    )
    fused.requires_grad_()
    for _ in range(3):
        direction = torch.randn(fused.shape, generator=generator, dtype=torch.float64)
        (gradient,) = torch.autograd.grad(loss(fused, first, second).sum(), fused)  # type: ignore[operator]
        step = 1e-3 * direction
        with torch.no_grad():
            after, before = (loss(fused + sign * step, first, second).sum() for sign in (1, -1))  # type: ignore[operator]
        expected = (after - before) / 2e-3
        torch.testing.assert_close((gradient * direction).sum(), expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("scales", [1, 3])
def test_gradients_stay_finite_on_flat_and_opposite_pictures(scales: int) -> None:
    flat = torch.full((1, 1, 44, 44), 255.0)
    ramp = torch.linspace(0, 255, 44).expand(1, 1, 44, 44)
    for source, result in ((flat, flat), (ramp, 255 - ramp), (flat, ramp)):
        fused = result.clone().requires_grad_()
        tensor.mef_ssim([source, flat], fused, scales).sum().backward()
        assert torch.isfinite(fused.grad).all()


def test_flat_bright_windows_keep_their_score_in_float32() -> None:
    sources = [torch.full((1, 1, 60, 60), 254.0), torch.full((1, 1, 60, 60), 3.0)]
    sources[0][..., 30:] = torch.linspace(0, 255, 30)
    fused = sources[0].clone()
    exact = tensor.mef_ssim([s.double() for s in sources], fused.double())
    assert float(tensor.mef_ssim(sources, fused)) == pytest.approx(float(exact), rel=1e-5)


def test_metrics_import_no_torch() -> None:
    code = "import sys, ghostless.research.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.gpu
@pytest.mark.parametrize("name", TENSOR_METRICS)
def test_every_tensor_form_on_a_gpu(name: str, scene: list[Images]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    images = fitting(name, scene)
    found = score_batch([images], [name], "cuda")[0][name]
    assert math.isfinite(found)
    assert found == pytest.approx(METRICS[name].compute(images), rel=1e-8)
