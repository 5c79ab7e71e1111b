"""The papers' ablation tables: every variant trained alike and briefly, scored alike.

A folder holds `runs/VARIANT/` (a training each, see `train.engine`), `scores/VARIANT.json` (values
of every held-out scene) and the tables `ablation.md`, `.csv` and `.json`. What is there is not done
again. A brief training shows which parts matter early on, not the papers' own figures, which stand
beside in the tables where a paper has them.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FileReadError, OptionError, unknown_name
from ...io.write import write_text
from ...methods import get_method
from ...nn.settings import needs_torch_extra
from ..environment import environment
from ..metrics import Images, score
from ..metrics.radiance import scaled
from ..metrics.table import METRICS
from .writing import OVERWRITE, make_results_folder, write_result

if TYPE_CHECKING:
    from ...nn.weights import NetworkKind
from .ablation_result import AblationResult
from .ablations import Variant, ablation_of
from .held_out import Scene

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class AblationSettings:
    """How brief, and where.

    preset: of the recipes: the losses of the paper, or "default". steps: of every training.
    batch, patch: None for what the table of ablations has.
    minutes: for the whole call; go on with the same command. variants: names; None for all.
    changes: NAME=VALUE of the recipe's numbers, for every variant.
    first_stage: weights of the stage that all variants share, a file or "shipped"; None trains it
        as briefly as the rest, which for chen-chuang's homographies is next to nothing.
    scenes: how many held-out ones at most.
    """

    preset: str = "paper"
    steps: int = 2000
    batch: int | None = None
    patch: int | None = None
    minutes: float | None = None
    variants: tuple[str, ...] | None = None
    changes: tuple[str, ...] = ()
    first_stage: str | None = None
    scenes: int = 16
    device: str = "auto"
    seed: int = 0
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1 or self.scenes < 1:
            raise OptionError(
                f"expected at least 1 step and 1 scene, found {self.steps} and {self.scenes}"
            )


def run(
    method: str,
    data: Path,
    out: Path,
    settings: AblationSettings | None = None,
    *,
    progress: Progress | None = None,
) -> AblationResult:
    """Train and score what is missing of a method's ablations, and write the tables.

    data: folder that `ghostless data pack` wrote, or photographed brackets (`data.photo_sets`).
    progress: called with (variant, fraction of all).
    Raises OptionError for unknown names and settings that differ from the folder's, FileReadError
    or BracketError where `data` is nothing to train on, MissingPackageError without torch.
    """
    settings = settings or AblationSettings()
    ablation = ablation_of(method)
    with needs_torch_extra(f"ablation of {method!r}"):
        from ..data.panoramas import MANIFEST
        from ..data.photo_sets import find_photo_set
    names = [variant.name for variant in ablation.variants]
    for name in settings.variants or ():
        if name not in names:
            raise unknown_name(f"variant of {method}", name, names)
    if not (data / MANIFEST).is_file():
        find_photo_set(data)  # what it is not is told before any work
    asked = _asked(method, data, settings)
    session = _Session(method, data, out, settings, asked)
    for variant in ablation.variants:
        session.prepare(ablation.stage, variant)  # what cannot be trained is told before any work
    session.check_first_stage()
    _check_folder(out, asked)
    chosen = settings.variants or tuple(names)
    wanted = [variant for variant in ablation.variants if variant.name in chosen]
    for number, variant in enumerate(wanted):
        if progress is not None:
            progress(variant.name, number / len(wanted))
        if not session.finish(variant):
            break
    if progress is not None:
        progress("done", 1.0)
    result = session.result()
    write_result(result, out / "ablation")
    return result


def _asked(method: str, data: Path, settings: AblationSettings) -> dict[str, Any]:
    """What must be the same for all variants of a folder."""
    ablation = ablation_of(method)
    return {
        "method": method,
        "data": data.name,
        "preset": settings.preset,
        "steps": settings.steps,
        "batch": settings.batch or ablation.batch,
        "patch": settings.patch or ablation.patch,
        "scenes": settings.scenes,
        "seed": settings.seed,
        **({"changes": list(settings.changes)} if settings.changes else {}),
        **({"first_stage": settings.first_stage} if settings.first_stage else {}),
    }


def _check_folder(out: Path, asked: Mapping[str, Any]) -> None:
    """Make the folder, or see that what is there was asked for in the same way."""
    path = out / "settings.json"
    if path.is_file():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise FileReadError(
                f"{path}: expected the settings of an ablation, found a damaged file; remove it"
            ) from None
        for name, value in asked.items():
            if before.get(name) != value:
                raise OptionError(
                    f"{out}: expected results with {name} {value!r}, found ones with "
                    f"{before.get(name)!r}; variants are trained alike: give another folder"
                )
        return
    make_results_folder(out)
    write_text(json.dumps(asked, indent=1) + "\n", path, OVERWRITE)


class _Session:
    """One call: what it trains with, what time is left."""

    def __init__(
        self,
        method: str,
        data: Path,
        out: Path,
        settings: AblationSettings,
        asked: Mapping[str, Any],
    ) -> None:
        self.method, self.data, self.out = method, data, out
        self.settings, self.asked = settings, asked
        self.ablation = ablation_of(method)
        self.ends = None
        if settings.minutes is not None:
            self.ends = time.monotonic() + 60 * settings.minutes
        self._scenes: list[Scene] | None = None

    def finish(self, variant: Variant) -> bool:
        """Train and score a variant as far as the time lasts; whether it is done."""
        if self._record(variant) is not None:
            return True
        first = self.ablation.first_stage
        if first is not None and not self._have_first(first):
            return False
        folder = self.out / "runs" / _slug(variant.name)
        if first is not None:
            # The engine takes the networks of earlier stages from the run's own folder.
            weights = self._first_weights()
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / weights.name).is_file():
                shutil.copyfile(weights, folder / weights.name)
        if not self._train(folder, self.ablation.stage, variant):
            return False
        self._score(variant, folder)
        return True

    def check_first_stage(self) -> None:
        """Raise OptionError or WeightsError for weights of a first stage that cannot be taken."""
        given, first = self.settings.first_stage, self.ablation.first_stage
        if given is None:
            return
        if first is None:
            raise OptionError(f"{self.method}: expected no first stage, found {given}")
        from ...nn.weights import load_weights

        load_weights(self._first_kind(), self._given_first())

    def _first_kind(self) -> NetworkKind:
        """What the stage that all variants share makes."""
        first = str(self.ablation.first_stage)
        (phase,) = self.prepare(first, Variant(first))[1]
        kind: NetworkKind = phase.export
        return kind

    def _given_first(self) -> Path:
        from ...nn.weights import find_weights

        given = self.settings.first_stage
        return find_weights(self._first_kind(), None if given == "shipped" else given)

    def _have_first(self, first: str) -> bool:
        """Bring the shared stage to its end; False where the time was over before."""
        folder = self.out / "runs" / first
        if self.settings.first_stage is None:
            return self._train(folder, first, Variant(first))
        weights = self._first_weights()
        if not weights.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._given_first(), weights)
        return True

    def _first_weights(self) -> Path:
        """Weights of the stage that all variants share."""
        name = f"{self._first_kind().name}.best.safetensors"
        return self.out / "runs" / str(self.ablation.first_stage) / name

    def _train(self, folder: Path, stage: str, variant: Variant) -> bool:
        """Bring a training to its end; False where the time was over before."""
        from ..train.checkpoint import has_checkpoint
        from ..train.engine import Run, RunSettings
        from ..train.sources import PhotoUse, open_data

        left = None
        if self.ends is not None:
            left = (self.ends - time.monotonic()) / 60
            if left <= 0:
                return False
        recipe, phases = self.prepare(stage, variant)
        photos = PhotoUse.of(recipe, self.data, folder)
        run = Run(
            self.method,
            recipe,
            phases,
            lambda device: open_data(self.data, device, photos=photos),
            folder,
            RunSettings(
                minutes=left,
                device=self.settings.device,
                seed=self.settings.seed,
                resume=has_checkpoint(folder),
                quiet=self.settings.quiet,
            ),
        )
        run.train()
        if run.stop_reason is not None and "minutes are over" not in run.stop_reason:
            raise KeyboardInterrupt
        return run.finished

    def prepare(self, stage: str, variant: Variant) -> tuple[Any, tuple[Any, ...]]:
        """Recipe and phase of a variant; raises OptionError for what cannot be trained."""
        from ..train.command import TrainOptions, prepare

        every = max(1, int(self.asked["steps"]) // 4)
        changes = {"validate_every": every, "log_every": max(1, every // 10)}
        changes |= {**self.ablation.recipe, **variant.recipe}
        changes |= {f"architecture.{name}": on for name, on in variant.architecture.items()}
        options = TrainOptions(
            preset=self.settings.preset,
            stage=stage,
            steps=self.asked["steps"],
            batch=self.asked["batch"],
            patch=self.asked["patch"],
            changes=(
                *(f"{name}={value}" for name, value in changes.items()),
                *self.settings.changes,
            ),
        )
        return prepare(self.method, options)

    def _score(self, variant: Variant, folder: Path) -> None:
        """Fuse every held-out scene as a user would, and write down its values."""
        from ...nn.blocks import count_parameters
        from ...nn.weights import load_weights

        kind = get_method(self.method).kind
        weights = folder / f"{kind.name}.best.safetensors"
        network, info = load_weights(kind, weights)
        fuse, settings_class = get_method(self.method).load()
        own = {**self.ablation.settings, **variant.settings}
        if own.get("homography") == "on":
            own["homography_weights"] = str(self._first_weights())
        how = settings_class(
            weights=weights, quality="full", precision="float32", device=self.settings.device, **own
        )
        scenes: dict[str, Any] = {}
        outputs: dict[str, dict[str, Any]] = {}
        for scene in self._held_out():
            fused = fuse(scene.stack, how).pixels
            scenes[scene.name] = _values(scene, fused, self.ablation.metrics)
            if self.ablation.outputs is not None:
                for number, output in enumerate(self.ablation.outputs(network, scene), start=1):
                    values = _values(scene, output, self.ablation.metrics)
                    outputs.setdefault(str(number), {})[scene.name] = values
        record = {
            "key": self._key(variant),
            "scenes": scenes,
            "outputs": outputs,
            "parameters": count_parameters(network),
            "trained": dict(info.recipe),
            "validation": dict(info.scores),
            "data": info.data,
            "commit": info.commit,
            "environment": environment(),
        }
        path = self._path(variant)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(json.dumps(record, indent=1, default=str) + "\n", path, OVERWRITE)

    def _held_out(self) -> list[Scene]:
        if self._scenes is None:
            from ...nn.settings import choose_device
            from ..train.sources import PhotoUse, open_data

            recipe, _ = self.prepare(self.ablation.stage, self.ablation.variants[0])
            photos = PhotoUse.of(recipe, self.data, self.out / "runs" / "scoring")
            device = choose_device(self.settings.device)
            data = open_data(self.data, device, photos=photos)
            self._scenes = self.ablation.scenes(data)[: self.settings.scenes]
        return self._scenes

    def _path(self, variant: Variant) -> Path:
        return self.out / "scores" / f"{_slug(variant.name)}.json"

    def _key(self, variant: Variant) -> str:
        """Hash of all that a variant's values depend on; figures of the paper do not count."""
        facts = [dict(self.asked), asdict(replace(variant, published={})), self.ablation.metrics]
        facts.append(dict(self.ablation.recipe))
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]

    def _record(self, variant: Variant) -> dict[str, Any] | None:
        try:
            record = json.loads(self._path(variant).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(record, dict) or record.get("key") != self._key(variant):
            return None
        return record

    def result(self) -> AblationResult:
        """What the folder holds by now."""
        found = {variant.name: self._record(variant) for variant in self.ablation.variants}
        records = {name: record for name, record in found.items() if record is not None}
        missing = tuple(name for name, record in found.items() if record is None)
        return AblationResult(self.method, self.out, self.asked, records, missing)


def _values(scene: Scene, fused: NDArray[Any], metrics: Sequence[str]) -> dict[str, float | None]:
    if scene.truth is None:
        assert scene.radiance is not None
        linear = scaled(fused, scene.radiance).astype(np.float32)
        images = Images(linear, true_radiance=scene.radiance)
    else:
        levels = np.rint(np.clip(fused, 0, 1) * 255).astype(np.uint8)
        sources = tuple(np.asarray(frame.pixels, np.uint8) for frame in scene.stack.frames)
        images = Images(levels, sources, truth=scene.truth, radiance=scene.radiance)
    fitting = [name for name in metrics if METRICS[name].applies_to(images)]
    found = score(images, fitting, threads=1)
    # JSON has no infinity; a perfect result has an infinite PSNR.
    return {name: value if np.isfinite(value) else None for name, value in found.items()}


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
