"""Weights of networks as safetensors files that say what they are.

A file holds one network ready to run (spectral norms folded) and, in its metadata, the network's
name and architecture, the recipe and data it was trained with, the commit of the program that did
it, and the scores it reached. Nothing is unpickled, and importing this module imports no torch.

Shipped files are src/ghostless/weights/NAME.safetensors, each with a card NAME.md beside it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError
from ..io.atomic import write_atomically
from ..io.regular import open_regular
from .settings import NetworkSettings, choose_device, choose_dtype

if TYPE_CHECKING:
    import torch
    from torch import nn

WEIGHTS_FOLDER = Path(__file__).resolve().parents[1] / "weights"

_METADATA_KEY = "ghostless"
_LENGTH_BYTES = 8  # safetensors: the header's length, little-endian, then the header as JSON
_LONGEST_HEADER = 2**26
_LONGEST_DESCRIPTION = 2**18
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Sides:
    """Which heights and widths a network takes, and how images are filled up to them.

    multiple: what sides must be multiples of. least: the shortest side.
    border: what is added at the bottom and at the right, and cut off the result again: the image
        mirrored ("reflect") or its last pixel repeated ("replicate").
    """

    multiple: int = 1
    least: int = 1
    border: Literal["reflect", "replicate"] = "reflect"

    @property
    def shortest(self) -> int:
        """The shortest side that is a multiple."""
        return -(-self.least // self.multiple) * self.multiple

    def padded(self, height: int, width: int) -> tuple[int, int]:
        """Smallest size that the network takes and an image of this size fits into."""
        rows, columns = (-(-side // self.multiple) * self.multiple for side in (height, width))
        return max(self.shortest, rows), max(self.shortest, columns)


def _any_sides(architecture: Any) -> Sides:
    return Sides()


@dataclass(frozen=True)
class NetworkKind:
    """A kind of network whose weights can be stored: its name and how to build it.

    architecture: frozen dataclass of the constructor's parameters, all with defaults.
    build: makes the network from an architecture.
    train_command: what the user types to make weights.
    sides: of the images that a network of an architecture takes.
    onnx: for a network that the core runs without torch: makes the ONNX file that ships beside the
        weights.
    run: of a network of two frames, how it runs on a pair with torch, see `methods.pairs.RunPair`.
    map_bytes_per_pixel: of one, as of `nn.fast.fuse_at_quality`.
    """

    name: str
    architecture: type[Any]
    build: Callable[[Any], nn.Module]
    train_command: str
    sides: Callable[[Any], Sides] = _any_sides
    onnx: Callable[[Any], bytes] | None = None
    run: Callable[..., None] | None = None
    map_bytes_per_pixel: int = 0


@dataclass(frozen=True)
class WeightsInfo:
    """What a weights file says about itself.

    recipe: how it was trained (steps, batch, rates, losses). data: on what, in words.
    scores: results of validation by name. published: of weights that are not ours but their
        authors', where from, under which licence and from which files (see `published`).
    """

    network: str
    architecture: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    data: str = ""
    commit: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    published: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadedNetwork:
    """A network ready to run on a device, and the type that its convolutions compute in."""

    network: Any
    info: WeightsInfo
    device: torch.device
    dtype: torch.dtype


def shipped_path(name: str) -> Path:
    """Return where the weights of a network lie if they ship with the package."""
    return WEIGHTS_FOLDER / f"{name}.safetensors"


def has_weights(name: str) -> bool:
    """Whether weights of this network ship with the package."""
    return shipped_path(name).is_file()


def find_weights(kind: NetworkKind, path: Path | str | None = None) -> Path:
    """Return the weights file to use: the one given or the shipped one.

    Raises WeightsError that names the training command if there is none.
    """
    return find_file(kind.name, kind.train_command, path)


def find_file(name: str, train_command: str, path: Path | str | None) -> Path:
    """`find_weights` by the network's name."""
    if path is None and has_weights(name):
        return shipped_path(name)
    if path is not None and Path(path).is_file():
        return Path(path)
    start, what = "", "none shipped with this version"
    if path is not None:
        start, what = f"{path}: ", "no such file"
    raise WeightsError(
        f"{start}expected the weights of {name!r}, found {what}; make them with: {train_command}"
    )


def check_weights(name: str, command: str, path: Path | str | None = None) -> None:
    """Raise WeightsError for what can be told of a weights file at once, without loading it.

    name: of the network that it should be of. command: what makes it. path: None for the shipped
    file.
    """
    found = find_file(name, command, path)
    info = read_info(found)
    if info.network != name:
        raise _other_network(found, name, info, command)


def _other_network(path: Path, name: str, info: WeightsInfo, train_command: str) -> WeightsError:
    return WeightsError(
        f"{path}: expected weights of {name!r}, found those of {_short(info.network)!r}; "
        f"give the right file or make it with: {train_command}"
    )


def save_weights(
    network: nn.Module,
    path: Path | str,
    info: WeightsInfo,
    precision: Literal["float32", "bfloat16"] = "float32",
    overwrite: bool = True,
) -> None:
    """Write a network and what is known about it to a safetensors file, atomically.

    network: built from `info.architecture`, which is overwritten by `network.architecture` where
        the network has one. It is not changed; spectral norms are folded in what is written.
    precision: of kernels and matrices; biases, norms and statistics stay float32.
    Raises WeightsError for a network with values that are not finite, OutputError where the file
    cannot be written.
    """
    import torch
    from safetensors.torch import save

    from .blocks import folded_state

    architecture = getattr(network, "architecture", None)
    if architecture is not None:
        info = dataclasses.replace(info, architecture=dataclasses.asdict(architecture))
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    tensors = {}
    for name, value in folded_state(network).items():
        if value.is_floating_point():
            value = value.to(dtype if value.ndim >= 2 else torch.float32)
            if not bool(torch.isfinite(value).all()):
                raise WeightsError(
                    f"{path}: expected finite weights, found NaN or infinity in {name!r}; "
                    "the training diverged, go back to an earlier checkpoint"
                )
        tensors[name] = value.detach().cpu().contiguous()
    text = json.dumps(dataclasses.asdict(info), sort_keys=True)
    data = save(tensors, metadata={_METADATA_KEY: text})
    write_atomically(path, lambda scratch: _write(scratch, data), overwrite=overwrite)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def read_info(path: Path | str) -> WeightsInfo:
    """Read what a weights file says about itself, without its weights (and without torch).

    Raises WeightsError if the file is missing, truncated, not safetensors or not one of ours.
    """
    return _read_header(Path(path))[0]


def stored_parameters(path: Path | str) -> int:
    """Count the parameters in a weights file by its header, without torch.

    What norms keep of the training's statistics is no parameter. Raises WeightsError like
    `read_info`.
    """
    _, shapes = _read_header(Path(path))
    return sum(
        math.prod(shape)
        for name, shape in shapes.items()
        if name.rpartition(".")[2] not in _STATISTICS
    )


def _read_header(path: Path) -> tuple[WeightsInfo, dict[str, tuple[int, ...]]]:
    """What a weights file says about itself, and the shapes of its tensors."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(_LENGTH_BYTES)
            length = int.from_bytes(start, "little")
            header = _parse_header(path, size, start, file.read(min(length, _LONGEST_HEADER)))
    except OSError as error:
        raise WeightsError(
            f"{path}: expected a weights file, found it cannot be read ({error.strerror}); "
            "check its name and permissions"
        ) from None
    metadata = header.pop("__metadata__", None)
    ours = metadata.get(_METADATA_KEY) if isinstance(metadata, dict) else None
    if ours is None:
        raise WeightsError(
            f"{path}: expected weights saved by Ghostless, found a safetensors file without their "
            "description; give a file made by 'ghostless train'"
        )
    return _parse_description(path, ours), {k: tuple(v["shape"]) for k, v in header.items()}


def _parse_description(path: Path, text: Any) -> WeightsInfo:
    try:
        if len(text) > _LONGEST_DESCRIPTION:
            raise ValueError("too long")
        info = WeightsInfo(**json.loads(text))
        texts = (info.network, info.data, info.commit)
        tables = (info.architecture, info.recipe, info.scores, info.published)
        if not all(isinstance(value, str) for value in texts) or not all(
            isinstance(value, dict) for value in tables
        ):
            raise TypeError
    except (TypeError, ValueError, RecursionError):
        raise WeightsError(
            f"{path}: expected the description of a network, found one that cannot be read; "
            "the file is damaged or from another version, fetch it again"
        ) from None
    return info


def _parse_header(path: Path, size: int, start: bytes, text: bytes) -> dict[str, Any]:
    """Check that a file is whole and return its header.

    start: the file's first 8 bytes; text: as many of those after them as these tell.
    """
    if not text.startswith(b"{"):
        found = "a PyTorch pickle, which is never opened" if _is_pickle(start) else "something else"
        found = found if start else "an empty file"
        raise WeightsError(
            f"{path}: expected a safetensors file, found {found}; "
            "give a file made by 'ghostless train' or 'ghostless weights import'"
        )
    try:
        header: dict[str, Any] = json.loads(text)
        tensors = [value for name, value in header.items() if name != "__metadata__"]
        ends = [value["data_offsets"][1] for value in tensors]
        whole = size >= _LENGTH_BYTES + len(text) + max(ends, default=0) and all(
            isinstance(length, int) and length >= 0 for each in tensors for length in each["shape"]
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise WeightsError(
            f"{path}: expected a whole safetensors file, found one that is truncated or damaged "
            f"({size} bytes); fetch or train it again"
        )
    return header


def _is_pickle(start: bytes) -> bool:
    return start[:2] == b"PK" or start[:1] == b"\x80"


def load_weights(kind: NetworkKind, path: Path | str | None = None) -> tuple[Any, WeightsInfo]:
    """Build a network and fill it from a weights file (None for the shipped one).

    Returns the network, float32, on the CPU, in evaluation mode, folded and without gradients, and
    what the file says. Raises WeightsError, one line, for every way in which a file can be wrong.
    """
    found = find_weights(kind, path)
    info, shapes = _read_header(found)
    if info.network != kind.name:
        raise _other_network(found, kind.name, info, kind.train_command)
    if found.parent != WEIGHTS_FOLDER:
        # What a stranger's file says may take any memory to build: first without memory, to see
        # that it is what the file holds.
        import torch

        with torch.device("meta"):
            check_shapes(_build(kind, info, found), shapes, found)
    network = _build(kind, info, found)
    check_shapes(network, shapes, found)
    state = _read_tensors(found)
    check_values(network, state, found)
    network.load_state_dict(state)
    return network.eval().requires_grad_(False), info


def _build(kind: NetworkKind, info: WeightsInfo, path: Path) -> nn.Module:
    from .blocks import built_folded

    values = {k: tuple(v) if isinstance(v, list) else v for k, v in info.architecture.items()}
    try:
        return built_folded(lambda: kind.build(kind.architecture(**values)))
    except Exception as error:  # whatever numbers of a stranger's make of the constructors
        found, why = (_short(each) for each in (dict(info.architecture), error))
        raise WeightsError(
            f"{path}: expected an architecture of {kind.name!r} that this version can build, "
            f"found {found} ({why}); update Ghostless or train again with: "
            f"{kind.train_command}"
        ) from None


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    import torch
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except Exception as error:  # safetensors' own, and those of types that torch does not have
        raise WeightsError(
            f"{path}: expected a readable safetensors file, found a damaged one "
            f"({_short(error)}); fetch or train it again"
        ) from None
    return {
        name: value.to(torch.float32) if value.is_floating_point() else value
        for name, value in tensors.items()
    }


def load_arrays(
    name: str, train_command: str, path: Path | str | None = None
) -> tuple[dict[str, NDArray[np.float32]], WeightsInfo]:
    """Read the weights of a network that runs without torch, by name, as float32.

    Shapes are for the network to check. Raises WeightsError like `load_weights`.
    """
    found = find_file(name, train_command, path)
    info, _ = _read_header(found)
    if info.network != name:
        raise _other_network(found, name, info, train_command)
    data = found.read_bytes()
    start = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
    header = json.loads(data[_LENGTH_BYTES:start])
    header.pop("__metadata__")
    arrays = {}
    for tensor, entry in header.items():
        first, last = entry["data_offsets"]
        try:
            arrays[tensor] = _as_float32(data[start + first : start + last], entry)
        except (KeyError, ValueError):
            raise WeightsError(
                f"{found}: expected a readable safetensors file, found a damaged one "
                f"({_short(tensor)}); fetch or train it again"
            ) from None
        if not np.isfinite(arrays[tensor]).all():
            raise WeightsError(
                f"{found}: expected finite weights, found NaN or infinity in {tensor!r}; "
                "the file is damaged or its training diverged"
            )
    return arrays, info


def _as_float32(data: bytes, entry: Mapping[str, Any]) -> NDArray[np.float32]:
    """A tensor's bytes as an array; ValueError or KeyError for what they cannot be."""
    if entry["dtype"] == "BF16":
        # The upper half of a float32.
        values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        values = np.frombuffer(data, {"F32": "<f4", "F16": "<f2", "I64": "<i8"}[entry["dtype"]])
    return np.asarray(values.reshape(entry["shape"]), np.float32)


def check_shapes(network: nn.Module, found: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Raise WeightsError, naming the first, for tensors that are not those of a network."""
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    for name, shape in wanted.items():
        if name not in found:
            raise WeightsError(
                f"{path}: expected a tensor {name!r}, found none; the file is of another network"
            )
        if found[name] != shape:
            raise WeightsError(
                f"{path}: expected {name!r} of shape {shape}, "
                f"found {found[name]}; the file is of another network"
            )
    surplus = sorted(set(found) - set(wanted))
    if surplus:
        raise WeightsError(
            f"{path}: expected {len(wanted)} tensors, found {len(surplus)} more "
            f"({_short(surplus[0])!r} first); the file is of another network"
        )


def check_values(network: nn.Module, found: Mapping[str, torch.Tensor], path: Path) -> None:
    """Raise WeightsError for tensors of another type than a network's, and for NaN."""
    import torch

    for name, value in network.state_dict().items():
        if found[name].is_floating_point() != value.is_floating_point():
            raise WeightsError(
                f"{path}: expected {name!r} of type {value.dtype}, found {found[name].dtype}; "
                "the file is of another network"
            )
        if not bool(torch.isfinite(found[name]).all()):
            raise WeightsError(
                f"{path}: expected finite weights, found NaN or infinity in {name!r}; "
                "the file is damaged or its training diverged"
            )


def _short(value: object) -> str:
    """What to say of something in one line, whatever its size."""
    text = " ".join(str(value).split())
    return text if len(text) <= 200 else f"{text[:200]}..."


def load_network(kind: NetworkKind, settings: NetworkSettings) -> LoadedNetwork:
    """Return a network as the settings ask: its weights, on its device, ready to run.

    The last few networks are kept, so that a batch loads each once.
    """
    import torch

    path = find_weights(kind, settings.weights)
    device = choose_device(settings.device)
    stamp = path.stat()
    network, info = _load_onto(
        kind,
        path.resolve(),
        stamp.st_mtime_ns,
        stamp.st_size,
        torch.device(device),
        device.type == "cuda" if settings.compile is None else settings.compile,
    )
    return LoadedNetwork(network, info, device, choose_dtype(settings.precision, device))


@lru_cache(maxsize=4)
def _load_onto(
    kind: NetworkKind,
    path: Path,
    _changed_ns: int,
    _size: int,
    device: torch.device,
    compiled: bool,
) -> tuple[nn.Module, WeightsInfo]:
    import torch

    from .blocks import compile_blocks

    network, info = load_weights(kind, path)
    # Channels last: 1.4 to 3 times faster for these convolutions on CPUs, and on tensor cores.
    network = network.to(device=device, memory_format=torch.channels_last)
    if compiled:
        compile_blocks(network)
    return network, info
