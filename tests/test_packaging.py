"""A clean installation of the core alone: it fuses, it is small, starts at once, has no torch.

Slow, and it needs the package index, as any installation does.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from .files import save_bracket, seconds_of_children

ROOT = Path(__file__).resolve().parents[1]
LARGEST_BYTES = 400e6


def run(*words: str | Path, cwd: Path) -> str:
    """Run a program away from this checkout; return its output, fail with its errors."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the programs of an environment that holds the core and nothing else."""
    folder = tmp_path_factory.mktemp("clean")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    litter = shutil.ignore_patterns("*.egg-info", "__pycache__")
    shutil.copytree(ROOT / "src", source / "src", ignore=litter)
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    programs = folder / "venv" / "bin"
    pip = (programs / "python", "-m", "pip", "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "-c", ROOT / "constraints.txt", source, cwd=folder)
    return programs


@pytest.mark.slow
def test_the_core_alone_fuses(installed: Path, tmp_path: Path) -> None:
    files = save_bracket(tmp_path, height=120, width=160, suffix=".jpg")
    printed = run(installed / "ghostless", "fuse", *files, "-o", "out.jpg", cwd=tmp_path)
    assert "reference" in printed
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.size == (160, 120)
    run(installed / "ghostless", "fuse", *files, "-o", "out.exr", cwd=tmp_path)
    assert (tmp_path / "out.exr").stat().st_size > 1000


@pytest.mark.slow
def test_the_core_brings_no_torch_and_stays_small(installed: Path, tmp_path: Path) -> None:
    code = (
        "import importlib.util as u, sysconfig; assert u.find_spec('torch') is None; "
        "import ghostless; print(sysconfig.get_path('purelib'))"
    )
    packages = Path(run(installed / "python", "-c", code, cwd=tmp_path).strip())
    tools = ("pip", "setuptools")  # they come with the environment, not with us
    size = sum(
        file.stat().st_size
        for file in packages.rglob("*")
        if file.is_file() and not file.relative_to(packages).parts[0].startswith(tools)
    )
    print(f"core: {size / 1e6:.0f} MB")
    assert size < LARGEST_BYTES, f"{size / 1e6:.0f} MB"


@pytest.mark.slow
def test_import_and_help_are_quick(installed: Path, tmp_path: Path) -> None:
    # Seconds of processor time: what others do on the machine is not in them.
    code = "import time; a = time.process_time(); import ghostless; print(time.process_time() - a)"
    imports = [float(run(installed / "python", "-c", code, cwd=tmp_path)) for _ in range(5)]
    helps = []
    for _ in range(7):
        start = seconds_of_children()
        assert "fuse" in run(installed / "ghostless", "--help", cwd=tmp_path)
        helps.append(seconds_of_children() - start)
    told = f"import {statistics.median(imports):.3f} s, help {statistics.median(helps):.3f} s"
    print(told)
    assert statistics.median(imports) < 0.5, told
    assert statistics.median(helps) < 0.3, told
