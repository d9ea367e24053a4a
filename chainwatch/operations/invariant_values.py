"""The newest values of invariants as numbers, for metrics and rules."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import sqlalchemy as sa

from chainwatch.checker.invariants.judge import UNREAD
from chainwatch.operations.context import Context
from chainwatch.store import definitions, invariants


class InvariantValues(msgspec.Struct, frozen=True):
    """How an invariant stood at its newest check that was answered: None and empty before the first one.

    ``values``: (value, network) → number; those that are none are left out. ``checked_at`` is chain time, Unix seconds.
    """

    name: str
    holds: bool | None
    is_unread: bool
    checked_at: float | None
    values: Mapping[tuple[str, str], float]


def invariant_values(connection: sa.Connection, context: Context) -> list[InvariantValues]:
    """Return the newest values of all invariants that run, by their names."""
    made = [one.name for one in definitions.kept(connection) if one.is_running]
    names = sorted({*context.settings.invariants, *made})
    if not names:
        return []
    answered = invariants.newest_answered(connection)
    places = {
        (name, network, block)
        for name, check in answered.items()
        for network, block in (check.positions or {check.network: check.block}).items()
    }
    values: dict[str, dict[tuple[str, str], float]] = {}
    for (name, network, _), reading in invariants.readings_at(connection, places).items():
        for value, content in (reading.content or {}).items():
            if (number := _number(content)) is not None:
                values.setdefault(name, {})[value, network] = number
    raised = invariants.raised_by_name(connection)
    found = []
    for name in names:
        check = answered.get(name)
        is_unread = any(alert.condition == UNREAD for alert in raised.get(name, ()))
        holds, at = (None, None) if check is None else (check.holds, float(check.timestamp))
        found.append(InvariantValues(name, holds, is_unread, at, {} if is_unread else values.get(name, {})))
    return found


def _number(content: object) -> float | None:
    """Return a value as a sample has it; None for what is no number, such as an address."""
    if not isinstance(content, bool | int | float):
        return None
    try:
        return float(content)
    except OverflowError:
        return math.copysign(math.inf, content)
