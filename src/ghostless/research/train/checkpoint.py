"""The checkpoint of a run: kept so that a whole one is always there, and read with suspicion.

Two files: the newest, and the one before it. Either is written beside and moved into place, so a
kill leaves both whole; what else happens to files (a full disk, a cable, a copy that broke off, a
file of something else) is found out by the checksums and by what a run must hold. Nothing is
unpickled but tensors and plain values.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import FileReadError
from ...io.atomic import before_naming, write_atomically

CHECKPOINT = "checkpoint.pt"
EARLIER = "checkpoint.earlier.pt"

_PARTS = {"asked": dict, "state": dict, "networks": dict, "optimisers": dict}
# What Adam goes on from; plain SGD keeps nothing.
_OF_ADAM = ("step", "exp_avg", "exp_avg_sq")


def has_checkpoint(folder: Path) -> bool:
    """Whether a run began in this folder: even one whose newest checkpoint is gone."""
    return (folder / CHECKPOINT).exists() or (folder / EARLIER).exists()


def save_checkpoint(content: Mapping[str, Any], folder: Path) -> None:
    """Write a run's checkpoint; the one that was there becomes the earlier one.

    Raises OutputError where it cannot be written; both are then as they were.
    """

    def write(scratch: Path) -> None:
        with scratch.open("wb") as file:
            torch.save(content, file)

    with before_naming(lambda scratch, target: _keep_earlier(target)):
        write_atomically(folder / CHECKPOINT, write, overwrite=True)


def _keep_earlier(target: Path) -> None:
    """Call the checkpoint that is there the earlier one too, in one step."""
    if not target.is_file():
        return
    kept = target.with_name(f".{target.name}.{os.getpid()}.kept")
    try:
        try:
            os.link(target, kept)
        except OSError:  # a file system without links
            shutil.copyfile(target, kept)
        kept.replace(target.with_name(EARLIER))
    finally:
        kept.unlink(missing_ok=True)


def read_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint onto a device and check that it is one.

    Returns "asked" (the recipe), "state", and "networks", "average" and "optimisers" with what the
    phase goes on from (empty between phases). Raises FileReadError, one line, for every way in
    which a file can be wrong but for not fitting the networks: see `restore`.
    """
    _check_whole(path)
    try:
        saved = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # whatever a file of another program makes of the reader
        what = str(error).strip().split("\n")[0][:120]
        raise FileReadError(
            f"{path}: expected a checkpoint of 'ghostless train', found a file of something else "
            f"({type(error).__name__}: {what})"
        ) from None
    if not isinstance(saved, dict):
        raise _foreign(path, type(saved).__name__)
    for name, kind in _PARTS.items():
        if not isinstance(saved.get(name), kind):
            raise _foreign(path, f"no {name!r}")
    if saved["networks"] and not isinstance(saved.get("average"), dict):
        raise _foreign(path, "no 'average'")
    if saved["networks"].keys() != saved["optimisers"].keys():
        raise _foreign(path, "optimisers of other networks")
    return saved


def _foreign(path: Path, found: str) -> FileReadError:
    return FileReadError(f"{path}: expected a checkpoint of 'ghostless train', found {found}")


def _check_whole(path: Path) -> None:
    """Raise FileReadError unless the file is a whole archive as torch writes it.

    torch reads no checksums, and believes what an archive says about the size of its parts.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise FileReadError(f"{path}: expected a checkpoint, found no regular file")
        if size == 0:
            raise FileReadError(f"{path}: expected a checkpoint, found an empty file")
        with path.open("rb") as file:
            start = file.read(4)
        if start != b"PK\x03\x04":
            raise _foreign(path, "a file of something else")
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            # torch's reader takes a part with a folder's attribute for one, and reads nothing.
            stored = all(
                part.compress_type == zipfile.ZIP_STORED and not part.external_attr
                for part in parts
            )
            # Parts are checked by name, so two of one name would hide each other.
            stored = stored and len({part.filename for part in parts}) == len(parts)
            if not stored or sum(part.file_size for part in parts) > size:
                raise _foreign(path, "an archive of something else")
            damaged = archive.testzip()
    except OSError as error:
        raise FileReadError(
            f"{path}: expected a checkpoint, found it cannot be read ({error.strerror})"
        ) from None
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise FileReadError(
            f"{path}: expected a whole checkpoint, found one that is truncated or damaged "
            f"({size} bytes; {error})"
        ) from None
    if damaged is not None:
        raise FileReadError(
            f"{path}: expected a whole checkpoint, found a damaged one (a wrong checksum in "
            f"{damaged})"
        )


def restore(
    saved: Mapping[str, Any],
    networks: Mapping[str, nn.Module],
    average: nn.Module,
    optimisers: Mapping[str, torch.optim.Optimizer],
    path: Path,
) -> None:
    """Fill a phase's networks, their average and optimisers; FileReadError if they do not fit."""
    if saved["networks"].keys() != networks.keys():
        raise _unfit(path, f"networks {sorted(saved['networks'])}, not {sorted(networks)}")
    for name, network in networks.items():
        _fill(network, saved["networks"][name], f"of {name}", path)
    _fill(average, saved["average"], "of the average", path)
    for name, optimiser in optimisers.items():
        _fill_optimiser(optimiser, saved["optimisers"][name], name, path)


def _unfit(path: Path, found: str) -> FileReadError:
    return FileReadError(f"{path}: expected a checkpoint of this run, found {found}")


def _fill(network: nn.Module, state: Any, whose: str, path: Path) -> None:
    wanted = network.state_dict()
    if not isinstance(state, dict):
        raise _unfit(path, f"no tensors {whose}")
    for name in sorted(wanted.keys() | state.keys()):
        if name not in state:
            raise _unfit(path, f"no tensor {name!r} {whose}")
        found = state[name]
        if name not in wanted or not isinstance(found, Tensor):
            raise _unfit(path, f"something else {whose}: {name!r}")
        if found.shape != wanted[name].shape or found.dtype != wanted[name].dtype:
            raise _unfit(
                path,
                f"{name!r} {whose} of shape {tuple(found.shape)} ({found.dtype}), not "
                f"{tuple(wanted[name].shape)} ({wanted[name].dtype})",
            )
        if not bool(torch.isfinite(found).all()):
            raise _unfit(path, f"NaN or infinity in {name!r} {whose}")
    network.load_state_dict(state)


def _fill_optimiser(optimiser: torch.optim.Optimizer, state: Any, name: str, path: Path) -> None:
    fresh = [
        {key: value for key, value in group.items() if key not in ("params", "lr")}
        for group in optimiser.param_groups
    ]
    try:
        optimiser.load_state_dict(state)
    except Exception as error:
        what = str(error).split("\n")[0]
        raise _unfit(path, f"another optimiser of {name} ({what})") from None
    needed = _OF_ADAM if isinstance(optimiser, torch.optim.Adam) else ()
    for group, before in zip(optimiser.param_groups, fresh, strict=True):
        for key, value in before.items():
            if group.get(key) != value:
                raise _unfit(path, f"{key} = {group.get(key)} of {name}, not {value}")
        for parameter in group["params"]:
            kept = optimiser.state.get(parameter, {})
            whole = isinstance(kept, dict) and (not kept or all(key in kept for key in needed))
            if not whole or any(
                not isinstance(value, Tensor) or (value.ndim and value.shape != parameter.shape)
                for value in kept.values()
                if value is not None  # SGD's momentum that it does not have
            ):
                raise _unfit(path, f"another state of the optimiser of {name}")


def in_place_of(path: Path, device: torch.device, folder: Path) -> str:
    """What to do about a checkpoint that cannot be used: names the last good one, if any."""
    earlier = folder / EARLIER
    with suppress(FileReadError):
        if path != earlier and earlier.exists():
            state = read_checkpoint(earlier, device)["state"]
            return (
                f"the last good one is {earlier} (step {state.get('step')}); to go on from it, "
                f"rename it to {CHECKPOINT}"
            )
    best = sorted(folder.glob("*.best.safetensors"))
    if best:
        return (
            f"no earlier one is whole; the last good weights are {best[-1]}: "
            "start a new run from them with --start"
        )
    return "no earlier one is whole; start again in another folder"
