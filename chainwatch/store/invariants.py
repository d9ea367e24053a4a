"""Rows of invariants: their definitions, when they are checked, what was read, what they raised. Times are chain time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from chainwatch.store import occurrences
from chainwatch.store.invariant_tables import (
    invariant_alerts,
    invariant_checks,
    invariant_cursors,
    invariant_events,
    invariant_readings,
    stored_invariants,
)


class Check(NamedTuple):
    """When an invariant is checked: at ``block`` of ``network``; ``positions`` are the blocks of all its networks.

    ``holds`` is None until all is read, and where there is no answer, which ``error`` explains.
    """

    network: str
    block: int
    timestamp: int
    is_provisional: bool = False
    positions: Mapping[str, int] | None = None
    holds: bool | None = None
    error: str | None = None


class Reading(NamedTuple):
    """What the invariant ``name`` reads at a block; ``content`` are its values there, once it is read."""

    name: str
    network: str
    block: int
    hash: bytes
    timestamp: int
    is_wanted: bool = True
    content: Mapping[str, Any] | None = None
    error: str | None = None


class RaisedAlert(NamedTuple):
    """An alert of an invariant that has not ended; ``ends_at`` is when it ends by itself."""

    name: str
    condition: str
    network: str
    block: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: int
    ends_at: int | None = None


Counted = tuple[str, int, int, str, str, int, dict[str, int]]
"""An event: network, block, log index, contract, signature, timestamp, its integers by name."""


# --- checks -----------------------------------------------------------------------------------------------


def add_checks(connection: sa.Connection, name: str, checks: Iterable[Check]) -> None:
    """Store new checks of ``name``; those that are stored stay as they are."""
    rows = [{"name": name, **check._asdict(), "positions": _positions(check.positions)} for check in checks]
    _insert_new(connection, invariant_checks, rows)


def checks(connection: sa.Connection, name: str, *, unplaced: bool = False) -> list[Check]:
    """Return the checks of ``name`` in the order of their times: all, or those ``unplaced`` on other networks."""
    c = invariant_checks.c
    columns = (c.network, c.block, c.timestamp, c.is_provisional, c.positions, c.holds, c.error)
    query = sa.select(*columns).where(c.name == name).order_by(c.timestamp, c.network, c.block)
    rows = connection.execute(query.where(c.positions.is_(None)) if unplaced else query)
    return [
        Check(*row[:4], None if row[4] is None else msgspec.json.decode(row[4]), *row[5:]) for row in rows
    ]


def save_check(connection: sa.Connection, name: str, check: Check) -> None:
    """Store what became of a check that is stored."""
    values = {"positions": _positions(check.positions), "holds": check.holds, "error": check.error}
    connection.execute(sa.update(invariant_checks).where(_at(invariant_checks, name, check)).values(values))


def drop_checks(connection: sa.Connection, name: str, dropped: Iterable[Check]) -> None:
    """Delete checks of ``name``."""
    for check in dropped:
        connection.execute(sa.delete(invariant_checks).where(_at(invariant_checks, name, check)))


def drop_provisional(connection: sa.Connection, name: str, network: str) -> None:
    """Delete checks of ``name`` at blocks of ``network`` for which a newer one stands, unless they are done."""
    c, r = invariant_checks.c, invariant_readings.c
    here = sa.and_(c.name == name, c.network == network, c.is_provisional, c.holds.is_(None))
    blocks = list(connection.execute(sa.select(c.block).where(here)).scalars())
    if blocks:
        connection.execute(sa.delete(invariant_checks).where(here))
        unread = sa.and_(r.name == name, r.network == network, r.block.in_(blocks), r.is_wanted)
        connection.execute(sa.delete(invariant_readings).where(unread))


# --- readings ---------------------------------------------------------------------------------------------


def add_readings(connection: sa.Connection, readings: Iterable[Reading]) -> None:
    """Store new readings; those that are stored stay as they are."""
    rows = [{**reading._asdict(), "content": _packed(reading.content)} for reading in readings]
    _insert_new(connection, invariant_readings, rows)


def save_reading(connection: sa.Connection, reading: Reading) -> bool:
    """Store what was read, unless the block is gone or was read already; return whether it is stored."""
    r = invariant_readings.c
    here = sa.and_(_at(invariant_readings, reading.name, reading), r.hash == reading.hash, r.is_wanted)
    values = {"is_wanted": False, "content": _packed(reading.content), "error": reading.error}
    return connection.execute(sa.update(invariant_readings).where(here).values(values)).rowcount > 0


def replace_content(connection: sa.Connection, reading: Reading) -> None:
    """Store other values of a reading that is stored."""
    here = _at(invariant_readings, reading.name, reading)
    connection.execute(sa.update(invariant_readings).where(here).values(content=_packed(reading.content)))


def readings(connection: sa.Connection, name: str, network: str | None = None) -> list[Reading]:
    """Return the readings of ``name``, perhaps of one network only, by block."""
    r = invariant_readings.c
    query = sa.select(invariant_readings).where(r.name == name).order_by(r.block)
    rows = connection.execute(query if network is None else query.where(r.network == network))
    return [_reading(row) for row in rows]


def reading(connection: sa.Connection, name: str, network: str, block: int) -> Reading | None:
    """Return what ``name`` reads of one block."""
    r = invariant_readings.c
    here = sa.and_(r.name == name, r.network == network, r.block == block)
    row = connection.execute(sa.select(invariant_readings).where(here)).first()
    return None if row is None else _reading(row)


def wanted_readings(connection: sa.Connection, network: str, limit: int) -> list[Reading]:
    """Return up to ``limit`` readings of ``network`` that are still to be read, by block."""
    r = invariant_readings.c
    query = sa.select(invariant_readings).where(r.network == network, r.is_wanted)
    return [_reading(row) for row in connection.execute(query.order_by(r.block, r.name).limit(limit))]


def drop_readings(connection: sa.Connection, name: str, network: str, before: int) -> None:
    """Delete the readings of ``name`` of blocks of ``network`` before ``before``."""
    r = invariant_readings.c
    here = sa.and_(r.name == name, r.network == network, r.block < before)
    connection.execute(sa.delete(invariant_readings).where(here))


# --- events -----------------------------------------------------------------------------------------------


def add_events(connection: sa.Connection, events: Iterable[Counted]) -> None:
    """Store events; those that are stored stay as they are."""
    names = ("network", "block", "log_index", "contract", "signature", "timestamp")
    rows = [
        {**dict(zip(names, event[:6], strict=True)), "args": occurrences.encode_facts(dict(event[6]))}
        for event in events
    ]
    _insert_new(connection, invariant_events, rows)


def events_between(
    connection: sa.Connection, network: str, kind: tuple[str, str], since: float, until: int, block: int
) -> list[dict[str, Any]]:
    """Return the integers of the events of ``kind`` with ``since`` < timestamp <= ``until``, up to ``block``, in order."""
    e = invariant_events.c
    here = sa.and_(
        e.network == network,
        e.contract == kind[0],
        e.signature == kind[1],
        e.timestamp > since,
        e.timestamp <= until,
        e.block <= block,
    )
    query = sa.select(e.args).where(here).order_by(e.block, e.log_index)
    return [occurrences.decode_facts(args) for args in connection.execute(query).scalars()]


def drop_events(connection: sa.Connection, network: str, positions: Iterable[tuple[int, int]]) -> None:
    """Delete the events of ``network`` at ``positions`` (block, log index)."""
    e = invariant_events.c
    for block, log_index in positions:
        here = sa.and_(e.network == network, e.block == block, e.log_index == log_index)
        connection.execute(sa.delete(invariant_events).where(here))


def forget_events(connection: sa.Connection) -> None:
    """Delete all events."""
    connection.execute(sa.delete(invariant_events))


def prune_events(connection: sa.Connection, before: int, limit: int) -> int:
    """Delete up to ``limit`` events from before ``before`` (chain time); return how many."""
    e = invariant_events.c
    old = sa.select(e.network, e.block, e.log_index).where(e.timestamp < before).limit(limit)
    rows = connection.execute(old).all()
    for row in rows:
        drop_events(connection, row.network, [(row.block, row.log_index)])
    return len(rows)


# --- alerts and cursors -----------------------------------------------------------------------------------


def raised(connection: sa.Connection, name: str) -> dict[str, RaisedAlert]:
    """Return what ``name`` has raised that has not ended, by condition."""
    query = sa.select(invariant_alerts).where(invariant_alerts.c.name == name)
    return {row.condition: _alert(row) for row in connection.execute(query)}


def raised_by_name(connection: sa.Connection) -> dict[str, list[RaisedAlert]]:
    """Return all that is raised and has not ended, by the invariant."""
    found: dict[str, list[RaisedAlert]] = {}
    for row in connection.execute(sa.select(invariant_alerts)):
        found.setdefault(row.name, []).append(_alert(row))
    return found


def save_raised(connection: sa.Connection, alert: RaisedAlert) -> None:
    """Store what was raised, in place of what its condition had raised before."""
    drop_raised(connection, alert)
    texts = {"labels": _json(alert.labels), "annotations": _json(alert.annotations)}
    connection.execute(sa.insert(invariant_alerts).values({**alert._asdict(), **texts}))


def drop_raised(connection: sa.Connection, alert: RaisedAlert) -> None:
    """Delete what has ended."""
    a = invariant_alerts.c
    here = sa.and_(a.name == alert.name, a.condition == alert.condition)
    connection.execute(sa.delete(invariant_alerts).where(here))


def cursors(connection: sa.Connection, network: str | None = None) -> dict[str, int]:
    """Return up to which block the events of sessions were read, by name, perhaps of one network only."""
    c = invariant_cursors.c
    query = sa.select(c.name, c.block)
    rows = connection.execute(query if network is None else query.where(c.network == network))
    return {row.name: row.block for row in rows}


def move_cursor(connection: sa.Connection, name: str, network: str, block: int) -> None:
    """Note that the events of ``name`` on ``network`` were read up to ``block``."""
    c = invariant_cursors.c
    connection.execute(sa.delete(invariant_cursors).where(c.name == name, c.network == network))
    connection.execute(sa.insert(invariant_cursors).values(name=name, network=network, block=block))


# --- all of it --------------------------------------------------------------------------------------------


def roll_back(connection: sa.Connection, network: str, block: int) -> None:
    """Delete what belongs to blocks of ``network`` after ``block``, but for alerts: these are to be ended."""
    for table in (invariant_checks, invariant_readings, invariant_events):
        connection.execute(sa.delete(table).where(table.c.network == network, table.c.block > block))
    c = invariant_cursors.c
    connection.execute(
        sa.update(invariant_cursors).where(c.network == network, c.block > block).values(block=block)
    )


def forget_checks(connection: sa.Connection, name: str) -> None:
    """Delete what was read and checked for ``name``, but for its alerts and up to where its events were read."""
    for table in (invariant_checks, invariant_readings):
        connection.execute(sa.delete(table).where(table.c.name == name))


def forget(connection: sa.Connection, name: str) -> None:
    """Delete all of ``name`` but for its alerts: these are to be ended."""
    forget_checks(connection, name)
    connection.execute(sa.delete(invariant_cursors).where(invariant_cursors.c.name == name))


def known_names(connection: sa.Connection) -> set[str]:
    """Return the names of invariants of which anything is stored beside their definitions."""
    names: set[str] = set()
    for table in (invariant_checks, invariant_readings, invariant_alerts, invariant_cursors):
        names.update(connection.execute(sa.select(table.c.name).distinct()).scalars())
    return names


def newest_revision(connection: sa.Connection) -> int:
    """Return the number of the newest change of a definition; 0 where there was none."""
    found = connection.execute(sa.select(sa.func.max(stored_invariants.c.revision))).scalar()
    return found or 0


# --- rows -------------------------------------------------------------------------------------------------


def _insert_new(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        connection.execute(insert(table).on_conflict_do_nothing(), rows)


def _at(table: sa.Table, name: str, place: Check | Reading) -> sa.ColumnElement[bool]:
    c = table.c
    return sa.and_(c.name == name, c.network == place.network, c.block == place.block)


def _reading(row: Any) -> Reading:
    content = None if row.content is None else occurrences.decode_facts(bytes(row.content))
    return Reading(
        row.name, row.network, row.block, bytes(row.hash), row.timestamp, row.is_wanted, content, row.error
    )


def _alert(row: Any) -> RaisedAlert:
    labels, annotations = msgspec.json.decode(row.labels), msgspec.json.decode(row.annotations)
    place = (row.name, row.condition, row.network, row.block)
    return RaisedAlert(*place, labels, annotations, row.starts_at, row.ends_at)


def _packed(content: Mapping[str, Any] | None) -> bytes | None:
    return None if content is None else occurrences.encode_facts(dict(content))


def _positions(positions: Mapping[str, int] | None) -> str | None:
    return None if positions is None else _json(positions)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
