"""What results are called: patterns, and what of them is refused before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from ghostless import cli
from ghostless.batch.naming import Naming
from ghostless.batch.order import Photo
from ghostless.batch.photos import Folder, PhotoFile
from ghostless.errors import OptionError

from .folders import START, ShootFolder

SETS = [("hall/IMG_1.jpg", "hall/IMG_3.jpg"), ("IMG_4.ARW", "IMG_6.ARW")]
FOLDER = Folder(
    Path("/shoots/night"),
    {
        name: PhotoFile(Photo(name, start_seconds=START if name.startswith("hall") else None))
        for files in SETS
        for name in files
    },
)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", ["hall/IMG_1.jpg", "IMG_4.jpg"]),
        ("{first}_hdr", ["hall/IMG_1_hdr.jpg", "IMG_4_hdr.jpg"]),
        ("{first}-{last}", ["hall/IMG_1-IMG_3.jpg", "IMG_4-IMG_6.jpg"]),
        ("{folder} {number}", ["hall/hall 001.jpg", "night 002.jpg"]),
        ("{date}/{method}_{number}", ["2026-06-21/of2_001.jpg", "undated/of2_002.jpg"]),
        ("{first}.v1", ["hall/IMG_1.v1.jpg", "IMG_4.v1.jpg"]),
    ],
)
def test_patterns_name_results(pattern: str, expected: list[str]) -> None:
    assert Naming(".jpg", pattern, lambda photos: f"of{photos}").outputs(SETS, FOLDER) == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{frist}", "did you mean 'first'"),
        ("{first", "pairs of braces"),
        ("{first:>9}", "words alone in the braces"),
        ("{}", "Known: date, first"),
        ("../{first}", "below the folder of results"),
        ("/tmp/{first}", "below the folder of results"),
        ("{first}/", "below the folder of results"),
        ("a?{first}", "every system"),
        ("a\\{first}", "every system"),
    ],
)
def test_patterns_that_are_no_names_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(OptionError, match="--name") as caught:
        Naming(".jpg", pattern)
    assert message in str(caught.value)


def test_what_collides_or_is_too_long_is_refused() -> None:
    with pytest.raises(OptionError, match=r"found night/x\.jpg for those of .*\{first\} or"):
        Naming(".jpg", "night/x").outputs(SETS, FOLDER)
    with pytest.raises(OptionError, match="shorter"):
        Naming(".jpg", "x" * 300 + "{number}").outputs(SETS, FOLDER)


def test_the_command_refuses_collisions_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shoot = ShootFolder(tmp_path / "shoot")
    shoot.bracket()
    shoot.bracket()
    out = tmp_path / "out"
    assert cli.run(["batch", str(shoot.folder), "-o", str(out), "--name", "{date}"]) == 2
    printed, line = capsys.readouterr()
    assert (printed, line.count("\n")) == ("", 1)
    assert "2026-06-21.jpg for those of IMG_0001.jpg and IMG_0004.jpg" in line
    assert not out.exists()
    words = ["batch", str(shoot.folder), "-o", str(out), "--align", "none", "--deghost", "off"]
    assert cli.run([*words, "-q", "--name", "{date}_{number}_{method}"]) == 0
    assert {path.name for path in out.glob("*.jpg")} == {
        f"2026-06-21_{number}_mertens.jpg" for number in ("001", "002")
    }
