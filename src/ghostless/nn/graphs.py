"""Networks that ship as graphs, which onnxruntime runs: no torch is needed.

A network is parted into stages, so that it takes little memory: what sees the whole image runs
once, the rest tile by tile (see `regions`). `weights/graphs/NAME.json` says which stages there are
and what each takes and gives; `NAME-STAGE.onnx` beside it is a stage's graph without its weights,
which are filled in from a weights file of the same architecture. `research.light` writes both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError
from ..pixels.stripes import core_count, part
from ..work.packages import check_installed, is_installed, missing_package
from .regions import Progress, Region, Tile, make_tiles
from .settings import NetworkSettings
from .weights import WEIGHTS_FOLDER, Sides, WeightsInfo, find_file, load_arrays, read_info

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

GRAPHS_FOLDER = WEIGHTS_FOLDER / "graphs"

Array = NDArray[Any]
Arrays = Mapping[str, Array]

# Memory for the maps of one tile, which onnxruntime keeps for the next: see `nn.tiled`.
_TILE_BYTES = 2e8
_LEAST_TILE_PIXELS = 2**14


@dataclass(frozen=True)
class Stage:
    """A part of a network that is one graph.

    inputs, outputs: names of maps (1, C, H / scale, W / scale), with how many times smaller than
        the image they are; 0 for what has no place in the image. A map whose height or width is 1
        holds for all rows or columns.
    halo: how many pixels the stage sees around each, None if it must have the whole image.
    multiple: what tiles must begin at multiples of. bytes_per_pixel: peak of all maps of a tile.
    weights: the names and shapes of what its graph lacks.
    """

    name: str
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    halo: int | None
    multiple: int
    bytes_per_pixel: int
    weights: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Plan:
    """The stages of a network, in their order, the first one's inputs being the network's.

    architecture: of the network that the graphs are of. defaults: what holds for a weights file
        that does not say.
    """

    name: str
    train_command: str
    architecture: Mapping[str, Any]
    defaults: Mapping[str, Any]
    sides: Sides
    stages: tuple[Stage, ...]

    @classmethod
    def read(cls, name: str) -> Plan:
        """The plan that ships with a network of `has_graphs`."""
        found = json.loads(_plan_path(name).read_text(encoding="utf-8"))
        stages = [
            Stage(**{**stage, "weights": {k: tuple(v) for k, v in stage["weights"].items()}})
            for stage in found.pop("stages")
        ]
        return cls(**{**found, "sides": Sides(**found["sides"]), "stages": tuple(stages)})


def has_graphs(name: str) -> bool:
    """Whether the network of this name ships as graphs."""
    return _plan_path(name).is_file()


def use_graphs(name: str) -> bool:
    """Whether a network runs as graphs here: where it ships as such and torch is not installed."""
    return has_graphs(name) and not is_installed("torch")


def graph_path(name: str, stage: str) -> Path:
    """Where a stage's graph lies."""
    return GRAPHS_FOLDER / f"{name}-{stage}.onnx"


def _plan_path(name: str) -> Path:
    return GRAPHS_FOLDER / f"{name}.json"


@dataclass(frozen=True)
class GraphNetwork:
    """A network ready to run: its plan, and a session of onnxruntime for each stage."""

    plan: Plan
    sessions: Mapping[str, InferenceSession]

    def run(
        self,
        inputs: Arrays,
        size: tuple[int, int],
        *,
        wanted: Callable[[Region], bool] | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Array]:
        """Run the network on an image and return all maps that its stages made, by name.

        inputs: the network's, float32 (but where the plan says otherwise), of height and width
        `size`, which the plan's sides allow; a stage whose maps are among them
        is not run. wanted: whether a tile is needed; the others are 0.
        """
        maps = dict(inputs)
        count = len(self.plan.stages)
        for number, stage in enumerate(self.plan.stages):
            if stage.outputs.keys() <= maps.keys():
                continue
            session = self.sessions[stage.name]
            tell = part(progress, number / count, (number + 1) / count)
            if stage.halo is None:
                maps |= _call(session, stage, {name: maps[name] for name in stage.inputs})
            else:
                maps |= _in_tiles(session, stage, maps, size, wanted, tell)
            if tell is not None:
                tell(1.0)
        return maps


def _in_tiles(
    session: InferenceSession,
    stage: Stage,
    maps: Arrays,
    size: tuple[int, int],
    wanted: Callable[[Region], bool] | None,
    progress: Progress | None,
) -> dict[str, Array]:
    assert stage.halo is not None
    pixels = max(_LEAST_TILE_PIXELS, int(_TILE_BYTES / stage.bytes_per_pixel))
    tiles = make_tiles(*size, stage.halo, stage.multiple, pixels)
    whole: dict[str, Array] = {}
    for number, tile in enumerate(tiles):
        if wanted is None or wanted(tile.inner):
            feeds = {name: _cut(maps[name], tile, scale) for name, scale in stage.inputs.items()}
            for name, made in _call(session, stage, feeds).items():
                scale = stage.outputs[name]
                if name not in whole:
                    sides = (side // scale for side in size)
                    whole[name] = np.zeros((*made.shape[:2], *sides), made.dtype)
                tile.inner.cut(whole[name], scale)[...] = tile.keep(made, scale)
        if progress is not None:
            progress((number + 1) / len(tiles))
    return whole


def _call(session: InferenceSession, stage: Stage, feeds: Arrays) -> dict[str, Array]:
    names = list(stage.outputs)
    ready = {name: np.ascontiguousarray(array) for name, array in feeds.items()}
    return dict(zip(names, session.run(names, ready), strict=True))


def _cut(array: Array, tile: Tile, scale: int) -> Array:
    """What a tile needs of a map; one row or column is that of all."""
    if scale == 0:
        return array
    rows, columns = tile.outer.slices(scale)
    if array.shape[2] == 1:
        rows = slice(None)
    if array.shape[3] == 1:
        columns = slice(None)
    return array[:, :, rows, columns]


# Loading


def load_graphs(name: str, settings: NetworkSettings) -> GraphNetwork:
    """Return a network that ships as graphs, filled with weights, ready to run.

    The last few are kept. Raises MissingPackageError without onnxruntime and for settings that
    only torch can follow, WeightsError for weights that are not there, damaged, or of another
    architecture than the graphs.
    """
    check_graphs(name, settings)
    check_installed(f"network {name!r}", "networks")
    path = find_file(name, Plan.read(name).train_command, settings.weights)
    stamp = path.stat()
    return _load(name, path.resolve(), stamp.st_mtime_ns, stamp.st_size, core_count())


def check_graphs(name: str, settings: NetworkSettings) -> None:
    """Raise what would keep a network from running as graphs, before it is loaded.

    MissingPackageError for settings that ask for what only torch does, WeightsError for weights of
    another architecture.
    """
    plan = Plan.read(name)
    for asked, wanted in (
        (settings.quality == "full", "quality full (quality fast runs without it)"),
        (settings.device not in ("auto", "cpu"), f"device {settings.device}"),
        (settings.precision == "bfloat16", "precision bfloat16"),
        (bool(settings.compile), "compiling"),
    ):
        if asked:
            raise missing_package(f"{name}: {wanted}", "torch", "torch")
    path = find_file(name, plan.train_command, settings.weights)
    _check_architecture(plan, read_info(path), path)


def _check_architecture(plan: Plan, info: WeightsInfo, path: Path) -> None:
    if info.network == plan.name and {**plan.defaults, **info.architecture} != plan.architecture:
        raise WeightsError(
            f"{path}: expected weights of the architecture that ships, found another one, which "
            "only torch runs; install it with: pip install 'ghostless[torch]'"
        )


@lru_cache(maxsize=4)
def _load(name: str, path: Path, _changed_ns: int, _size: int, threads: int) -> GraphNetwork:
    import onnxruntime

    plan = Plan.read(name)
    arrays, info = load_arrays(name, plan.train_command, path)
    _check_architecture(plan, info, path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    sessions = {}
    for stage in plan.stages:
        model = graph_path(name, stage.name).read_bytes() + _weights_of(stage, arrays, path)
        sessions[stage.name] = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
    return GraphNetwork(plan, sessions)


def _weights_of(stage: Stage, arrays: Arrays, path: Path) -> bytes:
    """What is to follow the bytes of a stage's graph, so that it has its weights.

    Two messages of protobuf, one after the other, are one with the fields of both: here ModelProto
    with a graph (field 7) whose initializers (field 5) are TensorProto.
    """
    tensors = []
    for name, shape in stage.weights.items():
        array = arrays.get(name)
        if array is None or array.shape != shape:
            found = "none" if array is None else f"one of {array.shape}"
            raise WeightsError(
                f"{path}: expected a tensor {name!r} of shape {shape}, found {found}; "
                "the file is of another network"
            )
        dims = b"".join(b"\x08" + _varint(side) for side in shape)
        floats = b"\x10\x01"  # data type 1
        values = _field(9, np.ascontiguousarray(array, "<f4").tobytes())
        tensors.append(_field(5, dims + floats + _field(8, name.encode()) + values))
    return _field(7, b"".join(tensors))


def _field(number: int, data: bytes) -> bytes:
    """A field of protobuf that is bytes, text or a message."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
