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

from ..files import save_shaken_bracket  # noqa: E402
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
    assert page.locator("#brush-undo").is_hidden()
    with page.expect_request("**/jobs") as told:
        visit.fuse()
    assert told.value.post_data_json["keep"] == []
    page.click("#brush-close")
    assert page.locator("#brush-bar").is_hidden()
    assert page.evaluate("() => document.activeElement.id") == "brush"


def test_on_a_cropped_result_masks_are_painted_in_the_photos_places(
    visit: Visit, tmp_path: Path
) -> None:
    page = visit.page
    visit.upload([str(file) for file in save_shaken_bracket(tmp_path)])
    page.locator("#more summary").click()
    page.check("#crop")
    visit.fuse()
    page.select_option("#mode", "one")
    page.click("#brush")
    page.focus("#canvas")
    page.keyboard.press("Space")  # in the middle of the picture, which begins 12 pixels right
    with page.expect_download() as download:
        page.click("#brush-save")
    path = tmp_path / "mask.png"
    download.value.save_as(path)
    with Image.open(path) as mask:
        assert mask.size == (220, 200)
        places = np.argwhere(np.asarray(mask.convert("L")) > 127)
    assert abs(places[:, 1].mean() - (220 + 13) / 2) < 2
    with page.expect_request("**/jobs") as told:
        visit.fuse()
    assert told.value.post_data_json["align"]["crop"]
    assert len(told.value.post_data_json["keep"]) == 1


def test_the_brush_by_keyboard(visit: Visit, moving: list[str]) -> None:  # noqa: F811
    page = visit.page
    visit.upload(moving)
    visit.fuse()
    page.focus("#brush")
    page.keyboard.press("Enter")
    page.select_option("#brush-source", "none")
    page.focus("#canvas")
    page.keyboard.press("Space")
    assert page.locator("#brush-undo").is_visible()
    with page.expect_request("**/jobs") as told:
        visit.fuse()
    (kept,) = told.value.post_data_json["keep"]
    assert kept["frame"] is None
    page.focus("#canvas")
    page.keyboard.press("z")
    assert page.locator("#brush-undo").is_hidden()


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
    assert page.locator("#brush-undo").is_visible()
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
    assert "primary" not in (page.get_attribute("#save", "class") or "")
    page.select_option("#deghost", "auto")  # as it was when the result was made
    assert "primary" in page.get_attribute("#save", "class")
    page.fill("#frames input", "-1.5")
    assert "primary" in page.get_attribute("#fuse", "class")
    # What goes away gives the focus to what is there.
    page.focus("#fuse")
    page.keyboard.press("Enter")
    page.focus("#stop")
    page.wait_for_selector("#progress", state="hidden", timeout=120_000)
    assert page.evaluate("() => document.activeElement.id") == "fuse"
    page.fill("#frames input", "999")
    page.click("#fuse")
    page.wait_for_selector("#alert:not([hidden])")
    page.keyboard.press("Shift+Tab")
    before = page.evaluate("() => document.activeElement.id")
    page.click("#alert-close")
    assert page.evaluate("() => document.activeElement.id") == before
    page.focus("#again")
    page.keyboard.press("Enter")
    page.wait_for_selector("#drop", state="visible")
    assert page.evaluate("() => document.activeElement.id") == "files"


def test_each_method_says_what_it_is_good_for_and_how_long_it_takes(
    visit: Visit,
    moving: list[str],  # noqa: F811
) -> None:
    page = visit.page
    visit.upload(moving)
    assert re.search(r"Fuses these photos in about a second\.$", page.inner_text("#method-text"))
    offer = page.evaluate("() => fetch('api/options').then((answer) => answer.json())")
    methods = {method["name"]: method for method in offer["methods"]}
    usable = {
        name
        for name, method in methods.items()
        if method["available"] and method["frames"][0] <= 3 <= method["frames"][1]
    }
    chosen = page.evaluate(
        "() => [...document.getElementById('method').options].map((o) => o.value)"
    )
    assert set(chosen) == {"auto", *usable}
    page.locator("#methods > summary").click()
    lines = page.locator("#method-list button")
    assert lines.count() == len(usable)
    line = page.locator("#method-list button[data-method=debevec]")
    assert methods["debevec"]["summary"][1:] in line.inner_text()
    assert re.search(r"about (a second|\d+ s)", line.inner_text())
    line.click()
    assert page.input_value("#method") == "debevec"
    assert page.locator("#tone").is_visible()
    assert line.get_attribute("aria-pressed") == "true"
    page.locator("#method-list details summary").click()
    absent = page.locator("#method-list .absent")
    assert absent.count() == len(methods) - len(usable)
    told = absent.all_inner_texts()
    assert any("safnet" in text and "ghostless train safnet" in text for text in told)
    assert any("fler" in text and "it takes 2 photos, and here are 3" in text for text in told)
    # What a run took here counts for the next.
    visit.fuse()
    assert "Fuses these photos in about" in page.inner_text("#method-text")


def test_a_toned_picture_shows_single_pixels(
    visit: Visit,
    moving: list[str],  # noqa: F811
) -> None:
    page = visit.page
    visit.upload(moving)
    visit.fuse()
    page.select_option("#mode", "one")
    with page.expect_response(re.compile(r"/views/picture/\d/\d\.jpg")):
        page.click("#zoom-pixels")
    for _ in range(5):
        page.click("#zoom-in")
    middle = (300, 200, 700, 500)

    def blocks() -> float:
        """Share of places that look like their right neighbour: pixels are large by now."""
        pixels = np.asarray(visit.shot().convert("RGB").crop(middle), np.int32)
        return float((np.abs(np.diff(pixels, axis=1)).sum(axis=2) <= 3).mean())

    assert blocks() > 0.7
    with page.expect_response(re.compile(r"/toned/\d/\d\.jpg\?.*shadows=60")) as tile:
        page.fill("#by-hand-shadows", "60")
    assert tile.value.ok
    page.wait_for_timeout(500)
    assert blocks() > 0.7
    # The whole picture needs no tiles.
    page.click("#zoom-fit")
    tone_is_shown(page, "shadows", "61")


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

    def top(selector: str) -> float:
        box = page.locator(selector).bounding_box()
        assert box is not None
        return box["y"]

    # Photos, comparing, options; and what is next in sight: downloading, or with paint fusing.
    assert top("#frames") < top("#bar") < top("#canvas") < top("#options")
    assert top("#save") < 844
    page.click("#brush")
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    assert box["y"] < 60
    assert box["y"] + box["height"] < top("#brush-bar") < 844
    page.touchscreen.tap(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
    assert page.locator("#brush-undo").is_visible()
    assert box["y"] + box["height"] < top("#fuse") < 844
    assert top("#save") > 844
    wide = page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    assert wide
    assert visit.troubles == []
    context.close()
