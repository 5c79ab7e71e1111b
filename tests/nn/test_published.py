"""Weights that authors published: read without running anything, checked, and told from ours."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.scenes import make_radiance, make_stack

from ghostless import cli
from ghostless.errors import OutputError, WeightsError
from ghostless.methods import METHODS, fuse_stack, get_method
from ghostless.nn.published import Published, import_weights, only_file, renamed
from ghostless.nn.published_files import whole
from ghostless.nn.published_files.arrays import flipped, read_npz
from ghostless.nn.published_files.text_tables import read_table
from ghostless.nn.published_files.torch_checkpoint import read_torch
from ghostless.nn.weights import load_weights, read_info

State = dict[str, torch.Tensor]


def network_of(method: str, **architecture: Any) -> Any:
    torch.manual_seed(5)
    kind = get_method(method).kind
    return kind.build(kind.architecture(**architecture)).eval()


def as_mef_net(folder: Path) -> tuple[list[Path], State]:
    """What the authors' training stores: more than the network, scores as NumPy's numbers."""
    ours = network_of("mef-net").state_dict()
    theirs = {"lr.18.weight": ours["last.weight"], "lr.18.bias": ours["last.bias"]}
    for index in range(6):
        norm = f"lr.{3 * index + 1}"
        theirs[f"lr.{3 * index}.weight"] = ours[f"blocks.{index}.conv.weight"]
        theirs[f"{norm}.w_0"] = ours[f"blocks.{index}.norm.plain"]
        theirs[f"{norm}.w_1"] = ours[f"blocks.{index}.norm.normalised"]
        for part in ("weight", "bias"):
            theirs[f"{norm}.in_norm.{part}"] = ours[f"blocks.{index}.norm.norm.{part}"]
    file = folder / "MEFNet_release.pt"
    scores = [np.float64(0.9477), np.float64(0.9519)]
    torch.save({"epoch": 100, "state_dict": theirs, "test_results": scores}, file)
    return [file], ours


def as_deepfuse(folder: Path) -> tuple[list[Path], State]:
    ours = network_of("deepfuse").state_dict()
    file = folder / "DF_model_Epoch99.npz"
    kernels = [ours[f"layers.{i}.weight"].numpy()[:, :, ::-1, ::-1] for i in range(6)]
    np.savez(file, *kernels)
    return [file], ours


def as_ifcnn(folder: Path) -> tuple[list[Path], State]:
    ours = network_of("ifcnn", join="max").state_dict()
    theirs = {"conv1.weight": ours["first.weight"]}
    for part in ("weight", "bias"):
        theirs[f"conv4.{part}"] = ours[f"last.{part}"]
    for name, block in (("conv2", "of_each"), ("conv3", "of_all")):
        theirs[f"module.{name}.conv.weight"] = ours[f"{block}.conv.weight"]
        for part in ("weight", "bias", "running_mean", "running_var"):
            theirs[f"module.{name}.bn.{part}"] = ours[f"{block}.norm.{part}"]
    torch.save(theirs, folder / "IFCNN-MAX.pth")
    return [folder / "IFCNN-MAX.pth"], ours


def as_meflut(folder: Path) -> tuple[list[Path], State]:
    ours = network_of("meflut", frames=(2, 3)).state_dict()
    files = []
    for count in (2, 3):
        for number in range(count):
            file = folder / f"{count}frames" / f"{number}_weight.txt"
            file.parent.mkdir(exist_ok=True)
            file.write_text(",".join(repr(float(v)) for v in ours[f"curves.{count}"][number]))
            files.append(file)
    return files, ours


def as_refusion(folder: Path) -> tuple[list[Path], State]:
    from ghostless.methods.refusion import _NAMES

    ours = network_of("refusion").state_dict()
    theirs = {}
    for name, value in ours.items():
        for there, here in reversed(_NAMES):
            name = name.replace(here, there)
        theirs[name] = value
        if "temperature" not in name and "norm" not in name:
            theirs[name.removesuffix(".weight") + ".conv.weight"] = value
    torch.save(theirs, folder / "ReFusion_MEIF.pth")
    return [folder / "ReFusion_MEIF.pth"], ours


LAYOUTS: dict[str, Callable[[Path], tuple[list[Path], State]]] = {
    "mef-net": as_mef_net,
    "deepfuse": as_deepfuse,
    "ifcnn": as_ifcnn,
    "meflut": as_meflut,
    "refusion": as_refusion,
}


def published(method: str) -> Published:
    found: Published = METHODS[method].find(METHODS[method].published)
    return found


def take(method: str, files: list[Path], out: Path) -> None:
    import_weights(METHODS[method].kind, published(method), files, out)


@pytest.mark.parametrize("method", LAYOUTS)
def test_what_the_authors_stored_is_what_runs(method: str, tmp_path: Path) -> None:
    files, ours = LAYOUTS[method](tmp_path)
    out = tmp_path / "out.safetensors"
    take(method, files, out)
    network, info = load_weights(METHODS[method].kind, out)
    state = network.state_dict()
    assert state.keys() == ours.keys()
    for name, value in ours.items():
        torch.testing.assert_close(state[name], value, rtol=0, atol=1e-7)
    assert info.published["licence"] == published(method).licence
    told = info.published["files"]
    assert [entry["name"] for entry in told] == [file.name for file in files]
    assert all(len(entry["sha256"]) == 64 for entry in told)


def test_ifcnn_takes_how_features_are_joined_from_the_name(tmp_path: Path) -> None:
    (file,), _ = as_ifcnn(tmp_path)
    take("ifcnn", [file], tmp_path / "max.safetensors")
    assert read_info(tmp_path / "max.safetensors").architecture["join"] == "max"
    other = file.rename(tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=r"IFCNN-MEAN\.pth, found weights\.pth"):
        take("ifcnn", [other], tmp_path / "x.safetensors")


def change_checkpoint(how: str, file: Path) -> None:
    found = torch.load(file, weights_only=False)
    state = found["state_dict"]
    if how == "surplus":
        state["lr.20.weight"] = torch.zeros(3)
    elif how == "lacking":
        del state["lr.6.weight"]
    elif how == "shape":
        state["lr.6.weight"] = torch.zeros(24, 24, 5, 5)
    elif how == "nan":
        state["lr.6.weight"][0, 0, 0, 0] = torch.nan
    elif how == "text":
        state["lr.6.weight"] = "weights"
    elif how == "endless":  # a single stored number that calls itself a billion
        state["lr.6.weight"] = torch.zeros(1).expand(1000, 1000, 1000)
    elif how == "no network":
        del found["state_dict"]
    torch.save(found, file)


WRONG = {
    "surplus": r"found 'lr\.20\.weight' beside them",
    "lacking": r"expected an array 'lr\.6\.weight', found none",
    "shape": r"blocks\.2\.conv\.weight' of shape \(24, 24, 3, 3\), found \(24, 24, 5, 5\)",
    "nan": r"expected finite weights, found NaN",
    "text": r"with a network in it, found none",
    "endless": r"a tensor larger than what is stored of it",
    "no network": r"with a network in it, found none",
}


@pytest.mark.parametrize("how", WRONG)
def test_a_checkpoint_that_does_not_fit_is_named_in_a_line(how: str, tmp_path: Path) -> None:
    (file,), _ = as_mef_net(tmp_path)
    change_checkpoint(how, file)
    out = tmp_path / "out.safetensors"
    with pytest.raises(WeightsError, match=WRONG[how]) as raised:
        take("mef-net", [file], out)
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not out.exists()


class _Hostile:
    def __init__(self, told: Path) -> None:
        self.told = told

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.told),)


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_in_a_checkpoint_is_run(tmp_path: Path, zipped: bool) -> None:
    told, file = tmp_path / "run", tmp_path / "MEFNet_release.pt"
    torch.save({"state_dict": _Hostile(told)}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"it asks for \w+\.mkdir, which is no tensor"):
        take("mef-net", [file], tmp_path / "out.safetensors")
    assert not told.exists()


def test_pickled_arrays_are_not_opened(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    np.savez(file, arr_0=np.array([_Hostile(tmp_path / "run")], dtype=object))
    with pytest.raises(WeightsError, match="archive of NumPy arrays"):
        read_npz(file)
    np.savez(file, arr_0=np.array(["words"]))
    with pytest.raises(WeightsError, match="real numbers in 'arr_0'"):
        read_npz(file)
    np.save(tmp_path / "b.npy", np.zeros(3))
    with pytest.raises(WeightsError, match="it is no archive"):
        read_npz(tmp_path / "b.npy")
    assert not (tmp_path / "run").exists()


READERS: dict[str, Callable[[Path], Any]] = {
    "torch": read_torch,
    "npz": read_npz,
    "text": read_table,
}


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_of_weights_is_one_line(reader: str, tmp_path: Path) -> None:
    read = READERS[reader]
    empty, noise, folder = tmp_path / "empty", tmp_path / "noise", tmp_path / "folder"
    empty.touch()
    folder.mkdir()
    noise.write_bytes(np.random.default_rng(3).bytes(3000))
    cut = tmp_path / "cut"
    np.savez(tmp_path / "whole.npz", np.zeros(999, np.float32))
    cut.write_bytes((tmp_path / "whole.npz").read_bytes()[:-200])
    for file in (empty, noise, folder, cut, tmp_path / "missing"):
        with pytest.raises(WeightsError) as raised:
            read(file)
        assert str(file) in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("reader", ["torch", "npz"])
def test_a_small_archive_of_endless_zeros_is_not_unpacked(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert whole.MOST_BYTES == 2**30
    monkeypatch.setattr(whole, "MOST_BYTES", 2**26)
    bomb = tmp_path / "bomb.zip"
    block = bytes(2**20)
    with (
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("arr_0.npy", "w", force_zip64=True) as entry,
    ):
        for _ in range(70):
            entry.write(block)
    assert bomb.stat().st_size < 2**17
    with pytest.raises(WeightsError, match="at most 64 MB, found 70 MB"):
        READERS[reader](bomb)


def test_numbers_in_text(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("0.5, 1;2\n3e-1 ")
    np.testing.assert_array_equal(read_table(file), np.float32([0.5, 1, 2, 0.3]))
    for wrong in ("1,nan", "1,two", "  ", "1,é"):
        file.write_text(wrong, encoding="utf-8")
        with pytest.raises(WeightsError, match="a table of numbers"):
            read_table(file)


def test_kernels_of_true_convolution_are_flipped_both_ways() -> None:
    kernel: NDArray[np.float32] = np.random.default_rng(1).random((1, 1, 3, 5), np.float32)
    image = np.random.default_rng(2).random((7, 9), np.float32)
    inputs = (torch.from_numpy(image)[None, None], torch.from_numpy(flipped(kernel)))
    found = float(torch.nn.functional.conv2d(*inputs)[0, 0, 0, 0])
    # The first place where the kernel lies inside has its centre in row 1, column 2.
    wanted = sum(kernel[0, 0, y, x] * image[2 - y, 4 - x] for y in range(3) for x in range(5))
    assert found == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda files: files[:1], "expected 0_weight.txt, 1_weight.txt"),
        (lambda files: [*files, files[0].rename(files[0].with_name("curve.txt"))], "K_weight.txt"),
    ],
)
def test_meflut_wants_whole_sets(change: Any, message: str, tmp_path: Path) -> None:
    files, _ = as_meflut(tmp_path)
    with pytest.raises(WeightsError, match=message):
        take("meflut", change(files), tmp_path / "out.safetensors")


def test_meflut_wants_256_weights(tmp_path: Path) -> None:
    files, _ = as_meflut(tmp_path)
    files[1].write_text("1,2,3")
    with pytest.raises(WeightsError, match=r"1_weight\.txt: expected 256 weights, found 3"):
        take("meflut", files, tmp_path / "out.safetensors")


def test_refusion_holds_every_kernel_twice_alike(tmp_path: Path) -> None:
    (file,), _ = as_refusion(tmp_path)
    found = torch.load(file, weights_only=True)
    found["decoder.1.ffn.dwconv.conv.weight"] = found["decoder.1.ffn.dwconv.weight"] + 1
    torch.save(found, file)
    with pytest.raises(WeightsError, match=r"'decoder\.1\.ffn\.dwconv\.weight' to be the same"):
        take("refusion", [file], tmp_path / "out.safetensors")


def test_helpers_name_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"one file, a\.pt, found 2"):
        only_file([tmp_path, tmp_path], "a.pt")
    array = np.zeros(1, np.float32)
    assert renamed(tmp_path, {"a": array}, {"a": "b"}) == {"b": array}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file,), _ = as_mef_net(tmp_path)
    out = tmp_path / "mef-net.safetensors"
    words = ["weights", "import", "mef-net", str(file), "-o", str(out)]
    assert cli.run([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["network"] == "mef-net"
    assert told["licence"] == "none stated"
    assert cli.run(words) == 2
    assert "overwrite" in capsys.readouterr().err
    assert cli.run([*words, "--overwrite"]) == 0
    assert "by its authors" in capsys.readouterr().out
    assert cli.run([*words[:3], "-o", str(out)]) == 2
    assert "give MEFNet_release.pt" in capsys.readouterr().err
    assert cli.run(["weights", "import", "mertens", str(file), "-o", str(out)]) == 2
    assert "there are: mef-net" in capsys.readouterr().err
    assert cli.run(["weights"]) == 0
    with pytest.raises(OutputError):
        take("mef-net", [file], out)


def test_results_tell_authors_weights_from_ours(tmp_path: Path) -> None:
    from ghostless.nn.weights import WeightsInfo, save_weights
    from ghostless.research.bench.contenders import parse_contenders
    from ghostless.research.bench.run import _describe

    files, _ = as_meflut(tmp_path)
    theirs, ours = tmp_path / "theirs.safetensors", tmp_path / "ours.safetensors"
    take("meflut", files, theirs)
    save_weights(network_of("meflut"), ours, WeightsInfo("meflut"))
    stack = make_stack(make_radiance(20, 24, seed=6), (-2, 0, 2))
    settings = METHODS["meflut"].settings_class
    noted = fuse_stack(stack, "meflut", settings(weights=theirs)).notes
    assert noted == ("weights by the method's authors: the authors' project MEFLUT; licence: MIT",)
    assert fuse_stack(stack, "meflut", settings(weights=ours)).notes == ()
    kinds = [
        _describe(parse_contenders(f"meflut:weights={file}")[0], True)["kind"]
        for file in (theirs, ours)
    ]
    assert kinds == ["imported", "method"]


def test_missing_weights_name_both_ways_to_them() -> None:
    with pytest.raises(WeightsError, match="ghostless train pmgi, or take its authors' by: ghos"):
        METHODS["pmgi"].check_ready()
    with pytest.raises(WeightsError, match="make them with: ghostless weights import meflut FILE"):
        METHODS["meflut"].check_ready()
