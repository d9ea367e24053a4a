"""Alerts raised in a window of time, by type and severity, and how long until they were acknowledged and resolved."""

from __future__ import annotations

from collections.abc import Iterable
from operator import add

import msgspec
import sqlalchemy as sa
from msgspec.structs import astuple

from chainwatch.grammar.durations import parse_duration
from chainwatch.operations.checks import check_moments
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Invalid
from chainwatch.store.alerting import statistics
from chainwatch.store.alerting.statistics import Kind

WINDOW = 86_400.0
"""Seconds of the window where its start is not given."""


class KindStatistics(msgspec.Struct, frozen=True):
    """The alerts of one type and severity. Means are seconds from the alerts' starts.

    The type is that of the rule with the alert's name, otherwise the label ``alertname``.
    """

    type: str
    severity: str
    firing: int
    number: int
    acknowledged: int
    mean_time_to_acknowledge: float | None
    resolved: int
    mean_time_to_resolve: float | None


class AlertStatistics(msgspec.Struct, frozen=True):
    """The alerts raised from ``since`` until just before ``until``, in all and by type and severity."""

    since: float
    until: float
    number: int
    firing: int
    acknowledged: int
    mean_time_to_acknowledge: float | None
    resolved: int
    mean_time_to_resolve: float | None
    by_type_and_severity: list[KindStatistics]


def alert_statistics(
    connection: sa.Connection,
    context: Context,
    now: float,
    *,
    since: float | None = None,
    until: float | None = None,
) -> AlertStatistics:
    """Return numbers about the alerts raised from ``since`` (default: a day before the end) until ``until`` (default: now).

    Raises ``Invalid``.
    """
    until = now if until is None else until
    since = max(0.0, until - WINDOW) if since is None else since
    check_moments(since=since, until=until)
    if until <= since:
        raise Invalid("the window ends before it begins: its end must be later than its start")
    kinds = by_type(statistics.kinds(connection, since, until), context)
    acknowledged, resolved = (sum(kind.acknowledged for kind in kinds), sum(kind.resolved for kind in kinds))
    return AlertStatistics(
        since=since,
        until=until,
        number=sum(kind.number for kind in kinds),
        firing=sum(kind.firing for kind in kinds),
        acknowledged=acknowledged,
        mean_time_to_acknowledge=mean(sum(kind.to_acknowledge for kind in kinds), acknowledged),
        resolved=resolved,
        mean_time_to_resolve=mean(sum(kind.to_resolve for kind in kinds), resolved),
        by_type_and_severity=[kind_statistics(kind) for kind in kinds],
    )


def window_statistics(
    connection: sa.Connection, context: Context, now: float, *, window: str = "24h"
) -> AlertStatistics:
    """Return numbers about the alerts raised within ``window`` until now, such as ``24h``. Raises ``Invalid``."""
    try:
        seconds = parse_duration(window)
    except ValueError as error:
        raise Invalid(f"window: {error}") from None
    return alert_statistics(connection, context, now, since=max(0.0, now - seconds), until=now)


def by_type(kinds: Iterable[Kind], context: Context) -> list[Kind]:
    """Return ``kinds`` with types in place of names, those of one type and severity together."""
    types = {rule.name: rule.type for rule in context.created.rules if rule.type is not None}
    found: dict[tuple[str, str], Kind] = {}
    for kind in kinds:
        key = types.get(kind.name, kind.name), kind.severity
        before = astuple(found[key])[2:] if key in found else (0,) * len(astuple(kind)[2:])
        found[key] = Kind(*key, *map(add, before, astuple(kind)[2:]))
    return [found[key] for key in sorted(found)]


def kind_statistics(kind: statistics.Kind) -> KindStatistics:
    """Return the numbers of alerts of one type and severity, with means."""
    return KindStatistics(
        type=kind.name,
        severity=kind.severity,
        firing=kind.firing,
        number=kind.number,
        acknowledged=kind.acknowledged,
        mean_time_to_acknowledge=mean(kind.to_acknowledge, kind.acknowledged),
        resolved=kind.resolved,
        mean_time_to_resolve=mean(kind.to_resolve, kind.resolved),
    )


def mean(seconds: float, number: int) -> float | None:
    """Return the mean of ``number`` lengths of time that are ``seconds`` in all; None without any."""
    return seconds / number if number else None
