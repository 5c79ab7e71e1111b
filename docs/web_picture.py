"""Make docs/images/web.jpg again: the web page with the demo's bracket, in Chromium.

Needs `make demo` and the extra `test-web`: python docs/web_picture.py
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
PHOTOS = sorted((ROOT / "demo" / "inputs").glob("*.jpg"))


def take_picture(address: str) -> Image.Image:
    """Fuse the demo's photos on the page and return what it shows then."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=BROWSER, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 820}, color_scheme="dark")
        page.goto(address)
        page.wait_for_selector("#method option:nth-child(3)", state="attached")
        page.set_input_files("#files", [str(path) for path in PHOTOS])
        page.wait_for_selector("#work:not([hidden])", timeout=120_000)
        page.click("#fuse")
        page.wait_for_selector("#download:not([hidden])", timeout=300_000)
        page.wait_for_timeout(1500)
        shot = page.screenshot()
        browser.close()
    return Image.open(io.BytesIO(shot)).convert("RGB")


def main() -> None:
    """Start a server, take the picture, end the server."""
    code = "from ghostless.cli import main; main()"
    words = [sys.executable, "-c", code, "serve", "--no-open", "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found is not None
            picture = take_picture(found[0])
        finally:
            process.terminate()
    picture.save(ROOT / "docs" / "images" / "web.jpg", quality=86)


if __name__ == "__main__":
    main()
