"""The configuration as Alertmanager's YAML: routes, inhibitions and intervals, but nothing of a receiver than its name.

Source: prometheus.io/docs/alerting/latest/configuration. What Alertmanager has no words for is left out: digests,
escalations, cooldowns, ``[[lifecycle]]``, and inhibitions by different labels of source and target.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from chainwatch.alerting.policy.intervals import Interval
from chainwatch.alerting.policy.muting import Inhibition
from chainwatch.alerting.policy.severities import Severities
from chainwatch.api.alertmanager.gettable import ROOT
from chainwatch.api.alertmanager.routing_tree import tree, written
from chainwatch.grammar.calendars import DAY, MONTHS, WEEKDAYS, Range
from chainwatch.operations.context import Context


def original(context: Context) -> str:
    """Return the YAML."""
    policies, severities = context.engine.policies, Severities(context.settings.severities)
    rules = [_inhibition(one, severities) for one in policies.inhibitions]
    config = {
        "global": {"resolve_timeout": "5m"},
        "route": tree(context.engine.routes, ROOT, severities),
        "inhibit_rules": [rule for rule in rules if rule is not None],
        "receivers": [{"name": name} for name in receivers(context)],
        "time_intervals": [
            {"name": name, "time_intervals": list(_intervals(one))}
            for name, one in policies.intervals.items()
        ],
    }
    kept = {name: value for name, value in config.items() if value != []}
    text: str = yaml.dump(kept, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110)
    return text


def receivers(context: Context) -> list[str]:
    """Return the names of all receivers, and of what stands for none."""
    return list(dict.fromkeys((*context.receivers, ROOT)))


def _inhibition(one: Inhibition, severities: Severities) -> dict[str, Any] | None:
    source, target = severities.tests(one.source), severities.tests(one.target)
    if source is None or target is None or any(a != b for a, b in one.equal):
        return None
    return {
        "source_matchers": list(map(written, source)),
        "target_matchers": list(map(written, target)),
        "equal": [name for name, _ in one.equal],
    }


def _intervals(one: Interval) -> list[dict[str, Any]]:
    """Return an interval; hours that run past midnight become two, as those after it are the next day's."""
    days: dict[str, Any] = {
        "days_of_month": [_joined(days) for days in one.days],
        "months": [_names(months, MONTHS, 1) for months in _split(one.months, 12, 1)],
        "years": [_joined(years) for years in one.years],
        "location": one.zone,
    }
    weekdays = [_names(days, WEEKDAYS, 0) for days in _split(one.weekdays, 7, 0)]
    next_weekdays = [
        _names(days, WEEKDAYS, 0)
        for days in _split(tuple(((a + 1) % 7, (b + 1) % 7) for a, b in one.weekdays), 7, 0)
    ]
    same: list[Range] = [(a, b if a < b else DAY) for a, b in one.times]
    following: list[Range] = [(0, b) for a, b in one.times if a >= b > 0]
    found = [{"times": list(map(_clocks, same)), "weekdays": weekdays, **days}]
    if following:
        found.append({"times": list(map(_clocks, following)), "weekdays": next_weekdays, **days})
    return [{key: value for key, value in interval.items() if value != []} for interval in found]


def _clocks(times: Range) -> dict[str, str]:
    start, end = (f"{minute // 60:02d}:{minute % 60:02d}" for minute in times)
    return {"start_time": start, "end_time": end}


def _split(ranges: Sequence[Range], number: int, first: int) -> list[Range]:
    """Return ranges that may run over the end as ranges that do not."""
    found: list[Range] = []
    for a, b in ranges:
        found += [(a, b)] if a <= b else [(a, number + first - 1), (first, b)]
    return found


def _names(ranges: Range, names: Sequence[str], first: int) -> str:
    return ":".join(names[number - first] for number in dict.fromkeys(ranges))


def _joined(ranges: Range) -> str:
    return ":".join(str(number) for number in dict.fromkeys(ranges))


class _Plain(yaml.SafeDumper):
    """Writes what is used twice twice: Alertmanager's YAML needs no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
