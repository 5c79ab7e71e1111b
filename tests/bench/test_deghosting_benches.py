"""The benches of deghosting on small brackets of known content."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ghostless import pipeline
from ghostless.bracket import Stack
from ghostless.cli import run as command
from ghostless.deghost import DeghostSettings
from ghostless.errors import FileReadError, OptionError
from ghostless.pipeline import FuseOptions
from ghostless.research.bench import pasted, still
from ghostless.research.bench.pieces import Piece, differs, make_cover, make_piece
from ghostless.research.bench.pool import map_in_processes
from ghostless.research.bench.with_and_without import MOST_DECIBELS, decibels, find_scenes
from tests.scenes import add_disc, expose, make_frames, make_radiance

STOPS = (-2, 0, 2)
OFF = FuseOptions(method="mertens", deghost=DeghostSettings(mode="off"))


def _save(folder: Path, name: str, radiances) -> None:
    """A bracket as files; one radiance for all exposures, or one for each."""
    if isinstance(radiances, np.ndarray):
        radiances = [radiances] * len(STOPS)
    (folder / name).mkdir(parents=True)
    for index, (radiance, stops) in enumerate(zip(radiances, STOPS, strict=True)):
        image = expose(radiance, stops, noise=0.3, seed=index)
        cv2.imwrite(str(folder / name / f"{index}.png"), image[..., ::-1])


@pytest.fixture(scope="module")
def brackets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two still brackets of one camera."""
    folder = tmp_path_factory.mktemp("still") / "brackets"
    for seed, name in enumerate(("one", "two")):
        _save(folder, name, make_radiance(150, 200, seed, range_stops=4))
    return folder


# ---- still ----


def test_brackets_that_are_still_or_not_are_counted(brackets, tmp_path):
    scene = make_radiance(150, 200, 3, range_stops=4)
    red = (0.9, 0.05, 0.05)
    moving = [add_disc(scene, (60 + 40 * step, 80), 22, red) for step in range(3)]
    _save(tmp_path / "some", "moving", moving)
    _save(tmp_path / "some", "still", scene)
    told: list[float] = []
    result = still.run([tmp_path / "some"], out=tmp_path / "out", progress=told.append)
    assert told == [0.5, 1]
    by = {score.scene: score for score in result.scores}
    assert by["moving"].decibels < still.SAME_DECIBELS < by["still"].decibels
    assert by["moving"].mean_replaced > 0.01
    assert by["moving"].replaced[by["moving"].reference] == 0
    facts = result.summary()["some"]
    assert (facts["brackets"], facts["same"]) == (2, 1)
    assert facts["most_replaced"] == by["moving"].most_replaced
    saved = json.loads((tmp_path / "out" / still.FILE).read_text())
    assert saved == json.loads(json.dumps(result.as_dict()))
    assert len(list((tmp_path / "out").glob("some_*.jpg"))) == 2
    assert "1 of 2 within 40 dB" in result.as_text()


def test_without_deghosting_nothing_differs(brackets):
    result = still.run([brackets], OFF)
    assert [score.decibels for score in result.scores] == [MOST_DECIBELS] * 2
    assert result.summary()["brackets"]["untouched"] == 2


def test_a_bracket_that_the_line_refuses_is_named_and_stops_nothing(brackets, tmp_path):
    _save(tmp_path / "some", "good", make_radiance(60, 80, 1))
    _save(tmp_path / "some", "odd", make_radiance(60, 80, 1))
    cv2.imwrite(str(tmp_path / "some" / "odd" / "1.png"), np.zeros((50, 80, 3), np.uint8))
    result = still.run([tmp_path / "some"], OFF)
    assert [bool(score.error) for score in result.scores] == [False, True]
    assert "failed: 1.png" in result.as_text()
    result = pasted.run([tmp_path / "some"], OFF, pieces=1)
    assert [bool(score.error) for score in result.scores] == [False, True]
    assert "failed: 1.png" in result.as_text()
    json.dumps(result.as_dict(), allow_nan=False)
    result = pasted.run([tmp_path / "some"], OFF, pieces=1, scenes=("odd",))
    assert "no bracket could be fused" in result.as_text()


# ---- pasted ----


def test_deghosting_off_finds_nothing_and_changes_nothing(brackets):
    result = pasted.run([brackets], OFF)
    assert len(result.scores) == 4
    for score in result.scores:
        assert score.moved > 0
        assert (score.overlap, score.found, score.beyond) == (0, 0, 0)
        assert score.decibels == score.without < MOST_DECIBELS
        assert score.decibels_inside == score.without_inside < score.without
    assert result.summary()["brackets"]["better"] == 0


def test_a_perfect_deghoster_reaches_everything(brackets, monkeypatch):
    pieces: list[Piece] = []
    make = make_piece

    def remember(*arguments):
        pieces.append(make(*arguments))
        return pieces[-1]

    def perfect(stack: Stack, settings, *, kept=(), progress=None) -> Stack:
        """Lay the piece at the reference's place, knowing it."""
        scene = next(s for s in find_scenes([brackets])["brackets"] if s.name == names[-1])
        frames, piece = pasted.read_frames(scene), pieces[-1]
        order = [int(Path(frame.name).stem) for frame in stack.frames]
        place = piece.places[order[stack.reference]]
        true = [piece.lay(frames[index], index, place) for index in order]
        differ = [differs(a, b) for a, b in zip(stack.frames, true, strict=True)]
        return replace(
            stack,
            frames=tuple(
                replace(f, pixels=t.pixels) for f, t in zip(stack.frames, true, strict=True)
            ),
            confidence=tuple(np.where(d, 0, 255).astype(np.uint8) for d in differ),
            filled=True,
        )

    names: list[str] = []
    bracket = pasted.score_bracket

    def note(job, **how):
        names.append(job.scene.name)
        return bracket(job, **how)

    monkeypatch.setattr(pasted, "make_piece", remember)
    monkeypatch.setattr(pasted, "score_bracket", note)
    monkeypatch.setattr(pipeline, "deghost_stack", perfect)
    result = pasted.run([brackets])
    for score in result.scores:
        assert score.overlap == score.found == 1
        assert score.beyond == 0
        assert score.decibels == MOST_DECIBELS > score.without
    assert result.summary()["brackets"]["better"] == 1


def test_ours_does_better_than_none(brackets, tmp_path):
    result = pasted.run([brackets], out=tmp_path)
    facts = result.summary()["brackets"]
    assert facts["mean_decibels"] > facts["mean_without"] + 3
    assert facts["median_overlap"] > 0.6
    assert len(list(tmp_path.glob("brackets_*.jpg"))) == 4
    saved = json.loads((tmp_path / pasted.FILE).read_text())
    assert saved == json.loads(json.dumps(result.as_dict()))
    assert "better than without" in result.as_text()


def test_pieces_depend_on_the_seed_and_the_name_alone(brackets):
    both = pasted.run([brackets], OFF)
    assert {score.source for score in both.scores} == {"one", "two"}
    alone = pasted.run([brackets], OFF, scenes=("two",), pieces=1)
    more = pasted.run([brackets], OFF, scenes=("two",), pieces=3)
    assert alone.scores[0] == both.scores[2]
    assert more.scores[:2] == both.scores[2:]
    other = pasted.run([brackets], OFF, scenes=("two",), pieces=1, seed=1)
    assert other.scores[0].without != alone.scores[0].without


def test_a_piece_is_at_its_own_place_in_every_frame():
    frames = make_frames(make_radiance(120, 160, 5), STOPS)
    random = np.random.default_rng(3)
    piece = make_piece(frames, frames, "it", random)
    assert len(set(piece.places)) == len(frames)
    height, width = piece.cover.shape
    for index, (frame, (left, top)) in enumerate(zip(frames, piece.places, strict=True)):
        laid = piece.lay(frame, index, (left, top)).pixels
        box = (slice(top, top + height), slice(left, left + width))
        core, outside = piece.cover >= 1, piece.cover <= 0
        assert core.any()
        assert np.array_equal(laid[box][core], piece.views[index][core])
        assert np.array_equal(laid[box][outside], frame.pixels[box][outside])
        rest = laid.copy()
        rest[box] = frame.pixels[box]
        assert np.array_equal(rest, frame.pixels)


@pytest.mark.parametrize("kind", [{"depth": 16}, {"linear": True}])
def test_pieces_are_laid_into_frames_of_any_type(kind):
    frames = make_frames(make_radiance(80, 100, 5), STOPS, **kind)
    piece = make_piece(frames, frames, "it", np.random.default_rng(0))
    laid = piece.lay(frames[0], 0, piece.places[0])
    assert laid.pixels.dtype == frames[0].pixels.dtype
    assert differs(laid, frames[0]).any()


def test_covers_are_as_long_and_as_soft_as_they_were_asked_for():
    random = np.random.default_rng(1)
    for length, edge in ((30, 1), (30, 4), (90, 2)):
        cover = make_cover(length, edge, random)
        inside = cover > 0.5
        extent = max(np.ptp(np.nonzero(inside.any(axis=axis))[0]) + 1 for axis in (0, 1))
        assert extent == pytest.approx(length, abs=3)
        assert cover.max() == 1
        assert not cover[0].any()
        assert not cover[:, -1].any()
        # The band from 5 to 95 % is an edge wide, all round the piece.
        band = (cover > 0.05) & (cover < 0.95)
        around = cv2.arcLength(
            cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0][
                0
            ],
            True,
        )
        assert 0.6 * edge < band.sum() / around < 2 * edge


def test_only_brackets_of_one_camera_and_exposures_are_alike():
    scenes = [make_radiance(120, 160, seed) for seed in (1, 2)]
    one, other = (pasted.curves_of(make_frames(scene, STOPS)) for scene in scenes)
    wider = pasted.curves_of(make_frames(scenes[1], (-3, 0, 2)))
    pair = pasted.curves_of(make_frames(scenes[1], STOPS[1:]))
    assert pasted.are_alike(one, other)
    assert not pasted.are_alike(one, wider)
    assert not pasted.are_alike(one, pair)
    assert not pasted.are_alike(one, None)


# ---- what they share ----


def test_decibels_of_a_part():
    truth = np.full((4, 4, 3), 0.5, np.float32)
    picture = truth.copy()
    picture[0] += 0.1
    top = np.zeros((4, 4), np.bool_)
    top[0] = True
    assert decibels(picture, truth, top) == pytest.approx(20, abs=1e-4)
    assert decibels(picture, truth) == pytest.approx(20 + 10 * np.log10(4), abs=1e-4)
    assert decibels(picture, truth, ~top) == MOST_DECIBELS
    assert np.isnan(decibels(picture, truth, np.zeros_like(top)))


def test_layouts_and_names(brackets, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "pairs" / name).mkdir(parents=True)
        for stem in ("under", "over"):
            cv2.imwrite(str(tmp_path / "pairs" / name / f"{stem}.png"), np.zeros((4, 4, 3)))
    found = find_scenes([tmp_path / "pairs", brackets], ("b", "one"))
    assert [(s, [i.name for i in inside]) for s, inside in found.items()] == [
        ("pairs", ["b"]),
        (brackets.name, ["one"]),
    ]
    assert found["pairs"][0].files[0].stem == "under"
    with pytest.raises(OptionError, match="one"):
        find_scenes([brackets], ("onne",))
    with pytest.raises(OptionError, match="twice"):
        find_scenes([brackets, brackets])
    with pytest.raises(FileReadError):
        find_scenes([tmp_path / "nowhere"])


def _half(value: int) -> float:
    return 12 / value


def test_answers_come_in_order_and_errors_come_through():
    told: list[float] = []
    assert map_in_processes(_half, [3, 1, 2], 2, told.append) == [4, 12, 6]
    assert told == pytest.approx([1 / 3, 2 / 3, 1])
    with pytest.raises(ZeroDivisionError):
        map_in_processes(_half, [3, 0, 2], 2)


def test_the_commands(brackets, tmp_path, capsys):
    out = tmp_path / "out"
    assert command(["bench", "still", str(brackets), "--jobs", "1", "-o", str(out)]) == 0
    assert "2 of 2 within" in capsys.readouterr().out
    words = ["bench", "pasted", str(brackets), "--scenes", "one", "--pieces", "1", "--jobs", "1"]
    assert command([*words, "--json", "--deghost", "off"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert [(s["scene"], s["overlap"]) for s in scores] == [("one", 0)]
    assert command([*words, "--scenes", "nine"]) == 2
