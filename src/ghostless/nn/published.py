"""Weights that the authors of a method published, taken over into files of ours.

How they are read stands beside each network as a `Published`; the readers of file formats are in
`published_files`. What is read is strange data: nothing in it is run, every name and shape must be
those of the network, and what fits is written as any weights are, with where it is from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError
from .weights import NetworkKind, WeightsInfo, check_shapes, check_values, save_weights

State = dict[str, NDArray[np.float32]]

# Batch norms count the steps of their training, which older programs did not store.
_COUNT = "num_batches_tracked"


@dataclass(frozen=True)
class Published:
    """How weights that a method's authors published are read.

    files: in words, what files are wanted, "MEFNet_release.pt". source: where they are published,
        in words. licence: of the source, in words; "none stated".
    read: makes of the files the architecture of the network that they are of, and its state, by
        the names of ours. Raises WeightsError for files that it cannot be.
    """

    files: str
    source: str
    licence: str
    read: Callable[[Sequence[Path]], tuple[Any, State]]


def import_weights(
    kind: NetworkKind,
    published: Published,
    files: Sequence[Path],
    out: Path,
    *,
    overwrite: bool = False,
) -> WeightsInfo:
    """Write a weights file of ours from the files of a network's authors; return what it says.

    Raises WeightsError, one line, for files that are missing, damaged or of another network, and
    OutputError where `out` cannot be written.
    """
    import torch

    from .blocks import built_folded

    if not files:
        raise WeightsError(
            f"{kind.name}: expected the files of its authors, found none; give {published.files} "
            f"(from {published.source})"
        )
    architecture, state = published.read(files)
    named = Path(files[0])
    network = built_folded(lambda: kind.build(architecture))
    found = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
    for name, value in network.state_dict().items():
        if name.endswith(_COUNT):
            found.setdefault(name, value)
    check_shapes(network, {name: tuple(value.shape) for name, value in found.items()}, named)
    check_values(network, found, named)
    network.load_state_dict(found)
    info = WeightsInfo(
        kind.name,
        data="not trained here: its authors' weights, as they published them",
        published={
            "source": published.source,
            "licence": published.licence,
            "files": [{"name": Path(file).name, "sha256": _sha256(file)} for file in files],
        },
    )
    save_weights(network.eval(), out, info, overwrite=overwrite)
    return info


def _sha256(path: Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def only_file(files: Sequence[Path], wanted: str) -> Path:
    """Return the one file there is; raise WeightsError that says which is wanted otherwise."""
    if len(files) != 1:
        raise WeightsError(f"expected one file, {wanted}, found {len(files)}; give that alone")
    return files[0]


def renamed(
    path: Path, found: Mapping[str, NDArray[np.float32]], names: Mapping[str, str]
) -> State:
    """The arrays of a file by the names of ours.

    names: ours of each name in the file. Raises WeightsError for the first that is not there, and
    for any that is there beside them.
    """
    for name in names:
        if name not in found:
            raise WeightsError(
                f"{path}: expected an array {name!r}, found none; the file is of another network"
            )
    for name in found:
        if name not in names:
            raise WeightsError(
                f"{path}: expected {len(names)} arrays, found {name!r} beside them; "
                "the file is of another network"
            )
    return {ours: found[theirs] for theirs, ours in names.items()}
