"""Sessions of Pessimism's JSON API: made, updated, stopped, started again and deleted while this runs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from chainwatch.checker.invariants.sessions import EventSession, Session, SessionError, compile_session
from chainwatch.invariants.definitions import SESSION
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Conflict, Invalid, NotFound
from chainwatch.operations.invariant_making import INVARIANTS_MAX
from chainwatch.operations.queries import network_views
from chainwatch.store import definitions, invariants
from chainwatch.store.definitions import Definition


class SessionView(msgspec.Struct, frozen=True):
    """A session; times are Unix seconds. ``deleted_at`` is None unless it is deleted."""

    uuid: str
    session: Session
    is_running: bool
    created_at: float
    updated_at: float
    deleted_at: float | None


class Changes(msgspec.Struct, frozen=True):
    """What of a session is to be changed; None for what stays. A parameter that is null is dropped.

    With another heuristic the parameters are those given, with another layer ``start`` is.
    """

    layer: str | None = None
    heuristic: str | None = None
    start: int | None = None
    params: Mapping[str, Any] | None = None
    severity: str | None = None
    destination: str | None = None
    message: str | None = None
    cooldown: int | None = None


class ChainHealth(msgspec.Struct, frozen=True):
    """Whether the networks of both layers are read up to their heads."""

    layer1: bool
    layer2: bool


def run(connection: sa.Connection, context: Context, now: float, *, session: Session, author: str) -> str:
    """Store a session and return its id; it is checked from the next block on. Raises ``Invalid`` and ``Conflict``."""
    if len(definitions.kept(connection)) >= INVARIANTS_MAX:
        raise Conflict(f"there are {INVARIANTS_MAX} sessions: delete some")
    name = str(uuid.uuid4())
    compiled = _check(context, name, session)
    definitions.save(connection, _definition(name, session, author, now))
    if isinstance(compiled, EventSession) and session.start is not None:
        invariants.move_cursor(connection, name, compiled.network, session.start - 1)
    return name


def update(connection: sa.Connection, context: Context, now: float, *, name: str, changes: Changes) -> str:
    """Change a session, which stays running or stopped. Raises ``Invalid`` and ``NotFound``."""
    known = _find(connection, name)
    session = msgspec.json.decode(known.settings, type=Session)
    given = {key: value for key, value in msgspec.structs.asdict(changes).items() if value is not None}
    is_other = changes.heuristic not in (None, session.heuristic)
    if changes.params is not None or is_other:
        merged = {**({} if is_other else session.params), **(changes.params or {})}
        given["params"] = {key: value for key, value in merged.items() if value is not None}
    if is_other or changes.layer not in (None, session.layer):
        given["start"] = changes.start  # a block of another network means nothing here
    changed = msgspec.structs.replace(session, **given)
    compiled = _check(context, name, changed)
    definitions.save(connection, known._replace(settings=_json(changed), updated_at=now))
    if (changed.layer, changed.heuristic) != (session.layer, session.heuristic) or changes.start is not None:
        invariants.forget(connection, [name])
        if isinstance(compiled, EventSession) and changed.start is not None:
            invariants.move_cursor(connection, name, compiled.network, changed.start - 1)
    return name


def stop(connection: sa.Connection, context: Context, now: float, *, name: str) -> str:
    """Stop a session; its alerts end. Raises ``NotFound``."""
    known = _find(connection, name)
    if known.is_running:
        definitions.save(connection, known._replace(is_running=False, updated_at=now))
    return name


def start(connection: sa.Connection, context: Context, now: float, *, name: str) -> str:
    """Start a session again that was stopped. Raises ``NotFound``, and ``Invalid`` where it does not fit any more."""
    known = _find(connection, name)
    _check(context, name, msgspec.json.decode(known.settings, type=Session))
    if not known.is_running:
        definitions.save(connection, known._replace(is_running=True, updated_at=now))
    return name


def delete(connection: sa.Connection, context: Context, now: float, *, name: str) -> str:
    """Delete a session; its alerts end. Raises ``NotFound``."""
    known = _find(connection, name)
    definitions.save(connection, known._replace(is_running=False, is_deleted=True, updated_at=now))
    return name


def show(connection: sa.Connection, context: Context, now: float, *, name: str) -> SessionView:
    """Return a session, also one that was deleted lately. Raises ``NotFound``."""
    known = definitions.find(connection, name)
    if known is None or known.kind != SESSION:
        raise NotFound("no session has this uuid")
    session = msgspec.json.decode(known.settings, type=Session)
    deleted_at = known.updated_at if known.is_deleted else None
    return SessionView(name, session, known.is_running, known.created_at, known.updated_at, deleted_at)


def chain_health(connection: sa.Connection, context: Context, now: float) -> ChainHealth:
    """Return whether the networks of both layers are live; a layer without a network is not."""
    states = {view.name: view.state for view in network_views(connection, context, now)}
    layers = context.settings.pessimism.networks
    layer1, layer2 = (states.get(layers.get(layer, "")) == "live" for layer in ("layer1", "layer2"))
    return ChainHealth(layer1, layer2)


def _find(connection: sa.Connection, name: str) -> Definition:
    known = definitions.find(connection, name)
    if known is None or known.is_deleted or known.kind != SESSION:
        raise NotFound("no session has this uuid")
    return known


def _check(context: Context, name: str, session: Session) -> object:
    """Return what the session comes to. Raises ``Invalid``."""
    try:
        return compile_session(name, session, context.settings.pessimism.networks)
    except SessionError as error:
        raise Invalid(str(error)) from error


def _definition(name: str, session: Session, author: str, now: float) -> Definition:
    return Definition(name, _json(session), SESSION, True, False, 0, author, now, now)


def _json(session: Session) -> str:
    return msgspec.json.encode(session).decode()
