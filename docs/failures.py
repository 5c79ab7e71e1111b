"""Make the pictures of docs/images/fails/: each method where it fails, on the demo's photos.

    python docs/failures.py [--weights FOLDER] [--fused FOLDER] [METHOD ...]

Beside each stands what another method makes of the same photos. --weights: where weights lie that
`ghostless weights import` wrote, METHOD.safetensors each, for networks of which none ship; without
them their pictures stay as they are. --fused: keep what is fused there, to go on with.

The photos are the package's own: three from a tripod, the darkest and the brightest of these, or
three by hand while someone walks by.
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
from pictures import labelled
from PIL import Image

from ghostless import cli
from ghostless.demo import BRACKET, PHOTOS, TRIPOD_PHOTOS
from ghostless.methods import METHODS
from ghostless.nn.weights import has_weights

Picture = NDArray[np.uint8]
FAILS = Path(__file__).resolve().parent / "images" / "fails"
_STILL = ("--align", "none", "--deghost", "off")
_QUALITY, _GAP, _WIDTH = 60, 6, 320

Photos = Literal["still", "two", "moving"]
_PHOTOS: dict[Photos, tuple[str, ...]] = {
    "still": TRIPOD_PHOTOS,
    "two": (TRIPOD_PHOTOS[0], TRIPOD_PHOTOS[2]),
    "moving": PHOTOS,
}


@dataclass(frozen=True)
class Failure:
    """Where a method fails, and what stands beside it.

    photos: which of the demo's. box: what is shown, left, top, right, lower, of 1200 x 800 pixels.
    seen: what there is to see, for its page. beside: another method. words: further ones of
    `ghostless fuse`.
    """

    photos: Photos
    box: tuple[int, int, int, int]
    seen: str
    beside: str = "mertens"
    words: tuple[str, ...] = ()


_WINDOW = (330, 180, 930, 520)
_CORNER = (0, 40, 600, 380)
_FLOOR = (100, 440, 700, 780)
_SEAT = (640, 470, 940, 640)
_BULB = (60, 90, 360, 260)
_PANES = (430, 200, 730, 370)
_SOFA = (600, 380, 1200, 720)
FAILURES: dict[str, Failure] = {
    "mertens": Failure("two", _WINDOW, "Of two photos far apart the view comes out pale", "fmmef"),
    "learned-fusion": Failure("still", _CORNER, "The lamp is a white slab without its bulb"),
    "chen-chuang": Failure("still", _FLOOR, "Colours drift: dark cloth turns blue and purple"),
    "fmmef": Failure(
        "two", _WINDOW, "Who stands before the window stays dark, and the sky clips again"
    ),
    "spd-mef": Failure(
        "still", _CORNER, "Bands as wide as a patch inside the panes, and the lamp is a white slab"
    ),
    "mespd": Failure("two", _WINDOW, "Haze of the window over whoever stands before it"),
    "dem": Failure("two", _WINDOW, "The sky is as white as in the bright photo, the head black"),
    "kou": Failure("two", _WINDOW, "Who stands before the window is nearly black"),
    "fler": Failure("two", _WINDOW, "The head and the window's bars are black, the sky is grey"),
    "gff": Failure("two", _WINDOW, "Dark clouds over the panes, as wide as the filter"),
    "dsift-ef": Failure("two", _WINDOW, "The window is chosen dark, with black bars"),
    "gd": Failure("still", _CORNER, "No black and no white is left, and light creeps round edges"),
    "li": Failure("two", _WINDOW, "Leaves and cloth with far more texture than they have"),
    "eef": Failure("still", _CORNER, "Colours of each range by itself: walls olive, wood purple"),
    "mef-gan": Failure("two", _CORNER, "Brick, books and beam are brown and flat"),
    "lcndr": Failure("two", _WINDOW, "The view stays pale, and who stands before it goes dark"),
    "dpgn": Failure("two", _CORNER, "The beam and the shelf go dark"),
    "hu": Failure(
        "moving",
        _WINDOW,
        "What the reference clips is not found again: sky and trees stay white",
        "debevec",
    ),
    "sen": Failure("moving", _PANES, "Patches that do not fit hatch the sky", "debevec"),
    "hdr-gan": Failure("moving", _SEAT, "A leg of another photo shines through on the sofa", "sen"),
    "safnet": Failure(
        "moving", _BULB, "The bulb melts into its shade, and what is dark is noisy", "debevec"
    ),
    "mef-net": Failure("two", _WINDOW, "A haze of light over the view, which is gone below"),
    "meflut": Failure("two", _WINDOW, "A window darker than the wall, and light round its edges"),
    "ifcnn": Failure("two", _CORNER, "Colours glow, and green stains the ceiling"),
    "refusion": Failure("two", _WINDOW, "Milky trees, and a rim of light round who stands there"),
    "deepfuse": Failure("two", _SOFA, "The stretch makes black what both photos can show"),
    "pmgi": Failure("two", _SOFA, "The room goes dark, leaves and sofa black"),
    "u2fusion": Failure("two", _SOFA, "The stretch leaves the room black and red"),
    "halder": Failure("two", _CORNER, "White goes dull and yellow, in the lamp as in the sky"),
    "sdnet": Failure("two", _SOFA, "Shadows go black, the lamp pale"),
    "debevec": Failure(
        "moving",
        (380, 200, 980, 790),
        "Without deghosting whoever walks by stands there twice, in pieces",
        "debevec",
        ("--deghost", "off"),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("methods", nargs="*", metavar="METHOD", default=[])
    parser.add_argument("--weights", type=Path, metavar="FOLDER")
    parser.add_argument("--fused", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    FAILS.mkdir(parents=True, exist_ok=True)
    for method in given.methods or FAILURES:
        if weights_of(method, given.weights) is None and METHODS[method].weights:
            print(f"{method}: no weights here; its picture stays as it is")
            continue
        with tempfile.TemporaryDirectory() as folder:
            save(method, make(method, given.weights, given.fused or Path(folder)))


def make(method: str, weights: Path | None, folder: Path) -> Picture:
    """Two crops side by side: another method's, and this one's."""
    failure = FAILURES[method]
    beside = fuse(failure.photos, failure.beside, (), weights, folder)
    own = fuse(failure.photos, method, failure.words, weights, folder)
    first, second = (
        labelled(_crop(picture, failure.box), label)
        for picture, label in (
            (beside, failure.beside),
            (own, " ".join([method, *failure.words])),
        )
    )
    return np.concatenate([first, np.full_like(first[:, :_GAP], 255), second], axis=1)


def _crop(picture: Picture, box: tuple[int, int, int, int]) -> Picture:
    left, top, right, lower = box
    height = round(_WIDTH * (lower - top) / (right - left))
    crop = Image.fromarray(picture[top:lower, left:right])
    return np.asarray(crop.resize((_WIDTH, height), Image.Resampling.LANCZOS))


def fuse(
    photos: Photos, method: str, words: tuple[str, ...], weights: Path | None, folder: Path
) -> Picture:
    """Fuse the demo's photos as a reader would, unless that lies there; (800, 1200, 3) uint8."""
    out = folder / f"{'_'.join([method, photos, *words])}.png"
    still = _STILL if photos != "moving" else ()
    own = weights_of(method, weights) if METHODS[method].weights else None
    given = [] if own is None or has_weights(method) else ["--weights", str(own)]
    files = [str(BRACKET / name) for name in _PHOTOS[photos]]
    command = ["fuse", *files, "-o", str(out), "--quiet", "--method", method]
    if not out.exists() and cli.run([*command, *still, *given, *words]) != 0:
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


if __name__ == "__main__":
    main()
