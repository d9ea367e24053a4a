"""Which blocks may hold which logs, by the blooms in their headers (Yellow Paper, 4.4.1). Pure.

A bloom that excludes a log is proof only where the node computes blooms as Ethereum does; one that admits it is a hint
that an empty answer may be false.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache

from chainwatch.chain.wire import LogFilter
from chainwatch.model import RawLog
from chainwatch.support.keccak import keccak256

BITS = 2048
MOST_BITS = BITS * 19 // 20
"""A bloom with more bits set than these admits nearly everything: it proves nothing."""


FIRST_LOOK = 1.0
LONGEST_LOOK = 600.0
"""Seconds after which blooms that were found foreign are tested again: at first, doubling, and at most."""


class BloomTrust:
    """Whether the blooms of one endpoint count. Times are in seconds on any one clock."""

    def __init__(self) -> None:
        self.foreign = False
        """Whether its blooms were found not to be made of the logs of their blocks."""
        self.given = False
        """Whether it gave any. Then a block without one is refused: nothing else would contradict a false "no logs"."""
        self.proven = False
        """Whether the last test found them right."""
        self._pause = FIRST_LOOK
        self._look_at = -math.inf

    def judge(self, foreign: bool, now: float) -> None:
        """Store the result of a test."""
        self._pause = min(2 * self._pause, LONGEST_LOOK) if foreign and self.foreign else FIRST_LOOK
        self._look_at = now + self._pause
        self.foreign, self.proven = foreign, not foreign

    def is_due(self, now: float) -> bool:
        """Return whether to test foreign blooms again: one block or one false answer must not exclude them for good."""
        return self.foreign and now >= self._look_at


def admits(bloom: int, wanted: LogFilter) -> bool:
    """Return whether a block with ``bloom`` may hold a log of ``wanted``."""
    return all(any(bits & bloom == bits for bits in values) for values in _bits_of(wanted))


def is_informative(bloom: int | None) -> bool:
    """Return whether ``bloom`` can exclude anything: it is present, not zero and not full."""
    return bloom is not None and 0 < bloom.bit_count() <= MOST_BITS


def chance(bloom: int, wanted: LogFilter) -> float:
    """Return the probability (0 to 1) that ``bloom`` admits ``wanted`` although the block has no such log."""
    one = (bloom.bit_count() / BITS) ** 3
    product = 1.0
    for values in _bits_of(wanted):
        product *= min(1.0, len(values) * one)
    return product


def bloom_of(logs: Iterable[RawLog]) -> int:
    """Return the bloom of a block with exactly ``logs``."""
    values = {value for log in logs for value in (log.address, *log.topics)}
    bloom = 0
    for value in values:
        bloom |= _bits(value)
    return bloom


def covers(bloom: int | None, logs: Iterable[RawLog]) -> bool:
    """Return whether ``logs`` account for every bit of ``bloom``, so that none is missing."""
    return (bloom or 0) & ~bloom_of(logs) == 0


def excludes(bloom: int | None, logs: Iterable[RawLog]) -> bool:
    """Return whether a block with ``bloom``, or without one (None), cannot have all of ``logs``."""
    return bloom_of(logs) & ~(bloom or 0) != 0


@lru_cache(maxsize=1024)
def _bits_of(wanted: LogFilter) -> list[list[int]]:
    positions: list[Sequence[bytes]] = [wanted.addresses]
    positions += [topics for topics in wanted.topics if topics is not None]
    return [[_bits(value) for value in values] for values in positions]


def _bits(value: bytes) -> int:
    digest = keccak256(value)
    bits = 0
    for index in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[index : index + 2], "big") % BITS)
    return bits
