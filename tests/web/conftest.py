"""A server to speak to, and brackets to give it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.files import save_bracket

pytest.importorskip("fastapi", reason="needs the extra web")

from fastapi.testclient import TestClient

from ghostless.web.app import make_app
from ghostless.web.limits import Limits
from ghostless.web.server import ServerSettings

ADDRESS = "http://localhost:8000"


@pytest.fixture(scope="session")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server of these tests makes its private folder."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="session")
def client(private: Path) -> Iterator[TestClient]:
    """A server with two workers, shared by all tests that leave it as it was."""
    settings = ServerSettings(folder=private, limits=Limits(pixels=1_000_000, frames=6))
    with TestClient(make_app(settings), base_url=ADDRESS) as client:
        yield client


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three exposures of a still scene."""
    return save_bracket(tmp_path_factory.mktemp("photos"), height=96, width=128, suffix=".jpg")


def upload(client: TestClient, photos: Sequence[Path], names: Sequence[str] | None = None) -> Any:
    """Send photos; returns the answer."""
    shown = names or [path.name for path in photos]
    parts = [("files", (name, path.read_bytes())) for name, path in zip(shown, photos, strict=True)]
    return client.post("/api/brackets", files=parts)


def wait(client: TestClient, job: dict[str, Any], seconds: float = 60) -> dict[str, Any]:
    """Wait until a job is over; returns its facts."""
    end = time.monotonic() + seconds
    while job["state"] in ("queued", "running"):
        assert time.monotonic() < end, job
        time.sleep(0.03)
        job = client.get(f"/api/jobs/{job['id']}").json()
    return job


@pytest.fixture(scope="session")
def bracket(client: TestClient, photos: list[Path]) -> dict[str, Any]:
    """An uploaded bracket; its photos were sent brightest first."""
    answer = upload(client, photos[::-1])
    assert answer.status_code == 201, answer.text
    facts: dict[str, Any] = answer.json()
    return facts


@pytest.fixture(scope="session")
def done(client: TestClient, bracket: dict[str, Any]) -> dict[str, Any]:
    """The bracket fused with the defaults."""
    started = client.post(f"/api/brackets/{bracket['id']}/jobs", json={})
    assert started.status_code == 202, started.text
    job = wait(client, started.json())
    assert job["state"] == "done", job
    return job


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the fuzzer out of quick runs: importing it takes longer than they do."""
    is_fuzzer = collection_path.name == "test_schema_fuzz.py"
    return True if is_fuzzer and "not web" in config.option.markexpr else None
