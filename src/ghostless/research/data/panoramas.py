"""HDR panoramas and sharp surfaces, packed small on disk and laid out for quick crops on a device.

A packed folder holds a manifest, one 16-bit JPEG 2000 of log2 radiance per HDR picture and one
JPEG per surface. Splits are by scene: pictures of one place are all on one side.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import FileReadError, InputError, OptionError
from ...pixels import color
from .splits import (
    HDR_SUFFIXES,
    SURFACE_SUFFIXES,
    Split,
    list_files,
    names_to_hold_out,
    scene_of,
    split_of,
)

Kind = Literal["panorama", "picture", "surface"]

MANIFEST = "manifest.json"
FORMAT = 1

# What is brighter than this percentile of a picture's brightest channel (the sun) is set to it.
SUN_PERCENTILE = 99.99
# Nothing is kept darker than this below the brightest.
_MAX_RANGE_STOPS = 26.0
_DARK_PERCENTILE = 0.05
# Thousandths of the raw size that JPEG 2000 may take: 0.02 stops median error.
_COMPRESSION_X1000 = 150
_SURFACE_SIDE_PIXELS = 512
_SURFACE_QUALITY = 92
_SURFACE_LOW_STOPS = -12.0
# 16-bit codes live in int16 tensors, for torch computes little with uint16.
_CODE_ZERO = 32768
_CODES = 65535


@dataclass(frozen=True)
class Entry:
    """One packed picture.

    low_stops, high_stops: log2 radiance of the lowest and the highest code.
    """

    name: str
    scene: str
    kind: Kind
    split: Split
    file: str
    width: int
    height: int
    low_stops: float
    high_stops: float


# Packing ------------------------------------------------------------------------------------------


def pack(
    folders: Iterable[Path],
    out: Path,
    *,
    surfaces: Path | None = None,
    overwrite: bool = False,
    progress: Callable[[float], None] | None = None,
) -> tuple[Entry, ...]:
    """Pack the HDR pictures of some folders, and a folder of colour maps, into a small folder.

    surfaces: display pictures (sRGB) that moving objects are cut from; scaled to 512 pixels.
    Held out are the scenes of `splits.HELD_OUT_SCENES`, or a tenth of the scenes, at least one,
    where none of those is among them.
    Raises FileReadError where a folder has no such pictures, OutputError for what exists.
    """
    # What only packing needs is imported by it: training runs where few packages are installed.
    from ...io.write import write_text

    pictures = [path for folder in folders for path in list_files(folder, HDR_SUFFIXES)]
    maps = [] if surfaces is None else list_files(surfaces, SURFACE_SUFFIXES)
    entries = []
    for done, path in enumerate([*pictures, *maps]):
        if path.suffix.lower() in HDR_SUFFIXES:
            entries.append(_pack_radiance(path, out, overwrite))
        else:
            entries.append(_pack_surface(path, out, overwrite))
        if progress is not None:
            progress((done + 1) / (len(pictures) + len(maps)))
    entries = _with_some_held_out(entries)
    manifest = {
        "format": FORMAT,
        "sun_percentile": SUN_PERCENTILE,
        "images": [asdict(entry) for entry in entries],
    }
    write_text(json.dumps(manifest, indent=1), out / MANIFEST, _settings(overwrite))
    return tuple(entries)


def _with_some_held_out(entries: list[Entry]) -> list[Entry]:
    """Hold scenes out where none of them is known as held out; one scene alone is left as it is."""
    scenes = {entry.scene: entry.split for entry in entries if entry.kind != "surface"}
    if "held-out" in scenes.values() or len(scenes) < 2:
        return entries
    held = names_to_hold_out(scenes)
    return [
        replace(entry, split="held-out")
        if entry.kind != "surface" and entry.scene in held
        else entry
        for entry in entries
    ]


def _settings(overwrite: bool) -> Any:
    from ...io.write import WriteSettings

    return WriteSettings(overwrite=overwrite)


def store_bytes(data: NDArray[np.uint8], path: Path, *, overwrite: bool) -> None:
    """Write encoded bytes atomically; the folder is made. data: (n,)."""
    from ...io.atomic import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(
        path, lambda scratch: _write_bytes(scratch, data.tobytes()), overwrite=overwrite
    )


def _write_bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _pack_radiance(path: Path, out: Path, overwrite: bool) -> Entry:
    radiance = read_radiance(path)
    codes, low, high = encode_log2(radiance)
    scene = scene_of(path.stem)
    entry = Entry(
        path.stem,
        scene,
        kind_of(radiance),
        split_of(scene),
        f"{path.stem}.jp2",
        radiance.shape[1],
        radiance.shape[0],
        low,
        high,
    )
    store_bytes(encode_jpeg2000(codes), out / entry.file, overwrite=overwrite)
    return entry


def _pack_surface(path: Path, out: Path, overwrite: bool) -> Entry:
    from ...io.read import read_image

    pixels = read_image(path).require("display").pixels
    side = max(pixels.shape[:2])
    if side > _SURFACE_SIDE_PIXELS:
        scale = _SURFACE_SIDE_PIXELS / side
        linear = color.srgb_to_linear(pixels)
        small = cv2.resize(linear, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        pixels = color.linear_to_srgb(np.asarray(small, np.float32))
    codes = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    data = cv2.imencode(".jpg", codes[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _SURFACE_QUALITY])[1]
    scene = scene_of(path.stem)
    entry = Entry(
        path.stem,
        scene,
        "surface",
        split_of(scene),
        f"{path.stem}.jpg",
        codes.shape[1],
        codes.shape[0],
        _SURFACE_LOW_STOPS,
        0.0,
    )
    store_bytes(data, out / entry.file, overwrite=overwrite)
    return entry


def read_radiance(path: Path) -> NDArray[np.float32]:
    """Read an HDR picture: (H, W, 3) float32 linear, finite and >= 0."""
    from ...io.read import read_image

    pixels = read_image(path).require("linear").pixels
    return np.maximum(np.nan_to_num(pixels, nan=0.0, posinf=65504.0, neginf=0.0), 0)


def kind_of(radiance: NDArray[np.float32]) -> Kind:
    """Whether a picture is a whole panorama, whose left and right edges meet.

    Radiance: (H, W, 3).
    """
    return "panorama" if radiance.shape[1] == 2 * radiance.shape[0] else "picture"


def encode_log2(radiance: NDArray[np.float32]) -> tuple[NDArray[np.uint16], float, float]:
    """16-bit codes (H, W, 3) of log2 radiance, and the stops of the lowest and highest code.

    The sun is clipped at SUN_PERCENTILE of the brightest channel, black at 26 stops below.
    """
    stops = np.log2(np.maximum(radiance, np.float32(1e-9)))
    high = float(np.percentile(stops.max(axis=2), SUN_PERCENTILE))
    low = max(float(np.percentile(stops, _DARK_PERCENTILE)), high - _MAX_RANGE_STOPS)
    high = max(high, low + 1.0)
    stops = np.clip((stops - np.float32(low)) * np.float32(_CODES / (high - low)), 0, _CODES)
    return np.rint(stops).astype(np.uint16), low, high


def decode_log2(codes: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Radiance of codes that `encode_log2` made. (H, W, 3) to the same."""
    stops = codes.astype(np.float32) * np.float32((high - low) / _CODES) + np.float32(low)
    return np.asarray(np.exp2(stops), np.float32)


def encode_jpeg2000(codes: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """JPEG 2000 bytes of (H, W, 3) RGB codes."""
    flags = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, _COMPRESSION_X1000]
    done, data = cv2.imencode(".jp2", np.ascontiguousarray(codes[:, :, ::-1]), flags)
    if not done:
        raise InputError("expected an OpenCV that writes JPEG 2000, found one that does not")
    return np.asarray(data)


# Loading ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Panoramas:
    """HDR pictures and surfaces on a device, from which many windows are cut at once.

    codes: (pixels of all pictures, 3) int16, log2 radiance; the other tensors are one number per
        entry: where its pixels begin, its size, its lowest code's stops, the stops of one code.
    """

    entries: tuple[Entry, ...]
    codes: Tensor
    starts: Tensor
    widths: Tensor
    heights: Tensor
    low_stops: Tensor
    code_stops: Tensor
    wraps: Tensor

    @property
    def device(self) -> torch.device:
        """Where the pixels are."""
        return self.codes.device

    def __len__(self) -> int:
        return len(self.entries)

    def to(self, device: torch.device | str) -> Panoramas:
        """Return the same pictures on another device."""
        moved = {
            field.name: getattr(self, field.name).to(device)
            for field in fields(self)
            if field.name != "entries"
        }
        return Panoramas(self.entries, **moved)

    def select(self, *, split: Split | None = None, kinds: Sequence[Kind] = ()) -> Panoramas:
        """Return those of a split and of some kinds (all kinds by default); pixels are shared."""
        chosen = [
            index
            for index, entry in enumerate(self.entries)
            if (split is None or entry.split == split) and (not kinds or entry.kind in kinds)
        ]
        rows = torch.tensor(chosen, dtype=torch.long, device=self.device)
        return Panoramas(
            tuple(self.entries[index] for index in chosen),
            self.codes,
            *(
                getattr(self, name)[rows]
                for name in ("starts", "widths", "heights", "low_stops", "code_stops", "wraps")
            ),
        )

    def at(self, index: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Radiance (B, 3, h, w), float32, of pixels of one picture per batch member.

        index: (B,); rows: (B, h, 1) or (B, h, w); columns: (B, 1, w) or (B, h, w); integers.
        Beyond the border, panoramas wrap sideways and repeat their poles; the rest is mirrored.
        """
        shape = (-1, 1, 1)
        width, height = self.widths[index].view(shape), self.heights[index].view(shape)
        wraps = self.wraps[index].view(shape)
        y = torch.where(wraps, torch.minimum(rows.clamp(min=0), height - 1), _mirror(rows, height))
        x = torch.where(wraps, columns.remainder(width), _mirror(columns, width))
        codes = self.codes[self.starts[index].view(shape) + y * width + x]
        stops = (codes.float() + _CODE_ZERO) * self.code_stops[index].view(-1, 1, 1, 1)
        stops += self.low_stops[index].view(-1, 1, 1, 1)
        return stops.exp2_().permute(0, 3, 1, 2)

    def windows(self, index: Tensor, top: Tensor, left: Tensor, size: tuple[int, int]) -> Tensor:
        """Windows (B, 3, height, width) of radiance, upper left pixels at `top`, `left`, (B,)."""
        rows = top.view(-1, 1, 1) + torch.arange(size[0], device=self.device).view(1, -1, 1)
        columns = left.view(-1, 1, 1) + torch.arange(size[1], device=self.device).view(1, 1, -1)
        return self.at(index, rows, columns)


def _mirror(index: Tensor, size: Tensor) -> Tensor:
    period = 2 * size
    index = index.remainder(period)
    return torch.minimum(index, period - 1 - index)


def build(items: Sequence[tuple[Entry, NDArray[np.uint16]]]) -> Panoramas:
    """Lay out pictures, given as entries and (H, W, 3) codes, in one Panoramas on the CPU."""
    if not items:
        raise InputError("expected at least one HDR picture, found none")
    entries = tuple(entry for entry, _ in items)
    sizes = [entry.width * entry.height for entry in entries]
    flat = np.empty((sum(sizes), 3), np.int16)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    for start, size, (_, codes) in zip(starts, sizes, items, strict=True):
        flat[start : start + size] = (codes.reshape(-1, 3).astype(np.int32) - _CODE_ZERO).astype(
            np.int16
        )
    ranges = [(entry.high_stops - entry.low_stops) / _CODES for entry in entries]
    return Panoramas(
        entries,
        torch.from_numpy(flat),
        torch.from_numpy(starts.astype(np.int64)),
        torch.tensor([entry.width for entry in entries]),
        torch.tensor([entry.height for entry in entries]),
        torch.tensor([entry.low_stops for entry in entries], dtype=torch.float32),
        torch.tensor(ranges, dtype=torch.float32),
        torch.tensor([entry.kind == "panorama" for entry in entries]),
    )


def from_radiance(pictures: Sequence[tuple[str, NDArray[np.float32]]]) -> Panoramas:
    """Panoramas of named radiance pictures (H, W, 3) in memory, not compressed, on the CPU."""
    items = []
    for name, radiance in pictures:
        codes, low, high = encode_log2(radiance)
        height, width = radiance.shape[:2]
        scene = scene_of(name)
        entry = Entry(
            name, scene, kind_of(radiance), split_of(scene), name, width, height, low, high
        )
        items.append((entry, codes))
    return build(items)


def load_packed(folder: Path, device: torch.device | str = "cpu") -> Panoramas:
    """Load a folder that `pack` wrote onto a device.

    Raises FileReadError if the folder is none, or a file in it is missing or damaged.
    """
    entries = read_manifest(folder)
    return build([(entry, _read_codes(folder / entry.file, entry)) for entry in entries]).to(device)


def read_manifest(folder: Path) -> tuple[Entry, ...]:
    """Entries of a packed folder."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise FileReadError(
                f"{path}: expected a manifest of format {FORMAT}, found {manifest['format']!r}; "
                "pack the folder again"
            )
        return tuple(Entry(**entry) for entry in manifest["images"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileReadError(
            f"{path}: expected the manifest of a packed folder, found none that can be read "
            f"({type(error).__name__}); make one with: ghostless data pack"
        ) from None


def _read_codes(path: Path, entry: Entry) -> NDArray[np.uint16]:
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise FileReadError(
            f"{path}: expected a packed picture, found none ({error.strerror}); pack again"
        ) from None
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if pixels is None or pixels.shape != (entry.height, entry.width, 3):
        raise FileReadError(f"{path}: expected a packed picture, found a damaged one; pack again")
    pixels = pixels[:, :, ::-1]
    if entry.kind != "surface":
        return np.asarray(pixels, np.uint16)
    stops = np.log2(np.maximum(color.to_linear(np.ascontiguousarray(pixels), "srgb"), 1e-9))
    share = (stops - entry.low_stops) / (entry.high_stops - entry.low_stops)
    return np.rint(np.clip(share, 0, 1) * _CODES).astype(np.uint16)


def check_split(panoramas: Panoramas, split: Split) -> Panoramas:
    """Return the pictures of a split; raise OptionError where there is none."""
    chosen = panoramas.select(split=split)
    if not chosen.select(kinds=("panorama", "picture")).entries:
        raise OptionError(
            f"expected HDR pictures of split {split!r}, found none; pack two scenes or more"
        )
    return chosen
