"""From settings to a running server."""

from __future__ import annotations

import ipaddress
import socket
import sys
import threading
import webbrowser
from contextlib import suppress
from dataclasses import dataclass

from ..errors import OptionError
from .server import ServerSettings


@dataclass(frozen=True)
class Address:
    """Where to listen. port: 0 for any that is free."""

    host: str = "127.0.0.1"
    port: int = 8000

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host == "localhost"


def serve(address: Address, settings: ServerSettings, *, open_browser: bool = True) -> None:
    """Serve the page until interrupted; files are removed then.

    Raises OptionError if the address cannot be listened at.
    """
    import uvicorn

    from .app import make_app

    listening = _listen(address)
    port = listening.getsockname()[1]
    host = f"[{address.host}]" if ":" in address.host else address.host
    shown = f"http://{'localhost' if address.is_local else host}:{port}/"
    config = uvicorn.Config(
        make_app(settings),
        log_level="warning",
        timeout_graceful_shutdown=2,
        timeout_keep_alive=30,
        limit_concurrency=200,
        server_header=False,
        # Only a proxy on this machine is believed what it says about its clients.
        proxy_headers=True,
        forwarded_allow_ips="127.0.0.1,::1",
    )
    server = uvicorn.Server(config)
    print(f"Ghostless is at {shown} (Ctrl+C ends it and removes its files)", flush=True)
    if open_browser and sys.stdout.isatty():
        threading.Timer(0.8, webbrowser.open, (shown,)).start()
    # Uvicorn ends its work on a signal and then raises it again.
    with listening, suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
    print("Ghostless has ended; the photos given to it are removed", flush=True)


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
        raise OptionError(
            f"expected to listen at {address.host} port {address.port}, found: "
            f"{error.strerror or error}; choose another with --port (0 takes one that is free)"
        ) from None
    return listening
