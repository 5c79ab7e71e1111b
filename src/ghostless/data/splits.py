"""Which pictures are of one scene, and which scenes and surfaces nothing is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ..errors import FileReadError

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
