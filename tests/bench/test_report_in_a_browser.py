"""The report in a real browser: it fits, zooms in step, compares, shows masks, and prints whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ghostless.research.bench.report import write_report
from ghostless.research.bench.results import load_results
from ghostless.research.bench.run import BenchSettings, run

from .. import scenes
from ..files import save_photo

pytestmark = pytest.mark.web
SIZES = {"desktop": (1366, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of one scene in which a disc moves, so that there are masks."""
    base = tmp_path_factory.mktemp("report")
    radiance = scenes.make_radiance(240, 320, seed=4)
    for index, stops in enumerate((-2.0, 0.0, 2.0)):
        place = scenes.add_disc(radiance, (70 + 80 * index, 120), 30, (0.6, 0.1, 0.1))
        photo = scenes.expose(place, stops)
        save_photo(base / "data" / "moving" / f"{index}.jpg", photo, stops=stops)
    settings = BenchSettings(metrics=("MEF_SSIMd", "MI", "Qc"), workers=1)
    run("folder", "mertens,opencv-mertens", base / "out", base / "data", settings)
    write_report(load_results(base / "out"))
    return base / "out" / "report.html"


@pytest.fixture
def visit(browser: Any, page_file: Path) -> Iterator[Any]:
    """Open the report in a window of a size; afterwards nothing may have gone wrong in it."""
    problems: list[str] = []
    pages = []

    def opened(size: str) -> Any:
        width, height = SIZES[size]
        page = browser.new_page(viewport={"width": width, "height": height})
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: check_request(request.url))
        page.goto(page_file.as_uri())
        pages.append(page)
        return page

    def check_request(url: str) -> None:
        if not url.startswith(("file:", "data:")):
            problems.append(f"asked for {url}")

    yield opened
    for page in pages:
        page.close()
    assert problems == []


@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_wider_than_the_window_and_all_pictures_show(visit: Any, size: str) -> None:
    page = visit(size)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    pictures = page.locator(".shots .frame > img:first-child")
    assert pictures.count() == 5  # three photos and two results
    page.wait_for_function("[...document.querySelectorAll('.shots img')].every(i => i.complete)")
    assert all(pictures.evaluate_all("all => all.map(i => i.naturalWidth > 0)"))
    for text in page.locator("td, .scene button, .bar label").all():
        if text.is_visible():
            assert text.evaluate("e => parseFloat(getComputedStyle(e).fontSize)") >= 10


@pytest.mark.parametrize("size", SIZES)
def test_all_pictures_of_a_scene_zoom_and_move_in_step(visit: Any, size: str) -> None:
    page = visit(size)
    scene = page.locator(".scene").first
    pictures = scene.locator(".shots .frame > img:first-child")

    def transforms() -> set[str]:
        found = pictures.evaluate_all("all => all.map(i => getComputedStyle(i).transform)")
        return set(found)

    scene.scroll_into_view_if_needed()
    scene.locator(".in").click()
    scene.locator(".in").click()
    (zoomed,) = transforms()
    assert zoomed.startswith("matrix(4, 0, 0, 4,")
    box = scene.locator(".frame").first.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 30, box["y"] + 40)
    page.mouse.up()
    (moved,) = transforms()
    assert moved != zoomed
    # The full picture beside the page has taken the small one's place.
    page.wait_for_function("document.querySelector('.shots img').src.startsWith('file:')")
    scene.locator(".fit").click()
    (whole,) = transforms()
    assert whole.startswith("matrix(1, 0, 0, 1, 0, 0)")


def test_the_slider_moves_the_border_between_two_results(visit: Any) -> None:
    page = visit("desktop")
    scene = page.locator(".scene").first
    scene.locator(".slider summary").click()
    left, right = scene.locator(".compare img").all()
    assert left.get_attribute("alt") != right.get_attribute("alt")
    border = scene.locator(".compare .over")
    for value in ("20", "80"):
        scene.locator("input[type=range]").evaluate(
            "(e, v) => { e.value = v; e.dispatchEvent(new Event('input')) }", value
        )
        assert f"{value}%" in border.evaluate("e => getComputedStyle(e).clipPath")
    scene.locator("select").first.select_option("0")
    assert "photo 1" in left.get_attribute("alt")


def test_masks_are_on_a_switch_and_lie_on_what_moved(visit: Any, page_file: Path) -> None:
    page = visit("desktop")
    mask = page.locator(".scene .ghosts").first
    assert not mask.is_visible()
    frame = page.locator(".frame", has=page.locator(".ghosts")).first
    frame.scroll_into_view_if_needed()
    without = _shot(frame)
    page.locator(".bar input").check()
    assert mask.is_visible()
    reddened = (_shot(frame)[:, :, 2].astype(int) - without[:, :, 2]) > 20
    ghosts = cv2.imread(str(page_file.parent / "fused/mertens/moving_ghosts.png"), 0)
    expected = cv2.resize(ghosts, reddened.shape[::-1], interpolation=cv2.INTER_AREA) > 128
    assert expected.any()
    assert reddened[expected].mean() > 0.7
    near = cv2.dilate(expected.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    assert reddened[~near].mean() < 0.02


def _shot(element: Any) -> Any:
    return cv2.imdecode(np.frombuffer(element.screenshot(), np.uint8), cv2.IMREAD_COLOR)


def test_it_prints_with_its_pictures_and_explanations(visit: Any) -> None:
    page = visit("desktop")
    pdf = page.pdf(format="A4", print_background=True)
    assert pdf.startswith(b"%PDF")
    # One object for each picture that is drawn: three photos and two results, their masks hidden.
    assert pdf.count(b"/Subtype /Image") >= 5
    page.emulate_media(media="print")
    assert not page.locator(".bar").is_visible()
    assert not page.locator(".slider").first.is_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not(.slider)").first.get_attribute("open") is not None
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not(.slider)").first.get_attribute("open") is None
