"""The command's words for networks: quality, weights, device."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from ghostless import cli  # noqa: E402
from ghostless.methods import METHODS  # noqa: E402
from ghostless.nn import fast, mef_gan  # noqa: E402
from ghostless.nn.weights import WeightsInfo, save_weights  # noqa: E402

from .files import save_bracket  # noqa: E402


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "random.safetensors"
    save_weights(mef_gan.Generator().eval(), path, WeightsInfo("mef-gan"))
    return path


def test_quality_weights_and_device_reach_the_network(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "PROXY_PIXELS", 24 * 32)
    monkeypatch.setitem(METHODS, "mef-gan", replace(METHODS["mef-gan"], best_pixels=None))
    files = [str(file) for file in save_bracket(tmp_path)]
    for quality, note in (("fast", "ran on 32 x 24 pixels"), ("auto", "on every pixel")):
        report = tmp_path / f"{quality}.json"
        words = ["fuse", *files, "-o", str(tmp_path / f"{quality}.png"), "-q"]
        words += ["--method", "mef-gan", "--weights", str(weights), "--device", "cpu"]
        words += ["--quality", quality, "--report", str(report)]
        assert cli.run(words) == 0
        told = json.loads(report.read_text())
        assert any(note in line for line in told["notes"])
        assert told["settings"]["method_settings"]["weights"] == str(weights)


def test_what_a_network_lacks_is_told_before_any_work(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = save_bracket(tmp_path)
    files[1].write_bytes(b"no photo: it would be told of as soon as photos are read")
    words = ["fuse", *map(str, files), "-o", str(tmp_path / "out.png"), "--method"]
    for given, said in (
        (["lcndr", "--weights", str(weights)], "found those of 'mef-gan'"),
        (["lcndr", "--weights", str(files[0])], "expected a safetensors file"),
        (["lcndr", "--weights", str(tmp_path / "none")], "no such file"),
        (["lcndr", "--device", "gpu"], "device: expected auto"),
    ):
        assert cli.run([*words, *given]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "found"),
    [
        (["--quality", "fast"], "--quality: expected a method that is a network, found 'mertens'"),
        (["--device", "cpu"], "--device: expected a method that is a network, found 'mertens'"),
        (
            ["--method", "mertens", "--weights", "w.safetensors"],
            "--weights: expected a method that is a network",
        ),
        # Of what "auto" takes one is a network: whoever names weights means that.
        (["--weights", "w.safetensors"], "expected the weights of 'learned-fusion'"),
        (["--method", "lcndr", "--quality", "best"], "expected one of auto, full, fast"),
        (["--method", "lcndr", "--weights", "none.safetensors"], "ghostless train lcndr"),
        (["--method", "mef-gan", "--device", "gpu"], "device: expected auto, cpu, cuda"),
    ],
)
def test_wrong_words_are_one_line(
    tmp_path: Path, weights: Path, extra: list[str], found: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(file) for file in save_bracket(tmp_path)]
    if "--device" in extra and "mef-gan" in extra:
        extra = [*extra, "--weights", str(weights)]
    assert cli.run(["fuse", *files, "-o", str(tmp_path / "out.png"), *extra]) == 2
    error = capsys.readouterr().err
    assert found in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out.png").exists()
