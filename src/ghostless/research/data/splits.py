"""Which pictures are of one scene, and which scenes and surfaces nothing is trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from ...errors import FileReadError, OptionError

Split = Literal["train", "held-out"]

HDR_SUFFIXES = (".hdr", ".exr")
SURFACE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")

# Pictures of one place, or of skies that cannot be told apart, under the name of their scene.
SCENE_OF = {
    "pmndrs_sunrise": "spruit_sunrise",
    "pmndrs_venice": "venice_sunset",
    "pmndrs_workshop": "aerodynamics_workshop",
    "pmndrs_sky": "kloofendal_48d_partly_cloudy_puresky",
    "rustig_koppie_puresky": "qwantani_puresky",
    "brown_photostudio_06": "brown_photostudio_02",
    "brown_photostudio_07": "brown_photostudio_02",
    "studio_small_08": "studio_small_05",
    "studio_small_09": "studio_small_05",
}
# Scenes that nothing is trained on: in and out of doors, day, dusk and night, noisy and smooth.
HELD_OUT_SCENES = frozenset(
    (
        "spruit_sunrise",
        "leadenhall_market",
        "venice_sunset",
        "pmndrs_apartment",
        "chinese_garden",
        "drachenfels_cellar",
        "hotel_room",
        "modern_buildings_2",
        "narrow_moonlit_road",
        "small_hangar_01",
        "spiaggia_di_mondello",
        "wasteland_clouds_puresky",
    )
)
# Surfaces that nothing is trained on.
HELD_OUT_SURFACES = frozenset(
    ("Planks003", "brick_wall_005_diff", "fabric_pattern_07_col_1", "leaves_forest_ground_diff")
)


def scene_of(name: str) -> str:
    """Scene that a file's stem belongs to: resolution and origin in the name do not count.

    >>> scene_of("pmndrs_sunrise"), scene_of("hotel_room_1k_blender")
    ('spruit_sunrise', 'hotel_room')
    """
    stem = name.removesuffix("_blender").removesuffix("_Color")
    for resolution in ("_1k", "_2k", "_4k", "_8k", "_1K", "_2K", "_1K-JPG"):
        stem = stem.removesuffix(resolution)
    return SCENE_OF.get(stem, stem)


def split_of(scene: str) -> Split:
    """Side of the split that a scene is on."""
    return "held-out" if scene in HELD_OUT_SCENES | HELD_OUT_SURFACES else "train"


def names_to_hold_out(names: Iterable[str], share: float = 0.1, seed: int = 0) -> set[str]:
    """Choose the scenes to hold out of a set of which nobody has chosen any.

    The side of a scene depends on its name and the seed alone, so that a set that grows keeps its
    split. At least one scene is on each side; raises OptionError for fewer than two scenes.
    """
    ranked = sorted(set(names), key=lambda name: _place(name, seed))
    if not 0 < share < 1:
        raise OptionError(f"expected a share to hold out between 0 and 1, found {share}")
    if len(ranked) < 2:
        raise OptionError(f"expected at least 2 scenes to split, found {len(ranked)}")
    count = sum(_place(name, seed) < share for name in ranked)
    return set(ranked[: min(max(count, 1), len(ranked) - 1)])


def _place(name: str, seed: int) -> float:
    """A number 0..1 that a name and a seed always give."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64


def list_files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Files of a folder with certain suffixes, by name; raises FileReadError without any."""
    if not folder.is_dir():
        raise FileReadError(f"{folder}: expected a folder, found none; check its name")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    if not found:
        raise FileReadError(
            f"{folder}: expected a folder with {' or '.join(suffixes)} files, found none in it"
        )
    return found
