"""What is fuzzed: the whole files that damage starts from, and what Ghostless does with each.

Whole files are made once, by the tests' own writers and by Ghostless itself. A target takes a
damaged file and may raise errors of `ghostless.errors`; all else is a find. `Wrong` is for what
went through but should not have.
"""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ghostless.bracket import Frame, Fused, Metadata
from ghostless.errors import GhostlessError
from ghostless.io.read import ReadSettings, read_bracket, read_facts, read_frame, read_hdr_image
from ghostless.io.write import WriteSettings, write_hdr_image, write_image

from ..files import save_bracket
from ..io import samples

SETTINGS = ReadSettings(max_pixels=1_000_000)
_DISPLAY = (".jpg", ".png", ".tif", ".webp", ".avif")
_LINEAR = (".exr", ".hdr", ".jxl")
_PLAN_PHOTOS = tuple(f"shoot/IMG_{number}.jpg" for number in range(1, 7))


_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    b'xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" xmp:Rating="4" '
    b'GPano:ProjectionType="equirectangular" GPano:FullPanoWidthPixels="41" '
    b'GPano:FullPanoHeightPixels="30" GPano:CroppedAreaImageWidthPixels="41" '
    b'GPano:CroppedAreaImageHeightPixels="30" GPano:CroppedAreaLeftPixels="0" '
    b'GPano:CroppedAreaTopPixels="0"><dc:title><rdf:Alt><rdf:li xml:lang="x-default">Old stones'
    b"</rdf:li></rdf:Alt></dc:title><dc:subject><rdf:Bag><rdf:li>one</rdf:li><rdf:li>two"
    b"</rdf:li></rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"
)


class Wrong(Exception):
    """Something went through that should not have."""


Target = Callable[[Path, random.Random], None]


# Photos -------------------------------------------------------------------------------------------


def read_photo(path: Path, dice: random.Random) -> None:
    """Read a photo in every way; what can be read must be writable with all that it says."""
    with suppress(GhostlessError):
        read_facts(path, SETTINGS)
    if dice.random() < 0.1:
        with suppress(GhostlessError):
            read_hdr_image(path, SETTINGS)
    frame = read_frame(path, SETTINGS)
    if frame.width * frame.height > SETTINGS.max_pixels:
        raise Wrong(f"{frame.width} x {frame.height} pixels are more than allowed")
    if frame.pixels.dtype == np.float32 and not np.isfinite(frame.pixels).all():
        raise Wrong("pixels that are not finite")
    if dice.random() < 0.2:
        whole = path.with_name("whole.png")
        shape = frame.pixels.shape
        whole.write_bytes(samples.pillow_bytes(samples.picture(*shape[:2]), "PNG"))
        with suppress(GhostlessError):
            read_bracket([path, whole] if dice.random() < 0.5 else [whole, path], SETTINGS)
    if dice.random() < 0.3 and min(frame.width, frame.height) >= 2:
        write_and_compare(frame, path, dice)


def write_and_compare(frame: Frame, path: Path, dice: random.Random) -> None:
    """Write what was read into a format of the same space, and read it again."""
    linear = frame.transfer == "linear"
    target = path.with_name("written" + dice.choice(_LINEAR if linear else _DISPLAY))
    pixels = frame.unit() if linear else np.clip(frame.unit(), 0, 1)
    metadata = replace(frame.metadata, icc_profile=None) if linear else frame.metadata
    fused = Fused(np.ascontiguousarray(pixels), "linear" if linear else "display", metadata)
    try:
        write_image(fused, target, WriteSettings(overwrite=True))
    except GhostlessError as error:
        if "sides of at most" in str(error):
            return
        raise Wrong(f"could be read but not written: {error}") from error
    again = read_frame(target, replace(SETTINGS, max_pixels=2 * SETTINGS.max_pixels))
    if again.pixels.shape != frame.pixels.shape:
        raise Wrong(f"{target.name}: {frame.pixels.shape} became {again.pixels.shape}")
    if target.suffix == ".png" and not np.array_equal(again.pixels, np.rint(pixels * 255)):
        raise Wrong(f"{target.name}: other pixels than were written")


# Other files --------------------------------------------------------------------------------------


def read_preset_file(path: Path, dice: random.Random) -> None:
    from ghostless.methods import METHODS
    from ghostless.presets import read_preset

    preset = read_preset(str(path))
    preset.as_dict()
    preset.for_method(METHODS["mertens"])


def read_stops(path: Path, dice: random.Random) -> None:
    from ghostless.exposure.stops_file import read_stops_file

    if not np.isfinite(read_stops_file(path, 3)).all():
        raise Wrong("stops that are not finite")


def read_plan_file(path: Path, dice: random.Random) -> None:
    from ghostless.batch.order import Photo
    from ghostless.batch.photos import Folder, PhotoFile
    from ghostless.batch.plan import read_plan

    photos = {name: PhotoFile(Photo(name)) for name in _PLAN_PHOTOS}
    plan = read_plan(path, Folder(path.parent, photos), ".jpg")
    results = path.parent / "results"
    for bracket in plan.brackets:
        place = Path(os.path.normpath(results / bracket.output))
        if results not in place.parents:
            raise Wrong(f"a result outside of the folder: {bracket.output!r}")


def read_journal(path: Path, dice: random.Random) -> None:
    """A folder of results with a damaged journal: a user's files there are never called ours."""
    from ghostless.batch.journal import JOURNAL_NAME, BatchJournal

    path.rename(path.with_name(JOURNAL_NAME))
    for _ in range(2):
        with BatchJournal(path.parent) as journal:
            for name in ("first/frame_1.jpg", "second/frame_1.jpg", "frame_1.jpg"):
                file = path.parent / name
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(b"a user's own")
                journal.finished(name, "x")
                if journal.may_replace(name):
                    raise Wrong(f"{name}: a user's file may be replaced")


def read_weights(path: Path, dice: random.Random) -> None:
    from ghostless.nn.agreement import NETWORK
    from ghostless.nn.weights import load_weights

    load_weights(NETWORK, path)


def resume_training(path: Path, dice: random.Random) -> None:
    import torch

    from ..train.test_engine import make_run, stop_after

    torch.set_num_threads(1)
    run = make_run(path.parent, resume=True)
    stop_after(run, 1)
    run.train()


TARGETS: dict[str, Target] = {
    "jsonl": read_journal,
    "toml": read_preset_file,
    "csv": read_plan_file,
    "txt": read_stops,
    "safetensors": read_weights,
    "pt": resume_training,
}


def target_of(name: str) -> Target:
    """What is done with a file, by its suffix: a photo unless it is something else."""
    return TARGETS.get(name.rpartition(".")[2], read_photo)


# Whole files --------------------------------------------------------------------------------------


def make_whole_files(folder: Path) -> None:
    """Make the files that damage starts from, of every kind that the installed packages allow."""
    for name, data in samples.every_format().items():
        (folder / name).write_bytes(data)
    _more_photos(folder)
    (folder / "own.toml").write_text(
        'summary = "Old stones"\nalign = "homography"\ndeghost = "off"\ntone-map = "drago"\n'
        "jpeg-quality = 98\ncontrast = 0.5\ncrop = true\nreference = 1\n"
    )
    (folder / "columns.txt").write_text("# stops\n-2\n0.0\n2\n")
    (folder / "row.txt").write_text("0.001, 0.004, 0.016\n-2.0; 0; 2\n")
    lines = [f"{name},{1 + place // 3},{'a/x.jpg' if place % 3 == 0 else ''},used"
             for place, name in enumerate(_PLAN_PHOTOS)]  # fmt: skip
    (folder / "plan.csv").write_text("\n".join(["file,group,output,status", *lines, ""]))
    _journal(folder)
    if importlib.util.find_spec("torch") is not None:
        _networks(folder)


def _more_photos(folder: Path) -> None:
    colour = samples.picture()
    light = samples.picture(dtype=np.float32)
    picture = Fused(np.clip(light / 4, 0, 1), "display")
    write_hdr_image(picture, Fused(light, "linear"), folder / "gain_map.jpg")
    moving = [Image.fromarray(samples.picture(seed=seed)) for seed in range(3)]
    for name, kind in (("moving.webp", "WEBP"), ("moving.avif", "AVIF"), ("moving.png", "PNG")):
        data = samples.pillow_bytes(moving[0], kind, save_all=True, append_images=moving[1:])
        (folder / name).write_bytes(data)
    frame = Fused(colour.astype(np.float32) / 255, "display")
    for suffix in _DISPLAY:
        write_image(frame, folder / f"ours{suffix}")
    for suffix in _LINEAR:
        write_image(Fused(light, "linear"), folder / f"ours{suffix}")
    described = Metadata(exif=samples.exif_with(6)[6:], xmp=_XMP)
    for suffix in _DISPLAY:
        write_image(Fused(frame.pixels, "display", described), folder / f"described{suffix}")
    tiled = samples.tiff_bytes(samples.picture(70, 90), tile=(32, 32), compression="jpeg")
    (folder / "jpeg.tif").write_bytes(tiled)
    if importlib.util.find_spec("pillow_heif") is not None:
        (folder / "a.heic").write_bytes(samples.heic_bytes(colour))


def _journal(folder: Path) -> None:
    """The journal of a batch that was really run."""
    shoot = folder / "shoot"
    for name in ("first", "second"):
        save_bracket(shoot / name, suffix=".jpg")
    code = "from ghostless.cli import main; main()"
    words = ["batch", str(shoot), "-o", str(folder / "results"), "--quiet"]
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)
    (folder / "results" / "ghostless-batch.jsonl").rename(folder / "batch.jsonl")


def _networks(folder: Path) -> None:
    from ghostless.nn.weights import shipped_path

    from ..train.test_engine import make_run, stop_after

    (folder / "agreement.safetensors").write_bytes(shipped_path("agreement").read_bytes())
    run: Any = make_run(folder / "run")
    stop_after(run, 3)
    run.train()
    (folder / "run" / "checkpoint.pt").rename(folder / "checkpoint.pt")
