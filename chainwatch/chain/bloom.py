"""Which blocks may hold which logs, as their headers' blooms tell (Yellow Paper, 4.4.1). Pure.

A bloom that excludes a log is proof only where the node computes blooms as Ethereum does; one that admits it is a hint
that an empty answer may be false.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from chainwatch.chain.wire import LogFilter
from chainwatch.keccak import keccak256
from chainwatch.model import RawLog

BITS = 2048
MOST_BITS = BITS * 19 // 20
"""A bloom with more bits than these set admits everything: it tells nothing."""


def admits(bloom: int, wanted: LogFilter) -> bool:
    """Whether a block with ``bloom`` may hold a log of ``wanted``."""
    return all(any(bits & bloom == bits for bits in values) for values in _bits_of(wanted))


def tells(bloom: int | None) -> bool:
    """Whether ``bloom`` is one that can tell what a block holds: present, not zero, not full."""
    return bloom is not None and 0 < bloom.bit_count() <= MOST_BITS


def chance(bloom: int, wanted: LogFilter) -> float:
    """How likely a ``bloom`` with so many bits admits ``wanted`` though no log of it is there (0 to 1)."""
    one = (bloom.bit_count() / BITS) ** 3
    product = 1.0
    for values in _bits_of(wanted):
        product *= min(1.0, len(values) * one)
    return product


def bloom_of(logs: Iterable[RawLog]) -> int:
    """The bloom of a block with exactly ``logs``."""
    values = {value for log in logs for value in (log.address, *log.topics)}
    bloom = 0
    for value in values:
        bloom |= _bits(value)
    return bloom


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
