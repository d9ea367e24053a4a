"""Judges the events of one transfer: what is wrong with it, what is awaited until when, and its status. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from chainwatch import model
from chainwatch.checker import finding
from chainwatch.checker.coverage import Coverage
from chainwatch.checker.finding import Finding
from chainwatch.checker.flow import (
    EXCLUDED,
    FAILED_CHECKS,
    ORIGIN,
    SHARED,
    UNKNOWN_NETWORK,
    Flow,
    Step,
    expected_network,
)
from chainwatch.checker.step_events import (
    by_step,
    claimed_origin,
    destination_of,
    group_events,
    log_position,
    openings_of,
)
from chainwatch.model import Occurrence, Transfer

OPENING = "!opening"
"""Begins the names of deadlines by which the opening step of an early step must be seen: see `opening_deadline`."""

SEARCH = "search "
"""Followed by the origin's name: the network of that deadline while the origin's earlier blocks are to be searched."""

FILLING = "filling "
"""Followed by a network's name: the network of a deadline that waits for a back-fill of that network."""


def opening_deadline(network: str) -> str:
    """Return the name of the deadline by which the opening step of an early step must be seen on ``network``."""
    return f"{OPENING} {network}"


class Judge:
    """Judges one transfer: `judge` sets its status, its findings and its deadlines."""

    def __init__(self, flow: Flow, transfer: Transfer, coverage: Coverage) -> None:
        self.flow = flow
        self.transfer = transfer
        self.coverage = coverage
        self.events = by_step(transfer)
        self.status = "open"
        self.origin: str | None = None
        self.destination: str | None = None
        self.opened_at: int | None = None
        self.findings: list[Finding] = []
        self.deadlines: dict[str, tuple[str, int]] = {}

    def judge(self) -> None:
        """Set the attributes that say what the events mean."""
        openings = openings_of(self.flow, self.events)
        if openings:
            self._judge_opened(openings)
        else:
            self._judge_unopened()

    def _judge_opened(self, openings: Sequence[Occurrence]) -> None:
        opening = openings[0]
        destination = destination_of(opening)
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
            for asked, events in group_events(step, self.events, openings):
                if asked is None:
                    if step.covers is None:  # a range may hold what others opened
                        self._judge_stray(step, events, openings)
                    continue
                if tracked:
                    first = first or events[0]
                if self._cannot_have_funded(asked, events[0]):
                    verdict = self._judge_unmatched(step, events, asked)
                    if verdict != "unopened":
                        if tracked and verdict == "orphan":
                            self._judge_assertion(step, asked, destination, events)
                        continue
                was_orphan = self._judge_wait(step, asked, events[0])
                if tracked:
                    self._judge_matched(step, asked, destination, events, was_orphan=was_orphan)
            if tracked:
                self._judge_deadline(step, opening, destination, first)
        if tracked:
            self._judge_openings(openings, destination)

    def _judge_deadline(
        self, step: Step, opening: Occurrence, destination: str, event: Occurrence | None
    ) -> None:
        """Judge whether ``event``, the first of ``step``, was in time; while it is missing, whether it is overdue (S5)."""
        network = expected_network(step, opening)
        if network not in step.networks:
            return  # it cannot be seen there
        due_at = opening.timestamp + step.within
        watched = self.coverage.watch_of(network, step)
        if event is not None and event.timestamp <= due_at:
            return
        if event is None and watched.block > 0 and opening.timestamp < watched.timestamp:
            return  # it may have happened before it was watched
        if watched.unread_until is not None and opening.timestamp <= watched.unread_until:
            self.deadlines[step.name] = (FILLING + network, due_at)
            self.status = "open" if self.status == "complete" else self.status
        elif event is not None:
            self.findings.append(finding.overdue(self.transfer, step, network, opening, destination, event))
        elif (waiting := self._awaits_alias(step, opening, due_at)) is not None:
            self.deadlines[step.name] = waiting
            self.status = "open" if self.status == "complete" else self.status
        elif self.coverage.seen.get(network, 0) > due_at:
            self.findings.append(finding.overdue(self.transfer, step, network, opening, destination, None))
            self.status = "overdue"
        else:
            self.deadlines[step.name] = (network, due_at)
            if self.status == "complete":
                self.status = "open"

    def _awaits_alias(self, step: Step, opening: Occurrence, due_at: int) -> tuple[str, int] | None:
        """Return where and until when what gives the alias of ``step`` may be seen: its event may be there already."""
        if not step.by or step.by in self.events:
            return None
        by = self.flow.steps[step.by]
        network, latest = expected_network(by, opening), due_at + self.flow.clock_skew
        can_come = network in by.networks and self.coverage.seen.get(network, 0) <= latest
        return (network, latest) if can_come else None

    def _is_unseen(self, opening: Occurrence) -> bool:
        """Return whether no step is watched on the network on which ``opening`` expects it."""
        return not any(expected_network(step, opening) in step.networks for step in self.flow.expected)

    def _cannot_have_funded(self, opening: Occurrence, event: Occurrence) -> bool:
        """Return whether ``opening`` happened after ``event`` of the same transfer, by more than clocks may differ."""
        return opening.timestamp > event.timestamp + self.flow.clock_skew

    def _judge_stray(self, step: Step, events: Sequence[Occurrence], openings: Sequence[Occurrence]) -> None:
        """Judge ``events`` of ``step`` that no opening step expects, unless their logs count as another step already."""
        counted = self._counted(openings)
        if strays := [event for event in events if log_position(event) not in counted]:
            self._judge_unmatched(step, strays)
        elif (opening := counted[log_position(events[0])]).timestamp > events[0].timestamp:
            was_orphan = self._judge_wait(step, opening, events[0])
            if was_orphan and len(events) > 1 and not step.may_repeat:
                # Before the opening step was seen, this was raised with the orphan.
                origin, place = self._origin_of(events[0]), events[0].network
                self.findings.append(finding.repeated(self.transfer, step, origin, place, events))

    def _counted(self, openings: Sequence[Occurrence]) -> dict[tuple[str, int, int], Occurrence]:
        """Return the positions of logs that are opening steps or steps that these expect, each with its opening step."""
        counted = {
            log_position(event): asked
            for step in self.flow.expected
            for asked, events in group_events(step, self.events, openings)
            if asked is not None
            for event in events
        }
        return counted | {log_position(opening): opening for opening in openings}

    def _judge_wait(self, step: Step, opening: Occurrence, first: Occurrence) -> bool:
        """Judge whether ``first``, the event of ``step`` that ``opening`` expects, was an orphan before ``opening``."""
        in_time = opening.timestamp <= self._orphan_after(first, self.flow.opening)
        if in_time or step.covers is not None or step.may_be_orphan or self._unsearchable(first):
            return False
        origin = self._origin_of(first)
        opener, opened_at = self.flow.opening, opening.timestamp
        self.findings.append(finding.orphan(self.flow, self.transfer, step, opener, first, origin, opened_at))
        return True

    def _judge_matched(
        self,
        step: Step,
        opening: Occurrence,
        destination: str,
        events: Sequence[Occurrence],
        *,
        was_orphan: bool,
    ) -> None:
        """Judge the ``events`` of a step that ``opening`` expects; if they were an orphan, the labels stay the same."""
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
        """Judge a transfer without an opening step: steps wait, then the opening is searched for, then they are orphans."""
        steps = self._steps()
        if not steps:
            return
        claims = [claimed for o in steps if (claimed := claimed_origin(self.flow.steps[o.step], o))]
        self.origin = claims[0] if claims else self._origin_of(steps[0]) or None
        self.destination = steps[0].network
        verdicts = {
            self._judge_unmatched(step, some)
            for step in self.flow.expected
            for _, events in group_events(step, self.events, ())
            for some in self._judged_together(events)
        }
        self.status = next((v for v in ("orphan", "open", "unopened") if v in verdicts), "untracked")

    def _judged_together(self, events: Sequence[Occurrence]) -> Sequence[Sequence[Occurrence]]:
        """Return ``events`` of a step in the parts of which one verdict holds.

        Of events that name an unknown alias, each may still be found to be that of a transfer.
        """
        return [events] if self._sought(events[0]) is self.flow.opening else [[event] for event in events]

    def _judge_unmatched(
        self, step: Step, events: Sequence[Occurrence], later: Occurrence | None = None
    ) -> str:
        """Judge ``events`` of ``step``, on one network and from one origin, that no opening step can have funded.

        ``later`` is an opening step that expects them, but happened too late.
        Returns ``untracked``, ``open`` (undecided yet), ``unopened`` or ``orphan``.
        """
        first = events[0]
        if later is None and self._is_elsewhere(step, first):
            return "untracked"
        for event in events:
            self._judge_content(step, event)
        if step.may_be_orphan:
            return "untracked" if later is None else "unopened"
        sought = self._sought(first)
        due_at = self._orphan_after(first, sought)
        for network in self._origins_of(first):
            if self.coverage.seen.get(network, 0) <= due_at:
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
        # Where repetition is not allowed, those after the first are one alert of repetition.
        for event in events if step.may_repeat else events[:1]:
            orphan = finding.orphan(self.flow, self.transfer, step, sought, event, origin, None, later)
            self.findings.append(orphan)
        if len(events) > 1 and not step.may_repeat:
            self.findings.append(finding.repeated(self.transfer, step, origin, first.network, events))
        return "orphan"

    def _orphan_after(self, event: Occurrence, sought: Step) -> int:
        """Return the chain time after which ``event`` is an orphan if no ``sought`` was seen.

        Where ``sought`` decides to which transfer the event belongs, it may be later by as much as clocks may differ.
        """
        decides = self.flow.numbered or sought is not self.flow.opening
        return event.timestamp + max(self.flow.orphan_grace, self.flow.clock_skew if decides else 0)

    def _is_elsewhere(self, step: Step, event: Occurrence) -> bool:
        """Return whether ``event`` belongs to transfers that the flow does not watch, as those of the other direction."""
        claimed = claimed_origin(step, event)
        return bool(claimed and claimed not in self.flow.origins) or event.network == step.away_from

    def _judge_content(self, step: Step, event: Occurrence) -> None:
        """Find what is wrong with the event alone: what built-in checks found, an alias that another transfer has."""
        if SHARED in event.facts:
            self.findings.append(finding.shared_alias(self.transfer, step, event, self._origin_of(event)))
        if FAILED_CHECKS not in event.facts:
            return
        origin = self._origin_of(event)
        self.findings += finding.failed_checks(self.transfer, step, event, origin, event.network)

    def _unsearchable(self, event: Occurrence) -> bool:
        """Return whether the opening step of ``event`` may lie in earlier blocks that cannot be searched."""
        can_search = (
            self.flow.search is not None
            and self.flow.lookback
            and self._sought(event) is self.flow.opening  # other steps are not searched for
        )
        return not can_search and self._may_open_before(event)

    def _may_open_unread(self, event: Occurrence, network: str) -> bool:
        """Return whether the opening step of ``event`` may lie on ``network`` in blocks that are still to be read again."""
        unread_until = self.coverage.watch_of(network, self._sought(event)).unread_until
        if unread_until is None:
            return False
        return not self.flow.lookback or event.timestamp <= unread_until + self.flow.lookback

    def _may_open_before(self, event: Occurrence) -> bool:
        """Return whether the opening step of ``event`` may lie before the first block watched on one of its origins.

        The first step on the same network decides for those that follow it.
        """
        steps = self.flow.steps
        place = event.network, claimed_origin(steps[event.step], event)
        first = next(o for o in self._steps() if (o.network, claimed_origin(steps[o.step], o)) == place)
        for network in self._origins_of(event):
            block, timestamp, _ = self.coverage.watch_of(network, self._sought(event))
            reach = self._reach(network, block)
            if block > 0 and reach and first.timestamp <= timestamp + reach:
                return True
        return False

    def _reach(self, network: str, watched_from: int) -> int:
        """Return how long before block ``watched_from`` an opening step on ``network`` may lie, in seconds.

        Without a lookback zero, unless its events have been watched for less long than the network.
        """
        if self.flow.lookback or watched_from <= self.coverage.first.get(network, (0, 0))[0]:
            return self.flow.lookback
        return max(step.within for step in self.flow.expected)

    def _steps(self) -> list[Occurrence]:
        """Return the events of expected steps, in order."""
        opening = self.flow.opening.name
        return [o for o in self.transfer.occurrences if o.step != opening and o.step in self.flow.steps]

    def _sought(self, event: Occurrence) -> Step:
        """Return the step that is missing before ``event``: its opening step, or the one of which it has the alias."""
        by = self.flow.steps[event.step].by
        return self.flow.steps[by] if by and by not in self.events else self.flow.opening

    def _origins_of(self, event: Occurrence) -> tuple[str, ...]:
        """Return the networks on which the step `_sought` for ``event`` can be, as far as the event itself says."""
        sought = self._sought(event)
        if sought is not self.flow.opening:
            if self.flow.alias_is_local(sought):
                return (event.network,)
            return tuple(sorted(sought.only_on or sought.networks))
        origins: dict[str, None] = {}
        for one in self.transfer.occurrences:
            if (
                log_position(one) == log_position(event)
                and one.step != self.flow.opening.name
                and one.step in self.flow.steps
            ):
                claimed = claimed_origin(self.flow.steps[one.step], one)
                origins |= dict.fromkeys((claimed,) if claimed else self.flow.origins)
        return tuple(origins)

    def _origin_of(self, event: Occurrence) -> str:
        """Return the network from which ``event`` comes, as far as it says itself; empty where several are possible."""
        if self._sought(event) is not self.flow.opening:
            return ""
        origins = self._origins_of(event)
        return origins[0] if len(origins) == 1 else ""

    def _keep_earliest(self, network: str, due_at: int) -> None:
        """Await the missing opening step on ``network`` until ``due_at`` (chain time), unless that is due earlier there.

        Each network has a deadline of its own: one that cannot be read must not delay what another one shows.
        """
        name = opening_deadline(network)
        known = self.deadlines.get(name)
        if known is None or due_at < known[1]:
            self.deadlines[name] = (network, due_at)
