"""Checkpoints that something happened to: one line, the last good one named, nothing lost."""

from __future__ import annotations

import copy
import io
import pickle
import shutil
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from ghostless.errors import FileReadError, OptionError  # noqa: E402
from ghostless.research.train.checkpoint import CHECKPOINT, EARLIER, read_checkpoint  # noqa: E402
from tests.files import contents  # noqa: E402

from .test_engine import everything, make_run, stop_after  # noqa: E402

PLAIN: Any = {"backend": "plain", "precision": "float32"}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    """A run that was stopped at step 6 of its second phase, and once before at step 3."""
    folder = tmp_path_factory.mktemp("run")
    run = make_run(folder, **PLAIN)
    stop_after(run, 11)
    run.train()
    run = make_run(folder, **PLAIN, resume=True)
    stop_after(run, 3)
    run.train()
    return folder


@pytest.fixture
def run_folder(cut: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(cut, folder)
    return folder


def resume(folder: Path) -> Any:
    run = make_run(folder, **PLAIN, resume=True)
    run.train()
    return run


def change(path: Path, how: Callable[[dict[str, Any]], object]) -> None:
    """Change what a checkpoint says, in a file that is whole."""
    content = torch.load(path, weights_only=True)
    how(content)
    torch.save(content, path)


class Hostile:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("opened"),))


def _old_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"networks": Hostile()}))


def _hostile(path: Path) -> None:
    torch.save({"asked": {}, "state": {}, "networks": Hostile(), "optimisers": {}}, path)


def _flip(path: Path) -> None:
    """Change one bit inside of a tensor, where no parser looks."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda part: part.file_size)
        at = content.find(archive.read(largest))
    content[at + largest.file_size // 2] ^= 0x40
    path.write_bytes(content)


def _bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("checkpoint/data.pkl", bytes(10_000_000))


def _other_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("letter.txt", "Dear diary")


def _cut_at(share: float) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def _without(*place: str) -> Callable[[Path], object]:
    def remove(content: dict[str, Any]) -> None:
        inner = content
        for name in place[:-1]:
            inner = inner[name]
        del inner[place[-1]]

    return lambda path: change(path, remove)


def _set(value: Any, *place: Any) -> Callable[[Path], object]:
    def put(content: dict[str, Any]) -> None:
        inner: Any = content
        for name in place[:-1]:
            inner = inner[name]
        inner[place[-1]] = copy.deepcopy(value)

    return lambda path: change(path, put)


WEIGHT = "layers.0.weight"
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "an empty file"),
    "cut early": (_cut_at(0.02), "truncated or damaged"),
    "cut": (_cut_at(0.5), "truncated or damaged"),
    "cut late": (_cut_at(0.999), "truncated or damaged"),
    "flipped": (_flip, "damaged"),
    "text": (lambda path: path.write_text("not a checkpoint at all"), "something else"),
    "pickle": (_old_pickle, "something else"),
    "hostile": (_hostile, "something else"),
    "bomb": (_bomb, "something else"),
    "archive": (_other_archive, "something else"),
    "a tensor": (lambda path: torch.save(torch.zeros(3), path), "found Tensor"),
    "a network": (lambda path: torch.save({"a": torch.zeros(3)}, path), "found no 'asked'"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "no regular file"),
    "gone": (lambda path: path.unlink(), "cannot be read"),
    "no networks": (_without("networks"), "no 'networks'"),
    "no optimisers": (_without("optimisers"), "no 'optimisers'"),
    "no average": (_without("average"), "no 'average'"),
    "no state": (_without("state"), "no 'state'"),
    "no step": (_without("state", "step"), "no 'step'"),
    "no player": (_without("networks", "generator"), "other networks"),
    "no tensor": (_without("networks", "generator", WEIGHT), f"no tensor '{WEIGHT}'"),
    "no averaged tensor": (_without("average", WEIGHT), f"no tensor '{WEIGHT}' of the average"),
    "no moment": (_without("optimisers", "generator", "state", 0, "exp_avg"), "optimiser"),
    "no groups": (_without("optimisers", "generator", "param_groups"), "optimiser"),
    "step of text": (_set("six", "state", "step"), "no 'step'"),
    "step too large": (_set(10**9, "state", "step"), "cannot be gone on from"),
    "phase too large": (_set(5, "state", "phase"), "cannot be gone on from"),
    "phase negative": (_set(-1, "state", "phase"), "cannot be gone on from"),
    "networks empty": (
        lambda path: change(path, lambda c: c.update(networks={}, optimisers={})),
        "cannot be gone on from",
    ),
    "other shape": (_set(torch.zeros(2, 2), "networks", "generator", WEIGHT), "of shape (2, 2)"),
    "other type": (
        _set(torch.zeros(4, 6, 3, 3).double(), "networks", "generator", WEIGHT),
        "float64",
    ),
    "no numbers": (
        _set(torch.full((4, 6, 3, 3), torch.nan), "networks", "generator", WEIGHT),
        "NaN",
    ),
    "moment of other shape": (
        _set(torch.zeros(3), "optimisers", "generator", "state", 0, "exp_avg"),
        "optimiser",
    ),
    "moment of text": (_set("x", "optimisers", "generator", "state", 0, "exp_avg"), "optimiser"),
    "words for networks": (_set("x", "networks", "generator"), "no tensors of generator"),
    "asked for nothing": (_set([], "asked"), "no 'asked'"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_checkpoint_is_one_line_that_names_the_last_good_one(
    name: str, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run_folder.parent)
    damage, said = DAMAGE[name]
    damage(run_folder / CHECKPOINT)
    before = {k: v for k, v in contents(run_folder).items() if not k.startswith(("log", "events"))}
    with pytest.raises(FileReadError) as caught:
        resume(run_folder)
    line = str(caught.value)
    assert str(run_folder / CHECKPOINT) in line
    assert said in line
    assert f"the last good one is {run_folder / EARLIER} (step 3)" in line
    assert "\n" not in line
    assert len(line) < 700
    after = {k: v for k, v in contents(run_folder).items() if not k.startswith(("log", "events"))}
    assert after == before
    assert not (run_folder.parent / "opened").exists()


def test_the_named_checkpoint_leads_to_the_same_end(cut: Path, run_folder: Path) -> None:
    (run_folder / CHECKPOINT).write_bytes(b"")
    (run_folder / EARLIER).replace(run_folder / CHECKPOINT)
    resumed, whole = resume(run_folder), make_run(run_folder.with_name("whole"), **PLAIN)
    whole.train()
    for name, value in everything(whole).items():
        assert torch.equal(value, everything(resumed)[name]), name


def test_a_run_that_lost_its_newest_checkpoint_is_not_begun_anew(run_folder: Path) -> None:
    (run_folder / CHECKPOINT).unlink()
    with pytest.raises(OptionError, match="--resume"):
        make_run(run_folder).train()


def test_without_another_checkpoint_the_best_weights_are_named(run_folder: Path) -> None:
    _cut_at(0.5)(run_folder / CHECKPOINT)
    _cut_at(0.5)(run_folder / EARLIER)
    with pytest.raises(FileReadError, match=r"no earlier one is whole; .*best\.safetensors"):
        resume(run_folder)
    for path in run_folder.glob("*.best.safetensors"):
        path.unlink()
    with pytest.raises(FileReadError, match="start again in another folder"):
        resume(run_folder)


def test_any_flipped_byte_is_found_or_changes_nothing(run_folder: Path) -> None:
    path = run_folder / CHECKPOINT
    whole, device = path.read_bytes(), torch.device("cpu")
    expected = io.BytesIO()
    torch.save(read_checkpoint(path, device), expected)
    random = torch.Generator().manual_seed(0)
    for at in torch.randint(len(whole), (150,), generator=random).tolist():
        content = bytearray(whole)
        content[at] ^= 1 + at % 255
        path.write_bytes(content)
        with suppress(FileReadError):
            found = read_checkpoint(path, device)
            again = io.BytesIO()
            torch.save(found, again)
            assert again.getvalue() == expected.getvalue(), at
