"""What the events of one transfer mean: its status, its deadlines, the alerts that hold. Pure.

Everything here is a function of the *set* of a transfer's events and of how far each network has been seen, so
that no order, delay or repetition of batches changes the outcome (S3), and a reorg is the same function over fewer
events (S4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from chainwatch.checker.flow import (
    AMOUNT,
    ASSET,
    DESTINATION,
    FAILED_CHECK,
    ORIGIN,
    UNKNOWN_NETWORK,
    Flow,
    Step,
)
from chainwatch.checker.path import EvaluationError
from chainwatch.model import Occurrence, Raised, Signal, Transfer, to_hex

OPENING = "!opening"
"""The deadline by which the opening step of an early step must be seen on the origin network."""

SEARCH = ""
"""Stands for the network of that deadline while the origin's earlier blocks are to be looked through."""

REORG = "reorg"
IN_TIME = "in time"
LATE = "late"


class World(NamedTuple):
    """How far networks have been read, by name: ``seen`` until which chain time, ``first`` watched block and its time."""

    seen: Mapping[str, int]
    first: Mapping[str, tuple[int, int]]


class Settled(NamedTuple):
    """A transfer after a change, and the signals that tell of it."""

    transfer: Transfer
    signals: list[Signal]


def with_events(transfer: Transfer, added: Iterable[Occurrence]) -> Transfer:
    """``transfer`` with more events; those it has already are not counted twice."""
    occurrences = {_position(o): o for o in transfer.occurrences}
    for occurrence in added:
        occurrences.setdefault(_position(occurrence), occurrence)
    ordered = (
        tuple(sorted(occurrences.values(), key=_order))
        if len(occurrences) > 1
        else tuple(occurrences.values())
    )
    return msgspec.structs.replace(transfer, occurrences=ordered)


def without_blocks_above(transfer: Transfer, network: str, block: int) -> Transfer:
    """``transfer`` without the events of ``network`` in blocks after ``block`` (they were reorganised away)."""
    kept = tuple(o for o in transfer.occurrences if o.network != network or o.block <= block)
    return msgspec.structs.replace(transfer, occurrences=kept)


def settle(flow: Flow, transfer: Transfer, world: World, now: int, cause: str = IN_TIME) -> Settled:
    """Judge ``transfer`` by its events and by what was seen; tell how that differs from what was raised before.

    ``now`` is the chain time (seconds) at which a condition that no longer holds ends, ``cause`` the reason given for it.
    """
    judgement = _judge(flow, transfer, world)
    raised: dict[str, Raised] = transfer.raised
    signals: list[Signal] = []
    if raised or judgement.conditions:
        raised, signals = _differences(flow, transfer, judgement, now, cause)
    after = Transfer(
        flow=transfer.flow,
        key=transfer.key,
        id=transfer.id,
        status=judgement.status,
        origin=judgement.origin,
        destination=judgement.destination,
        opened_at=judgement.opened_at,
        occurrences=transfer.occurrences,
        searched=transfer.searched,
        raised=raised,
        deadlines=judgement.deadlines,
    )
    return Settled(after, signals)


class StepView(NamedTuple):
    """How an expected step stands: the event that counts (None while missing), when it was due, and on which network."""

    step: Step
    network: str
    due_at: int
    event: Occurrence | None


def step_views(flow: Flow, transfer: Transfer) -> list[StepView]:
    """How each expected step of an opened transfer stands; empty for one that never opened."""
    openings = _openings(flow, transfer)
    if not openings or _destination(openings[0]).startswith(UNKNOWN_NETWORK):
        return []
    views = []
    for step in flow.expected:
        hits, _ = _split(flow, step, transfer.occurrences, openings)
        network = _expected_network(step, openings[0])
        views.append(StepView(step, network, openings[0].timestamp + step.within, hits[0] if hits else None))
    return views


# --- judging ------------------------------------------------------------------------------------------


class _Condition(NamedTuple):
    """Something worth an alert: its name, what tells it from others of that name, when it held, and what to say."""

    alertname: str
    step: str
    severity: str
    origin: str
    destination: str
    starts_at: int
    ends_at: int | None
    explain: Callable[[], tuple[str, str]]
    """Gives summary and description."""
    events: tuple[Occurrence, ...]
    due_at: int | None = None
    check: str | None = None


class _Judgement(NamedTuple):
    status: str
    origin: str | None
    destination: str | None
    opened_at: int | None
    conditions: list[_Condition]
    deadlines: dict[str, tuple[str, int]]


def _judge(flow: Flow, transfer: Transfer, world: World) -> _Judgement:
    openings = _openings(flow, transfer)
    if openings:
        return _judge_opened(flow, transfer, openings, world)
    return _judge_unopened(flow, transfer, world)


def _judge_opened(flow: Flow, transfer: Transfer, openings: Sequence[Occurrence], world: World) -> _Judgement:
    opening = openings[0]
    origin, destination = opening.network, _destination(opening)
    if destination.startswith(UNKNOWN_NETWORK):
        return _Judgement("untracked", origin, destination, opening.timestamp, [], {})
    conditions: list[_Condition] = []
    deadlines: dict[str, tuple[str, int]] = {}
    status = "complete"
    for step in flow.expected:
        hits, strays = _split(flow, step, transfer.occurrences, openings)
        network = _expected_network(step, opening)
        due_at = opening.timestamp + step.within
        first = hits[0] if hits else None
        if first is not None:
            if first.timestamp > due_at:
                conditions.append(_overdue(flow, step, transfer, opening, destination, due_at, first))
            conditions += _judge_hits(flow, step, transfer, opening, destination, hits, world)
        elif world.seen.get(network, 0) > due_at:
            conditions.append(_overdue(flow, step, transfer, opening, destination, due_at, None))
            status = "overdue"
        else:
            deadlines[step.name] = (network, due_at)
            if status == "complete":
                status = "open"
        for stray in strays:
            _judge_orphan(flow, step, transfer, stray, world, conditions, deadlines)
    conditions += _judge_openings(flow, transfer, openings, destination)
    return _Judgement(status, origin, destination or None, opening.timestamp, conditions, deadlines)


def _judge_hits(
    flow: Flow,
    step: Step,
    transfer: Transfer,
    opening: Occurrence,
    destination: str,
    hits: Sequence[Occurrence],
    world: World,
) -> list[_Condition]:
    """Conditions about the events of an expected step whose opening step is known."""
    found: list[_Condition] = []
    origin = opening.network
    if len(hits) > 1 and not step.may_repeat:
        found.append(_repeated(transfer, step, origin, destination, hits))
    for hit in hits:
        orphan_at = hit.timestamp + flow.orphan_grace
        if opening.timestamp > orphan_at and not _may_open_before(flow, hit, (origin,), world):
            found.append(_orphan(flow, step, transfer, hit, origin, orphan_at, opening.timestamp))
        found += _failed_checks(transfer, step, hit, origin, destination)
        if wrong := _failed_assertion(step, opening, hit):
            check = step.assertion.source if step.assertion else ""
            events = (opening, hit)
            found.append(_mismatch(transfer, step, step.severity, check, wrong, origin, destination, events))
    return found


def _judge_openings(
    flow: Flow, transfer: Transfer, openings: Sequence[Occurrence], destination: str
) -> list[_Condition]:
    """Conditions about the opening events themselves."""
    found: list[_Condition] = []
    step, opening = flow.opening, openings[0]
    if len(openings) > 1 and not flow.openings_may_repeat:
        found.append(_repeated(transfer, step, opening.network, destination, openings))
    for event in openings:
        found += _failed_checks(transfer, step, event, opening.network, destination)
        claimed = event.facts.get(ORIGIN, event.network)
        if claimed != event.network:
            found.append(_wrong_origin(transfer, step, event, claimed, destination))
    return found


def _judge_unopened(flow: Flow, transfer: Transfer, world: World) -> _Judgement:
    """A transfer of which only later steps are known: early ones are held, then looked up, then orphans."""
    steps = [o for o in transfer.occurrences if o.step in flow.steps]
    if not steps:
        return _Judgement("open", None, None, None, [], {})
    first = steps[0]
    claims = [o.facts[ORIGIN] for o in steps if ORIGIN in o.facts]
    origin = claims[0] if claims else (flow.origins[0] if len(flow.origins) == 1 else None)
    if claims and all(c.startswith(UNKNOWN_NETWORK) for c in claims):
        return _Judgement("untracked", origin, first.network, None, [], {})
    conditions: list[_Condition] = []
    deadlines: dict[str, tuple[str, int]] = {}
    verdicts = {
        _judge_orphan(flow, flow.steps[o.step], transfer, o, world, conditions, deadlines) for o in steps
    }
    for step in flow.expected:
        hits = [o for o in steps if o.step == step.name]
        for hit in hits:
            conditions += _failed_checks(transfer, step, hit, origin or "", hit.network)
        if len(hits) > 1 and "orphan" in verdicts and not step.may_repeat:
            conditions.append(_repeated(transfer, step, origin or "", hits[0].network, hits))
    status = next((v for v in ("orphan", "open", "unopened") if v in verdicts), "untracked")
    return _Judgement(status, origin, first.network, None, conditions, deadlines)


def _judge_orphan(
    flow: Flow,
    step: Step,
    transfer: Transfer,
    event: Occurrence,
    world: World,
    conditions: list[_Condition],
    deadlines: dict[str, tuple[str, int]],
) -> str:
    """Judge a step without an opening step: ``untracked``, ``open`` (held), ``unopened`` or ``orphan``.

    Adds the orphan's condition, or the deadline at which to judge again.
    """
    claimed = event.facts.get(ORIGIN)
    if claimed is not None and claimed.startswith(UNKNOWN_NETWORK):
        return "untracked"
    candidates = (claimed,) if claimed else flow.origins
    due_at = event.timestamp + flow.orphan_grace
    for network in candidates:
        if world.seen.get(network, 0) <= due_at:
            _keep_earliest(deadlines, network, due_at)
            return "open"
    if _may_open_before(flow, event, candidates, world):
        if flow.search is None:
            return "unopened"
        if not transfer.searched:
            deadlines[OPENING] = (SEARCH, due_at)
            return "open"
    origin = claimed or (candidates[0] if len(candidates) == 1 else "")
    conditions.append(_orphan(flow, step, transfer, event, origin, due_at, None))
    return "orphan"


def _may_open_before(flow: Flow, event: Occurrence, origins: Iterable[str], world: World) -> bool:
    """Whether the opening step of ``event`` may lie before the first block watched on one of ``origins``."""
    if not flow.lookback:
        return False
    for network in origins:
        block, timestamp = world.first.get(network, (0, 0))
        if block > 0 and event.timestamp <= timestamp + flow.lookback:
            return True
    return False


def _openings(flow: Flow, transfer: Transfer) -> list[Occurrence]:
    name = flow.opening.name
    return [o for o in transfer.occurrences if o.step == name]


def _split(
    flow: Flow, step: Step, occurrences: Sequence[Occurrence], openings: Sequence[Occurrence]
) -> tuple[list[Occurrence], list[Occurrence]]:
    """The events of ``step`` that follow one of ``openings``, and those that were not asked for by any."""
    hits: list[Occurrence] = []
    strays: list[Occurrence] = []
    for event in occurrences:
        if event.step == step.name:
            (hits if any(_follows(step, event, o) for o in openings) else strays).append(event)
    return hits, strays


def _follows(step: Step, event: Occurrence, opening: Occurrence) -> bool:
    return event.network == _expected_network(step, opening) and (
        event.facts.get(ORIGIN, opening.network) == opening.network
    )


def _expected_network(step: Step, opening: Occurrence) -> str:
    if step.expected_on == "destination":
        return _destination(opening)
    return opening.network if step.expected_on == "origin" else step.expected_on


def _destination(opening: Occurrence) -> str:
    return str(opening.facts.get(DESTINATION, ""))


def _keep_earliest(deadlines: dict[str, tuple[str, int]], network: str, due_at: int) -> None:
    known = deadlines.get(OPENING)
    if known is None or (due_at < known[1] and known[0] != SEARCH):
        deadlines[OPENING] = (network, due_at)


def _position(o: Occurrence) -> tuple[str, str, int, int]:
    return o.step, o.network, o.block, o.log_index


def _order(o: Occurrence) -> tuple[int, str, int, int, str]:
    return o.timestamp, o.network, o.block, o.log_index, o.step


# --- conditions ---------------------------------------------------------------------------------------


def _overdue(
    flow: Flow,
    step: Step,
    transfer: Transfer,
    opening: Occurrence,
    destination: str,
    due_at: int,
    late: Occurrence | None,
) -> _Condition:
    def explain() -> tuple[str, str]:
        network = _expected_network(step, opening)
        summary = f"{flow.name}: {step.name} on {network} is overdue for {_short(transfer.key)} from {opening.network}"
        if late is None:
            return summary, (
                f"{opening.step} was seen on {opening.network}, but {step.name} has not been seen on {network} "
                f"within {_duration(step.within)}."
            )
        took = late.timestamp - opening.timestamp
        by = late.timestamp - due_at
        return summary, f"{step.name} came after {_duration(took)}, {_duration(by)} late."

    return _Condition(
        "TransferOverdue",
        step.name,
        step.severity,
        opening.network,
        destination,
        due_at,
        late.timestamp if late else None,
        explain,
        (opening, late) if late else (opening,),
        due_at,
    )


def _orphan(
    flow: Flow, step: Step, transfer: Transfer, event: Occurrence, origin: str, at: int, ends_at: int | None
) -> _Condition:
    def explain() -> tuple[str, str]:
        where = origin or "any origin network"
        return (
            f"{transfer.flow}: {step.name} on {event.network} without {flow.opening.name} on {where}: "
            f"{_short(transfer.key)}",
            f"{step.name} was seen on {event.network}, but no {flow.opening.name} that asks for it was seen on {where}, "
            f"which has been read past it by {_duration(flow.orphan_grace)}: a payout that nobody funded?",
        )

    return _Condition(
        "TransferOrphan",
        step.name,
        flow.orphan_severity,
        origin,
        event.network,
        at,
        ends_at,
        explain,
        (event,),
    )


def _repeated(
    transfer: Transfer, step: Step, origin: str, destination: str, events: Sequence[Occurrence]
) -> _Condition:
    def explain() -> tuple[str, str]:
        return (
            f"{transfer.flow}: {step.name} happened {len(events)} times for {_short(transfer.key)}",
            f"One transfer must see {step.name} once; it was seen in {len(events)} logs.",
        )

    return _Condition(
        "TransferRepeated",
        step.name,
        step.severity or "P1",
        origin,
        destination,
        events[1].timestamp,
        None,
        explain,
        tuple(events),
    )


def _failed_checks(
    transfer: Transfer, step: Step, event: Occurrence, origin: str, destination: str
) -> list[_Condition]:
    return [
        _mismatch(
            transfer, step, "P0", name.removeprefix(FAILED_CHECK), str(wrong), origin, destination, (event,)
        )
        for name, wrong in event.facts.items()
        if name.startswith(FAILED_CHECK)
    ]


def _failed_assertion(step: Step, opening: Occurrence, event: Occurrence) -> str:
    """Why the step's ``assert`` does not hold; empty when it does, or when there is none."""
    assertion = step.assertion
    if assertion is None:
        return ""
    try:
        if assertion.evaluate_facts(event.facts, opening.facts):
            return ""
    except EvaluationError as error:
        return str(error)
    values = [f"{p.text} = {_shown(event.facts[p.text])}" for p in assertion.paths if p.text in event.facts]
    values += [
        f"opening.{p.text} = {_shown(opening.facts[p.text])}"
        for p in assertion.opening_paths
        if p.text in opening.facts
    ]
    return f"`{assertion.source}` does not hold: {', '.join(values)}"


def _wrong_origin(
    transfer: Transfer, step: Step, event: Occurrence, claimed: str, destination: str
) -> _Condition:
    wrong = f"the event says that it comes from {claimed.lstrip(UNKNOWN_NETWORK)}, but was seen on {event.network}"
    return _mismatch(transfer, step, "P0", "origin", wrong, event.network, destination, (event,))


def _mismatch(
    transfer: Transfer,
    step: Step,
    severity: str,
    check: str,
    wrong: str,
    origin: str,
    destination: str,
    events: tuple[Occurrence, ...],
) -> _Condition:
    def explain() -> tuple[str, str]:
        return (
            f"{transfer.flow}: {step.name} of {_short(transfer.key)} does not add up ({check})",
            f"{wrong}.",
        )

    starts_at = max(e.timestamp for e in events)
    return _Condition(
        "TransferMismatch",
        step.name,
        severity,
        origin,
        destination,
        starts_at,
        None,
        explain,
        events,
        check=check,
    )


# --- from conditions to signals -----------------------------------------------------------------------


def _differences(
    flow: Flow, transfer: Transfer, judgement: _Judgement, now: int, cause: str
) -> tuple[dict[str, Raised], list[Signal]]:
    before = dict(transfer.raised)
    raised: dict[str, Raised] = {}
    signals: list[Signal] = []
    for condition in judgement.conditions:
        labels = _labels(transfer, condition)
        name = "/".join(
            labels.get(k, "") for k in ("alertname", "step", "destination", "origin", "check", "severity")
        )
        if name in raised:
            continue  # several events with the same mistake are one alert
        current = Raised(labels, condition.starts_at, condition.ends_at, len(condition.events))
        raised[name] = current
        if before.pop(name, None) != current:
            reason = LATE if condition.ends_at is not None else ""
            signals.append(
                Signal(
                    labels,
                    condition.starts_at,
                    _annotations(flow, judgement, condition),
                    condition.ends_at,
                    reason,
                )
            )
    signals += [
        Signal(gone.labels, gone.starts_at, {}, max(now, gone.starts_at), cause)
        for gone in before.values()
        if gone.ends_at is None
    ]
    return raised, signals


def _labels(transfer: Transfer, condition: _Condition) -> dict[str, str]:
    labels = {
        "alertname": condition.alertname,
        "flow": transfer.flow,
        "step": condition.step,
        "transfer": transfer.key,
        "origin": condition.origin,
        "destination": condition.destination,
        "severity": condition.severity,
    }
    if condition.check is not None:
        labels["check"] = condition.check
    return {k: v for k, v in labels.items() if v}


def _annotations(flow: Flow, judgement: _Judgement, condition: _Condition) -> dict[str, str]:
    summary, description = condition.explain()
    facts = {"summary": summary, "description": description}
    if flow.runbook_url:
        facts["runbook_url"] = flow.runbook_url
    for event in condition.events:
        for name, fact in (("amount", AMOUNT), ("asset", ASSET)):
            if fact in event.facts:
                facts.setdefault(name, _shown(event.facts[fact]))
        facts.setdefault(f"{event.step}_tx", to_hex(event.tx_hash))
    if len(condition.events) > 1 and condition.alertname == "TransferRepeated":
        facts["tx_hashes"] = ", ".join(dict.fromkeys(to_hex(e.tx_hash) for e in condition.events[:20]))
    if judgement.opened_at is not None and any(e.step == flow.opening.name for e in condition.events):
        facts["opened_at"] = str(judgement.opened_at)
    if condition.due_at is not None:
        facts["due_at"] = str(condition.due_at)
        if condition.ends_at is not None:
            facts["late_by"] = str(condition.ends_at - condition.due_at)
    return facts


def _shown(value: object) -> str:
    return to_hex(value) if isinstance(value, bytes) else str(value)


def _short(key: str) -> str:
    return key if len(key) <= 24 else f"{key[:12]}…{key[-6:]}"


def _duration(seconds: int) -> str:
    """``3h 5m`` for 11,100: the two largest units that count."""
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])
