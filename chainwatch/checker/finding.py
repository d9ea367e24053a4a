"""What can be wrong with a transfer, and the signals that tell of it. Pure.

A finding is a condition about one transfer that holds, or held for a time. Its labels follow from events that do not
change when others arrive, so that it keeps its identity whatever is seen first (S3).
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from chainwatch.checker.flow import AMOUNT, ASSET, FAILED_CHECKS, UNKNOWN_NETWORK, Flow, Step
from chainwatch.checker.path import EvaluationError
from chainwatch.model import Occurrence, Raised, Signal, Transfer, to_hex

LATE = "late"
"""Why an alert ended that the chain itself put an end to."""


class Finding(NamedTuple):
    """A condition: its alert's name, what tells it from others of that name, when it held (chain time), what to say."""

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
    """Those of ``events`` that explain it, but are not what is wrong."""


def overdue(
    transfer: Transfer,
    step: Step,
    network: str,
    opening: Occurrence,
    destination: str,
    late: Occurrence | None,
) -> Finding:
    """``step`` was not seen on ``network`` in time; ``late`` is the event that came after all."""
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
    event: Occurrence,
    origin: str,
    ends_at: int | None,
    later: Occurrence | None = None,
) -> Finding:
    """``event`` is a step that no opening step asked for by the end of the grace; ``ends_at`` is when one did after all.

    ``later`` is an opening step that came too late to have funded it.
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
    """``events`` (two at least) are the same step of the same transfer."""

    def explain() -> tuple[str, str]:
        return (
            f"{transfer.flow}: {step.name} happened {len(events)} times for {_short(transfer.key)}",
            f"One transfer must see {step.name} once; it was seen in {len(events)} logs.",
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
    """What the built-in checks found wrong with ``event``."""
    if FAILED_CHECKS not in event.facts:
        return []
    return [
        _mismatch(transfer, step, "P0", name, wrong, origin, destination, (event,))
        for name, wrong in event.facts[FAILED_CHECKS].items()
    ]


def failed_assertion(
    transfer: Transfer, step: Step, opening: Occurrence, event: Occurrence, destination: str
) -> Finding | None:
    """The step's ``assert`` does not hold, or cannot be evaluated, between ``opening`` and ``event``."""
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
            f"{p.text} = {_shown(event.facts[p.text])}" for p in assertion.paths if p.text in event.facts
        ]
        values += [
            f"opening.{p.text} = {_shown(opening.facts[p.text])}"
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


def wrong_origin(
    transfer: Transfer, step: Step, event: Occurrence, claimed: str, destination: str
) -> Finding:
    """An opening event names another network than the one on which it was seen."""
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


# --- from findings to signals -------------------------------------------------------------------------

_DISPUTES = frozenset({"TransferOrphan", "TransferMismatch", "TransferRepeated"})


def is_dispute(alertname: str) -> bool:
    """Whether a transfer with such an alert cannot be called settled until a person has looked at it."""
    return alertname in _DISPUTES


def disputes(transfer: Transfer, findings: Sequence[Finding], raised: Mapping[str, Raised]) -> list[Raised]:
    """What stands ``raised`` by those of ``findings`` that dispute ``transfer`` and that the chain has not ended."""
    return [
        raised[_name(_labels(transfer, one))]
        for one in findings
        if one.ends_at is None and is_dispute(one.alertname)
    ]


def differences(
    flow: Flow,
    transfer: Transfer,
    findings: Sequence[Finding],
    opened_at: int | None,
    now: int,
    cause: str,
) -> tuple[dict[str, Raised], list[Signal]]:
    """What stands raised by ``findings``, and the signals that lead there from what ``transfer`` had raised.

    What no longer holds, and never held by what is known now, ends at ``now`` (chain time) with the reason ``cause``.
    What a person resolved stays resolved while the same events are wrong.
    """
    before = dict(transfer.raised)
    raised: dict[str, Raised] = {}
    signals: list[Signal] = []
    for same in _by_condition(transfer, findings):
        finding = same[0]  # several events with the same mistake are one alert
        labels = _labels(transfer, finding)
        wrong = tuple(sorted(_mark(e) for one in same for e in one.events if e not in one.beside))
        current = Raised(labels, finding.starts_at, finding.ends_at, _version(finding.events), wrong)
        name = _name(labels)
        known = before.pop(name, None)
        if (resolved := _resolved(known, before, current)) is not None:
            raised[name] = resolved
            continue
        raised[name] = current
        if known is None or not _says_the_same(known, current):
            reason = LATE if finding.ends_at is not None else ""
            annotations = _annotations(flow, finding, opened_at)
            signals.append(
                Signal(labels, finding.starts_at, annotations, finding.ends_at, reason, "transfer")
            )
    signals += endings(before.values(), now, cause)
    # What a reorg takes may come back: it is not for anybody to resolve it again.
    raised |= {name: gone for name, gone in before.items() if gone.by_hand}
    return raised, signals


def endings(raised: Iterable[Raised], now: int, cause: str) -> list[Signal]:
    """The signals that end those of ``raised`` that stand, at ``now`` (chain time) with the reason ``cause``."""
    return [
        Signal(one.labels, one.starts_at, {}, max(now, one.starts_at), cause, "transfer")
        for one in raised
        if one.ends_at is None
    ]


def _by_condition(transfer: Transfer, findings: Iterable[Finding]) -> Iterable[list[Finding]]:
    """``findings`` with those that have the same labels together."""
    found: dict[str, list[Finding]] = {}
    for one in findings:
        found.setdefault(_name(_labels(transfer, one)), []).append(one)
    return found.values()


def _resolved(known: Raised | None, before: dict[str, Raised], current: Raised) -> Raised | None:
    """What a person resolved that is ``current`` again, or ended since; ``known`` has the same labels as it.

    Another severity, origin or destination makes it no other where the events are the same; takes it out of ``before`` then.
    """
    if known is not None:
        return known if known.by_hand and (current.ends_at is not None or _is_all(known, current)) else None
    for name, other in before.items():
        if other.by_hand and _kind(other) == _kind(current) and _is_all(other, current):
            return before.pop(name)
    return None


def _is_all(resolved: Raised, current: Raised) -> bool:
    """Whether nothing is wrong but what was when ``resolved`` was resolved."""
    if not resolved.wrong:
        return resolved.version == current.version
    return not Counter(current.wrong) - Counter(resolved.wrong)


def _kind(raised: Raised) -> tuple[str, ...]:
    return tuple(raised.labels.get(name, "") for name in ("alertname", "step", "check"))


def _says_the_same(known: Raised, current: Raised) -> bool:
    """Whether nobody need be told of ``current``. ``wrong`` does not count: older versions did not keep it."""
    return not known.by_hand and (known.labels, known.starts_at, known.ends_at, known.version) == (
        current.labels,
        current.starts_at,
        current.ends_at,
        current.version,
    )


def _version(events: Iterable[Occurrence]) -> int:
    return zlib.crc32(b"".join(e.tx_hash for e in events))


def _mark(event: Occurrence) -> int:
    """What an event keeps when a reorg puts its transaction into another block."""
    return zlib.crc32(event.tx_hash)


def _name(labels: Mapping[str, str]) -> str:
    """What tells a condition from the others of its transfer."""
    return "/".join(
        labels.get(k, "") for k in ("alertname", "step", "destination", "origin", "check", "severity")
    )


def _labels(transfer: Transfer, finding: Finding) -> dict[str, str]:
    labels = {
        "alertname": finding.alertname,
        "flow": transfer.flow,
        "step": finding.step,
        "transfer": transfer.key,
        "origin": finding.origin,
        "destination": finding.destination,
        "severity": finding.severity,
    }
    if finding.check is not None:
        labels["check"] = finding.check
    return {k: v for k, v in labels.items() if v}


def _annotations(flow: Flow, finding: Finding, opened_at: int | None) -> dict[str, str]:
    summary, description = finding.explain()
    facts = {"summary": summary, "description": description}
    if flow.runbook_url:
        facts["runbook_url"] = flow.runbook_url
    for event in finding.events:
        for name, fact in (("amount", AMOUNT), ("asset", ASSET)):
            if fact in event.facts:
                facts.setdefault(name, _shown(event.facts[fact]))
        facts.setdefault(f"{event.step}_tx", to_hex(event.tx_hash))
    if len(finding.events) > 1 and finding.alertname == "TransferRepeated":
        facts["tx_hashes"] = ", ".join(dict.fromkeys(to_hex(e.tx_hash) for e in finding.events[:20]))
    if opened_at is not None and any(e.step == flow.opening.name for e in finding.events):
        facts["opened_at"] = str(opened_at)
    if finding.due_at is not None:
        facts["due_at"] = str(finding.due_at)
        if finding.ends_at is not None:
            facts["late_by"] = str(finding.ends_at - finding.due_at)
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
