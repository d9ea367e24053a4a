"""The newest values of invariants as numbers, for metrics and rules."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping

import msgspec
import sqlalchemy as sa

from chainwatch.checker.invariants.judge import UNREAD
from chainwatch.config import Settings
from chainwatch.config.for_each import FOR_EACH, LISTING, SEPARATOR, name_of
from chainwatch.invariants.listing import family_of
from chainwatch.operations.context import Context
from chainwatch.store import definitions, invariants
from chainwatch.store.definitions import Definition


class InvariantValues(msgspec.Struct, frozen=True):
    """How an invariant stood at its newest check that was answered: None and empty before the first one.

    ``values``: (value, network) → number; those that are none are left out. ``checked_at`` is chain time, Unix seconds.
    ``element``: of a list over which the invariant ``name`` is made, the element; empty where there is no list.
    """

    name: str
    element: str
    holds: bool | None
    is_unread: bool
    checked_at: float | None
    values: Mapping[tuple[str, str], float]


def invariant_values(connection: sa.Connection, context: Context) -> list[InvariantValues]:
    """Return the newest values of all invariants that run, by their names."""
    answered = invariants.newest_answered(connection)
    raised = invariants.raised_by_name(connection)
    names = _names(connection, context.settings, {*answered, *raised})
    places = {(name, *place) for name in names & answered.keys() for place in answered[name].blocks.items()}
    values: dict[str, dict[tuple[str, str], float]] = {}
    for (name, network, _), reading in invariants.readings_at(connection, places).items():
        for value, content in (reading.content or {}).items():
            if (number := _number(content)) is not None:
                values.setdefault(name, {})[value, network] = number
    found = []
    for name in sorted(names):
        check = answered.get(name)
        is_unread = any(alert.condition == UNREAD for alert in raised.get(name, ()))
        holds, at = (None, None) if check is None else (check.holds, float(check.timestamp))
        read = {} if is_unread else values.get(name, {})
        found.append(InvariantValues(*_split(context.settings, name), holds, is_unread, at, read))
    return found


def past_values(connection: sa.Connection, settings: Settings) -> Iterator[InvariantValues]:
    """Yield the values at each check that was answered and is stored, in the order of their times."""
    for checks in invariants.answered_checks(connection):
        places = {(name, *place) for name, check in checks for place in check.blocks.items()}
        readings = invariants.readings_at(connection, places)
        for name, check in checks:
            values = {
                (value, network): number
                for network, block in check.blocks.items()
                if (reading := readings.get((name, network, block))) is not None
                for value, content in (reading.content or {}).items()
                if (number := _number(content)) is not None
            }
            at = float(check.timestamp)
            yield InvariantValues(*_split(settings, name), check.holds, False, at, values)


def _names(connection: sa.Connection, settings: Settings, stored: Collection[str]) -> set[str]:
    """Return the names of what runs; of lists that contracts have, those of the elements that are ``stored``."""
    reads = {name for name, one in settings.elements.items() if one.is_sample or one.template is not None}
    made = {one.name: _has_lists(one) for one in definitions.kept(connection) if one.is_running}
    families = {settings.elements[name].family for name in reads} | {
        n for n, is_list in made.items() if is_list
    }
    reads |= {name_of(family, LISTING) for family in families}
    listed = {name for name in stored if SEPARATOR in name and family_of(name) in families}
    return (settings.invariants.keys() - reads) | (made.keys() - families) | (listed - reads)


def _has_lists(made: Definition) -> bool:
    return f'"{FOR_EACH}"' in made.settings and FOR_EACH in msgspec.json.decode(made.settings, type=dict)


def _split(settings: Settings, name: str) -> tuple[str, str]:
    """Return the table's name of an invariant, and the element of which it is made."""
    family = family_of(name)
    is_of_list = any(family == one.family for one in settings.elements.values())
    is_of_list = is_of_list or (SEPARATOR in name and name not in settings.invariants)
    return (family, name.removeprefix(family + SEPARATOR)) if is_of_list else (name, "")


def _number(content: object) -> float | None:
    """Return a value as a sample has it; None for what is no number, such as an address."""
    if not isinstance(content, bool | int | float):
        return None
    try:
        return float(content)
    except OverflowError:
        return math.copysign(math.inf, content)
