"""The words of `ghostless serve`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..errors import OptionError
from ..work.packages import check_installed


def serve(
    host: Annotated[
        str,
        typer.Option(help="Address to listen at; 0.0.0.0 lets other machines in, by a token."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 8000,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name that the server is reached by; repeatable."),
    ] = None,
    root_path: Annotated[
        str, typer.Option(metavar="/PATH", help="Where a proxy shows the page, if not at its root.")
    ] = "",
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open a browser.")] = True,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to make the private folder for photos."),
    ] = None,
    max_bracket_mb: Annotated[float, typer.Option(min=0.001, help="Of one upload.")] = 2000,
    max_pixels: Annotated[int, typer.Option(min=1, help="Of one photo.")] = 150_000_000,
    max_frames: Annotated[int, typer.Option(min=2, max=20, help="Of one bracket.")] = 20,
    max_jobs: Annotated[int, typer.Option(min=1, help="Waiting and running.")] = 16,
    jobs: Annotated[
        int, typer.Option("--jobs", "--workers", min=1, help="Jobs that run at a time.")
    ] = 1,
    memory_gb: Annotated[
        float | None,
        typer.Option(min=0.1, help="Of all jobs together; else half of the machine's."),
    ] = None,
    disk_gb: Annotated[float, typer.Option(min=0.01, help="Of photos and results.")] = 20,
    keep_minutes: Annotated[
        float, typer.Option(min=0.01, help="Photos and results nobody asks for are removed then.")
    ] = 60,
) -> None:
    """Open the web page: drop a bracket on it, compare, download."""
    check_installed("the web page", "web")
    from ..web.limits import Limits
    from ..web.serve import Address
    from ..web.serve import serve as run
    from ..web.server import ServerSettings

    limits = Limits(
        bracket_bytes=int(max_bracket_mb * 1e6),
        pixels=max_pixels,
        frames=max_frames,
        jobs=max_jobs,
        running=jobs,
        stored_bytes=int(disk_gb * 1e9),
        keep_seconds=60 * keep_minutes,
    )
    if memory_gb is not None:
        limits = replace(limits, memory_bytes=int(memory_gb * 1e9))
    hosts = [*(allow_host or ())]
    for name in hosts:
        if not name or "/" in name or name.strip() != name:
            raise OptionError(
                f"--allow-host: expected a name such as photos.example.org, found {name!r}"
            )
    if root_path and (not root_path.startswith("/") or "//" in root_path):
        raise OptionError(f"--root-path: expected a path such as /ghostless, found {root_path!r}")
    if folder is not None and not folder.is_dir():
        raise OptionError(f"--folder: expected a folder that exists, found none: {folder}")
    settings = ServerSettings((host, *hosts), root_path.rstrip("/"), folder, limits)
    run(Address(host, port), settings, open_browser=open_browser)
