"""Which requests are let in: by the name they are sent to, where they come from, and their size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ghostless.web.app import make_app
from ghostless.web.guard import Guard
from ghostless.web.limits import Limits
from ghostless.web.server import ServerSettings

from .conftest import ADDRESS

UPLOAD = "/api/brackets"


async def answer(request: Request) -> PlainTextResponse:
    body = await request.body()
    return PlainTextResponse(str(len(body)))


def make_client(
    *hosts: str,
    address: str = ADDRESS,
    uploads: int = 3,
    token: str | None = None,
    root_path: str = "",
) -> TestClient:
    methods = ["GET", "POST", "DELETE"]
    app = Starlette(
        routes=[Route("/", answer, methods=methods), Route(UPLOAD, answer, methods=methods)]
    )
    guarded = Guard(
        app,
        hosts=hosts,
        root_path=root_path,
        limits=Limits(bracket_bytes=1_000_000, uploads=uploads),
        token=token,
    )
    return TestClient(guarded, base_url=address)


@pytest.mark.parametrize(
    ("address", "let_in"),
    [
        ("http://localhost:8000", True),
        ("http://LOCALHOST", True),
        ("http://127.0.0.1:9", True),
        ("http://[::1]:8000", True),
        ("http://photos.example.org", True),
        ("http://evil.example.org", False),
        ("http://localhost.evil.example.org", False),
        ("http://127.0.0.1.evil.example.org", False),
        ("http://192.168.1.7:8000", False),
    ],
)
def test_only_names_it_goes_by(address: str, let_in: bool) -> None:
    """What stops DNS rebinding: the browser sends the name that the page's address has."""
    client = make_client("photos.example.org", address=address)
    assert client.get("/").status_code == (200 if let_in else 421)


@pytest.mark.parametrize("host", ["", "localhost:port", "[::1", "a b"])
def test_malformed_hosts(host: str) -> None:
    assert make_client().get("/", headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    ("address", "origin", "let_in"),
    [
        ("http://localhost:8000", "http://localhost:8000", True),
        ("http://localhost:8000", "http://localhost:3000", False),
        ("http://localhost:8000", "http://localhost", False),
        ("http://localhost:8000", "http://127.0.0.1:8000", False),
        ("http://localhost:8000", "http://evil.example.org", False),
        ("http://localhost:8000", "null", False),
        ("http://localhost:8000", "file://", False),
        ("http://localhost:8000", "chrome-extension://localhost:8000", False),
        ("http://localhost", "http://localhost:80", True),
        # A proxy that keeps the name, and one that does not.
        ("http://photos.example.org", "https://photos.example.org", True),
        ("http://127.0.0.1:8000", "https://photos.example.org", True),
        ("http://127.0.0.1:8000", "https://photos.example.org:8443", False),
        ("http://127.0.0.1:8000", "https://studio.example.org:8443", True),
        ("http://127.0.0.1:8000", "https://studio.example.org", False),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_only_pages_of_its_own(address: str, origin: str, let_in: bool, method: str) -> None:
    client = make_client("photos.example.org", "studio.example.org:8443", address=address)
    answer = client.request(method, "/", headers={"origin": origin})
    assert answer.status_code == (200 if let_in else 403)


@pytest.mark.parametrize(
    ("site", "mode", "method", "let_in"),
    [
        ("same-origin", "cors", "POST", True),
        ("none", "navigate", "GET", True),
        ("cross-site", "navigate", "GET", True),  # a link to the page
        ("cross-site", "navigate", "POST", False),  # a form of another page
        ("cross-site", "no-cors", "GET", False),  # an image in another page
        ("same-site", "cors", "GET", False),  # localhost at another port
    ],
)
def test_what_browsers_say_about_the_asking_page(
    site: str, mode: str, method: str, let_in: bool
) -> None:
    headers = {"sec-fetch-site": site, "sec-fetch-mode": mode}
    answer = make_client().request(method, "/", headers=headers)
    assert answer.status_code == (200 if let_in else 403)


def test_large_bodies_announced_or_not() -> None:
    client = make_client()

    def unannounced(size: int) -> Iterator[bytes]:
        for _ in range(size // 100_000):
            yield bytes(100_000)

    assert client.post("/", content=bytes(200_001)).status_code == 413
    assert client.post("/", content=unannounced(300_000)).status_code == 413
    assert client.post(UPLOAD, content=bytes(900_000)).text == "900000"
    assert client.post(UPLOAD, content=unannounced(900_000)).text == "900000"
    assert client.post(UPLOAD, content=bytes(1_200_001)).status_code == 413
    assert client.post(UPLOAD, content=unannounced(1_400_000)).status_code == 413


def test_only_so_many_uploads_at_a_time() -> None:
    async def check() -> list[int]:
        app = make_client(uploads=3).app
        gate = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"x"
            await gate.wait()

        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            waiting = [asyncio.create_task(client.post(UPLOAD, content=slow())) for _ in range(2)]
            await asyncio.sleep(0.05)
            refused = await client.post(UPLOAD, content=b"x")
            gate.set()
            done = await asyncio.gather(*waiting)
            after = await client.post(UPLOAD, content=b"x")
            return [refused.status_code, *(each.status_code for each in done), after.status_code]

    assert asyncio.run(check()) == [429, 200, 200, 200]


TOKEN = "a-token-that-nobody-guesses"


@pytest.mark.parametrize("path", ["/", UPLOAD, "/static/page.js", "/api/openapi.json"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_token_is_asked_for_in_every_request(path: str, method: str) -> None:
    client = make_client(token=TOKEN)
    for headers in (
        {},
        {"authorization": "Bearer"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Bearer {TOKEN[:-1]}"},
        {"authorization": "Bearer t\u00f6ken".encode("latin-1")},
        {"cookie": f"ghostless_={TOKEN}"},
        {"cookie": f"token={TOKEN}"},
        {"cookie": '"'},
    ):
        answer = client.request(method, path, headers=headers)  # type: ignore[arg-type]
        assert answer.status_code == 401, headers
        assert answer.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in answer.text
    answer = client.request(method, path, headers={"authorization": f"bearer {TOKEN}"})
    assert answer.status_code in (200, 404, 405)


@pytest.mark.parametrize("root", ["", "/fuse"])
def test_a_browser_gets_the_token_by_the_printed_address_and_keeps_it(root: str) -> None:
    client = make_client(token=TOKEN, root_path=root)
    led = client.get(f"/?token={TOKEN}", follow_redirects=False)
    assert led.status_code == 303
    assert led.headers["location"] == f"{root}/"  # the token does not stay in the address
    cookie = led.headers["set-cookie"]
    for wanted in ("HttpOnly", "SameSite=Lax", f"Path={root}/"):
        assert wanted in cookie
    assert "Secure" not in cookie
    assert client.get("/").status_code == (401 if root else 200)
    name_and_value = cookie.partition(";")[0]
    assert client.post(UPLOAD, headers={"cookie": f"a=b; {name_and_value}"}).status_code == 200
    # A form of another page has no cookie (Lax), and were it sent, another origin.
    foreign = {"cookie": name_and_value, "origin": "http://evil.example.org"}
    assert client.post(UPLOAD, headers=foreign).status_code == 403
    # By TLS, that of a proxy, the cookie goes nowhere else.
    safe = make_client(token=TOKEN, root_path=root, address="https://localhost")
    led = safe.get(f"/?token={TOKEN}", follow_redirects=False)
    assert led.headers["set-cookie"].endswith("Secure")


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", "/?token=other"),
        ("GET", f"/?token={TOKEN}&token={TOKEN}"),
        ("POST", f"/?token={TOKEN}"),
        ("POST", f"{UPLOAD}?token={TOKEN}"),
        ("GET", f"{UPLOAD}?token={TOKEN}"),
        ("GET", "/?token="),
    ],
)
def test_the_token_in_an_address_opens_the_page_only(method: str, address: str) -> None:
    answer = make_client(token=TOKEN).request(method, address, follow_redirects=False)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_with_a_token_it_goes_by_its_numbers_and_by_no_new_name() -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    for address, status in (
        ("http://192.168.1.7:8000", 200),
        ("http://[fe80::1]:8000", 200),
        ("http://evil.example.org", 421),
        ("http://photos.example.org", 200),
    ):
        client = make_client("photos.example.org", token=TOKEN, address=address)
        assert client.get("/", headers=headers).status_code == status, address


def test_every_answer_has_the_headers(client: TestClient) -> None:
    for path in ("/", "/static/page.js", "/api/options", "/nothing", "/api/openapi.json"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in headers
    refused = client.get("/", headers={"host": "evil.example.org"})
    assert "content-security-policy" in refused.headers


def test_limits_reach_the_upload(tmp_path: Path) -> None:
    settings = ServerSettings(folder=tmp_path, limits=Limits(bracket_bytes=1000))
    app = make_app(settings)  # never started: refused before anything is looked at
    client = TestClient(app, base_url="http://localhost", raise_server_exceptions=False)
    files = [("files", ("a.jpg", bytes(300_000)))]
    assert client.post(UPLOAD, files=files).status_code == 413


@pytest.mark.parametrize("strips", [True, False])
def test_behind_a_proxy_that_shows_it_below_a_path(tmp_path: Path, strips: bool) -> None:
    settings = ServerSettings(hosts=("photos.example.org",), root_path="/fuse", folder=tmp_path)
    prefix = "" if strips else "/fuse"
    with TestClient(make_app(settings), base_url="https://photos.example.org") as client:
        assert '<base href="/fuse/">' in client.get(f"{prefix}/").text
        assert client.get(f"{prefix}/static/page.js").status_code == 200
        offer = client.get(
            f"{prefix}/api/options", headers={"origin": "https://photos.example.org"}
        )
        assert offer.status_code == 200
        schema = client.get(f"{prefix}/api/openapi.json").json()
        assert schema["servers"] == [{"url": "/fuse"}]
