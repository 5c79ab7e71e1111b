"""How much memory there is to work with."""

from __future__ import annotations

import os
from pathlib import Path

# Where the system tells nothing (Windows).
_GUESS_BYTES = 4_000_000_000


def available_bytes() -> int:
    """Memory that programs may still take without others being pushed out, in bytes.

    Linux: MemAvailable, or what is left to this process's control group (a container) if that is
    less. Elsewhere: half of what is built in.
    """
    system = _linux_available()
    if system is not None:
        group = _left_in_control_group()
        return system if group is None else min(system, group)
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return _GUESS_BYTES


def _linux_available() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def _left_in_control_group(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Limit less use of a version 2 control group; None where there is no limit."""
    try:
        limit = (root / "memory.max").read_text().strip()
        used = int((root / "memory.current").read_text())
        cached = 0  # files kept in memory, which the system lets go of when asked
        for line in (root / "memory.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            cached += int(value) if name in ("inactive_file", "active_file") else 0
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(0, int(limit) - used + cached)
