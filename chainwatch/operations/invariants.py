"""Invariants: how each stands, its values and last checks, and a test that reads them now."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from chainwatch.chain.errors import ChainError
from chainwatch.chain.history import header_at
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.transport import open_session
from chainwatch.checker.expression import EvaluationError
from chainwatch.checker.invariants.compiler import InvariantError
from chainwatch.checker.invariants.invariant import Invariant, gather, of_block
from chainwatch.checker.invariants.judge import UNREAD, shown
from chainwatch.checker.invariants.sessions import NO_SEVERITY, SEVERITIES, EventSession, Session
from chainwatch.config import ConfigError, Settings
from chainwatch.config.kinds import LookUp
from chainwatch.invariants.definitions import INVARIANT, SESSION, compile_definition, listed, settings_of
from chainwatch.invariants.reads import answered, read_outcomes
from chainwatch.model import Header
from chainwatch.operations.accepted_values import AcceptedView, accepted_view
from chainwatch.operations.checks import no_such
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Conflict, Invalid, NotFound
from chainwatch.plan import Plan
from chainwatch.store import definitions, elements, invariants
from chainwatch.store.definitions import Definition
from chainwatch.store.invariants import Check, RaisedAlert

FILE, API = "file", "api"
"""Where an invariant comes from."""
CHECKS_SHOWN = 20
INVARIANTS_MAX = 1_000
"""Invariants and sessions that were made while this runs."""
NAME = r"[A-Za-z0-9._-]{1,200}"
PATIENCE = 10.0
"""Seconds for which a network is asked for its head."""


class InvariantView(msgspec.Struct, frozen=True):
    """An invariant: ``state`` is holds, broken (not yet for long enough), violated, unread, waiting or stopped.

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
    """An invariant with its newest checks, newest first; ``accepted`` is None where it compares with no such values."""

    invariant: InvariantView
    checks: Sequence[CheckView]
    accepted: AcceptedView | None = None


class InvariantTest(msgspec.Struct, frozen=True):
    """What an invariant reads now: ``holds`` is None where there is no answer, which ``error`` explains."""

    name: str
    blocks: Mapping[str, int]
    values: str
    holds: bool | None
    error: str | None


def list_invariants(connection: sa.Connection, context: Context, now: float) -> list[InvariantView]:
    """Return all invariants: those of the configuration in its order, then those that were made while this runs."""
    made = [one for one in definitions.kept(connection) if one.name not in context.settings.invariants]
    known = _Known.load(connection)
    files = [view for name in context.settings.invariants for view in _of_file(known, context.settings, name)]
    files += [_of_look_up(known, name, one) for name, one in context.settings.look_ups.items()]
    return [*files, *(_of_definition(known, context.settings, one) for one in made)]


def show_invariant(connection: sa.Connection, context: Context, now: float, *, name: str) -> InvariantDetails:
    """Return the invariant ``name`` with its newest checks."""
    found = next((one for one in list_invariants(connection, context, now) if one.name == name), None)
    if found is None:
        raise NotFound(no_such("invariant", name, list(context.settings.invariants)))
    checks = check_views(connection, name)[: -CHECKS_SHOWN - 1 : -1]
    return InvariantDetails(found, checks, accepted_view(connection, name))


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
    of_file = {*context.settings.invariants, *context.settings.look_ups}
    if name in of_file or (known is not None and known.kind != INVARIANT):
        raise Conflict(f"{name} is an invariant of the configuration file, or a session: change it there")
    if known is None and len(definitions.kept(connection)) >= INVARIANTS_MAX:
        raise Conflict(f"there are {INVARIANTS_MAX} invariants: delete some")
    text = msgspec.json.encode(settings).decode()
    created_at = now if known is None or known.is_deleted else known.created_at
    stored = Definition(name, text, INVARIANT, True, False, 0, author, created_at, now)
    try:
        made = compile_definition(stored, context.settings, context.plan.invariants)
    except (ConfigError, ValueError) as error:
        raise Invalid(str(error)[:1_000]) from error
    followed = context.plan.watches
    networks = (made.network,) if isinstance(made, EventSession) else made.networks
    if missing := [network for network in networks if network not in followed]:
        raise Invalid(f"{', '.join(missing)}: not followed, as nothing in the configuration file watches it")
    definitions.save(connection, stored)
    return _of_definition(_Known.load(connection), context.settings, stored)


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
    definitions.save(connection, gone)
    return _of_definition(_Known.load(connection), context.settings, gone)


def _switch(
    connection: sa.Connection, context: Context, now: float, name: str, *, is_running: bool
) -> InvariantView:
    known = _made(connection, name)
    if known.is_running != is_running:
        known = known._replace(is_running=is_running, updated_at=now)
        definitions.save(connection, known)
    return _of_definition(_Known.load(connection), context.settings, known)


def _made(connection: sa.Connection, name: str) -> Definition:
    known = definitions.find(connection, name)
    if known is None or known.is_deleted:
        raise NotFound("no invariant that was made while this runs has this name; others are in the file")
    return known


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
    """Return an invariant of the file; of one that reads lists, those of the elements that were read last."""
    element = settings.elements.get(name)
    if element is not None and element.is_sample:
        return []
    found = [(settings.invariants[name], element)]
    if element is not None and element.template is not None:
        lists = known.lists.get(element.family)
        found = found if lists is None else [*listed(element, lists)]
    return [
        _view(
            known,
            one.name,
            FILE,
            one.severity,
            one.assert_,
            one.networks,
            "waiting",
            {} if of is None else of.labels,
        )
        for one, of in found
    ]


def _of_look_up(known: _Known, name: str, one: LookUp) -> InvariantView:
    networks = tuple(dict.fromkeys((one.layer1, one.layer2)))
    return _view(known, name, FILE, one.severity, one.heuristic, networks, "waiting")


def _of_definition(known: _Known, settings: Settings, stored: Definition) -> InvariantView:
    state = "waiting" if stored.is_running else "stopped"
    if stored.kind != SESSION:
        try:
            table = settings_of(stored)
        except InvariantError as error:  # made by another version
            return _view(known, stored.name, API, "", f"not valid: {error}", (), state)
        return _view(known, stored.name, API, table.severity, table.assert_, table.networks, state)
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
    places = {
        (name, network, block) for check in checks for network, block in (check.positions or {}).items()
    }
    readings = invariants.readings_at(connection, places)
    found = []
    for check in checks:
        blocks = check.positions or {check.network: check.block}
        read = [readings.get((name, network, block)) for network, block in blocks.items()]
        values = ", ".join(shown(one.content) for one in read if one is not None and one.content is not None)
        found.append(CheckView(check.timestamp, blocks, check.holds, values, check.error))
    return found


async def read_now(plan: Plan, name: str, at: int | None = None) -> InvariantTest:
    """Read what the configured invariant ``name`` reads now, or ``at`` a block where it reads one network only."""
    invariant = next((one for one in plan.invariants.invariants if one.name == name), None)
    if name in plan.settings.look_ups:
        raise Invalid(
            f"{name} looks up what events claim: `chainwatch invariants show {name}` says how it stands"
        )
    if invariant is None:
        known = [one.name for one in plan.invariants.invariants]
        raise NotFound(no_such("invariant", name, known))
    if at is not None and len(invariant.networks) > 1:
        raise Invalid(f"--at takes a block of one network; {name} reads {', '.join(invariant.networks)}")
    if any(value.events is not None or value.flow is not None for value in invariant.values):
        raise Invalid(
            f"{name} counts what is stored: `chainwatch invariants show {name}` has its last checks"
        )
    blocks: dict[str, int] = {}
    contents: dict[str, Mapping[str, Any]] = {}
    try:
        async with asyncio.timeout(3 * PATIENCE), open_session() as session:
            for network in invariant.networks:
                async with Pool(plan.settings.networks[network], session) as pool:
                    header = await (pool.ask(Endpoint.head, PATIENCE) if at is None else header_at(pool, at))
                    blocks[network] = header.number
                    contents[network] = await _read(pool, invariant, header)
        values = gather(invariant, contents, invariant.networks[0])
        return InvariantTest(name, blocks, shown(values), invariant.holds(values, None), None)
    except (ChainError, EvaluationError, TimeoutError, ValueError) as error:
        read = ", ".join(shown(content) for content in contents.values())
        return InvariantTest(name, blocks, read, None, str(error) or "no endpoint answers in time")


async def _read(pool: Pool, invariant: Invariant, header: Header) -> dict[str, Any]:
    """Return the values of one network. Raises ``ValueError`` for one that cannot be read."""
    network = pool.network.name
    values = [value for value in invariant.on(network) if network in value.reads]
    outcomes = await read_outcomes(pool, header, [value.reads[network] for value in values])
    content: dict[str, Any] = of_block(invariant, header, network)
    for value, outcome in zip(values, outcomes, strict=True):
        try:
            content[value.name] = value.parse(answered(outcome))
        except ValueError as error:
            raise ValueError(f"{network}: {value.name}: {error}") from error
    return content
