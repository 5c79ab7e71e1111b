"""Every method's page shows where the method fails, on pictures of our own."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ghostless.demo import BRACKET
from ghostless.methods import METHODS
from ghostless.nn.weights import has_weights

DOCS = Path(__file__).resolve().parents[1] / "docs"


def _failures() -> Any:
    """docs/failures.py, which finds its neighbours as a script does."""
    spec = importlib.util.spec_from_file_location("docs_failures", DOCS / "failures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    sys.path.insert(0, str(DOCS))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(DOCS))
    return module


failures = _failures()


@pytest.mark.parametrize("name", METHODS)
def test_a_page_shows_where_its_method_fails(name: str) -> None:
    page = (DOCS / "methods" / f"{name}.md").read_text(encoding="utf-8")
    method = METHODS[name]
    known = method.weights is None or has_weights(method.weights) or method.published
    if not known:
        assert "no picture shows where it fails" in page
        return
    assert f"](../images/fails/{name}.jpg)" in page
    assert " ".join(failures.FAILURES[name].seen.split()) in " ".join(page.split())
    with Image.open(failures.FAILS / f"{name}.jpg") as picture:
        assert picture.width == 2 * failures._WIDTH + failures._GAP


def test_pictures_are_small_and_all_are_shown() -> None:
    files = list(failures.FAILS.iterdir())
    assert {file.stem for file in files} == set(failures.FAILURES)
    assert max(file.stat().st_size for file in files) < 40_000


def test_a_picture_is_of_the_demo_alone(tmp_path: Path) -> None:
    for name, failure in failures.FAILURES.items():
        assert failure.beside in METHODS
        left, top, right, lower = failure.box
        assert 0 <= left < right <= 1200, name
        assert 0 <= top < lower <= 800, name
        assert all((BRACKET / file).is_file() for file in failures._PHOTOS[failure.photos])


@pytest.mark.slow
def test_a_picture_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "FAILS", tmp_path / "fails")
    monkeypatch.setattr("sys.argv", ["failures.py", "--fused", str(tmp_path), "gff"])
    failures.main()
    assert {path.name for path in tmp_path.glob("*.png")} == {"mertens_two.png", "gff_two.png"}
    with Image.open(tmp_path / "fails" / "gff.jpg") as picture:
        assert picture.height == 181
