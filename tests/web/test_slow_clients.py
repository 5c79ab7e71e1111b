"""Clients that are slow, silent or many, over real sockets: nobody keeps the others out."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="needs the extra web")

import uvicorn

from ghostless.web import connections, uploads
from ghostless.web.connections import limited_to
from ghostless.web.limits import Limits
from ghostless.web.serve import make_server
from ghostless.web.server import ServerSettings

HEAD, IDLE, STALL = 0.8, 1.2, 1.5
LIMITS = Limits(
    connections=24,
    client_connections=20,
    head_seconds=HEAD,
    idle_seconds=IDLE,
    stall_seconds=STALL,
    body_bytes_per_second=20_000,
)
GET = b"GET /api/options HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPLOAD = (
    b"POST /api/brackets HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
)


@contextlib.contextmanager
def running(server: uvicorn.Server) -> Iterator[int]:
    """Run a server in a thread; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield port
        server.should_exit = True
        thread.join(timeout=30)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    settings = ServerSettings(folder=tmp_path_factory.mktemp("served"), limits=LIMITS)
    with running(make_server(settings)) as number:
        yield number


@pytest.fixture
def connect(port: int) -> Iterator[Callable[..., socket.socket]]:
    """Open connections to the server and send them something; all are closed at the end."""
    with contextlib.ExitStack() as opened:

        def one(data: bytes = b"") -> socket.socket:
            made = opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            if data:
                made.sendall(data)
            return made

        yield one


def answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        assert part, data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65536)
    return int(first.split()[1]), headers, body


def seconds_until_closed(connection: socket.socket, drip: bytes = b"") -> float:
    """Wait for the server to close; send this meanwhile, a byte at a time."""
    start = time.monotonic()
    connection.settimeout(0.1)
    while time.monotonic() - start < 10:
        try:
            if drip:
                connection.sendall(drip)
            if not connection.recv(65536):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - start


def test_idle_connections_keep_nobody_out(connect: Callable[..., socket.socket]) -> None:
    idle = [connect() for _ in range(70)]
    idle += [connect(b"GET / HTTP/1.1\r\nHost: local") for _ in range(70)]
    start = time.monotonic()
    status, _, body = answer(connect(GET))
    assert status == 200
    assert json.loads(body)["version"]
    assert time.monotonic() - start < HEAD
    for each in idle:
        seconds_until_closed(each)
    assert time.monotonic() - start < HEAD + 2


def test_a_head_must_come_in_time(connect: Callable[..., socket.socket]) -> None:
    assert HEAD * 0.8 < seconds_until_closed(connect()) < HEAD + 1
    dripping = connect(b"GET / HTTP/1.1\r\nX: ")
    assert HEAD * 0.8 < seconds_until_closed(dripping, b"x") < HEAD + 1


@pytest.mark.parametrize("drip", [b"", b"G"])
def test_a_connection_between_requests_lasts_so_long(
    drip: bytes, connect: Callable[..., socket.socket]
) -> None:
    kept = connect(GET)
    assert answer(kept)[0] == 200
    kept.sendall(GET)
    assert answer(kept)[0] == 200
    assert IDLE * 0.8 < seconds_until_closed(kept, drip) < IDLE + 1


def test_a_body_that_nobody_asked_for_prolongs_nothing(
    connect: Callable[..., socket.socket],
) -> None:
    made = connect(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
    assert answer(made)[0] == 404
    assert seconds_until_closed(made, b"x") < IDLE + 1


def test_stalled_uploads_end_and_make_room(
    connect: Callable[..., socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    stalled = [connect(UPLOAD) for _ in range(LIMITS.uploads)]
    status, headers, _ = answer(stalled[-1])  # one client has all places but one
    assert (status, headers["retry-after"]) == (429, "5")
    start = time.monotonic()
    for each in stalled[:-1]:
        status, headers, body = answer(each)
        assert status == 408
        assert "too slowly" in json.loads(body)["detail"]
        assert headers["connection"] == "close"
    assert time.monotonic() - start < STALL + 1
    # Where another waits, the one that was silent longest goes sooner.
    monkeypatch.setattr(uploads, "_SECONDS_OF_SILENCE", 0.2)
    stalled = [connect(UPLOAD) for _ in range(LIMITS.uploads - 1)]
    time.sleep(0.4)
    start = time.monotonic()
    head, end = UPLOAD.partition(b"\r\n\r\n")[2], b"\r\n--x--\r\n"
    newcomer = connect(UPLOAD + bytes(1_000_000 - len(head) - len(end)) + end)
    assert answer(newcomer)[0] == 422  # it was received; one file is no bracket
    assert answer(stalled[0])[0] == 408
    assert time.monotonic() - start < STALL / 2 + 0.5


def test_an_upload_must_keep_up_a_rate(connect: Callable[..., socket.socket]) -> None:
    slow = connect(UPLOAD)
    start, sent = time.monotonic(), 0
    slow.settimeout(0.1)
    status = b""
    while not status and time.monotonic() - start < 10:
        slow.sendall(bytes(300))  # 3 kB a second where 20 are asked for
        sent += 300
        with contextlib.suppress(TimeoutError):
            status = slow.recv(12)
    assert status == b"HTTP/1.1 408"
    assert STALL * 0.8 < time.monotonic() - start < STALL + 2
    # Slow, but kept up: beyond the seconds that a silent one is waited for.
    steady = connect(UPLOAD)
    for _ in range(25):
        steady.sendall(bytes(4_000))
        time.sleep(0.1)
    steady.settimeout(0.2)
    with pytest.raises(TimeoutError):
        steady.recv(1)


def test_a_small_body_must_come_in_time(connect: Callable[..., socket.socket]) -> None:
    head = b"POST /api/brackets/x/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n"
    made = connect(head + b"Content-Type: application/json\r\n\r\n{")
    made.settimeout(0.05)
    start, status = time.monotonic(), b""
    while not status and time.monotonic() - start < 10:
        with contextlib.suppress(OSError):
            made.sendall(b" " * 1000)  # ever so quickly
        with contextlib.suppress(TimeoutError):
            status = made.recv(12)
    assert status == b"HTTP/1.1 408"
    assert time.monotonic() - start < STALL + 1


def test_bodies_on_their_way_keep_nobody_out(
    connect: Callable[..., socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_SECONDS_OF_GRACE", 0.1)
    head = b"POST /api/brackets/x/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90\r\n\r\n{"
    for _ in range(3 * LIMITS.connections):
        connect(head)
        time.sleep(0.01)
    start = time.monotonic()
    assert answer(connect(GET))[0] == 200
    assert time.monotonic() - start < STALL / 2


def test_an_answer_that_nobody_takes_is_given_up() -> None:
    ended = threading.Event()

    async def large(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(400):
            await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
        ended.set()
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(large, http=limited_to(LIMITS), lifespan="off", log_level="critical")
    with running(uvicorn.Server(config)) as port:
        with socket.create_connection(("127.0.0.1", port)) as lazy:
            lazy.sendall(GET)
            assert ended.wait(STALL + 5)  # the rest is written to nobody
        # One that takes it slowly is served.
        with socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
            ended.clear()
            slow.sendall(GET)
            total, start = 0, time.monotonic()
            while time.monotonic() - start < STALL + 1:
                total += len(slow.recv(1 << 18))
                time.sleep(0.02)
            assert not ended.is_set()
            assert total > 1 << 20


def test_a_server_that_ends_waits_for_no_upload(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.ExitStack() as opened:
        with running(make_server(ServerSettings(folder=tmp_path))) as port:
            made = opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            made.sendall(UPLOAD)
            time.sleep(0.3)
            start = time.monotonic()
        assert time.monotonic() - start < 2
    assert not caplog.records


def test_no_file_of_a_broken_upload_is_left(
    tmp_path: Path, connect: Callable[..., socket.socket]
) -> None:
    """What had come of it goes with it."""
    with running(make_server(ServerSettings(folder=tmp_path, limits=LIMITS))) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as made:
            made.sendall(UPLOAD + bytes(100_000))
            assert answer(made)[0] == 408
        names = {path.name for path in tmp_path.rglob("*")}
        assert {name for name in names if not name.startswith("ghostless-web-")} == {
            "lock",
            "incoming",
        }
