"""Files of several pictures: the first is taken, safely, whatever the decoder does by itself."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ghostless.errors import FileReadError
from ghostless.io.read import read_image

from . import samples
from .samples import picture, save

SEQUENCES = {
    "two.avif": (2, 8, "RGB"),
    "many.avif": (9, 8, "RGB"),
    "deep.avif": (3, 10, "RGB"),
    "alpha.avif": (3, 8, "RGBA"),
    "grey.avif": (3, 8, "L"),
}


def pictures(count: int) -> NDArray[np.uint8]:
    return np.stack([np.roll(picture(48, 64), 7 * k, axis=1) for k in range(count)])


def sequence(name: str) -> bytes:
    count, bits, mode = SEQUENCES[name]
    stack = pictures(count)
    if bits == 10:
        deep = stack.astype(np.uint16) * 4
        return bytes(imagecodecs.avif_encode(deep, level=95, bitspersample=bits, speed=10))
    first, *others = (Image.fromarray(array).convert(mode) for array in stack)
    return samples.pillow_bytes(first, "AVIF", save_all=True, append_images=others, quality=95)


@pytest.mark.parametrize("name", sorted(SEQUENCES))
def test_the_first_picture_of_a_sequence(name: str, tmp_path: Path) -> None:
    """In a process of its own with a heap that is checked: a write past the end would end it."""
    data = sequence(name)
    for brand in (b"avis", b"mif1", b"msf1", b"avif"):
        save(tmp_path, f"{brand.decode()}-{name}", data[:8] + brand + data[12:])
    code = (
        "import sys; from pathlib import Path; from ghostless.io.read import read_image\n"
        "for path in [*Path(sys.argv[1]).iterdir()] * 8:\n"
        "    image = read_image(path)\n"
        "print(image.pixels.shape, flush=True)\n"
    )
    root = Path(__file__).resolve().parents[2]
    checked = {"MALLOC_CHECK_": "3", "MALLOC_PERTURB_": "85"}
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        env={**os.environ, "PYTHONPATH": str(root / "src"), **checked},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "(48, 64, 3)\n"), done.stderr
    image = read_image(tmp_path / f"avis-{name}")
    assert any(f"{SEQUENCES[name][0]} pictures; the first" in note for note in image.notes)
    wanted = np.asarray(Image.fromarray(picture(48, 64)).convert(SEQUENCES[name][2]).convert("RGB"))
    assert np.abs(image.pixels - wanted / 255).mean() < 0.03


def test_stills_keep_their_depth(tmp_path: Path) -> None:
    image = read_image(save(tmp_path, "a.avif", samples.every_format()["deep.avif"]))
    assert len(np.unique(np.rint(image.pixels * 1023))) > 256
    assert not image.notes


def test_a_sequence_without_a_still_is_refused_by_name(tmp_path: Path) -> None:
    data = sequence("two.avif")
    at = data.index(b"meta")
    path = save(tmp_path, "a.avif", data[:at] + b"free" + data[at + 4 :])
    with pytest.raises(FileReadError, match=r"a\.avif: expected a still picture, found a seq"):
        read_image(path)


def test_moving_jpeg_xl_png_and_webp(tmp_path: Path) -> None:
    stack = pictures(4)
    first, *others = (Image.fromarray(array) for array in stack)
    how: dict[str, Any] = {"save_all": True, "append_images": others}
    for name, data in (
        ("a.jxl", imagecodecs.jpegxl_encode(stack, lossless=True)),
        ("a.png", samples.pillow_bytes(first, "PNG", **how)),
        ("a.webp", samples.pillow_bytes(first, "WEBP", lossless=True, **how)),
        ("one.webp", samples.pillow_bytes(first, "WEBP", lossless=True, save_all=True,
                                          append_images=others[:1], minimize_size=True)),
    ):  # fmt: skip
        image = read_image(save(tmp_path, name, bytes(data)))
        assert np.array_equal(np.rint(image.pixels * 255), stack[0])
        assert any("the first was taken" in note for note in image.notes)


def test_the_cases(shared: Path) -> None:
    for path in samples.case(shared, "animated_avif"):
        assert bool(read_image(path).notes) == (not path.name.startswith("still"))


def test_heic_of_several_pictures(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = pillow_heif.HeifFile()
    for array in pictures(3):
        file.add_from_pillow(Image.fromarray(array))
    memory = io.BytesIO()
    file.save(memory, quality=95)
    image = read_image(save(tmp_path, "a.heic", memory.getvalue()))
    assert np.abs(image.pixels - picture(48, 64) / 255).mean() < 0.03
