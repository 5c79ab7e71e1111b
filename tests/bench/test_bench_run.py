"""A whole run in small: loops, records, what is done again and what is not, tables, page."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ghostless import cli
from ghostless.bracket import Fused
from ghostless.errors import FileReadError, OptionError, OutputError, WeightsError
from ghostless.io.write import write_image
from ghostless.research.bench import results as statistics
from ghostless.research.bench.contenders import parse_contenders
from ghostless.research.bench.report import html_page, markdown, scores_csv, write_report
from ghostless.research.bench.results import Results, Row, load_results, make_table
from ghostless.research.bench.run import BenchSettings, run
from ghostless.research.bench.suites import SUITES
from ghostless.research.metrics import Images, score

from .. import scenes
from ..files import save_bracket, save_photo

METRICS = ("Entropy", "MEF_SSIM", "Psnr", "Cross_entropy")
METHODS = "mertens,mertens:overshoot=clip,opencv-mertens,mef-gan"


def save_pair(folder: Path, suffix: str, seed: int) -> None:
    dark, bright = save_bracket(
        folder, height=64, width=80, stops=(-2.0, 2.0), suffix=suffix, seed=seed
    )
    dark.rename(folder / f"under{suffix}")
    bright.rename(folder / f"over{suffix}")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of three pairs, one of them damaged, and the results of a run over it."""
    base = tmp_path_factory.mktemp("bench")
    data, out = base / "data", base / "out"
    save_pair(data / "lossless<b>", ".png", 1)
    save_pair(data / "jpeg", ".jpg", 2)
    save_pair(data / "broken", ".png", 3)
    (data / "broken" / "over.png").write_bytes((data / "broken" / "over.png").read_bytes()[:900])
    (data / "published.csv").write_text(
        "pair,method,MEFSSIM,PSNR,CE,EN\njpeg,Theirs,0.5,50,9,7\nlossless<b>,Theirs,0.6,51,9,7\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        # As in a version without the weights of any network.
        patch.setattr("ghostless.nn.weights.WEIGHTS_FOLDER", base)
        run("mefb", METHODS, out, data, BenchSettings(metrics=METRICS, workers=1))
    return data, out


def table_of(results: Results, protocol: str) -> statistics.Table:
    return next(table for table in results.tables if table.protocol == protocol)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_scores_are_those_of_the_files_on_disk(small: tuple[Path, Path]) -> None:
    data, out = small
    rows = {row.label: row for row in table_of(load_results(out), "lossless").rows}
    for label, slug in (("mertens", "mertens"), ("opencv-mertens", "opencv-mertens")):
        fused = pixels(out / "fused" / slug / "jpeg.png")
        sources = tuple(pixels(data / "jpeg" / f"{name}.jpg") for name in ("under", "over"))
        expected = score(Images(fused, sources), METRICS)
        assert rows[label].scores["jpeg"] == pytest.approx(expected)
        assert rows[label].seconds_per_megapixel["jpeg"] > 0


def test_only_jpeg_photos_are_scored_otherwise_as_published(small: tuple[Path, Path]) -> None:
    results = load_results(small[1])
    lossless = table_of(results, "lossless").rows[0].scores
    published = table_of(results, "as-published").rows[0].scores
    assert lossless["lossless<b>"] == published["lossless<b>"]
    assert lossless["jpeg"]["MEF_SSIM"] != published["jpeg"]["MEF_SSIM"]
    assert lossless["jpeg"]["MEF_SSIM"] == pytest.approx(published["jpeg"]["MEF_SSIM"], abs=0.05)


def test_published_methods_stand_in_their_own_protocol_only(small: tuple[Path, Path]) -> None:
    results = load_results(small[1])
    assert all(row.kind != "published" for row in table_of(results, "lossless").rows)
    (theirs,) = (r for r in table_of(results, "as-published").rows if r.kind == "published")
    assert theirs.scores["jpeg"]["Psnr"] == 50
    assert table_of(results, "as-published").means["Theirs", "MEF_SSIM"].value == 0.55


def test_what_fails_or_cannot_run_is_recorded_and_stops_nothing(small: tuple[Path, Path]) -> None:
    results = load_results(small[1])
    failed = {(label, scene) for label, scene, _ in results.failures}
    assert ("mertens", "broken") in failed
    assert {scene for _, scene in failed} == {"broken"}
    assert set(table_of(results, "lossless").scenes) == {"lossless<b>", "jpeg"}
    assert "none shipped" in results.about["skipped"]["mef-gan"]


def test_records_say_what_results_depend_on(small: tuple[Path, Path]) -> None:
    record = json.loads((small[1] / "fused" / "mertens_overshoot=clip" / "jpeg.json").read_text())
    assert record["environment"]["threads"] == 1
    assert {"ghostless", "numpy", "opencv", "python"} <= set(record["environment"]["versions"])
    assert "commit" in record["environment"]
    assert record["report"]["settings"]["method_settings"]["overshoot"] == "clip"
    assert record["report"]["settings"]["align"]["model"] == "none"
    assert record["seconds"] > 0
    assert record["peak_bytes"] > 1e6


def test_a_second_run_does_only_what_is_missing(small: tuple[Path, Path]) -> None:
    data, out = small
    watched = [
        *out.glob("fused/*/*.png"),
        *out.glob("scores/opencv-mertens/jpeg.json"),
    ]
    before = {path: path.stat().st_mtime_ns for path in watched}
    lost = out / "fused" / "mertens" / "jpeg.png"
    lost.write_bytes(lost.read_bytes()[:100])
    run("mefb", "mertens,opencv-mertens", out, data, BenchSettings(metrics=METRICS, workers=1))
    after = {path: path.stat().st_mtime_ns for path in watched}
    assert {path for path in watched if before[path] != after[path]} == {lost}
    assert pixels(lost).shape == (64, 80, 3)
    labels = {row.label for row in table_of(load_results(out), "lossless").rows}
    assert "mertens:overshoot=clip" in labels  # of the first run, kept


def test_a_folder_of_another_suite_is_refused(small: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="a folder of its own"):
        run("mefb", "mertens", small[1], small[0], BenchSettings(frames="two"))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="expected a folder"):
        run("mefb", "mertens", tmp_path / "file", small[0])
    with pytest.raises(FileReadError, match="found none"):
        load_results(tmp_path)


def test_the_page_holds_everything_and_asks_for_nothing(small: tuple[Path, Path]) -> None:
    out = small[1]
    written = write_report(load_results(out))
    assert {path.name for path in written} == {
        "report.html",
        "report.md",
        "scores.csv",
        "means.csv",
    }
    page = (out / "report.html").read_text()
    assert not re.search(r"""(src|href)=["']?(https?:)?//|@import|url\(""", page)
    assert "lossless<b>" not in page
    assert "lossless&lt;b&gt;" in page
    assert page.count("<section") == 2
    # Two photos and three results of each whole scene.
    assert len(re.findall(r'<img decoding=async[^>]*src="data:image/webp', page)) == 10
    for full in re.findall(r'data-full="([^"]+)"', page):
        assert (out / full.replace("%3C", "<").replace("%3E", ">").replace("%3D", "=")).is_file()
    assert 'class="best"' in page
    assert "mef-gan was skipped" in page


def test_markdown_and_csv_hold_the_same_numbers(small: tuple[Path, Path]) -> None:
    results = load_results(small[1])
    text = markdown(results)
    assert "| Theirs | published |" in text
    rows = list(csv.DictReader(io.StringIO(scores_csv(results))))
    wanted = [r for r in rows if (r["protocol"], r["method"]) == ("lossless", "mertens")]
    mine = table_of(results, "lossless").rows[0].scores
    assert len(wanted) == sum(len(values) for values in mine.values())
    assert all(float(r["value"]) == mine[r["scene"]][r["metric"]] for r in wanted)
    assert "<img" not in html_page(results, pictures=False)


@pytest.mark.parametrize("place", ["truth.exr", "truth/truth.exr"])
def test_radiance_is_scored_against_its_truth(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "data" / "scene"
    radiance = scenes.make_radiance(176, 192, seed=5)
    save_bracket(folder, height=176, width=192, seed=5)
    # Twice as bright: methods know radiance only up to a factor.
    (folder / place).parent.mkdir(exist_ok=True, parents=True)
    write_image(Fused(np.float32(2) * radiance.astype(np.float32), "linear"), folder / place)
    settings = BenchSettings(metrics=("PSNR_mu", "TMQI", "MI"), workers=1, still=True)
    methods = "debevec,mertens,opencv-debevec,reference-alone"
    run("simulated", methods, tmp_path / "out", tmp_path / "data", settings)
    results = load_results(tmp_path / "out")
    assert results.failures == ()
    scores = {row.label: row.scores["scene"] for row in results.tables[0].rows}
    assert scores["debevec"]["PSNR_mu"] > 30
    assert "PSNR_mu" not in scores["mertens"]
    assert {"TMQI", "MI"} <= set(scores["mertens"])
    table = results.tables[0]
    ranked = ("debevec", "opencv-debevec", "reference-alone")
    assert {table.means[m, "PSNR_mu"].rank for m in ranked} == {1, 2, 3}
    assert scores["debevec"]["PSNR_mu"] > scores["reference-alone"]["PSNR_mu"] > 15


def test_radiance_that_no_photo_holds_decides_nothing(tmp_path: Path) -> None:
    """A sun in the scene costs a perfect merge nothing."""
    folder = tmp_path / "data" / "scene"
    radiance = scenes.make_radiance(176, 192, seed=5).astype(np.float32)
    radiance[:40, :40] = 500.0
    for number, stop in enumerate((-2, 0, 2), start=1):
        save_photo(folder / f"{number}.png", scenes.expose(radiance, stop), stops=stop)
    (folder / "truth").mkdir()
    write_image(Fused(radiance, "linear"), folder / "truth" / "truth.exr")
    settings = BenchSettings(metrics=("PSNR_linear",), workers=1, still=True)

    def psnr() -> float:
        run("simulated", "debevec", tmp_path / "out", tmp_path / "data", settings)
        return load_results(tmp_path / "out").tables[0].rows[0].scores["scene"]["PSNR_linear"]

    assert psnr() < 25
    answers = {"reference": 1, "stops": [-2, 0, 2]}
    (folder / "truth" / "answers.json").write_text(json.dumps(answers))
    assert psnr() > 40


def test_means_are_over_the_scenes_that_all_methods_have() -> None:
    rows = [
        Row("a", "a", "method", {"1": {"PSNR": 30.0}, "2": {"PSNR": 10.0}}, {}, 0),
        Row("b", "b", "outside", {"1": {"PSNR": 20.0}}, {}, 0),
        Row("none", "none", "outside", {}, {}, 0),
    ]
    table = make_table("lossless", ("PSNR", "SSIM"), rows, ("1", "2"), 0)
    assert table.scenes == ("1",)
    assert table.means["a", "PSNR"].value == 30
    assert table.metrics == ("PSNR",)
    assert table.mean_ranks == {"a": 1, "b": 2}
    assert [row.label for row in table.by_rank] == ["a", "b", "none"]


def test_ranks_follow_the_metrics_direction_and_share_ties() -> None:
    assert statistics.ranks([3, 1, 3, 2], True).tolist() == [1.5, 4, 1.5, 3]
    assert statistics.ranks([3, 1, 3, 2], False).tolist() == [3.5, 1, 3.5, 2]
    assert statistics.higher_is_better("PSNR")
    assert not statistics.higher_is_better("Qcv")


def test_intervals_cover_the_true_mean_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(1)
    hits = 0
    for trial in range(100):
        low, high = statistics.bootstrap(random.normal(5, 2, (1, 40)), trial)
        hits += bool(low[0] <= 5 <= high[0])
    assert 85 <= hits <= 99


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "mefb", "{none}", "-o", "{out}"], "found nothing"),
        (["run", "mefb", "{empty}", "-o", "{out}"], "found none"),
        (["run", "mefb", "{data}", "--methods", "mertns", "-o", "{out}"], "did you mean 'mertens'"),
        (
            ["run", "mefb", "{data}", "--metrics", "MEFSSIM", "-o", "{out}"],
            "did you mean 'MEF_SSIM'",
        ),
        (["run", "mefb", "{data}", "--published", "{none}", "-o", "{out}"], "cannot be read"),
        (["run", "mefb", "{data}", "--protocol", "jpeg", "-o", "{out}"], "unknown protocol"),
        (["run", "mefb", "{data}", "-o", "/proc/nowhere"], "could not make it"),
        (["run", "mefb", "{data}", "--frames", "three", "-o", "{out}"], "'all', 'two' or 'both'"),
        (["run", "mefbb", "-o", "{out}"], "did you mean 'mefb'"),
        (["mefb", "{data}", "-o", "{out}"], "expected 'ghostless bench run mefb' in its place"),
        (["report", "{empty}"], "found none"),
    ],
)
def test_bad_input_gets_one_clear_line(
    words: list[str],
    told: str,
    small: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    places = {
        "none": str(tmp_path / "none"),
        "empty": str(tmp_path / "empty"),
        "data": str(small[0]),
        "out": str(tmp_path / "out"),
    }
    assert cli.run(["bench", *(word.format(**places) for word in words)]) == 2
    errors = capsys.readouterr().err
    assert told in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_every_suite_is_told_of_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["bench", "run", "--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {suite}: " in told for suite in SUITES)


def test_two_frames_stand_beside_all_as_a_table_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "scene"
    save_bracket(folder, height=64, width=80, stops=(-3.0, 0.0, 3.0))
    (folder / "frame_2.png").rename(folder / "middle.png")
    label = pixels(folder / "middle.png")
    Image.fromarray(label).save(folder / "label.png")
    out = tmp_path / "out"
    settings = BenchSettings(metrics=("PSNR", "MEF_SSIM1"), workers=1)
    run("sice", "mertens", out, tmp_path / "data", settings)
    results = load_results(out)
    assert [table.name for table in results.tables] == ["lossless", "lossless, two frames"]
    prepared = json.loads((out / "two_frames" / "inputs" / "scene" / "scene.json").read_text())
    assert [Path(photo).name for photo in prepared["photos"]] == ["frame_1.png", "frame_3.png"]
    scores = [table.rows[0].scores["scene"] for table in results.tables]
    assert scores[0]["PSNR"] != scores[1]["PSNR"]
    assert "darkest and brightest photo only" in markdown(results)
    assert '"lossless, two frames",scene,mertens' in scores_csv(results)
    assert set(results.as_dict()["tables"]) == {"lossless", "lossless, two frames"}


def some_row(label: str, **values: float) -> Row:
    return Row(label, label, "method", {"scene": values}, {"scene": 2.0}, 0)


def test_ranks_are_over_what_all_methods_have_and_what_can_be_compared() -> None:
    rows = [
        some_row("a", MEF_SSIM=0.9, Qc=1.0, PSNR_mu=20.0),
        some_row("b", MEF_SSIM=0.8, Qc=500.0, PSNR_mu=30.0),
        some_row("c", MEF_SSIM=0.7, Qc=0.5),
    ]
    table = make_table("lossless", ("MEF_SSIM", "Qc", "PSNR_mu"), rows, ("scene",), 0)
    assert table.ranked_metrics == ("MEF_SSIM",)
    assert table.mean_ranks == {"a": 1, "b": 2, "c": 3}
    assert ("b", "PSNR_mu") in table.means


def test_measured_speeds_stand_in_the_report(small: tuple[Path, Path], tmp_path: Path) -> None:
    results = load_results(small[1])
    row = next(r for r in table_of(results, "lossless").rows if r.label == "mertens")
    busy = results.seconds_per_megapixel(row)
    assert busy == pytest.approx(float(np.median(list(row.seconds_per_megapixel.values()))))
    network = {
        "name": "mef-gan",
        "quality": "full",
        "megapixels": 1.0,
        "seconds_per_megapixel": 12.0,
        "share_of_matrix_rate": 0.42,
        "peak_bytes": 1_500_000_000,
        "device_peak_bytes": 0,
        "device": "cpu",
        "random_weights": True,
    }
    told = {
        "megapixels": 24.0,
        "cores": 2,
        "costs": [{"name": "mertens", "median_seconds": 6.0, "peak_bytes": 1_000_000_000}],
        "networks": [network],
    }
    (small[1] / "speed.json").write_text(json.dumps(told))
    try:
        results = load_results(small[1])
        assert results.seconds_per_megapixel(row) == 0.25
        for text in (markdown(results), html_page(results, pictures=False)):
            assert "mef-gan (random weights)" in text
            assert "42%" in text
            assert "1.007 s for an image of the SICE set on a GeForce RTX 3060" in text
        (small[1] / "speed.json").write_text("{}")
        with pytest.raises(FileReadError, match="bench speed -o DIR"):
            load_results(small[1])
    finally:
        (small[1] / "speed.json").unlink()


def test_weights_given_by_the_user_make_a_network_able(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ghostless.nn.weights.WEIGHTS_FOLDER", tmp_path)
    (plain,) = parse_contenders("lcndr")
    assert "found none shipped" in str(plain.missing())
    pytest.importorskip("torch")
    from ghostless.nn.lcndr import Lcndr
    from ghostless.nn.weights import WeightsInfo, save_weights

    path = tmp_path / "own.safetensors"
    with pytest.raises(WeightsError, match="cannot be read"):
        parse_contenders(f"lcndr:weights={path}")
    save_weights(Lcndr().eval(), path, WeightsInfo("lcndr"))
    (own,) = parse_contenders(f"lcndr:weights={path}")
    assert own.weights == (path,)
    assert own.missing() is None


@pytest.mark.slow
def test_networks_are_run_again_when_their_weights_change(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    path = tmp_path / "own.safetensors"
    put_other_weights(path, 0)
    (own,) = parse_contenders(f"lcndr:weights={path}")
    out, data = tmp_path / "out", tmp_path / "data"
    save_pair(data / "pair", ".png", 1)
    settings = BenchSettings(metrics=("MEF_SSIM",), workers=1)
    run("mefb", own.label, out, data, settings)
    first = load_results(out)
    assert first.failures == ()
    put_other_weights(path, 17)
    run("mefb", own.label, out, data, settings)
    values = [r.tables[0].means[own.label, "MEF_SSIM"].value for r in (first, load_results(out))]
    assert values[0] != values[1]  # other weights in the same file: fused again


def put_other_weights(path: Path, seed: int) -> None:
    """Put other random weights into a file."""
    import torch

    from ghostless.nn.lcndr import Lcndr
    from ghostless.nn.weights import WeightsInfo, save_weights

    torch.manual_seed(seed)
    save_weights(Lcndr().eval(), path, WeightsInfo("lcndr"))
