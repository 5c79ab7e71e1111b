"""The tables of `methods/meflut.py` as a network's weights: what is stored, and how it is checked.

No network runs: whoever made the tables asked theirs what weight it gives each grey.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..errors import WeightsError
from .published import Published, State
from .published_files.text_tables import read_table
from .weights import NetworkKind

LEVELS = 256


@dataclass(frozen=True)
class MeflutArchitecture:
    """For how many frames there are curves, a set for each number."""

    frames: tuple[int, ...] = (2, 3, 4)


class Meflut(nn.Module):
    """Curves: for each number of frames K, (K, 256), the brightest frame first."""

    def __init__(self, architecture: MeflutArchitecture = MeflutArchitecture()) -> None:
        super().__init__()
        self.architecture = architecture
        self.curves = nn.ParameterDict(
            {str(count): nn.Parameter(torch.rand(count, LEVELS)) for count in architecture.frames}
        )


NETWORK = NetworkKind(
    name="meflut",
    architecture=MeflutArchitecture,
    build=Meflut,
    train_command="ghostless weights import meflut FILE -o OUT.safetensors",
)


def _read_published(files: Sequence[Path]) -> tuple[MeflutArchitecture, State]:
    """A set of curves from each folder, K_weight.txt in it being that of the K-th brightest."""
    sets: dict[Path, dict[int, Path]] = {}
    for file in files:
        found = re.fullmatch(r"(\d{1,2})_weight\.txt", Path(file).name)
        if found is None:
            raise WeightsError(
                f"{file}: expected a name K_weight.txt that tells which frame it is for, found "
                "another; give the files as their authors named them"
            )
        sets.setdefault(Path(file).resolve().parent, {})[int(found[1])] = Path(file)
    state: State = {}
    for folder, of_frames in sets.items():
        count, numbers = len(of_frames), sorted(of_frames)
        if numbers != list(range(count)) or count < 2 or f"curves.{count}" in state:
            raise WeightsError(
                f"{folder}: expected 0_weight.txt, 1_weight.txt ... for as many frames as there "
                f"are, found {count} ({', '.join(of_frames[n].name for n in numbers)}); give all "
                "files of a folder, and one folder for each number of frames"
            )
        curves = [read_table(of_frames[number]) for number in numbers]
        for number, curve in zip(numbers, curves, strict=True):
            if len(curve) != LEVELS:
                raise WeightsError(
                    f"{of_frames[number]}: expected {LEVELS} weights, found {len(curve)}; "
                    "the file is of something else"
                )
        state[f"curves.{count}"] = np.clip(np.stack(curves), 0, 1)
    counts = sorted(int(name.rpartition(".")[2]) for name in state)
    return MeflutArchitecture(tuple(counts)), state


PUBLISHED = Published(
    files="the files K_weight.txt of one or more of the folders 2frames, 3frames, 4frames",
    source="the authors' project MEFLUT",
    licence="MIT",
    read=_read_published,
)
