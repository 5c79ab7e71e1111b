"""The pictures of docs/ can be made again, a network's as soon as its weights ship."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ghostless.methods import METHODS

from .files import save_bracket

DOCS = Path(__file__).resolve().parents[1] / "docs"
# Made by the demo, by docs/web_picture.py in a browser, and by docs/failures.py.
OF_OTHERS = {"demo.jpg", "web.jpg", "fails"}

pytestmark = pytest.mark.slow


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """docs/pictures.py, writing into a folder of the test."""
    spec = importlib.util.spec_from_file_location("docs_pictures", DOCS / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "DOCS", tmp_path)
    monkeypatch.setattr(module, "IMAGES", tmp_path / "images")
    shutil.copy(DOCS / "quickstart.md", tmp_path)
    save_bracket(tmp_path / "photos", height=150, width=220, suffix=".jpg")
    monkeypatch.setattr("sys.argv", ["pictures.py", str(tmp_path / "photos")])
    return module


def ship_chen_chuang(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from ghostless.nn.chen_chuang import GENERATOR
    from ghostless.nn.weights import WeightsInfo, save_weights

    torch.manual_seed(1)
    network = GENERATOR.build(replace(GENERATOR.architecture(), channels=4)).eval()
    folder.mkdir()
    save_weights(network, folder / "chen-chuang.safetensors", WeightsInfo(GENERATOR.name))
    monkeypatch.setattr("ghostless.nn.weights.WEIGHTS_FOLDER", folder)


def test_all_pictures_are_made(
    pictures: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship_chen_chuang(tmp_path / "weights", monkeypatch)
    pictures.main()
    made = {path.name for path in (tmp_path / "images").iterdir()}
    shipped = {path.name for path in (DOCS / "images").iterdir()}
    assert "chen-chuang.jpg" in made
    of_networks = {f"{name}.jpg" for name in METHODS}
    assert made - of_networks == shipped - of_networks - OF_OTHERS
    for name in made:
        with Image.open(tmp_path / "images" / name) as picture:
            assert pictures.WIDTH - 8 < picture.width <= pictures.WIDTH
    assert "220 x 150" in (tmp_path / "quickstart.md").read_text()
