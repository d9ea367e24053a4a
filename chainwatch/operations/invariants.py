"""Invariants: how each stands, its values and last checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from chainwatch.checker.invariants.compiler import InvariantError
from chainwatch.checker.invariants.judge import UNREAD, shown
from chainwatch.checker.invariants.sessions import NO_SEVERITY, SEVERITIES, Session
from chainwatch.config import Settings
from chainwatch.config.for_each import Element
from chainwatch.config.invariants import InvariantSettings
from chainwatch.config.kinds import LookUp
from chainwatch.invariants.definitions import SESSION, listed, settings_of
from chainwatch.invariants.listing import family_of
from chainwatch.operations.accepted_values import AcceptedView, accepted_view, values_to_accept
from chainwatch.operations.checks import check_one_of, no_such
from chainwatch.operations.context import Context
from chainwatch.operations.errors import NotFound
from chainwatch.operations.paging import Cursors, Page, check_limit
from chainwatch.store import definitions, elements, invariants
from chainwatch.store.definitions import Definition
from chainwatch.store.invariants import Check, RaisedAlert

FILE, API = "file", "api"
"""Where an invariant comes from."""
STATES = ("violated", "unread", "broken", "empty", "waiting", "stopped", "holds")
"""Those of invariants, the worst first."""
CURSORS = Cursors("invariants", 2)
CHECKS_SHOWN = 20


class InvariantView(msgspec.Struct, frozen=True):
    """An invariant: ``state`` is holds, broken (not yet for long enough), violated, unread, waiting or stopped.

    It is empty where a contract's list has no elements, so that nothing is checked: the list is shown then, as ``NAME:*``.
    ``since`` is the chain time since which an alert of it fires, ``block`` that of its newest check that was answered.
    """

    name: str
    origin: str
    severity: str
    condition: str
    networks: Sequence[str]
    state: str
    since: float | None
    block: int | None
    checked_at: float | None
    labels: Mapping[str, str] = {}
    """What its alerts have beside what all have, such as the element of a list that it is made of."""


class CheckView(msgspec.Struct, frozen=True):
    """A check: ``blocks`` are those that were read, by network; ``holds`` is None where there is no answer."""

    at: float
    blocks: Mapping[str, int]
    holds: bool | None
    values: str
    error: str | None


class InvariantDetails(msgspec.Struct, frozen=True):
    """An invariant with its newest checks, newest first; ``accepted`` is None where it compares with no such values.

    ``to_accept`` are the values that would be accepted now; empty where none can be.
    """

    invariant: InvariantView
    checks: Sequence[CheckView]
    accepted: AcceptedView | None = None
    to_accept: str = ""


def list_invariants(
    connection: sa.Connection,
    context: Context,
    now: float,
    *,
    name: str | None = None,
    state: str | None = None,
    limit: int = 100,
    after: str | None = None,
) -> Page[InvariantView]:
    """Return invariants: those of the configuration in its order, then those that were made while this runs.

    ``name``: only that one, and those of the elements of its lists. ``state``: only those in it. Raises ``Invalid``.
    """
    position = CURSORS.parse(after)
    wanted = check_limit(limit) + 1
    known = all_invariants(connection, context)
    positions = {one.name: index for index, one in enumerate(known)}
    first = -1 if position is None else _last_seen(known, *position)
    found = [one for one in chosen(known, name, state) if positions[one.name] > first]
    return CURSORS.page(
        found[:wanted], limit, lambda one: [positions[one.name], _number(one.name)], lambda one: one
    )


def _last_seen(views: Sequence[InvariantView], position: int, number: int) -> int:
    """Return where the last row of a page is now. Where it is gone, all after it have moved, perhaps by more than one."""
    return next((i for i, one in enumerate(views) if _number(one.name) == number), position - 1)


def _number(name: str) -> int:
    return int.from_bytes(sha256(name.encode(errors="surrogatepass")).digest()[:6])


def chosen(views: Iterable[InvariantView], name: str | None, state: str | None) -> list[InvariantView]:
    """Return those of ``views`` with a name or of its elements, and in a state. Raises ``Invalid``."""
    if state is not None:
        check_one_of("state", state, STATES)
    return [
        one
        for one in views
        if (name is None or name in (one.name, family_of(one.name))) and state in (None, one.state)
    ]


def all_invariants(connection: sa.Connection, context: Context) -> list[InvariantView]:
    """Return all invariants, in the order of `list_invariants`."""
    of_file = set(map(family_of, context.settings.invariants))
    made = [one for one in definitions.kept(connection) if one.name not in of_file]
    known = _Known.load(connection)
    files = [view for name in context.settings.invariants for view in _of_file(known, context.settings, name)]
    files += [_of_look_up(known, name, one) for name, one in context.settings.look_ups.items()]
    return [*files, *(view for one in made for view in _of_definition(known, context.settings, one))]


def show_invariant(connection: sa.Connection, context: Context, now: float, *, name: str) -> InvariantDetails:
    """Return the invariant ``name`` with its newest checks."""
    known = {one.name: one for one in all_invariants(connection, context)}
    found = known.get(name)
    if found is None:
        raise NotFound(no_such_invariant(name, known))
    checks = check_views(connection, name)[: -CHECKS_SHOWN - 1 : -1]
    return InvariantDetails(
        found, checks, accepted_view(connection, name), values_to_accept(connection, name)
    )


def no_such_invariant(name: str, known: Iterable[str]) -> str:
    """Return the message about a name that is none of those that are ``known``."""
    elements = sorted(one for one in known if family_of(one) == name)
    if elements:
        which = f"{elements[0]} or {elements[-1]}" if len(elements) > 1 else elements[0]
        return f"{name} is made for each element of a list ({len(elements)} at present): name one, such as {which}"
    return no_such("invariant", name, known)


def view_of(connection: sa.Connection, context: Context, stored: Definition) -> InvariantView:
    """Return an invariant that was made while this runs; one of lists as a whole."""
    return _as_a_whole(_Known.load(connection), context.settings, stored)


class _Known(NamedTuple):
    """What is stored of all invariants, by name, so that many are shown by few queries."""

    raised: Mapping[str, Sequence[RaisedAlert]]
    answered: Mapping[str, Check]
    cursors: Mapping[str, int]
    lists: Mapping[str, elements.Lists]

    @classmethod
    def load(cls, connection: sa.Connection) -> _Known:
        return cls(
            invariants.raised_by_name(connection),
            invariants.newest_answered(connection),
            invariants.cursors(connection),
            elements.load(connection),
        )


def _of_file(known: _Known, settings: Settings, name: str) -> list[InvariantView]:
    return _of_tables(known, [(settings.invariants[name], settings.elements.get(name))], FILE)


def _of_tables(
    known: _Known, tables: Iterable[tuple[InvariantSettings, Element | None]], origin: str
) -> list[InvariantView]:
    found: list[InvariantView] = []
    for table, element in tables:
        if element is None or element.template is None:
            if element is None or not element.is_sample:
                found.append(_of_table(known, table, element, origin))
        else:
            found += _of_lists(known, table, element, origin)
    return found


def _of_lists(known: _Known, reads: InvariantSettings, element: Element, origin: str) -> list[InvariantView]:
    """Return the invariants of the elements that were read last.

    What ``reads`` the lists stands beside them where it has an alert of its own, and in their place where there are none.
    """
    lists = known.lists.get(element.family)
    reader = _of_table(known, reads, element, origin)
    if not lists:
        return [reader]
    valid, others = listed(element, lists)
    found = [_of_table(known, table, one, origin) for table, one in valid]
    for name, (reason, one) in others.items():
        found.append(_view(known, name, origin, reads.severity, reason, reads.networks, "unread", one.labels))
    if not found and reader.state in ("holds", "waiting"):
        reader = msgspec.structs.replace(reader, state="empty")
    return found if found and not known.raised.get(reads.name) else [reader, *found]


def _of_table(known: _Known, table: InvariantSettings, element: Element | None, origin: str) -> InvariantView:
    labels = {} if element is None else element.labels
    return _view(known, table.name, origin, table.severity, table.assert_, table.networks, "waiting", labels)


def _of_look_up(known: _Known, name: str, one: LookUp) -> InvariantView:
    networks = tuple(dict.fromkeys((one.layer1, one.layer2)))
    return _view(known, name, FILE, one.severity, one.heuristic, networks, "waiting")


def _of_definition(known: _Known, settings: Settings, stored: Definition) -> list[InvariantView]:
    """Return what was made while this runs: of one of lists that runs, each element."""
    if stored.kind != SESSION and stored.is_running:
        try:
            return _of_tables(known, settings_of(stored), API)
        except InvariantError:  # made by another version
            pass
    return [_as_a_whole(known, settings, stored)]


def _as_a_whole(known: _Known, settings: Settings, stored: Definition) -> InvariantView:
    state = "waiting" if stored.is_running else "stopped"
    if stored.kind != SESSION:
        try:
            tables = [table for table, _ in settings_of(stored)]
        except InvariantError as error:
            return _view(known, stored.name, API, "", f"not valid: {error}", (), state)
        condition = msgspec.json.decode(stored.settings).get("assert", tables[-1].assert_)
        networks = list(dict.fromkeys(network for table in tables for network in table.networks))
        return _view(known, stored.name, API, tables[-1].severity, condition, networks, state)
    session = msgspec.json.decode(stored.settings, type=Session)
    params = ", ".join(f"{key} = {value}" for key, value in session.params.items())
    network = settings.pessimism.networks.get(session.layer)
    return _view(
        known,
        stored.name,
        API,
        SEVERITIES.get(session.severity, NO_SEVERITY),
        f"{session.heuristic}: {params}",
        [] if network is None else [network],
        state,
    )


def _view(
    known: _Known,
    name: str,
    origin: str,
    severity: str,
    condition: str,
    networks: Sequence[str],
    state: str,
    labels: Mapping[str, str] = MappingProxyType({}),
) -> InvariantView:
    raised = known.raised.get(name, [])
    conditions = {alert.condition for alert in raised}
    answered_last = known.answered.get(name)
    block, at = (None, None) if answered_last is None else (answered_last.block, answered_last.timestamp)
    if block is None:
        block = known.cursors.get(name)
    since = min((alert.starts_at for alert in raised), default=None)
    if UNREAD in conditions:
        state = "unread"
    elif raised:
        state = "violated"
    elif answered_last is not None:
        state = "holds" if answered_last.holds else "broken"
    elif state == "waiting" and block is not None:
        state = "holds"
    return InvariantView(
        name, origin, severity, condition, list(networks), state, since, block, at, dict(labels)
    )


def check_views(connection: sa.Connection, name: str) -> list[CheckView]:
    """Return the stored checks of ``name`` with what they read, in the order of their times."""
    checks = invariants.checks(connection, name)
    places = {place for check in checks for place in check.places(name)}
    readings = invariants.readings_at(connection, places)
    found = []
    for check in checks:
        read = [readings.get((name, network, block)) for network, block in check.blocks.items()]
        values = ", ".join(shown(one.content) for one in read if one is not None and one.content is not None)
        found.append(CheckView(check.timestamp, check.blocks, check.holds, values, check.error))
    return found
