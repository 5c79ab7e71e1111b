"""Which requests are let in, and the headers of what goes out.

A page on localhost can be reached by every page in the user's browser. So a request must be
addressed to a name that this server goes by (else any name could be pointed at 127.0.0.1, DNS
rebinding), and must not come from a page of another origin. A server that other machines can reach
asks for its token in every request besides: from a program in a header, from a browser in a cookie,
which it gets by the address that `ghostless serve` prints.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
from collections.abc import Sequence
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .limits import Limits
from .uploads import MASK_BYTES, Body, Uploads, is_mask, is_upload, too_large

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
    limits: of bodies and uploads.
    token: what every request must bring; None where only this machine can reach the server.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Sequence[str],
        root_path: str,
        limits: Limits,
        token: str | None = None,
    ) -> None:
        self.app = app
        self.root_path = root_path
        given = [_parts(f"//{host}") for host in hosts]
        self.given = {parts for parts in given if parts is not None and parts[0] not in _OWN_NAMES}
        self.names = {name for name, _ in self.given} | set(_OWN_NAMES)
        self.limits = limits
        self.uploads = Uploads(limits)
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # there is nothing else; a connection that is not accepted is closed
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
        if self.token is not None and not self._has_token(headers):
            await self._ask_for_token(self.token, scope, send_with_headers)
            return
        upload, limits = is_upload(scope), self.limits
        most = _SMALL_BODY_BYTES
        if upload:
            most = limits.bracket_bytes + _MULTIPART_OVERHEAD_BYTES
        elif is_mask(scope):
            most = MASK_BYTES
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > most:
            await _refuse(413, too_large(most), send_with_headers)
            return
        body = Body(receive, most, limits, in_time=not upload)
        if upload and not self.uploads.enter(body, _client(scope)):
            await _refuse(
                429,
                "expected fewer uploads at a time; try again in a few seconds",
                send_with_headers,
                [(b"retry-after", b"5")],
            )
            return
        try:
            await self.app(scope, body.receive, send_with_headers)
        finally:
            self.uploads.leave(body)

    def _below_root(self, scope: Scope) -> Scope:
        """The path of a request begins with the root path, as ASGI has it."""
        path, root = scope["path"], self.root_path
        whole = path if path.startswith(f"{root}/") or path == root else root + path
        return {**scope, "root_path": root, "path": whole} if root else scope

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Status and reason if a request is not let in."""
        hosts = headers.getlist("host")
        host = _parts(f"//{hosts[0]}") if len(hosts) == 1 else None
        if host is None or not self._goes_by(host[0]):
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

    def _goes_by(self, name: str) -> bool:
        # No name can be pointed at us by a number; without a token we still go by our own only.
        return name in self.names or (self.token is not None and _is_number(name))

    def _has_token(self, headers: Headers) -> bool:
        assert self.token is not None
        kind, _, value = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return _is_same(value.strip(), self.token)
        cookies: SimpleCookie = SimpleCookie()
        try:
            cookies.load(headers.get("cookie", ""))
        except CookieError:
            return False
        found = cookies.get(_cookie_name(self.token))
        return found is not None and _is_same(found.value, self.token)

    async def _ask_for_token(self, token: str, scope: Scope, send: Send) -> None:
        """Refuse, or give the cookie to whoever opens the page by the address with the token."""
        page = f"{self.root_path}/"
        is_page = scope["method"] in ("GET", "HEAD") and scope["path"] in (page, self.root_path)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        if is_page and len(given) == 1 and _is_same(given[0], token):
            await _redirect(page, _cookie(token, page, scope["scheme"] == "https"), send)
            return
        await _refuse(
            401,
            "expected the token of this server, found none or another; open the page by the "
            "address that 'ghostless serve' printed, or send: Authorization: Bearer TOKEN",
            send,
            [(b"www-authenticate", b"Bearer")],
        )

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


def _parts(address: str) -> tuple[str, int | None] | None:
    """Name and port of an address, None if it is not well formed."""
    try:
        parts = urlsplit(address)
        return (parts.hostname.lower(), parts.port) if parts.hostname else None
    except ValueError:
        return None


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_same(given: str, token: str) -> bool:
    """Compare in a time that tells nothing of where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def _cookie_name(token: str) -> str:
    # Browsers keep cookies by machine, not by port: two servers must not take each other's.
    return "ghostless_" + hashlib.sha256(token.encode()).hexdigest()[:12]


def _cookie(token: str, path: str, secure: bool) -> str:
    # Lax, for a link that somebody was sent leads here from elsewhere; forms do not.
    words = f"{_cookie_name(token)}={token}; Path={path}; HttpOnly; SameSite=Lax"
    return f"{words}; Secure" if secure else words


def _client(scope: Scope) -> str:
    return str(scope["client"][0]) if scope.get("client") else ""


async def _redirect(to: str, cookie: str, send: Send) -> None:
    """Lead to the page, so that the token does not stay in the address."""
    headers = [
        (b"location", to.encode("latin-1")),
        (b"set-cookie", cookie.encode("latin-1")),
        (b"content-length", b"0"),
    ]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(
    status: int, reason: str, send: Send, more: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    body = json.dumps({"detail": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close"), *more]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
