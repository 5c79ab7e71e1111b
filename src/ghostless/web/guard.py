"""Which requests are let in, and the headers of what goes out.

A page on localhost can be reached by every page in the user's browser. So a request must be
addressed to a name that this server goes by (else any name could be pointed at 127.0.0.1, DNS
rebinding), and must not come from a page of another origin.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_OWN_NAMES = ("localhost", "127.0.0.1", "::1")
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Forms and JSON beside photos.
_SMALL_BODY_BYTES = 200_000
_MULTIPART_OVERHEAD_BYTES = 200_000

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'self'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}


class Guard:
    """ASGI middleware that refuses what this module's first lines say, and bodies too large.

    It also tells the application where a proxy shows it, whether that proxy strips this from the
    paths of requests or not.

    hosts: names beside localhost that the server goes by, those of its proxies included, with a
        port where that is not the usual one.
    root_path: where a proxy shows the application, such as "/ghostless"; "" for its root.
    upload_bytes: of a body sent to a path that ends in `upload_path`. uploads: how many at a time.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Sequence[str],
        root_path: str,
        upload_path: str,
        upload_bytes: int,
        uploads: int,
    ) -> None:
        self.app = app
        self.root_path = root_path
        given = [_parts(f"//{host}") for host in hosts]
        self.given = {parts for parts in given if parts is not None and parts[0] not in _OWN_NAMES}
        self.names = {name for name, _ in self.given} | set(_OWN_NAMES)
        self.upload_path = upload_path
        self.upload_bytes = upload_bytes
        self.free_uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope = self._below_root(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(*refusal, send_with_headers)
            return
        is_upload = scope["method"] == "POST" and scope["path"].endswith(self.upload_path)
        limit = self.upload_bytes + _MULTIPART_OVERHEAD_BYTES if is_upload else _SMALL_BODY_BYTES
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > limit:
            await _refuse(413, too_large(limit), send_with_headers)
            return
        if not is_upload:
            await self.app(scope, _counted(receive, limit), send_with_headers)
            return
        if self.free_uploads < 1:
            await _refuse(429, "expected fewer uploads at a time; try again", send_with_headers)
            return
        self.free_uploads -= 1
        try:
            await self.app(scope, _counted(receive, limit), send_with_headers)
        finally:
            self.free_uploads += 1

    def _below_root(self, scope: Scope) -> Scope:
        """The path of a request begins with the root path, as ASGI has it."""
        path, root = scope["path"], self.root_path
        whole = path if path.startswith(f"{root}/") or path == root else root + path
        return {**scope, "root_path": root, "path": whole} if root else scope

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Status and reason if a request is not let in."""
        hosts = headers.getlist("host")
        host = _parts(f"//{hosts[0]}") if len(hosts) == 1 else None
        if host is None or host[0] not in self.names:
            return 421, (
                "expected a request to localhost or to a name given with --allow-host, "
                "found another Host"
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_own_origin(origin, host, scope["scheme"]):
            return 403, "expected a request from this page, found one from another origin"
        site, mode = headers.get("sec-fetch-site"), headers.get("sec-fetch-mode")
        foreign = site is not None and site.lower() not in ("same-origin", "none")
        if foreign and not (mode == "navigate" and scope["method"] in ("GET", "HEAD")):
            return 403, "expected a request from this page, found one from another site"
        return None

    def _is_own_origin(self, origin: str, host: tuple[str, int | None], scheme: str) -> bool:
        found = _parts(origin)
        usual = _DEFAULT_PORTS.get(origin.partition(":")[0].lower())
        if found is None or usual is None:
            return False
        name, port = found[0], None if found[1] == usual else found[1]
        if (name, port) in self.given:  # a proxy in front may address us by another name
            return True
        own_port = _DEFAULT_PORTS.get(scheme, 80) if host[1] is None else host[1]
        return name == host[0] and (usual if port is None else port) == own_port


def too_large(limit: int) -> str:
    return f"expected a request of at most {limit:,} bytes, found a larger one; send less"


def _parts(address: str) -> tuple[str, int | None] | None:
    """Name and port of an address, None if it is not well formed."""
    try:
        parts = urlsplit(address)
        return (parts.hostname.lower(), parts.port) if parts.hostname else None
    except ValueError:
        return None


def _counted(receive: Receive, limit: int) -> Receive:
    """Receive a body of any announced or hidden length, but not more than the limit."""
    total = 0

    async def receive_counted() -> Message:
        nonlocal total
        message = await receive()
        if message["type"] == "http.request":
            total += len(message.get("body", b""))
            if total > limit:
                raise HTTPException(413, too_large(limit))
        return message

    return receive_counted


async def _refuse(status: int, reason: str, send: Send) -> None:
    body = json.dumps({"detail": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
