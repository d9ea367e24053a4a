"""The values with which an invariant is compared: those that were read first, until somebody accepts others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec
import sqlalchemy as sa

from chainwatch.checker.invariants.invariant import Values
from chainwatch.checker.invariants.judge import CUT, shown
from chainwatch.operations.checks import no_such
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Conflict, NotFound
from chainwatch.store import accepted_values, definitions, invariants
from chainwatch.store.accepted_values import BY_NOBODY, Accepted
from chainwatch.store.invariants import Check
from chainwatch.support.printable import clean

SEEN_MAX = 2_000
"""Characters of the values that somebody has seen, in the message that there are others."""


_PLAIN = re.compile("[!-+\\--~]+( [!-+\\--~]+)*")
"""Texts that nothing else looks like, and that end where the comma after them is."""


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


def find_values_to_accept(connection: sa.Connection, context: Context, now: float, *, name: str) -> str:
    """Return the values that `accept_values` would accept now. Raises as that does."""
    return _text(_to_accept(connection, context, name)[2])


def accept_values(
    connection: sa.Connection,
    context: Context,
    now: float,
    *,
    name: str,
    author: str,
    values: str | None = None,
) -> AcceptedView:
    """Accept the values that the invariant ``name`` read last; an alert about them ends at the next block.

    ``values``: those that the person has seen, as `values_to_accept` returned them; no others are accepted.

    Raises ``NotFound``, and ``Conflict`` where these are other ``values``, its condition reads no accepted values, or it
    has never been checked.
    """
    first, check, read = _to_accept(connection, context, name)
    text = _text(read)
    if values is not None and clean(values).strip() != clean(text).strip():
        raise Conflict(f"{name} has read other values last: {text}; not {values[:SEEN_MAX]}")
    place = (name, check.network, check.block, check.timestamp)
    accepted_values.save(connection, Accepted(*place, first.reads, read, author, now))
    return AcceptedView(name, text, *place[1:], author, now)


def _to_accept(connection: sa.Connection, context: Context, name: str) -> tuple[Accepted, Check, Values]:
    """Return what is accepted, and the newest check with its values."""
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
    return first, check, values


def values_to_accept(connection: sa.Connection, name: str) -> str:
    """Return the values that would be accepted now; empty where none can be."""
    first = accepted_values.newest(connection, name)
    check = invariants.last_answered(invariants.checks(connection, name))
    values = None if first is None or check is None else _values(connection, name, check, first)
    return "" if values is None else _text(values)


def accepted_view(connection: sa.Connection, name: str) -> AcceptedView | None:
    """Return what is accepted of the invariant ``name``; None where its condition reads no accepted values."""
    one = accepted_values.newest(connection, name)
    if one is None:
        return None
    by = (None, None) if one.author == BY_NOBODY else (one.author, one.accepted_at)
    return AcceptedView(name, _text(one.content), one.network, one.block, one.timestamp, *by)


def _text(values: Values) -> str:
    """Return values as text: different ones have different texts, also where long ones are cut off or texts look alike."""
    text = shown(values)
    if CUT not in text and _is_plain(values):
        return text
    return f"{text} (SHA-256 {sha256(repr(sorted(values.items())).encode()).hexdigest()[:16]})"


def _is_plain(value: Any) -> bool:
    match value:
        case str():
            return _PLAIN.fullmatch(value) is not None
        case list():
            return all(map(_is_plain, value))
        case Mapping():
            return all(map(_is_plain, value.values()))
        case _:
            return True


def _values(connection: sa.Connection, name: str, check: Check, accepted: Accepted) -> Values | None:
    """Return the values of ``check`` that are compared; None unless all are known."""
    found: dict[str, Any] = {}
    for reading in invariants.readings_at(connection, check.places(name)).values():
        for key, value in (reading.content or {}).items():
            is_sum = key in found and key in accepted.content  # what is read on several networks
            found[key] = found[key] + value if is_sum else value
    values = {key: found[key] for key in accepted.content if key in found}
    return values if len(values) == len(accepted.content) else None
