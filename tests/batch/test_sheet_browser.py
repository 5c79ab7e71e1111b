"""The contact sheet in a real browser, from the disk: one click copies a set's command."""

from __future__ import annotations

from pathlib import Path

import pytest

from ghostless import cli
from ghostless.batch.sheet import SHEET_NAME

from .folders import ShootFolder

pytestmark = pytest.mark.web
sync_api = pytest.importorskip("playwright.sync_api", reason="needs make test-web")


@pytest.mark.parametrize("clipboard", [True, False])
def test_one_click_copies_the_command(
    browser: sync_api.Browser, tmp_path: Path, clipboard: bool
) -> None:
    shoot = ShootFolder(tmp_path / "a night's work")
    shoot.bracket()
    shoot.bracket()
    out = tmp_path / "out"
    words = ["batch", str(shoot.folder), "-o", str(out), "--align", "none", "--deghost", "off"]
    assert cli.run([*words, "-q"]) == 0
    context = browser.new_context()
    page = context.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    if not clipboard:  # some browsers have none for pages from a disk
        page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.goto((out / SHEET_NAME).as_uri())
    buttons = page.locator(".again button")
    assert buttons.count() == 2
    buttons.nth(1).click()
    page.wait_for_function("document.querySelectorAll('[role=status]')[1].textContent === 'Copied'")
    command = page.locator("code").nth(1).text_content()
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<textarea></textarea>')")
    page.focus("textarea")
    page.keyboard.press("Control+V")
    assert page.input_value("textarea") == command
    assert command is not None
    assert "a night'\"'\"'s work" in command
    context.close()
    assert troubles == []
