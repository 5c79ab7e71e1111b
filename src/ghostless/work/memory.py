"""How much memory there is to work with, and how much a process holds."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

# Where the system tells nothing (Windows).
_GUESS_BYTES = 4_000_000_000
# Photos, masks and results of a run are kept in memory up to this (see `spill`): all of three
# photos of 24 megapixels.
IN_MEMORY_BYTES = 960 << 20
# What a run takes beside them, measured: an interpreter with the libraries; what finds ghosts, by
# the pixels of its proxies, which have at most so many; and what is left of every frame's.
_PROCESS_BYTES = 250_000_000
_PROXY_BYTES_PER_PIXEL = 470
_LARGEST_PROXY_PIXELS = 1_500_000
_FRAME_BYTES = 10_000_000
_NETWORK_BYTES = 2_000_000_000
# Photos are decoded side by side as long as that takes no more.
_DECODING_TOGETHER_BYTES = 2_400_000_000
# Codes and file of the result, and of a gain map with what it is made from, per pixel.
_WRITING_BYTES_PER_PIXEL = 4
_HDR_BYTES_PER_PIXEL = 16


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


def fusing_bytes(
    frames: int, pixels: int, sample_bytes: int = 1, *, hdr: bool = False, network: bool = False
) -> int:
    """Estimate the memory that fusing photo files takes at its peak, in bytes.

    frames, pixels: how many photos, of how many pixels each. sample_bytes: of one of their three
    channels. hdr: whether a gain map is made. network: whether a network fuses.
    Within a quarter of what was measured of 2 to 20 photos of 2 to 150 megapixels, in most of which
    things moved.
    """
    photo = 3 * sample_bytes * pixels
    # Frames and masks, aligned and deghosted; the reference stays as it is.
    kept = min(IN_MEMORY_BYTES, photo + (frames - 1) * (2 * photo + 2 * pixels))
    finding = _PROXY_BYTES_PER_PIXEL * min(pixels, _LARGEST_PROXY_PIXELS) + frames * _FRAME_BYTES
    writing = pixels * (_WRITING_BYTES_PER_PIXEL + (_HDR_BYTES_PER_PIXEL if hdr else 0))
    # While one photo is decoded or reduced, all of it is in memory.
    beside = max(photo + finding, 2 * photo, writing)
    return _PROCESS_BYTES + kept + beside + (_NETWORK_BYTES if network else 0)


def decoders_at_a_time(decoding: Sequence[int], most: int) -> int:
    """How many photos to decode at a time: `most`, or one where the largest take much memory.

    decoding: bytes that decoding each takes at its peak.
    """
    largest = sorted(decoding)[-most:]
    return most if sum(largest) <= _DECODING_TOGETHER_BYTES else 1


def reading_bytes(kept: Sequence[int], decoding: Sequence[int], most: int) -> int:
    """Estimate the memory that reading a bracket takes at its peak, in bytes.

    kept: bytes of each photo's pixels. decoding, most: as for `decoders_at_a_time`.
    """
    together = sorted(decoding)[-decoders_at_a_time(decoding, most) :]
    return _PROCESS_BYTES + min(IN_MEMORY_BYTES, sum(kept)) + sum(together)


def resident_bytes(pid: int | None = None) -> int:
    """Memory that a process holds now, this one by default, in bytes.

    0 where the system does not tell (it does on Linux), or the process is gone.
    """
    return _linux_bytes(f"/proc/{'self' if pid is None else pid}/status", "VmRSS:") or 0


def peak_resident_bytes(pid: int | None = None) -> int:
    """Most memory that a process ever held, this one by default, in bytes.

    Since `forget_peak` where that works, else since the process began. 0 where the system does not
    tell: of other processes outside of Linux, of any on Windows.
    """
    peak = _linux_bytes(f"/proc/{'self' if pid is None else pid}/status", "VmHWM:")
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
