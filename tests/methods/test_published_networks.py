"""With their authors' weights, compared networks score what their authors' programs do.

The weights lie beside the photos. MEF-SSIM is that of two pairs of MEFB, and slowly of four.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from tests.methods.test_published_programs import read, score

from ghostless.bracket import Frame, Stack
from ghostless.methods import METHODS, fuse_stack
from ghostless.nn.published import import_weights

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK, SLOW = ("Office",), ("Memorial", "House", "ICCV_03")
# Of the authors' programs, by pair.
SCORES: dict[str, dict[str, float]] = {
    "sdnet": {"Memorial": 0.9474, "House": 0.8955, "Office": 0.9622, "ICCV_03": 0.9573},
    "pmgi": {"Memorial": 0.9129, "House": 0.9331, "Office": 0.9559, "ICCV_03": 0.9564},
    "u2fusion": {"Memorial": 0.9490, "House": 0.9409, "Office": 0.9301, "ICCV_03": 0.9656},
    "halder": {"Memorial": 0.9245, "House": 0.8920, "Office": 0.9130, "ICCV_03": 0.9498},
}


@pytest.fixture(scope="module", params=list(SCORES))
def published(
    request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """A method, and its authors' weights as a file of ours."""
    name: str = request.param
    method = METHODS[name]
    out = tmp_path_factory.mktemp("weights") / f"{name}.safetensors"
    files = sorted((shared / "official" / name).iterdir())
    import_weights(method.kind, method.find(method.published), files, out)
    return name, out


def score_of(shared: Path, name: str, weights: Path, pair: str, settings: Any) -> float:
    folder = shared / "mefb30" / pair
    frames = [Frame(read(next(folder.glob(f"{one}.*")))) for one in ("under", "over")]
    chosen = METHODS[name].settings_class(weights=weights, device="cpu", **settings)
    pixels = fuse_stack(Stack(tuple(frames), 0), name, chosen).pixels
    return score(frames, np.floor(pixels * 255 + 0.5).astype(np.uint8))


@pytest.mark.parametrize("pair", QUICK)
def test_it_scores_as_published(shared: Path, published: tuple[str, Path], pair: str) -> None:
    name, weights = published
    found = score_of(shared, name, weights, pair, METHODS[name].as_published)
    assert found == pytest.approx(SCORES[name][pair], abs=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("pair", SLOW)
def test_it_scores_as_published_on_more_pairs(
    shared: Path, published: tuple[str, Path], pair: str
) -> None:
    test_it_scores_as_published(shared, published, pair)
