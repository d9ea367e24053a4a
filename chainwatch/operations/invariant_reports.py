"""Invariants as people look at them: what each read last, in units, and one with its past."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.checker.invariants.differences import Unit
from chainwatch.checker.invariants.invariant import Invariant
from chainwatch.checker.invariants.judge import shown_value
from chainwatch.invariants.definitions import compile_definition
from chainwatch.invariants.listing import family_of
from chainwatch.operations.accepted_values import AcceptedView
from chainwatch.operations.context import Context
from chainwatch.operations.invariant_history import InvariantHistory, invariant_history
from chainwatch.operations.invariants import STATES, InvariantView, all_invariants, chosen, show_invariant
from chainwatch.operations.paging import Cursors, Page, check_limit
from chainwatch.store import definitions, invariants
from chainwatch.support.asset_units import in_units

CURSORS = Cursors("invariant-reports", 1)


class ValueView(msgspec.Struct, frozen=True):
    """A value that was read last, at ``block`` of ``network``: as it is, and in units where these are known."""

    name: str
    network: str
    block: int
    raw: str
    formatted: str


class InvariantReport(msgspec.Struct, frozen=True):
    """How an invariant stands, and what it read at its newest check that was answered.

    ``title`` is the table's name in the configuration; ``error`` says why the check after that has no answer.
    """

    invariant: InvariantView
    title: str
    values: Sequence[ValueView]
    error: str | None


class InvariantPast(msgspec.Struct, frozen=True):
    """An invariant with its breaches and changes, and the units of its values, by name.

    ``accepted`` is None where it compares with no accepted values; ``to_accept`` are those that could be instead of them.
    """

    report: InvariantReport
    accepted: AcceptedView | None
    to_accept: str
    history: InvariantHistory
    units: Mapping[str, tuple[str, int]]


def list_reports(
    connection: sa.Connection,
    context: Context,
    now: float,
    *,
    name: str | None = None,
    state: str | None = None,
    limit: int = 100,
    after: str | None = None,
) -> Page[InvariantReport]:
    """Return invariants, the worst first; those of the same state as they are listed. Raises ``Invalid``.

    ``name``: only that one, and those of the elements of its lists. ``state``: only those in it.
    """
    (first,) = CURSORS.parse(after) or (-1,)
    wanted = check_limit(limit) + 1
    found = sorted(
        chosen(all_invariants(connection, context), name, state), key=lambda one: STATES.index(one.state)
    )
    some = list(enumerate(found))[first + 1 : first + 1 + wanted]
    reports = iter(_reports(connection, context, [one for _, one in some[:limit]]))
    return CURSORS.page(some, limit, lambda one: [one[0]], lambda _: next(reports))


def show_past(connection: sa.Connection, context: Context, now: float, *, name: str) -> InvariantPast:
    """Return the invariant ``name`` with its past. Raises ``NotFound``."""
    details = show_invariant(connection, context, now, name=name)
    history = invariant_history(connection, context, now, name=name)
    (report,) = _reports(connection, context, [details.invariant])
    units = _units(connection, context, [name]).get(name, {})
    accepted = details.accepted
    to_accept = "" if accepted is None or accepted.values == details.to_accept else details.to_accept
    shown_units = {value: (unit.symbol, unit.decimals) for value, unit in units.items()}
    return InvariantPast(report, accepted, to_accept, history, shown_units)


def _reports(
    connection: sa.Connection, context: Context, views: Sequence[InvariantView]
) -> list[InvariantReport]:
    names = [one.name for one in views]
    checks = {name: invariants.checks(connection, name) for name in names}
    answered = {name: invariants.last_answered(some) for name, some in checks.items()}
    places = {
        (name, *place)
        for name, check in answered.items()
        if check is not None
        for place in check.blocks.items()
    }
    readings = invariants.readings_at(connection, places)
    units = _units(connection, context, names)
    found = []
    for view in views:
        check = answered.get(view.name)
        values = []
        for network, block in check.blocks.items() if check is not None else ():
            reading = readings.get((view.name, network, block))
            for value, content in ((reading.content if reading is not None else None) or {}).items():
                unit = units.get(view.name, {}).get(value)
                is_amount = isinstance(content, int) and not isinstance(content, bool)
                formatted = in_units(content, *unit) if unit is not None and is_amount else ""
                values.append(ValueView(value, network, block, shown_value(content), formatted))
        errors = [one.error for one in checks[view.name][-1:] if one.holds is None]
        found.append(InvariantReport(view, family_of(view.name), values, errors[0] if errors else None))
    return found


def _units(
    connection: sa.Connection, context: Context, names: Sequence[str]
) -> dict[str, Mapping[str, Unit]]:
    """Return the units of the values of invariants, by name, where they are known; those of an element as of any other."""
    if context.plan is None:
        return {}
    compiled: dict[str, Invariant] = {}
    for one in context.plan.invariants.invariants:
        compiled[one.name] = compiled[one.title] = one
    for family in {family_of(name) for name in names} - compiled.keys():
        stored = definitions.find(connection, family)
        if stored is None or stored.is_deleted:
            continue
        try:
            made = compile_definition(stored, context.settings, context.plan.invariants)
        except ValueError:  # made by another version, or with another configuration
            continue
        compiled |= {
            name: one for one in made if isinstance(one, Invariant) for name in (one.name, one.title)
        }
    found: dict[str, Mapping[str, Unit]] = {}
    for name in names:
        if (invariant := compiled.get(name) or compiled.get(family_of(name))) is not None:
            found[name] = {value.name: value.unit for value in invariant.values if value.unit is not None}
    return found
