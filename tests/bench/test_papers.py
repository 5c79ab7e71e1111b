"""The papers' experiments: the printed tables, and that each kind is worked out from data."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from ghostless.errors import FileReadError, OptionError
from ghostless.methods import METHODS
from ghostless.research.bench.ablations import ablation_of
from ghostless.research.bench.papers.place import PaperSettings, folders_of, rivals_of, with_peak
from ghostless.research.bench.papers.printed import papers, tables_of
from ghostless.research.bench.papers.run import run
from ghostless.research.metrics.table import METRICS

from ..train.test_photographed import light_of, photo, save

pytestmark = pytest.mark.usefixtures("one_thread")
TABLES = [
    pytest.param(paper, table, id=f"{paper}-{table.id}")
    for paper in papers()
    for table in tables_of(paper)
]
_OWN = {
    "seconds",
    "median_pixels",
    "under_2_pixels_percent",
    "xor_percent",
    "success_percent",
    "ratio",
    "on_changed",
    "on_unchanged",
    "PSNR_inside",
    "PSNR_inside_common",
    "PSNR_outside",
    "PSNR_outside_common",
}


def make_scenes(folder: Path, scenes: int = 2) -> Path:
    """Scenes of five photos of 80 x 96 pixels with labels."""
    for scene in range(scenes):
        light = light_of(scene + 1, 80, 96)
        for index in range(5):
            save(photo(light, 1.5 * index), folder / f"s{scene}" / f"{index}.png")
        save(photo(light, 3.0), folder / f"s{scene}" / "label.png")
    return folder


def test_every_network_has_its_papers_tables() -> None:
    networks = {name for name, m in METHODS.items() if m.recipe and m.paper and m.group == "use"}
    assert set(papers()) == networks
    for paper in papers():
        ids = [table.id for table in tables_of(paper)]
        assert len(set(ids)) == len(ids)
    with pytest.raises(OptionError, match=r"unknown paper 'mefgan'.*mef-gan"):
        tables_of("mefgan")


@pytest.mark.parametrize(("paper", "table"), TABLES)
def test_a_printed_table_says_where_it_is_from_and_names_what_is_here(
    paper: str, table: object
) -> None:
    entry = next(t for t in tables_of(paper) if t == table)
    assert entry.source.startswith(("table", "figure", "section"))
    names = {entry.score} if entry.kind == "scenes" else set(entry.metrics)
    assert entry.kind == "losses" or names <= {*METRICS, *_OWN}
    assert set(entry.methods) == (set(entry.metrics) if entry.methods else set())
    assert all(set(row.printed) <= set(entry.metrics) for row in entry.rows)
    if entry.kind == "ablation":
        variants = {variant.name for variant in ablation_of(paper).variants}
        assert {row.method.partition(", output ")[0] for row in entry.rows} <= variants
        assert set(entry.metrics) <= set(ablation_of(paper).metrics)


def test_other_photos_of_the_same_scenes(tmp_path: Path) -> None:
    folder = make_scenes(tmp_path / "sice")
    settings = PaperSettings(folders={"sice": folder}, scenes=1)
    result = run("lcndr", tmp_path / "out", settings, ["fig10", "fig11"])
    inputs, pairs = result.tables
    assert [row.name for row in inputs.rows] == ["2 photos", "3 photos", "4 photos", "5 photos"]
    names = [f"({dark}) with ({bright})" for dark in (1, 2) for bright in (3, 4, 5)]
    assert [row.name for row in pairs.rows] == names
    whole = pairs.rows[2].values["PSNR"].mean
    assert inputs.rows[0].values["PSNR"].mean == pytest.approx(whole)
    text = (tmp_path / "out" / "paper.md").read_text()
    assert "What differs:" in text
    assert "- 1 scene." in text
    rows = list(csv.DictReader((tmp_path / "out" / "paper.csv").read_text().splitlines()))
    assert {row["table"] for row in rows} == {"fig10", "fig11"}
    assert len(json.loads((tmp_path / "out" / "paper.json").read_text())["tables"]) == 2


def test_scores_stand_beside_printed_ones_and_rivals_that_are_not_here_say_so(
    tmp_path: Path,
) -> None:
    folder = make_scenes(tmp_path / "sice")
    settings = PaperSettings(folders={"sice": folder}, scenes=1)
    (found,) = run("mef-gan", tmp_path / "out", settings, ["1"]).tables
    rows = {row.name: row for row in found.rows}
    rivals = [row for name, row in rows.items() if name not in ("GT", "MEF-GAN")]
    assert all(row.values or row.missing for row in rivals)
    assert all(
        row.missing == "not here" or "weights" in row.missing for row in rivals if row.missing
    )
    truth, ours = rows["GT"].values["MEF_SSIM"], rows["MEF-GAN"].values["MEF_SSIM"]
    assert 0.3 < truth.mean <= 1
    assert truth.mean != ours.mean
    assert rows["MEF-GAN"].printed == {"MEF_SSIM": 0.895}
    text = found.as_text()
    assert "0.895" in text
    # A cell says that there is no value, and once beneath the table stands why.
    for row in rivals:
        if row.missing and row.missing != "not here":
            assert text.count(row.missing) == 1
            assert f"| {row.name} | not run |" in text


@pytest.mark.slow
def test_a_rival_runs_with_its_authors_weights_and_that_is_said(tmp_path: Path) -> None:
    from ghostless.nn.weights import WeightsInfo, save_weights

    kind, theirs = METHODS["pmgi"].kind, tmp_path / "pmgi.safetensors"
    network = kind.build(kind.architecture()).eval()
    save_weights(network, theirs, WeightsInfo(kind.name, published={"source": "its authors"}))
    folder = make_scenes(tmp_path / "sice")
    settings = PaperSettings({"sice": folder}, scenes=1, rivals=rivals_of([f"pmgi={theirs}"]))
    (found,) = run("lcndr", tmp_path / "out", settings, ["1"]).tables
    rows = {row.name: row for row in found.rows}
    assert "MEF_SSIM" in rows["PMGI"].values
    assert "weights that their authors published: pmgi." in found.as_text()


@pytest.mark.parametrize("words", ["pmgi", "nobody=file", "mertens=file"])
def test_a_rival_needs_a_network_and_a_file(words: str) -> None:
    with pytest.raises(OptionError, match=r"METHOD=FILE|unknown method with weights"):
        rivals_of([words])


def test_the_losses_of_both_outputs_come_from_a_runs_log(tmp_path: Path) -> None:
    lines = [
        {"step": 50 * i, "losses": {"generator/mu_law_1": 1 / i, "generator/mu_law_2": 2 / i}}
        for i in range(1, 5)
    ]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n{")
    settings = PaperSettings(folders={"run": tmp_path / "run"})
    (found,) = run("hdr-gan", tmp_path / "out", settings, ["fig10"]).tables
    assert [row.name for row in found.rows] == ["step 50", "step 100", "step 150", "step 200"]
    assert found.rows[1].values["output 2"].mean == 1.0
    (tmp_path / "run" / "log.jsonl").write_text("")
    with pytest.raises(FileReadError, match="expected the log of a training of hdr-gan"):
        run("hdr-gan", tmp_path / "out", settings, ["fig10"])


def test_every_scale_of_dpgn_is_written_and_scored(tmp_path: Path) -> None:
    settings = PaperSettings(folders={"sice": make_scenes(tmp_path / "sice")}, scenes=1)
    (found,) = run("dpgn", tmp_path / "out", settings, ["fig5"]).tables
    pictures = sorted(path.name for path in (tmp_path / "out" / "scales").iterdir())
    assert len(pictures) == 7
    assert "s0_final.png" in pictures
    assert found.rows[-1].name == "final output"


def test_what_lacks_its_data_is_named(tmp_path: Path) -> None:
    nowhere = dict.fromkeys(("sice", "mefb", "handheld", "kalantari"), tmp_path / "none")
    result = run("lcndr", tmp_path / "out", PaperSettings(folders=nowhere))
    assert all("expected" in table.missing for table in result.tables)
    with pytest.raises(
        FileReadError, match=r"table 4 of lcndr: expected .*--data train=DIR.* none"
    ):
        run("lcndr", tmp_path / "out", PaperSettings(folders=nowhere), ["4"])
    with pytest.raises(OptionError, match="unknown table of lcndr 'fig99'"):
        run("lcndr", tmp_path / "out", PaperSettings(), ["fig99"])
    with pytest.raises(OptionError, match="expected KIND=DIR"):
        folders_of(["SICE"])
    with pytest.raises(OptionError, match="unknown kind of data 'sise'"):
        folders_of(["sise=here"])


def test_a_peak_of_256_is_a_little_more() -> None:
    assert with_peak("PSNR_I", 20.0, 256) == pytest.approx(20 + 20 * np.log10(256 / 255))
    assert with_peak("MSSIM", 0.5, 256) == 0.5
