"""Every option and every method: what the method cannot use is refused, by every face that has it.

What is right is written down here by the facts of the tables, not by the rules under test.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ghostless import presets
from ghostless.cli import run
from ghostless.deghost import DeghostSettings
from ghostless.errors import OptionError
from ghostless.io.encode import OUTPUT_FORMATS
from ghostless.io.write import WriteSettings
from ghostless.methods import METHODS, Method
from ghostless.methods.debevec import DebevecSettings
from ghostless.options.chosen import choose_method
from ghostless.options.unused import RULES, check_unused, without_unused
from ghostless.pipeline import FuseOptions, fuse_files, prepare_files
from ghostless.settings import settings_of
from ghostless.tone.controls import ToneControls
from ghostless.tone.operators import OPERATORS
from ghostless.tone.tonemap import ToneMapSettings

from .files import save_bracket

Capture = pytest.CaptureFixture[str]

OF_MERTENS = ("contrast", "saturation", "well_exposedness")
OF_PICTURES = ("--highlights", "--shadows", "--contrast")
OF_ALL = ("--exposure", "--saturation", "--temperature", "--tint")
OF_NETWORKS = {"--quality": "full", "--weights": "x.safetensors", "--device": "cpu"}
LOSSY = {".jpg", ".webp", ".avif"}
SUFFIXES = [known.suffixes[0] for known in OUTPUT_FORMATS]
LINEAR = {".exr", ".hdr", ".jxl", ".dng"}
PAIRS = [
    (method, suffix)
    for method in METHODS.values()
    for suffix in SUFFIXES
    if method.output == "linear" or suffix not in LINEAR
]
IDS = [f"{method.name}{suffix}" for method, suffix in PAIRS]


class ReachedError(OptionError):
    """The run would have begun."""


@pytest.fixture
def never_begins(monkeypatch: pytest.MonkeyPatch) -> list[FuseOptions]:
    """Have runs end where they begin; gives the options that they would have had."""
    begun: list[FuseOptions] = []

    def fuse(files: Any, out: Path, options: FuseOptions, **named: Any) -> None:
        begun.append(options)
        raise ReachedError("reached")

    def scan(*words: Any, **named: Any) -> None:
        raise ReachedError("reached")

    monkeypatch.setattr("ghostless.pipeline.fuse_files", fuse)
    monkeypatch.setattr("ghostless.cli.folders.scan_folder", scan)
    return begun


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    save_bracket(folder)
    return folder


def options_and_whether_used(method: Method, suffix: str) -> list[tuple[list[str], bool]]:
    """Options of `fuse` that depend on the method or the file, and whether they do something."""
    return [
        *((["--set", f"mertens.{name}=1"], method.name == "mertens") for name in OF_MERTENS),
        *(([name, "1"], suffix not in LINEAR) for name in OF_PICTURES),
        *(([name, "1"], True) for name in OF_ALL),
        (["--strength", "0.5"], suffix not in LINEAR),
        *(
            ([name, value], name[2:] in settings_of(method.settings_class))
            for name, value in OF_NETWORKS.items()
        ),
        *(
            (["--tone-map", name], method.output == "linear" and suffix not in LINEAR)
            for name in OPERATORS
        ),
        (["--tone-map", "auto"], True),  # asks for nothing
        (["--jpeg-quality", "90"], suffix in LOSSY),
        (["--jpeg-quality", "95"], suffix in LOSSY),
        (["--deghost-by", "statistics"], not method.deghosts),
        (["--deghost-by", "network"], not method.deghosts),
        (["--deghost-by", "statistics", "--deghost", "on"], True),
        (["--deghost-by", "statistics", "--deghost", "off"], False),
        (["--deghost", "off"], True),
        (["--align", "affine"], True),
        (["--crop"], True),
        (["--reference", "1"], True),
        (["--stops", "-2,0,2"], True),
        (["--stops", "-2,0,2", "--stops-file", "ev.txt"], False),
        (["--set", "nothing=1"], False),
    ]


@pytest.mark.parametrize(("method", "suffix"), PAIRS, ids=IDS)
def test_fuse(
    method: Method,
    suffix: str,
    photos: Path,
    tmp_path: Path,
    never_begins: list[FuseOptions],
    capsys: Capture,
) -> None:
    if method.needs_extra:
        pytest.importorskip("torch")
    words = ["fuse", str(photos), "-o", str(tmp_path / f"out{suffix}"), "--method", method.name]
    for given, used in options_and_whether_used(method, suffix):
        assert run([*words, *given]) == 2
        line = capsys.readouterr().err
        assert ("reached" in line) == used, (given, line)
        if not used:
            assert line.count("\n") == 1
            assert given[0].lstrip("-").replace("-", " ") in line.replace("-", " "), line
            assert any(word in line for word in ("leave", "once", "unknown")), line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("method", "suffix"), PAIRS, ids=IDS)
def test_batch(
    method: Method,
    suffix: str,
    photos: Path,
    tmp_path: Path,
    never_begins: list[FuseOptions],
    capsys: Capture,
) -> None:
    if method.needs_extra:
        pytest.importorskip("torch")
    words = ["batch", str(photos), "-o", str(tmp_path / "out"), "--method", method.name]
    skipped = ("--stops",)  # batch has no such options
    for given, used in options_and_whether_used(method, suffix):
        if given[0] in skipped:
            continue
        assert run([*words, "--format", suffix, *given]) == 2
        line = capsys.readouterr().err
        assert ("reached" in line) == used, (given, line)


@pytest.mark.parametrize(("method", "suffix"), PAIRS, ids=IDS)
def test_the_line_itself(method: Method, suffix: str, photos: Path, tmp_path: Path) -> None:
    """For those who call it from Python: what differs from its default and does nothing."""
    files = sorted(photos.iterdir())
    wanted = [
        (
            FuseOptions(tone_map=ToneMapSettings(**{name: value})),
            method.output == "linear" and suffix not in LINEAR,
        )
        for name, value in (("operator", "drago"), ("exposure_stops", 1.0), ("saturation", 0.5))
    ]
    wanted += [(FuseOptions(write=WriteSettings(quality=90)), suffix in LOSSY)]
    for name, value in (
        ("by", "statistics"),
        ("sensitivity", 2.0),
        ("feather_pixels", 3.0),
        ("proxy_pixels", 900_000),
    ):
        changed: Any = {name: value}
        wanted += [
            (FuseOptions(deghost=DeghostSettings(**changed)), not method.deghosts),
            (FuseOptions(deghost=DeghostSettings(mode="on", **changed)), True),
            (FuseOptions(deghost=DeghostSettings(mode="off", **changed)), False),
        ]
    out = tmp_path / f"out{suffix}"
    for options, used in wanted:
        if used:
            check_unused(options, method, out)
            assert without_unused(options, method, out) == options
        else:
            with pytest.raises(OptionError):
                fuse_files(files, out, replace(options, method=method.name))
            check_unused(without_unused(options, method, out), method, out)
    assert not list(tmp_path.iterdir())


def test_every_setting_of_the_line_has_been_thought_of() -> None:
    """A new setting of these must be put among the rules, or here: it always does something."""
    always = {"mode", "depth", "overwrite"}  # a depth that a format has not is refused by it
    ruled = {rule.field for rule in RULES if rule.field}
    always |= {"exposure", "saturation", "temperature", "tint"}  # of pictures and of radiance
    settings = (DeghostSettings, WriteSettings, ToneControls)
    fields = {name for each in settings for name in each.__dataclass_fields__}
    assert fields == always | ruled


def test_settings_of_another_method_and_two_sources_of_exposures(photos: Path) -> None:
    with pytest.raises(OptionError, match="expected settings of the class MertensSettings"):
        fuse_files(
            sorted(photos.iterdir()),
            "x.jpg",
            FuseOptions(method="mertens", method_settings=DebevecSettings()),
        )
    with pytest.raises(OptionError, match="--stops-file"):
        prepare_files(sorted(photos.iterdir()), FuseOptions(stops=(1,), stops_file=Path("x")))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--contrast", "1", "--set", "contrast=0.5"], "--contrast too"),
        (["--saturation", "1", "--set", "saturation=1"], "--saturation too"),
        (["--shadows", "1", "--set", "tone.shadows=1"], "--shadows too"),
        (["--set", "contrast=1", "--set", "contrast=1"], "twice"),
        (["--set", "well-exposedness=1", "--set", "well_exposedness=1"], "twice"),
    ],
)
def test_a_setting_given_twice_is_refused(
    given: list[str], said: str, photos: Path, never_begins: list[FuseOptions], capsys: Capture
) -> None:
    for words in (["fuse", str(photos), "-o", "x.jpg"], ["batch", str(photos), "-o", "x"]):
        assert run([*words, *given]) == 2
        assert said in capsys.readouterr().err


def test_networks_settings_given_twice_too(
    photos: Path, never_begins: list[FuseOptions], capsys: Capture
) -> None:
    pytest.importorskip("torch")
    words = ["fuse", str(photos), "-o", "x.jpg", "--method", "lcndr"]
    for name, value in OF_NETWORKS.items():
        assert run([*words, name, value, "--set", f"{name[2:]}={value}"]) == 2
        assert f"{name} too" in capsys.readouterr().err


def test_what_a_preset_sets_and_this_run_cannot_use_is_left_out(
    photos: Path, tmp_path: Path, never_begins: list[FuseOptions], capsys: Capture
) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        'tone-map = "drago"\njpeg-quality = 80\ndeghost-by = "statistics"\ncontrast = 0.5\n'
    )
    for out, given, expected in (
        ("a.png", [], FuseOptions(deghost=DeghostSettings(by="statistics"))),
        ("a.exr", ["--deghost", "off"], FuseOptions(deghost=DeghostSettings(mode="off"))),
        (
            "a.jpg",
            ["--method", "debevec"],
            FuseOptions(
                tone_map=ToneMapSettings("drago"),
                write=WriteSettings(quality=80),
                deghost=DeghostSettings(by="statistics"),
            ),
        ),
    ):
        words = ["fuse", str(photos), "-o", str(tmp_path / out), "--preset", str(mine), *given]
        assert run(words) == 2
        assert "reached" in capsys.readouterr().err
        found = never_begins[-1]
        assert (found.tone_map, found.write, found.deghost) == (
            expected.tone_map,
            expected.write,
            expected.deghost,
        )
    # What is given beside it is not.
    words = ["fuse", str(photos), "-o", str(tmp_path / "a.png"), "--preset", str(mine)]
    assert run([*words, "--tone-map", "reinhard"]) == 2
    assert "--tone-map: expected a method whose result is radiance" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('method = "mertens"\ntone-map = "drago"', "tone-map"),
        ('method = "debevec"\nwell-exposedness = 1', "well-exposedness"),
        ('method = "debevec"\nquality = "full"', "quality"),
        ('method = "mertens"\ndevice = "cpu"', "device"),
        ('method = "lcndr"\nlevels = 1', "levels"),
        ('method = "hdr-gan"\ndeghost-by = "statistics"', "deghost-by"),
        ('deghost = "off"\ndeghost-by = "statistics"', "deghost-by"),
    ],
)
def test_a_preset_that_contradicts_itself_is_refused(
    text: str, said: str, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(OptionError, match=f"{said}: expected"):
        presets.read_preset(str(path))


def test_the_command_for_deghosting_does_some(
    photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = ["deghost", str(photos), "-o", str(tmp_path / "out"), "--deghost", "off"]
    assert run(words) == 2
    assert "ghostless align" in capsys.readouterr().err
    for command in ("align", "deghost"):
        for option in ("--tone-map", "--contrast", "--jpeg-quality", "--method", "--depth"):
            assert run([command, str(photos), "-o", str(tmp_path / "out"), option, "1"]) == 2
            assert f"no such option: {option}" in capsys.readouterr().err.lower()
    assert run(["align", str(photos), "-o", str(tmp_path / "o"), "--deghost-by", "network"]) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", METHODS)
def test_the_page(name: str) -> None:
    pytest.importorskip("fastapi", reason="needs the extra web")
    from ghostless.web.requests import FuseRequest, check_fuse_request, fuse_options

    method = METHODS[name]
    if (why_not := method.why_not_here()) is not None:
        pytest.skip(why_not)
    for asked, used in (
        ({"tone_map": {"operator": "drago"}}, method.output == "linear"),
        ({"tone_map": {"saturation": 0.5}}, method.output == "linear"),
        ({"tone_map": {"exposure_stops": 0.5}}, method.output == "linear"),
        ({"tone_map": {}}, True),
        ({"deghost": {"by": "statistics"}}, not method.deghosts),
        ({"deghost": {"sensitivity": 2.0}}, not method.deghosts),
        ({"deghost": {"sensitivity": 2.0, "mode": "off"}}, False),
        ({"deghost": {"sensitivity": 2.0, "mode": "on"}}, True),
        ({"method_settings": {"contrast": 0.5}}, name == "mertens"),
        ({"method_settings": {"quality": "full"}}, method.needs_extra),
    ):
        request = FuseRequest.model_validate({"method": name, **asked}).model_dump()
        if used:
            assert check_fuse_request(request, 3) is method
            # An export of radiance leaves out what is for the picture.
            out = Path("result.exr")
            options = fuse_options({**request, "method_settings": {}}, 1, ".exr")
            check_unused(options, choose_method(options.method, out), out)
        else:
            with pytest.raises(OptionError):
                check_fuse_request(request, 3)


def test_an_export_has_a_quality_where_its_format_has() -> None:
    pytest.importorskip("fastapi", reason="needs the extra web")
    from ghostless.web.requests import ExportRequest, check_export_request

    for suffix in SUFFIXES:
        request = ExportRequest.model_validate({"format": suffix, "quality": 90}).model_dump()
        if suffix in LOSSY:
            check_export_request(request)
        else:
            with pytest.raises(OptionError, match="quality"):
                check_export_request(request)
