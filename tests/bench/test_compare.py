"""One bracket by many methods on a page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ghostless import cli
from ghostless.methods import METHODS
from ghostless.research.bench.compare import wanted

from .. import scenes
from ..files import save_photo


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("bracket")
    radiance = scenes.make_radiance(120, 160, seed=4)
    files = []
    for index, stops in enumerate((-2.0, 0.0, 2.0)):
        files.append(str(folder / f"IMG_{index}.jpg"))
        save_photo(Path(files[-1]), scenes.expose(radiance, stops), stops=stops)
    return files


def test_a_page_shows_every_method_with_its_scores(
    photos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page"
    words = ["compare", *photos, "-o", str(out), "--methods", "mertens,gff,opencv-mertens"]
    assert cli.run([*words, "--still", "-q", "--jobs", "1"]) == 0
    page = (out / "compare.html").read_text()
    for label in ("mertens", "gff", "opencv-mertens"):
        assert f">{label}</span> · MEF_SSIM 0.9" in page
        assert (out / "fused" / label / "IMG_0.png").is_file()
    assert page.count("· Crushed ") == page.count("· Blown ") == 3
    assert page.count("photo 1") >= 2
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")

    # What is there is not fused again; other metrics may be asked for.
    capsys.readouterr()
    words[words.index("--methods") + 1] = "mertens"
    assert cli.run([*words, "--still", "--json", "-q", "--metrics", "MI", "--jobs", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "MI" in json.dumps(told)


def test_words_stand_for_what_can_run_here() -> None:
    use, every = (wanted(word).split(",") for word in ("use", "all"))
    assert {"mertens", "debevec", "opencv-mertens"} <= set(use) < set(every)
    assert all(METHODS[name].group == "use" for name in use if name in METHODS)
    assert wanted("mertens,gff") == "mertens,gff"


def test_what_is_no_method_is_said_at_once(
    photos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", *photos, "-o", str(tmp_path / "page"), "--methods", "mertans"]
    assert cli.run(words) != 0
    assert "did you mean 'mertens'" in capsys.readouterr().err
    assert not (tmp_path / "page").exists()
