"""What the events of one transfer mean: its status, its deadlines, the alerts that hold. Pure.

Everything here is a function of the *set* of a transfer's events and of how far each network has been seen, so
that no order, delay or repetition of batches changes the outcome (S3), and a reorg is the same function over fewer
events (S4).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from chainwatch import model
from chainwatch.checker import raising
from chainwatch.checker.coverage import Coverage
from chainwatch.checker.flow import Flow
from chainwatch.checker.judge import FILLING, OPENING, SEARCH, Judge
from chainwatch.checker.step_events import chain_order, claimed_origin, step_position
from chainwatch.model import DISPUTED, RESOLVED, Occurrence, Raised, Signal, Transfer
from chainwatch.support import bounds

IN_TIME = "in time"


class Settled(NamedTuple):
    """A transfer after it was judged, and the signals about what changed."""

    transfer: Transfer
    signals: list[Signal]


def with_events(transfer: Transfer, added: Iterable[Occurrence]) -> Transfer:
    """Return ``transfer`` with more events; those it has already are not counted twice."""
    occurrences = {step_position(o): o for o in transfer.occurrences}
    before = len(occurrences)
    for occurrence in added:
        occurrences.setdefault(step_position(occurrence), occurrence)
    if len(occurrences) == before:
        return transfer
    return msgspec.structs.replace(transfer, occurrences=tuple(sorted(occurrences.values(), key=chain_order)))


def with_only(transfer: Transfer, occurrences: Iterable[Occurrence]) -> Transfer:
    """Return ``transfer`` with these events in place of those that it has."""
    return msgspec.structs.replace(transfer, occurrences=tuple(sorted(occurrences, key=chain_order)))


def without_blocks_above(transfer: Transfer, network: str, block: int) -> Transfer:
    """Return ``transfer`` without the events of ``network`` in blocks after ``block`` (they were reorganised away)."""
    kept = tuple(o for o in transfer.occurrences if o.network != network or o.block <= block)
    return msgspec.structs.replace(transfer, occurrences=kept)


def without_events_at(transfer: Transfer, positions: Container[tuple[str, int, int]]) -> Transfer:
    """Return ``transfer`` without the events at ``positions``: network, block, log index."""
    kept = tuple(o for o in transfer.occurrences if (o.network, o.block, o.log_index) not in positions)
    return msgspec.structs.replace(transfer, occurrences=kept)


def settle(flow: Flow, transfer: Transfer, coverage: Coverage, now: int, cause: str = IN_TIME) -> Settled:
    """Judge ``transfer`` by its events and by what was seen; signal what differs from what was raised before.

    ``now`` is the chain time (seconds) at which a condition that no longer holds ends, ``cause`` the reason given for it.
    """
    transfer = _without_uncounted(flow, transfer)
    judge = Judge(flow, transfer, coverage)
    judge.judge()
    raised: dict[str, Raised] = transfer.raised
    signals: list[Signal] = []
    status = judge.status
    if raised or judge.findings:
        raised, signals = raising.update_raised(flow, transfer, judge.findings, judge.opened_at, now, cause)
        if held := _held(transfer.raised, raised, judge.deadlines):
            raised |= held
            signals = [s for s in signals if all(s.labels != one.labels for one in held.values())]
        status = _disputed_or(status, raising.disputes(transfer, judge.findings, raised))
        if raised and not transfer.occurrences:
            status = (
                model.EXCLUDED
            )  # kept only for the alerts that a person resolved, in case its events come back
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
    """Return ``transfer`` after a person resolved those of its ``alerts``, given by their labels, at ``at`` (Unix seconds).

    These alerts stay resolved while the same events are all that is wrong, however often the transfer is judged.
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
        some = [one for one in raised.values() if raising.is_dispute(one.labels["alertname"])]
        overdue = any(
            one.labels["alertname"] == "TransferOverdue"
            for one in raised.values()
            if _is_not_ended_by_chain(one)
        )
        waits = any(not step.startswith(OPENING) for step in transfer.deadlines)
        base = "overdue" if overdue else "open" if waits else status
        status = _disputed_or(base, [one for one in some if _is_not_ended_by_chain(one)])
    return msgspec.structs.replace(transfer, raised=raised, status=status)


def _is_not_ended_by_chain(raised: Raised) -> bool:
    """Return whether the condition holds, or would but for a person who resolved it."""
    return raised.ends_at is None or raised.by_hand


def _disputed_or(status: str, disputes: Sequence[Raised]) -> str:
    """Return the status of a transfer that is ``status`` but for ``disputes``, which hold or were resolved by a person."""
    if any(not one.by_hand for one in disputes):
        return status if status == "orphan" else DISPUTED
    if disputes and status not in ("open", "overdue"):
        return RESOLVED
    return status


def _without_uncounted(flow: Flow, transfer: Transfer) -> Transfer:
    """Return ``transfer`` without the events that do not count any more by the present configuration of ``flow``."""
    for occurrence in transfer.occurrences:
        step = flow.steps.get(occurrence.step)
        if step is not None and not step.counts_on(occurrence.network, claimed_origin(step, occurrence)):
            break
    else:
        return transfer
    kept = tuple(
        o
        for o in transfer.occurrences
        if (step := flow.steps.get(o.step)) is None or step.counts_on(o.network, claimed_origin(step, o))
    )
    return msgspec.structs.replace(transfer, occurrences=kept)


def _held(
    before: Mapping[str, Raised], now: Mapping[str, Raised], deadlines: Mapping[str, tuple[str, int]]
) -> dict[str, Raised]:
    """Return the alerts of ``before`` to keep for now: what would end them is being searched for in earlier blocks."""
    sought = {
        OPENING if step.startswith(OPENING) else step
        for step, (network, _) in deadlines.items()
        if network.startswith((SEARCH, FILLING))
    }
    return {
        name: one
        for name, one in before.items()
        if name not in now and one.ends_at is None and sought and _awaits(one) in sought
    }


def _awaits(raised: Raised) -> str | None:
    """Return the step that ends ``raised`` when it is seen; None for an alert that no step ends."""
    names = {"TransferOrphan": OPENING, "TransferOverdue": raised.labels.get("step")}
    return names.get(raised.labels["alertname"])
