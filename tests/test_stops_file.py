"""Exposures from text files beside the photos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostless.bracket import Frame
from ghostless.errors import FileReadError
from ghostless.exposure.stops_file import find_stops_file, read_stops_file, stops_from_file

from . import scenes


@pytest.mark.parametrize(
    "content",
    [
        b"-2\r\n0\r\n2",
        b"-2\n0\n2\n\n",
        b"-2,0,2",
        b"-2; 0; 2;\n",
        b"\xef\xbb\xbf-2\t0\t+2.0\n",
        b"# stops\n-2 # dark\n0\n2e0\n",
        b"320,80,20\r\n-2,0,2",
    ],
)
def test_files_as_people_write_them(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ev.txt"
    path.write_bytes(content)
    assert read_stops_file(path, 3) == (-2, 0, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found none"),
        (b"\n# nothing\n", "found none"),
        (b"1\n2\n", "expected 3 exposures .* found 1 and 1|found 2"),
        (b"1,2,3\n1,2", "expected 3 exposures"),
        (b"1\ntwo\n3\n", "line 2: .* found 'two'"),
        (b"1\nnan\n3\n", "line 2"),
        (b"1\n1e400\n3\n", "line 2"),
        (b"320,80,20", "shutter times are no stops"),
        (b"\xff\xfe\x00\x01", "text file"),
        (b"1 " * 40_000, "bytes"),
    ],
)
def test_bad_content_gives_one_clear_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "ev.txt"
    path.write_bytes(content)
    with pytest.raises(FileReadError, match=message) as caught:
        read_stops_file(path, 3)
    assert "\n" not in str(caught.value)
    assert "ev.txt" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileReadError, match=r"none\.txt"):
        read_stops_file(tmp_path / "none.txt", 3)


@given(st.lists(st.floats(-15, 15), min_size=2, max_size=20), st.sampled_from("\n, ;"))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], separator: str
) -> None:
    path = tmp_path_factory.mktemp("stops") / "stops.txt"
    path.write_text(separator.join(repr(value) for value in values))
    assert read_stops_file(path, len(values)) == tuple(values)


def frames_in(folder: Path, names: list[str]) -> tuple[Frame, ...]:
    plain = scenes.make_frames(scenes.make_radiance(8, 8), (0,) * len(names), known=False)
    for name in names:
        (folder / name).touch()
    return tuple(replace(f, path=folder / name) for f, name in zip(plain, names, strict=True))


def test_values_belong_to_names_in_natural_order_whatever_order_is_given(tmp_path: Path) -> None:
    (tmp_path / "ev.txt").write_text("-2\n0\n2")
    frames = frames_in(tmp_path, ["p10.jpg", "p8.jpg", "p9.jpg"])
    assert stops_from_file(tmp_path / "ev.txt", frames) == [2, -2, 0]


def test_some_frames_of_a_folder_get_their_own_values(tmp_path: Path) -> None:
    (tmp_path / "ev.txt").write_text("-2 -1 0 1 2")
    frames = frames_in(tmp_path, ["5.png", "1.png", "2.png", "3.png", "4.png"])
    assert stops_from_file(tmp_path / "ev.txt", frames[:3]) == [2, -2, -1]
    (tmp_path / "._1.png").touch()  # which a Mac leaves beside each file on foreign disks
    assert stops_from_file(tmp_path / "ev.txt", frames[:3]) == [2, -2, -1]


def test_other_pictures_in_the_folder_do_not_disturb(tmp_path: Path) -> None:
    (tmp_path / "ev.txt").write_text("-2 0")
    frames = frames_in(tmp_path, ["a.png", "b.png", "out.jpg"])
    assert stops_from_file(tmp_path / "ev.txt", frames[:2]) == [-2, 0]


def test_a_side_file_is_found_beside_frames_of_one_folder_only(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "Input_Exp.TXT").write_text("0\n2")
    one = [tmp_path / "one" / "a.jpg", tmp_path / "one" / "b.jpg"]
    assert find_stops_file(one) == tmp_path / "one" / "Input_Exp.TXT"
    assert find_stops_file([one[0], tmp_path / "two" / "b.jpg"]) is None
    assert find_stops_file([tmp_path / "a.jpg"]) is None
    assert find_stops_file([tmp_path / "missing" / "a.jpg"]) is None
    assert find_stops_file([]) is None
