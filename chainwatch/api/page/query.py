"""A query over the rules' samples: its result as a table, and over time as a graph.

No screen as others are: it reads no database, may take long, and takes its turn with the queries of Prometheus' API.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from aiohttp import web
from multidict import MultiMapping

from chainwatch.api.identity import IDENTITY
from chainwatch.api.page.rendering import html_response, render
from chainwatch.api.page.serving import frame, personal
from chainwatch.api.prometheus.answers import Refused, value_text
from chainwatch.api.prometheus.budget import Budget
from chainwatch.api.prometheus.client_turns import ClientTurns
from chainwatch.api.prometheus.operations import Wanted, evaluate_once, evaluate_over, resolved
from chainwatch.api.prometheus.parameters import parse_time, query_of
from chainwatch.api.prometheus.turning import in_turn
from chainwatch.promql.evaluation import LOOK_BACK
from chainwatch.promql.queries import Matrix, Scalar, String, Vector
from chainwatch.promql.series import Labels
from chainwatch.promql.signatures import SCALAR, VECTOR
from chainwatch.tsdb.tsdb import Tsdb

PATH = "/ui/query"
NAV = "Query"
RANGES = {"15m": 900, "1h": 3_600, "6h": 21_600, "24h": 86_400, "7d": 604_800}
DEFAULT_RANGE = "1h"
STEPS = 120
ROWS_MAX = 200
"""Elements that are listed."""
LINES_MAX = 10
"""Series in a graph."""


class Lines(NamedTuple):
    """What a graph shows: the names of its series, and at each time the value of each; None where it has none."""

    names: Sequence[str]
    rows: Sequence[tuple[float, Sequence[float | None]]]
    total: int


class Shown(NamedTuple):
    """The result of a query: elements (labels and value) of ``total``, and the graph, where there is one."""

    elements: Sequence[tuple[str, str]]
    total: int
    lines: Lines | None


def route(
    rows: Sequence[tuple[str, str]],
    samples: Tsdb,
    turns: ClientTurns,
    clock: Callable[[], float],
    subquery_step: int,
) -> web.RouteDef:
    """Return the route. ``rows``: those of the navigation; ``subquery_step``: milliseconds, where a subquery has none."""

    async def show(request: web.Request) -> web.Response:
        fields = request.query
        found: Shown | None = None
        wrong = ""
        try:
            if fields.get("query", "").strip():
                found = await _run(request, fields, samples, turns, clock(), subquery_step)
        except Refused as refused:
            wrong = str(refused).removeprefix('invalid parameter "query": ')
        values: dict[str, Any] = {
            "query": fields.get("query", ""),
            "at": fields.get("at", ""),
            "range": _range(fields),
            "ranges": list(RANGES),
            "found": found,
            "wrong": wrong,
            "lines_max": LINES_MAX,
        }
        html = render("query.html", frame(request[IDENTITY], rows, "", NAV) | values)
        return html_response(personal(html, request))

    return web.get(PATH, show)


async def _run(
    request: web.Request,
    fields: MultiMapping[str],
    samples: Tsdb,
    turns: ClientTurns,
    now: float,
    subquery_step: int,
) -> Shown:
    text = fields.get("at", "").strip()
    try:
        at = parse_time(text) if text else round(now * 1000)
    except ValueError as error:
        raise Refused("bad_data", str(error)) from None
    length = RANGES[_range(fields)] * 1000

    def work(budget: Budget) -> Shown:
        return _shown(samples, budget, Wanted(query_of(fields), LOOK_BACK, subquery_step), at, length)

    return await in_turn(request, turns, work)


def _shown(samples: Tsdb, budget: Budget, wanted: Wanted, at: int, length: int) -> Shown:
    step = length // STEPS
    wanted = wanted._replace(query=resolved(wanted.query, step, length))  # the table as the graph's last time
    result, _ = evaluate_once(samples, budget, wanted, at)
    elements: list[tuple[str, str]]
    match result:
        case Vector(samples=found):
            elements = [(_name(labels), value_text(value)) for labels, value in found]
        case Matrix(series=series):
            elements = [
                (_name(one.labels), f"{len(one.times):,} samples, the last {value_text(one.values[-1])}")
                for one in series
            ]
        case Scalar(value=value):
            elements = [("", value_text(value))]
        case String(value=text):
            elements = [("", text)]
    lines = None
    if wanted.query.type in (VECTOR, SCALAR):
        start = at - length
        over, _ = evaluate_over(samples, budget, wanted, start, at, step)
        lines = _lines(over)
    return Shown(elements[:ROWS_MAX], len(elements), lines)


def _lines(matrix: Matrix) -> Lines:
    shown = matrix.series[:LINES_MAX]
    values = [dict(zip(one.times, one.values, strict=True)) for one in shown]
    times = sorted({at for one in values for at in one})
    rows = [(at / 1000, [one.get(at) for one in values]) for at in times]
    return Lines([_name(one.labels) for one in shown], rows, len(matrix.series))


def _name(labels: Labels) -> str:
    return repr(labels) if labels else "{}"


def _range(fields: MultiMapping[str]) -> str:
    wanted = fields.get("range", "")
    return wanted if wanted in RANGES else DEFAULT_RANGE
