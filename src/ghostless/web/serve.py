"""From settings to a running server."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import secrets
import socket
import sys
import threading
import webbrowser
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import OptionError
from .server import ServerSettings

if TYPE_CHECKING:
    import uvicorn


TOKEN_VARIABLE = "GHOSTLESS_TOKEN"
_SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class Address:
    """Where to listen. port: 0 for any that is free."""

    host: str = "127.0.0.1"
    port: int = 8000


def serve(address: Address, settings: ServerSettings, *, open_browser: bool = True) -> None:
    """Serve the page until interrupted; files are removed then.

    Where other machines can reach the address, every request must bring a token: that of the
    environment variable GHOSTLESS_TOKEN, or one made at this start, which the address that is
    printed holds. Raises OptionError if the address cannot be listened at.
    """
    listening = _listen(address)
    with listening:
        is_local = ipaddress.ip_address(_number(listening)).is_loopback
        if not is_local:
            settings = replace(settings, token=_token())
        server = make_server(settings)
        shown = _address_of_page(listening, is_local, settings)
        print(f"Ghostless is at {shown} (Ctrl+C ends it and removes its files)", flush=True)
        if not is_local:
            print(
                f"It listens at {address.host}: every machine that can reach this one can reach "
                "it, and what is sent goes over the network unencrypted. Each request must bring "
                "the token in that address; whoever has it can send photos and fuse them.",
                flush=True,
            )
        # Not with a token: every user of this machine sees what programs are started with.
        if open_browser and is_local and sys.stdout.isatty():
            threading.Timer(0.8, webbrowser.open, (shown,)).start()
        # Uvicorn ends its work on a signal and then raises it again.
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listening])
    print("Ghostless has ended; the photos given to it are removed", flush=True)


def make_server(settings: ServerSettings) -> uvicorn.Server:
    """Make the server with its limits on connections; it listens where its `run` is told."""
    import uvicorn

    from .app import make_app
    from .connections import limited_to

    config = uvicorn.Config(
        make_app(settings),
        http=limited_to(settings.limits),
        ws="none",
        log_level="warning",
        timeout_graceful_shutdown=2,
        server_header=False,
        # Only a proxy on this machine is believed what it says about its clients.
        proxy_headers=True,
        forwarded_allow_ips="127.0.0.1,::1",
    )
    return uvicorn.Server(config)


def _token() -> str:
    given = os.environ.get(TOKEN_VARIABLE)
    if given is None:
        return secrets.token_urlsafe(24)
    if len(given) < _SHORTEST_TOKEN or not re.fullmatch(r"[A-Za-z0-9._~-]+", given):
        raise OptionError(
            f"{TOKEN_VARIABLE}: expected at least {_SHORTEST_TOKEN} letters, digits and "
            f"-._~ that nobody guesses, found {len(given)} characters"
        )
    return given


def _number(listening: socket.socket) -> str:
    return str(listening.getsockname()[0]).partition("%")[0]


def _address_of_page(listening: socket.socket, is_local: bool, settings: ServerSettings) -> str:
    number, port = _number(listening), listening.getsockname()[1]
    if is_local:
        return f"http://localhost:{port}/"
    if ipaddress.ip_address(number).is_unspecified:
        number = _number_in_network()
    host = f"[{number}]" if ":" in number else number
    return f"http://{host}:{port}/?token={settings.token}"


def _number_in_network() -> str:
    """The number by which others most likely reach this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            # Nothing is sent: the system only chooses by which way it would be.
            asking.connect(("192.0.2.1", 9))
            return _number(asking)
        except OSError:
            return "127.0.0.1"


def _listen(address: Address) -> socket.socket:
    """Open the socket, so that a port that is taken is told in one line."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address.host.strip("[]"), address.port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        cure = "give an address of this machine with --host, or leave it out"
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            cure = "choose another with --port (0 takes one that is free)"
        raise OptionError(
            f"expected to listen at {address.host} port {address.port}, found: "
            f"{error.strerror or error}; {cure}"
        ) from None
    return listening
