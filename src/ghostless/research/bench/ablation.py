"""The papers' ablation tables: every variant trained alike and briefly, scored alike.

A folder holds `runs/VARIANT/` (a training each, see `train.engine`), `scores/VARIANT.json` (values
of every held-out scene) and the tables `ablation.md`, `.csv` and `.json`. What is there is not done
again. A brief training shows which parts matter early on, not the papers' own figures, which stand
beside in the tables where a paper has them.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...bracket import Frame, Stack
from ...errors import FileReadError, OptionError, OutputError, unknown_name
from ...io.write import WriteSettings, write_text
from ...methods import METHODS, get_method
from ...nn.settings import needs_networks_extra
from ..metrics import METRICS, Images, score
from ..metrics.radiance import scaled
from .networks import network_kind
from .results import bootstrap
from .run import environment

if TYPE_CHECKING:
    from ..train.samples import Batch, TrainingData

_OVERWRITE = WriteSettings(overwrite=True)
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Variant:
    """One row of a table.

    architecture: switches of the network. recipe: changed numbers of the training. settings: of
    the method when it fuses. published: the paper's own figures, by our metrics' names.
    """

    name: str
    architecture: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Ablation:
    """All of a paper's ablations.

    tables: names of variants by the title of their table. batch, patch: of the brief trainings.
    scenes: makes the held-out scenes. first_stage: trained once for all variants, if there is one.
    note: what a reader must know.
    """

    variants: tuple[Variant, ...]
    tables: Mapping[str, tuple[str, ...]]
    metrics: tuple[str, ...]
    batch: int
    patch: int
    scenes: Callable[[TrainingData], list[_Scene]]
    stage: str = "fusion"
    first_stage: str | None = None
    note: str = ""


@dataclass(frozen=True)
class AblationSettings:
    """How brief, and where.

    preset: of the recipes: the losses of the paper, or "default". steps: of every training.
    batch, patch: None for what the table of ablations has.
    minutes: for the whole call; go on with the same command. variants: names; None for all.
    scenes: how many held-out ones at most.
    """

    preset: str = "paper"
    steps: int = 2000
    batch: int | None = None
    patch: int | None = None
    minutes: float | None = None
    variants: tuple[str, ...] | None = None
    scenes: int = 16
    device: str = "auto"
    seed: int = 0
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1 or self.scenes < 1:
            raise OptionError(
                f"expected at least 1 step and 1 scene, found {self.steps} and {self.scenes}"
            )


# ---- held-out scenes ----


@dataclass(frozen=True)
class _Scene:
    """Frames to fuse and what the result is compared with."""

    name: str
    stack: Stack
    truth: NDArray[np.uint8] | None = None
    radiance: NDArray[np.float32] | None = None


def _pairs(data: TrainingData) -> list[_Scene]:
    return [_pair_scene(number, batch) for number, batch in enumerate(data.held_out_pairs())]


def _moved_pairs(data: TrainingData) -> list[_Scene]:
    """The middle 256 pixels of each pair, the brighter one moved as in the training."""
    import torch

    from ...nn.homography import SIDE_PIXELS
    from ..train.chen_chuang import UNREGISTERED, middle
    from ..train.samples import make_homography_pairs, margin_of

    side = SIDE_PIXELS + 2 * margin_of(UNREGISTERED)
    scenes = []
    for number, batch in enumerate(data.held_out_pairs()):
        generator = torch.Generator(data.device).manual_seed(number)
        under, over, target = (middle(batch[name], side) for name in ("under", "over", "target"))
        offsets = UNREGISTERED.draw(1, generator)
        made = make_homography_pairs(under, over, offsets, margin_of(UNREGISTERED))
        moved = {"under": made.first, "over": made.second, "target": middle(target, SIDE_PIXELS)}
        scenes.append(_pair_scene(number, moved))
    return scenes


def _pair_scene(number: int, batch: Batch) -> _Scene:
    frames = tuple(Frame(_levels(batch[name])) for name in ("under", "over"))
    radiance = _pixels(batch["radiance"]) if "radiance" in batch else None
    return _Scene(f"{number:02d}", Stack(frames, reference=0), _levels(batch["target"]), radiance)


def _brackets(data: TrainingData) -> list[_Scene]:
    from ...pixels import color

    scenes = []
    for number, batch in enumerate(data.held_out_brackets()):
        frames = []
        for index in range(3):
            # Linearised by its own camera, as a frame with a known curve would be.
            light = np.clip(_pixels(batch["light"][:, index]), 0, 1)
            codes = np.rint(color.linear_to_srgb(light) * 65535).astype(np.uint16)
            frames.append(Frame(codes, stops=float(batch["stops"][0, index])))
        scenes.append(
            _Scene(
                f"{number:02d}",
                Stack(tuple(frames), reference=1),
                radiance=_pixels(batch["radiance"]),
            )
        )
    return scenes


def _pixels(image: Any) -> NDArray[np.float32]:
    """(1, 3, H, W) of a tensor as (H, W, 3)."""
    return np.ascontiguousarray(image[0].permute(1, 2, 0).float().cpu().numpy())


def _levels(image: Any) -> NDArray[np.uint8]:
    return np.rint(np.clip(_pixels(image), 0, 1) * 255).astype(np.uint8)


# ---- the table ----

_LUMA_METRICS = ("MEF_SSIM", "PSNR", "MI", "CC")


def _lcndr(*values: float) -> dict[str, float]:
    return dict(zip(_LUMA_METRICS, values, strict=True))


_HDR_METRICS = ("PSNR_mu", "PSNR_linear", "SSIM_mu", "SSIM_linear")


def _hdr_gan(*values: float) -> dict[str, float]:
    return dict(zip(_HDR_METRICS, values, strict=True))


_TONE_METRICS = ("TMQI", "TMQI_fidelity", "TMQI_naturalness")


def _dpgn(*values: float) -> dict[str, float]:
    return dict(zip(_TONE_METRICS, values, strict=True))


ABLATIONS: dict[str, Ablation] = {
    "chen-chuang": Ablation(
        variants=(
            Variant("full", recipe={"registration": "network"}, settings={"homography": "on"}),
            Variant(
                "without homography",
                recipe={"registration": "none"},
                settings={"homography": "off"},
            ),
            Variant(
                "without attention",
                architecture={"attention": False},
                recipe={"registration": "network"},
                settings={"homography": "on"},
            ),
            Variant(
                "added to a local fusion",
                architecture={"adds_to": "local fusion"},
                recipe={"registration": "network"},
                settings={"homography": "on"},
            ),
        ),
        tables={
            "Components (figure 6)": ("full", "without homography", "without attention"),
            "What the output is added to (ours)": ("added to a local fusion", "full"),
        },
        metrics=("PSNR", "SSIM", "MS_SSIM"),
        batch=4,
        patch=256,
        scenes=_moved_pairs,
        first_stage="homography",
        note="Scored on pairs whose brighter frame is moved by up to 32 of 256 pixels at each "
        "corner. The paper shows pictures only.",
    ),
    "mef-gan": Ablation(
        variants=(
            Variant("full"),
            Variant("without local detail block", architecture={"local_block": False}),
            Variant("without self-attention block", architecture={"attention_block": False}),
            Variant("without gradient loss", recipe={"gradient_weight": 0.0}),
        ),
        tables={
            "Blocks (table III)": (
                "full",
                "without local detail block",
                "without self-attention block",
            ),
            "Gradient loss (figure 11)": ("full", "without gradient loss"),
        },
        metrics=("PSNR_I", "PSNR_S", "CC_I", "CC_S", "MSSIM", "SD"),
        batch=8,
        patch=144,
        scenes=_pairs,
        note="The figures of the paper's table are not at hand.",
    ),
    "lcndr": Ablation(
        variants=(
            Variant("full", published=_lcndr(0.936, 19.521, 7.176, 0.980)),
            Variant(
                "without extraction (CEM)",
                architecture={"extraction": False},
                published=_lcndr(0.916, 18.848, 6.890, 0.952),
            ),
            Variant(
                "without edge revision (ERM)",
                architecture={"edge_revision": False},
                published=_lcndr(0.866, 13.787, 5.714, 0.948),
            ),
            Variant(
                "without self-attention (SAM)",
                architecture={"attention": False},
                published=_lcndr(0.925, 19.153, 6.963, 0.957),
            ),
            Variant(
                "1 coordinate-attention block",
                architecture={"coordinate_blocks": 1},
                published=_lcndr(0.930, 19.387, 7.025, 0.972),
            ),
            Variant(
                "2 coordinate-attention blocks",
                architecture={"coordinate_blocks": 2},
                published=_lcndr(0.933, 19.493, 7.108, 0.976),
            ),
            Variant(
                "add, add",
                architecture={"tradeoff": "add_add"},
                published=_lcndr(0.886, 13.787, 6.023, 0.864),
            ),
            Variant(
                "add, multiply",
                architecture={"tradeoff": "add_multiply"},
                published=_lcndr(0.816, 10.706, 6.068, 0.801),
            ),
            Variant(
                "multiply, multiply",
                architecture={"tradeoff": "multiply_multiply"},
                published=_lcndr(0.902, 18.753, 7.105, 0.912),
            ),
        ),
        tables={
            "Modules (table IV)": (
                "full",
                "without extraction (CEM)",
                "without edge revision (ERM)",
                "without self-attention (SAM)",
            ),
            "Coordinate-attention blocks (table V)": (
                "1 coordinate-attention block",
                "2 coordinate-attention blocks",
                "full",
            ),
            "Feature trade-off, over then under (table VI)": (
                "add, add",
                "add, multiply",
                "multiply, multiply",
                "full",
            ),
        },
        metrics=_LUMA_METRICS,
        batch=8,
        patch=128,
        scenes=_pairs,
        note="The marks of table IV cannot be read; its rows M1 to M3 are taken in the order of "
        "its columns C, E, S.",
    ),
    "hdr-gan": Ablation(
        variants=(
            Variant("full", published=_hdr_gan(43.922, 41.572, 0.9905, 0.9865)),
            Variant(
                "two scales",
                architecture={"scales": 2},
                published=_hdr_gan(43.710, 41.139, 0.9904, 0.9855),
            ),
            Variant(
                "four scales",
                architecture={"scales": 4},
                published=_hdr_gan(43.901, 41.416, 0.9906, 0.9865),
            ),
            Variant(
                "without merging blocks",
                architecture={"merging": False},
                published=_hdr_gan(43.595, 41.009, 0.9900, 0.9854),
            ),
            Variant(
                "one supervised output",
                architecture={"auxiliary_outputs": False},
                published=_hdr_gan(43.838, 41.381, 0.9905, 0.9857),
            ),
            Variant(
                "without discriminator",
                recipe={"adversarial_weight": 0.0},
                published=_hdr_gan(43.729, 41.013, 0.9903, 0.9858),
            ),
            Variant("added to a merge", architecture={"adds_to": "merge"}),
        ),
        tables={
            "Structure and supervision (table II)": (
                "two scales",
                "four scales",
                "without merging blocks",
                "one supervised output",
                "full",
            ),
            "Discriminator (table III)": ("without discriminator", "full"),
            "What the outputs are added to (ours)": ("added to a merge", "full"),
        },
        metrics=_HDR_METRICS,
        batch=2,
        patch=128,
        scenes=_brackets,
        stage="reconstruction",
        note="Results are brought to the truth's exposure first. The second output is scored "
        "(of two scales the only one), as in the paper's best rows.",
    ),
    "dpgn": Ablation(
        variants=(
            Variant("CPG encoder, DPG decoder", published=_dpgn(0.8056, 0.6618, 0.5618)),
            Variant(
                "plain encoder and decoder",
                architecture={"content_priors": False, "detail_priors": False},
                published=_dpgn(0.7272, 0.5755, 0.3300),
            ),
            Variant(
                "CPG encoder only",
                architecture={"detail_priors": False},
                published=_dpgn(0.7781, 0.6105, 0.4515),
            ),
            Variant(
                "DPG decoder only",
                architecture={"content_priors": False},
                published=_dpgn(0.8014, 0.6113, 0.5767),
            ),
            Variant("added to a local fusion", architecture={"adds_to": "local fusion"}),
        ),
        tables={
            "Priors (table 2)": (
                "plain encoder and decoder",
                "CPG encoder only",
                "DPG decoder only",
                "CPG encoder, DPG decoder",
            ),
            "What the output is added to (ours)": (
                "added to a local fusion",
                "CPG encoder, DPG decoder",
            ),
        },
        metrics=(*_TONE_METRICS, "PSNR", "SSIM", "MEF_SSIM"),
        batch=4,
        patch=128,
        scenes=_pairs,
        note="TMQI against the simulated scene's true radiance; the paper does not name its own.",
    ),
}


# ---- what a run found ----


@dataclass(frozen=True)
class AblationResult:
    """Values by variant, scene and metric; `missing` names the variants that are not done yet."""

    method: str
    out: Path
    settings: Mapping[str, Any]
    records: Mapping[str, Mapping[str, Any]]
    missing: tuple[str, ...]

    @property
    def ablation(self) -> Ablation:
        return ABLATIONS[self.method]

    def mean(self, variant: str, metric: str) -> tuple[float, float, float] | None:
        """Mean over scenes and its 95 % bootstrap interval."""
        scenes = self.records.get(variant, {}).get("scenes", {})
        values = [found[metric] for found in scenes.values() if found.get(metric) is not None]
        if not values:
            return None
        low, high = bootstrap(np.array([values]), int(self.settings["seed"]))
        return float(np.mean(values)), float(low[0]), float(high[0])

    def as_dict(self) -> dict[str, Any]:
        """Return everything in plain JSON types."""
        return {
            "method": self.method,
            "paper": METHODS[self.method].paper,
            "note": self.ablation.note,
            "settings": dict(self.settings),
            "tables": {title: list(names) for title, names in self.ablation.tables.items()},
            "variants": {
                variant.name: {
                    "published": dict(variant.published),
                    "architecture": dict(variant.architecture),
                    "recipe": dict(variant.recipe),
                    "fusing": dict(variant.settings),
                    "means": {m: self.mean(variant.name, m) for m in self.ablation.metrics},
                    **self.records.get(variant.name, {}),
                }
                for variant in self.ablation.variants
            },
            "missing": list(self.missing),
        }

    def as_csv(self) -> str:
        """One line for each variant and metric."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["variant", "metric", "mean", "low", "high", "published"])
        for variant in self.ablation.variants:
            for metric in self.ablation.metrics:
                found = self.mean(variant.name, metric) or ("", "", "")
                published = variant.published.get(metric, "")
                writer.writerow([variant.name, metric, *found, published])
        return out.getvalue()

    def as_text(self) -> str:
        """The tables in Markdown, with what a reader must know."""
        by_name = {variant.name: variant for variant in self.ablation.variants}
        scenes = {len(record["scenes"]) for record in self.records.values()}
        lines = [
            f"# Ablation of {self.method}",
            "",
            f"{METHODS[self.method].paper}. Every variant trained alike: preset "
            f"{self.settings['preset']}, {self.settings['steps']} steps of "
            f"{self.settings['batch']} patches of {self.settings['patch']} pixels, seed "
            f"{self.settings['seed']}; best weights by validation; scored on "
            f"{max(scenes, default=0)} held-out scenes, 95 % intervals of the mean. The paper's "
            "own figures (its data, its full training) stand beside: compare the order of the "
            f"rows, not the values. {self.ablation.note}".rstrip(),
        ]
        for title, names in self.ablation.tables.items():
            rows = [by_name[name] for name in names]
            shown = [m for m in self.ablation.metrics if any(m in v.published for v in rows)]
            header = ["variant", "parameters"]
            header += [f"{m} {'↑' if METRICS[m].higher_is_better else '↓'}" for m in self._metrics]
            header += [f"paper's {metric}" for metric in shown]
            lines += ["", f"## {title}", "", f"| {' | '.join(header)} |"]
            lines.append("|" + "---|" * len(header))
            lines += [f"| {' | '.join(self._cells(row, names, shown))} |" for row in rows]
        if self.missing:
            lines += ["", f"Not done yet: {', '.join(self.missing)}."]
        return "\n".join(lines) + "\n"

    @property
    def _metrics(self) -> tuple[str, ...]:
        return self.ablation.metrics

    def _cells(self, variant: Variant, names: Sequence[str], published: Sequence[str]) -> list[str]:
        count = self.records.get(variant.name, {}).get("parameters")
        cells = [variant.name, "-" if count is None else f"{count:,}"]
        for metric in self._metrics:
            found = self.mean(variant.name, metric)
            if found is None:
                cells.append("-")
                continue
            value, low, high = found
            others = [other[0] for name in names if (other := self.mean(name, metric))]
            best = max(others) if METRICS[metric].higher_is_better else min(others)
            text = f"{value:.5g} ({low:.4g} to {high:.4g})"
            cells.append(f"**{text}**" if value == best and len(others) > 1 else text)
        return cells + [
            f"{variant.published[m]:g}" if m in variant.published else "-" for m in published
        ]


# ---- running ----


def run(
    method: str,
    data: Path,
    out: Path,
    settings: AblationSettings | None = None,
    *,
    progress: Progress | None = None,
) -> AblationResult:
    """Train and score what is missing of a method's ablations, and write the tables.

    data: folder that `ghostless data pack` wrote. progress: called with (variant, fraction of all).
    Raises OptionError for unknown names and settings that differ from the folder's, FileReadError
    where `data` is no packed folder, MissingPackageError without torch.
    """
    settings = settings or AblationSettings()
    if method not in ABLATIONS:
        raise unknown_name("method with ablations", method, ABLATIONS)
    with needs_networks_extra(f"ablation of {method!r}"):
        from ..data.panoramas import MANIFEST
    ablation = ABLATIONS[method]
    names = [variant.name for variant in ablation.variants]
    for name in settings.variants or ():
        if name not in names:
            raise unknown_name(f"variant of {method}", name, names)
    if not (data / MANIFEST).is_file():
        raise FileReadError(
            f"{data}: expected a folder that 'ghostless data pack' wrote, found no {MANIFEST}"
        )
    asked = _asked(method, data, settings)
    session = _Session(method, data, out, settings, asked)
    for variant in ablation.variants:
        session.prepare(ablation.stage, variant)  # what cannot be trained is told before any work
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
    for suffix, text in (
        ("md", result.as_text()),
        ("csv", result.as_csv()),
        ("json", json.dumps(result.as_dict(), indent=1) + "\n"),
    ):
        write_text(text, out / f"ablation.{suffix}", _OVERWRITE)
    return result


def _asked(method: str, data: Path, settings: AblationSettings) -> dict[str, Any]:
    """What must be the same for all variants of a folder."""
    ablation = ABLATIONS[method]
    return {
        "method": method,
        "data": data.name,
        "preset": settings.preset,
        "steps": settings.steps,
        "batch": settings.batch or ablation.batch,
        "patch": settings.patch or ablation.patch,
        "scenes": settings.scenes,
        "seed": settings.seed,
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
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{out}: expected a folder to write results to, found none and could not make it "
            f"({error.strerror}); name another"
        ) from None
    write_text(json.dumps(asked, indent=1) + "\n", path, _OVERWRITE)


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
        self.ablation = ABLATIONS[method]
        self.ends = None
        if settings.minutes is not None:
            self.ends = time.monotonic() + 60 * settings.minutes
        self._scenes: list[_Scene] | None = None

    def finish(self, variant: Variant) -> bool:
        """Train and score a variant as far as the time lasts; whether it is done."""
        if self._record(variant) is not None:
            return True
        first = self.ablation.first_stage
        if first is not None and not self._train(self.out / "runs" / first, first, Variant(first)):
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

    def _first_weights(self) -> Path:
        """Weights of the stage that all variants share."""
        first = str(self.ablation.first_stage)
        (phase,) = self.prepare(first, Variant(first))[1]
        return self.out / "runs" / first / f"{phase.export.name}.best.safetensors"

    def _train(self, folder: Path, stage: str, variant: Variant) -> bool:
        """Bring a training to its end; False where the time was over before."""
        from ..train.checkpoint import has_checkpoint
        from ..train.engine import Run, RunSettings
        from ..train.sources import open_data

        left = None
        if self.ends is not None:
            left = (self.ends - time.monotonic()) / 60
            if left <= 0:
                return False
        recipe, phases = self.prepare(stage, variant)
        run = Run(
            self.method,
            recipe,
            phases,
            lambda device: open_data(self.data, device),
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
        changes = {"validate_every": every, "log_every": max(1, every // 10), **variant.recipe}
        changes |= {f"architecture.{name}": on for name, on in variant.architecture.items()}
        options = TrainOptions(
            preset=self.settings.preset,
            stage=stage,
            steps=self.asked["steps"],
            batch=self.asked["batch"],
            patch=self.asked["patch"],
            changes=tuple(f"{name}={value}" for name, value in changes.items()),
        )
        return prepare(self.method, options)

    def _score(self, variant: Variant, folder: Path) -> None:
        """Fuse every held-out scene as a user would, and write down its values."""
        from ...nn.blocks import count_parameters
        from ...nn.weights import load_weights

        kind = network_kind(self.method)
        weights = folder / f"{kind.name}.best.safetensors"
        network, info = load_weights(kind, weights)
        fuse, settings_class = get_method(self.method).load()
        own = dict(variant.settings)
        if own.get("homography") == "on":
            own["homography_weights"] = str(self._first_weights())
        how = settings_class(
            weights=weights, quality="full", precision="float32", device=self.settings.device, **own
        )
        scenes = {}
        for scene in self._held_out():
            fused = fuse(scene.stack, how).pixels
            scenes[scene.name] = _values(scene, fused, self.ablation.metrics)
        record = {
            "key": self._key(variant),
            "scenes": scenes,
            "parameters": count_parameters(network),
            "trained": dict(info.recipe),
            "validation": dict(info.scores),
            "data": info.data,
            "commit": info.commit,
            "environment": environment(),
        }
        path = self._path(variant)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(json.dumps(record, indent=1, default=str) + "\n", path, _OVERWRITE)

    def _held_out(self) -> list[_Scene]:
        if self._scenes is None:
            from ...nn.settings import choose_device
            from ..train.sources import open_data

            data = open_data(self.data, choose_device(self.settings.device))
            self._scenes = self.ablation.scenes(data)[: self.settings.scenes]
        return self._scenes

    def _path(self, variant: Variant) -> Path:
        return self.out / "scores" / f"{_slug(variant.name)}.json"

    def _key(self, variant: Variant) -> str:
        """Hash of all that a variant's values depend on; figures of the paper do not count."""
        facts = [dict(self.asked), asdict(replace(variant, published={})), self.ablation.metrics]
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


def _values(scene: _Scene, fused: NDArray[Any], metrics: Sequence[str]) -> dict[str, float | None]:
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
