"""Builds the files for a package index, looks at what is in them, and installs each clean.

`make wheel` runs it: python -m tests.packages dist. It needs git, `build` and `twine`.

The address of the project is in one place, that of whoever hands it out: `REPOSITORY`, as in
`make wheel REPOSITORY=https://example.org/owner/ghostless`, or git's remote `origin`. The page that
an index shows has nothing beside it: there the README's links become whole ones to that address,
and the names of files where there is none.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
LITTER = ("__pycache__", ".pyc", ".egg-info/SOURCES.txt~", ".DS_Store", ".venv", ".git/")


def run(*words: str | Path, cwd: Path = ROOT) -> str:
    """Run a program; its output, or the end of what it said as the reason to stop."""
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode:
        told = (done.stdout + done.stderr)[-3000:]
        raise SystemExit(f"{' '.join(map(str, words))} failed:\n{told}")
    return done.stdout


def known_files() -> set[str]:
    """Every file that git knows."""
    return set(run("git", "ls-files", "-z").split("\0")) - {""}


def repository() -> str | None:
    """The project's address, without a slash at its end; None where nobody told one."""
    told = os.environ.get("REPOSITORY", "")
    if not told:
        remote = ("git", "remote", "get-url", "origin")
        told = subprocess.run(remote, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    address = told.strip().removesuffix("/").removesuffix(".git")
    return address if re.fullmatch(r"https://[^\s@]+", address) else None


def for_an_index(readme: str, address: str | None) -> str:
    """The README without relative links: whole ones below an address, or the names of files."""

    def link(match: re.Match[str]) -> str:
        picture, text, target = match.groups()
        if target.startswith(("https://", "http://")):
            return match[0]
        if address is None:
            return "" if picture else f"{text} (`{target}`)"
        kind = "raw" if picture else "tree" if target.endswith("/") else "blob"
        return f"{picture}[{text}]({address}/{kind}/main/{target})"

    return re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", link, readme)


def urls(address: str) -> str:
    """What pyproject.toml says of an address."""
    return f"""
[project.urls]
Repository = "{address}"
Documentation = "{address}/blob/main/docs/README.md"
Changelog = "{address}/blob/main/CHANGELOG.md"
Issues = "{address}/issues"
"""


def build(out: Path) -> tuple[Path, Path]:
    """Build the source archive, and the wheel from it, out of a copy of the known files."""
    for old in out.glob("ghostless-*"):
        old.unlink()
    with tempfile.TemporaryDirectory() as scratch:
        for name in known_files():
            copy = Path(scratch, name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((ROOT / name).read_bytes())
        address, readme = repository(), Path(scratch, "README.md")
        readme.write_text(for_an_index(readme.read_text("utf-8"), address), "utf-8")
        if address is None:
            print("no address of the project: the page on an index links nothing (REPOSITORY=...)")
        else:
            with Path(scratch, "pyproject.toml").open("a", encoding="utf-8") as facts:
                facts.write(urls(address))
        run(sys.executable, "-m", "build", "--outdir", out, scratch)
    (source,), (wheel,) = out.glob("ghostless-*.tar.gz"), out.glob("ghostless-*.whl")
    return source, wheel


def check(source: Path, wheel: Path) -> None:
    """Stop unless both hold the whole package and nothing else, and an index can show the page."""
    with tarfile.open(source) as archive:
        files = [member.name for member in archive.getmembers() if member.isfile()]
        in_source = {name.partition("/")[2] for name in files}
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
    package = {name.removeprefix("src/") for name in known_files() if name.startswith("src/")}
    for what, missing in (
        ("the wheel lacks", package - in_wheel),
        ("the archive lacks", {f"src/{name}" for name in package} - in_source),
        ("the archive lacks", {"README.md", "LICENSE", "pyproject.toml"} - in_source),
        ("the wheel should not have", {n for n in in_wheel if any(each in n for each in LITTER)}),
        ("the archive should not have", {n for n in in_source if any(x in n for x in LITTER)}),
        (
            "the wheel should not have",
            {n for n in in_wheel if not PurePosixPath(n).parts[0].startswith("ghostless")},
        ),
    ):
        if missing:
            raise SystemExit(f"{what}: {', '.join(sorted(missing)[:9])}")
    run(sys.executable, "-m", "twine", "check", "--strict", source, wheel)


def install(file: Path, scratch: Path) -> str:
    """Install one of them alone, fuse the bracket that comes with it, and tell the version."""
    environment = scratch / file.name
    run(sys.executable, "-m", "venv", environment)
    programs = environment / ("Scripts" if sys.platform == "win32" else "bin")
    pip = (programs / "python", "-m", "pip", "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "-c", ROOT / "constraints.txt", file, cwd=scratch)
    run(*pip, "check", cwd=scratch)
    code = "import ghostless.demo, pathlib; print(pathlib.Path(ghostless.demo.__file__).parent)"
    demo = Path(run(programs / "python", "-c", code, cwd=scratch).strip()) / "bracket"
    photos = [demo / f"TRIPOD_{number}.jpg" for number in (1, 2, 3)]
    out = scratch / f"{file.name}.jpg"
    run(programs / "ghostless", "fuse", *photos, "-o", out, "--preset", "tripod", cwd=scratch)
    if not out.is_file():
        raise SystemExit(f"{file.name}: installed, but it fused nothing")
    return run(programs / "ghostless", "--version", cwd=scratch).strip()


def main(out: Path) -> None:
    """Build, check and install; tell of each."""
    out.mkdir(parents=True, exist_ok=True)
    source, wheel = build(out)
    check(source, wheel)
    with tempfile.TemporaryDirectory() as scratch:
        for file in (wheel, source):
            version = install(file, Path(scratch))
            print(f"{file}: {file.stat().st_size / 1e6:.1f} MB, checked; installed, {version}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "dist").resolve())
