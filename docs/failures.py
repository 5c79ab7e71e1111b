"""Make the pictures of docs/images/fails/: each method where it fails, on the demo's photos.

    python docs/failures.py [--weights FOLDER] [METHOD ...]

Beside each stands what another method makes of the same photos. FOLDER has weights that
`ghostless weights import` wrote, METHOD.safetensors each, for networks of which none ship; without
it they are left as they are. The photos are the package's own: three from a tripod, the darkest and
the brightest of these, or three by hand while someone walks by.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ghostless import cli
from ghostless.demo import BRACKET, PHOTOS, TRIPOD_PHOTOS
from ghostless.methods import METHODS
from ghostless.nn.weights import has_weights

Picture = NDArray[np.uint8]
FAILS = Path(__file__).resolve().parent / "images" / "fails"
_STILL = ("--align", "none", "--deghost", "off")
_QUALITY, _GAP = 78, 4

Photos = Literal["still", "two", "moving"]
_PHOTOS: dict[Photos, tuple[str, ...]] = {
    "still": TRIPOD_PHOTOS,
    "two": (TRIPOD_PHOTOS[0], TRIPOD_PHOTOS[2]),
    "moving": PHOTOS,
}


@dataclass(frozen=True)
class Failure:
    """Where a method fails, and what stands beside it.

    photos: which of the demo's. box: left, top, right, lower of what is shown, pixels of 1200 x 800.
    beside: another method. words, beside_words: further words of `ghostless fuse` for each.
    """

    photos: Photos
    box: tuple[int, int, int, int]
    beside: str = "mertens"
    words: tuple[str, ...] = ()
    beside_words: tuple[str, ...] = ()


_WINDOW = (330, 130, 930, 500)
_ROOM = (400, 190, 900, 490)
_WALKER = (420, 230, 920, 780)
_LAMP = (60, 60, 460, 360)
FAILURES: dict[str, Failure] = {}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("methods", nargs="*", metavar="METHOD", default=[])
    parser.add_argument("--weights", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    FAILS.mkdir(parents=True, exist_ok=True)
    for method in given.methods or FAILURES:
        if weights_of(method, given.weights) is None and METHODS[method].weights:
            print(f"{method}: no weights here; its picture stays as it is")
            continue
        with tempfile.TemporaryDirectory() as folder:
            save(method, make(method, given.weights, Path(folder)))


def make(method: str, weights: Path | None, folder: Path) -> Picture:
    """Two crops side by side: another method's, and this one's."""
    failure = FAILURES[method]
    beside = fuse(failure, failure.beside, failure.beside_words, weights, folder)
    own = fuse(failure, method, failure.words, weights, folder)
    crops = []
    left, top, right, lower = failure.box
    for picture, label in ((beside, failure.beside), (own, method)):
        crops.append(_labelled(picture[top:lower, left:right], label))
    return np.concatenate([crops[0], np.full_like(crops[0][:, :_GAP], 255), crops[1]], axis=1)


def fuse(
    failure: Failure, method: str, words: tuple[str, ...], weights: Path | None, folder: Path
) -> Picture:
    """Fuse the demo's photos as a reader would; (800, 1200, 3) uint8."""
    out = folder / f"{method}.png"
    still = _STILL if failure.photos != "moving" else ()
    own = weights_of(method, weights) if METHODS[method].weights else None
    given = [] if own is None or has_weights(method) else ["--weights", str(own)]
    files = [str(BRACKET / name) for name in _PHOTOS[failure.photos]]
    command = ["fuse", *files, "-o", str(out), "--quiet", "--method", method]
    if cli.run([*command, *still, *given, *words]) != 0:
        sys.exit(1)
    with Image.open(out) as image:
        return np.asarray(image.convert("RGB"))


def weights_of(method: str, folder: Path | None) -> Path | None:
    """The file of a network's weights: shipped, or in the folder of imported ones."""
    from ghostless.nn.weights import shipped_path

    name = METHODS[method].weights
    if name is not None and has_weights(name):
        return shipped_path(name)
    imported = folder / f"{method}.safetensors" if folder is not None else None
    return imported if imported is not None and imported.is_file() else None


def save(method: str, picture: Picture) -> None:
    file = FAILS / f"{method}.jpg"
    Image.fromarray(picture).save(file, quality=_QUALITY, optimize=True)
    print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB", flush=True)


def _labelled(picture: Picture, label: str) -> Picture:
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


if __name__ == "__main__":
    main()
