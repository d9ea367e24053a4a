"""The values with which an invariant is compared: those that were read first, until somebody accepts others."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from chainwatch.checker.invariants.invariant import Values
from chainwatch.checker.invariants.judge import shown
from chainwatch.operations.checks import no_such
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Conflict, NotFound
from chainwatch.store import accepted_values, definitions, invariants
from chainwatch.store.accepted_values import BY_NOBODY, Accepted
from chainwatch.store.invariants import Check


class AcceptedView(msgspec.Struct, frozen=True):
    """Accepted values, of the check at ``block`` of ``network`` (``at`` is its chain time).

    ``author`` accepted them ``accepted_at`` (Unix seconds); both are None for those that were read first.
    """

    name: str
    values: str
    network: str
    block: int
    at: float
    author: str | None
    accepted_at: float | None


def accept_values(
    connection: sa.Connection, context: Context, now: float, *, name: str, author: str
) -> AcceptedView:
    """Accept the values that the invariant ``name`` read last; an alert about them ends at the next block.

    Raises ``NotFound``, and ``Conflict`` where its condition reads no accepted values, or it has never been checked.
    """
    first = accepted_values.newest(connection, name)
    if first is None:
        known = {*context.settings.invariants, *(one.name for one in definitions.kept(connection))}
        if name not in known and not invariants.checks(connection, name):
            raise NotFound(no_such("invariant", name, sorted(known)))
        raise Conflict(f"{name} compares with no accepted value, or no check of it was answered yet")
    check = invariants.last_answered(invariants.checks(connection, name))
    values = None if check is None else _values(connection, name, check, first)
    if check is None or values is None:
        raise Conflict(
            f"no check of {name} has been answered since it was changed: try again after the next block"
        )
    place = (name, check.network, check.block, check.timestamp)
    accepted_values.save(connection, Accepted(*place, first.reads, values, author, now))
    return AcceptedView(name, shown(values), *place[1:], author, now)


def values_to_accept(connection: sa.Connection, name: str) -> str:
    """Return the values that would be accepted now; empty where none can be."""
    first = accepted_values.newest(connection, name)
    check = invariants.last_answered(invariants.checks(connection, name))
    values = None if first is None or check is None else _values(connection, name, check, first)
    return "" if values is None else shown(values)


def accepted_view(connection: sa.Connection, name: str) -> AcceptedView | None:
    """Return what is accepted of the invariant ``name``; None where its condition reads no accepted values."""
    one = accepted_values.newest(connection, name)
    if one is None:
        return None
    by = (None, None) if one.author == BY_NOBODY else (one.author, one.accepted_at)
    return AcceptedView(name, shown(one.content), one.network, one.block, one.timestamp, *by)


def _values(connection: sa.Connection, name: str, check: Check, accepted: Accepted) -> Values | None:
    """Return the values of ``check`` that are compared; None unless all are known."""
    found: dict[str, object] = {}
    for reading in invariants.readings_at(connection, check.places(name)).values():
        found |= reading.content or {}
    values = {key: found[key] for key in accepted.content if key in found}
    return values if len(values) == len(accepted.content) else None
