"""LuckyHDR's protocol on scenes of ours: three photos of HDR pictures, by cameras as people have.

In three settings: 2 stops apart and 3 stops apart, the camera in a hand and things moving; and 2
stops apart, nothing but the frames moving, by affine maps of up to 20 pixels. The pictures are
those that no network is trained on. The paper's own scenes are not at hand.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import OptionError
from ...io.write import WriteSettings, write_text
from ...nn.settings import needs_torch_extra
from ...pixels.stripes import Progress, part
from ..data.scenes import Scene, read_simulated
from .printed import Printed

if TYPE_CHECKING:
    from ..data.draws import SimulationSettings

GROUPS = ("2-stops", "3-stops", "affine")
PRINTED = Printed(
    paper="LuckyHDR's paper",
    groups={
        "2-stops": "2 stops apart",
        "3-stops": "3 stops apart",
        "affine": "affine, up to 20 pixels",
    },
    scores={
        "LuckyHDR": {"2-stops": 33.6, "3-stops": 36.5, "affine": 33.0},
        "SAFNet, retrained": {"2-stops": 30.6, "3-stops": 32.4, "affine": 29.4},
        "HDR+": {"2-stops": 27.3, "3-stops": 28.4, "affine": 28.0},
    },
    weakest="HDR+",
    baseline="debevec:align=none,deghost=off",
)
# Of the photos, height and width.
_SIZE = (512, 768)
_SEED = 11
_MADE = "made.json"
# Shift, and what stretch and shear move the borders: up to 20 pixels in the corners together.
_SHIFT_PIXELS, _AFFINE_PIXELS = 11.0, 5.0


def read_groups(folder: Path) -> tuple[Scene, ...]:
    """The scenes of every group in a folder that `make_brackets` filled; others as `simulated`."""
    found = [
        replace(scene, name=f"{group}-{scene.name}")
        for group in GROUPS
        if (folder / group).is_dir()
        for scene in read_simulated(folder / group)
    ]
    return tuple(found) or read_simulated(folder)


def settings_of(group: str) -> SimulationSettings:
    """What brackets of a group are like."""
    from ..data.camera_settings import CameraSettings
    from ..data.draws import SimulationSettings

    gap = 3.0 if group == "3-stops" else 2.0
    settings = SimulationSettings(
        size=_SIZE,
        frames=(3, 3),
        gap_stops=(gap, gap),
        reference=1,
        objects=(1, 3),
        ghosts=False,
        camera=CameraSettings(jpeg_share=0).faithful(),
    )
    if group != "affine":
        return settings
    return replace(
        settings,
        objects=(0, 0),
        shake_pixels=_SHIFT_PIXELS,
        shake_degrees=0.0,
        shake_perspective_pixels=0.0,
        shake_affine_pixels=_AFFINE_PIXELS,
    )


def make_brackets(pictures: Path, out: Path, count: int, progress: Progress | None = None) -> None:
    """Photograph HDR pictures into a folder: a subfolder for each group, `count` brackets in each.

    pictures: a folder that `ghostless data pack` wrote, of which the scenes held out are taken, or
        one of HDR files. What is there already stays.
    Raises OptionError for a folder that was filled from other pictures, what `load_sources` raises
    for pictures that cannot be read, and MissingPackageError without torch.
    """
    with needs_torch_extra("bench run lucky"):
        from ..data.export import bracket_folders, load_sources, write_brackets
        from ..data.panoramas import MANIFEST
        from ..data.simulate import BracketSimulator
    made = _made(out)
    if made and made.get("pictures") != str(pictures.absolute()):
        raise OptionError(
            f"{out}: expected brackets of {pictures.absolute()}, found those of "
            f"{made.get('pictures')}; give each run a folder of its own"
        )
    if made.get("count", 0) >= count:
        return
    sources = load_sources([pictures])
    if (pictures / MANIFEST).is_file():
        sources = sources.select(split="held-out")
    write = WriteSettings(overwrite=True)
    for number, group in enumerate(GROUPS):
        simulator = BracketSimulator(settings_of(group), sources)
        write_brackets(
            simulator,
            bracket_folders(out / group, count),
            write,
            seed=_SEED,
            suffix=".png",
            progress=part(progress, number / len(GROUPS), (number + 1) / len(GROUPS)),
        )
    facts = {"pictures": str(pictures.absolute()), "count": count}
    write_text(json.dumps(facts), out / _MADE, write)


def _made(out: Path) -> dict[str, Any]:
    """What a folder was filled from; nothing where it was not."""
    try:
        facts = json.loads((out / _MADE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}
