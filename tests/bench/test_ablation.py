"""Ablations: every variant builds, trains, fuses and is scored alike; what is done stays done."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ghostless import cli  # noqa: E402
from ghostless.errors import OptionError  # noqa: E402
from ghostless.methods import METHODS  # noqa: E402
from ghostless.nn.weights import shipped_path  # noqa: E402
from ghostless.research.bench import ablation  # noqa: E402
from ghostless.research.bench.ablation import AblationSettings, run  # noqa: E402
from ghostless.research.bench.ablation_result import AblationResult  # noqa: E402
from ghostless.research.bench.ablations import Variant, ablation_of  # noqa: E402
from ghostless.research.data.panoramas import MANIFEST  # noqa: E402
from ghostless.research.metrics.table import METRICS  # noqa: E402
from ghostless.research.train.command import TrainOptions, prepare  # noqa: E402

from ..train.stand_in import StandIn  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = AblationSettings(steps=1, batch=1, patch=32, scenes=2, device="cpu", quiet=True)
ABLATIONS = {name: ablation_of(name) for name, method in METHODS.items() if method.ablations}
SOME = ("full", "add, add", "1 coordinate-attention block")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that passes for a packed one; its pictures come from arithmetic."""
    folder = tmp_path_factory.mktemp("packed")
    (folder / MANIFEST).write_text("{}")
    patch = pytest.MonkeyPatch()
    patch.setattr(
        "ghostless.research.train.sources.open_data", lambda folder, device, **_: StandIn()
    )
    yield folder
    patch.undo()


@pytest.fixture(scope="module")
def lcndr(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ablation")
    run("lcndr", data, out, AblationSettings(**{**vars(TINY), "variants": SOME}))
    return out


def every_variant() -> list[Any]:
    return [
        pytest.param(method, variant, id=f"{method}, {variant.name}")
        for method, entry in ABLATIONS.items()
        for variant in entry.variants
    ]


def test_every_method_that_is_trained_has_its_paper_s_tables() -> None:
    own = {name for name, m in METHODS.items() if m.group == "use" and m.recipe and m.paper}
    assert set(ABLATIONS) == own
    for method, entry in ABLATIONS.items():
        names = [variant.name for variant in entry.variants]
        assert len(set(names)) == len(names)
        slugs = {ablation._slug(name) for name in names}
        assert len(slugs) == len(names)
        in_tables = {name for rows in entry.tables.values() for name in rows}
        assert in_tables == set(names), method
        assert set(entry.metrics) <= set(METRICS)
        assert all(set(v.published) <= set(entry.metrics) for v in entry.variants)


@pytest.mark.parametrize(("method", "variant"), every_variant())
def test_every_variant_can_be_trained(method: str, variant: Variant, tmp_path: Path) -> None:
    entry = ABLATIONS[method]
    session = ablation._Session(method, tmp_path, tmp_path, AblationSettings(), {
        "steps": 8, "batch": entry.batch, "patch": entry.patch,
    })  # fmt: skip
    recipe, (phase,) = session.prepare(entry.stage, variant)
    assert recipe.preset == "paper"
    assert phase.steps == 8
    built = next(p for p in phase.players if p.name == phase.export_player).make()
    for name, value in variant.architecture.items():
        assert getattr(built.architecture, name) == value
    for name, value in variant.recipe.items():
        assert getattr(recipe, name) == value
    if variant.settings:
        METHODS[method].load()[1](**variant.settings)


def test_variants_are_trained_and_scored_alike(lcndr: Path) -> None:
    found = json.loads((lcndr / "ablation.json").read_text())
    assert set(found["missing"]) == {v.name for v in ABLATIONS["lcndr"].variants} - set(SOME)
    for name in SOME:
        variant = found["variants"][name]
        assert set(variant["scenes"]) == {"00", "01"}
        assert set(variant["scenes"]["00"]) == set(ABLATIONS["lcndr"].metrics)
        assert variant["trained"]["steps"] == 1
        assert variant["trained"]["source_weight"] == 1.0  # the paper's losses
    whole, one = (found["variants"][name]["parameters"] for name in (SOME[0], SOME[2]))
    # Batch norm after SAM's 1x1 convolutions, as the text has it, is not in the count.
    assert whole == METHODS["lcndr"].paper_parameters["network"] + 2 * (8 + 8 + 32)
    assert one < whole
    scores = [found["variants"][name]["scenes"]["00"]["PSNR"] for name in SOME]
    assert len(set(scores)) == 3
    text = (lcndr / "ablation.md").read_text()
    assert "| add, add | 219,195 |" in text
    assert "19.521" in text
    assert "Not done yet: without extraction (CEM)" in text
    rows = list(csv.DictReader((lcndr / "ablation.csv").read_text().splitlines()))
    row = next(r for r in rows if (r["variant"], r["metric"]) == ("full", "PSNR"))
    mean = sum(s["PSNR"] for s in found["variants"]["full"]["scenes"].values()) / 2
    assert float(row["mean"]) == pytest.approx(mean)
    assert row["published"] == "19.521"


def test_what_scenes_make_sure_of_is_told_apart(tmp_path: Path) -> None:
    def record(*values: float) -> dict[str, Any]:
        return {"scenes": {str(n): {"MEF_SSIM": value} for n, value in enumerate(values)}}

    # The second is a little worse on every scene, the third much worse or better.
    values = 0.9 + 0.01 * np.arange(8)
    jumps = np.array([0.05, -0.06] * 4)
    records = {
        "1 coordinate-attention block": record(*(values - 0.002)),
        "2 coordinate-attention blocks": record(*(values + jumps)),
        "full": record(*values),
    }
    found = AblationResult("lcndr", tmp_path, {"seed": 0}, records, ())
    table = "Coordinate-attention blocks (table V)"
    assert found.told_apart(table, "MEF_SSIM") == [("full", "1 coordinate-attention block")]
    assert found.order_in_words(table) == (
        "Told apart by MEF_SSIM, scene by scene: *full* above *1 coordinate-attention block*."
    )
    alone = AblationResult("lcndr", tmp_path, {"seed": 0}, {"full": record(*values)}, ())
    assert alone.told_apart(table, "MEF_SSIM") is None
    assert alone.order_in_words(table) == ""


def test_what_is_done_is_not_done_again(
    lcndr: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bool:
        raise AssertionError("trained again")

    monkeypatch.setattr(ablation._Session, "_train", refuse)
    again = AblationSettings(**{**vars(TINY), "variants": SOME})
    assert set(run("lcndr", data, lcndr, again).records) == set(SOME)
    with pytest.raises(AssertionError, match="trained again"):
        run("lcndr", data, lcndr, TINY)


def test_variants_of_one_folder_are_trained_alike(lcndr: Path, data: Path) -> None:
    with pytest.raises(OptionError, match=r"steps 2, found ones with 1; .* another folder"):
        run("lcndr", data, lcndr, AblationSettings(**{**vars(TINY), "steps": 2}))


def test_no_time_leaves_everything_for_the_next_call(data: Path, tmp_path: Path) -> None:
    result = run("lcndr", data, tmp_path, AblationSettings(**{**vars(TINY), "minutes": 0.0}))
    assert len(result.missing) == len(ABLATIONS["lcndr"].variants)
    assert (tmp_path / "ablation.md").is_file()


def test_a_first_stage_can_be_given(data: Path, tmp_path: Path) -> None:
    small = {"patch": 256, "first_stage": "shipped", "variants": ("without homography",)}
    run("chen-chuang", data, tmp_path, AblationSettings(**{**vars(TINY), **small}))
    shipped = shipped_path("chen-chuang-homography").read_bytes()
    runs = tmp_path / "runs"
    for folder in ("homography", "without-homography"):
        assert (runs / folder / "chen-chuang-homography.best.safetensors").read_bytes() == shipped
    assert not (runs / "homography" / "log.txt").exists()
    small["first_stage"] = str(shipped_path("chen-chuang-homography"))
    with pytest.raises(OptionError, match="first_stage"):
        run("chen-chuang", data, tmp_path, AblationSettings(**{**vars(TINY), **small}))


@pytest.mark.slow
@pytest.mark.parametrize("method", [m for m in ABLATIONS if m != "lcndr"])
def test_whole_ablations(method: str, data: Path, tmp_path: Path) -> None:
    patch = {"chen-chuang": 256, "mef-gan": 64, "hdr-gan": 64, "dpgn": 128}[method]
    small = {"steps": 1, "batch": 2, "patch": patch, "scenes": 1}
    result = run(method, data, tmp_path, AblationSettings(**{**vars(TINY), **small}))
    assert not result.missing
    for variant in ABLATIONS[method].variants:
        assert result.mean(variant.name, ABLATIONS[method].metrics[-1]) is not None


def test_the_command_tells_what_is_wrong_in_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*words: str, out: Path = tmp_path / "out") -> str:
        status = cli.run(["bench", "ablation", *words, "-o", str(out)])
        error = capsys.readouterr().err
        assert status == 2
        assert error.count("\n") == 1
        return error

    packed = ["--data", str(data)]
    assert "'lcndr'" in told("lcnrd", *packed)
    assert "expected packed pictures" in told("lcndr", "--data", str(tmp_path))
    assert "unknown variant of lcndr 'without'" in told("lcndr", *packed, "--variants", "without")
    assert "multiple of 8" in told("lcndr", *packed, "--patch", "33", "--device", "cpu")
    assert "expected no first stage" in told("lcndr", *packed, "--first-stage", "shipped")
    chen = ["chen-chuang", *packed, "--device", "cpu", "--first-stage"]
    assert "no such file" in told(*chen, str(tmp_path / "none.safetensors"))
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    assert "expected a folder" in told("lcndr", *packed, out=tmp_path / "file" / "x")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("architecture.attntion=false", "'attention'"),
        ("architecture.coordinate_blocks=4", "1 to 3 coordinate_blocks"),
    ],
)
def test_wrong_switches_are_refused(change: str, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        prepare("lcndr", TrainOptions(changes=(change,)))
