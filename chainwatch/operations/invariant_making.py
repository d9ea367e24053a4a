"""Invariants that are made while this runs: made, replaced, stopped, started again and deleted."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from chainwatch.checker.invariants.invariant import Invariant
from chainwatch.config import ConfigError
from chainwatch.config.for_each import FOR_EACH
from chainwatch.invariants.definitions import INVARIANT, compile_definition
from chainwatch.invariants.listing import family_of
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Conflict, Invalid, NotFound
from chainwatch.operations.invariants import InvariantView, view_of
from chainwatch.store import definitions, elements, invariants
from chainwatch.store.definitions import Definition

INVARIANTS_MAX = 1_000
"""Invariants and sessions that were made while this runs."""
MADE_MAX = 10_000
"""What these become, counting each element of their lists."""
NAME = r"[A-Za-z0-9._-]{1,200}"


def save_invariant(
    connection: sa.Connection,
    context: Context,
    now: float,
    *,
    name: str,
    settings: Mapping[str, Any],
    author: str,
) -> InvariantView:
    """Make the invariant ``name``, or replace it; ``settings`` are the keys of a table ``[invariants.NAME]``.

    It is checked from the next block on. Raises ``Invalid``, and ``Conflict`` for a name that the file or a session has.
    """
    if context.plan is None:
        raise Invalid("this process follows no networks")
    if not re.fullmatch(NAME, name):
        raise Invalid("the name has 1 to 200 letters, digits, `.`, `-` and `_`")
    known = definitions.find(connection, name)
    of_file = {*map(family_of, context.settings.invariants), *context.settings.look_ups}
    if name in of_file or (known is not None and known.kind != INVARIANT):
        raise Conflict(f"{name} is an invariant of the configuration file, or a session: change it there")
    kept = [one for one in definitions.kept(connection) if one.name != name]
    if len(kept) >= INVARIANTS_MAX:
        raise Conflict(f"there are {INVARIANTS_MAX} invariants: delete some")
    text = msgspec.json.encode(settings).decode()
    created_at = now if known is None or known.is_deleted else known.created_at
    stored = Definition(name, text, INVARIANT, True, False, 0, author, created_at, now)
    try:
        made = compile_definition(stored, context.settings, context.plan.invariants)
    except (ConfigError, ValueError) as error:
        raise Invalid(str(error)[:1_000]) from error
    if len(made) + sum(map(_size, kept)) > MADE_MAX:
        raise Conflict(
            f"the lists of all invariants that were made over HTTP have over {MADE_MAX} elements: delete some"
        )
    networks = {network for one in made if isinstance(one, Invariant) for network in one.networks}
    if missing := sorted(networks - context.plan.watches.keys()):
        raise Invalid(f"{', '.join(missing)}: not followed, as nothing in the configuration file watches it")
    _save(connection, stored, known)
    return view_of(connection, context, stored)


def stop_invariant(connection: sa.Connection, context: Context, now: float, *, name: str) -> InvariantView:
    """Stop an invariant that was made while this runs; its alerts end. Raises ``NotFound``."""
    return _switch(connection, context, now, name, is_running=False)


def start_invariant(connection: sa.Connection, context: Context, now: float, *, name: str) -> InvariantView:
    """Start an invariant again that was stopped. Raises ``NotFound``."""
    return _switch(connection, context, now, name, is_running=True)


def delete_invariant(connection: sa.Connection, context: Context, now: float, *, name: str) -> InvariantView:
    """Delete an invariant that was made while this runs; its alerts end. Raises ``NotFound``."""
    known = _made(connection, name)
    gone = known._replace(is_running=False, is_deleted=True, updated_at=now)
    _save(connection, gone, known)
    return view_of(connection, context, gone)


def _switch(
    connection: sa.Connection, context: Context, now: float, name: str, *, is_running: bool
) -> InvariantView:
    known = _made(connection, name)
    if known.is_running != is_running:
        known = known._replace(is_running=is_running, updated_at=now)
        definitions.save(connection, known)
    return view_of(connection, context, known)


def _made(connection: sa.Connection, name: str) -> Definition:
    known = definitions.find(connection, name)
    if known is None or known.is_deleted:
        raise NotFound("no invariant that was made while this runs has this name; others are in the file")
    return known


def _save(connection: sa.Connection, stored: Definition, before: Definition | None) -> None:
    """Store a definition. The checks of what it becomes begin anew; what contracts listed for other labels is forgotten."""
    definitions.save(connection, stored)
    is_other = before is not None and (stored.is_deleted or _labels(before) != _labels(stored))
    if is_other and before is not None and _lists(before):
        elements.save(connection, stored.name, {})
    known = invariants.known_names(connection)
    of_elements = [name for name in known if name != stored.name and family_of(name) == stored.name]
    invariants.forget_checks(connection, of_elements)


def _lists(stored: Definition) -> Mapping[str, Any]:
    found = msgspec.json.decode(stored.settings, type=dict).get(FOR_EACH, {})
    return found if isinstance(found, dict) else {}


def _labels(stored: Definition) -> dict[str, bool]:
    """Return the labels of its lists, and whether a contract keeps each."""
    return {label: isinstance(one, dict) for label, one in _lists(stored).items()}


def _size(stored: Definition) -> int:
    """Return how many invariants it becomes, as far as contracts do not say so."""
    return math.prod(len(one) for one in _lists(stored).values() if isinstance(one, list))
