"""What can be wrong with a transfer. Pure.

A finding is a condition about one transfer that holds, or held for a time. Its labels follow from events that do not
change when others arrive, so that it keeps its identity whatever is seen first (S3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from chainwatch.checker.flow import ALIAS, FAILED_CHECKS, SHARED, UNKNOWN_NETWORK, Flow, Step
from chainwatch.checker.path import EvaluationError
from chainwatch.checker.transfer_keys import event_key
from chainwatch.model import Occurrence, Transfer, to_hex


class Finding(NamedTuple):
    """A condition: its alert's name and labels, since and until when it held (chain time), and its explanation."""

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
    beside: tuple[Occurrence, ...] = ()
    """Those of ``events`` that explain it, but are not wrong themselves."""


def overdue(
    transfer: Transfer,
    step: Step,
    network: str,
    opening: Occurrence,
    destination: str,
    late: Occurrence | None,
) -> Finding:
    """Make the finding that ``step`` was not seen on ``network`` in time; ``late`` is its event, if seen after all."""
    due_at = opening.timestamp + step.within

    def explain() -> tuple[str, str]:
        summary = f"{transfer.flow}: {step.name} on {network} is overdue for {_short(transfer.key)} from {opening.network}"
        if late is None:
            return summary, (
                f"{opening.step} was seen on {opening.network}, but {step.name} has not been seen on {network} "
                f"within {_duration(step.within)}."
            )
        took = late.timestamp - opening.timestamp
        by = late.timestamp - due_at
        return summary, f"{step.name} came after {_duration(took)}, {_duration(by)} late."

    return Finding(
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


def orphan(
    flow: Flow,
    transfer: Transfer,
    step: Step,
    sought: Step,
    event: Occurrence,
    origin: str,
    ends_at: int | None,
    later: Occurrence | None = None,
) -> Finding:
    """Make the finding that ``event`` is a step without the one ``sought``, mostly the opening, by the end of the grace.

    ``ends_at`` is when one was seen after all.

    ``later`` is an opening step that happened too late to have funded it.
    """

    def explain() -> tuple[str, str]:
        if later is not None:
            return (
                f"{transfer.flow}: {step.name} on {event.network} came before {flow.opening.name} on {later.network}, "
                f"which cannot have funded it: {_short(transfer.key)}",
                f"{flow.opening.name} was seen on {later.network} {_duration(later.timestamp - event.timestamp)} after "
                f"{step.name} on {event.network}; the networks' clocks may differ by {_duration(flow.clock_skew)}. A forged "
                f"message that took the identity of the next true one? The transfer is disputed until a person "
                f"resolves this alert.",
            )
        if sought is not flow.opening:
            alias = event_key(transfer.key.rpartition("#")[0])
            return (
                f"{transfer.flow}: {step.name} on {event.network} without {sought.name}: {_short(alias)}",
                f"{step.name} was seen on {event.network}, but no {sought.name} with the alias {_short(alias)}, and "
                f"wherever one can be, all was read past it by {_duration(flow.orphan_grace)}: something was carried "
                f"out that no {sought.name} allowed?",
            )
        where = origin or "any origin network"
        return (
            f"{transfer.flow}: {step.name} on {event.network} without {flow.opening.name} on {where}: "
            f"{_short(transfer.key)}",
            f"{step.name} was seen on {event.network}, but no {flow.opening.name} that asks for it was seen on {where}, "
            f"which has been read past it by {_duration(flow.orphan_grace)}: a payout that nobody funded?",
        )

    return Finding(
        "TransferOrphan",
        step.name,
        flow.orphan_severity,
        origin,
        event.network,
        event.timestamp + flow.orphan_grace,
        ends_at,
        explain,
        (event,) if later is None else (event, later),
        beside=() if later is None else (later,),
    )


def repeated(
    transfer: Transfer, step: Step, origin: str, destination: str, events: Sequence[Occurrence]
) -> Finding:
    """Make the finding that ``events`` (two at least) are the same step of the same transfer."""

    def explain() -> tuple[str, str]:
        return (
            f"{transfer.flow}: {step.name} happened {len(events)} times for {_short(transfer.key)}",
            f"One transfer must see {step.name} once; it was seen {len(events)} times.",
        )

    return Finding(
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


def failed_checks(
    transfer: Transfer, step: Step, event: Occurrence, origin: str, destination: str
) -> list[Finding]:
    """Make a finding of each built-in check that ``event`` fails."""
    if FAILED_CHECKS not in event.facts:
        return []
    return [
        _mismatch(transfer, step, "P0", name, wrong, origin, destination, (event,))
        for name, wrong in event.facts[FAILED_CHECKS].items()
    ]


def failed_assertion(
    transfer: Transfer, step: Step, opening: Occurrence, event: Occurrence, destination: str
) -> Finding | None:
    """Return the finding that the step's ``assert`` does not hold or has no value for the two; None where it holds."""
    assertion = step.assertion
    if assertion is None:
        return None
    try:
        if assertion.evaluate_facts(event.facts, opening.facts):
            return None
    except EvaluationError as error:
        wrong = str(error)
    else:
        values = [
            f"{p.text} = {shown(event.facts[p.text])}" for p in assertion.paths if p.text in event.facts
        ]
        values += [
            f"opening.{p.text} = {shown(opening.facts[p.text])}"
            for p in assertion.opening_paths
            if p.text in opening.facts
        ]
        wrong = f"`{assertion.source}` does not hold: {', '.join(values)}"
    return _mismatch(
        transfer,
        step,
        step.severity,
        assertion.source,
        wrong,
        opening.network,
        destination,
        (opening, event),
    )


def shared_alias(transfer: Transfer, step: Step, event: Occurrence, origin: str) -> Finding:
    """Make the finding that the step gives the transfer an alias that another transfer had before."""
    wrong = (
        f"the alias {_short(event.facts[ALIAS])} that {step.name} gives it was given to {_short(event.facts[SHARED])} "
        f"before: the steps that have this alias count for that one"
    )
    return _mismatch(transfer, step, step.severity, "alias", wrong, origin, event.network, (event,))


def wrong_origin(
    transfer: Transfer, step: Step, event: Occurrence, claimed: str, destination: str
) -> Finding:
    """Make the finding that an opening event names another network as origin than the one on which it was seen."""
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
) -> Finding:
    def explain() -> tuple[str, str]:
        return (
            f"{transfer.flow}: {step.name} of {_short(transfer.key)} does not add up ({check})",
            f"{wrong}.",
        )

    starts_at = max(e.timestamp for e in events)
    return Finding(
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


def shown(value: object) -> str:
    return to_hex(value) if isinstance(value, bytes) else str(value)


def _short(key: str) -> str:
    return key if len(key) <= 24 else f"{key[:12]}…{key[-6:]}"


def _duration(seconds: int) -> str:
    """Return a length of time as its two largest units: ``3h 5m`` for 11,100 seconds."""
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])
