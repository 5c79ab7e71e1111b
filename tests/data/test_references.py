"""References for exposure fusion: the pool, its guards, TMQI's choice, and prepared views."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ghostless.bracket import Fused
from ghostless.errors import FileReadError, OptionError
from ghostless.io.write import write_image
from ghostless.pixels import color
from ghostless.research.data import references
from ghostless.research.data.panoramas import pack
from ghostless.research.data.references import (
    POOL,
    ReferenceSettings,
    ReferenceViews,
    choose_reference,
    dense_bracket,
    prepare_references,
)
from ghostless.research.metrics.tone_mapping import tone_mapping_quality
from tests.data.pictures import PERFECT
from tests.scenes import make_radiance

FEW = ("mertens", "mertens srgb", "reinhard-local")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("views")
    (root / "hdr").mkdir()
    for name, seed in (("meadow", 0), ("leadenhall_market_1k", 1)):
        write_image(Fused(make_radiance(256, 512, seed), "linear"), root / "hdr" / f"{name}.exr")
    pack([root / "hdr"], root / "packed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(references, "POOL", {name: POOL[name] for name in FEW})
        patch.setattr(choose_reference, "__defaults__", (FEW,))
        assert prepare_references(root / "packed", root / "views", 1, (192, 192)) == 2
    return root / "views"


def test_the_pool_is_large_and_its_pictures_are_display_images() -> None:
    assert len(POOL) >= 8
    radiance = make_radiance(64, 96, range_stops=10)
    pictures = [render(radiance) for render in POOL.values()]
    for picture in pictures:
        assert picture.shape == radiance.shape
        assert np.isfinite(picture).all()
        assert 0.15 < np.clip(picture, 0, 1).mean() < 0.8
    differences = [np.abs(a - b).mean() for n, a in enumerate(pictures) for b in pictures[:n]]
    assert min(differences) > 1e-3


def test_the_dense_bracket_shows_the_whole_range() -> None:
    radiance = make_radiance(64, 96, range_stops=12)
    frames = dense_bracket(radiance, 0.0).frames
    assert len(frames) > 4
    assert (frames[0].pixels > 0.99).mean() < 0.01
    assert (frames[-1].pixels.max(axis=2) < 0.2).mean() < 0.01
    steps = np.diff([frame.stops for frame in frames if frame.stops is not None])
    assert steps.max() < 1.6


def test_tmqi_chooses_among_what_the_guards_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    radiance = make_radiance(192, 192, range_stops=8)
    good = np.clip(POOL["mertens"](radiance), 0, 1)
    tinted = np.clip(good * np.float32([1.0, 0.75, 0.6]), 0, 1)
    burnt = np.clip(good * np.float32(2.2), 0, 1)
    flat = (0.45 + 0.1 * good).astype(np.float32)
    made = {"good": good, "tinted": tinted, "burnt": burnt, "flat": flat, "other": good**0.95}
    pool = {name: (lambda _, picture=picture: picture) for name, picture in made.items()}
    monkeypatch.setattr(references, "POOL", pool)
    chosen = choose_reference(radiance, tuple(pool))
    scores = {name: tone_mapping_quality(radiance, picture * 255) for name, picture in made.items()}
    # "flat" passes, but is none of the two of five that the others are nearest to.
    assert chosen.name == max(("good", "other"), key=lambda name: scores[name].quality)
    assert chosen.quality == scores[chosen.name]
    looks = [references._look(picture) for picture in made.values()]
    passed = dict(zip(made, references.passes(looks), strict=True))
    assert passed["good"]
    assert not passed["tinted"]
    assert not passed["burnt"]


def test_small_pictures_are_refused() -> None:
    with pytest.raises(OptionError, match="176"):
        choose_reference(make_radiance(100, 200))


def test_prepared_views_give_brackets_with_their_reference(prepared: Path) -> None:
    settings = ReferenceSettings(shift_stops=(0, 0), camera=PERFECT)
    views = ReferenceViews(prepared, settings, split=None)
    batch = views.sample(3, (96, 128), torch.Generator().manual_seed(0))
    assert batch.frames.shape == (3, 2, 3, 96, 128)
    assert batch.reference.shape == (3, 3, 96, 128)
    assert (batch.stops[:, 0] == -batch.stops[:, 1]).all()
    light = batch.radiance * batch.stops[:, 0].exp2().view(-1, 1, 1, 1)
    wanted = color.linear_to_srgb(np.minimum(light.numpy(), 1))
    assert np.abs(batch.frames[:, 0].numpy() - wanted).max() < 1e-3
    # Radiance and reference are of the same place.
    for radiance, reference in zip(batch.radiance, batch.reference, strict=True):
        a, b = radiance.log2().flatten().numpy(), reference.flatten().numpy()
        assert np.corrcoef(a, b)[0, 1] > 0.7


def test_splits_hold_and_seeds_repeat(prepared: Path) -> None:
    train, held_out = (ReferenceViews(prepared, split=side) for side in ("train", "held-out"))
    assert [entry.scene for entry in train.views.entries] == ["meadow"]
    assert [entry.scene for entry in held_out.views.entries] == ["leadenhall_market"]
    first, again = (
        train.sample(2, (64, 64), torch.Generator().manual_seed(1)).frames for _ in range(2)
    )
    assert torch.equal(first, again)


def test_a_run_that_was_cut_off_goes_on(prepared: Path, tmp_path: Path) -> None:
    views = tmp_path / "views"
    views.mkdir()
    for suffix in ("jp2", "jpg", "json"):
        name = f"meadow_0.{suffix}"
        (views / name).write_bytes((prepared / name).read_bytes())
    before = (views / "meadow_0.jpg").stat().st_mtime_ns
    prepare_references(prepared.parent / "packed", views, 1, (192, 192))
    assert (views / "meadow_0.jpg").stat().st_mtime_ns == before
    assert len(ReferenceViews(views, split=None)) == 2
    with pytest.raises(OptionError, match="workers"):
        prepare_references(prepared.parent / "packed", views, workers=0)


def test_nothing_of_the_held_out_scenes_is_in_training_views(
    prepared: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    packed = prepared.parent / "packed"
    assert prepare_references(packed, alone, 1, (192, 192), split="train") == 1
    assert (alone / "meadow_0.jp2").read_bytes() == (prepared / "meadow_0.jp2").read_bytes()


@pytest.mark.slow
def test_processes_store_what_one_would(prepared: Path, tmp_path: Path) -> None:
    packed = prepared.parent / "packed"
    for name, workers in (("one", 1), ("two", 2)):
        prepare_references(packed, tmp_path / name, 1, (192, 192), workers=workers)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_three_frames_can_be_asked_for(prepared: Path) -> None:
    settings = replace(ReferenceSettings(), frames=(3, 3), span_stops=(4, 4))
    batch = ReferenceViews(prepared, settings).sample(1, (64, 64), torch.Generator())
    assert batch.stops.tolist() == [[-2, 0, 2]]


def test_wrong_folders_and_patches_are_refused(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(FileReadError):
        ReferenceViews(tmp_path)
    with pytest.raises(OptionError, match="patch"):
        ReferenceViews(prepared).sample(1, (300, 64), torch.Generator())
