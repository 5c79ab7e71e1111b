"""Networks as graphs: the same picture as with torch, without it, and of today's code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from tests.files import save_bracket  # noqa: E402
from tests.scenes import make_radiance, make_stack  # noqa: E402

from ghostless.align import homography_net  # noqa: E402
from ghostless.bracket import Stack  # noqa: E402
from ghostless.errors import MissingPackageError, WeightsError  # noqa: E402
from ghostless.methods import METHODS, fuse_stack, get_method  # noqa: E402
from ghostless.nn import fast, graphs  # noqa: E402
from ghostless.nn.homography import HOMOGRAPHY  # noqa: E402
from ghostless.nn.weights import WeightsInfo, load_weights, read_info, save_weights  # noqa: E402
from ghostless.nn.weights import shipped_path as shipped  # noqa: E402
from ghostless.work import packages  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = sorted(path.stem for path in graphs.GRAPHS_FOLDER.glob("*.json"))
FUSING = [name for name in NAMES if name in METHODS]
# Half a code of 255.
HALF_A_CODE = 0.5 / 255


def without(*missing: str) -> Any:
    """`is_installed` where these packages are missing."""
    real = packages.is_installed
    return lambda package: package not in missing and real(package)


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "torch")


def hide(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    for module in ("work.packages", "nn.graphs", "methods.entry", "align.homography_net"):
        monkeypatch.setattr(f"ghostless.{module}.is_installed", without(*missing))


def with_torch_and_as_graphs(
    stack: Stack, name: str, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """The picture of a method by both, as they would be shown."""
    settings = get_method(name).settings_class(**options)
    on = replace(settings, device="cpu", precision="float32")
    wanted = fuse_stack(stack, name, on)
    with monkeypatch.context() as patch:
        hide(patch, "torch")
        found = fuse_stack(stack, name, settings)
    assert found.notes == wanted.notes
    assert found.pixels.shape == wanted.pixels.shape
    if wanted.space == "display":
        return wanted.pixels, found.pixels
    wanted_seen, found_seen = (
        np.log1p(5000 * image.pixels / wanted.pixels.max()) / np.log1p(5000)
        for image in (wanted, found)
    )
    return wanted_seen, found_seen


def stops_for(name: str, count: int) -> Sequence[float]:
    return [float(stop) for stop in np.linspace(-2, 2, count)]


def test_every_network_to_use_that_ships_ships_as_graphs() -> None:
    weights = {path.stem for path in graphs.WEIGHTS_FOLDER.glob("*.safetensors")}
    small = {"agreement", *(m.name for m in METHODS.values() if m.runs_without_torch)}
    # Who compares methods has torch.
    compared = {m.name for m in METHODS.values() if m.group == "compare"}
    assert set(NAMES) == weights - small - compared


@pytest.mark.parametrize("size", [(37, 50), (130, 70)])
@pytest.mark.parametrize("name", FUSING)
def test_graphs_fuse_as_torch_does(
    name: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = make_stack(make_radiance(*size, seed=2), stops_for(name, 2))
    wanted, found = with_torch_and_as_graphs(stack, name, monkeypatch)
    assert np.ptp(wanted) > 0.1
    np.testing.assert_allclose(found, wanted, atol=HALF_A_CODE / 10)


@pytest.mark.parametrize("name", FUSING)
def test_over_a_proxy_too_in_small_tiles_and_with_more_frames(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "PROXY_PIXELS", 96 * 130)
    if METHODS[name].best_pixels:
        monkeypatch.setitem(METHODS, name, replace(METHODS[name], best_pixels=96 * 130))
    monkeypatch.setattr(graphs, "_TILE_BYTES", 1.0)  # tiles of the smallest size
    monkeypatch.setattr(graphs, "_LEAST_TILE_PIXELS", 64 * 64)
    stack = make_stack(make_radiance(150, 190, seed=4), stops_for(name, 4))
    # All of them in turn, whatever the default takes.
    order = {"order": "mirrored"} if METHODS[name].frames_at_once == 2 else {}
    wanted, found = with_torch_and_as_graphs(stack, name, monkeypatch, quality="fast", **order)
    np.testing.assert_allclose(found, wanted, atol=HALF_A_CODE)


def moving_pair(height: int, width: int) -> Stack:
    """Two photos, in the brighter of which lies a red thing that the darker does not show."""
    stack = make_stack(make_radiance(height, width, seed=2), (-2, 2))
    pixels = stack.frames[1].pixels.copy()
    pixels[40:80, 50:90] = (200, 30, 40)
    return replace(stack, frames=(stack.frames[0], replace(stack.frames[1], pixels=pixels)))


def test_what_moved_is_hidden_by_graphs_as_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "_TILE_BYTES", 1.0)  # tiles of the smallest size
    monkeypatch.setattr(graphs, "_LEAST_TILE_PIXELS", 64 * 64)
    wanted, found = with_torch_and_as_graphs(moving_pair(128, 150), "chen-chuang", monkeypatch)
    np.testing.assert_allclose(found, wanted, atol=HALF_A_CODE / 10)


def test_a_stage_whose_maps_are_given_is_not_run() -> None:
    stack = moving_pair(128, 128)
    under, over = (
        frame.display().transpose(2, 0, 1)[None].astype(np.float32) for frame in stack.frames
    )
    network = graphs.load_graphs("chen-chuang", get_method("chen-chuang").settings_class())
    inputs = {"under": under, "over": over, "coloured": np.full((1, 1, 1, 1), True)}
    judged = network.run(inputs, (128, 128))
    given = network.run({**inputs, "passed": over}, (128, 128))
    assert given["passed"] is over
    hidden = np.abs(judged["passed"] - over)[0]
    assert hidden[:, 40:80, 50:90].max() > 0.15
    assert hidden[:, 100:].max() < 0.01
    assert np.abs(judged["fused"] - given["fused"]).max() > 0.01


def test_grey_photos_stay_as_they_are_with_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = make_radiance(60, 64, seed=1).mean(axis=2, keepdims=True).repeat(3, axis=2)
    stack = make_stack(grey, (-2, 0, 2))
    wanted, found = with_torch_and_as_graphs(stack, "chen-chuang", monkeypatch)
    np.testing.assert_allclose(found, wanted, atol=HALF_A_CODE / 10)


def test_the_homography_network_answers_as_with_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = make_stack(make_radiance(200, 240, seed=2), (-2, 2)).frames
    settings = homography_net.HomographyNetSettings()
    wanted = homography_net.answer_of(homography_net.load(settings), first, second)
    hide(monkeypatch, "torch")
    found = homography_net.answer_of(homography_net.load(settings), first, second)
    assert wanted is not None
    assert found is not None
    assert np.abs(wanted - np.eye(3)).max() > 1e-6
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-3)


def kind_of(name: str) -> Any:
    return HOMOGRAPHY if name == HOMOGRAPHY.name else get_method(name).kind


@pytest.mark.parametrize("name", NAMES)
def test_the_plan_is_that_of_the_code_and_of_the_weights(name: str) -> None:
    plan = graphs.Plan.read(name)
    network, info = load_weights(kind_of(name))
    assert plan.name == name
    assert plan.train_command == kind_of(name).train_command
    assert plan.architecture == json.loads(json.dumps(asdict(network.architecture)))
    assert {**plan.defaults, **info.architecture} == plan.architecture
    assert plan.sides == kind_of(name).sides(network.architecture)
    known = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    for stage in plan.stages:
        assert stage.weights.items() <= known.items()
        assert graphs.graph_path(name, stage.name).stat().st_size < 300_000


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_graphs_that_ship_are_those_that_would_be_written_today(
    name: str, tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    from ghostless.research import light

    light.write_graphs(name, tmp_path)
    assert (tmp_path / f"{name}.json").read_text() == graphs._plan_path(name).read_text()
    for stage in graphs.Plan.read(name).stages:
        ours = graphs.graph_path(name, stage.name)
        models = [onnx.load(path) for path in (ours, tmp_path / ours.name)]
        # Names of what lies between differ from one version of the exporter to the next.
        shipped, written = ([node.op_type for node in model.graph.node] for model in models)
        assert shipped == written


def save_other(name: str, folder: Path, **architecture: Any) -> Path:
    kind = get_method(name).kind
    network = kind.build(kind.architecture(**architecture)).eval()
    path = folder / "other.safetensors"
    save_weights(network, path, WeightsInfo(name))
    return path


def test_weights_of_the_same_architecture_are_filled_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, info = load_weights(get_method("lcndr").kind)
    torch.manual_seed(1)
    for parameter in network.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    path = tmp_path / "mine.safetensors"
    save_weights(network, path, info)
    stack = make_stack(make_radiance(40, 48, seed=2), (-2, 2))
    wanted, found = with_torch_and_as_graphs(stack, "lcndr", monkeypatch, weights=path)
    np.testing.assert_allclose(found, wanted, atol=HALF_A_CODE / 10)
    shipped = fuse_stack(stack, "lcndr").pixels
    assert np.abs(found - shipped).max() > HALF_A_CODE, "the weights made no difference"


@pytest.mark.usefixtures("no_torch")
def test_other_architectures_and_damaged_weights_are_one_line(tmp_path: Path) -> None:
    method = get_method("mef-gan")
    other = save_other("mef-gan", tmp_path, merge_channels=16)
    settings = method.settings_class(weights=other)
    stack = make_stack(make_radiance(24, 24), (-2, 2))
    for attempt in (
        lambda: method.check_ready(settings),
        lambda: fuse_stack(stack, "mef-gan", settings),
    ):
        with pytest.raises(WeightsError, match=r"other\.safetensors.*ghostless\[torch\]"):
            attempt()
    # Says the architecture that ships, and holds another.
    info = read_info(shipped("mef-gan"))
    network = method.kind.build(method.kind.architecture(merge_channels=16)).eval()
    network.architecture = method.kind.architecture(**info.architecture)
    liar = tmp_path / "liar.safetensors"
    save_weights(network, liar, info)
    with pytest.raises(WeightsError, match=r"liar\.safetensors: expected a tensor 'merge\.0"):
        fuse_stack(stack, "mef-gan", method.settings_class(weights=liar))
    missing = method.settings_class(weights=tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match="ghostless train mef-gan"):
        method.check_ready(missing)


@pytest.mark.usefixtures("no_torch")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"quality": "full"}, "quality full .quality fast runs without it."),
        ({"device": "cuda"}, "device cuda"),
        ({"precision": "bfloat16"}, "precision bfloat16"),
        ({"compile": True}, "compiling"),
    ],
)
def test_what_only_torch_does_says_what_to_install(options: dict[str, Any], told: str) -> None:
    method = get_method("dpgn")
    said = rf"dpgn: {told}: expected the package 'torch'.*pip install 'ghostless\[torch\]'"
    with pytest.raises(MissingPackageError, match=said):
        method.check_ready(method.settings_class(**options))
    method.check_ready(method.settings_class(device="cpu", precision="float32", quality="fast"))


@pytest.mark.parametrize("name", FUSING)
def test_without_either_the_light_one_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert get_method(name).extra == "networks"
    assert not get_method(name).needs_torch
    assert get_method(name).why_not_here() is None
    hide(monkeypatch, "torch", "onnxruntime")
    said = get_method(name).why_not_here()
    assert said is not None
    assert "'onnxruntime'" in said
    assert "pip install 'ghostless[networks]'" in said


def test_the_command_fuses_without_torch(tmp_path: Path) -> None:
    files = save_bracket(tmp_path, height=60, width=80, suffix=".jpg")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from ghostless import cli\n"
        "sys.exit(cli.run(sys.argv[1:]))"
    )

    def run(*words: str) -> tuple[int, str]:
        told = [str(file) for file in files]
        done = subprocess.run(
            [sys.executable, "-c", code, "fuse", *told, *words],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr

    out = tmp_path / "out.png"
    assert run("-o", str(out), "--method", "mef-gan", "--quality", "fast") == (0, "")
    assert out.stat().st_size > 1000
    code_of_full, said = run("-o", str(tmp_path / "b.png"), "--method", "mef-gan", "--quality=full")
    assert code_of_full == 2
    assert said.count("\n") == 1
    assert "pip install 'ghostless[torch]'" in said
