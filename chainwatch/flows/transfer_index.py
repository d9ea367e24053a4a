"""What the index has of transfers: by what people look for them, and how long their steps took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import sqlalchemy as sa

from chainwatch.checker.flow import Flow
from chainwatch.checker.step_views import step_views
from chainwatch.model import EXCLUDED, HASH_LENGTH, Transfer
from chainwatch.store import emitted_logs, transfer_index
from chainwatch.store import transfers as stored
from chainwatch.store.emitted_logs import EmittedLog, Place
from chainwatch.store.transfer_index import (
    HOUR,
    Counted,
    Entry,
    Route,
    Update,
    address_term,
    key_term,
    rounded,
    transaction_term,
)
from chainwatch.store.transfer_totals import place

ADDRESSES_MAX = 16
"""The most addresses of one log by which its transfer is found."""


def prepare(connection: sa.Connection, flows: Mapping[str, Flow], limit: int) -> Update | None:
    """Return how the index changes by the first ``limit`` changes of transfers; None where nothing has changed."""
    changed = transfer_index.changes(connection, limit)
    if not changed:
        return None
    ids = sorted({number for _, number in changed})
    transfers = stored.load_ids(connection, ids)
    logs = emitted_logs.load(connection, (event for one in transfers for event in one.occurrences))
    after = {one.id: entry(flows.get(one.flow), one, logs) for one in transfers}
    none = Entry()
    entries = {number: after.get(number, none) for number in ids}
    return Update(changed[-1][0], len(changed) == limit, entries)


def entry(
    flow: Flow | None,
    transfer: Transfer,
    logs: Mapping[Place, EmittedLog] = MappingProxyType({}),
) -> Entry:
    """Return what the index has of ``transfer``; ``logs``: what is stored of its events."""
    if transfer.status == EXCLUDED:
        return Entry()
    terms = {key_term(transfer.key)}
    for occurrence in transfer.occurrences:
        terms.add(transaction_term(occurrence.tx_hash))
        log = logs.get((occurrence.network, occurrence.block, occurrence.log_index))
        if log is not None:
            found = (*_addresses(b"".join(log.topics[1:]) + log.data), log.sender, log.recipient)
            terms.update(address_term(one) for one in found if one is not None)
    counted = tuple(_counted(flow, transfer)) if flow else ()
    return Entry(frozenset(terms), _route(transfer) if counted else None, counted)


def _route(transfer: Transfer) -> Route:
    hour = (transfer.opened_at or 0) // HOUR * HOUR
    return Route(hour, transfer.flow, place(transfer.origin), place(transfer.destination))


def _counted(flow: Flow, transfer: Transfer) -> Iterator[Counted]:
    opened_at = transfer.opened_at
    if opened_at is None:
        return
    last = opened_at
    for step, _, due_at, event in step_views(flow, transfer):
        if event is not None:
            last = max(last, event.timestamp)
            yield Counted(step.name, rounded(event.timestamp - opened_at), int(event.timestamp > due_at))
    if transfer.status == "complete":
        yield Counted("", rounded(last - opened_at), 0)


def _addresses(words: bytes) -> list[bytes]:
    """Return what looks like an address among words of 32 bytes: 12 zero bytes, then 20 that are no small number."""
    found = dict.fromkeys(
        words[start + 12 : start + HASH_LENGTH]
        for start in range(0, len(words) - HASH_LENGTH + 1, HASH_LENGTH)
        if words[start : start + 12] == _PADDING and any(words[start + 12 : start + 20])
    )
    return list(found)[:ADDRESSES_MAX]


_PADDING = bytes(12)
