"""The page in a real browser: what a photographer does with it, by mouse, finger and keyboard."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image

from tests import scenes
from tests.files import save_photo

from .test_serve_command import start

pytestmark = pytest.mark.web
sync_api = pytest.importorskip("playwright.sync_api", reason="needs make test-web")

# Smallest target that a finger hits with ease (WCAG 2.5.5).
FINGER_PIXELS = 44


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served")
    process, address = start(folder)
    yield address
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three photos of 2400 x 1600 pixels in which a disc moves: large enough for tiles."""
    folder = tmp_path_factory.mktemp("moving")
    still = scenes.make_radiance(400, 600, seed=5, range_stops=6)
    files = []
    for index, stops in enumerate((-2.0, 0.0, 2.0)):
        radiance = scenes.add_disc(still, (150 + 120 * index, 200), 45, (0.5, 0.35, 0.2))
        small = scenes.expose(radiance, stops)
        pixels = np.repeat(np.repeat(small, 4, axis=0), 4, axis=1).astype(np.uint8)
        files.append(str(save_photo(folder / f"IMG_{index}.jpg", pixels, stops=stops)))
    return files


class Visit:
    """A page, and a record of everything that goes wrong on it."""

    def __init__(self, page: sync_api.Page, address: str) -> None:
        self.page, self.address = page, address
        self.troubles: list[str] = []
        page.on("console", lambda message: self._heard(message))
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("request", lambda request: self._asked(request.url))
        page.goto(address)
        page.wait_for_selector("#method option:nth-child(3)", state="attached")

    def _heard(self, message: sync_api.ConsoleMessage) -> None:
        if message.type in ("error", "warning") and "status of 422" not in message.text:
            self.troubles.append(message.text)

    def _asked(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:")):
            self.troubles.append(f"asked elsewhere: {url}")

    def upload(self, files: list[str]) -> None:
        self.page.set_input_files("#files", files)
        self.page.wait_for_selector("#work:not([hidden])", timeout=60_000)

    def fuse(self) -> None:
        before = self.page.locator("#right option").count()
        self.page.click("#fuse")
        self.page.wait_for_selector("#progress:not([hidden])")
        more = f"#right option:nth-child({before + 1})"
        self.page.wait_for_selector(more, state="attached", timeout=120_000)
        self.page.wait_for_selector("#progress", state="hidden")

    def shot(self, folder: Path | None = None) -> Image.Image:
        """The viewer as it looks now."""
        self.page.wait_for_timeout(350)
        path = (folder or Path("/tmp")) / f"viewer-{os.getpid()}.png"
        self.page.locator(".viewer").screenshot(path=path)
        with Image.open(path) as image:
            image.load()
        path.unlink()
        return image


@pytest.fixture
def visit(browser: sync_api.Browser, server: str) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="dark")
    visit = Visit(context.new_page(), server)
    yield visit
    context.close()
    assert visit.troubles == []


def different(first: Image.Image, second: Image.Image) -> float:
    """Mean difference of two pictures, 0..255."""
    one, other = (np.asarray(each.convert("RGB"), np.float32) for each in (first, second))
    return float(np.abs(one - other).mean())


def test_from_drop_to_download(visit: Visit, moving: list[str], tmp_path: Path) -> None:
    page = visit.page
    visit.upload(moving)
    cards = page.locator("#frames li")
    assert cards.count() == 3
    assert "IMG_0.jpg" in cards.nth(0).inner_text()
    assert "1/1024 s" in cards.nth(0).inner_text()
    assert [cards.nth(index).locator("input").input_value() for index in range(3)] == [
        "-2",
        "0",
        "2",
    ]
    photo = visit.shot()
    stages: set[str] = set()
    page.expose_function("tellStage", lambda text: stages.add(text))
    page.evaluate(
        "() => new MutationObserver(() => window.tellStage("
        "document.getElementById('progress-text').textContent))"
        ".observe(document.getElementById('progress-text'), {childList: true})"
    )
    visit.fuse()
    assert "Aligning" in stages

    # The slider: left of it the photo, right of it the result.
    page.select_option("#mode", "one")
    result = visit.shot()
    width, height = result.size
    # The photos are half as wide again as high; beside them the viewer is empty.
    beside = (width - height * 3 // 2) // 2
    shown = (beside, 0, width - beside, height)
    assert different(result.crop(shown), photo.crop(shown)) > 5
    page.select_option("#mode", "slider")
    divided = visit.shot()
    assert divided.size == result.size
    far_left, far_right = (0, 60, width // 3, height - 80), (2 * width // 3, 60, width, height - 80)
    assert different(divided.crop(far_left), photo.crop(far_left)) < 1
    assert different(divided.crop(far_right), result.crop(far_right)) < 1
    box = page.locator("#divider").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] - 200, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    assert int(page.locator("#divider").get_attribute("aria-valuenow") or 50) < 40

    # Layers lie over the result.
    layers = page.locator("#layer option").all_inner_texts()
    assert "Ghosts replaced in IMG_0.jpg" in layers
    assert "Weight of IMG_2.jpg" in layers
    all_over = (0, 60, width, height - 120)
    for name in ("ghosts-0", "weights-2"):
        page.select_option("#mode", "one")
        page.select_option("#layer", name)
        assert different(visit.shot().crop(all_over), result.crop(all_over)) > 0.2, name
        assert page.locator("#legend").is_visible()
    page.select_option("#layer", "")

    # Another method beside it, and down to single pixels.
    page.select_option("#method", "debevec")
    assert page.locator("#tone").is_visible()
    visit.fuse()
    assert page.input_value("#left") == "result:0"
    assert page.input_value("#right") == "result:1"
    page.select_option("#mode", "beside")
    with page.expect_response(re.compile(r"/views/picture/\d/\d\.jpg")):
        page.click("#zoom-pixels")
    assert page.inner_text("#zoom-value") == "100 %"
    for _ in range(6):
        page.click("#zoom-in")
    pixels = np.asarray(visit.shot().convert("RGB"), np.int32)
    # Each pixel of the picture is a block of one colour by now.
    assert (np.abs(np.diff(pixels[200:400, 700:900], axis=1)).sum(axis=2) == 0).mean() > 0.7

    # Every format that is offered.
    page.select_option("#right", "result:0")
    for label in ("JPEG (.jpg)", "gain-map JPEG (.jpg)", "TIFF (.tif)"):
        page.select_option("#format", label=label)
        with page.expect_download(timeout=60_000) as download:
            page.click("#save")
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        assert path.name.startswith("IMG_1-mertens")
        with Image.open(path) as image:
            assert image.size == (2400, 1600)
    page.click("#again")
    page.wait_for_selector("#drop", state="visible")


def test_an_error_is_told_and_what_was_there_can_be_gone_on_with(
    visit: Visit, moving: list[str], tmp_path: Path
) -> None:
    page = visit.page
    text = tmp_path / "notes.jpg"
    text.write_text("these are no pixels\n" * 20)
    page.set_input_files("#files", [moving[0], str(text)])
    page.wait_for_selector("#alert:not([hidden])")
    assert "notes.jpg: expected a photo" in page.inner_text("#alert-text")
    assert page.get_attribute("#alert", "role") == "alert"
    page.click("#alert-close")
    page.set_input_files("#files", moving[:1])
    page.wait_for_selector("#alert:not([hidden])")
    assert "found 1" in page.inner_text("#alert-text")

    visit.upload(moving[:2])
    assert page.locator("#alert").is_hidden()
    page.locator("#more summary").click()
    page.fill("#sensitivity", "99")
    page.evaluate("() => document.getElementById('options').noValidate = true")
    page.click("#fuse")
    page.wait_for_selector("#alert:not([hidden])")
    assert "0.25 to 4" in page.inner_text("#alert-text")
    page.fill("#sensitivity", "1")
    visit.fuse()


def test_a_preset_sets_the_options(visit: Visit, moving: list[str]) -> None:
    page = visit.page
    visit.upload(moving[:2])
    page.select_option("#preset", "landscape")
    assert page.input_value("#deghost") == "on"
    assert page.is_checked("#crop")
    assert page.input_value("[data-setting=saturation]") == "1.5"
    assert page.input_value("#quality") == "97"
    page.select_option("#preset", "vfx")
    assert page.input_value("#method") == "debevec"
    assert page.input_value("#operator") == "reinhard"
    assert page.input_value("#deghost") == "auto"
    assert "(.exr)" in page.locator("#format option:checked").inner_text()
    page.select_option("#preset", "")
    assert page.input_value("#method") == "auto"


def test_a_presets_every_setting_is_asked_for(visit: Visit, moving: list[str]) -> None:
    page = visit.page
    offer = json.loads(urlopen(f"{visit.address}api/options").read())
    options = {
        "deghost.mode": "on",
        "deghost.sensitivity": 2,
        "deghost.feather_pixels": 5,  # the page has no input for it, as for the next one
        "align.proxy_pixels": 90_000,
        "mertens.levels": 3,
        "method.contrast": 0.5,
    }
    offer["presets"].append({"name": "mine", "summary": "", "options": options})
    page.route("**/api/options", lambda route: route.fulfill(json=offer))
    page.reload()
    page.wait_for_selector("#method option:nth-child(3)", state="attached")
    visit.upload(moving[:2])
    page.select_option("#preset", "mine")
    assert page.input_value("#sensitivity") == "2"
    with page.expect_request("**/jobs") as told:
        visit.fuse()
    asked = told.value.post_data_json
    assert asked["deghost"] == {"mode": "on", "sensitivity": 2, "feather_pixels": 5}
    assert asked["align"]["proxy_pixels"] == 90_000
    assert asked["method_settings"] == {"levels": 3, "contrast": 0.5}


def test_a_run_can_be_cancelled(visit: Visit, moving: list[str]) -> None:
    page = visit.page
    visit.upload(moving)
    page.select_option("#align", "flow")
    page.click("#fuse")
    page.click("#stop")
    page.wait_for_selector("#progress", state="hidden", timeout=20_000)
    assert page.locator("#alert").is_hidden()
    assert page.locator("#fuse").is_enabled()
    assert page.locator("#download").is_hidden()
    visit.troubles = [each for each in visit.troubles if "404" not in each]


def test_by_keyboard_alone(visit: Visit, moving: list[str]) -> None:
    page = visit.page
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.className") == "skip"
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.id") == "files"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files(moving)
    page.wait_for_selector("#work:not([hidden])", timeout=60_000)
    assert page.evaluate("() => document.activeElement.id") == "fuse"
    page.keyboard.press("Enter")
    page.wait_for_selector("#download:not([hidden])", timeout=120_000)
    page.focus("#divider")
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#divider[aria-valuenow='40']")
    page.focus("#canvas")
    page.keyboard.press("1")
    page.wait_for_timeout(100)
    assert page.inner_text("#zoom-value") == "100 %"
    there = visit.shot()
    page.keyboard.press("ArrowRight")
    assert different(visit.shot(), there) > 1
    page.keyboard.press("0")
    page.wait_for_timeout(100)
    assert page.inner_text("#zoom-value") != "100 %"
    # The focus can be seen wherever it is, and everything has a name.
    page.evaluate("() => document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    unseen = page.evaluate(
        """() => [...document.querySelectorAll('button, select, input, summary, a')]
            .filter((each) => each.type !== 'file')
            .filter((each) => each.offsetParent && !each.disabled)
            .filter((each) => { each.focus({focusVisible: true});
                return getComputedStyle(each).outlineStyle === 'none'; })
            .map((each) => each.outerHTML)"""
    )
    assert unseen == []
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, select, input, a, [role=slider], canvas')]
            .filter((each) => !each.getAttribute('aria-label') && !each.textContent.trim()
                && !(each.labels && each.labels.length && each.labels[0].textContent.trim()))
            .map((each) => each.outerHTML)"""
    )
    assert nameless == []


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_on_a_phone(browser: sync_api.Browser, server: str, moving: list[str], scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844},
        device_scale_factor=2,
        has_touch=True,
        is_mobile=True,
        color_scheme=scheme,
    )
    visit = Visit(context.new_page(), server)
    page = visit.page
    visit.upload(moving)
    visit.fuse()
    page.select_option("#layer", "weights-1")
    page.wait_for_timeout(300)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    small = page.evaluate(
        """(finger) => [...document.querySelectorAll(
                'button, select, input, summary, a.button, [role=slider]')]
            .filter((each) => each.offsetParent && !['file', 'checkbox'].includes(each.type))
            .map((each) => [each.id || each.textContent, each.getBoundingClientRect()])
            .filter(([, box]) => box.height < finger || box.width < finger)
            .map(([name, box]) => `${name}: ${box.width} x ${box.height}`)""",
        FINGER_PIXELS,
    )
    assert small == []
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    brightness = np.mean([int(each) for each in re.findall(r"\d+", ground)[:3]])
    assert (brightness > 128) == (scheme == "light")
    page.tap("#theme")  # dark, whatever the system has
    page.tap("#theme")  # light
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert np.mean([int(each) for each in re.findall(r"\d+", ground)[:3]]) > 128
    context.close()
    assert visit.troubles == []


CONTRAST = """() => {
  const shine = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number)
    .map((each) => each / 255)
    .map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
    .reduce((sum, each, index) => sum + each * [0.2126, 0.7152, 0.0722][index], 0);
  const ground = (each) => {
    for (let at = each; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll('p, label, button, select, summary, h1, h2, td, option')]
    .filter((each) => each.offsetParent && !each.disabled && each.textContent.trim())
    .map((each) => {
      const both = [shine(getComputedStyle(each).color), shine(ground(each))];
      return [each.outerHTML.slice(0, 80), (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05)];
    })
    .filter(([, contrast]) => contrast < 4.5);
}"""


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_words_can_be_read(
    browser: sync_api.Browser, server: str, moving: list[str], scheme: str
) -> None:
    """Contrast of at least 4.5 to 1 (WCAG AA)."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    visit = Visit(context.new_page(), server)
    assert visit.page.evaluate(CONTRAST) == []
    visit.upload(moving[:2])
    assert visit.page.evaluate(CONTRAST) == []
    context.close()


def test_a_folder_is_dropped(visit: Visit, moving: list[str]) -> None:
    """Photos in a folder are taken out of it, and what is no photo is left."""
    found = visit.page.evaluate(
        """async () => {
            const { droppedFiles } = await import(new URL("static/api.js", document.baseURI));
            const file = (name) => ({ isFile: true, isDirectory: false,
                file: (give) => give(new File(["x"], name)) });
            const folder = (...inside) => ({ isFile: false, isDirectory: true, createReader: () => {
                const portions = [inside.slice(0, 1), inside.slice(1), []];
                return { readEntries: (give) => give(portions.shift()) };
            } });
            const inside = folder(file("a.jpg"), folder(file("b.jpg")), file("c.jpg"));
            const entries = [inside, file("d.jpg")];
            const items = entries.map((entry) => ({ webkitGetAsEntry: () => entry }));
            return (await droppedFiles({ items, files: [] })).map((each) => each.name);
        }"""
    )
    assert found == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    folder = Path(moving[0]).parent
    (folder / "notes.txt").write_text("not a photo")
    visit.page.set_input_files("#folder", folder)
    visit.page.wait_for_selector("#work:not([hidden])", timeout=60_000)
    assert visit.page.locator("#frames li").count() == 3


class _Proxy(BaseHTTPRequestHandler):
    """Shows another server below /studio/, and strips this from the paths."""

    target = ""

    def _pass_on(self) -> None:
        if not self.path.startswith("/studio/"):
            self.send_error(404)
            return
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length) if length else None
        address = self.target.rstrip("/") + self.path.removeprefix("/studio")
        request = Request(address, body, dict(self.headers), method=self.command)
        try:
            answer = urlopen(request, timeout=60)
        except HTTPError as error:
            answer = error
        with answer:
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _pass_on

    def log_message(self, *words: object) -> None:
        return


def test_behind_a_proxy(browser: sync_api.Browser, moving: list[str], tmp_path: Path) -> None:
    process: subprocess.Popen[str] | None = None
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _Proxy)
    name = f"localhost:{proxy.server_port}"
    try:
        process, address = start(tmp_path, "--root-path", "/studio", "--allow-host", name)
        _Proxy.target = address
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        context = browser.new_context()
        visit = Visit(context.new_page(), f"http://{name}/studio/")
        visit.upload(moving[:2])
        visit.fuse()
        visit.page.wait_for_timeout(300)
        visit.page.goto(f"http://{name}/studio/api/")
        visit.page.wait_for_selector("article")
        context.close()
        assert visit.troubles == []
    finally:
        proxy.shutdown()
        proxy.server_close()
        if process is not None:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
