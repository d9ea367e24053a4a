"""Sessions within a transaction: each event is an alert, which ends by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from chainwatch.alert_model import REORG
from chainwatch.checker.invariants.extractor import INVARIANTS
from chainwatch.checker.invariants.judge import UNREAD, UNREAD_AFTER, said
from chainwatch.checker.invariants.sessions import EventSession
from chainwatch.invariants import raising
from chainwatch.invariants.event_reads import EventsRead
from chainwatch.model import Header, RawLog, to_hex
from chainwatch.pipeline.checker import CONFIG_CHANGED
from chainwatch.pipeline.unit_of_work import Work
from chainwatch.store import blocks, invariants
from chainwatch.store.invariants import RaisedAlert
from chainwatch.support.keccak import checksum_address

if TYPE_CHECKING:
    from chainwatch.invariants.definitions import Running

OVER = "over"
"""Why an alert about one event ends."""


def apply(work: Work, read: EventsRead, waiting: dict[str, float]) -> None:
    """Raise alerts about the events that were read, unless their blocks are gone or they were read already.

    ``waiting`` is since when sessions, by name, have had nothing read.
    """
    wanted, connection = read.wanted, work.connection
    session = wanted.session
    cursor = invariants.cursors(connection, session.network).get(session.name)
    checkpoint = work.checkpoints[session.network].last
    if cursor is None or cursor + 1 != wanted.first or wanted.last > checkpoint.number:
        return
    hashes = {header.number: header.hash for header in blocks.window(connection, session.network)}
    ends = {(wanted.last, wanted.hash)} if wanted.hash is not None else set()
    found = ends | {(log.block_number, log.block_hash) for log in read.logs}
    # those that left the window are final
    if any(hashes.get(block, hash_) != hash_ for block, hash_ in found):
        return  # replaced meanwhile: they are read again
    for log, fault in zip(read.logs, read.faults, strict=True):
        _raise(work, session, log, fault)
    invariants.move_cursor(connection, session.name, session.network, wanted.last)
    if read.is_known:
        waiting.pop(session.name, None)
        if (unread := invariants.raised(connection, session.name).get(UNREAD)) is not None:
            raising.end(work, unread, checkpoint.timestamp, raising.READ)
    if wanted.last < checkpoint.number:
        work.wanted.add((INVARIANTS, session.network))


def _raise(work: Work, session: EventSession, log: RawLog, fault: str) -> None:
    standing = invariants.raised(work.connection, session.name)
    raised = [alert for condition, alert in standing.items() if condition != UNREAD]
    if any(alert.starts_at <= log.timestamp < alert.starts_at + session.cooldown for alert in raised):
        return
    number = f"{log.block_number}-{log.log_index}"
    labels = _labels("InvariantViolated", session) | {"event": number}
    where = f"block {log.block_number} of {session.network}"
    annotations = {
        "description": said(session.message, f"{fault}; {where}" if fault else where),
        "block": str(log.block_number),
        "block_network": session.network,
    }
    if log.address:
        address, signature = checksum_address(log.address), session.signatures[log.topics[0]]
        what = (
            f"{signature} was emitted by {address}" if signature else f"a transaction of {address}: {fault}"
        )
        annotations |= {
            "summary": what,
            "address": address,
            "address_network": session.network,
            "tx_hash": to_hex(log.tx_hash),
            "tx_hash_network": session.network,
        }
    else:
        annotations["summary"] = f"{where}: {fault}"
    annotations |= _link(session)
    ends_at = log.timestamp + session.lasts
    place = (session.name, number, session.network, log.block_number)
    raising.raise_alert(work, RaisedAlert(*place, labels, annotations, log.timestamp, ends_at))


def _raise_unread(work: Work, session: EventSession, read: int, last: Header, failure: str | None) -> None:
    """Raise the alert that nothing of ``session`` has been looked up after the block ``read``, unless it fires already."""
    labels = _labels("InvariantUnread", session)
    if (before := invariants.raised(work.connection, session.name).get(UNREAD)) is not None:
        if dict(before.labels) == labels:
            return
        raising.end(work, before, last.timestamp, CONFIG_CHANGED)
    annotations = {
        "summary": f"{session.name} cannot be checked",
        "description": f"Nothing is known of it since block {read} of {session.network}: "
        f"{failure or 'its events, or what they claim, cannot be read'}.",
        "block": str(read),
        "block_network": session.network,
        **_link(session),
    }
    place = (session.name, UNREAD, session.network, read)
    raising.raise_alert(work, RaisedAlert(*place, labels, annotations, last.timestamp))


def _link(session: EventSession) -> dict[str, str]:
    return {} if session.runbook_url is None else {"runbook_url": session.runbook_url}


def _labels(alertname: str, session: EventSession) -> dict[str, str]:
    return {
        "alertname": alertname,
        "severity": session.severity,
        "invariant": session.name,
        "network": session.network,
        **session.labels,
    }


def roll_back(work: Work, running: Running, network: str, block: int) -> None:
    """End the alerts about events of ``network`` after ``block``."""
    raised = invariants.raised_of(work.connection, list(running.sessions))
    for name in running.sessions:
        for alert in raised.get(name, {}).values():
            if alert.network == network and alert.block > block:
                raising.end(work, alert, alert.starts_at, REORG)


def settle(
    work: Work,
    running: Running,
    before: Mapping[str, Header],
    waiting: dict[str, float],
    failures: Mapping[str, str],
    now: float,
) -> None:
    """Have new blocks read, and end alerts whose time is over. ``before`` are the checkpoints before this transaction.

    ``waiting`` is since when (``now`` is the clock's value) sessions, by name, have had nothing read, ``failures`` why.
    """
    if not running.sessions:
        return
    known = invariants.cursors(work.connection)
    raised = invariants.raised_of(work.connection, list(running.sessions))
    for name, session in running.sessions.items():
        checkpoint = work.checkpoints.get(session.network)
        if checkpoint is None:
            continue
        if name not in known:
            waiting.pop(name, None)  # of an earlier run
            begun = before.get(session.network)
            known[name] = work.first[session.network][0] - 1 if begun is None else begun.number
            invariants.move_cursor(work.connection, name, session.network, known[name])
        if known[name] < checkpoint.last.number:
            work.wanted.add((INVARIANTS, session.network))
            if now - waiting.setdefault(name, now) >= UNREAD_AFTER:
                _raise_unread(work, session, known[name], checkpoint.last, failures.get(name))
        for alert in raised.get(name, {}).values():
            if alert.ends_at is not None and alert.ends_at <= work.seen.get(session.network, 0):
                raising.end(work, alert, alert.ends_at, OVER)
