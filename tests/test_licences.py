"""The page of licences: every dependency stands on it, and what its wheel holds that is not free of
conditions."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = {
    "The core": PROJECT["dependencies"],
    **{f"`{name}`": packages for name, packages in PROJECT["optional-dependencies"].items()},
}
LIBRARY = re.compile(r"(?:lib)?([A-Za-z0-9+-]+?)(?:[-_.].*)?\.(?:so|dll|dylib)")
# Libraries under the GPL or LGPL, or under terms of their own: whose wheel holds one must say so.
CONDITIONS = (
    *("x264", "x265", "heif", "de265", "kvazaar", "fdk-aac", "mp3lame", "xvid"),
    *("avcodec", "avformat", "avutil", "avfilter", "swscale", "swresample", "postproc"),
    *("ssl", "crypto", "raw", "jasper", "gfortran", "quadmath", "gomp", "mkl", "iomp5"),
    *("Qt", "lzo", "gsl", "fftw", "imagequant", "exiv2", "fribidi", "cairo", "glib", "vips"),
)


def section(name: str) -> str:
    found = re.search(rf"^## {re.escape(name)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/licences.md: no section {name}"
    return found[1]


def rows(name: str) -> dict[str, list[str]]:
    """The cells of a section's table by the package's name."""
    table = re.findall(r"^\| `([^`]+)` \|(.*)\|$", section(name), re.MULTILINE)
    return {package: [cell.strip() for cell in rest.split("|")] for package, rest in table}


def names(requirements: list[str]) -> list[str]:
    found = [re.match(r"[A-Za-z0-9_.-]+", each) for each in requirements]
    return [match[0] for match in found if match is not None and match[0] != "ghostless"]


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_dependency_stands_under_its_extra(extra: str) -> None:
    told = rows(extra)
    assert set(told) == set(names(EXTRAS[extra]))
    for package, (looked_at, licence, *_) in told.items():
        assert looked_at, package
        assert licence, package


def test_the_page_has_no_other_extras() -> None:
    assert re.findall(r"^## (.+)$", PAGE, re.MULTILINE)[0] == "The core"
    assert set(re.findall(r"^## (.+)$", PAGE, re.MULTILINE)) == set(EXTRAS)
    for extra, packages in EXTRAS.items():
        for brought in re.findall(r"ghostless\[(.+?)\]", " ".join(packages)):
            assert f"[`{brought}`](#{brought})" in section(extra)


@pytest.mark.parametrize(
    "package", sorted({name for packages in EXTRAS.values() for name in names(packages)})
)
def test_what_a_wheel_holds_under_conditions_is_told(package: str) -> None:
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    libraries = {
        match[1]
        for file in files
        if (
            match := re.match(r"(?:lib)?([A-Za-z0-9+-]+?)(?:[-_.].*)?\.(?:so|dll|dylib)", file.name)
        )
    }
    under_conditions = {
        name
        for name in CONDITIONS
        for library in libraries
        if library.lower() == name.lower() or library.lower().rstrip("0123456789") == name.lower()
    }
    told = " ".join(
        " ".join(rows(extra)[package]) for extra in EXTRAS if package in rows(extra)
    ).lower()
    for name in under_conditions:
        assert name.lower() in told, f"docs/licences.md: {package} holds {name}"


def test_the_look_for_libraries_finds_those_that_are_known() -> None:
    """So that the test above is not content for finding nothing."""
    pytest.importorskip("pillow_heif", reason="needs the extra heif")
    names = {Path(str(file)).name for file in importlib.metadata.files("pillow-heif") or []}
    if not any("x265" in name for name in names):
        pytest.skip("this wheel holds no x265")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "PAGE", PAGE.replace("libx265", "another"))
        with pytest.raises(AssertionError, match="pillow-heif holds x265"):
            test_what_a_wheel_holds_under_conditions_is_told("pillow-heif")


def test_the_page_is_led_to() -> None:
    assert "(docs/licences.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "(licences.md)" in (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert "licences.md" in (ROOT / "docs" / "command.md").read_text(encoding="utf-8")
