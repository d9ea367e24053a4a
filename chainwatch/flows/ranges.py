"""Steps that cover ranges of keys: which transfers their events belong to."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter

import sqlalchemy as sa

from chainwatch.checker.flow import COVERS
from chainwatch.flows.gathered import Change, Key
from chainwatch.model import Occurrence
from chainwatch.store import step_ranges
from chainwatch.store.step_ranges import Range
from chainwatch.store.transfers import digest

COUNTED = 10
"""Of the events of a step that cover a transfer, so many are kept, the first by chain order: two are one too many."""

_GAP = 10_000
"""Integers further apart are looked up apart."""


def name_of(flow: str, parts: str) -> bytes:
    """Return the name of the transfers of ``flow`` whose keys have these ``parts`` before their last, an integer."""
    return digest(flow, f"{parts}\0covered")


def split(key: str) -> tuple[str, int]:
    """Return the parts of a key before its last, and that as an integer."""
    parts, _, last = key.rpartition("/")
    return parts, int(last)


def apply(connection: sa.Connection, change: Change, added: Iterable[Occurrence]) -> list[Range]:
    """Store ranges: those ``added``, without those that go by ``change``. Return all that are new or gone."""
    flow, parts = change.key
    name = name_of(flow, parts)
    gone = [
        row
        for network, block in change.cut.items()
        for row in step_ranges.of_name(connection, name, network, block)
    ]
    for network in {network for network, _, _ in change.removed}:
        known = step_ranges.of_name(connection, name, network)
        gone += [row for row in known if (row.network, row.block, row.log_index) in change.removed]
    ends = [(event, *event.facts[COVERS]) for event in added]
    new = [step_ranges.make(name, first, last, flow, event) for event, first, last in ends]
    step_ranges.delete(connection, gone)
    step_ranges.insert(connection, new)
    return gone + new


def covered(connection: sa.Connection, ranges: Iterable[Range], limit: int) -> Iterator[list[Key]]:
    """Yield the transfers that ``ranges`` cover, each once, up to ``limit`` at a time."""
    for flow, name, first, last in _united(ranges):
        after = (first, "")
        while page := step_ranges.covered(connection, name, first, last, after, limit):
            yield [(flow, transfer) for _, transfer in page]
            after = page[-1]


def covering(
    connection: sa.Connection, name: bytes, numbers: Mapping[int, Sequence[Key]]
) -> dict[Key, list[Occurrence]]:
    """Return the events that cover the openings of ``name``, given by their integers, by transfer."""
    found: dict[Key, list[Occurrence]] = {}
    for some in _clusters(sorted(numbers)):
        counts: Counter[tuple[str, int]] = Counter()
        full: Counter[str] = Counter()
        rows = step_ranges.meeting(connection, name, some[0], some[-1])
        for row in sorted(rows, key=_chain_order):
            if full[row.step] == len(some):
                continue
            event = row.occurrence
            first, last = step_ranges.decode(row.first), step_ranges.decode(row.last)
            for number in some[bisect_left(some, first) : bisect_right(some, last)]:
                counts[row.step, number] += 1
                full[row.step] += counts[row.step, number] == COUNTED
                if counts[row.step, number] <= COUNTED:
                    for key in numbers[number]:
                        found.setdefault(key, []).append(event)
    return found


def _united(ranges: Iterable[Range]) -> Iterator[tuple[str, bytes, bytes, bytes]]:
    """Yield flow, name, first and last of ranges that cover what ``ranges`` do, without those that overlap."""
    known: tuple[str, bytes, bytes, bytes] | None = None
    for row in sorted(ranges, key=attrgetter("name", "first")):
        if known is not None and row.name == known[1] and row.first <= known[3]:
            known = (*known[:3], max(known[3], row.last))
            continue
        if known is not None:
            yield known
        known = row.flow, row.name, row.first, row.last
    if known is not None:
        yield known


def _chain_order(row: Range) -> tuple[object, ...]:
    return row.timestamp, row.network, row.block, row.log_index, row.item


def _clusters(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield ``numbers``, which are sorted, in parts of those close together."""
    start = 0
    for index, number in enumerate(numbers, 1):
        if index == len(numbers) or numbers[index] - number > _GAP:
            yield numbers[start:index]
            start = index
