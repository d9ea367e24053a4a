"""How often Python looks for cycles among its objects."""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path

GROWN = 64 * 1024 * 1024
"""Bytes by which the process may grow until cycles are looked for, whatever the number of objects: a few may be large."""

_STATM = Path("/proc/self/statm")
_resident_after = 0


def collect_seldom() -> None:
    """Have cycles looked for once in 200,000 new objects instead of 700.

    Neither the modules that a command loads nor what it reads and stores are cycles: looking for them all the time would
    take a sixth of a command's start and a third of a replay. What reads from strangers calls `collect_if_grown` besides.
    """
    gc.set_threshold(200_000, 20, 100)


def collect_if_grown() -> None:
    """Look for cycles, and give memory back to the system, when the process has grown by `GROWN` since the last time."""
    global _resident_after
    if _resident() < _resident_after + GROWN:
        return
    gc.collect()
    _trim()
    _resident_after = _resident()


def _resident() -> int:
    """Bytes that the process has in memory; without Linux's /proc, the most that it ever had."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _trim() -> None:
    """Have the C library give back what it keeps of freed memory, where it can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
