"""The choice of references measured on scenes whose label is known to be one of the pool."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from ghostless.bracket import Fused
from ghostless.cli import run
from ghostless.io.write import write_image
from ghostless.research.bench import references as bench
from ghostless.research.data import references
from tests.files import save_photo
from tests.scenes import expose, make_radiance

FEW = ("mertens", "reinhard-local")


@pytest.fixture
def sice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One still scene of five photos; its label is the pool's exposure fusion of the truth."""
    few = {name: references.POOL[name] for name in FEW}
    monkeypatch.setattr(references, "POOL", few)
    radiance = make_radiance(192, 224, range_stops=8)
    folder = tmp_path / "sice" / "001"
    folder.mkdir(parents=True)
    for number, stops in enumerate((-4, -2, 0, 2, 4)):
        save_photo(folder / f"{number + 1:02d}.png", expose(radiance, stops), stops=stops)
    label = np.clip(few["mertens"](radiance), 0, 1)
    write_image(Fused(label, "display"), folder / "label.png")
    return tmp_path / "sice"


def test_the_command_scores_the_choice_beside_the_pool(
    sice: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", "references", str(sice), "--json", "-q"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["chosen"]) == {"001"}
    assert result["nearest"]["001"] == "mertens"
    means = result["means"]
    assert set(means) == {
        *(f"pool: {name}" for name in FEW),
        bench.CHOSEN,
        bench.NEAREST,
        bench.MEAN,
        bench.FUSION,
    }
    assert means[bench.NEAREST] == means["pool: mertens"]
    assert means[bench.CHOSEN] == means[f"pool: {result['chosen']['001']}"]
    # The label is found again from the photos, up to what merging them loses.
    assert means["pool: mertens"]["PSNR"] > 25
    assert means["pool: mertens"]["PSNR"] > means[bench.MEAN]["PSNR"] + 3
    assert run(["bench", "references", str(sice)]) == 0
    assert "chosen by TMQI" in capsys.readouterr().out


@pytest.mark.slow
def test_on_sice_the_choice_is_near_to_what_people_picked(shared: Path) -> None:
    means = bench.run(shared / "static" / "sice", longer_side_pixels=384).means()
    chosen = means[bench.CHOSEN]
    assert chosen["PSNR"] > means["pool: durand"]["PSNR"] + 1
    assert chosen["PSNR"] > 23
    assert chosen["SSIM"] > 0.9
