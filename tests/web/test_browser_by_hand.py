"""The page in a real browser: sliders, the brush, and what a reload finds again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.web
sync_api = pytest.importorskip("playwright.sync_api", reason="needs make test-web")

from .test_browser import Visit, different, moving, server  # noqa: E402, F401


@pytest.fixture
def visit(browser: sync_api.Browser, server: str) -> Iterator[Visit]:  # noqa: F811
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="dark")
    visit = Visit(context.new_page(), server)
    yield visit
    context.close()
    assert visit.troubles == []


def stroke(page: sync_api.Page, across: float, down: float) -> None:
    """Paint a short line about a place of the picture, in shares of the viewer."""
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + across * box["width"], box["y"] + down * box["height"]
    page.mouse.move(x - 20, y)
    page.mouse.down()
    page.mouse.move(x + 20, y, steps=5)
    page.mouse.up()


def tone_is_shown(page: sync_api.Page, name: str, value: str) -> None:
    with page.expect_response(re.compile(rf"toned\.jpg\?.*{name}={value}")):
        page.fill(f"#by-hand-{name}", value)


def test_sliders_are_seen_at_once_and_go_into_the_download(
    visit: Visit,
    moving: list[str],  # noqa: F811
    tmp_path: Path,
) -> None:
    page = visit.page
    visit.upload(moving)
    assert page.locator("#by-hand").is_hidden()  # nothing to tone yet
    assert page.locator("#brush").is_hidden()
    visit.fuse()
    page.select_option("#mode", "one")
    before = visit.shot()
    tone_is_shown(page, "exposure", "1")
    brighter = visit.shot()
    assert np.asarray(brighter).mean() > np.asarray(before).mean() + 10
    # By keyboard; the value is told in words.
    page.focus("#by-hand-temperature")
    page.keyboard.press("End")
    page.wait_for_timeout(300)
    assert page.get_attribute("#by-hand-temperature", "aria-valuetext") == "+100"
    with page.expect_request("**/exports") as told, page.expect_download() as download:
        page.select_option("#format", label="PNG (.png)")
        page.click("#save")
    assert told.value.post_data_json["tone"]["exposure"] == 1
    path = tmp_path / "toned.png"
    download.value.save_as(path)
    with Image.open(path) as image:
        red, _, blue = np.asarray(image.convert("RGB"), np.float64).mean(axis=(0, 1))
    page.click("#tone-reset")
    assert page.locator("#tone-reset").is_hidden()
    assert page.input_value("#by-hand-exposure") == "0"
    page.wait_for_timeout(500)
    assert different(visit.shot(), before) < 0.5
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(path)
    with Image.open(path) as image:
        plain = np.asarray(image.convert("RGB"), np.float64).mean(axis=(0, 1))
    assert red / blue > 1.2 * plain[0] / plain[2]


def test_a_preset_moves_the_sliders_and_they_are_asked_for(
    visit: Visit,
    moving: list[str],  # noqa: F811
) -> None:
    page = visit.page
    visit.upload(moving[:2])
    page.select_option("#preset", "vivid")
    assert float(page.input_value("#by-hand-saturation")) > 0
    with page.expect_request("**/jobs") as told:
        visit.fuse()
    assert told.value.post_data_json["tone"]["saturation"] > 0
    page.select_option("#preset", "")
    assert page.input_value("#by-hand-saturation") == "0"


def test_the_brush_decides_where_an_area_comes_from(
    visit: Visit,
    moving: list[str],  # noqa: F811
    tmp_path: Path,
) -> None:
    page = visit.page
    visit.upload(moving)
    visit.fuse()
    page.select_option("#mode", "one")
    page.click("#brush")
    page.select_option("#brush-source", "0")
    stroke(page, 0.4, 0.5)
    stroke(page, 0.6, 0.5)
    assert "Fuse" in page.inner_text("#brush-text")
    page.click("#brush-undo")
    with page.expect_download() as download:
        page.click("#brush-save")
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.name == "IMG_0-mask.png"
    with Image.open(path) as mask:
        assert mask.size == (2400, 1600)
        painted = np.asarray(mask.convert("L")) > 127
    places = np.argwhere(painted)
    assert 0.003 < painted.mean() < 0.05
    assert places[:, 1].max() < 1200  # the second stroke is undone
    assert abs(places[:, 0].mean() - 800) < 100
    with page.expect_request("**/jobs") as told:
        visit.fuse()
    (kept,) = told.value.post_data_json["keep"]
    assert kept["frame"] == 0
    report = page.inner_text("#report") or page.text_content("#report")
    assert report
    # Rubbed out, nothing is asked for.
    page.click("#brush-clear")
    assert page.locator("#brush-undo").is_disabled()
    with page.expect_request("**/jobs") as told:
        visit.fuse()
    assert told.value.post_data_json["keep"] == []
    # Of a cropped result nothing can be painted.
    page.locator("#more summary").click()
    page.check("#crop")
    assert page.locator("#brush-bar").is_visible()


def test_the_brush_by_keyboard(visit: Visit, moving: list[str]) -> None:  # noqa: F811
    page = visit.page
    visit.upload(moving)
    visit.fuse()
    page.focus("#brush")
    page.keyboard.press("Enter")
    page.select_option("#brush-source", "none")
    page.focus("#canvas")
    page.keyboard.press("Space")
    assert page.locator("#brush-undo").is_enabled()
    with page.expect_request("**/jobs") as told:
        visit.fuse()
    (kept,) = told.value.post_data_json["keep"]
    assert kept["frame"] is None
    page.focus("#canvas")
    page.keyboard.press("z")
    assert page.locator("#brush-undo").is_disabled()


def test_a_reload_finds_all_again(visit: Visit, moving: list[str]) -> None:  # noqa: F811
    page = visit.page
    visit.upload(moving)
    assert "#" in page.url
    visit.fuse()
    tone_is_shown(page, "shadows", "50")
    visit.fuse()
    page.click("#brush")
    stroke(page, 0.4, 0.5)
    page.reload()
    page.wait_for_selector("#download:not([hidden])", timeout=60_000)
    page.wait_for_selector("#right option:nth-child(5)", state="attached")
    assert page.locator("#frames li").count() == 3
    assert page.input_value("#by-hand-shadows") == "50"
    page.click("#brush")
    assert page.locator("#brush-undo").is_enabled()
    # What runs is gone on with.
    page.select_option("#align", "flow")
    page.click("#fuse")
    page.wait_for_selector("#progress:not([hidden])")
    page.wait_for_timeout(400)
    page.reload()
    page.wait_for_selector("#right option:nth-child(6)", state="attached", timeout=120_000)
    # A second tab finds it on its first page, and both see it gone.
    other = Visit(page.context.new_page(), visit.address)
    other.page.click("#recent-list button")
    other.page.wait_for_selector("#download:not([hidden])", timeout=60_000)
    other.page.click("#again")
    other.page.wait_for_selector("#drop", state="visible")
    page.reload()
    page.wait_for_selector("#alert:not([hidden])")
    assert "no longer here" in page.inner_text("#alert-text")
    assert other.troubles == []
    visit.troubles = [each for each in visit.troubles if "404" not in each]


def test_a_text_among_the_photos_is_left_out(
    visit: Visit,
    moving: list[str],  # noqa: F811
    tmp_path: Path,
) -> None:
    page = visit.page
    text = tmp_path / "notes.txt"
    text.write_text("the light was good")
    visit.upload([*moving, str(text)])
    assert page.locator("#frames li").count() == 3
    assert "notes.txt" in page.inner_text("#notes")


def test_focus_stays_and_what_is_next_stands_out(
    visit: Visit,
    moving: list[str],  # noqa: F811
) -> None:
    page = visit.page
    visit.upload(moving[:2])
    page.focus("#fuse")
    with page.expect_response("**/jobs"):
        page.keyboard.press("Enter")
    page.wait_for_selector("#download:not([hidden])", timeout=120_000)
    assert page.evaluate("() => document.activeElement.id") == "fuse"
    assert "primary" in page.get_attribute("#save", "class")
    assert "primary" not in (page.get_attribute("#fuse", "class") or "")
    page.select_option("#deghost", "off")
    assert "primary" in page.get_attribute("#fuse", "class")


def test_painting_with_a_finger(
    browser: sync_api.Browser,
    server: str,  # noqa: F811
    moving: list[str],  # noqa: F811
) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True
    )
    visit = Visit(context.new_page(), server)
    page = visit.page
    visit.upload(moving)
    fuse = page.locator("#fuse").bounding_box()
    assert fuse is not None
    assert fuse["y"] + fuse["height"] <= 844  # in sight without scrolling
    visit.fuse()
    page.click("#brush")
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    page.touchscreen.tap(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
    assert page.locator("#brush-undo").is_enabled()
    wide = page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    assert wide
    assert visit.troubles == []
    context.close()
