"""Which transfers to list: found by their index where that narrows them down, else read from the newest on."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec
import sqlalchemy as sa

from chainwatch.model import EXCLUDED
from chainwatch.store import transfer_index, transfer_totals
from chainwatch.store.tables import transfers
from chainwatch.support import bounds

CANDIDATES_MAX = 5_000
"""From so many candidates on they are not narrowed down: then reading from the newest on soon finds a page of them."""
IDS_AT_ONCE = 500

_HASH = re.compile("0x[0-9a-fA-F]{64}")


class Filter(msgspec.Struct, frozen=True):
    """Which transfers to list; None or empty means any. Times are chain time in Unix seconds, the end exclusive.

    ``key`` may be one that was cut to be an alert's label.
    """

    flow: str | None = None
    statuses: tuple[str, ...] = ()
    key: str | None = None
    """The whole key, its beginning, or as alerts shorten it: ``0x3c1e02a9b7…c4d9e1``. The case of letters is ignored.

    Or a transaction hash: then also the transfers of which a step was in that transaction."""
    address: bytes | None = None
    """20 bytes that are an argument of an event of theirs, or sent or received the transaction of one, where that is stored.

    Transfers that have just changed may be missing: see `transfer_index.waiting`."""
    origin: str | None = None
    destination: str | None = None
    opened_from: float | None = None
    opened_before: float | None = None
    before_id: int | None = None
    """Only older rows than the one with this id: the last id of the page before."""


def find(
    connection: sa.Connection, wanted: Filter, columns: Sequence[str], limit: int | None = None
) -> Iterator[Any]:
    """Yield the ``columns``, ``key`` among them, of the transfers that ``wanted`` describes, newest first."""
    stored = _at_most(connection, wanted)
    if not stored:
        return  # without reading all others
    limit = stored if limit is None else min(limit, stored)
    start = None if wanted.key is None else bounds.beginning(wanted.key)
    statement = _selection(connection, wanted, columns, start)
    if opened := _opened(wanted, transfers.c.opened_at):
        statement = statement.where(*_opened_in(connection, wanted, opened))
    if wanted.address is not None:
        rows = _with_address(connection, statement, wanted.address, wanted.before_id)
    else:
        if wanted.key is not None:
            narrow = _candidates(connection, wanted.key if start is None else start)
            statement = statement if narrow is None else statement.where(transfers.c.id.in_(narrow))
        if start is None:
            statement = statement.limit(limit)
        rows = iter(connection.execute(statement.execution_options(yield_per=1000)))
    yield from islice((row for row in rows if start is None or _is_meant(row.key, wanted.key)), limit)


def _selection(
    connection: sa.Connection, wanted: Filter, columns: Sequence[str], start: str | None
) -> sa.Select[Any]:
    statement = sa.select(*(transfers.c[name] for name in columns)).where(transfers.c.status != EXCLUDED)
    is_cut = transfers.c.key.startswith(start or "", autoescape=True)
    conditions = (
        (wanted.flow, transfers.c.flow == wanted.flow),
        (wanted.key, is_cut if start is not None else _has_key(connection, wanted.key or "")),
        (wanted.origin, transfers.c.origin == wanted.origin),
        (wanted.destination, transfers.c.destination == wanted.destination),
        (wanted.before_id, transfers.c.id < (wanted.before_id or 0)),
        (wanted.statuses or None, transfers.c.status.in_(wanted.statuses)),
        (True if _is_unfinished(wanted) else None, transfers.c.status != sa.literal_column("'complete'")),
    )
    for value, condition in conditions:
        if value is not None:
            statement = statement.where(condition)
    return statement.order_by(transfers.c.id.desc())


def _opened(wanted: Filter, at: sa.ColumnElement[int]) -> list[sa.ColumnElement[bool]]:
    """Return the conditions of ``wanted`` on when transfers opened, which is ``at``."""
    conditions = []
    if wanted.opened_from is not None:
        conditions.append(at >= math.ceil(wanted.opened_from))
    if wanted.opened_before is not None:
        conditions.append(at < math.ceil(wanted.opened_before))
    return conditions


def _opened_in(
    connection: sa.Connection, wanted: Filter, opened: Sequence[sa.ColumnElement[bool]]
) -> list[sa.ColumnElement[bool]]:
    """Return conditions that narrow the transfers of a window down to few, or to those from its newest one on."""
    within = (*opened, *([transfers.c.id < wanted.before_id] if wanted.before_id is not None else ()))
    ids = ids_where(connection, within, CANDIDATES_MAX)
    if len(ids) < CANDIDATES_MAX:
        return [transfers.c.id.in_(ids)]
    found = _opened(wanted, transfers.c.opened_at + 0)  # read in the order of ids, by no other index
    if wanted.opened_before is not None:
        newest = connection.execute(sa.select(sa.func.max(transfers.c.id)).where(*within)).scalar_one()
        found.append(transfers.c.id <= newest)
    return found


def ids_where(
    connection: sa.Connection, conditions: Sequence[sa.ColumnElement[bool]], limit: int
) -> list[int]:
    """Return the ids of up to ``limit`` transfers that meet the ``conditions``, in no order."""
    return list(connection.execute(sa.select(transfers.c.id).where(*conditions).limit(limit)).scalars())


def _with_address(
    connection: sa.Connection, statement: sa.Select[Any], address: bytes, before: int | None
) -> Iterator[Any]:
    """Yield the rows of ``statement`` with ``address``, as the index has it, some at a time."""
    term = transfer_index.address_term(address)
    while ids := transfer_index.ids_with(connection, term, before, IDS_AT_ONCE):
        yield from connection.execute(statement.where(transfers.c.id.in_(ids)))
        before = ids[-1]


def _candidates(connection: sa.Connection, wanted: str) -> list[int] | None:
    """Return the ids of all transfers that ``wanted``, a key's beginning or a hash, may mean; None where they are many."""
    beginning = transfer_index.key_term(wanted.partition("…")[0])
    ids = transfer_index.ids_with_beginning(connection, beginning, CANDIDATES_MAX)
    ids += [number for _, number in transfer_index.changes(connection, CANDIDATES_MAX)]
    if _HASH.fullmatch(wanted):
        term = transfer_index.transaction_term(bytes.fromhex(wanted[2:]))
        ids += transfer_index.ids_with(connection, term, None, CANDIDATES_MAX)
    return sorted(set(ids)) if len(ids) < CANDIDATES_MAX else None


def _at_most(connection: sa.Connection, wanted: Filter) -> int:
    """Return how many transfers have the flow, the places and the status that are ``wanted``, without reading them."""
    wanted_places = (wanted.origin, wanted.destination)
    origin, destination = (name if name is None else transfer_totals.place(name) for name in wanted_places)
    return sum(
        number
        for total, number in transfer_totals.totals(connection).items()
        if wanted.flow in (None, total.flow)
        and origin in (None, total.origin)
        and destination in (None, total.destination)
        and (not wanted.statuses or total.status in wanted.statuses)
    )


def _is_unfinished(wanted: Filter) -> bool:
    """Return whether ``wanted`` is found by the index of unfinished transfers."""
    return bool(wanted.statuses) and "complete" not in wanted.statuses


def _is_meant(key: str, wanted: str | None) -> bool:
    return wanted in (key, bounds.cut(key, bounds.LABEL_MAX))


def _has_key(connection: sa.Connection, wanted: str) -> sa.ColumnElement[bool]:
    """Return whether a key begins as ``wanted``, or as and ends as the parts of one that was shortened with ``…``.

    For a hash, also whether it is that of a step's transaction: these stand in ``state`` as they are.
    """
    beginning, _, end = wanted.partition("…")
    has_key = sa.and_(
        transfers.c.key.istartswith(beginning, autoescape=True),
        transfers.c.key.iendswith(end, autoescape=True),
    )
    if not _HASH.fullmatch(wanted):
        return has_key
    tx_hash = bytes.fromhex(wanted[2:])
    position = (
        sa.func.position(sa.literal(tx_hash, sa.LargeBinary).op("IN")(transfers.c.state))
        if connection.dialect.name == "postgresql"
        else sa.func.instr(transfers.c.state, tx_hash)
    )
    return sa.or_(has_key, position > 0)
