"""What a folder holds, the plan made from it, and the plan as CSV."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import pytest

from ghostless.batch.photos import scan_folder
from ghostless.batch.plan import Plan, make_plan, read_plan, write_plan
from ghostless.batch.segments import GroupSettings
from ghostless.errors import FileReadError, OptionError, OutputError
from ghostless.pipeline import fuse_files

from ..files import save_bracket
from .folders import ShootFolder


@pytest.fixture
def shoot(tmp_path: Path) -> ShootFolder:
    return ShootFolder(tmp_path / "shoot")


def planned(root: Path, **how: object) -> Plan:
    return make_plan(scan_folder(root, **how), GroupSettings(), ".jpg")  # type: ignore[arg-type]


def files_of(plan: Plan) -> list[tuple[str, ...]]:
    return [bracket.files for bracket in plan.brackets]


def test_exif_tells_brackets_and_single_shots(shoot: ShootFolder) -> None:
    first, single, second = shoot.bracket(), shoot.single(), shoot.bracket()
    plan = planned(shoot.folder)
    assert files_of(plan) == [tuple(f.name for f in files) for files in (first, second)]
    assert [bracket.output for bracket in plan.brackets] == ["IMG_0001.jpg", "IMG_0005.jpg"]
    assert plan.rest == {single.name: ("single", "no other photo belongs to it")}


def test_photos_without_exif_are_grouped_by_their_pixels(shoot: ShootFolder) -> None:
    groups = [shoot.bracket(exif=False), shoot.bracket((0.0, -2.0, 2.0), exif=False)]
    groups += [shoot.bracket(), [shoot.bracket((0.0,), exif=False)[0]], shoot.bracket(exif=False)]
    expected = [tuple(f.name for f in files) for files in groups if len(files) > 1]
    assert files_of(planned(shoot.folder)) == expected


def test_every_file_is_accounted_for(shoot: ShootFolder) -> None:
    files = shoot.bracket()
    root = shoot.folder
    (root / "notes.txt").write_text("the client wants it brighter")
    (root / "clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(40))
    (root / ".DS_Store").write_bytes(b"x")
    (root / "empty.jpg").write_bytes(b"")
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    (root / "sub").mkdir()
    (root / "sub" / "IMG_0001.jpg").write_bytes(files[0].read_bytes())
    fuse_files(files, root / "old.jpg")
    os.symlink(root / "nowhere.jpg", root / "lost.jpg")
    plan = planned(root)
    assert files_of(plan) == [("IMG_0001.jpg", "IMG_0002.jpg", "IMG_0003.jpg")]
    statuses = {name: status for name, (status, _) in plan.rest.items()}
    assert statuses == {
        "notes.txt": "not a photo",
        "clip.mp4": "not a photo",
        ".DS_Store": "not a photo",
        "empty.jpg": "damaged",
        "broken.jpg": "damaged",
        "lost.jpg": "damaged",
        "sub/IMG_0001.jpg": "single",
        "old.jpg": "left out",
    }
    assert plan.rest["old.jpg"][1] == "made by Ghostless"
    assert plan.rest["clip.mp4"][1] == "a video"


def test_of_two_files_of_one_shot_one_counts(shoot: ShootFolder) -> None:
    from PIL import Image

    jpegs = shoot.bracket()
    for jpeg in jpegs:
        with Image.open(jpeg) as image:
            image.save(jpeg.with_suffix(".TIF"), exif=image.getexif())
    names = tuple(jpeg.name for jpeg in jpegs)
    tiffs = tuple(jpeg.with_suffix(".TIF").name for jpeg in jpegs)
    plan = planned(shoot.folder)
    assert files_of(plan) == [tiffs]
    assert {name: status for name, (status, _) in plan.rest.items()} == dict.fromkeys(names, "pair")
    assert files_of(planned(shoot.folder, prefer="jpeg")) == [names]
    with pytest.raises(OptionError, match="'raw' or 'jpeg'"):
        planned(shoot.folder, prefer="png")


def test_results_and_an_unreadable_folder(shoot: ShootFolder, tmp_path: Path) -> None:
    files = shoot.bracket()
    out = shoot.folder / "fused"
    out.mkdir()
    (out / "IMG_0001.jpg").write_bytes(files[0].read_bytes())
    plan = planned(shoot.folder, skip=out)
    assert plan.rest == {}
    with pytest.raises(FileReadError, match="found none"):
        scan_folder(tmp_path / "nothing")


def test_a_damaged_photo_keeps_its_bracket_from_being_fused_without_it(shoot: ShootFolder) -> None:
    for _ in range(4):
        files = shoot.bracket()
    files[1].write_bytes(b"\0" * 500)
    plan = planned(shoot.folder)
    assert len(plan.brackets) == 4
    assert "damaged" in plan.brackets[3].problem
    assert not any(bracket.problem for bracket in plan.brackets[:3])


def test_names_do_not_collide(tmp_path: Path) -> None:
    for suffix in (".jpg", ".png"):
        save_bracket(tmp_path / "a", suffix=suffix, exif=False, seed=len(suffix))
    for file in (tmp_path / "a").glob("*.png"):
        file.rename(file.with_name(file.name.upper()))
    for folder in ("b", "c"):
        save_bracket(tmp_path / folder)
    outputs = [bracket.output.casefold() for bracket in planned(tmp_path).brackets]
    assert len(outputs) == len(set(outputs)) >= 3
    assert {"b/frame_1.jpg", "c/frame_1.jpg"} <= set(outputs)


# ---- CSV ----


def saved(shoot: ShootFolder, path: Path) -> list[dict[str, str]]:
    folder = scan_folder(shoot.folder)
    write_plan(make_plan(folder, GroupSettings(), ".jpg"), folder, path)
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"))))


def write_rows(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    table.writeheader()
    table.writerows(rows)
    path.write_text(text.getvalue())


def test_a_plan_comes_back_as_it_was_written(shoot: ShootFolder, tmp_path: Path) -> None:
    for _ in range(3):
        shoot.bracket()
    shoot.single()
    (shoot.folder / "notes.txt").write_text("x")
    path = tmp_path / "groups.csv"
    rows = saved(shoot, path)
    assert len(rows) == 11
    folder = scan_folder(shoot.folder)
    before = make_plan(folder, GroupSettings(), ".jpg")
    after = read_plan(path, folder, ".jpg")
    assert after.brackets == before.brackets
    assert set(after.rest) == set(before.rest)
    with pytest.raises(OutputError, match="exists"):
        saved(shoot, path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_an_edited_plan_is_followed(shoot: ShootFolder, tmp_path: Path, delimiter: str) -> None:
    for _ in range(2):
        shoot.bracket((-4.0, -2.0, 0.0, 2.0, 4.0))
    path = tmp_path / "groups.csv"
    rows = saved(shoot, path)
    rows[0]["output"] = "kitchen"  # a name of one's own
    for row in rows[3:5]:
        row["group"] = "detail"  # two photos become a bracket of their own
    rows[9]["group"] = ""  # one is left out
    write_rows(path, rows[:9] + rows[9:], delimiter)
    plan = read_plan(path, scan_folder(shoot.folder), ".tif")
    assert [(b.output, len(b.files)) for b in plan.brackets] == [
        ("kitchen.tif", 3), ("IMG_0004.tif", 2), ("IMG_0006.jpg", 4)
    ]  # fmt: skip
    assert plan.rest == {"IMG_0010.jpg": ("left out", "in no group of the plan")}


def test_photos_that_a_plan_does_not_know_are_told(shoot: ShootFolder, tmp_path: Path) -> None:
    shoot.bracket()
    path = tmp_path / "groups.csv"
    saved(shoot, path)
    new = shoot.single()
    plan = read_plan(path, scan_folder(shoot.folder), ".jpg")
    assert plan.rest == {new.name: ("left out", "not in the plan")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,set\na,1\n", "the columns file and group"),
        ("", "the columns file and group"),
        ("file,group\nIMG_0001.jpg,1\nIMG_0001.jpg,2\n", "line 3: expected each file once"),
        ("file,group\nIMG_9.jpg,1\n", "IMG_9.jpg which is not there"),
        ("file,group,output\nIMG_0001.jpg,1,../x.jpg\n", "below the folder of results"),
        ("file,group,output\nIMG_0001.jpg,1,/tmp/x.jpg\n", "below the folder of results"),
        (
            "file,group,output\nIMG_0001.jpg,1,x.jpg\nIMG_0002.jpg,1,\n"
            "IMG_0003.jpg,2,X.jpg\nIMG_0004.jpg,2,\n",
            "an output of its own",
        ),
        ('file,group\n"IMG', "damaged"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused_in_one_line(
    shoot: ShootFolder, tmp_path: Path, text: str, message: str
) -> None:
    shoot.bracket((-3.0, -1.0, 1.0, 3.0))
    path = tmp_path / "groups.csv"
    path.write_text(text)
    with pytest.raises((OptionError, FileReadError), match=message) as error:
        read_plan(path, scan_folder(shoot.folder), ".jpg")
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
