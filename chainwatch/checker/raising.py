"""From findings about a transfer to the signals that raise and end its alerts. Pure."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from chainwatch.checker.finding import Finding, shown
from chainwatch.checker.flow import AMOUNT, ASSET, Flow
from chainwatch.model import Occurrence, Raised, Signal, Transfer, to_hex

LATE = "late"
"""Why an alert ended whose missing step was seen after all."""

_DISPUTES = frozenset({"TransferOrphan", "TransferMismatch", "TransferRepeated"})


def is_dispute(alertname: str) -> bool:
    """Return whether a transfer with such an alert is disputed until a person resolves it."""
    return alertname in _DISPUTES


def disputes(transfer: Transfer, findings: Sequence[Finding], raised: Mapping[str, Raised]) -> list[Raised]:
    """Return those of ``raised`` by which ``transfer`` is disputed, and that no event has ended."""
    return [
        raised[_name(_labels(transfer, one))]
        for one in findings
        if one.ends_at is None and is_dispute(one.alertname)
    ]


def update_raised(
    flow: Flow,
    transfer: Transfer,
    findings: Sequence[Finding],
    opened_at: int | None,
    now: int,
    cause: str,
) -> tuple[dict[str, Raised], list[Signal]]:
    """Return the alerts that ``findings`` raise, and the signals about what differs from those raised before.

    An alert without a finding any more ends at ``now`` (chain time) with the reason ``cause``. An alert that a person
    resolved stays resolved while the same events are wrong.
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
        if known is None or not _is_same(known, current):
            reason = LATE if finding.ends_at is not None else ""
            annotations = _annotations(flow, finding, opened_at)
            signals.append(
                Signal(labels, finding.starts_at, annotations, finding.ends_at, reason, "transfer")
            )
    signals += endings(before.values(), now, cause)
    # What a reorg takes may come back, and need not be resolved again then.
    raised |= {name: gone for name, gone in before.items() if gone.by_hand}
    return raised, signals


def endings(raised: Iterable[Raised], now: int, cause: str) -> list[Signal]:
    """Return the signals that end those of ``raised`` without an end, at ``now`` (chain time) with the reason ``cause``."""
    return [
        Signal(one.labels, one.starts_at, {}, max(now, one.starts_at), cause, "transfer")
        for one in raised
        if one.ends_at is None
    ]


def _by_condition(transfer: Transfer, findings: Iterable[Finding]) -> Iterable[list[Finding]]:
    """Return ``findings`` grouped by their labels."""
    found: dict[str, list[Finding]] = {}
    for one in findings:
        found.setdefault(_name(_labels(transfer, one)), []).append(one)
    return found.values()


def _resolved(known: Raised | None, before: dict[str, Raised], current: Raised) -> Raised | None:
    """Return the alert that a person resolved and that ``current`` is again; None for none. ``known`` has the same labels.

    An alert of ``before`` about the same events is the same in spite of another severity, origin or destination; it is
    removed from ``before`` then.
    """
    if known is not None:
        return known if known.by_hand and (current.ends_at is not None or _is_all(known, current)) else None
    for name, other in before.items():
        if other.by_hand and _kind(other) == _kind(current) and _is_all(other, current):
            return before.pop(name)
    return None


def _is_all(resolved: Raised, current: Raised) -> bool:
    """Return whether all that is wrong now was wrong already when ``resolved`` was resolved."""
    if not resolved.wrong:
        return resolved.version == current.version
    return not Counter(current.wrong) - Counter(resolved.wrong)


def _kind(raised: Raised) -> tuple[str, ...]:
    return tuple(raised.labels.get(name, "") for name in ("alertname", "step", "check"))


def _is_same(known: Raised, current: Raised) -> bool:
    """Return whether ``current`` says the same as before. ``wrong`` is not compared: older versions did not store it."""
    return not known.by_hand and (known.labels, known.starts_at, known.ends_at, known.version) == (
        current.labels,
        current.starts_at,
        current.ends_at,
        current.version,
    )


def _version(events: Iterable[Occurrence]) -> int:
    return zlib.crc32(b"".join(e.tx_hash for e in events))


def _mark(event: Occurrence) -> int:
    """Identify an event even if a reorg puts its transaction into another block."""
    return zlib.crc32(event.tx_hash)


def _name(labels: Mapping[str, str]) -> str:
    """Identify a condition among those of its transfer."""
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
        _add_amount(facts, event)
        if f"{event.step}_tx" not in facts:
            facts[f"{event.step}_tx"] = to_hex(event.tx_hash)
            facts[f"{event.step}_tx_network"] = event.network
    if len(finding.events) > 1 and finding.alertname == "TransferRepeated":
        some = finding.events[:20]
        facts["tx_hashes"] = ", ".join(dict.fromkeys(to_hex(e.tx_hash) for e in some))
        if len({e.network for e in some}) == 1:
            facts["tx_hashes_network"] = some[0].network
    if opened_at is not None and any(e.step == flow.opening.name for e in finding.events):
        facts["opened_at"] = str(opened_at)
    if finding.due_at is not None:
        facts["due_at"] = str(finding.due_at)
        if finding.ends_at is not None:
            facts["late_by"] = str(finding.ends_at - finding.due_at)
    return facts


def _add_amount(facts: dict[str, str], event: Occurrence) -> None:
    """Add the amount and the asset of ``event``, unless an event before it named them.

    ``amount_network`` stands only beside an amount whose asset is of the same event: another's has other decimals.
    """
    if ASSET in event.facts and "asset" not in facts:
        facts["asset"], facts["asset_network"] = shown(event.facts[ASSET]), event.network
        if AMOUNT in event.facts and "amount" not in facts:
            facts["amount_network"] = event.network
    if AMOUNT in event.facts:
        facts.setdefault("amount", shown(event.facts[AMOUNT]))
