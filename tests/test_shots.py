"""Which files make a bracket: each shot once, all in one light, and no earlier result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from ghostless import cli
from ghostless.bracket import Bracket, Metadata
from ghostless.deghost import DeghostSettings
from ghostless.errors import BracketError
from ghostless.exposure.reference import choose_reference
from ghostless.io.encode import OUTPUT_FORMATS
from ghostless.io.read import read_facts
from ghostless.io.shots import Shot, choose_shots, photos_in, same_shots, shot_name
from ghostless.pipeline import FuseOptions, align_files, fuse_files, prepare_files

from . import scenes
from .files import save_bracket

FAST = ["--align", "none", "--deghost", "off"]

# ---- pairs ----

PAIRS = [
    ("IMG_1234.CR3", "IMG_1234.JPG"),
    ("PXL_20240505_100000123.RAW-02.ORIGINAL.dng", "PXL_20240505_100000123.RAW-01.COVER.jpg"),
    ("PXL_20240505_100000123.RAW-02.ORIGINAL.dng", "PXL_20240505_100000123.RAW-01.MP.COVER.jpg"),
    ("PXL_20240505_100000123.dng", "PXL_20240505_100000123.MP.jpg"),
    ("PXL_20240505_100000123.dng", "PXL_20240505_100000123.NIGHT.jpg"),
    ("IMG_20240505_100000.dng", "MVIMG_20240505_100000.jpg"),
    ("20240505_100000.dng", "20240505_100000.jpg"),  # Samsung
    ("20240505_100000_RAW.dng", "20240505_100000.heic"),
    ("IMG_1234.DNG", "IMG_1234.HEIC"),  # iPhone
    ("IMG_20240505_100000.dng", "IMG_20240505_100000_HDR.jpg"),  # Huawei, Xiaomi
    ("RAW_20240505_100000.dng", "IMG_20240505_100000.jpg"),
    ("IMG20240505100000.dng", "IMG20240505100000.jpg"),
    ("DSC_0001-RAW.dng", "DSC_0001.jpg"),
]
OTHERS = [
    ("IMG_1234.CR3", "IMG_1235.JPG"),
    ("PXL_20240505_100000123.RAW-02.ORIGINAL.dng", "PXL_20240505_100001123.RAW-01.COVER.jpg"),
    ("IMG_20240505_100000_1.dng", "IMG_20240505_100000_2.jpg"),
    ("a/IMG_1.dng", "b/IMG_1.jpg"),
]


def kind_of(name: str) -> Shot:
    raw = name.lower().endswith((".dng", ".cr3"))
    return Shot("raw" if raw else "heif" if name.lower().endswith("heic") else "jpeg", 100.0)


@pytest.mark.parametrize(("raw", "other"), PAIRS)
def test_names_of_cameras_and_phones(raw: str, other: str) -> None:
    shots = {other: kind_of(other), raw: kind_of(raw)}
    assert same_shots(shots) == {other: raw}
    assert same_shots(shots, "jpeg") == {raw: other}
    late = replace(shots[other], start_seconds=109.0)
    assert same_shots({**shots, other: late}) == {}
    untold = {name: replace(shot, start_seconds=None) for name, shot in shots.items()}
    assert same_shots(untold) == {other: raw}


@pytest.mark.parametrize(("raw", "other"), OTHERS)
def test_names_of_two_shots(raw: str, other: str) -> None:
    assert same_shots({raw: kind_of(raw), other: kind_of(other)}) == {}


def test_two_jpegs_of_alike_names_are_two_shots() -> None:
    names = ("PXL_1.PORTRAIT-01.COVER.jpg", "PXL_1.PORTRAIT-02.ORIGINAL.jpg", "PXL_1.jpg")
    assert same_shots({name: kind_of(name) for name in names}) == {}


def test_three_files_of_one_shot() -> None:
    names = ("X.RAW-01.COVER.jpg", "X.dng", "X.jpg")
    assert same_shots({name: kind_of(name) for name in names}) == {
        "X.RAW-01.COVER.jpg": "X.dng", "X.jpg": "X.dng"
    }  # fmt: skip


def test_a_name_of_nothing_but_marks_is_kept() -> None:
    assert shot_name("_HDR.jpg") == "_hdr"
    assert shot_name("RAW.dng") == "raw"


def raw_pairs(shared: Path) -> list[Path]:
    folder = shared / "cases" / "raw_and_jpeg"
    if not folder.is_dir():
        pytest.skip("needs the cases in ../shared/data")
    return sorted(folder.iterdir())


def test_fuse_takes_each_shot_once(shared: Path) -> None:
    files = raw_pairs(shared)
    stops = (-2.0, -2.5, 0.0, 0.5, 2.0, 2.5)  # in the order of the files: dng, jpg, dng ...
    bracket = prepare_files(files, FuseOptions(stops=stops))
    assert [frame.name for frame in bracket.frames] == ["IMG_1.dng", "IMG_2.dng", "IMG_3.dng"]
    assert bracket.stops == (-2.0, 0.0, 2.0)
    assert "IMG_1.jpg: the same shot as IMG_1.dng, which counts" in bracket.notes
    # One RAW file is missing: the JPEGs hold all shots.
    chosen = choose_shots([file for file in files if file.name != "IMG_2.dng"])
    assert [file.name for file in chosen.files] == ["IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg"]
    with pytest.raises(BracketError, match=r"at least 2 shots.*found 1 \(IMG_1.jpg: the same shot"):
        prepare_files(files[:2])


# ---- flash ----


def save(
    path: Path, stops: float, flash: int | None = None, *, seed: int = 3, xmp: bool | None = None
) -> Path:
    exif = Image.Exif()
    details = exif.get_ifd(0x8769)
    details[0x829A] = IFDRational(1, round(2 ** (8 - stops)))
    if flash is not None:
        details[0x9209] = flash
    more = {}
    if xmp is not None:
        more["xmp"] = (
            "<x:xmpmeta xmlns:x='adobe:ns:meta/'><exif:Flash rdf:parseType='Resource'>"
            f"<exif:Fired>{xmp}</exif:Fired></exif:Flash></x:xmpmeta>"
        ).encode()
    pixels = scenes.expose(scenes.make_radiance(48, 64, seed=seed), stops)
    Image.fromarray(pixels).save(path, quality=95, exif=exif, **more)
    return path


def named(path: Path, flashes: list[int | None], xmp: list[bool] | None = None) -> list[Path]:
    return [
        save(path / f"{number}.jpg", stops, flash, xmp=xmp[number] if xmp else None)
        for number, (stops, flash) in enumerate(zip((-2.0, 0.0, 2.0, 1.0), flashes, strict=False))
    ]


@pytest.mark.parametrize(
    ("value", "fired"),
    [(0x00, False), (0x01, True), (0x05, True), (0x09, True), (0x0D, True), (0x10, False),
     (0x18, False), (0x19, True), (0x1F, True), (0x20, False), (0x41, True), (0x59, True)],
)  # fmt: skip
def test_bit_0_tells_whether_a_flash_fired(tmp_path: Path, value: int, fired: bool) -> None:
    path = save(tmp_path / "a.jpg", 0, value)
    assert read_facts(path).metadata.flash_fired is fired


@pytest.mark.parametrize(
    ("flashes", "left_out"),
    [
        ([0x10, 0x10, 0x10, 0x09], ["3.jpg"]),
        ([0x19, 0x10, 0x10], ["0.jpg"]),
        ([None, None, None, 0x5], ["3.jpg"]),
        ([0x09, 0x10, 0x19, 0x0D], ["1.jpg"]),  # a bracket by flash
        ([0x09, 0x09, 0x09], []),
        ([0x10, 0x10, None], []),
    ],
)
def test_flash_and_other_light_are_never_in_one_bracket(
    tmp_path: Path, flashes: list[int | None], left_out: list[str]
) -> None:
    files = named(tmp_path, flashes)
    chosen = choose_shots(files)
    assert [file.name for file in files if file not in chosen.files] == left_out
    assert [files[place] for place in chosen.places] == list(chosen.files)
    assert len(chosen.notes) == len(left_out)
    assert all("flash" in note for note in chosen.notes)


def test_xmp_tells_of_the_flash_where_exif_does_not(tmp_path: Path) -> None:
    files = named(tmp_path, [None] * 4, [False, False, False, True])
    assert choose_shots(files).files == tuple(files[:3])


def test_a_sidecar_tells_of_the_flash_too(tmp_path: Path) -> None:
    files = named(tmp_path, [None] * 4)
    lit = "<rdf:Description exif:Fired='True'/>"
    files[1].with_name(f"{files[1].name}.xmp").write_text(lit)
    assert choose_shots(files).files == (files[0], *files[2:])


def test_of_two_photos_the_one_by_flash_is_not_the_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = named(tmp_path, [0x10, 0x09])
    assert len(choose_shots(files).files) == 2
    words = ["fuse", *map(str, files), "-o", str(tmp_path / "out.jpg"), "-v", *FAST]
    assert cli.run(words) == 0
    printed = capsys.readouterr().out
    assert "1.jpg was lit by a flash, 0.jpg was not" in printed
    assert next(line for line in printed.splitlines() if line.startswith("0.jpg")).endswith(
        "reference"
    )


def test_a_photo_whose_exif_alone_is_overruled_is_not_the_reference() -> None:
    frames = scenes.make_frames(scenes.make_radiance(60, 80), (-2.0, -0.2, 0.0, 2.0))
    told = [
        replace(frame, metadata=Metadata(shutter_seconds=2.0**stops), stops_source="exif")
        for frame, stops in zip(frames, (-2.0, -4.0, 0.0, 2.0), strict=True)
    ]
    bracket = Bracket((told[0], replace(told[1], stops_source="pixels"), *told[2:]))
    assert choose_reference(bracket) != 1
    alone = Bracket(tuple(replace(frame, stops_source="pixels") for frame in told))
    assert choose_reference(alone) == choose_reference(Bracket(tuple(frames)))


# ---- earlier results ----


def test_a_folder_s_earlier_results_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shoot"
    files = save_bracket(folder, suffix=".jpg")
    for name in ("a.jpg", "result.png", "result.webp", "radiance.exr"):
        fuse_files(files, folder / name)
    chosen = photos_in(folder)
    assert [file.name for file in chosen.files] == [file.name for file in files]
    assert len(chosen.notes) == 4
    words = ["fuse", str(folder), "-o", str(tmp_path / "out.jpg"), "-v", *FAST]
    assert cli.run(words) == 0
    printed = capsys.readouterr().out
    assert "note: a.jpg: made by Ghostless: left out" in printed
    assert "radiance.exr: an HDR picture" in printed
    # By name, they are what they are.
    assert len(prepare_files([*files, folder / "a.jpg"]).frames) == 4


def test_frames_that_ghostless_aligned_can_be_fused(tmp_path: Path) -> None:
    files = save_bracket(tmp_path / "shoot")
    align_files(files, tmp_path / "aligned")
    assert len(photos_in(tmp_path / "aligned").files) == 3
    words = ["fuse", str(tmp_path / "aligned"), "-o", str(tmp_path / "out.jpg"), *FAST, "-q"]
    assert cli.run(words) == 0


@pytest.mark.parametrize(
    "words",
    [["batch", "", "-o", "x"], ["fuse", "a.jpg", "", "-o", "x.jpg"], ["fuse", "a.jpg", "-o", ""],
     ["fuse", "a.jpg", "--out="], [""], ["info", "--stops", "", "a.jpg"]],
)  # fmt: skip
def test_an_empty_word_is_no_folder(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(words) == 2
    errors = capsys.readouterr().err
    assert "found an empty word" in errors
    assert errors.count("\n") == 1


def test_pixels_do_not_matter_to_the_choice(tmp_path: Path) -> None:
    files = named(tmp_path, [0x10, 0x10, 0x10])
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / "plain.png")
    assert choose_shots([*files, tmp_path / "plain.png", tmp_path / "gone.jpg"]).notes == ()


@pytest.mark.parametrize(
    "suffix", [suffix for known in OUTPUT_FORMATS for suffix in known.suffixes[:1]]
)
def test_a_result_of_ours_in_a_folder_is_none_of_its_photos(tmp_path: Path, suffix: str) -> None:
    files = save_bracket(tmp_path, height=48, width=64)
    fuse_files(files, tmp_path / f"result{suffix}", FuseOptions(deghost=DeghostSettings("off")))
    assert sorted(photos_in(tmp_path).files) == sorted(files)
