"""Rows of invariants: their definitions, when they are checked, what was read, what they raised. Times are chain time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
import sqlalchemy as sa

from chainwatch.store import bulk, due_checks, elements, invariant_history, occurrences, schema
from chainwatch.store.invariant_tables import (
    invariant_alerts,
    invariant_checks,
    invariant_cursors,
    invariant_events,
    invariant_readings,
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

    @property
    def blocks(self) -> Mapping[str, int]:
        """The blocks of its networks, as far as they are known: of several networks its own one alone at first."""
        return self.positions or {self.network: self.block}

    def places(self, name: str) -> list[Place]:
        """Return where the invariant ``name`` reads its values for this check; none until all blocks are known."""
        return [(name, network, block) for network, block in (self.positions or {}).items()]


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


Place = tuple[str, str, int]
"""Where something is read: the invariant's name, the network, the block."""
PLACE = ("name", "network", "block")
CHECKS_AS_OF = "invariant_checks_as_of"
"""The property for as of which transaction checks are kept in memory."""
NAMED_AT_ONCE = 500
"""Values that one statement names."""
T = TypeVar("T")

_c = invariant_checks.c
_CHECK_COLUMNS = ("name", *Check._fields)
_CHECK = (_c.name, _c.network, _c.block, _c.timestamp, _c.is_provisional, _c.positions, _c.holds, _c.error)
_AT = "WHERE name = ? AND network = ? AND block = ?"
_SAVE_CHECK = f"UPDATE invariant_checks SET positions = ?, holds = ?, error = ? {_AT}"  # noqa: S608 - our own names
_SAVE_READING = f"UPDATE invariant_readings SET is_wanted = ?, content = ?, error = ? {_AT}"  # noqa: S608
_WANTED_AT = "SELECT name, hash FROM invariant_readings WHERE network = ? AND block = ? AND is_wanted"
_READINGS = f"SELECT {', '.join(Reading._fields)} FROM invariant_readings"  # noqa: S608
_WANTED = f"{_READINGS} WHERE network = ? AND is_wanted ORDER BY block, name LIMIT ?"
_ANSWERED = (
    f"SELECT {', '.join(f'one.{column}' for column in _CHECK_COLUMNS)} FROM invariant_checks AS one JOIN "  # noqa: S608
    "(SELECT name, max(timestamp) AS newest FROM invariant_checks WHERE holds IS NOT NULL GROUP BY name) AS last "
    "ON one.name = last.name AND one.timestamp = last.newest WHERE one.holds IS NOT NULL "
    "ORDER BY one.network, one.block"
)


# --- checks -----------------------------------------------------------------------------------------------


def add_checks(connection: sa.Connection, added: Iterable[tuple[str, Check]]) -> None:
    """Store new checks, by their invariants; those that are stored stay as they are."""
    rows = [(name, *check[:4], _positions(check.positions), *check[5:]) for name, check in added]
    bulk.insert(connection, invariant_checks, _CHECK_COLUMNS, rows)


def all_checks(connection: sa.Connection) -> dict[str, list[Check]]:
    """Return all checks by their invariants, in the order of their times."""
    found: dict[str, list[Check]] = {}
    c = invariant_checks.c
    for row in connection.execute(sa.select(*_CHECK).order_by(c.timestamp, c.network, c.block)):
        found.setdefault(row[0], []).append(_check(row))
    return found


def answered_checks(connection: sa.Connection) -> Iterator[Sequence[tuple[str, Check]]]:
    """Yield all checks that were answered, with their invariants, some at a time in the order of their times."""
    c = invariant_checks.c
    query = sa.select(*_CHECK).where(c.holds.is_not(None)).order_by(c.timestamp, c.network, c.block, c.name)
    for rows in connection.execute(query).partitions(NAMED_AT_ONCE):
        yield [(row[0], _check(row)) for row in rows]


def checks(connection: sa.Connection, name: str) -> list[Check]:
    """Return the checks of ``name`` in the order of their times."""
    c = invariant_checks.c
    query = sa.select(*_CHECK).where(c.name == name).order_by(c.timestamp, c.network, c.block)
    return [_check(row) for row in connection.execute(query)]


def last_answered(checks: Sequence[Check]) -> Check | None:
    """Return the last of ``checks`` that was answered."""
    return next((check for check in reversed(checks) if check.holds is not None), None)


def newest_answered(connection: sa.Connection) -> dict[str, Check]:
    """Return the newest check of each invariant that was answered."""
    return {row[0]: _check(row) for row in bulk.select(connection, _ANSWERED)}


def save_checks(connection: sa.Connection, saved: Iterable[tuple[str, Check]]) -> None:
    """Store what became of checks that are stored, by their invariants."""
    rows = [
        (_positions(one.positions), one.holds, one.error, name, one.network, one.block) for name, one in saved
    ]
    bulk.change(connection, _SAVE_CHECK, rows)


def drop_checks(connection: sa.Connection, dropped: Iterable[tuple[str, Check]]) -> None:
    """Delete checks, by their invariants."""
    rows = [(name, one.network, one.block) for name, one in dropped]
    bulk.delete(connection, invariant_checks, PLACE, rows)


# --- readings ---------------------------------------------------------------------------------------------


def add_readings(connection: sa.Connection, readings: Iterable[Reading]) -> None:
    """Store new readings; those that are stored stay as they are."""
    rows = [(*one[:6], _packed(one.content), one.error) for one in readings]
    bulk.insert(connection, invariant_readings, Reading._fields, rows)


def save_readings(
    connection: sa.Connection, network: str, block: int, read: Sequence[Reading]
) -> list[Reading]:
    """Store what was read of one block, unless that is gone or was read already; return what is stored."""
    wanted: dict[str, bytes] = {}
    for some in _chunks([one.name for one in read]):
        query = f"{_WANTED_AT} AND name IN ({_marks(some)})"
        found = bulk.select(connection, query, (network, block, *some))
        wanted |= {name: bytes(hash_) for name, hash_ in found}
    stored = [one for one in read if wanted.get(one.name) == one.hash]
    rows = [(one.is_wanted, _packed(one.content), one.error, one.name, network, block) for one in stored]
    bulk.change(connection, _SAVE_READING, rows)
    return stored


def replace_content(connection: sa.Connection, reading: Reading) -> None:
    """Store other values of a reading that is stored."""
    r = invariant_readings.c
    here = sa.and_(r.name == reading.name, r.network == reading.network, r.block == reading.block)
    connection.execute(sa.update(invariant_readings).where(here).values(content=_packed(reading.content)))


def readings(connection: sa.Connection, name: str, network: str | None = None) -> list[Reading]:
    """Return the readings of ``name``, perhaps of one network only, by block."""
    r = invariant_readings.c
    query = sa.select(*(r[column] for column in Reading._fields)).where(r.name == name).order_by(r.block)
    rows = connection.execute(query if network is None else query.where(r.network == network))
    return [_reading(row) for row in rows]


def readings_at(connection: sa.Connection, places: Collection[Place]) -> dict[Place, Reading]:
    """Return the readings at ``places``."""
    blocks = sorted({block for _, _, block in places})
    found: dict[Place, Reading] = {}
    for names in _chunks(sorted({name for name, _, _ in places})):
        for some in _chunks(blocks):
            query = f"{_READINGS} WHERE name IN ({_marks(names)}) AND block IN ({_marks(some)})"
            for row in bulk.select(connection, query, (*names, *some)):
                if (place := tuple(row[:3])) in places:
                    found[place] = _reading(row)
    return found


def wanted_readings(connection: sa.Connection, network: str, limit: int) -> list[Reading]:
    """Return up to ``limit`` readings of ``network`` that are still to be read, by block."""
    return [_reading(row) for row in bulk.select(connection, _WANTED, (network, limit))]


def is_any_wanted(connection: sa.Connection) -> bool:
    """Return whether anything is still to be read of any network."""
    query = "SELECT 1 FROM invariant_readings WHERE is_wanted LIMIT 1"
    return bool(bulk.select(connection, query)) or due_checks.is_any(connection)


def drop_readings(connection: sa.Connection, places: Collection[Place]) -> None:
    """Delete the readings at ``places``."""
    bulk.delete(connection, invariant_readings, PLACE, list(places))


# --- alerts and cursors -----------------------------------------------------------------------------------


def raised(connection: sa.Connection, name: str) -> dict[str, RaisedAlert]:
    """Return what ``name`` has raised that has not ended, by condition."""
    return raised_of(connection, [name]).get(name, {})


def raised_of(connection: sa.Connection, names: Sequence[str]) -> dict[str, dict[str, RaisedAlert]]:
    """Return what each of ``names`` has raised that has not ended, by condition."""
    found: dict[str, dict[str, RaisedAlert]] = {}
    for row in bulk.select_in(connection, invariant_alerts, RaisedAlert._fields, "name", names):
        alert = _alert(row)
        found.setdefault(alert.name, {})[alert.condition] = alert
    return found


def raised_by_name(connection: sa.Connection) -> dict[str, list[RaisedAlert]]:
    """Return all that is raised and has not ended, by the invariant."""
    found: dict[str, list[RaisedAlert]] = {}
    for row in bulk.select(connection, f"SELECT {', '.join(RaisedAlert._fields)} FROM invariant_alerts"):  # noqa: S608
        alert = _alert(row)
        found.setdefault(alert.name, []).append(alert)
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
    if network is None:
        return dict(bulk.select(connection, "SELECT name, block FROM invariant_cursors"))
    query = "SELECT name, block FROM invariant_cursors WHERE network = ?"
    return dict(bulk.select(connection, query, (network,)))


def move_cursor(connection: sa.Connection, name: str, network: str, block: int) -> None:
    """Note that the events of ``name`` on ``network`` were read up to ``block``."""
    c = invariant_cursors.c
    connection.execute(sa.delete(invariant_cursors).where(c.name == name, c.network == network))
    connection.execute(sa.insert(invariant_cursors).values(name=name, network=network, block=block))


# --- all of it --------------------------------------------------------------------------------------------


def roll_back(connection: sa.Connection, network: str, block: int) -> None:
    """Delete what belongs to blocks of ``network`` after ``block``, but for alerts: these are to be ended."""
    schema.drop_property(connection, CHECKS_AS_OF)
    for table in (invariant_checks, invariant_readings, invariant_events):
        connection.execute(sa.delete(table).where(table.c.network == network, table.c.block > block))
    due_checks.roll_back(connection, network, block)
    invariant_history.roll_back(connection, network, block)
    c = invariant_cursors.c
    connection.execute(
        sa.update(invariant_cursors).where(c.network == network, c.block > block).values(block=block)
    )


def forget_checks(connection: sa.Connection, names: Collection[str]) -> None:
    """Delete what was read and checked for ``names``, but for their alerts and up to where their events were read."""
    if not names:
        return
    schema.drop_property(connection, CHECKS_AS_OF)
    for table in (invariant_checks, invariant_readings):
        bulk.delete(connection, table, ("name",), [(name,) for name in names])
    due_checks.forget(connection, names)
    invariant_history.forget(connection, names)


def forget(connection: sa.Connection, names: Collection[str]) -> None:
    """Delete all of ``names`` but for their alerts: these are to be ended."""
    forget_checks(connection, names)
    bulk.delete(connection, invariant_cursors, ("name",), [(name,) for name in names])


def known_names(connection: sa.Connection) -> set[str]:
    """Return the names of invariants of which anything is stored beside their definitions."""
    names = due_checks.names(connection)
    for table in (invariant_checks, invariant_readings, invariant_alerts, invariant_cursors):
        names.update(connection.execute(sa.select(table.c.name).distinct()).scalars())
    return names


def newest_revision(connection: sa.Connection) -> int:
    """Return a number that grows with each change of a definition or of a list of elements; 0 where there was none."""
    found = bulk.scalar(connection, "SELECT max(revision) FROM invariants")
    return (found or 0) + elements.revision(connection)


# --- rows -------------------------------------------------------------------------------------------------


def _marks(values: Sequence[Any]) -> str:
    return ",".join("?" * len(values))


def _chunks(values: Sequence[T]) -> Iterable[Sequence[T]]:
    """Yield ``values`` in parts that a statement can name."""
    for start in range(0, len(values), NAMED_AT_ONCE):
        yield values[start : start + NAMED_AT_ONCE]


def _check(row: Any) -> Check:
    _, network, block, timestamp, is_provisional, packed, answer, error = row
    positions = None if packed is None else msgspec.json.decode(packed)
    holds = None if answer is None else bool(answer)
    return Check(network, block, timestamp, bool(is_provisional), positions, holds, error)


def _reading(row: Any) -> Reading:
    name, network, block, hash_, timestamp, is_wanted, packed, error = row
    content = None if packed is None else occurrences.decode_facts(bytes(packed))
    return Reading(name, network, block, bytes(hash_), timestamp, bool(is_wanted), content, error)


def _alert(row: Any) -> RaisedAlert:
    name, condition, network, block, labels, annotations, starts_at, ends_at = row
    texts = msgspec.json.decode(labels), msgspec.json.decode(annotations)
    return RaisedAlert(name, condition, network, block, *texts, starts_at, ends_at)


def _packed(content: Mapping[str, Any] | None) -> bytes | None:
    return None if content is None else occurrences.encode_facts(dict(content))


def _positions(positions: Mapping[str, int] | None) -> str | None:
    return None if positions is None else _json(positions)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
