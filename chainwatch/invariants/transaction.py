"""The invariants within one transaction of the pipeline: which blocks are checked, what was read, what is raised."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from chainwatch.alert_model import REORG
from chainwatch.checker.invariants.event_facts import EventTrigger
from chainwatch.checker.invariants.extractor import INVARIANTS, CountedEvent
from chainwatch.checker.invariants.invariant import Invariant, of_block
from chainwatch.checker.invariants.judge import UNREAD_AFTER
from chainwatch.invariants import held, judging, listing, raising, sampling, sessions, tidying
from chainwatch.invariants.event_reads import EventsRead
from chainwatch.invariants.event_values import measure, measure_again
from chainwatch.invariants.held import HeldFound
from chainwatch.invariants.judging import Judging, Kept
from chainwatch.invariants.kept_checks import KeptChecks
from chainwatch.invariants.kept_transfers import TransfersLoaded
from chainwatch.invariants.reads import STATES_KEPT, BlockRead
from chainwatch.invariants.sampling import SampledBlocks
from chainwatch.invariants.superfluous import read_for_alone
from chainwatch.invariants.triggers import Trigger, at_once, is_due, misaligned, new_blocks
from chainwatch.model import Header, ReadResult
from chainwatch.pipeline.checker import CONFIG_CHANGED, Page
from chainwatch.pipeline.unit_of_work import Work
from chainwatch.store import blocks, invariant_events, invariants
from chainwatch.store.invariants import Check, Place, Reading

if TYPE_CHECKING:
    from chainwatch.invariants.checker import InvariantChecker
    from chainwatch.invariants.definitions import Group, Running

ACCEPTED = "accepted"
"""Why alerts end once somebody has accepted the values."""


class InvariantTransaction:
    """See ``chainwatch.pipeline.checker.CheckerTransaction``."""

    def __init__(self, checker: InvariantChecker, work: Work) -> None:
        self._checker = checker
        self._work = work
        self._connection = work.connection
        self._reasons: dict[str, str] = {}  # why invariants are to be judged, by name
        self._remeasured: set[str] = set()
        """Networks of which events came or went in blocks that may have been read already."""
        self._triggers: dict[tuple[EventTrigger, str], dict[int, Header]] = {}
        self._fresh: dict[Place, Reading] = {}  # what this transaction has stored
        self._is_loaded = False  # whether the checks that are kept are those that are stored
        self._before = {name: checkpoint.last for name, checkpoint in work.checkpoints.items()}

    @cached_property
    def _running(self) -> Running:
        return self._checker.definitions.load(self._connection)

    @property
    def _checks(self) -> KeptChecks:
        """The stored checks."""
        kept = self._checker.kept_checks
        if not self._is_loaded:
            self._is_loaded = True
            if kept.load(self._connection):
                now = self._checker.clock(self._work)
                for name in kept.unanswered():
                    self._checker.waiting.setdefault(name, now)
        return kept

    def _forget_kept(self) -> None:
        """Have the checks loaded again, as some are about to be deleted."""
        if self._is_loaded:
            self._checker.kept_checks.flush(self._connection)
        self._is_loaded = False

    # --- what was found and read

    def apply(self, found: Sequence[CountedEvent]) -> None:
        """Store events; blocks with an event at which an invariant is checked are noted."""
        if not found:
            return
        invariant_events.add_events(self._connection, [one.row for one in found])
        self._checker.kept_events.add(found)
        for event in found:
            header = Header(event.block, event.block_hash, b"", event.timestamp)
            for where in (None, *event.args):
                self._triggers.setdefault((EventTrigger(event.kind, where), event.network), {})[
                    event.block
                ] = header
            if (known := self._before.get(event.network)) is not None and event.block <= known.number:
                self._remeasured.add(event.network)

    def apply_read(self, result: ReadResult) -> None:
        """Store what was read of blocks that are still in the chain."""
        if isinstance(result, EventsRead):
            sessions.apply(self._work, result, self._checker.waiting)
        elif isinstance(result, HeldFound):
            held.apply(self._work, result)
        elif isinstance(result, SampledBlocks):
            running, networks = self._running.invariants, self._checker.settings.networks
            sampling.apply(self._connection, running, self._checks, result, self._reading, networks)
            self._note_to_judge(running)
        elif isinstance(result, TransfersLoaded):
            self._note_to_judge(self._running.of_flows)
        elif isinstance(result, BlockRead):
            self._save(result)

    def _save(self, read: BlockRead) -> None:
        running = self._running.invariants
        done = [
            one if one.content is None else one._replace(content=self._completed(running[one.name], one))
            for one in read.readings
            if one.name in running
        ]
        if done:
            network, block = done[0].network, done[0].block
            taken = self._checks.take(network, block, done[0].hash, [one.name for one in done])
            new = [one for one in done if one.name in taken]
            invariants.add_readings(self._connection, new)
            known = [one for one in done if one.name not in taken]
            for one in new + invariants.save_readings(self._connection, network, block, known):
                self._fresh[one.name, network, block] = one
                self._reasons.setdefault(one.name, "")

    def _completed(self, invariant: Invariant, reading: Reading) -> dict[str, object]:
        """Return the content with the values that need no node: those of the block and of stored events."""
        network, block, timestamp = reading.network, reading.block, reading.timestamp
        of_header = of_block(invariant, Header(block, reading.hash, b"", timestamp), network)
        events = measure(self._connection, self._checker.kept_events, invariant, network, timestamp, block)
        return {**(reading.content or {}), **of_header, **events}

    def roll_back(self, network: str, block: int, found: Sequence[CountedEvent]) -> None:
        """Undo what belongs to blocks of ``network`` after ``block``."""
        self._forget_kept()
        invariants.roll_back(self._connection, network, block)
        self._checker.kept_events.forget(network)
        self._fresh = {place: one for place, one in self._fresh.items() if place[1] != network}
        here = self._running.on.get(network, {})
        self._reasons |= dict.fromkeys(here, REORG)
        others_too = [name for name, one in here.items() if len(one.networks) > 1]
        for name in others_too:
            self._unplace(name, network, block)
        ancestor = blocks.header_of(self._connection, network, block)
        since = None if ancestor is None else ancestor.timestamp
        self._checker.kept_accepted.roll_back(self._connection, network, block, since, others_too)
        sessions.roll_back(self._work, self._running, network, block)
        for placed in self._triggers.values():
            for number in [n for n in placed if n > block]:
                del placed[number]
        if (known := self._before.get(network)) is not None and known.number > block:
            del self._before[network]
            if ancestor is not None:
                self._before[network] = ancestor

    def _unplace(self, name: str, network: str, block: int) -> None:
        """Have checks at blocks of other networks find their block of ``network`` again where it is gone."""
        for check in list(self._checks.of(name)):
            if check.network == network or check.positions is None:
                continue
            if check.positions.get(network, 0) >= block:  # what follows the ancestor now may be as early
                again = check._replace(positions=None, holds=None, error=None)
                self._checks.save(self._connection, [(name, again)])

    def remove(self, network: str, positions: set[tuple[int, int]], found: Sequence[CountedEvent]) -> None:
        """Undo events that were never in the chain."""
        invariant_events.drop_events(self._connection, network, [(e.block, e.log_index) for e in found])
        if found:
            self._checker.kept_events.forget(network)
            self._remeasured.add(network)

    # --- judging

    def settle(self) -> None:
        """Note what is to be read at new blocks, and judge what was read."""
        running, kept_transfers = self._running, self._checker.kept_transfers
        kept_transfers.update(self._connection)
        self._tidy(running)
        if not running.names:
            return
        for network in sorted(self._work.advanced) if self._checker.samples is None else ():
            self._check_new_blocks(network)
        for name, invariant in running.of_several_networks.items():
            self._place(name, invariant)
        for network in self._remeasured:
            self._note_to_judge(running.on.get(network, ()))
        self._note_to_judge(self._checker.kept_checks.undecided.names())
        waiting, now = self._checker.waiting, self._checker.clock(self._work)
        self._note_to_judge([name for name, since in waiting.items() if now - since >= UNREAD_AFTER])
        if judged := self._to_be_judged(running):
            kept = Kept(self._checks, kept_transfers, self._checker.kept_accepted)
            judging.judge(self._work, judged, kept, self._fresh, self._reorg_window, waiting, now)
            self._follow_lists(judged)
            self._work.wanted |= {(INVARIANTS, network) for network in kept_transfers.loading}
        if self._is_loaded:
            self._checker.kept_checks.commit(self._connection)
        self._checker.commit(self._connection)
        sessions.settle(self._work, running, self._before, waiting, self._checker.failures, now)

    def _to_be_judged(self, running: Running) -> dict[str, Judging]:
        accepted = self._checker.kept_accepted.accepted_since(self._connection)
        self._reasons |= dict.fromkeys(accepted, ACCEPTED)
        found: dict[str, Judging] = {}
        for name in sorted(self._reasons):
            if (one := running.invariants.get(name)) is not None:
                is_remeasured = bool(self._remeasured.intersection(one.networks))
                if is_remeasured:
                    measure_again(self._connection, self._checker.kept_events, one, self._remeasured)
                found[name] = Judging(one, self._reasons[name], is_remeasured or name in accepted)
        return found

    def _note_to_judge(self, names: Iterable[str]) -> None:
        for name in names:
            self._reasons.setdefault(name, "")

    def _follow_lists(self, judged: Mapping[str, Judging]) -> None:
        """Check the new elements of lists that were read at the block of the list, and drop those that are gone."""
        changed = listing.update(self._connection, self._checks, [one.invariant for one in judged.values()])
        if not changed:
            return
        known = self._running.names
        del self._running
        for family, network, header in changed:
            trigger = Trigger(header, None, False)
            new = [
                name
                for name, one in self._running.invariants.items()
                if name not in known and one.title == family and network in one.networks
            ]
            if new:
                self._add_checks(network, {name: [trigger] for name in new})
        self._tidy(self._running)

    def judge_seen(self, network: str) -> None:
        """Do nothing: `settle` has judged all."""

    def judge_filled(self, network: str) -> None:
        """Do nothing: events that were back-filled are measured as they come."""

    def store_unjudged(self, found: Sequence[CountedEvent], names: Sequence[str]) -> None:
        """Store events that are found again."""
        invariant_events.add_events(self._connection, [one.row for one in found])

    def judge_again(self, page: Page) -> int | None:
        """Begin anew with the invariants that are configured otherwise: their state in the past cannot be read again."""
        if page.after:
            return None
        checker = self._checker
        if page.names is None:
            names = sorted(checker.known_of_file(self._connection))
        else:
            wanted = checker.own_names(page.names)
            known = sorted(invariants.known_names(self._connection))
            names = [name for name in known if checker.configured_as(name) in wanted]
        invariants.forget(self._connection, names)
        gone = [name for name in names if checker.configured_as(name) not in checker.settings.invariants]
        checker.kept_accepted.forget(self._connection, gone)
        raising.end_all(self._work, dict.fromkeys(names, CONFIG_CHANGED))
        return 1

    # --- which blocks are checked

    def _check_new_blocks(self, network: str) -> None:
        headers, last = self._work.headers.get(network, {}), self._work.checkpoints[network].last.number
        triggers = new_blocks(headers, last, self._before.get(network), STATES_KEPT)
        for group in self._running.groups.get(network, ()):
            if due := self._due(group, network, triggers):
                self._add_group(network, group, group.names, due)
            failed: Collection[str] = ()
            if triggers and due != triggers:  # a check that failed for good is repeated at the next block
                failed = self._checks.failed(group.names)
                self._add_group(network, group, failed, triggers)
            names = set(group.names).difference(failed) if self._triggers else ()
            if extra := at_once(self._running.triggers.get(network, {}), names, network, self._triggers, due):
                self._add_checks(network, extra)

    def _due(self, group: Group, network: str, triggers: list[Trigger]) -> list[Trigger]:
        """Return at which blocks the invariants of ``group`` are checked."""
        if isinstance(group.every, tuple):
            headers = self._triggers.get((group.every, network), {})
            return [Trigger(headers[number], None, False) for number in sorted(headers)]
        if not group.is_counted:
            return []
        return [one for one in triggers if is_due(group.every, one)]

    def _add_group(
        self, network: str, group: Group, names: Collection[str], triggers: Sequence[Trigger]
    ) -> None:
        """Store the checks of ``names`` of a group: in one row for each block where nothing else is known of them yet."""
        if not names:
            return
        if not group.is_of_one_state or any(one.is_provisional for one in triggers):
            self._add_checks(network, dict.fromkeys(names, triggers))
            return
        self._drop_provisional(network, names)
        now = self._checker.clock(self._work)
        for name in names:
            self._checker.waiting.setdefault(name, now)
        for header, _, _ in triggers:
            self._checks.add_due(network, header, names)
        self._work.wanted.add((INVARIANTS, network))

    def _add_checks(self, network: str, due: Mapping[str, Sequence[Trigger]]) -> None:
        """Store the checks of invariants, by name, that are ``due``, and what is read for them of this network."""
        self._drop_provisional(network, due.keys())
        checks: list[tuple[str, Check]] = []
        readings: list[Reading] = []
        for name, triggers in due.items():
            self._checker.waiting.setdefault(name, self._checker.clock(self._work))
            invariant = self._running.invariants[name]
            is_alone = len(invariant.networks) == 1
            for header, _, is_provisional in triggers:
                positions = {network: header.number} if is_alone else None
                checks.append(
                    (name, Check(network, header.number, header.timestamp, is_provisional, positions))
                )
                readings.append(reading := self._reading(name, invariant, network, header))
                if not reading.is_wanted:
                    self._reasons.setdefault(name, "")
        self._checks.add(self._connection, checks)
        invariants.add_readings(self._connection, readings)
        self._work.wanted.add((INVARIANTS, network))

    def _drop_provisional(self, network: str, names: Collection[str]) -> None:
        """Drop checks at blocks of ``network`` for which newer ones stand, unless they are done."""
        if gone := self._checks.provisional(network, names):
            self._checks.drop(self._connection, gone)
            alone = [read_for_alone(name, [one], self._checks.of(name)) for name, one in gone]
            invariants.drop_readings(self._connection, [place for some in alone for place in some])

    def _reading(self, name: str, invariant: Invariant, network: str, header: Header) -> Reading:
        reading = Reading(name, network, header.number, header.hash, header.timestamp)
        if any(network in value.reads for value in invariant.on(network)):
            return reading
        return reading._replace(is_wanted=False, content=self._completed(invariant, reading))

    def _place(self, name: str, invariant: Invariant) -> None:
        """Give checks of several networks the last block of each up to their time, once that is certain.

        So all values are of one moment: what happened before it is in all of them.
        """
        for check in [one for one in self._checks.of(name) if one.positions is None]:
            if not all(self._is_final(network, check) for network in invariant.networks):
                continue
            self._reasons.setdefault(name, "")
            headers: dict[str, Header] = {}
            for network in invariant.networks:
                header = blocks.header_at_time(self._connection, network, check.timestamp)
                if header is not None and self._is_last(network, header, check.timestamp):
                    headers[network] = header
            if len(headers) < len(invariant.networks):  # of blocks that were read in ranges, few are known
                self._checks.drop(self._connection, [(name, check)])
                invariants.drop_readings(self._connection, [(name, check.network, check.block)])
            elif error := misaligned(self._checker.settings.networks, invariant, check, headers):
                self._checks.save(self._connection, [(name, check._replace(positions={}, error=error))])
            else:
                positions = {network: header.number for network, header in headers.items()}
                self._checks.save(self._connection, [(name, check._replace(positions=positions))])
                readings = [self._reading(name, invariant, n, header) for n, header in headers.items()]
                invariants.add_readings(self._connection, readings)
                self._work.wanted |= {(INVARIANTS, network) for network in headers}

    def _is_final(self, network: str, check: Check) -> bool:
        """Return whether no further block of ``network`` can be as early as ``check``."""
        seen = self._work.seen.get(network, -1)
        block_time = self._checker.settings.networks[network].block_time
        if block_time is None or block_time < 1:  # several blocks may have one timestamp
            return seen > check.timestamp
        known = self._work.checkpoints.get(network)
        is_at_time = known is not None and known.last.timestamp == check.timestamp
        return seen > check.timestamp or network == check.network or is_at_time

    def _is_last(self, network: str, header: Header, timestamp: int) -> bool:
        """Return whether ``header`` is that of the last block of ``network`` up to ``timestamp``: the next one is known."""
        if header.number == self._work.checkpoints[network].last.number:
            return True
        following = blocks.header_of(self._connection, network, header.number + 1)
        return following is not None and following.timestamp > timestamp

    # --- upkeep

    def _reorg_window(self, network: str) -> int:
        """Return how many blocks of ``network`` a reorg may reach."""
        return self._checker.settings.networks[network].reorg_window

    def _tidy(self, running: Running) -> None:
        if not tidying.is_tidy(self._work, running):
            self._forget_kept()
            tidying.tidy(self._work, running, self._checker.kept_accepted)
        tidying.raise_uncheckable(self._work, running)
