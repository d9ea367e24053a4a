"""What the events of one transfer mean: its status, its deadlines, the alerts that hold. Pure.

Everything here is a function of the *set* of a transfer's events and of how far each network has been seen, so
that no order, delay or repetition of batches changes the outcome (S3), and a reorg is the same function over fewer
events (S4).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

import msgspec

from chainwatch import model
from chainwatch.checker import finding
from chainwatch.checker.finding import LATE, Finding
from chainwatch.checker.flow import (
    DESTINATION,
    EXCLUDED,
    FAILED_CHECKS,
    ORIGIN,
    UNKNOWN_NETWORK,
    Flow,
    Step,
    StepPlace,
    expected_network,
)
from chainwatch.model import DISPUTED, RESOLVED, Occurrence, Raised, Signal, Transfer
from chainwatch.support import bounds

__all__ = [
    "IN_TIME",
    "LATE",
    "OPENING",
    "REORG",
    "SEARCH",
    "Settled",
    "StepView",
    "World",
    "resolved_by_hand",
    "settle",
    "step_views",
    "with_events",
    "without_blocks_above",
]

OPENING = "!opening"
"""The deadline by which the opening step of an early step must be seen on the origin network."""

SEARCH = "search "
"""With the origin's name behind it, the network of that deadline while the origin's earlier blocks are looked through."""

FILLING = "filling "
"""With a network's name behind it, the network of a deadline that waits until blocks that were read before something in
them was watched are read again."""

REORG = "reorg"
IN_TIME = "in time"


class Watched(NamedTuple):
    """The first block in which a step's events are watched, and its time.

    ``unread_until``: blocks up to that time, read before they were watched, are still to be read again; None for none.
    """

    block: int
    timestamp: int
    unread_until: int | None = None


class World(NamedTuple):
    """How far networks have been read, by name: ``seen`` until which chain time, ``first`` block and its time.

    ``watched`` is for the steps that are not watched since their network's first block.
    """

    seen: Mapping[str, int]
    first: Mapping[str, tuple[int, int]]
    watched: Mapping[StepPlace, Watched] = {}

    def watch_of(self, network: str, step: Step) -> Watched:
        """Since when events of ``step`` are watched on ``network``."""
        known = self.watched.get((network, step.contract, step.event.signature))
        return known or Watched(*self.first.get(network, (0, 0)))


class Settled(NamedTuple):
    """A transfer after a change, and the signals that tell of it."""

    transfer: Transfer
    signals: list[Signal]


def with_events(transfer: Transfer, added: Iterable[Occurrence]) -> Transfer:
    """``transfer`` with more events; those it has already are not counted twice."""
    occurrences = {_position(o): o for o in transfer.occurrences}
    before = len(occurrences)
    for occurrence in added:
        occurrences.setdefault(_position(occurrence), occurrence)
    if len(occurrences) == before:
        return transfer
    return msgspec.structs.replace(transfer, occurrences=tuple(sorted(occurrences.values(), key=_order)))


def without_blocks_above(transfer: Transfer, network: str, block: int) -> Transfer:
    """``transfer`` without the events of ``network`` in blocks after ``block`` (they were reorganised away)."""
    kept = tuple(o for o in transfer.occurrences if o.network != network or o.block <= block)
    return msgspec.structs.replace(transfer, occurrences=kept)


def without_events_at(transfer: Transfer, positions: Container[tuple[str, int, int]]) -> Transfer:
    """``transfer`` without the events at ``positions``: network, block, log index."""
    kept = tuple(o for o in transfer.occurrences if (o.network, o.block, o.log_index) not in positions)
    return msgspec.structs.replace(transfer, occurrences=kept)


def settle(flow: Flow, transfer: Transfer, world: World, now: int, cause: str = IN_TIME) -> Settled:
    """Judge ``transfer`` by its events and by what was seen; tell how that differs from what was raised before.

    ``now`` is the chain time (seconds) at which a condition that no longer holds ends, ``cause`` the reason given for it.
    """
    transfer = _without_uncounted(flow, transfer)
    judge = _Judge(flow, transfer, world)
    judge.judge()
    raised: dict[str, Raised] = transfer.raised
    signals: list[Signal] = []
    status = judge.status
    if raised or judge.findings:
        raised, signals = finding.differences(flow, transfer, judge.findings, judge.opened_at, now, cause)
        if held := _held(transfer.raised, raised, judge.deadlines):
            raised |= held
            signals = [s for s in signals if all(s.labels != one.labels for one in held.values())]
        status = _disputed_or(status, finding.disputes(transfer, judge.findings, raised))
        if raised and not transfer.occurrences:
            status = model.EXCLUDED  # of which only what was resolved is remembered, in case it comes back
    after = Transfer(
        flow=transfer.flow,
        key=transfer.key,
        id=transfer.id,
        status=status,
        origin=judge.origin,
        destination=judge.destination,
        opened_at=judge.opened_at,
        occurrences=transfer.occurrences,
        searched=transfer.searched,
        raised=raised,
        deadlines=judge.deadlines,
    )
    return Settled(after, signals)


def resolved_by_hand(transfer: Transfer, alerts: Iterable[Mapping[str, str]], at: int) -> Transfer:
    """``transfer`` after a person has ended those of its ``alerts``, given by their labels, at ``at`` (Unix seconds).

    They stay ended for as long as the same events are all that is wrong, however often it is judged.
    """
    wanted = list(alerts)
    raised = {
        name: msgspec.structs.replace(one, ends_at=max(at, one.starts_at), by_hand=True)
        if one.ends_at is None and bounds.cut_labels(one.labels) in wanted
        else one
        for name, one in transfer.raised.items()
    }
    status = transfer.status
    if status in (DISPUTED, "orphan"):
        some = [one for one in raised.values() if finding.is_dispute(one.labels["alertname"])]
        overdue = any(
            one.labels["alertname"] == "TransferOverdue" for one in raised.values() if _is_standing(one)
        )
        waits = any(step != OPENING for step in transfer.deadlines)
        base = "overdue" if overdue else "open" if waits else status
        status = _disputed_or(base, [one for one in some if _is_standing(one)])
    return msgspec.structs.replace(transfer, raised=raised, status=status)


def _is_standing(raised: Raised) -> bool:
    return raised.ends_at is None or raised.by_hand


def _disputed_or(status: str, disputes: Sequence[Raised]) -> str:
    """How a transfer stands that would be ``status`` but for what is, or was until a person resolved it, in dispute."""
    if any(not one.by_hand for one in disputes):
        return status if status == "orphan" else DISPUTED
    if disputes and status not in ("open", "overdue"):
        return RESOLVED
    return status


def _without_uncounted(flow: Flow, transfer: Transfer) -> Transfer:
    """``transfer`` without the events that count no more by the flow as it is configured now."""
    for occurrence in transfer.occurrences:
        step = flow.steps.get(occurrence.step)
        if step is not None and not step.counts_on(occurrence.network, _claimed(step, occurrence)):
            break
    else:
        return transfer
    kept = tuple(
        o
        for o in transfer.occurrences
        if (step := flow.steps.get(o.step)) is None or step.counts_on(o.network, _claimed(step, o))
    )
    return msgspec.structs.replace(transfer, occurrences=kept)


def _held(
    before: Mapping[str, Raised], now: Mapping[str, Raised], deadlines: Mapping[str, tuple[str, int]]
) -> dict[str, Raised]:
    """What of ``before`` nobody can say to be over, since what would end it is being looked for in earlier blocks."""
    sought = {step for step, (network, _) in deadlines.items() if network.startswith((SEARCH, FILLING))}
    return {
        name: one
        for name, one in before.items()
        if name not in now and one.ends_at is None and sought and _awaits(one) in sought
    }


def _awaits(raised: Raised) -> str | None:
    """The step whose coming would end ``raised``."""
    names = {"TransferOrphan": OPENING, "TransferOverdue": raised.labels.get("step")}
    return names.get(raised.labels["alertname"])


class StepView(NamedTuple):
    """How an expected step stands: the event that counts (None while missing), when it was due, and on which network."""

    step: Step
    network: str
    due_at: int
    event: Occurrence | None


def step_views(flow: Flow, transfer: Transfer) -> list[StepView]:
    """How each expected step of an opened transfer stands; empty for one that never opened.

    A step that is missing and that nobody waits for (it may lie before the first block watched) is left out.
    """
    events = _by_step(transfer)
    openings = _openings(flow, events)
    if not openings or transfer.status in ("untracked", model.EXCLUDED):
        return []
    views = []
    for step in flow.expected:
        network = expected_network(step, openings[0])
        due_at = openings[0].timestamp + step.within
        event = None
        for asked, some in _groups(step, events, openings):
            if asked is not None:
                event = some[0]
                break
        if event is not None or _awaited(step, transfer):
            views.append(StepView(step, network, due_at, event))
    return views


def _awaited(step: Step, transfer: Transfer) -> bool:
    overdue = f"TransferOverdue/{step.name}/"
    return step.name in transfer.deadlines or any(name.startswith(overdue) for name in transfer.raised)


# --- judging ------------------------------------------------------------------------------------------


class _Judge:
    """Judges one transfer: gathers its findings and deadlines, and how it stands."""

    def __init__(self, flow: Flow, transfer: Transfer, world: World) -> None:
        self.flow = flow
        self.transfer = transfer
        self.world = world
        self.events = _by_step(transfer)
        self.status = "open"
        self.origin: str | None = None
        self.destination: str | None = None
        self.opened_at: int | None = None
        self.findings: list[Finding] = []
        self.deadlines: dict[str, tuple[str, int]] = {}

    def judge(self) -> None:
        openings = _openings(self.flow, self.events)
        if openings:
            self._judge_opened(openings)
        else:
            self._judge_unopened()

    def _judge_opened(self, openings: Sequence[Occurrence]) -> None:
        opening = openings[0]
        destination = _destination(opening)
        excluded = EXCLUDED in opening.facts
        tracked = not (excluded or destination.startswith(UNKNOWN_NETWORK) or self._is_unseen(opening))
        self.origin, self.destination, self.opened_at = (
            opening.network,
            destination or None,
            opening.timestamp,
        )
        self.status = "complete" if tracked else model.EXCLUDED if excluded else "untracked"
        for step in self.flow.expected:
            first = None
            for asked, events in _groups(step, self.events, openings):
                if asked is None:
                    self._judge_stray(step, events, openings)
                    continue
                if tracked:
                    first = first or events[0]
                if self._cannot_have_funded(asked, events[0]):
                    verdict = self._judge_unasked(step, events, asked)
                    if verdict != "unopened":
                        if tracked and verdict == "orphan":
                            self._judge_assertion(step, asked, destination, events)
                        continue
                was_orphan = self._judge_wait(step, asked, events[0])
                if tracked:
                    self._judge_asked(step, asked, destination, events, was_orphan=was_orphan)
            if tracked:
                self._judge_deadline(step, opening, destination, first)
        if tracked:
            self._judge_openings(openings, destination)

    def _judge_deadline(
        self, step: Step, opening: Occurrence, destination: str, event: Occurrence | None
    ) -> None:
        """Whether ``event``, the first of ``step``, came in time; while it is missing, whether its time is over (S5)."""
        network = expected_network(step, opening)
        if network not in step.places:
            return  # nobody can see it there
        due_at = opening.timestamp + step.within
        watched = self.world.watch_of(network, step)
        if event is not None and event.timestamp <= due_at:
            return
        if event is None and watched.block > 0 and opening.timestamp < watched.timestamp:
            return  # it may have come when nobody watched
        if watched.unread_until is not None and opening.timestamp <= watched.unread_until:
            self.deadlines[step.name] = (FILLING + network, due_at)
            self.status = "open" if self.status == "complete" else self.status
        elif event is not None:
            self.findings.append(finding.overdue(self.transfer, step, network, opening, destination, event))
        elif self.world.seen.get(network, 0) > due_at:
            self.findings.append(finding.overdue(self.transfer, step, network, opening, destination, None))
            self.status = "overdue"
        else:
            self.deadlines[step.name] = (network, due_at)
            if self.status == "complete":
                self.status = "open"

    def _is_unseen(self, opening: Occurrence) -> bool:
        """Whether no step is watched on the networks on which ``opening`` asks for them."""
        return not any(expected_network(step, opening) in step.places for step in self.flow.expected)

    def _cannot_have_funded(self, opening: Occurrence, event: Occurrence) -> bool:
        """Whether ``opening`` is later than ``event``, which names it, by more than clocks differ."""
        return opening.timestamp > event.timestamp + self.flow.clock_skew

    def _judge_stray(self, step: Step, events: Sequence[Occurrence], openings: Sequence[Occurrence]) -> None:
        """Judge ``events`` of ``step`` that no opening step asks for; a log that is another step already is no stray."""
        counted = self._counted(openings)
        if strays := [event for event in events if _place(event) not in counted]:
            self._judge_unasked(step, strays)
        elif (opening := counted[_place(events[0])]).timestamp > events[0].timestamp:
            self._judge_wait(step, opening, events[0])

    def _counted(self, openings: Sequence[Occurrence]) -> dict[tuple[str, int, int], Occurrence]:
        """The logs that are opening steps or steps that these ask for, each with its opening step."""
        counted = {
            _place(event): asked
            for step in self.flow.expected
            for asked, events in _groups(step, self.events, openings)
            if asked is not None
            for event in events
        }
        return counted | {_place(opening): opening for opening in openings}

    def _judge_wait(self, step: Step, opening: Occurrence, first: Occurrence) -> bool:
        """Whether ``first``, the event of ``step`` that ``opening`` asks for, was an orphan until that came."""
        if opening.timestamp <= first.timestamp + self.flow.orphan_grace or self._unsearchable(first):
            return False
        origin = self._origin_of(first)
        self.findings.append(finding.orphan(self.flow, self.transfer, step, first, origin, opening.timestamp))
        return True

    def _judge_asked(
        self,
        step: Step,
        opening: Occurrence,
        destination: str,
        events: Sequence[Occurrence],
        *,
        was_orphan: bool,
    ) -> None:
        """Judge the ``events`` of an expected step that ``opening`` asks for; those of an orphan keep its labels."""
        first = events[0]
        origin, place = opening.network, destination
        if was_orphan:
            origin, place = self._origin_of(first), first.network
        if len(events) > 1 and not step.may_repeat:
            self.findings.append(finding.repeated(self.transfer, step, origin, place, events))
        for event in events:
            self._judge_content(step, event)
        self._judge_assertion(step, opening, destination, events)

    def _judge_assertion(
        self, step: Step, opening: Occurrence, destination: str, events: Sequence[Occurrence]
    ) -> None:
        for event in events:
            wrong = finding.failed_assertion(self.transfer, step, opening, event, destination)
            if wrong is not None:
                self.findings.append(wrong)

    def _judge_openings(self, openings: Sequence[Occurrence], destination: str) -> None:
        step, transfer, origin = self.flow.opening, self.transfer, openings[0].network
        if len(openings) > 1 and not self.flow.openings_may_repeat:
            self.findings.append(finding.repeated(transfer, step, origin, destination, openings))
        for event in openings:
            self.findings += finding.failed_checks(transfer, step, event, event.network, destination)
            claimed = event.facts.get(ORIGIN, event.network)
            if claimed != event.network:
                self.findings.append(finding.wrong_origin(transfer, step, event, claimed, destination))

    def _judge_unopened(self) -> None:
        """A transfer of which only later steps are known: early ones are held, then looked up, then orphans."""
        steps = self._steps()
        if not steps:
            return
        claims = [claimed for o in steps if (claimed := _claimed(self.flow.steps[o.step], o))]
        self.origin = claims[0] if claims else self._origin_of(steps[0]) or None
        self.destination = steps[0].network
        verdicts = {
            self._judge_unasked(step, events)
            for step in self.flow.expected
            for _, events in _groups(step, self.events, ())
        }
        self.status = next((v for v in ("orphan", "open", "unopened") if v in verdicts), "untracked")

    def _judge_unasked(
        self, step: Step, events: Sequence[Occurrence], later: Occurrence | None = None
    ) -> str:
        """Judge ``events`` of ``step``, on one network and from one origin, that no opening step asked for.

        ``later`` is one that asks for them, but came too late to have funded them.
        Returns ``untracked``, ``open`` (held), ``unopened`` or ``orphan``.
        """
        first = events[0]
        if later is None and self._is_elsewhere(step, first):
            return "untracked"
        for event in events:
            self._judge_content(step, event)
        due_at = first.timestamp + self.flow.orphan_grace
        for network in self._origins_of(first):
            if self.world.seen.get(network, 0) <= due_at:
                self._keep_earliest(network, due_at)
                return "open"
        for network in self._origins_of(first):
            if self._may_open_unread(first, network):
                self._keep_earliest(FILLING + network, due_at)
                return "open"
        if self._unsearchable(first):
            return "unopened"
        if self._may_open_before(first) and not self.transfer.searched:
            self._keep_earliest(SEARCH + self._origins_of(first)[0], due_at)
            return "open"
        origin = self._origin_of(first)
        # Those after the first are repetitions, where they are not allowed.
        for event in events if step.may_repeat else events[:1]:
            self.findings.append(finding.orphan(self.flow, self.transfer, step, event, origin, None, later))
        if len(events) > 1 and not step.may_repeat:
            self.findings.append(finding.repeated(self.transfer, step, origin, first.network, events))
        return "orphan"

    def _is_elsewhere(self, step: Step, event: Occurrence) -> bool:
        """Whether ``event`` belongs to transfers that the flow does not watch, such as those of the other direction."""
        claimed = _claimed(step, event)
        return bool(claimed and claimed not in self.flow.origins) or event.network == step.away_from

    def _judge_content(self, step: Step, event: Occurrence) -> None:
        """What is wrong with the event by itself, whatever else is known."""
        if FAILED_CHECKS not in event.facts:
            return
        origin = self._origin_of(event)
        self.findings += finding.failed_checks(self.transfer, step, event, origin, event.network)

    def _unsearchable(self, event: Occurrence) -> bool:
        """Whether the opening step of ``event`` may lie where nobody can look for it."""
        can_look = self.flow.search is not None and self.flow.lookback
        return not can_look and self._may_open_before(event)

    def _may_open_unread(self, event: Occurrence, network: str) -> bool:
        """Whether the opening step of ``event`` may lie on ``network`` in blocks that are still to be read again."""
        unread_until = self.world.watch_of(network, self.flow.opening).unread_until
        if unread_until is None:
            return False
        return not self.flow.lookback or event.timestamp <= unread_until + self.flow.lookback

    def _may_open_before(self, event: Occurrence) -> bool:
        """Whether the opening step of ``event`` may lie before the first block watched on one of its origins.

        The first step on the same network decides for those that follow it.
        """
        steps = self.flow.steps
        place = event.network, _claimed(steps[event.step], event)
        first = next(o for o in self._steps() if (o.network, _claimed(steps[o.step], o)) == place)
        for network in self._origins_of(event):
            block, timestamp, _ = self.world.watch_of(network, self.flow.opening)
            reach = self._reach(network, block)
            if block > 0 and reach and first.timestamp <= timestamp + reach:
                return True
        return False

    def _reach(self, network: str, watched_from: int) -> int:
        """How long before ``watched_from`` an opening step on ``network`` may lie, in seconds.

        Without a lookback nowhere, unless its events have been watched for less long than the network.
        """
        if self.flow.lookback or watched_from <= self.world.first.get(network, (0, 0))[0]:
            return self.flow.lookback
        return max(step.within for step in self.flow.expected)

    def _steps(self) -> list[Occurrence]:
        """The events of expected steps, in order."""
        opening = self.flow.opening.name
        return [o for o in self.transfer.occurrences if o.step != opening and o.step in self.flow.steps]

    def _origins_of(self, event: Occurrence) -> tuple[str, ...]:
        """The networks on which the opening step of ``event`` can be, by the event alone, whichever step it is."""
        origins: dict[str, None] = {}
        for one in self.transfer.occurrences:
            if (
                _place(one) == _place(event)
                and one.step != self.flow.opening.name
                and one.step in self.flow.steps
            ):
                claimed = _claimed(self.flow.steps[one.step], one)
                origins |= dict.fromkeys((claimed,) if claimed else self.flow.origins)
        return tuple(origins)

    def _origin_of(self, event: Occurrence) -> str:
        """The network from which ``event`` comes, by the event alone; empty where that leaves several."""
        origins = self._origins_of(event)
        return origins[0] if len(origins) == 1 else ""

    def _keep_earliest(self, network: str, due_at: int) -> None:
        """Have the missing opening step judged again at ``due_at``, unless that is to happen earlier."""
        known = self.deadlines.get(OPENING)
        if known is None or due_at < known[1]:
            self.deadlines[OPENING] = (network, due_at)


def _openings(flow: Flow, by_step: Mapping[str, list[Occurrence]]) -> list[Occurrence]:
    """The opening events; those that ``where`` leaves out only when there are no others."""
    found = by_step.get(flow.opening.name, [])
    if len(found) <= 1:
        return found
    return [o for o in found if EXCLUDED not in o.facts] or found


def _by_step(transfer: Transfer) -> dict[str, list[Occurrence]]:
    """The events of each step, in order."""
    events: dict[str, list[Occurrence]] = {}
    for occurrence in transfer.occurrences:
        events.setdefault(occurrence.step, []).append(occurrence)
    return events


def _groups(
    step: Step, by_step: Mapping[str, list[Occurrence]], openings: Sequence[Occurrence]
) -> list[tuple[Occurrence | None, list[Occurrence]]]:
    """The events of ``step``, those of one network and one claimed origin together, with the opening that asks for them.

    Ordered by their first events, whose networks report in order: what is first among them stays first (S3).
    """
    events = by_step.get(step.name)
    if events is None:
        return []
    if len(events) == 1:
        return [(_asking(openings, step, events[0]), events)]
    groups: dict[tuple[str, str], list[Occurrence]] = {}
    for event in events:
        groups.setdefault((event.network, _claimed(step, event)), []).append(event)
    return [(_asking(openings, step, some[0]), some) for some in groups.values()]


def _asking(openings: Sequence[Occurrence], step: Step, event: Occurrence) -> Occurrence | None:
    """The first of ``openings`` that asks for ``event`` to be its ``step``."""
    claimed = _claimed(step, event)
    for opening in openings:
        if event.network == expected_network(step, opening) and claimed in ("", opening.network):
            return opening
    return None


def _destination(opening: Occurrence) -> str:
    destination: str = opening.facts.get(DESTINATION, "")
    return destination


def _claimed(step: Step, event: Occurrence) -> str:
    """The network from which ``event`` comes as it says, or as its place does; empty when neither says it."""
    claimed: str = event.facts.get(ORIGIN, "")
    return event.network if step.expected_on == "origin" and not claimed else claimed


_place = attrgetter("network", "block", "log_index")
_position = attrgetter("step", "network", "block", "log_index")
_order = attrgetter("timestamp", "network", "block", "log_index", "step")
