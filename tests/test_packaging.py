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

from ghostless.methods import METHODS, Method
from ghostless.nn.weights import has_weights

from .files import save_bracket, seconds_of_children

ROOT = Path(__file__).resolve().parents[1]
# Code and libraries; the networks' weights, which come in the package, have a budget of their own.
LARGEST_CORE_BYTES = 400e6
LARGEST_WEIGHTS_BYTES = 64e6
# onnxruntime and what it needs.
LARGEST_NETWORKS_BYTES = 150e6


def ships(method: Method) -> bool:
    """Whether it runs without torch: all do but networks to compare with."""
    if method.needs_extra and method.group == "compare":
        return False
    return not method.network or has_weights(method.name)


def run(*words: str | Path, cwd: Path, **more: str) -> str:
    """Run a program away from this checkout; return its output, fail with its errors."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= more
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
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as the file that an index would hand out."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    litter = shutil.ignore_patterns("*.egg-info", "__pycache__")
    shutil.copytree(ROOT / "src", source / "src", ignore=litter)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--quiet", "--no-deps", "-w", folder, source, cwd=folder)
    (found,) = folder.glob("ghostless-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the programs of an environment that holds the core and nothing else."""
    folder = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    programs = folder / "venv" / "bin"
    pip = (programs / "python", "-m", "pip", "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "-c", ROOT / "constraints.txt", wheel, cwd=folder)
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
    # These come with the environment, not with us.
    tools = ("pip", "setuptools", "pkg_resources")
    sizes = {"core": 0, "weights": 0}
    for file in packages.rglob("*"):
        if file.is_file() and not file.relative_to(packages).parts[0].startswith(tools):
            sizes["weights" if file.suffix == ".safetensors" else "core"] += file.stat().st_size
    told = ", ".join(f"{part} {size / 1e6:.0f} MB" for part, size in sizes.items())
    print(told)
    assert sizes["core"] < LARGEST_CORE_BYTES, told
    assert 0 < sizes["weights"] < LARGEST_WEIGHTS_BYTES, told


@pytest.fixture(scope="module")
def with_networks(installed: Path, wheel: Path) -> tuple[Path, int]:
    """The same environment with the extra `networks`, and how many bytes that brought."""
    folder = installed.parent
    before = bytes_of(folder)
    pip = (installed / "python", "-m", "pip", "--disable-pip-version-check")
    extra = f"{wheel}[networks]"
    run(*pip, "install", "--quiet", "-c", ROOT / "constraints.txt", extra, cwd=folder)
    return installed, bytes_of(folder) - before


def bytes_of(folder: Path) -> int:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files)


@pytest.mark.slow
def test_the_networks_bring_little_and_no_torch(
    with_networks: tuple[Path, int], tmp_path: Path
) -> None:
    programs, brought = with_networks
    print(f"networks {brought / 1e6:.0f} MB")
    assert 1e6 < brought < LARGEST_NETWORKS_BYTES
    code = "import importlib.util as u; print([u.find_spec(name) for name in ('torch', 'sympy')])"
    assert run(programs / "python", "-c", code, cwd=tmp_path).strip() == "[None, None]"


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if ships(method)])
def test_with_the_networks_every_method_that_ships_runs(
    name: str, with_networks: tuple[Path, int], tmp_path: Path
) -> None:
    programs, _ = with_networks
    # Of networks a size that they run on a proxy of.
    size = {"height": 800, "width": 1200} if METHODS[name].extra else {"height": 96, "width": 128}
    files = save_bracket(tmp_path, suffix=".jpg", **size)
    files = files[: METHODS[name].frames[1]]
    fast = ["--quality", "fast"] if METHODS[name].extra else []
    words = ["fuse", *files, "-o", "out.jpg", "--method", name, "--json", *fast]
    printed = run(programs / "ghostless", *words, cwd=tmp_path)
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.size == (size["width"], size["height"])
        assert max(high - low for low, high in image.getextrema()) > 100
    assert ("quality fast: the network ran on" in printed) == bool(fast)


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


@pytest.mark.slow
def test_the_data_beside_the_code_comes_along(installed: Path, tmp_path: Path) -> None:
    told = run(installed / "ghostless", "presets", cwd=tmp_path)
    assert "realestate" in told
    code = (
        "from pathlib import Path; import ghostless; "
        "home = Path(ghostless.__file__).parent; "
        "names = 'py.typed', 'web/static/index.html', 'research/bench/page.css'; "
        "print(*(home / name for name in names))"
    )
    for name in run(installed / "python", "-c", code, cwd=tmp_path).split():
        assert Path(name).is_file(), name


@pytest.mark.slow
@pytest.mark.parametrize("installer", ["pipx", "uv"])
def test_it_installs_as_a_program_of_its_own(installer: str, wheel: Path, tmp_path: Path) -> None:
    program = shutil.which(installer)
    if program is None:
        pytest.skip(f"{installer} is not installed")
    programs = tmp_path / "programs"
    if installer == "pipx":
        words = ["install", "--python", sys.executable]
        where = {"PIPX_HOME": "home", "PIPX_BIN_DIR": "programs", "PIPX_MAN_DIR": "man"}
    else:
        words = ["tool", "install", "--no-cache", "--python", sys.executable]
        where = {"UV_TOOL_DIR": "home", "UV_TOOL_BIN_DIR": "programs"}
    folders = {name: str(tmp_path / folder) for name, folder in where.items()}
    run(program, *words, wheel, cwd=tmp_path, **folders)
    files = save_bracket(tmp_path, suffix=".jpg")
    run(programs / "ghostless", "fuse", *files, "-o", "out.jpg", cwd=tmp_path)
    assert (tmp_path / "out.jpg").stat().st_size > 500
