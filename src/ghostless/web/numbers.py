"""What a job's folder keeps as numbers: the result before its tone is set by hand, and the photo
that the tone's strength is measured from; each at full size, and as a proof to look at.

A proof is small enough to be toned while somebody moves a slider. Files of numbers are our own and
are written whole or not at all.
"""

from __future__ import annotations

import io
import json
from base64 import b64decode, b64encode
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..bracket import Frame, Fused, Metadata, Space
from ..pixels.color import to_display
from ..tone.controls import OF_DISPLAYS, ToneControls, control_part, control_tone
from . import views

PROOF_SIDE = 1600
_PROOF_QUALITY = 88
_BYTES_OF_METADATA = ("exif", "icc_profile", "xmp", "iptc")
_REFERENCE = "reference"


def save_fused(fused: Fused, folder: Path) -> None:
    """Save a fused image so that `load_fused` gives the same again; of a picture a proof too."""
    facts = {
        name: b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in asdict(fused.metadata).items()
    }
    (folder / f"{fused.space}.json").write_text(json.dumps(facts), encoding="utf-8")
    if fused.space == "display":
        _save(views.reduced(fused.pixels, PROOF_SIDE), folder, "display-proof")
    if fused.opaque is not None:
        _save(fused.opaque, folder, f"{fused.space}-opaque")
    _save(fused.pixels, folder, fused.space)


def load_fused(folder: Path, space: Space, *, proof: bool = False) -> Fused:
    """Load what `save_fused` saved; its pixels stay on disk until they are read."""
    facts = json.loads((folder / f"{space}.json").read_text(encoding="utf-8"))
    for name in _BYTES_OF_METADATA:
        facts[name] = None if facts[name] is None else b64decode(facts[name])
    if facts["window"] is not None:
        facts["window"] = tuple(facts["window"])
    pixels = _load(folder, f"{space}-proof" if proof else space)
    seen = not proof and (folder / f"{space}-opaque.npy").is_file()
    opaque = _load(folder, f"{space}-opaque") if seen else None
    return Fused(pixels, space, Metadata(**facts), opaque=opaque)


def has_fused(folder: Path, space: Space) -> bool:
    """Whether a job's folder has its result in this space."""
    return (folder / f"{space}.npy").is_file()


def save_reference(frame: Frame, folder: Path) -> None:
    """Save the aligned reference photo, and a proof of it as it looks."""
    small = to_display(views.reduced(frame.pixels, PROOF_SIDE), frame.transfer)
    _save(np.asarray(small, np.float32), folder, f"{_REFERENCE}-proof")
    (folder / f"{_REFERENCE}.json").write_text(json.dumps(frame.transfer), encoding="utf-8")
    _save(frame.pixels, folder, _REFERENCE)


def with_tone(fused: Fused, controls: ToneControls, folder: Path, *, proof: bool = False) -> Fused:
    """A result of this folder with its tone set by hand; of radiance what can be set of it."""
    if fused.space == "linear":
        controls = ToneControls(
            **{n: value for n, value in asdict(controls).items() if n not in OF_DISPLAYS}
        )
    photo = _reference(folder, proof=proof) if controls.strength != 1 else None
    return control_tone(fused, controls, photo)


def _reference(folder: Path, *, proof: bool) -> Frame:
    if proof:
        return Frame(_load(folder, f"{_REFERENCE}-proof"), transfer="srgb")
    transfer = json.loads((folder / f"{_REFERENCE}.json").read_text(encoding="utf-8"))
    return Frame(_load(folder, _REFERENCE), transfer=transfer)


def toned_proof(folder: Path, controls: ToneControls) -> bytes:
    """A JPEG of the proof with its tone set by hand, in the picture's colour profile."""
    return _jpeg(with_tone(load_fused(folder, "display", proof=True), controls, folder, proof=True))


def toned_tile(folder: Path, controls: ToneControls, column: int, row: int) -> bytes | None:
    """A JPEG of a tile of the picture, every pixel of it, with its tone set by hand.

    Returns None for a tile outside of the picture.
    """
    whole = load_fused(folder, "display")
    size = whole.pixels.shape[:2]
    top, left = row * views.TILE_PIXELS, column * views.TILE_PIXELS
    if top >= size[0] or left >= size[1]:
        return None

    def part(pixels: Any) -> Any:
        down, across = top + views.TILE_PIXELS, left + views.TILE_PIXELS
        return np.ascontiguousarray(pixels[top:down, left:across])

    photo = small_photo = None
    if controls.strength != 1:
        reference = _reference(folder, proof=False)
        photo = Frame(part(reference.pixels), transfer=reference.transfer)
        small_photo = _reference(folder, proof=True)
    return _jpeg(
        control_part(
            replace(whole, pixels=part(whole.pixels), opaque=None),
            controls,
            photo,
            corner=(top, left),
            size=size,
            small=load_fused(folder, "display", proof=True),
            small_reference=small_photo,
        )
    )


def _jpeg(toned: Fused) -> bytes:
    file = io.BytesIO()
    Image.fromarray(views.to_bytes(toned.pixels)).save(
        file, "JPEG", quality=_PROOF_QUALITY, subsampling=0, icc_profile=toned.metadata.icc_profile
    )
    return file.getvalue()


def _save(pixels: NDArray[Any], folder: Path, name: str) -> None:
    part = folder / f"{name}-part.npy"
    np.save(part, pixels)
    part.replace(folder / f"{name}.npy")


def _load(folder: Path, name: str) -> Any:
    return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="c"))
