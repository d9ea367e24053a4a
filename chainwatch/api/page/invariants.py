"""Invariants: how each stands with what it read last, and one with its values over time and its breaches."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from chainwatch.api.page.screen import Action, Asked, Screen
from chainwatch.api.prometheus.answers import Refused
from chainwatch.api.prometheus.budget import Budget
from chainwatch.api.prometheus.operations import Wanted, evaluate_over
from chainwatch.operations import invariant_reports
from chainwatch.operations.accepted_values import accept_values
from chainwatch.operations.context import Context
from chainwatch.promql.evaluation import LOOK_BACK
from chainwatch.promql.parser import parse
from chainwatch.tsdb.tsdb import Tsdb

LIST = "/ui/invariants"
LIMIT = 50
WINDOW, STEPS = 3_600, 120
"""Seconds that a chart shows, and at how many moments."""
LINES_MAX = 10
"""Lines of one chart."""
PATH_MAX = 6_000
"""Characters of a name, encoded, that the path of its screen can have: a request of 8 KB is refused."""
PATIENCE = 2.0
"""Seconds for which values over time are looked for."""


class Chart(NamedTuple):
    """Values over time that have the same unit: the names of its lines; by time (Unix seconds) the value of each."""

    unit: str
    names: Sequence[str]
    rows: Sequence[tuple[float, Sequence[float | None]]]


def read_list(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
    """Return a page of invariants: all, those in a state, or those of a name."""
    state, name, after = asked.text("state"), asked.text("name"), asked.text("after")
    page = invariant_reports.list_reports(
        connection, context, now, name=name or None, state=state or None, limit=LIMIT, after=after or None
    )
    return {
        "page": page,
        "state": state,
        "name": name,
        "states": ("violated", "unread", "holds"),
        "longest": PATH_MAX,
    }


def accept(connection: sa.Connection, context: Context, now: float, asked: Asked) -> str:
    """Accept the values that the person has seen. Raises ``Conflict`` where others were read meanwhile."""
    name = asked.path["name"]
    accept_values(connection, context, now, name=name, author=asked.actor, values=asked.text("values"))
    return f"{LIST}/{name}"


SCREENS = (Screen(LIST, "invariants.html", read_list, nav="Invariants"),)
ACTIONS = (Action(LIST + "/{name:.+}/accept", accept),)


def screen_of_one(samples: Tsdb) -> Screen:
    """Return the screen of one invariant, whose values over time are in ``samples``."""

    def read(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
        name = asked.path["name"]
        past = invariant_reports.show_past(connection, context, now, name=name)
        title, units = past.report.title, past.units
        return {
            "past": past,
            "one": past.report.invariant,
            "charts": charts(samples, title, name[len(title) + 1 :], units, now),
            "block_url": context.presenter.block_url,
        }

    return Screen(LIST + "/{name:.+}", "invariant.html", read, section="Invariants", live=False)


def charts(
    samples: Tsdb, title: str, element: str, units: Mapping[str, tuple[str, int]], now: float
) -> list[Chart]:
    """Return the values of an invariant over the last hour: those with a unit together in whole units, each other alone."""
    named = {"invariant": title, "element": element}
    matchers = ",".join(f"{label}={json.dumps(text, ensure_ascii=False)}" for label, text in named.items())
    end = round(now * 1000)
    wanted = Wanted(parse(f"chainwatch_invariant_value{{{matchers}}}"), LOOK_BACK)
    step = WINDOW * 1000 // STEPS
    try:
        budget = Budget(PATIENCE, lambda: True)
        over, _ = evaluate_over(samples, budget, wanted, end - WINDOW * 1000, end, step)
    except Refused:  # it takes too long, or there are too many
        return []
    lines: dict[tuple[str, str], dict[str, dict[float, float]]] = {}
    for series in over.series:
        value, network = series.labels.get("value", ""), series.labels.get("network", "")
        symbol, decimals = units.get(value, ("", 0))
        points = zip(series.times, series.values, strict=True)
        some = {at / 1000: number / 10**decimals for at, number in points}
        lines.setdefault((symbol, "" if symbol else value), {})[f"{value}, {network}"] = some
    return [_chart(symbol, some) for (symbol, _), some in sorted(lines.items())]


def _chart(unit: str, lines: Mapping[str, Mapping[float, float]]) -> Chart:
    names = sorted(lines)[:LINES_MAX]
    times = sorted({at for name in names for at in lines[name]})
    return Chart(unit, names, [(at, [lines[name].get(at) for name in names]) for at in times])
