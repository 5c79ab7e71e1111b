"""A method as its paper has it: one word, and what it sets."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ghostless import FuseOptions
from ghostless.cli.commands import app
from ghostless.methods import METHODS, get_method
from ghostless.options import as_published
from ghostless.research.bench.contenders import all_as_published, parse_contenders


@pytest.mark.parametrize("name", METHODS)
def test_the_line_does_nothing_and_the_method_what_its_paper_does(name: str) -> None:
    method = get_method(name)
    options = as_published(FuseOptions(method=name), method)
    own = dict(method.as_published)
    # DeepHDR's paper aligns the background first.
    aligner = own.pop("align.model", "none")
    assert aligner == ("homography" if name == "deephdr" else "none")
    assert (options.align.model, options.deghost.mode) == (aligner, "off")
    for field, value in own.items():
        assert getattr(options.method_settings, field) == value
    if method.paper and fields(method.settings_class):
        assert method.as_published, "papers differ somewhere from our defaults"


def test_chen_chuangs_form_is_its_network_alone_looking_once() -> None:
    settings = as_published(FuseOptions(), get_method("chen-chuang")).method_settings
    assert (settings.homography, settings.homography_passes) == ("on", 1)
    assert not settings.homography_check
    assert not settings.homography_mirrored


def test_contenders_can_be_as_published() -> None:
    text = "mertens:as-published,levels=4,opencv-mertens,mef-gan"
    mertens, opencv, mef = parse_contenders(text)
    options = mertens.options(still=False)
    assert (options.method_settings.overshoot, options.method_settings.levels) == ("clip", 4)
    assert options.deghost.mode == "off"
    assert not opencv.published
    assert not mef.published
    every = all_as_published(text)
    assert every == "mertens:as-published,levels=4,opencv-mertens,mef-gan:as-published"
    assert [c.published for c in parse_contenders(every)] == [True, False, True]


def test_the_command_says_it_in_a_word_and_what_is_given_wins(tmp_path: Path) -> None:
    import json

    ramp = np.linspace(0, 1, 64 * 48).reshape(48, 64, 1).repeat(3, axis=2)
    for number, gain in enumerate((0.25, 1.0, 4.0)):
        codes = np.rint(255 * np.clip(ramp * gain, 0, 1) ** (1 / 2.2)).astype(np.uint8)
        Image.fromarray(codes).save(tmp_path / f"{number}.png")
    photos = [str(tmp_path / f"{number}.png") for number in range(3)]
    report = tmp_path / "report.json"
    words = ["fuse", *photos, "-o", str(tmp_path / "out.png"), "--as-published", "-q"]
    words += ["--report", str(report), "--method", "mertens", "--set", "levels=3"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    settings = json.loads(report.read_text())["settings"]
    assert settings["align"]["model"] == "none"
    assert settings["deghost"]["mode"] == "off"
    own = settings["method_settings"]
    assert (own["overshoot"], own["levels"]) == ("clip", 3)
