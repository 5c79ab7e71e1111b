"""Weights files: what goes in comes out, and every way of being wrong has its own line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from ghostless.errors import MissingPackageError, OptionError, WeightsError  # noqa: E402
from ghostless.nn import weights  # noqa: E402
from ghostless.nn.blocks import ConvBlock, compile_blocks  # noqa: E402
from ghostless.nn.settings import (  # noqa: E402
    NetworkSettings,
    _multiplies_in_bfloat16,
    choose_device,
    choose_dtype,
    needs_torch_extra,
)
from ghostless.nn.weights import NetworkKind, WeightsInfo  # noqa: E402


@dataclass(frozen=True)
class Architecture:
    channels: int = 4
    sizes: tuple[int, ...] = (1, 2)

    def __post_init__(self):
        if self.channels > 100:
            raise OptionError(f"channels: expected at most 100, found {self.channels}")


class Network(torch.nn.Module):
    def __init__(self, architecture):
        super().__init__()
        self.architecture = architecture
        self.first = ConvBlock(3, architecture.channels, spectral=True)
        self.second = ConvBlock(architecture.channels, 3, norm="batch")

    def forward(self, x):
        return self.second(self.first(x))


KIND = NetworkKind("toy", Architecture, Network, "ghostless train toy")
INFO = WeightsInfo("toy", recipe={"steps": 7}, data="noise", commit="abc123", scores={"psnr": 12.5})


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network(Architecture(channels=5, sizes=(3, 4))).eval()


@pytest.fixture
def saved(network, tmp_path):
    path = tmp_path / "toy.safetensors"
    weights.save_weights(network, path, INFO)
    return path


def rewrite(path, change):
    """Change the tensors of a weights file and keep its description."""
    tensors = load_file(path)
    info = weights.read_info(path)
    change(tensors)
    text = json.dumps(
        {"network": info.network, "architecture": dict(info.architecture)}, sort_keys=True
    )
    save_file(tensors, path, metadata={"ghostless": text})


def test_a_network_and_its_description_come_back(network, saved):
    found, info = weights.load_weights(KIND, saved)
    x = torch.rand(1, 3, 6, 6)
    torch.testing.assert_close(found(x), network(x))
    assert found.architecture == network.architecture
    assert info == weights.read_info(saved)
    assert (info.recipe, info.data, info.commit) == ({"steps": 7}, "noise", "abc123")
    assert info.scores == {"psnr": 12.5}
    assert not found.training
    assert not any(parameter.requires_grad for parameter in found.parameters())
    assert list(saved.parent.iterdir()) == [saved]


def test_parameters_are_counted_in_the_file(network, saved):
    own = sum(parameter.numel() for parameter in network.parameters())
    assert weights.stored_parameters(saved) == own
    for path in sorted(weights.WEIGHTS_FOLDER.glob("*.safetensors")):
        told = path.with_suffix(".md").read_text(encoding="utf-8")
        assert f"- **Parameters:** {weights.stored_parameters(path):,}\n" in told, path.name


def test_saving_leaves_the_network_as_it_was(network, saved):
    assert "first.conv.parametrizations.weight.original" in network.state_dict()


def test_bfloat16_halves_the_kernels_and_keeps_the_rest(network, tmp_path):
    path = tmp_path / "toy.safetensors"
    weights.save_weights(network, path, INFO, precision="bfloat16")
    stored = load_file(path)
    assert stored["first.conv.weight"].dtype == torch.bfloat16
    assert stored["second.norm.running_var"].dtype == torch.float32
    found, _ = weights.load_weights(KIND, path)
    assert all(parameter.dtype == torch.float32 for parameter in found.parameters())
    x = torch.rand(1, 3, 6, 6)
    torch.testing.assert_close(found(x), network(x), rtol=0.02, atol=0.02)


def test_missing_weights_name_the_training_command(tmp_path):
    with pytest.raises(
        WeightsError, match=r"gone\.safetensors: .*no such file.*ghostless train toy"
    ):
        weights.load_weights(KIND, tmp_path / "gone.safetensors")
    with pytest.raises(
        WeightsError, match=r"weights of 'toy', found none shipped.*ghostless train toy"
    ):
        weights.load_weights(KIND)
    assert not weights.has_weights("toy")


def described(**values):
    return json.dumps({"network": "toy", **values})


DESCRIPTIONS = {
    "network by number": described(network=3),
    "architecture of text": described(architecture="abc"),
    "architecture of a number": described(architecture=7),
    "channels of text": described(architecture={"channels": "five"}),
    "channels negative": described(architecture={"channels": -5}),
    "channels broken": described(architecture={"channels": 5.5}),
    "channels of nothing": described(architecture={"channels": None}),
    "deep description": '{"network":' + "[" * 100_000 + "]" * 100_000 + "}",
    "endless description": described(data="x" * 2**19),
    "scores of text": described(scores="good"),
}


def _with(header, **changes):
    return json.dumps({**header, **changes}).encode()


HEADERS = {
    "metadata of a list": lambda header: _with(header, __metadata__=[1]),
    "metadata of text": lambda header: _with(header, __metadata__="ghostless"),
    "tensor of a number": lambda header: _with(header, **{"first.conv.bias": 3}),
    "shape of text": lambda header: _with(
        header, **{"first.conv.bias": {**header["first.conv.bias"], "shape": "ab"}}
    ),
    "shape of billions": lambda header: _with(
        header, **{"first.conv.bias": {**header["first.conv.bias"], "shape": [10**12]}}
    ),
    "unknown type": lambda header: _with(
        header, **{"first.conv.bias": {**header["first.conv.bias"], "dtype": "F3"}}
    ),
    "deep header": lambda header: b'{"a":' + b"[" * 200_000,
}


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def damage(path, what):
    content = path.read_bytes()
    if what == "pickle":
        torch.save({"a": torch.zeros(2)}, path)
    elif what == "old pickle":
        path.write_bytes(b"\x80\x02}q\x00.")
    elif what == "text":
        path.write_text("these are not the weights you are looking for")
    elif what == "empty":
        path.write_bytes(b"")
    elif what == "header cut":
        path.write_bytes(content[:40])
    elif what == "five bytes":
        path.write_bytes(content[:5])
    elif what == "data cut":
        path.write_bytes(content[:-1])
    elif what == "header garbled":
        path.write_bytes(content[:9] + b"\x00\xff" * 8 + content[25:])
    elif what == "huge header":
        path.write_bytes((2**60).to_bytes(8, "little") + content[8:])
    elif what == "undescribed":
        save_file(load_file(path), path)
    elif what == "description garbled":
        save_file(load_file(path), path, metadata={"ghostless": "{}}"})
    elif what == "description of something else":
        save_file(load_file(path), path, metadata={"ghostless": '{"colour": 3}'})
    elif what == "other network":
        text = json.dumps({"network": "lamp"})
        save_file(load_file(path), path, metadata={"ghostless": text})
    elif what == "unknown architecture":
        text = json.dumps({"network": "toy", "architecture": {"depth": 3}})
        save_file(load_file(path), path, metadata={"ghostless": text})
    elif what == "impossible architecture":
        text = json.dumps({"network": "toy", "architecture": {"channels": 10**9}})
        save_file(load_file(path), path, metadata={"ghostless": text})
    elif what == "other shape":
        text = json.dumps({"network": "toy", "architecture": {"channels": 6}})
        save_file(load_file(path), path, metadata={"ghostless": text})
    elif what in DESCRIPTIONS:
        save_file(load_file(path), path, metadata={"ghostless": DESCRIPTIONS[what]})
    elif what in HEADERS:
        length = int.from_bytes(content[:8], "little")
        text = HEADERS[what](json.loads(content[8 : 8 + length]))
        path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    elif what == "complex numbers":
        rewrite(path, lambda tensors: tensors.update({"second.conv.bias": torch.zeros(3).cfloat()}))
    elif what == "whole numbers":
        rewrite(path, lambda tensors: tensors.update({"second.conv.bias": torch.zeros(3).long()}))
    elif what == "tensor missing":
        rewrite(path, lambda tensors: tensors.pop("second.conv.bias"))
    elif what == "tensor too many":
        rewrite(path, lambda tensors: tensors.update(third=torch.zeros(1)))
    else:
        value = float(what)
        rewrite(path, lambda tensors: tensors["first.conv.weight"].view(-1)[3:4].fill_(value))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("pickle", "found a PyTorch pickle, which is never opened"),
        ("old pickle", "found a PyTorch pickle, which is never opened"),
        ("text", "expected a safetensors file, found something else"),
        ("empty", "found an empty file"),
        ("five bytes", "expected a safetensors file"),
        ("header cut", "truncated or damaged"),
        ("data cut", "truncated or damaged"),
        ("header garbled", "truncated or damaged"),
        ("huge header", "truncated or damaged"),
        ("undescribed", "without their description"),
        ("description garbled", "one that cannot be read"),
        ("description of something else", "one that cannot be read"),
        ("other network", "expected weights of 'toy', found those of 'lamp'"),
        ("unknown architecture", "an architecture of 'toy' that this version can build"),
        ("impossible architecture", "channels: expected at most 100"),
        ("other shape", r"expected 'first.conv.weight' of shape \(6, 3, 3, 3\), found \(5"),
        ("network by number", "one that cannot be read"),
        ("architecture of text", "one that cannot be read"),
        ("architecture of a number", "one that cannot be read"),
        ("channels of text", "that this version can build"),
        ("channels negative", "that this version can build"),
        ("channels broken", "that this version can build"),
        ("channels of nothing", "that this version can build"),
        ("deep description", "one that cannot be read"),
        ("endless description", "one that cannot be read"),
        ("scores of text", "one that cannot be read"),
        ("metadata of a list", "without their description"),
        ("metadata of text", "without their description"),
        ("tensor of a number", "truncated or damaged"),
        ("shape of text", "truncated or damaged"),
        ("shape of billions", r"found \(1000000000000,\)"),
        ("unknown type", "found a damaged one"),
        ("deep header", "truncated or damaged"),
        ("complex numbers", r"expected 'second.conv.bias' of type torch.float32, found"),
        ("whole numbers", r"expected 'second.conv.bias' of type torch.float32, found"),
        ("tensor missing", "expected a tensor 'second.conv.bias', found none"),
        ("tensor too many", r"found 1 more \('third' first\)"),
        ("nan", "found NaN or infinity in 'first.conv.weight'"),
        ("inf", "found NaN or infinity in 'first.conv.weight'"),
    ],
)
def test_damaged_weights_get_one_clear_line(saved, what, said):
    damage(saved, what)
    with pytest.raises(WeightsError, match=said) as caught:
        weights.load_weights(KIND, saved)
    assert str(saved) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_file_says_takes_no_memory_before_it_is_seen_to_hold_it(saved):
    """A description of 100 bytes must not make a network of gigabytes."""

    @dataclass(frozen=True)
    class Wide:
        channels: int = 4

    built = []

    def build(architecture):
        layer = torch.nn.Linear(architecture.channels, architecture.channels)
        built.append(layer.weight.is_meta)
        return layer

    text = described(architecture={"channels": 10**6})
    save_file(load_file(saved), saved, metadata={"ghostless": text})
    with pytest.raises(WeightsError, match="expected a tensor 'weight', found none"):
        weights.load_weights(NetworkKind("toy", Wide, build, "ghostless train toy"), saved)
    assert built == [True]


def test_folders_and_unreadable_files_are_missing_weights(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        weights.load_weights(KIND, tmp_path)
    with pytest.raises(WeightsError, match="cannot be read"):
        weights.read_info(tmp_path)


def test_networks_that_diverged_are_not_saved(network, tmp_path):
    with torch.no_grad():
        network.second.conv.bias[0] = torch.nan
    with pytest.raises(WeightsError, match="the training diverged"):
        weights.save_weights(network, tmp_path / "toy.safetensors", INFO)
    assert not list(tmp_path.iterdir())


def test_a_network_is_loaded_once_until_its_file_changes(network, saved):
    settings = NetworkSettings(weights=saved, device="cpu")
    first = weights.load_network(KIND, settings)
    assert weights.load_network(KIND, settings).network is first.network
    with torch.no_grad():
        network.second.conv.bias += 1
    weights.save_weights(network, saved, INFO)
    assert weights.load_network(KIND, settings).network is not first.network


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the compiler's own imports
def test_compiled_blocks_give_what_plain_ones_give_at_any_size(saved):
    plain = weights.load_network(KIND, NetworkSettings(weights=saved, device="cpu"))
    compiled = weights.load_network(
        KIND, NetworkSettings(weights=saved, device="cpu", compile=True)
    )
    assert compiled.network is not plain.network
    seen = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    with torch.inference_mode():
        for height, width in ((16, 24), (33, 17), (40, 40)):
            image = torch.rand(1, 3, height, width)
            torch.testing.assert_close(compiled.network(image), plain.network(image))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > seen


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_compiler_gives_up_on_none_of_many_unlike_blocks():
    widths = range(3, 14)
    network = torch.nn.Sequential(*(ConvBlock(width, width + 1) for width in widths)).eval()
    compile_blocks(network)
    seen = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    with torch.inference_mode():
        network(torch.rand(1, 3, 8, 8))
    # Some serve two widths; without its limit raised the compiler stops at eight.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] - seen > 8


@pytest.mark.gpu
def test_blocks_are_compiled_on_a_gpu_unless_told_otherwise(saved):
    for told, expected in ((None, True), (False, False)):
        settings = NetworkSettings(weights=saved, device="cuda", compile=told)
        network = weights.load_network(KIND, settings).network
        blocks = [part for part in network.modules() if isinstance(part, ConvBlock)]
        assert all(("forward" in vars(block)) == expected for block in blocks)


def test_settings_are_checked():
    with pytest.raises(OptionError, match="quality: expected one of auto, full, fast"):
        NetworkSettings(quality="best")
    with pytest.raises(OptionError, match="precision"):
        NetworkSettings(precision="float8")
    with pytest.raises(OptionError, match="device: expected auto, cpu"):
        choose_device("toaster")
    with pytest.raises(OptionError, match="device"):
        choose_device("cuda:99")
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_dtype("float32", torch.device("cuda")) == torch.float32
    assert choose_dtype("auto", torch.device("cuda")) == torch.bfloat16
    assert choose_dtype("bfloat16", torch.device("cpu")) == torch.bfloat16


@pytest.mark.parametrize(
    ("capabilities", "has"),
    [({"avx512_bf16": True}, True), ({"avx512_bf16": False}, False)],
)
def test_a_cpu_computes_in_bfloat16_where_it_has_it(monkeypatch, capabilities, has):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert _multiplies_in_bfloat16(torch.device("cpu")) is has


def test_a_missing_package_is_named_with_its_cure():
    missing = ModuleNotFoundError("No module named 'torch'", name="torch")
    said = r"'torch'.*ghostless\[torch\]"
    with pytest.raises(MissingPackageError, match=said), needs_torch_extra("method 'toy'"):
        raise missing
    with pytest.raises(ModuleNotFoundError), needs_torch_extra("method 'toy'"):
        raise ModuleNotFoundError("No module named 'cv2'", name="cv2")


def test_the_table_and_the_weights_are_known_without_torch():
    code = (
        "import sys; from ghostless.methods import METHODS; from ghostless.nn import weights; "
        "weights.has_weights('x'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
