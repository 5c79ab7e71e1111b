"""The commands `score` and `metrics`: what they print and how they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from ghostless import cli
from ghostless.bracket import Fused
from ghostless.io.write import write_image
from ghostless.research.commands.score import spread_sources
from ghostless.research.metrics import Images, score
from ghostless.research.metrics.table import METRICS

from . import scenes
from .files import contents, save_bracket

SIZE = {"height": 60, "width": 70}
FRAMES = ["frame_1.png", "frame_2.png"]


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two frames, a result of them, a smaller picture, and radiance with a noisy copy."""
    files = save_bracket(tmp_path, stops=(-1.5, 1.5), **SIZE)
    mean = np.mean([pixels_of(file) for file in files], axis=0).astype(np.uint8)
    Image.fromarray(mean).save(tmp_path / "fused.png")
    Image.fromarray(mean[:50]).save(tmp_path / "small.png")
    radiance = scenes.make_radiance(60, 70, seed=3)
    write_image(Fused(radiance, "linear"), tmp_path / "truth.exr")
    noise = np.random.default_rng(0).lognormal(0, 0.1, radiance.shape).astype(np.float32)
    write_image(Fused(radiance * noise * 2, "linear"), tmp_path / "merged.exr")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def scored(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert cli.run(["score", *words, "--json"]) == 0
    printed, errors = capsys.readouterr()
    assert errors == ""
    return json.loads(printed)


def test_sources_give_the_metrics_of_the_library(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = scored(capsys, "fused.png", "--sources", "frame_1.png", "frame_2.png")
    images = Images(
        pixels_of(folder / "fused.png"), tuple(pixels_of(folder / name) for name in FRAMES)
    )
    assert told["metrics"] == pytest.approx(score(images), rel=1e-9)
    assert {name for name, metric in METRICS.items() if metric.mefb} <= set(told["metrics"])


def test_sources_are_sorted_dark_to_bright(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--sources", "frame_2.png", "frame_1.png", "--metrics", "Qc,Cross_entropy"]
    backward = scored(capsys, "fused.png", *words)
    assert backward["sources"] == FRAMES
    words[1:3] = FRAMES
    assert scored(capsys, "fused.png", *words)["metrics"] == backward["metrics"]


def test_options_after_the_sources_are_no_sources(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = scored(
        capsys, "fused.png", "--sources", *FRAMES, "--metrics", "SD", "--truth", "frame_1.png"
    )
    assert told["sources"] == FRAMES
    assert list(told["metrics"]) == ["SD"]


def test_words_are_spread() -> None:
    assert spread_sources(["a", "--sources", "b", "c", "--json"]) == [
        *("a", "--sources", "b", "--sources", "c", "--json")
    ]
    assert spread_sources(["--", "--sources", "a", "b"]) == ["--", "--sources", "a", "b"]


def test_a_display_truth_gives_psnr(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = scored(capsys, "fused.png", "--truth", "frame_1.png")["metrics"]
    error = pixels_of(folder / "fused.png").astype(float) - pixels_of(folder / "frame_1.png")
    assert told["PSNR"] == pytest.approx(10 * np.log10(255**2 / np.mean(error**2)))
    assert "PSNR_mu" not in told
    # JSON knows no infinity.
    assert scored(capsys, "fused.png", "--truth", "fused.png")["metrics"]["PSNR"] is None


def test_sixteen_bits_are_rounded_to_eight(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fine = pixels_of(folder / "fused.png").astype(np.uint16) * 257 + 100
    tifffile.imwrite(folder / "fine.tif", np.minimum(fine, 65535).astype(np.uint16))
    assert scored(capsys, "fine.tif", "--truth", "fused.png")["metrics"]["PSNR"] is None


def test_a_linear_truth_gives_the_metrics_of_radiance(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = scored(capsys, "merged.exr", "--truth", "truth.exr")["metrics"]
    wanted = {name for name, m in METRICS.items() if m.needs == "true_radiance" and not m.package}
    assert set(told) == wanted
    matched = scored(capsys, "merged.exr", "--truth", "truth.exr", "--match-exposure")["metrics"]
    # The result is twice too bright.
    assert matched["PSNR_linear"] > told["PSNR_linear"] + 6


def test_radiance_gives_tmqi(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    radiance = scenes.make_radiance(180, 190, seed=3)
    write_image(Fused(radiance, "linear"), folder / "scene.hdr")
    Image.fromarray(scenes.expose(radiance, 0)).save(folder / "mapped.png")
    told = scored(capsys, "mapped.png", "--radiance", "scene.hdr")["metrics"]
    assert 0.3 < told["TMQI"] <= 1


def test_the_table_reads_well_and_tells_what_is_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["score", "fused.png", "--truth", "frame_1.png"]) == 0
    printed, _ = capsys.readouterr()
    first, *_, last = printed.splitlines()
    assert first.split() == ["metric", "value", "better", "paper"]
    assert "PSNR" in printed
    assert "higher" in printed
    assert last == "note: left out, for the picture is too small: MS_SSIM"


def test_mefb_names_its_twenty(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = scored(capsys, "fused.png", "--sources", *FRAMES, "--metrics", "MEFB,MI")["metrics"]
    assert len(told) == 21


BAD = {
    "no result": (["--sources", *FRAMES], ("FUSED",)),
    "missing result": (["gone.png", "--truth", "fused.png"], ("gone.png", "no such file")),
    "missing source": (["fused.png", "--sources", "gone.png", *FRAMES], ("gone.png",)),
    "sources without files": (["fused.png", "--sources"], ("--sources",)),
    "sources without files, then options": (
        ["fused.png", "--sources", "--json"],
        ("--sources",),
    ),
    "other size": (
        ["fused.png", "--sources", "frame_1.png", "small.png"],
        ("small.png", "70 x 60", "70 x 50"),
    ),
    "truth of another size": (["fused.png", "--truth", "small.png"], ("small.png", "70 x 50")),
    "unknown metric": (
        ["fused.png", "--sources", *FRAMES, "--metrics", "MEF-SSIM"],
        ("'MEF-SSIM'", "'MEF_SSIM'"),
    ),
    "no metric": (["fused.png", "--metrics", ","], ("--metrics", "ghostless metrics")),
    "unmet need": (["fused.png", "--metrics", "Qabf"], ("Qabf", "--sources")),
    "one source": (
        ["fused.png", "--sources", "frame_1.png", "--metrics", "MEF_SSIM"],
        ("at least 2", "found 1"),
    ),
    "too small": (
        ["fused.png", "--truth", "frame_1.png", "--metrics", "MS_SSIM"],
        ("MS_SSIM", "176", "70 x 60"),
    ),
    "linear truth of a display result": (
        ["fused.png", "--truth", "truth.exr"],
        ("truth.exr", "--radiance"),
    ),
    "display truth of a linear result": (
        ["merged.exr", "--truth", "fused.png"],
        ("fused.png", "linear"),
    ),
    "linear result and sources": (
        ["merged.exr", "--sources", *FRAMES],
        ("merged.exr", "tone-mapped"),
    ),
    "linear result alone": (["merged.exr"], ("merged.exr", "--truth")),
    "display radiance": (["fused.png", "--radiance", "frame_1.png"], ("frame_1.png", "linear")),
    "exposure of a display result": (
        ["fused.png", "--truth", "frame_1.png", "--match-exposure"],
        ("--match-exposure",),
    ),
    "too many pixels": (["fused.png", "--max-pixels", "100"], ("100", "70 x 60")),
    "no picture": (["words.png", "--truth", "fused.png"], ("words.png",)),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_status_2(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "words.png").write_text("no picture at all")
    before = contents(folder)
    words, says = BAD[name]
    assert cli.run(["score", *words]) == 2
    printed, line = capsys.readouterr()
    assert printed == ""
    assert line.startswith("ghostless: ")
    assert line.count("\n") == 1
    for text in says:
        assert text in line
    assert contents(folder) == before


def test_metrics_lists_every_metric(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["metrics"]) == 0
    printed, _ = capsys.readouterr()
    lines = printed.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(METRICS)


def test_metrics_as_json_holds_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["metrics", "--json"]) == 0
    facts = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert list(facts) == list(METRICS)
    assert facts["Qcv"]["higher_is_better"] is False
    assert facts["Qabf"]["sources"] == [2, 2]
    assert facts["MEF_SSIM"]["sources"] == [2, None]
    assert facts["PSNR"]["needs"] == "truth"
    assert all(len(entry["range"]) == 2 and entry["paper"] for entry in facts.values())
