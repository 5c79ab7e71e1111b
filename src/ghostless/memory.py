"""How much memory there is to work with, and how much a process holds."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
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


def resident_bytes(pid: int | None = None) -> int:
    """Memory that a process holds now, this one by default, in bytes.

    0 where the system does not tell (it does on Linux), or the process is gone.
    """
    return _linux_bytes(f"/proc/{pid or 'self'}/status", "VmRSS:") or 0


def peak_resident_bytes(pid: int | None = None) -> int:
    """Most memory that a process ever held, this one by default, in bytes.

    Since `forget_peak` where that works, else since the process began. 0 where the system does not
    tell: of other processes outside of Linux, of any on Windows.
    """
    peak = _linux_bytes(f"/proc/{pid or 'self'}/status", "VmHWM:")
    if peak is not None:
        return peak
    if pid is not None or sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def forget_peak() -> None:
    """Have `peak_resident_bytes` of this process count from now on; only Linux can."""
    # It forgets its high-water mark when 5 is written here (proc(5)).
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _linux_available() -> int | None:
    return _linux_bytes("/proc/meminfo", "MemAvailable:")


def _linux_bytes(file: str, name: str) -> int | None:
    """Value of a line such as "VmRSS:  1234 kB" of a file in /proc; None where there is none."""
    try:
        for line in Path(file).read_text().splitlines():
            if line.startswith(name):
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
