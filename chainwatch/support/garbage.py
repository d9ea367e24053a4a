"""How often Python collects cycles among its objects."""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path

GROWN = 64 * 1024 * 1024
"""Bytes by which the process may grow before cycles are collected, however few objects there are: a few may be large."""

_STATM = Path("/proc/self/statm")
_resident_after = 0


def collect_seldom() -> None:
    """Have cycles collected once in 200,000 new objects instead of 700.

    Neither the modules that a command loads nor what it reads and stores are cycles: collecting so often would take a
    sixth of a command's start and a third of a replay. Code that parses foreign data calls `collect_if_grown` too.
    """
    gc.set_threshold(200_000, 20, 100)


def collect_if_grown() -> None:
    """Collect cycles, and give memory back to the system, if the process has grown by `GROWN` since the last time."""
    global _resident_after
    if _resident() < _resident_after + GROWN:
        return
    gc.collect()
    _trim()
    _resident_after = _resident()


def _resident() -> int:
    """Return bytes that the process has in memory; without Linux's /proc, the most that it ever had."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _trim() -> None:
    """Have the C library give freed memory back to the system, where it can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
