"""Make the pictures of docs/ by running the examples on a bracket, by default the demo's.

    python docs/pictures.py [FOLDER_WITH_PHOTOS]

A network gets a picture as soon as its weights ship. What `ghostless info` prints goes onto the
quick start. `python docs/renew.py` then puts the networks' pictures onto their pages.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ghostless import align_bracket, assign_stops, cli, deghost_stack, read_bracket, read_image
from ghostless.bracket import Stack
from ghostless.demo import BRACKET, PHOTOS
from ghostless.methods import METHODS
from ghostless.methods.maps import attention_map
from ghostless.methods.mertens import weight_maps
from ghostless.nn.weights import has_weights

Picture = NDArray[np.uint8]
DOCS = Path(__file__).resolve().parent
IMAGES = DOCS / "images"
WIDTH = 1100
_GAP = 6
_QUALITY = 82
_OPERATORS = ("fusion", "reinhard", "drago", "mantiuk")


def main() -> None:
    if len(sys.argv) > 1:
        folder = Path(sys.argv[1]).resolve()
        photos = sorted(path for path in folder.iterdir() if path.suffix == ".jpg")
    else:
        photos = [BRACKET.resolve() / name for name in PHOTOS]
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        for path in photos:
            Path(path.name).symlink_to(path)
        make(sorted(path.name for path in photos))


def make(names: list[str]) -> None:
    """Make all pictures in the working folder, which holds the photos."""
    shown = [read(name) for name in names]
    save("bracket", row(shown, [f"photo {n}" for n in range(1, len(names) + 1)]))
    tell_bracket(names)

    steps = {
        "as they are": ["--align", "none", "--deghost", "off"],
        "aligned": ["--deghost", "off"],
        "aligned, ghosts replaced": ["--save-stages", "stages"],
    }
    results = [fuse(names, f"step{n}.png", *words) for n, words in enumerate(steps.values())]
    save("steps", row([centre(result) for result in results], list(steps)))

    # The brightest photo: as taken, aligned, where it showed a ghost, and with it replaced.
    name, stem = names[-1], Path(names[-1]).stem
    stages = [name, f"stages/aligned/{stem}.tif", f"stages/deghosted/{stem}_mask.png"]
    stages.append(f"stages/deghosted/{stem}.tif")
    labels = ["as taken", "aligned", "black: replaced", "ghost replaced"]
    save("stages", row([read(stage) for stage in stages], labels))

    tones = [
        fuse(names, f"{operator}.png", "--method", "debevec", "--tone-map", operator)
        for operator in _OPERATORS
    ]
    save("tone-maps", row(tones, [f"--tone-map {operator}" for operator in _OPERATORS]))
    run_fuse(names, "scene.exr")
    radiance = read_image("scene.exr").require("linear").pixels
    exposures = [np.clip(radiance * 2.0**stops, 0, 1) for stops in (-3, 0, 3)]
    save(
        "radiance",
        row([codes(to_srgb(light)) for light in exposures], ["-3 stops", "0", "+3 stops"]),
    )

    stack = stack_of(names)
    maps = [codes(np.repeat(weight[:, :, None], 3, axis=2)) for weight in weight_maps(stack)]
    save("mertens-weights", row(maps, [f"weight of photo {n}" for n in range(1, len(maps) + 1)]))
    for method in METHODS.values():
        shown = method.group == "use"  # pages of the others show where they fail
        if shown and method.weights is not None and has_weights(method.weights):
            network(names, stack, method.name, results[-1])
    if has_weights(METHODS["chen-chuang"].weights or ""):
        what_moved(names, "chen-chuang")


def network(names: list[str], stack: Stack, method: str, mertens: Picture) -> None:
    """Exposure fusion beside a network, and where the network looks if it tells."""
    pictures = [mertens, fuse(names, f"{method}.png", "--method", method)]
    labels = ["exposure fusion", method]
    if "attention" in METHODS[method].shows:
        pictures.append(painted(attention_map(stack, method)))
        labels.append("its attention")
    save(method, row(pictures, labels))


def what_moved(names: list[str], method: str) -> None:
    """The darkest and the brightest photo, what passes of the latter, and the result."""
    pair = [names[0], names[-1]]
    aligned = align_bracket(assign_stops(read_bracket([Path(n) for n in pair])))
    attention = painted(attention_map(aligned, method))
    fused = fuse(pair, "moved.png", "--method", method, "--deghost", "off")
    photos = [codes(frame.display()) for frame in aligned.frames]
    labels = ["dark photo", "bright photo", "attention on it", f"{method}, --deghost off"]
    save(f"{method}-attention", row([centre(p) for p in (*photos, attention, fused)], labels))


def painted(values: NDArray[Any]) -> Picture:
    """A map (h, w), 0..1, in colours: yellow is much."""
    shown = cv2.applyColorMap(np.rint(values * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    return np.asarray(cv2.cvtColor(shown, cv2.COLOR_BGR2RGB), np.uint8)


# ---- running ----


def fuse(names: Sequence[str], out: str, *words: str) -> Picture:
    """Fuse as a reader would, and read the result."""
    run_fuse(names, out, *words)
    return read(out)


def run_fuse(names: Sequence[str], out: str, *words: str) -> None:
    command = ["fuse", *names, "-o", out, "--quiet", *words]
    print("ghostless", *command, flush=True)
    if cli.run(command) != 0:
        sys.exit(1)


def stack_of(names: Sequence[str]) -> Stack:
    return deghost_stack(align_bracket(assign_stops(read_bracket([Path(n) for n in names]))))


def tell_bracket(names: Sequence[str]) -> None:
    """Put what `ghostless info` prints onto the quick start."""
    page = DOCS / "quickstart.md"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if cli.run(["info", *names]) != 0:
            sys.exit(1)
    text = "\n".join(line.rstrip() for line in printed.getvalue().strip().splitlines())
    before = page.read_text(encoding="utf-8")
    after = re.sub(
        r"(<!-- printed: info -->\n).*?(<!-- /printed -->)",
        lambda match: f"{match[1]}\n```\n{text}\n```\n\n{match[2]}",
        before,
        flags=re.DOTALL,
    )
    page.write_text(after, encoding="utf-8")


def read(name: str) -> Picture:
    return codes(read_image(name).require("display").pixels)


def codes(display: NDArray[Any]) -> Picture:
    return np.asarray(np.rint(np.clip(display, 0, 1) * 255), np.uint8)


def to_srgb(light: NDArray[Any]) -> NDArray[Any]:
    from ghostless.pixels.color import linear_to_srgb

    return linear_to_srgb(light.astype(np.float32))


# ---- laying out ----


def centre(picture: Picture) -> Picture:
    """The part of the demo in which someone walks."""
    height, width = picture.shape[:2]
    return picture[int(0.3 * height) : int(0.75 * height), int(0.3 * width) : int(0.75 * width)]


def row(pictures: Sequence[Picture], labels: Sequence[str]) -> Picture:
    """Pictures side by side, WIDTH pixels in all, a label on each."""
    width = (WIDTH + _GAP) // len(pictures) - _GAP
    height = round(width * pictures[0].shape[0] / pictures[0].shape[1])
    parts: list[Picture] = []
    for picture, label in zip(pictures, labels, strict=True):
        smaller = width < picture.shape[1]
        how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
        scaled = np.asarray(cv2.resize(picture, (width, height), interpolation=how), np.uint8)
        if parts:
            parts.append(np.full((height, _GAP, 3), 255, np.uint8))
        parts.append(labelled(scaled, label))
    return np.concatenate(parts, axis=1)


def labelled(picture: Picture, label: str) -> Picture:
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).text(
        (8, image.height - 8),
        label,
        fill="white",
        font=ImageFont.load_default(15),
        anchor="ls",
        stroke_width=2,
        stroke_fill="black",
    )
    return np.asarray(image)


def save(name: str, picture: Picture) -> None:
    file = IMAGES / f"{name}.jpg"
    Image.fromarray(picture).save(file, quality=_QUALITY, optimize=True)
    print(f"{os.path.relpath(file, DOCS)}: {file.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
