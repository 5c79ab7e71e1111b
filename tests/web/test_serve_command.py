"""`ghostless serve`: says where it is, ends on a signal, leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image

from ghostless.cli import run as run_command
from tests.files import save_bracket

SOURCE = Path(__file__).resolve().parents[2] / "src"


def start(folder: Path, *words: str) -> tuple[subprocess.Popen[str], str]:
    """Start the command; returns its process and the address that it tells."""
    code = "from ghostless.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "serve", "--port", "0", "--folder", str(folder), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        # A shell starts what runs in its background with the interrupt ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://\S+", line)
    assert found is not None, process.communicate()[1]
    return process, found[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_told_to_end(tmp_path: Path, number: int) -> None:
    process, address = start(tmp_path)
    with urllib.request.urlopen(address, timeout=20) as answer:
        assert b"Drop a bracket here" in answer.read()
    assert len(list(tmp_path.iterdir())) == 1
    process.send_signal(number)
    out, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert errors == ""
    assert "removed" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_calls_in_the_documentation_work(tmp_path: Path) -> None:
    page = (SOURCE.parent / "docs" / "web.md").read_text(encoding="utf-8")
    calls = "".join(re.findall(r"^```bash\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL))
    assert calls.count("curl") >= 8
    photos, served = tmp_path / "photos", tmp_path / "served"
    for path in save_bracket(photos, suffix=".jpg"):
        path.rename(photos / path.name.replace("frame_", "IMG_"))
    served.mkdir()
    process, address = start(served)
    environment = {**os.environ, "server": address.rstrip("/")}
    subprocess.run(["bash", "-ec", calls], cwd=photos, env=environment, timeout=60, check=True)
    for name in ("fused.jpg", "gain_map.jpg", "weights.png"):
        with Image.open(photos / name) as image:
            assert image.size == (64, 48)
    assert (
        len(list(served.glob("ghostless-web-*/*"))) == 2
    )  # the lock and an empty folder for uploads
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)


def ask(address: str, **headers: str) -> tuple[int, bytes]:
    """Status and content of what is at an address; redirections are followed, cookies kept."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    try:
        request = urllib.request.Request(address, headers=headers)
        with opener.open(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.parametrize("given", [None, "a-token-of-my-own-to-keep"])
def test_where_others_can_reach_it_it_asks_for_the_token_that_it_prints(
    tmp_path: Path, given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GHOSTLESS_TOKEN", raising=False)
    if given is not None:
        monkeypatch.setenv("GHOSTLESS_TOKEN", given)
    process, address = start(tmp_path, "--host", "0.0.0.0")
    try:
        assert process.stdout is not None
        meaning = process.stdout.readline()
        for wanted in ("0.0.0.0", "every machine", "unencrypted", "token"):
            assert wanted in meaning
        port = urlsplit(address).port
        (token,) = parse_qs(urlsplit(address).query)["token"]
        assert len(token) >= 16
        assert given in (None, token)
        here = f"http://127.0.0.1:{port}"
        for path in ("/", "/static/page.js", "/api/options", "/api/openapi.json", "/api/", "/x"):
            status, content = ask(here + path)
            assert status == 401, path
            assert token.encode() not in content
        another = token[:-1] + ("x" if token[-1] != "x" else "y")
        assert ask(f"{here}/?token={another}")[0] == 401
        assert ask(f"{here}/api/options?token={token}")[0] == 401
        status, content = ask(f"{here}/?token={token}")
        assert (status, b"Drop a bracket here" in content) == (200, True)
        assert ask(f"{here}/api/options", Authorization=f"Bearer {token}")[0] == 200
        foreign = {"Authorization": f"Bearer {token}", "Host": "evil.example.org"}
        assert ask(f"{here}/api/options", **foreign)[0] == 421
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert errors == ""


def test_every_start_makes_another_token(tmp_path: Path) -> None:
    tokens = set()
    for _ in range(2):
        process, address = start(tmp_path, "--host", "0.0.0.0")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        tokens.add(address)
    assert len({address.partition("token=")[2] for address in tokens}) == 2


def test_a_token_that_is_easily_guessed_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for token in ("", "short", "with blanks in it, but long"):
        monkeypatch.setenv("GHOSTLESS_TOKEN", token)
        assert run_command(["serve", "--no-open", "--port", "0", "--host", "0.0.0.0"]) == 2
        assert "GHOSTLESS_TOKEN: expected at least 16" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--root-path", "fuse"], "--root-path: expected a path such as /ghostless"),
        (["--allow-host", "http://x/"], "--allow-host: expected a name"),
        (["--folder", "/nowhere/at/all"], "--folder: expected a folder that exists"),
        (["--memory-gb", "0.2"], "memory: expected at least"),
        (["--host", "999.1.1.1"], "expected to listen at 999.1.1.1"),
        (["--host", "999.1.1.1"], "give an address of this machine with --host"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["serve", "--no-open", *words]) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert errors.count("\n") == 1


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run_command(["serve", "--no-open", "--port", str(port)]) == 2
    assert f"port {port}, found: Address already in use" in capsys.readouterr().err


def test_without_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert run_command(["serve"]) == 2
    assert "pip install 'ghostless[web]'" in capsys.readouterr().err
