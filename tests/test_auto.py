"""What "auto" takes, for every face, and with whose settings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ghostless
from ghostless import FuseOptions, cli
from ghostless.batch.consistent import measure
from ghostless.batch.photos import Folder
from ghostless.batch.plan import Planned
from ghostless.deghost import DeghostSettings
from ghostless.methods.learned_fusion import LearnedFusionSettings
from ghostless.methods.mertens import MertensSettings
from ghostless.methods.table import AUTO
from ghostless.options.chosen import auto_methods, choose_method, method_of, settings_for
from ghostless.settings import settings_of
from tests.files import save_bracket

PICTURE, LIGHT = Path("out.jpg"), Path("out.exr")
STILL = FuseOptions(deghost=DeghostSettings("off"))


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return save_bracket(tmp_path / "photos", height=64, width=96, suffix=".png")


@pytest.mark.parametrize(
    ("out", "count", "expected"),
    [
        (PICTURE, 2, "learned-fusion"),
        (PICTURE, 3, "mertens"),
        (PICTURE, 7, "mertens"),
        (PICTURE, None, "mertens"),
        (LIGHT, 2, "debevec"),
        (LIGHT, 3, "debevec"),
    ],
)
def test_the_file_and_the_number_of_photos_decide(
    out: Path, count: int | None, expected: str
) -> None:
    assert choose_method("auto", out, count).name == expected
    assert choose_method("gff" if out == PICTURE else "debevec", out, count).name != "mertens"


@pytest.mark.parametrize(
    ("own", "count", "expected"),
    [
        (MertensSettings(levels=3), 2, "mertens"),
        (LearnedFusionSettings(curve=False), 3, "learned-fusion"),
        ((MertensSettings(levels=3), LearnedFusionSettings(curve=False)), 2, "learned-fusion"),
        ((MertensSettings(levels=3), LearnedFusionSettings(curve=False)), 3, "mertens"),
        ((MertensSettings(levels=3),), 2, "learned-fusion"),
    ],
)
def test_settings_of_one_method_choose_it_those_of_several_wait_for_it(
    own: object, count: int, expected: str
) -> None:
    options = FuseOptions(method_settings=own)
    method = method_of(options, PICTURE, count)
    assert method.name == expected
    among = own if isinstance(own, tuple) else (own,)
    fitting = [each for each in among if isinstance(each, method.settings_class)]
    assert settings_for(options, method) == (fitting[0] if fitting else None)


def test_no_setting_of_autos_methods_has_two_owners() -> None:
    # A setting that is asked for chooses the method that has it.
    for space in AUTO:
        methods = auto_methods(PICTURE if space == "display" else LIGHT)
        names = [name for method in methods for name in settings_of(method.settings_class)]
        assert len(names) == len(set(names))


@pytest.mark.parametrize(("count", "expected"), [(2, "learned-fusion"), (3, "mertens")])
def test_a_run_takes_it_and_tells_so(
    photos: list[Path], tmp_path: Path, count: int, expected: str
) -> None:
    report = ghostless.fuse_files(photos[:count], tmp_path / "auto.png", STILL)
    assert (report.method, report.settings["method"]) == (expected, "auto")
    named = replace(STILL, method=expected)
    assert ghostless.fuse_files(photos[:count], tmp_path / "named.png", named).method == expected
    assert (tmp_path / "auto.png").read_bytes() == (tmp_path / "named.png").read_bytes()


def test_arrays_are_counted_too(photos: list[Path]) -> None:
    frames = [ghostless.read_frame(path).pixels for path in photos]
    for count, name in ((2, "learned-fusion"), (3, "mertens")):
        found = ghostless.fuse(frames[:count], STILL)
        np.testing.assert_array_equal(
            found.pixels, ghostless.fuse(frames[:count], STILL, method=name).pixels
        )


def test_what_is_set_chooses_the_method_that_has_it(
    photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for count, word, expected in ((2, "levels=3", "mertens"), (3, "curve=false", "learned-fusion")):
        out, told = tmp_path / f"{count}.png", tmp_path / f"{count}.json"
        words = ["--deghost", "off", "--set", word, "--report", str(told)]
        assert cli.run(["fuse", *map(str, photos[:count]), "-o", str(out), *words]) == 0
        assert f'"method": "{expected}"' in told.read_text()
    words = ["--set", "levels=3", "--set", "curve=false"]
    assert cli.run(["fuse", *map(str, photos[:2]), "-o", str(tmp_path / "n.png"), *words]) == 2
    assert "curve" in capsys.readouterr().err


def test_a_preset_holds_for_whichever_is_taken(photos: list[Path], tmp_path: Path) -> None:
    preset = tmp_path / "mine.toml"
    preset.write_text('summary = "both"\nmertens.levels = 3\nlearned-fusion.curve = false\n')
    for count, expected in ((2, {"curve": False, "weights": None}), (3, {"levels": 3})):
        out, told = tmp_path / f"{count}.png", tmp_path / f"{count}.json"
        words = ["--preset", str(preset), "--deghost", "off", "--report", str(told)]
        assert cli.run(["fuse", *map(str, photos[:count]), "-o", str(out), *words]) == 0
        used = json.loads(told.read_text())["settings"]["method_settings"]
        assert expected.items() <= used.items()


def test_a_preset_for_one_method_chooses_it(photos: list[Path], tmp_path: Path) -> None:
    # Its numbers were found with that method.
    told = tmp_path / "told.json"
    words = ["--preset", "landscape", "--report", str(told)]
    assert cli.run(["fuse", *map(str, photos[:2]), "-o", str(tmp_path / "o.jpg"), *words]) == 0
    assert json.loads(told.read_text())["method"] == "mertens"


def test_sets_of_two_are_measured_as_they_are_fused(photos: list[Path], tmp_path: Path) -> None:
    folder = Folder(photos[0].parent, {})
    names = [path.name for path in photos[:2]]
    planned = Planned(1, tuple(names), "out.jpg")
    auto, learned, plain = (
        measure(planned, folder, PICTURE, replace(STILL, method=name)).brightness
        for name in ("auto", "learned-fusion", "mertens")
    )
    assert auto == learned != plain
