"""The API against its own schema: thousands of requests, right and wrong, made from it.

Whatever is asked, the answer is one that the schema announces, never a server error, and nothing
is left behind.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

pytestmark = pytest.mark.web
schemathesis = pytest.importorskip("schemathesis", reason="needs make test-web")

from hypothesis import HealthCheck, settings  # noqa: E402
from schemathesis.checks import CHECKS, load_all_checks  # noqa: E402

from ghostless.web.app import make_app  # noqa: E402

from .test_serve_command import start  # noqa: E402

load_all_checks()
# The schema cannot say all that the settings check (0.25 to 4, a name that is in a table), so what
# fits it may still be refused.
NOT_CHECKED = CHECKS.get_by_names(["positive_data_acceptance"])
LONGEST_NAME = 64
SCHEMA = schemathesis.openapi.from_dict(make_app().openapi())


@pytest.fixture(scope="module")
def there(
    tmp_path_factory: pytest.TempPathFactory, photos: list[Path]
) -> Iterator[tuple[str, dict[str, str]]]:
    """A server's address, and the names of what there is on it to ask for."""
    folder = tmp_path_factory.mktemp("fuzzed")
    process, address = start(folder, "--max-jobs", "3", "--max-pixels", "100000")
    with httpx.Client(base_url=address, timeout=60) as client:
        parts = [("files", (path.name, path.read_bytes())) for path in photos]
        bracket = client.post("/api/brackets", files=parts).json()
        job = client.post(f"/api/brackets/{bracket['id']}/jobs", json={}).json()
        while client.get(f"/api/jobs/{job['id']}").json()["state"] != "done":
            time.sleep(0.1)
        names = {
            "bracket": bracket["id"],
            "job": job["id"],
            "view": "picture",
            "layer": "weights-0",
        }
        yield address, names
        assert client.get(f"/api/jobs/{job['id']}/file").status_code == 200
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=20)[1]
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert list(folder.iterdir()) == []


@SCHEMA.parametrize()
@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
)
def test_answers_are_those_of_the_schema(case: Any, there: tuple[str, dict[str, str]]) -> None:
    address, names = there
    # Nobody guesses a name by chance: names that the schema allows become real ones, every other
    # time, unless what they stand for would be removed.
    chosen = dict(case.path_parameters or {})
    if case.method.upper() != "DELETE" and len(str(chosen)) % 2:
        for name in set(chosen) & set(names):
            if len(str(chosen[name])) <= LONGEST_NAME:
                case.path_parameters[name] = names[name]
    case.call_and_validate(base_url=address, excluded_checks=NOT_CHECKED)
