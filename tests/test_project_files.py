"""CITATION.cff and CHANGELOG.md: they parse, and agree with the package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ghostless import __version__
from ghostless.methods import METHODS

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    found: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    return found


def test_the_citation_is_that_of_this_package(citation: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"]
    assert citation["title"].startswith("Ghostless")
    assert citation["version"] == __version__ == project["version"]
    assert citation["license"] == project["license"]
    assert citation["authors"] == project["authors"]


def test_every_network_names_its_paper(citation: dict[str, Any]) -> None:
    """The table's one line has family names, title, venue and year: so has the reference."""
    networks = {
        method.name: method for method in METHODS.values() if method.network and method.paper
    }
    papers = {paper["notes"].removeprefix("method "): paper for paper in citation["references"]}
    assert set(papers) == set(networks)
    for name, paper in papers.items():
        line = networks[name].paper
        authors = ", ".join(author["family-names"] for author in paper["authors"])
        assert line.startswith(f"{authors}: {paper['title']}, ")
        assert str(paper["year"]) in line
        assert paper.get("journal") or paper.get("conference")
        assert paper["type"] in ("article", "conference-paper")


def test_the_changelog_has_the_form_of_keep_a_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert versions[0] == "Unreleased"
    for version in versions[1:]:
        assert re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", version)
    assert __version__ in text
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
