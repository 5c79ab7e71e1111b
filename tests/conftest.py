"""Shared fixtures."""

from __future__ import annotations

import os

# Beside other test processes one thread each is quickest: libraries that start one a core, in every
# process, wait for each other. Said before any of them is loaded, and for the processes of tests.
if "PYTEST_XDIST_WORKER" in os.environ:
    for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        os.environ.setdefault(library, "1")

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# The same examples every time, so that a change is judged by what it changed. For a hunt after new
# ones: make test WORKERS=2 HYPOTHESIS_PROFILE=explore.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("explore", max_examples=500, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real photos beside the checkout; tests that need it are skipped without it."""
    if not SHARED.is_dir():
        pytest.skip("needs the real photos in ../shared/data")
    return SHARED


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window, by playwright; tests that need it are skipped without it."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs make test-web")
    names = ("chromium", "chromium-browser", "google-chrome")
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("needs Chromium")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=CHROMIUM_FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Have torch work on one thread: quickest for small tensors, and other tests run beside.

    For a whole file: `pytestmark = pytest.mark.usefixtures("one_thread")`.
    """
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def networks_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have networks compute alike on every CPU; tests of precision say which they want."""
    monkeypatch.setattr(
        "ghostless.nn.settings._multiplies_in_bfloat16", lambda device: device.type == "cuda"
    )
