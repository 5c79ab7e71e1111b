"""Training by command, with and without the packages that only make it pleasant."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ghostless.cli import run
from ghostless.nn.lcndr import NETWORK
from ghostless.nn.weights import load_weights
from ghostless.research.data.panoramas import pack
from ghostless.research.data.splits import HELD_OUT_SCENES

WITHOUT = """
import sys, importlib.abc
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in {"typer", "rich", "lightning_fabric", "tensorboard", "tifffile",
                                  "imagecodecs", "PIL", "exifread", "rawpy", "OpenEXR"}:
            raise ModuleNotFoundError(name, name=name.split(".")[0])
sys.meta_path.insert(0, Missing())
from ghostless.research.train.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiny scenes, packed, one of them held out."""
    folder = tmp_path_factory.mktemp("hdr")
    random = np.random.default_rng(0)
    for name in ("somewhere", min(HELD_OUT_SCENES)):
        stops = random.uniform(-5, 2, (8, 16, 3)).astype(np.float32)
        radiance = np.kron(2.0**stops, np.ones((16, 16, 1), np.float32))
        cv2.imwrite(str(folder / f"{name}.hdr"), radiance)
    pack([folder], folder / "packed")
    return folder / "packed"


def words(packed: Path, out: Path, *more: str) -> list[str]:
    small = ["--steps", "2", "--batch", "2", "--patch", "32", "--device", "cpu", "--quiet"]
    return ["lcndr", "--data", str(packed), "-o", str(out), *small, *more]


def test_the_command_trains_and_resumes(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run(["train", *words(packed, out, "--set", "log_every=1")]) == 0
    assert capsys.readouterr().out.strip() == str(out / "lcndr.safetensors")
    _, info = load_weights(NETWORK, out / "lcndr.safetensors")
    assert "1 HDR pictures of 1 scenes" in info.data
    assert run(["train", *words(packed, out)]) == 2
    assert "--resume" in capsys.readouterr().err
    assert run(["train", *words(packed, out, "--set", "log_every=1", "--resume")]) == 0
    assert run(["train", "lcdnr", "--data", str(packed), "-o", str(out)]) == 2
    assert "did you mean 'lcndr'" in capsys.readouterr().err


def test_a_run_that_ends_without_weights_says_so(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    short = words(packed, out, "--minutes", "0.00001", "--set", "validate_every=2")
    assert run(["train", *short]) == 2
    printed, line = capsys.readouterr()
    assert printed == ""
    assert line.count("\n") == 1
    assert "expected weights at the end, found none" in line
    assert "step 1 (1e-05 minutes are over)" in line
    assert "--resume" in line
    assert run(["train", *short, "--resume"]) == 0  # the second step validates
    assert capsys.readouterr().out.strip() == str(out / "lcndr.safetensors")
    assert run(["train", *words(packed, tmp_path / "b", "--minutes", "1e-5", "--no-finish")]) == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--minutes", "0"], "minutes: expected more than 0, found 0"),
        (["--minutes", "-1"], "minutes: expected more than 0, found -1"),
        (["--start", "none.safetensors"], "none.safetensors: expected weights to start from"),
        (["--ship", "--no-finish"], "ship: expected finished weights"),
    ],
)
def test_what_a_training_cannot_use_is_told_before_it_reads_anything(
    more: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", *words(tmp_path / "nothing", tmp_path / "run", *more)]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_torch_numpy_opencv_and_safetensors_are_enough(packed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *words(packed, tmp_path / "run", "--threads", "1")],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "lcndr.md").is_file()
