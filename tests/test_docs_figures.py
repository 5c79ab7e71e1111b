"""The figures on the pages of docs/ are those of docs/results.json, and that comes from runs."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from ghostless.methods import METHODS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def _renew() -> Any:
    spec = importlib.util.spec_from_file_location("renew_docs", DOCS / "renew.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


renew = _renew()


def write_run(folder: Path) -> None:
    """A folder as 'ghostless bench' writes it: two scenes, two metrics, three methods."""
    contenders = [("mertens", "method"), ("mertens:levels=3", "method"), ("enfuse", "outside")]
    about = {
        "suite": "mefb",
        "headline": "MEF_SSIM",
        "began": "2030-01-02 03:04:05 UTC",
        "skipped": {},
        "published": {"OLD": {"one": {"MEF_SSIM": 0.5}, "two": {"MEF_SSIM": 0.7}}},
        "seed": 0,
        "frames": "all",
        "still": True,
        "environment": {"device": "CPU", "threads": 1, "versions": {}},
        "scenes": ["one", "two"],
        "protocols": ["lossless", "as-published"],
        "metrics": ["MEF_SSIM", "Qcv"],
        "contenders": [
            {"label": label, "slug": str(number), "kind": kind}
            for number, (label, kind) in enumerate(contenders)
        ],
    }
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(about))
    for number, _ in enumerate(contenders):
        for scene, lift in (("one", 0.0), ("two", 0.1)):
            scores = {"MEF_SSIM": 0.8 - 0.1 * number + lift, "Qcv": 300.0 - 50 * number}
            metrics = {"lossless": scores, "as-published": scores}
            for part, record in (
                ("fused", {"seconds": 2.0, "megapixels": 1.0, "environment": {"commit": "abc"}}),
                ("scores", {"metrics": metrics}),
            ):
                file = folder / part / str(number) / f"{scene}.json"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(record))


@pytest.fixture
def results(tmp_path: Path) -> dict[str, Any]:
    write_run(tmp_path / "run")
    text = renew.as_json(renew.collect({"some": str(tmp_path / "run")}))
    found: dict[str, Any] = json.loads(text)
    return found


def fill(text: str, results: dict[str, Any]) -> list[str]:
    lines: list[str] = renew.filled(text, results).splitlines()
    return [line for line in lines if line]


def test_every_page_agrees_with_the_results() -> None:
    results = json.loads((DOCS / "results.json").read_text(encoding="utf-8"))
    for page in DOCS.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert renew.filled(text, results) == text, f"{page.name}: run make docs"


def test_every_method_has_a_page_with_its_facts_and_figures() -> None:
    assert {page.stem for page in (DOCS / "methods").iterdir()} == set(METHODS)
    for name in METHODS:
        text = (DOCS / "methods" / f"{name}.md").read_text(encoding="utf-8")
        headings = ("The paper says", "We built", "Use it", "We measured")
        places = [text.index(f"\n## {heading}\n") for heading in headings]
        assert places == sorted(places)
        assert text.count(f"<!-- facts: {name} -->\n") == 1
        assert text.count(f"<!-- measured: {name} -->\n") == 1


def test_a_table_is_what_was_measured(results: dict[str, Any]) -> None:
    page = "before\n\n<!-- table: some, lossless -->\nold figures\n<!-- /table -->\nafter\n"
    assert fill(page, results) == [
        "before",
        "<!-- table: some, lossless -->",
        "| method | kind | mean rank | MEF_SSIM ↑ | Qcv ↓ |",
        "| --- | --- | --- | --- | --- |",
        "| `mertens` | ours | 2.00 | **0.85 (0.8 to 0.9)** | 300 |",
        "| `mertens:levels=3` | ours | 2.00 | 0.75 (0.7 to 0.8) | 250 |",
        "| `enfuse` | outside | 2.00 | 0.65 (0.6 to 0.7) | **200** |",
        "<!-- /table -->",
        "after",
    ]


def test_a_table_can_be_in_the_order_of_a_metric(results: dict[str, Any]) -> None:
    lines = fill("<!-- table: some, lossless: Qcv -->\n<!-- /table -->\n", results)
    assert lines[1] == "| method | kind | mean rank | Qcv ↓ | MEF_SSIM ↑ |"
    names = [line.split("|")[1].strip() for line in lines[3:-1]]
    assert names == ["`enfuse`", "`mertens:levels=3`", "`mertens`"]


def test_whose_weights_ran_is_told_in_every_row(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    for number, label in enumerate(("dpgn", "pmgi:as-published,weights=/a/b.safetensors")):
        about["contenders"][number] |= {
            "label": label,
            "kind": ("method", "imported")[number],
        }
    (tmp_path / "run" / "run.json").write_text(json.dumps(about))
    found = renew.collect({"plain": str(tmp_path / "run")})
    rows = fill("<!-- table: plain, lossless -->\n<!-- /table -->\n", found)
    assert rows[3].startswith("| `dpgn` | our weights |")
    assert rows[4].startswith("| `pmgi:as-published` | authors' weights |")
    (row,) = [
        line
        for line in fill("<!-- measured: pmgi -->\n<!-- /measured -->\n", found)
        if line.startswith("| simulated brackets, plain cameras, 2 |")
    ]
    assert "| `as-published`, authors' weights | MEF_SSIM" in row


def write_ablation(folder: Path) -> None:
    """What `bench ablation` writes for three variants, one of them not done."""
    variants = {
        name: {
            "published": {"PSNR": paper},
            "means": {"MEF_SSIM": [value, value - 0.1, value + 0.1], "PSNR": [20 * value, 1, 30]},
            "scenes": {"00": {}, "01": {}},
            "parameters": 1234,
            "trained": {"seconds": 180},
            "commit": "abc",
            "environment": {"device": "CPU"},
        }
        for name, value, paper in (("full", 0.9, 21.5), ("without it", 0.8, 20.0))
    }
    variants["also without"] = {"published": {}, "means": {}}
    found = {
        "method": "lcndr",
        "note": "",
        "settings": {"preset": "paper", "steps": 200, "batch": 2, "patch": 96},
        "tables": {"Parts (table I)": [*variants], "Others": ["also without", "full"]},
        "order": {"Parts (table I)": "Told apart: *full* above *without it*.", "Others": ""},
        "variants": variants,
    }
    folder.mkdir()
    (folder / "ablation.json").write_text(json.dumps(found))


def test_an_ablation_s_tables_stand_beside_the_paper_s(
    results: dict[str, Any], tmp_path: Path
) -> None:
    page = "<!-- ablation: lcndr -->\n<!-- /ablation -->\n"
    assert fill(page, results)[1] == "Not trained yet."
    write_ablation(tmp_path / "ablation")
    found = renew.joined(results, renew.collect({"lcndr": str(tmp_path / "ablation")}), [])
    assert found["tables"] == results["tables"]
    assert fill(page, json.loads(renew.as_json(found)))[1:-1] == [
        "Preset `paper`, 200 steps of 2 patches of 96 pixels, 3 to 3 minutes each (CPU, commit "
        "abc); 2 held-out scenes.",
        "**Parts (table I)**",
        "| variant | parameters | MEF_SSIM ↑ | PSNR ↑ | paper's PSNR |",
        "| --- | --- | --- | --- | --- |",
        "| full | 1,234 | **0.9 (0.8 to 1)** | **18** | 21.5 |",
        "| without it | 1,234 | 0.8 (0.7 to 0.9) | 16 | 20 |",
        "Told apart: *full* above *without it*.",
    ]


def test_a_method_s_lines_are_its_own(results: dict[str, Any]) -> None:
    lines = fill("<!-- measured: mertens -->\n<!-- /measured -->\n", results)
    rows = [line for line in lines if line.startswith("| MEFB")]
    assert rows[0].startswith("| MEFB, still pairs, 2 | default | MEF_SSIM ↑ | 0.85 (0.8 to 0.9) |")
    assert rows[0].endswith("| this | 1 of 3 | 1 of 3 |")
    assert rows[1].startswith("| MEFB, still pairs, 2 | `levels=3` |")
    assert "| `mertens` 0.85 | 2 of 3 |" in rows[1]
    assert sum("beside published methods" in row for row in rows) == 2
    assert "1 of 4" in rows[2]
    nothing = fill("<!-- measured: dpgn -->\n<!-- /measured -->\n", results)
    assert nothing[1] == "No run of the benchmark has this method yet."


def test_the_later_run_counts(results: dict[str, Any]) -> None:
    later = json.loads(json.dumps(results["tables"]["some, lossless"]))
    later["began"] = "2031-01-02 03:04:05 UTC"
    later["rows"][0]["scores"]["MEF_SSIM"][0] = 0.99
    both = {**results, "tables": {"later, lossless": later, **results["tables"]}}
    lines = fill("<!-- measured: mertens -->\n<!-- /measured -->\n", both)
    assert any("| default | MEF_SSIM ↑ | 0.99 (" in line for line in lines)
    assert not any(
        "| default | MEF_SSIM ↑ | 0.85 (" in line and "JPEG" not in line for line in lines
    )


def test_duels_places_and_where_they_come_from(results: dict[str, Any]) -> None:
    page = (
        "<!-- duels: some, lossless: mertens, enfuse -->\n<!-- /duels -->\n"
        "<!-- places: some, as-published -->\n<!-- /places -->\n<!-- made -->\n<!-- /made -->\n"
    )
    lines = fill(page, results)
    assert "- `mertens` against `enfuse`: better on 1 (MEF_SSIM), worse on 1 (Qcv)." in lines
    assert "- Places by MEF_SSIM among all 4: mertens 1, mertens:levels=3 2, enfuse 3." in lines
    assert (
        "- some, lossless: commit abc, begun 2030-01-02 03:04:05 UTC, CPU, 1 thread each" in lines
    )


def test_speed_is_told_where_it_was_measured(results: dict[str, Any]) -> None:
    speed = {
        "name": "mertens",
        "quality": "",
        "megapixels": 24.0,
        "seconds_per_megapixel": 0.0581,
        "core_seconds_per_megapixel": 0.112,
        "share": None,
        "peak_bytes": 1_040_000_000,
        "device": "CPU, 2 cores",
        "published": "",
        "random_weights": False,
    }
    lines = fill("<!-- measured: mertens -->\n<!-- /measured -->\n", {**results, "speed": [speed]})
    assert "| - | 24 | 0.112 | 1.04 | CPU, 2 cores | - |" in lines
    lines = fill("<!-- speed -->\n<!-- /speed -->\n", {**results, "speed": [speed]})
    assert "| `mertens` | - | 24 | 0.112 | 1.04 | CPU, 2 cores | - |" in lines
    del speed["core_seconds_per_megapixel"]
    lines = fill("<!-- speed -->\n<!-- /speed -->\n", {**results, "speed": [speed]})
    assert "| `mertens` | - | 24 | 0.0581 by the clock | 1.04 | CPU, 2 cores | - |" in lines


def test_speeds_are_taken_from_a_folder_of_their_own(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    (tmp_path / "speed").mkdir()
    cost: dict[str, Any] = {"name": "mertens", "median_seconds": 1.4, "peak_bytes": 1_040_000_000}
    cost["core_seconds"] = [2.0, 4.0, 2.8]
    told: dict[str, Any] = {"megapixels": 20.0, "cores": 2, "costs": [cost], "networks": []}
    (tmp_path / "speed" / "speed.json").write_text(json.dumps(told))
    folders = {name: str(tmp_path / name) for name in ("speed", "run")}
    found = renew.collect(folders)
    assert list(found["tables"]) == ["run, lossless", "run, as-published"]
    (row,) = found["speed"]
    assert row["seconds_per_megapixel"] == pytest.approx(0.07)
    assert row["core_seconds_per_megapixel"] == pytest.approx(0.14)


def test_what_did_not_run_again_stays_where_that_is_asked_for(results: dict[str, Any]) -> None:
    table = results["tables"]["some, lossless"]
    rows = [row for row in table["rows"] if row["method"] != "enfuse"]
    now: dict[str, Any] = {"tables": {"some, lossless": {**table, "rows": rows}}}
    slow, fast = ({"name": "mertens", "quality": "", "seconds": n} for n in (2, 1))
    other = {"name": "gff", "quality": ""}
    before = {"tables": {**results["tables"], "other, lossless": {}}, "speed": [slow, other]}
    now["speed"] = [fast]
    both = renew.joined(before, now, ["enfuse"])
    assert set(both["tables"]) == {"some, lossless", "other, lossless"}
    assert both["speed"] == [fast, other]
    found = both["tables"]["some, lossless"]
    assert found["rows"] == table["rows"]
    assert found["earlier"]["methods"] == ["enfuse"]
    lines = fill("<!-- made -->\n<!-- /made -->\n", {"tables": {"some, lossless": found}})
    assert lines[2].startswith("    - of it `enfuse`: commit abc, begun 2030-01-02")
    fewer = {**now["tables"]["some, lossless"], "scenes": 1}
    for tables, kept in (({"some, lossless": fewer}, ["enfuse"]), (now["tables"], [])):
        both = renew.joined(before, {"tables": tables, "speed": []}, kept)
        assert both["tables"]["some, lossless"]["rows"] == rows


def test_a_comment_that_nobody_fills_is_an_error(results: dict[str, Any]) -> None:
    with pytest.raises(KeyError):
        renew.filled("<!-- tabel: some, lossless -->\n<!-- /tabel -->\n", results)
