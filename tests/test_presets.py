"""Presets: what they set, who wins, the user's own, and what is said of a wrong one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ghostless import cli, presets
from ghostless.errors import FileReadError, OptionError
from ghostless.methods import get_method

from .files import contents, save_bracket

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of presets, not there yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "ghostless" / "presets"


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    return [str(file) for file in save_bracket(tmp_path / "photos")]


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def settings_of(words: list[str], capsys: Capture) -> dict[str, Any]:
    """What a run by the command was told, from its own account."""
    assert cli.run([*words, "--json"]) == 0, capsys.readouterr().err
    told: dict[str, Any] = json.loads(capsys.readouterr().out)["settings"]
    return told


def test_the_shipped_presets_are_valid_and_say_what_they_are() -> None:
    found = {preset.name: preset for preset in presets.list_presets()}
    assert {"realestate", "landscape", "vfx"} <= set(found)
    for preset in found.values():
        assert preset.summary
        assert preset.options
        assert preset.origin == "shipped"


@pytest.mark.parametrize("name", presets.preset_names())
def test_every_shipped_preset_fuses(
    name: str, photos: list[str], tmp_path: Path, capsys: Capture
) -> None:
    preset = presets.read_preset(name)
    out = tmp_path / "out.jpg"
    told = settings_of(["fuse", *photos, "-o", str(out), "--preset", name], capsys)
    assert out.exists()
    assert told["deghost"]["mode"] == preset.options.get("deghost", "auto")
    assert told["align"]["model"] == preset.options.get("align", "auto")
    assert told["align"]["crop"] == preset.options.get("crop", False)
    assert told["method"] == preset.options.get("method", "auto")
    assert told["tone_map"]["operator"] == preset.options.get("tone_map", "auto")
    assert told["write"]["quality"] == preset.options.get("jpeg_quality", 95)
    for option in ("contrast", "saturation", "well_exposedness"):
        if f"mertens.{option}" in preset.options:
            assert told["method_settings"][option] == preset.options[f"mertens.{option}"]
    for option in told["tone"]:
        assert told["tone"][option] == preset.options.get(option, float(option == "strength"))


def test_an_explicit_option_wins(
    own: Path, photos: list[str], tmp_path: Path, capsys: Capture
) -> None:
    write(own, "mine", 'deghost = "off"\nalign = "none"\ncontrast = 5\nmertens.saturation = 0\n')
    words = ["fuse", *photos, "-o", str(tmp_path / "out.png")]
    told = settings_of([*words, "--align", "shift", "--contrast", "2", "--preset", "mine"], capsys)
    assert told["align"]["model"] == "shift"
    assert told["deghost"]["mode"] == "off"
    assert told["tone"]["contrast"] == 2
    assert told["method_settings"]["saturation"] == 0
    # Given explicitly although it is the default.
    told = settings_of([*words, "--overwrite", "--preset", "mine", "--deghost", "auto"], capsys)
    assert told["deghost"]["mode"] == "auto"


def test_settings_of_another_method_do_not_disturb(
    own: Path, photos: list[str], tmp_path: Path, capsys: Capture
) -> None:
    write(own, "mine", 'mertens.contrast = 0.5\nquality = "fast"\ndevice = "cpu"\n')
    words = ["fuse", *photos, "--preset", "mine", "-o", str(tmp_path / "out.exr")]
    assert settings_of(words, capsys)["method_settings"] is None
    assert presets.read_preset("mine").for_method(get_method("mertens")) == {"contrast": 0.5}


def test_a_preset_never_turns_off_what_the_command_is_for(
    photos: list[str], tmp_path: Path, capsys: Capture
) -> None:
    words = ["deghost", *photos, "-o", str(tmp_path / "clean"), "--preset", "tripod"]
    told = settings_of(words, capsys)
    assert (told["deghost"]["mode"], told["align"]["model"]) == ("on", "none")
    words = ["align", *photos, "-o", str(tmp_path / "aligned"), "--preset", "tripod"]
    assert settings_of(words, capsys)["align"]["model"] == "auto"


def test_a_user_adds_presets_and_replaces_shipped_ones(own: Path, capsys: Capture) -> None:
    write(own, "church", 'summary = "Old stones"\ntone-map = "drago"\nreference = 1\n')
    write(own, "vfx", "depth = 32\n")
    assert cli.run(["presets", "--json"]) == 0
    found = {preset["name"]: preset for preset in json.loads(capsys.readouterr().out)}
    assert found["church"]["options"] == {"tone_map": "drago", "reference": 1}
    assert found["church"]["summary"] == "Old stones"
    assert found["church"]["file"] == str(own / "church.toml")
    assert found["vfx"]["origin"] == "yours"
    assert found["vfx"]["options"] == {"depth": 32}
    assert found["landscape"]["origin"] == "shipped"
    assert cli.run(["presets"]) == 0
    printed = capsys.readouterr().out
    assert "church (yours): Old stones" in printed
    assert str(own) in printed


def test_a_path_is_taken_as_one(photos: list[str], tmp_path: Path, capsys: Capture) -> None:
    path = write(tmp_path / "elsewhere", "two words", 'deghost = "off"\n')
    words = ["fuse", *photos, "-o", str(tmp_path / "out.png"), "--preset", str(path)]
    assert settings_of(words, capsys)["deghost"]["mode"] == "off"


def test_without_a_home_the_shipped_ones_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "not/absolute")
    monkeypatch.setenv("HOME", "/nowhere")
    assert presets.user_folder() == Path("/nowhere/.config/ghostless/presets")
    assert "vfx" in presets.preset_names()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('algin = "none"', "unknown option 'algin': did you mean 'align'"),
        ('align = "homograpy"', "found 'homograpy'; did you mean 'homography'?"),
        ('method = "mertns"', "found 'mertns'; did you mean 'mertens'?"),
        ("method = 3", "method: expected one of auto, mertens"),
        ('crop = "yes"', "crop: expected true or false, found 'yes'"),
        ("jpeg-quality = 101", "jpeg-quality: expected a whole number from 1 to 100, found 101"),
        ("jpeg-quality = true", "jpeg-quality: expected a whole number"),
        ("contrast = -101", "contrast: expected a number from -100 to 100, found -101"),
        ("contrast = nan", "contrast: expected a number from -100 to 100, found nan"),
        ("mertens.contrast = -1", "contrast: expected a number of 0 or more, found -1"),
        ('reference = "first"', "reference: expected a whole number from 0 to 19"),
        ("device = 0", "device: expected text"),
        ("summary = 1", "expected summary to be text"),
        ("[fuse]\nalign = 1", "unknown option 'fuse'"),
        ("align = none", "expected a preset in TOML, found a mistake"),
        ("\ud800", "expected a preset in TOML"),
        ("# " + "x" * 70_000, "found a file of more than"),
    ],
)
def test_a_wrong_preset_is_one_line_that_names_the_file(
    text: str, found: str, own: Path, photos: list[str], tmp_path: Path, capsys: Capture
) -> None:
    own.mkdir(parents=True)
    (own / "bad.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    before = contents(tmp_path)
    words = ["fuse", *photos, "-o", str(tmp_path / "out.png"), "--preset", "bad"]
    assert cli.run(words) == 2
    error = capsys.readouterr().err
    assert found in error
    assert str(own / "bad.toml") in error
    assert error.count("\n") == 1
    assert contents(tmp_path) == before


def test_unknown_names_and_missing_files() -> None:
    with pytest.raises(OptionError, match="unknown preset 'landscap': did you mean 'landscape'"):
        presets.read_preset("landscap")
    with pytest.raises(FileReadError, match=r"nowhere\.toml: expected a preset"):
        presets.read_preset("nowhere.toml")


def test_the_pages_example_and_table_are_right(own: Path) -> None:
    text = (Path(__file__).resolve().parents[1] / "docs" / "command.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    write(own, "example", example)
    assert presets.read_preset("example").options["jpeg_quality"] == 98
    for preset in presets.list_presets():
        if preset.origin == "shipped":
            (row,) = re.findall(rf"^\| `{preset.name}` \|(.*)$", text, re.MULTILINE)
            for option in preset.options:
                assert f"`{option.replace('_', '-')}`" in row
