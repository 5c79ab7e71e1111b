"""What results depend on: commit, versions, machine."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any


def environment() -> dict[str, Any]:
    """Return what results depend on: commit, versions, machine, threads of each process."""
    from .. import pipeline  # it needs more packages than training does

    return {
        "commit": commit(),
        "versions": pipeline.versions(),
        "device": f"CPU ({platform.machine()}, {_processor()}, {os.cpu_count()} cores)",
        "threads": 1,
    }


def commit(mark_changes: bool = True) -> str | None:
    """Return the commit of this program, "+" after it where files differ; None off a checkout.

    Where git is not, the environment variable GHOSTLESS_COMMIT says it.
    """
    given = os.environ.get("GHOSTLESS_COMMIT")
    if given:
        return given
    here = Path(__file__).resolve().parents[3]
    if not (here / ".git").exists():
        return None
    try:
        name = _git(here, "rev-parse", "--short=12", "HEAD")
        changed = mark_changes and _git(here, "status", "--porcelain", "-uno", "src")
    except (OSError, subprocess.SubprocessError):
        return None
    return name + ("+" if changed else "")


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown processor"
