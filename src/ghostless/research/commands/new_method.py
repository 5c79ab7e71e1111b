"""`ghostless methods --new NAME`: a method's file, entry, page and test, to be filled in.

What is written works as it stands (the mean of the frames, or a network that starts as the mean of
two), so that the tests are green before the first line of one's own.
"""

from __future__ import annotations

import keyword
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template
from typing import Any

from ...errors import OptionError
from ...io.write import WriteSettings, write_text
from ...methods import METHODS

CHECKOUT = Path(__file__).resolve().parents[4]

_METHOD = '''\
"""What $name does, in one line.

Paper: none.
Built as: the mean of the frames, as a start.
Differs from the paper: -
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..bracket import Fused, Stack
from ..pixels.stripes import Progress, for_each_stripe


@dataclass(frozen=True)
class ${camel}Settings:
    """How the frames are fused. Every field is an option of the command, the page and presets."""


def fuse(
    stack: Stack,
    settings: ${camel}Settings = ${camel}Settings(),
    *,
    progress: Progress | None = None,
) -> Fused:
    """Fuse 1 to 20 aligned frames into one display image.

    stack: frames of any type and transfer, dark to bright; masks are honoured. Where all frames
        are masked, the reference is taken.
    progress: called with the fraction done, 0..1.
    Returns a display image, (H, W, 3) float32, 0..1, with the reference's metadata.
    """
    reference = stack.frames[stack.reference]
    size = (reference.height, reference.width)
    out = np.empty((*size, 3), np.float32)

    def work(start: int, stop: int) -> None:
        rows = slice(start, stop)
        total = np.zeros((stop - start, size[1], 3), np.float32)
        weights = np.zeros((stop - start, size[1], 1), np.float32)
        for number, frame in enumerate(stack.frames):
            mask = stack.weight(number, rows)
            weight = np.float32(1) if mask is None else mask[:, :, None]
            total += weight * frame.display(rows)
            weights += weight
        mean = total / np.maximum(weights, np.float32(1e-30))
        out[rows] = np.where(weights > 0, mean, reference.display(rows))

    for_each_stripe(*size, work, progress=progress)
    return Fused(np.clip(out, 0, 1, out=out), "display", reference.metadata)
'''

_NETWORK = '''\
"""What $name does, in one line.

Paper: none.
Built as: two convolutions that change the mean of two frames, as a start.
Differs from the paper: -
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..bracket import Fused, Stack
from ..nn.blocks import ConvBlock
from ..nn.weights import NetworkKind
from ..pixels.stripes import Progress
from .pairs import fuse_pairs, in_tiles
from .settings import PairSettings

# How far the network sees, in pixels, and the peak of its tensors while it runs.
HALO_PIXELS = 2
_BYTES_PER_PIXEL = 1024


@dataclass(frozen=True)
class ${camel}Architecture:
    """Which network.

    channels: of the layer between.
    """

    channels: int = 16


class ${camel}(nn.Module):
    """Fuses an under- and an over-exposed frame, (B, 3, H, W) RGB 0..1 each, to the same shape."""

    def __init__(self, architecture: ${camel}Architecture = ${camel}Architecture()) -> None:
        super().__init__()
        self.architecture = architecture
        self.first = ConvBlock(6, architecture.channels, activation="relu")
        self.last = ConvBlock(architecture.channels, 3, activation="none")

    def forward(self, *, over: Tensor, under: Tensor) -> Tensor:
        change: Tensor = self.last(self.first(torch.cat([over, under], dim=1)))
        return ((over + under) / 2 + change).clamp(0, 1)


# `sides`, where the network does not take any: see `nn.weights.Sides`.
NETWORK = NetworkKind(
    name="$name",
    architecture=${camel}Architecture,
    build=${camel},
    train_command="ghostless train $name",
    run=in_tiles(HALO_PIXELS, _BYTES_PER_PIXEL),
)


def fuse(stack: Stack, settings: PairSettings, progress: Progress | None = None) -> Fused:
    """Fuse two or more frames, dark to bright, into a display image: see `pairs.fuse_pairs`."""
    return fuse_pairs(stack, settings, "$name", progress=progress)
'''

_ENTRY = """\
        Method(
            name="$name",
            summary="what it does, in one line",
            output="display",
            settings=".$stem:${camel}Settings",
        ),
"""

_NETWORK_ENTRY = """\
        Method(
            name="$name",
            summary="network: what it does, in one line",
            output="display",
            frames=(2, MAX_FRAMES),
            frames_at_once=2,
            network=".$stem:NETWORK",
            graph="..research.graphs:rgb_pair",
        ),
"""

_PAGE = """\
# $name: what it does

For whom it is, in two sentences.

<!-- facts: $name -->
<!-- /facts -->

## The paper says

There is no paper.

## We built

- What it is made of, and why so.

## Use it

    ghostless fuse photos/ -o out.jpg --method $name$weights

## We measured

Tables of all methods are in [results.md](../results.md).

<!-- measured: $name -->
<!-- /measured -->
"""

_TEST = '''\
"""What $name is for; what it has in common with all methods is in test_every_method.py."""

from __future__ import annotations

import numpy as np

from ghostless.bracket import Frame, Stack
from ghostless.methods import fuse_stack


def test_two_greys_give_one_between() -> None:
    frames = tuple(Frame(np.full((8, 8, 3), value, np.uint8)) for value in (26, 128))
    fused = fuse_stack(Stack(frames, reference=0), "$name").pixels
    assert 26 / 255 < fused.min() <= fused.max() < 128 / 255
'''

_NETWORK_TEST = '''\
"""What $name is for; what it has in common with all methods is in test_every_method.py."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from ghostless.methods import get_method  # noqa: E402


def test_a_pair_gives_a_picture_of_its_size() -> None:
    kind = get_method("$name").kind
    network = kind.build(kind.architecture()).eval().requires_grad_(False)
    over, under = torch.rand(2, 1, 3, 24, 32)
    fused = network(over=over, under=under)
    assert fused.shape == over.shape
    assert 0 <= float(fused.min()) <= float(fused.max()) <= 1
'''

_END_OF_TABLE = "    )\n}\n"


@dataclass(frozen=True)
class NewMethod:
    """What was written for a new method. written: new files. changed: files with a new entry."""

    name: str
    written: tuple[str, ...]
    changed: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def as_text(self) -> str:
        lines = [f"{path}: written" for path in self.written]
        lines += [f"{path}: entry added" for path in self.changed]
        words = " or ".join(dict.fromkeys((self.name, self.name.replace("-", "_"))))
        test = f"python -m pytest -k '{words}' tests/methods"
        return "\n".join([*lines, f"its tests run with: {test}"])


def new_method(name: str, *, network: bool = False, checkout: Path = CHECKOUT) -> NewMethod:
    """Write a method's file, entry in the table, page and test into a checkout of the program.

    name: lower-case words joined by hyphens. network: of one of two frames at once.
    Raises OptionError for a name that is taken or is none, and where this is no checkout;
    OutputError for a file that cannot be written. Nothing is replaced.
    """
    stem = name.replace("-", "_")
    package = checkout / "src" / "ghostless" / "methods"
    table, index = package / "table.py", checkout / "docs" / "README.md"
    files = {
        package / f"{stem}.py": _NETWORK if network else _METHOD,
        checkout / "docs" / "methods" / f"{name}.md": _PAGE,
        checkout / "tests" / "methods" / f"test_{stem}.py": _NETWORK_TEST if network else _TEST,
    }
    _check(name, checkout, table, index, files)
    words = {
        "name": name,
        "stem": stem,
        "camel": "".join(part.capitalize() for part in name.split("-")),
        "weights": f" --weights {name}.safetensors" if network else "",
    }
    for path, text in files.items():
        write_text(Template(text).substitute(words), path)
    entry = Template(_NETWORK_ENTRY if network else _ENTRY).substitute(words)
    _insert(table, entry, before=_END_OF_TABLE)
    kind, photos = ("network: what it does", "in pairs") if network else ("what it does", "any")
    row = f"| [{name}](methods/{name}.md) | {photos} | picture | {kind} |\n"
    _insert(index, row, before="\n## For measuring")
    _fill_page(checkout)
    return NewMethod(name, tuple(map(str, files)), (str(table), str(index)))


def _check(name: str, checkout: Path, table: Path, index: Path, files: Iterable[Path]) -> None:
    """Raise OptionError for a name that is taken or is none, and where there is no checkout."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or keyword.iskeyword(name):
        raise OptionError(
            f"new: expected lower-case letters and digits with hyphens between, found {name!r}"
        )
    if not (table.is_file() and index.is_file() and (checkout / "tests" / "methods").is_dir()):
        raise OptionError(
            f"new: expected a checkout of Ghostless around the program, found none at {checkout}; "
            "clone it, and install it with: pip install -e ."
        )
    taken = [path for path in files if path.exists()]
    if name in METHODS or name == "auto" or taken:
        where = taken[0] if taken else table
        raise OptionError(f"new: expected a name that is free, found {name!r} taken by {where}")


def _insert(path: Path, text: str, before: str) -> None:
    found = path.read_text(encoding="utf-8")
    if found.count(before) != 1:
        raise OptionError(f"{path}: expected one {before.strip()!r} to add to, found another form")
    write_text(found.replace(before, text + before), path, WriteSettings(overwrite=True))


def _fill_page(checkout: Path) -> None:
    """Fill in the page's facts as `make docs` does; in a process that sees the new entry."""
    maker = checkout / "docs" / "renew.py"
    subprocess.run([sys.executable, maker], cwd=checkout, capture_output=True, check=False)
