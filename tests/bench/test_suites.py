"""The suites: which photos of a scene are fused, the published table, who takes part."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ghostless.errors import BracketError, FileReadError, OptionError
from ghostless.research.bench.contenders import parse_contenders
from ghostless.research.bench.suites import MEFB_COLUMNS, SUITES, chosen_scenes, read_published
from ghostless.research.metrics.table import METRICS

from ..files import save_bracket


def copies(folder: Path, source: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(source, folder / name)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bracket(tmp_path_factory.mktemp("photo"), height=16, width=16)[0]


def test_two_frames_are_the_darkest_and_the_brightest(tmp_path: Path, photo: Path) -> None:
    files = save_bracket(tmp_path / "s", height=64, width=64, stops=(0.0, 3.0, -3.0, 1.0))
    shutil.copy(photo, tmp_path / "s" / "label.png")
    (scene,) = SUITES["sice"].find(tmp_path, "two")
    assert scene.files == (files[2], files[1])
    assert scene.truth == tmp_path / "s" / "label.png"


@pytest.mark.parametrize("suite", SUITES)
def test_a_missing_or_empty_folder_is_told(suite: str, tmp_path: Path) -> None:
    with pytest.raises(FileReadError, match="nothing"):
        SUITES[suite].find(tmp_path / "none", "all")
    with pytest.raises(BracketError, match="expected folders"):
        SUITES[suite].find(tmp_path, "all")


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_suites_name_metrics_that_exist(suite) -> None:  # type: ignore[no-untyped-def]
    assert suite.headline in suite.metrics
    assert set(suite.metrics) - {"HDR_VDP2"} <= set(METRICS)


def test_published_scores_are_read_by_our_names(tmp_path: Path) -> None:
    table = tmp_path / "published.csv"
    table.write_text("pair,method,CE,MEFSSIM\nHouse,FMMEF,2.5,0.98\nOffice,FMMEF,3,\n")
    assert read_published(table) == {
        "FMMEF": {"House": {"Cross_entropy": 2.5, "MEF_SSIM": 0.98}, "Office": {"Cross_entropy": 3}}
    }


@pytest.mark.parametrize(
    "text", ["", "pair,method\n", "a,b\n1,2\n", "pair,method,CE\nHouse,X,many\n"]
)
def test_a_bad_published_table_is_told(text: str, tmp_path: Path) -> None:
    table = tmp_path / "published.csv"
    table.write_text(text)
    with pytest.raises(FileReadError, match=r"published\.csv: expected"):
        read_published(table)
    with pytest.raises(FileReadError, match="cannot be read"):
        read_published(tmp_path / "none.csv")


def test_the_shared_published_table_has_21_methods(shared: Path) -> None:
    table = read_published(shared / "mefb30" / "published.csv")
    assert len(table) == 21
    scenes = {scene.name for scene in SUITES["mefb"].find(shared / "mefb30", "all")}
    for rows in table.values():
        assert set(rows) == scenes
        assert all(set(values) <= set(MEFB_COLUMNS.values()) for values in rows.values())


def test_unknown_scenes_are_answered_with_the_near_ones(tmp_path: Path, photo: Path) -> None:
    copies(tmp_path / "House", photo, "under.png", "over.png")
    scenes = SUITES["mefb"].find(tmp_path, "all")
    assert chosen_scenes(scenes, None) == scenes
    with pytest.raises(OptionError, match="did you mean 'House'"):
        chosen_scenes(scenes, ("Hose",))


def test_methods_are_read_with_their_settings() -> None:
    plain, clipped, mapped, tool = parse_contenders(
        "mertens, mertens:overshoot=clip,levels=3,debevec:tone_map=reinhard,opencv-mertens"
    )
    assert (plain.label, plain.kind, tool.kind) == ("mertens", "method", "outside")
    settings = clipped.options(still=True).method_settings
    assert (settings.overshoot, settings.levels) == ("clip", 3)
    assert mapped.options(still=True).tone_map.operator == "reinhard"
    assert mapped.linear
    assert not clipped.linear
    (finer,) = parse_contenders("mertens:deghost.sensitivity=2,overshoot=clip")
    assert finer.options(still=False).deghost.sensitivity == 2
    assert finer.options(still=False).method_settings.overshoot == "clip"
    still, moving = plain.options(still=True), plain.options(still=False)
    assert (still.align.model, still.deghost.mode) == ("none", "off")
    assert (moving.align.model, moving.deghost.mode) == ("auto", "auto")
    assert len({c.slug for c in (plain, clipped, mapped, tool)}) == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "found none"),
        ("mertns", "did you mean 'mertens'"),
        ("enfuze", "did you mean 'enfuse'"),
        ("mertens:overshot=clip", "did you mean 'overshoot'"),
        ("mertens:overshoot=gone", "method.overshoot: expected one of shoulder, clip"),
        ("mertens:deghost.sensitivty=2", "did you mean 'deghost.sensitivity'"),
        ("mertens:deghost.sensitivity=9", "expected a number from 0.25 to 4"),
        ("mertens:method=debevec", "settings of fusing"),
        ("mertens:levels=many", "found 'many'"),
        ("mertens:clip", "name=value"),
        ("mertens:tone_map=reinhard", "linear output"),
        ("debevec:tone_map=renhard", "did you mean 'reinhard'"),
        ("opencv-mertens:levels=3", "no settings"),
    ],
)
def test_wrong_methods_and_settings_are_told(text: str, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        parse_contenders(text)
