"""One vocabulary: every setting is reached by its name from every face, and means the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ghostless import cli, presets
from ghostless.cli.told import NOT_OF_BATCH
from ghostless.errors import OptionError
from ghostless.methods import METHODS
from ghostless.options import (
    ALIASES,
    FuseOptions,
    canonical,
    from_words,
    line_settings,
    with_values,
)
from ghostless.research.bench.contenders import _OF_THE_RUN, parse_contenders
from ghostless.settings import Setting, settings_of
from ghostless.tone.controls import ToneControls

MERTENS = METHODS["mertens"]
DEBEVEC = METHODS["debevec"]


def another(setting: Setting) -> tuple[str, Any]:
    """A value that is not the default, as text and as it is."""
    if setting.of_texts:
        return "0:one.png,none:two.png", ("0:one.png", "none:two.png")
    if setting.names_a_file:
        return "some.txt", Path("some.txt")
    if bool in setting.kinds:
        return ("off", False) if setting.default is True else ("on", True)
    if setting.choices:
        last = [choice for choice in setting.choices if choice != setting.default][-1]
        return str(last), last
    if tuple in setting.kinds:
        count = setting.length or 3
        return ",".join(["1.5"] * count), (1.5,) * count
    limits = setting.range
    low = 1 if limits is None or limits.low == float("-inf") else limits.low
    number = low if low != setting.default else low + 1
    if float in setting.kinds:
        number = float(number)
        number += 0.25
        return str(number), number
    return str(int(number)), int(number)


def value_of(options: FuseOptions, name: str) -> Any:
    group, dot, field = name.partition(".")
    if not dot:
        return getattr(options, group)
    group = "method_settings" if group in ("method", *METHODS) else group
    return getattr(getattr(options, group), field)


NAMES = sorted(line_settings())
OWN = [f"method.{name}" for name in settings_of(MERTENS.load()[1])]


def setting(name: str) -> Setting:
    own = settings_of(MERTENS.load()[1])
    return line_settings().get(name) or own[name.partition(".")[2]]


def asked(words: list[str], monkeypatch: pytest.MonkeyPatch) -> FuseOptions:
    """The options that `ghostless fuse` runs with."""
    begun: list[FuseOptions] = []

    def fuse(files: Any, out: Path, options: FuseOptions, **named: Any) -> None:
        begun.append(options)
        raise OptionError("reached")

    monkeypatch.setattr("ghostless.pipeline.fuse_files", fuse)
    cli.run(words)
    assert begun, words
    return begun[0]


def asked_of_a_folder(words: list[str], monkeypatch: pytest.MonkeyPatch) -> FuseOptions:
    """The options that `ghostless batch` runs with."""
    begun: list[FuseOptions] = []

    def find(asked: Any) -> None:
        begun.append(asked.options)
        raise OptionError("reached")

    monkeypatch.setattr("ghostless.cli.folders._find_brackets", find)
    cli.run(words)
    assert begun, words
    return begun[0]


def asked_on_the_page(name: str, value: Any) -> FuseOptions:
    """The options of a job, or of a download, that the page asks for."""
    from ghostless.web.requests import ExportRequest, FuseRequest, fuse_options, write_settings

    group, dot, field = name.partition(".")
    plain = list(value) if isinstance(value, tuple) else value
    method = {"method": "debevec"} if group == "tone_map" else {}
    if group == "write":
        wanted: dict[str, Any] = {"format": ".avif", field: plain}
        request = ExportRequest.model_validate(wanted).model_dump()
        return FuseOptions(write=write_settings(request))
    asked: dict[str, Any] = {group: {field: plain} if dot else plain}
    if dot and group == "method":
        asked = {"method": "mertens", "method_settings": {field: plain}}
    return fuse_options(FuseRequest.model_validate({**method, **asked}).model_dump(), 1)


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"looked at by nobody")
    return str(path)


def needed(name: str) -> list[str]:
    """The method that a setting does something with."""
    return ["--method", "debevec"] if name.startswith("tone_map.") else []


@pytest.mark.parametrize("name", [*NAMES, *OWN])
def test_every_setting_by_every_face(
    name: str, photo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    text, value = another(setting(name))
    method = METHODS[value] if name == "method" else MERTENS
    by_words = from_words([f"{name}={text}"], method)
    assert value_of(by_words, name) == value
    assert with_values(FuseOptions(), {name: value}, method) == by_words
    assert value_of(from_words([f"{name.replace('_', '-')}={text}"], method), name) == value
    # The command, by --set and by a preset of its own.
    if name != "method":
        words = ["fuse", photo, "-o", str(tmp_path / "out.jpg"), *needed(name)]
        told = asked([*words, "--set", f"{name}={text}"], monkeypatch)
        assert value_of(told, name) == value
        path = tmp_path / "mine.toml"
        plain = str(value) if isinstance(value, Path) else value
        plain = list(plain) if isinstance(plain, tuple) else plain
        path.write_text(f'"{name}" = {json.dumps(plain)}\n')
        assert value_of(asked([*words, "--preset", str(path)], monkeypatch), name) == value
    # Whole folders.
    if name != "method" and name.partition(".")[0] not in NOT_OF_BATCH:
        words = ["batch", str(tmp_path), "-o", str(tmp_path / "out"), *needed(name)]
        told = asked_of_a_folder([*words, "--set", f"{name}={text}"], monkeypatch)
        assert value_of(told, name) == value
        told = asked_of_a_folder([*words, "--preset", str(path)], monkeypatch)
        assert value_of(told, name) == value
    # The benchmark.
    if name not in (*_OF_THE_RUN, "stops") and "," not in text and not needed(name):
        (contender,) = parse_contenders(f"mertens:{name}={text}")
        assert value_of(contender.options(still=False), name) == value


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_value_names_the_setting(name: str) -> None:
    if setting(name).names_a_file:
        return
    with pytest.raises(OptionError, match=f"{name}: expected"):
        from_words([f"{name}=//"], MERTENS)


# What names files, what the server sets itself, what comes by an upload of its own, and what is
# decided by a download's form.
NOT_OF_THE_PAGE = (
    "read.",
    "stops_file",
    "report",
    "save_stages",
    "hdr",
    "gains",
    "keep",
    "write.overwrite",
)


@pytest.mark.parametrize("name", [n for n in (*NAMES, *OWN) if not n.startswith(NOT_OF_THE_PAGE)])
def test_every_setting_by_the_page(name: str) -> None:
    pytest.importorskip("fastapi", reason="needs the extra web")
    _, value = another(setting(name))
    if name == "method":
        value = "debevec"
    if name == "write.depth":
        value = 10
    assert value_of(asked_on_the_page(name, value), name) == value


def test_the_page_has_every_setting_of_these_steps() -> None:
    pytest.importorskip("fastapi", reason="needs the extra web")
    from ghostless.web.requests import ExportRequest, FuseRequest

    request = FuseRequest.model_json_schema()
    for group, model in (
        ("align", "AlignSettings"),
        ("deghost", "DeghostSettings"),
        ("tone_map", "ToneMapSettings"),
        ("tone", "ToneControls"),
    ):
        properties = request["$defs"][model]["properties"]
        names = {name.partition(".")[2] for name in NAMES if name.startswith(f"{group}.")}
        assert set(properties) == names
        assert all("description" in known for known in properties.values())
    assert {"quality", "depth"} <= set(ExportRequest.model_fields)


def test_short_names_stand_for_settings_that_there_are() -> None:
    for short, name in ALIASES.items():
        assert canonical(short) == canonical(short.replace("_", "-")) == name
        group, _, field = name.partition(".")
        if group != "method":
            assert name in line_settings()
        else:
            assert any(
                field in settings_of(method.load()[1])
                for method in METHODS.values()
                if field not in ("quality", "weights", "device") or method.needs_extra
            )


def test_a_table_of_a_methods_name_is_for_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[mertens]\nlevels = 4\n[debevec]\nweighting = "hat"\n[deghost]\nmode = "off"\n'
    )
    found = presets.read_preset(str(path))
    assert found.for_method(MERTENS) == {"levels": 4}
    assert found.for_method(DEBEVEC) == {"weighting": "hat"}
    assert found.beside_method() == {"deghost.mode": "off"}
    for text, said in (
        ("[mertens]\nlevel = 4", "did you mean 'levels'"),
        ("[mertens]\nlevels = 0", "mertens.levels: expected paper or a whole number"),
        ("[mertns]\nlevels = 4", "unknown option 'mertns'"),
        ("deghost.sensitivity = 9", "deghost.sensitivity: expected a number from 0.25 to 4"),
        ('crop = true\n"align.crop" = true', "once"),
    ):
        path.write_text(text)
        with pytest.raises(OptionError, match=said):
            presets.read_preset(str(path))


def test_what_a_command_does_not_do_is_refused(photo: str, capsys: Any) -> None:
    for command, word in (
        ("align", "deghost.sensitivity=2"),
        ("align", "write.quality=90"),
        ("deghost", "tone_map.operator=drago"),
        ("batch", "stops=1,2"),
        ("fuse", "deghost.sensitivity=2"),
    ):
        words = [command, photo, "-o", "out.jpg" if command == "fuse" else "out"]
        off = ["--deghost", "off"] if command == "fuse" else []
        assert cli.run([*words, *off, "--set", word]) == 2
        line = capsys.readouterr().err
        assert f"--set {word.partition('=')[0]}: expected" in line
        assert "leave" in line


def test_help_is_on_one_screen_the_daily_first(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.run(["fuse", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 45
    titles = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    groups = ["Daily:", "Photos:", "Fusing:", "Tone:", "Networks:", "Results:"]
    assert titles == ["Arguments:", *groups]
    tone = lines[lines.index("Tone:") : lines.index("Networks:")]
    for name in settings_of(ToneControls):
        assert any(f"--{name}" in line for line in tone)
    assert any("--align" in line for line in lines[: lines.index("Photos:")])
