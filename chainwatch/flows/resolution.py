"""Which transfers events belong to, where their key alone does not say it: numbered keys, aliases, ranges.

All of it is kept in the tables ``step_events`` and ``step_ranges``, as a function of the set of events: what an event is
added to or removed from is resolved again, and each transfer that this touches gets its events from there (S3, S4).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from chainwatch.checker.flow import ALIAS, COVERS, SHARED, Flow, Step
from chainwatch.checker.step_events import chain_order
from chainwatch.checker.transfer_keys import event_key, numbered_key, unknown_alias_key, unopened_key
from chainwatch.flows import ranges
from chainwatch.flows.gathered import Change, Key
from chainwatch.flows.numbering import Openings
from chainwatch.model import Occurrence
from chainwatch.store import step_events
from chainwatch.store.step_events import UNOPENED, Lane, Position, Row, position
from chainwatch.store.step_ranges import Range, decode, encode
from chainwatch.store.transfers import digest


class _Alias(NamedTuple):
    """A name that ``step`` gives a transfer, on any network or, if it is not empty, on this one."""

    flow: str
    step: str
    text: str
    network: str

    @property
    def name(self) -> bytes:
        """By what the events that give it are found."""
        return digest(self.flow, f"{unknown_alias_key(self.text, self.step)}\0{self.network}")


class _Numbered(NamedTuple):
    """What is new and what is lost of one ``key`` of a flow with ``match = "nth"``."""

    flow: Flow
    key: str
    base: bytes
    steps: Mapping[Lane, Sequence[Occurrence]]
    """The new events of steps but the opening, by each lane that has new ones or lost some."""
    lost: Sequence[Row]
    opened_from: int | None
    """The lowest number whose opening may be another; None where all stay."""


_START: Position = (0, 0, 0)
_PAGE = 500
"""How many events of a lane are read at a time."""


class Resolution:
    """Applies changes to the events of ``flows``, and remembers which transfers they touch."""

    def __init__(self, connection: sa.Connection, flows: Mapping[str, Flow]) -> None:
        self._connection = connection
        self._flows = flows
        self._touched: dict[Key, None] = {}
        self._aliases: dict[_Alias, list[Occurrence]] = {}
        """Those of events that are new, gone or moved; with those of these events that give it."""
        self._ranges: list[Range] = []
        """Those that are new or gone."""

    def apply(self, changes: Iterable[Change]) -> None:
        """Store ``changes``."""
        new: list[Row] = []
        numbered: list[_Numbered] = []
        for change in changes:
            flow = self._flows[change.key[0]]
            if flow.has_ranges:
                covering = [event for event in change.added if flow.steps[event.step].covers]
                self._ranges += ranges.apply(self._connection, change, covering)
            gone = self._remove(change)
            by_lane: dict[Lane, list[Occurrence]] = {row.lane: [] for row in gone}
            base = digest(*change.key)
            for event in change.added:
                if COVERS in event.facts:
                    continue
                by_lane.setdefault(Lane(base, event.step, event.network), []).append(event)
            if flow.numbered:
                rows, one = self._number_openings(flow, change.key[1], base, by_lane, gone)
                new += rows
                numbered.append(one)
            for lane, events in by_lane.items():
                step = flow.steps[lane.step]
                if step.by:
                    self._aliases.setdefault(self._alias(step.flow, step.by, change.key[1], lane.network), [])
                    key = unknown_alias_key(change.key[1], step.by)
                    new += [self._row(step, lane, key, 0, event) for event in events]
                elif not flow.numbered:
                    key = numbered_key(change.key[1], 1)
                    new += [self._row(step, lane, key, 0, event) for event in events]
        step_events.insert(self._connection, new)
        step_events.insert(self._connection, self._pair(numbered))
        self._follow_aliases()

    def touched(self, limit: int) -> Iterator[list[Key]]:
        """Yield the transfers whose events may have changed, in the order of the changes, up to ``limit`` at a time."""
        touched = list(self._touched)
        for start in range(0, len(touched), limit):
            yield touched[start : start + limit]
        yield from ranges.covered(self._connection, self._ranges, limit)

    def events(self, keys: Sequence[Key]) -> dict[Key, list[Occurrence]]:
        """Return all events of the transfers ``keys``; those without any are left out."""
        found: dict[Key, list[Occurrence]] = {}
        names: dict[bytes, list[tuple[Key, int]]] = {}
        numbers: dict[bytes, dict[int, list[Key]]] = {}
        for row in step_events.of_transfers(self._connection, [digest(*key) for key in keys]):
            key = row.flow, row.transfer
            events = found.setdefault(key, [])
            if row.name is not None and row.value is not None:
                of_number = numbers.setdefault(row.name, {}).setdefault(decode(row.value), [])
                of_number += [key] * (key not in of_number)
            elif row.name is not None:
                names.setdefault(row.name, []).append((key, len(events)))
            events.append(row.occurrence)
        for name, named in self._named(list(names)).items():
            for key, index in names[name]:
                if named[0].transfer != key[1]:
                    event = found[key][index]
                    facts = event.facts | {SHARED: named[0].transfer}
                    found[key][index] = msgspec.structs.replace(event, facts=facts)
        for name, openings in numbers.items():
            for key, events in ranges.covering(self._connection, name, openings).items():
                found[key] += events
        return found

    def _remove(self, change: Change) -> list[Row]:
        """Delete the events of ``change`` that go, and return them."""
        base = digest(*change.key)
        gone: list[Row] = []
        for network, block in change.cut.items():
            for step in self._flows[change.key[0]].all_steps:
                gone += step_events.since(self._connection, Lane(base, step.name, network), (block + 1, 0, 0))
        if change.removed:
            stored = step_events.of_keys(self._connection, [base])
            gone += [row for row in stored if (row.network, row.block, row.log_index) in change.removed]
        gone = list({row[:6]: row for row in gone}.values())
        step_events.delete(self._connection, gone)
        self._note(gone)
        return gone

    # --- numbers

    def _number_openings(
        self,
        flow: Flow,
        key: str,
        base: bytes,
        by_lane: Mapping[Lane, Sequence[Occurrence]],
        lost: Sequence[Row],
    ) -> tuple[list[Row], _Numbered]:
        """Give the openings of ``key`` their numbers; return the new ones, and what is left to do for its steps."""
        new: list[Row] = []
        opened_from: int | None = None
        for lane, events in by_lane.items():
            if lane.step == flow.opening.name:
                rows, first = self._number(flow.opening, key, lane, events, _of_lane(lost, lane))
                new += rows
                opened_from = first if opened_from is None else min(opened_from, first)
        steps = {
            lane: events
            for lane, events in by_lane.items()
            if lane.step != flow.opening.name and not flow.steps[lane.step].by
        }
        return new, _Numbered(flow, key, base, steps, lost, opened_from)

    def _number(
        self, step: Step, key: str, lane: Lane, events: Sequence[Occurrence], lost: Sequence[Row]
    ) -> tuple[list[Row], int]:
        """Give the openings of ``lane``, with ``events`` and without those ``lost``, their numbers.

        Return the new ones, and the lowest number whose opening may be another.
        """
        added = {position(event): event for event in events}
        end = step_events.last(self._connection, lane)
        first = min([*added, *map(position, lost)])
        if not lost and (end is None or end[0] < first):
            begin = end[1] + 1 if end else 1
            rows = [
                self._row(step, lane, numbered_key(key, n), n, added[at])
                for n, at in enumerate(sorted(added), begin)
            ]
            return rows, begin
        tail = {position(row): row for row in step_events.since(self._connection, lane, first)}
        earlier = step_events.last_numbered(self._connection, lane, first)
        # Retention deletes the earliest: what comes first now counts on from those.
        begin = earlier[1] + 1 if earlier else min((row.number for row in [*lost, *tail.values()]), default=1)
        new: list[Row] = []
        moved: list[Row] = []
        for number, at in enumerate(sorted({*tail, *added}), begin):
            name = numbered_key(key, number)
            if at not in tail:
                new.append(self._row(step, lane, name, number, added[at]))
            elif tail[at].number != number:
                self._note([tail[at]])
                moved.append(tail[at].moved(name, number))
        self._move(moved)
        return new, begin

    def _pair(self, changed: Sequence[_Numbered]) -> list[Row]:
        """Give the steps of the keys ``changed`` the openings that they take; return the new ones.

        Each event of a lane takes the opening after that of the event before it, unless that opening happened later, by
        more than clocks may differ: then it takes none. More openings give openings only to events that had none;
        fewer change what had those that are gone.
        """
        opened = [one.base for one in changed if one.opened_from is not None]
        unopened = step_events.with_unopened(self._connection, opened)
        new: list[Row] = []
        for one in changed:
            starts = {
                lane: min(map(position, [*events, *_of_lane(one.lost, lane)]))
                for lane, events in one.steps.items()
            }
            lost_openings = any(row.step == one.flow.opening.name for row in one.lost)
            if one.opened_from is not None and (lost_openings or one.base in unopened):
                for lane in step_events.lanes_from(self._connection, one.base, one.opened_from):
                    if lane.step != one.flow.opening.name:
                        start = self._after(lane, one.opened_from)
                        starts[lane] = min(start, starts.get(lane, start))
            for lane, start in starts.items():
                new += self._pair_lane(one, lane, start)
        return new

    def _after(self, lane: Lane, number: int) -> Position:
        """Return the position after the last event of ``lane`` that takes an opening before the ``number``-th."""
        before = step_events.last_numbered(self._connection, lane, below=number)
        if before is None:
            return _START
        block, log_index, item = before[0]
        return block, log_index, item + 1

    def _pair_lane(self, changed: _Numbered, lane: Lane, start: Position) -> list[Row]:
        """Give the events of ``lane`` from ``start`` on the openings that they take; return the new ones."""
        flow, key = changed.flow, changed.key
        added = {position(event): event for event in changed.steps.get(lane, ())}
        end = step_events.last(self._connection, lane)
        is_appended = end is None or end[0] < start
        taken = self._taken(lane, start, end, _of_lane(changed.lost, lane))
        openings = Openings(self._connection, lane.base, flow.opening.name, taken)
        numbered = None if is_appended else step_events.last_numbered(self._connection, lane)
        settled = max([*added, numbered[0] if numbered else _START])
        new: list[Row] = []
        moved: list[Row] = []
        for at, row in _merged(added, () if is_appended else self._stored(lane, start)):
            opening = openings.first()
            if opening is None and at > settled:
                break  # all that follow took none before
            event = added[at] if row is None else row.occurrence
            number, name = UNOPENED, unopened_key(key, event)
            if opening is not None and opening[1] <= event.timestamp + flow.clock_skew:
                number, name = opening[0], numbered_key(key, opening[0])
                openings.take()
            if row is None:
                new.append(self._row(flow.steps[lane.step], lane, name, number, event))
            elif row.number != number:
                self._note([row])
                moved.append(row.moved(name, number))
        self._move(moved)
        return new

    def _taken(
        self, lane: Lane, start: Position, end: tuple[Position, int] | None, lost: Sequence[Row]
    ) -> int:
        """Return the number of the last opening that was taken in ``lane`` before ``start``; ``end`` is its last event."""
        if end is not None and end[0] < start and end[1] > 0:
            return end[1]
        before = end and step_events.last_numbered(self._connection, lane, start)
        if before:
            return before[1]
        # Retention deletes the earliest: what comes first now counts on from those.
        taken = [row.number for row in lost if row.number > 0]
        if end and (least := step_events.least_number(self._connection, lane)):
            taken.append(least)
        return min(taken, default=1) - 1

    def _stored(self, lane: Lane, start: Position) -> Iterator[Row]:
        """Yield the stored events of ``lane`` from ``start`` on."""
        while page := step_events.since(self._connection, lane, start, _PAGE):
            yield from page
            block, log_index, item = position(page[-1])
            start = block, log_index, item + 1

    # --- single events

    def _row(self, step: Step, lane: Lane, transfer: str, number: int, event: Occurrence) -> Row:
        alias = event.facts.get(ALIAS)
        name = value = None
        if alias is not None:
            named = self._alias(step.flow, step.name, alias, lane.network)
            self._aliases.setdefault(named, []).append(event)
            name = named.name
        if not step.expected_on and self._flows[step.flow].has_ranges:
            parts, last = ranges.split(event_key(transfer))
            name, value = ranges.name_of(step.flow, parts), encode(last)
        row = step_events.make(lane, step.flow, transfer, number, event, name, value)
        if not step.by:
            self._touched[row.flow, row.transfer] = None
        return row

    def _move(self, rows: Sequence[Row]) -> None:
        step_events.move(self._connection, rows)
        self._note(rows)

    def _note(self, rows: Iterable[Row]) -> None:
        """Note what ``rows`` touch: their transfers, and what follows their aliases."""
        for row in rows:
            self._touched[row.flow, row.transfer] = None
            if row.name is not None and row.value is None:
                event = row.occurrence
                alias = self._alias(row.flow, row.step, event.facts[ALIAS], row.network)
                self._aliases.setdefault(alias, []).append(event)

    # --- aliases

    def _follow_aliases(self) -> None:
        """Give the events that name their transfer by an alias to the first transfer with it, by chain order.

        What gave it the alias later than the event, by more than clocks may differ, has not led to the event.
        """
        aliases, self._aliases = self._aliases, {}
        if not aliases:
            return
        named = self._named([alias.name for alias in aliases])
        for alias, changed in aliases.items():
            rows = named.get(alias.name, [])
            if rows and any(chain_order(event) <= chain_order(rows[0].occurrence) for event in changed):
                self._touched |= {(row.flow, row.transfer): None for row in rows}  # another is the first
        moved: list[Row] = []
        texts = {digest(alias.flow, alias.text): alias.text for alias in aliases}
        wanted = set(aliases)
        for row in step_events.of_keys(self._connection, list(texts)):
            by = self._flows[row.flow].steps[row.step].by
            if not by or (alias := self._alias(row.flow, by, texts[row.base], row.network)) not in wanted:
                continue
            transfer = self._followed(row, named.get(alias.name, ()))
            transfer = transfer or unknown_alias_key(alias.text, by)
            self._touched[row.flow, transfer] = None
            if row.transfer != transfer:
                self._touched[row.flow, row.transfer] = None
                moved.append(row.moved(transfer, 0))
        step_events.move(self._connection, moved)

    def _alias(self, flow: str, step: str, text: str, network: str) -> _Alias:
        is_local = self._flows[flow].alias_is_local(self._flows[flow].steps[step])
        return _Alias(flow, step, text, network if is_local else "")

    def _followed(self, row: Row, named: Sequence[Row]) -> str | None:
        """Return the transfer of the first of ``named``, unless it happened too late to have led to the event ``row``."""
        if not named:
            return None
        latest = row.occurrence.timestamp + self._flows[row.flow].clock_skew
        return named[0].transfer if named[0].occurrence.timestamp <= latest else None

    def _named(self, names: Sequence[bytes]) -> dict[bytes, list[Row]]:
        """Return the events with each of ``names``, by chain order."""
        found: dict[bytes, list[tuple[Occurrence, Row]]] = {}
        for row in step_events.with_names(self._connection, names):
            assert row.name is not None
            found.setdefault(row.name, []).append((row.occurrence, row))
        return {
            name: [row for _, row in sorted(some, key=lambda one: chain_order(one[0]))]
            for name, some in found.items()
        }


def _of_lane(rows: Iterable[Row], lane: Lane) -> list[Row]:
    return [row for row in rows if row.lane == lane]


def _merged(added: Iterable[Position], stored: Iterable[Row]) -> Iterator[tuple[Position, Row | None]]:
    """Yield the positions of a lane's events in order, with the rows of those that are stored."""
    waiting = deque(sorted(added))
    for row in stored:
        at = position(row)
        while waiting and waiting[0] < at:
            yield waiting.popleft(), None
        if waiting and waiting[0] == at:
            waiting.popleft()
        yield at, row
    for at in waiting:
        yield at, None
