"""Networks as ONNX files: what onnxruntime gives is what the method gives, at any size.

Tracing a network takes seconds, so all but the quickest are slow tests.
"""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from ghostless import cli  # noqa: E402
from ghostless.bracket import Frame  # noqa: E402
from ghostless.methods import METHODS, cf_net, fuse_stack, get_method, halder  # noqa: E402
from ghostless.nn import (  # noqa: E402
    chen_chuang,
    dpgn,
    dpgn_tiled,
    four_points,
    hdr_gan,
    homography,
    lcndr,
    mef_gan,
    priors,
)
from ghostless.nn.attention import SelfAttention  # noqa: E402
from ghostless.nn.weights import WeightsInfo, load_weights, save_weights  # noqa: E402
from ghostless.pixels import color  # noqa: E402
from ghostless.research import onnx as export  # noqa: E402
from ghostless.research.graphs import GRAPHS  # noqa: E402

from .files import contents  # noqa: E402
from .scenes import make_radiance, make_stack  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {
    "mef-gan": mef_gan.GeneratorArchitecture(
        initial_gamma=0.5, initial_deviation=0.05, merge_channels=16
    ),
    "lcndr": lcndr.LcndrArchitecture(),
    "dpgn": dpgn.DpgnArchitecture(base=2, levels=2, side_outputs=0, adds_to="local fusion"),
    "chen-chuang": chen_chuang.ChenChuangArchitecture(channels=4, adds_to="local fusion"),
    "hdr-gan": hdr_gan.HdrGanArchitecture(scales=2, base_channels=4, adds_to="merge"),
    "homography": homography.HomographyArchitecture(base_channels=2, hidden=16),
    "halder": halder.HalderArchitecture(channels=4, initial_bias=0.5),
    "cf-net": cf_net.CfNetArchitecture(channels=4, groups=3, coupled_blocks=1),
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of small random networks, by name."""
    folder = tmp_path_factory.mktemp("weights")
    paths = {}
    for name, load in GRAPHS.items():
        kind = load().kind
        torch.manual_seed(5)
        network = kind.build(SMALL.get(name) or kind.architecture())
        give_norms_statistics(network)
        for parameter in network.parameters():  # what begins at 0 would say nothing
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.02)
        paths[name] = folder / f"{name}.safetensors"
        save_weights(network, paths[name], WeightsInfo(kind.name, data="none: random"))
    return paths


def give_norms_statistics(network: torch.nn.Module) -> None:
    """Make every norm shift and scale, so that one which is left out is noticed."""
    for module in network.eval().modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)


def written(name: str, weights: dict[str, Path], folder: Path) -> Path:
    """Export by the command and return the file."""
    out = folder / f"{name}.onnx"
    words = ["export", name, "-o", str(out), "--weights", str(weights[name]), "--quiet"]
    assert cli.run(words) == 0
    return out


def run_file(path: Path, *inputs: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_inputs()]
    found: list[np.ndarray] = session.run(None, dict(zip(names, inputs, strict=True)))
    return found


def planes(frame: Frame) -> np.ndarray:
    return np.ascontiguousarray(frame.display().transpose(2, 0, 1)[None])


def test_every_network_of_the_table_can_be_exported() -> None:
    graphs = {method.name for method in METHODS.values() if method.graph}
    assert set(GRAPHS) == graphs | {"homography"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mef-gan", "lcndr", "chen-chuang", "halder", "cf-net"])
def test_the_file_fuses_as_the_method_does(
    name: str, weights: dict[str, Path], tmp_path: Path
) -> None:
    path = written(name, weights, tmp_path)
    entry = get_method(name)
    size = 2 * entry.kind.sides(SMALL[name]).multiple
    stack = make_stack(make_radiance(size, size + size // 2), stops=(-1.5, 1.5))
    settings = get_method(name).load()[1](
        weights=weights[name], device="cpu", precision="float32", quality="full"
    )
    wanted = fuse_stack(stack, name, settings).pixels
    (found,) = run_file(path, *(planes(frame) for frame in stack.frames))
    assert np.ptp(wanted) > 0.01, "a flat picture proves nothing"
    np.testing.assert_allclose(found[0].transpose(1, 2, 0), wanted, atol=1e-5)


@pytest.mark.slow
def test_dpgn_makes_its_own_pyramids_and_colour(weights: dict[str, Path], tmp_path: Path) -> None:
    path = written("dpgn", weights, tmp_path)
    light = make_radiance(24, 36)
    light[:8] = light[:8].mean(axis=2, keepdims=True)  # without colour no frame is preferred
    stack = make_stack(light, stops=(-1.5, 1.5))
    under, over = (planes(frame) for frame in stack.frames)
    (found,) = run_file(path, under, over)
    network, _ = load_weights(dpgn_tiled.NETWORK, weights["dpgn"])
    with torch.inference_mode():
        pair = [torch.from_numpy(over), torch.from_numpy(under)]
        fused = network(over=pair[0], under=pair[1]).final
        colour = priors.fuse_images(priors.make_priors(pair, 2)).clamp(0, 1)
        wanted = color.rgb_to_ycbcr(colour[0].permute(1, 2, 0).numpy())
    wanted[..., 0] = color.rgb_to_ycbcr(fused[0].permute(1, 2, 0).numpy())[..., 0]
    wanted = np.clip(color.ycbcr_to_rgb(wanted), 0, 1)
    assert np.ptp(wanted) > 0.01
    np.testing.assert_allclose(found[0].transpose(1, 2, 0), wanted, atol=1e-5)


@pytest.mark.slow
def test_hdr_gan_takes_stops_and_gives_radiance(weights: dict[str, Path], tmp_path: Path) -> None:
    path = written("hdr-gan", weights, tmp_path)
    stack = make_stack(make_radiance(20, 28), stops=(-2, 0, 2))
    settings = get_method("hdr-gan").load()[1](
        weights=weights["hdr-gan"], device="cpu", precision="float32", quality="full"
    )
    wanted = fuse_stack(stack, "hdr-gan", settings).pixels
    stops = np.array([[frame.stops for frame in stack.frames]], np.float32)
    images = [planes(frame) for frame in stack.frames]
    (found,) = run_file(path, *images, stops)
    np.testing.assert_allclose(found[0].transpose(1, 2, 0), wanted, rtol=1e-3, atol=1e-5)
    # Only differences of stops count.
    np.testing.assert_allclose(run_file(path, *images, stops + 3)[0], found, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_the_homography_file_gives_the_networks_homography(
    weights: dict[str, Path], tmp_path: Path
) -> None:
    path = written("homography", weights, tmp_path)
    side = four_points.SIDE_PIXELS
    stack = make_stack(make_radiance(side, side), stops=(-3.5, 3.0))
    dark, bright = (frame.display() for frame in stack.frames)
    offsets, matrix = run_file(path, *(planes(frame) for frame in stack.frames))
    network, _ = load_weights(homography.HOMOGRAPHY, weights["homography"])
    with torch.inference_mode():
        wanted = network(homography.network_input(dark, bright))
    np.testing.assert_allclose(offsets.reshape(1, 8), wanted, atol=1e-3)
    assert np.abs(offsets).max() > 0.01
    solved = homography.homography_from_offsets(wanted)[0].numpy()
    np.testing.assert_allclose(matrix[0], solved, atol=1e-4)


@pytest.mark.parametrize("gains", [(0.02, 1.0), (1.0, 60.0), (0.3, 2.0), (0.001, 0.002)])
def test_bitmaps_of_a_batch_equal_those_of_pairs(gains: tuple[float, float]) -> None:
    """Clipped tones too, where another quantile than the median is taken."""
    scene = np.random.default_rng(2).random((256, 256, 3), np.float32)
    first, second = (np.clip(scene * gain, 0, 1).astype(np.float32) for gain in gains)
    wanted = homography.network_input(first, second)[:, 6:]
    pair = [torch.from_numpy(image.transpose(2, 0, 1)[None].copy()) for image in (first, second)]
    found = torch.cat(homography._bitmaps_of_batch(*pair), dim=1)
    assert torch.equal(found, wanted)


def test_the_closed_form_equals_the_solved_homography() -> None:
    generator = torch.Generator().manual_seed(1)
    offsets = 30 * torch.rand(20, 4, 2, generator=generator, dtype=torch.float64) - 15
    found = homography._matrix_of_offsets(offsets)
    torch.testing.assert_close(found, homography.homography_from_offsets(offsets.reshape(20, 8)))


@pytest.mark.slow
@pytest.mark.parametrize("key_pooling", [1, 2])
def test_attention_in_a_graph_never_forms_its_map(key_pooling: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    block = SelfAttention(16, 4, key_pooling=key_pooling).eval().requires_grad_(False)
    example = torch.randn(2, 16, 6, 8)
    dim = torch.export.Dim
    shapes = ({0: dim("batch"), 2: 2 * dim("rows"), 3: 2 * dim("columns")},)
    with export.hushed():
        program = torch.onnx.export(block, (example,), dynamo=True, dynamic_shapes=shapes)
    program.save(tmp_path / "attention.onnx")
    operations = {node.op_type for node in program.model_proto.graph.node}
    assert "Scan" in operations
    assert "Softmax" not in operations, "softmax over all tokens at once"
    x = 3 * torch.randn(1, 16, 10, 4)
    (found,) = run_file(tmp_path / "attention.onnx", x.numpy())
    np.testing.assert_allclose(found, block(x).numpy(), atol=1e-5)


def test_convolutions_of_the_graph_equal_the_pyramids() -> None:
    generator = torch.Generator().manual_seed(1)
    for size in ((2, 2), (12, 20)):
        image = torch.rand(2, 3, *size, generator=generator)
        torch.testing.assert_close(priors._reduce_in_graph(image), priors.reduce(image))
        twice = (2 * size[0], 2 * size[1])
        torch.testing.assert_close(priors._expand_in_graph(image), priors.expand(image, twice))


def test_the_file_says_what_it_takes_and_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, plain = tmp_path / "net.onnx", tmp_path / "plain.safetensors"
    # As the paper's: without the fusion that ours adds to, which takes longest to be traced.
    architecture = chen_chuang.ChenChuangArchitecture(channels=4)
    network = GRAPHS["chen-chuang"]().kind.build(architecture)
    give_norms_statistics(network)
    save_weights(network, plain, WeightsInfo("chen-chuang", data="none: random"))
    words = ["export", "chen-chuang", "-o", str(out), "--json", "--weights", str(plain)]
    assert cli.run(words) == 0
    printed, errors = capsys.readouterr()
    assert errors == ""
    told = json.loads(printed)
    assert told["size_multiple"] == 128
    assert told["difference"] < 1e-4
    assert told["file_bytes"] == out.stat().st_size
    model = onnx.load(out)
    onnx.checker.check_model(model)
    assert model.producer_name == "ghostless"
    assert [value.name for value in model.graph.input] == ["under", "over"]
    assert all("0..1" in value.doc_string for value in model.graph.input)
    sides = [dimension.dim_param for dimension in model.graph.input[0].type.tensor_type.shape.dim]
    assert sides[0] == "batch"
    assert len({sides[0], sides[2], sides[3]}) == 3, "a side was fixed"
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["ghostless.network"] == "chen-chuang"
    assert facts["ghostless.border"] == "reflect"
    assert facts["ghostless.weights.data"] == "none: random"
    assert json.loads(facts["ghostless.inputs"])[1]["shape"] == ["batch", 3, "height", "width"]
    assert set(contents(tmp_path)) == {"net.onnx", "plain.safetensors"}
    run_the_pages_example(out)


def run_the_pages_example(path: Path) -> None:
    """The page's function pads, fuses and crops a picture of any size."""
    text = (Path(__file__).resolve().parents[1] / "docs" / "onnx.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(snippet, "docs/onnx.md", "exec"), names)
    under, over = np.random.default_rng(0).random((2, 70, 130, 3), np.float32)
    fused = names["fuse"](str(path), under, over)
    assert fused.shape == (70, 130, 3)
    assert np.isfinite(fused).all()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["mefgan"], "unknown network to export 'mefgan': did you mean 'mef-gan'"),
        (["mertens"], "unknown network to export 'mertens'"),
        (["lcndr", "--weights", "none.safetensors"], "ghostless train lcndr"),
        (["homography", "--weights", "none.safetensors"], "ghostless train chen-chuang"),
        (["mef-gan", "--weights", "LCNDR"], "expected weights of 'mef-gan', found those of"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    words: list[str],
    found: str,
    weights: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [str(weights["lcndr"]) if word == "LCNDR" else word for word in words]
    assert cli.run(["export", *words, "-o", str(tmp_path / "out.onnx")]) == 2
    error = capsys.readouterr().err
    assert found in error
    assert error.count("\n") == 1
    assert contents(tmp_path) == {}


def test_a_missing_package_names_the_extra(
    weights: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else real(name)
    )
    words = ["export", "lcndr", "-o", str(tmp_path / "a.onnx")]
    assert cli.run([*words, "--weights", str(weights["lcndr"])]) == 2
    error = capsys.readouterr().err
    assert "'onnxruntime'" in error
    assert "pip install 'ghostless[onnx]'" in error


def test_nothing_is_written_where_onnxruntime_disagrees(
    weights: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(export, "_to_onnx", lambda *words: b"")
    monkeypatch.setattr(export, "_difference", lambda *words: float("nan"))
    out = tmp_path / "out.onnx"
    words = ["export", "chen-chuang", "-o", str(out), "--weights", str(weights["chen-chuang"])]
    assert cli.run(words) == 2
    assert "expected onnxruntime to agree" in capsys.readouterr().err
    assert contents(tmp_path) == {}


def test_an_existing_file_is_kept(
    weights: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.onnx"
    out.write_text("mine")
    words = ["export", "lcndr", "-o", str(out), "--weights", str(weights["lcndr"])]
    assert cli.run(words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_text() == "mine"
