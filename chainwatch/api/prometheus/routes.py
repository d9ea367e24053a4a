"""The paths below ``/api/v1`` that answer queries.

Source: ``web/api/v1/api.go`` of Prometheus, and its HTTP API documentation.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web
from multidict import MultiDict

from chainwatch.api.prometheus import operations
from chainwatch.api.prometheus.answers import Refused, answer, encode, success
from chainwatch.api.prometheus.budget import WITHIN, Budget
from chainwatch.api.prometheus.client_turns import ClientTurns
from chainwatch.api.prometheus.operations import Wanted
from chainwatch.api.prometheus.parameters import (
    TIME_MAX,
    Fields,
    duration_of,
    invalid,
    limit_of,
    matcher_sets_of,
    parse_duration,
    query_of,
    text_of,
    time_of,
)
from chainwatch.api.prometheus.paths import PREFIX
from chainwatch.api.prometheus.rules import listed_alerts, listed_rules, wanted_rules
from chainwatch.api.prometheus.targets import listed_targets, wanted_targets
from chainwatch.api.prometheus.turning import in_turn
from chainwatch.promql.evaluation import LOOK_BACK
from chainwatch.promql.formatting import format_query
from chainwatch.rule_engine.engine import RuleEngine

VERSION = "3.5.0"
"""The version of Prometheus whose API this is: clients ask for it before they use what is newer."""
POINTS_OF_A_SERIES = 11_000
_LONGEST = 2**53
"""Milliseconds to which longer times are cut."""
_ESCAPED = "U__"
_ESCAPE = re.compile("_([0-9a-fA-F]{1,6})_|__")

Handle = Callable[[web.Request, Fields], Awaitable[web.Response]]


def routes(
    engine: RuleEngine, turns: ClientTurns, clock: Callable[[], float], subquery_step: int
) -> list[web.RouteDef]:
    """Return the routes. ``clock`` gives Unix seconds; ``subquery_step``: milliseconds, where a subquery has none."""
    api = _Api(engine, turns, clock, subquery_step)
    both = {
        "query": api.query,
        "query_range": api.query_range,
        "query_exemplars": api.exemplars,
        "series": api.series,
        "labels": api.labels,
        "format_query": api.format,
    }
    only_read = {
        "label/{name}/values": api.values,
        "metadata": api.metadata,
        "rules": api.rules,
        "alerts": api.alerts,
        "targets": api.targets,
        "status/buildinfo": api.build,
    }
    return [
        *(web.get(PREFIX + path, _answering(handle)) for path, handle in (both | only_read).items()),
        *(web.post(PREFIX + path, _answering(handle)) for path, handle in both.items()),
    ]


class _Api:
    """The handlers. Expressions are parsed in turn too: long ones take as long as queries."""

    def __init__(
        self, engine: RuleEngine, turns: ClientTurns, clock: Callable[[], float], subquery_step: int
    ) -> None:
        self._clock = clock
        self._subquery_step = subquery_step
        self._engine = engine
        self._samples = engine.tsdb
        self._turns = turns

    async def query(self, request: web.Request, fields: Fields) -> web.Response:
        limit = limit_of(fields)
        at = time_of(fields, "time", int(self._clock() * 1000))
        seconds, look_back, stats = _timeout(fields), _look_back(fields), bool(text_of(fields, "stats"))

        def work(budget: Budget) -> bytes:
            wanted = Wanted(query_of(fields), look_back, self._subquery_step, limit, stats)
            return operations.query_at(self._samples, budget, wanted, at)

        return await self._run(request, work, seconds)

    async def query_range(self, request: web.Request, fields: Fields) -> web.Response:
        limit = limit_of(fields)
        start, end = time_of(fields, "start"), time_of(fields, "end")
        if end < start:
            raise invalid("end", "end timestamp must not be before start time")
        step = int(min(duration_of(fields, "step") * 1000, _LONGEST))
        if step <= 0:
            raise invalid(
                "step",
                "zero or negative query resolution step widths are not accepted. Try a positive integer",
            )
        if (end - start) // step > POINTS_OF_A_SERIES:
            raise Refused(
                "bad_data",
                f"exceeded maximum resolution of {POINTS_OF_A_SERIES:,} points per timeseries. "
                "Try decreasing the query resolution (?step=XX)",
            )
        seconds, look_back, stats = _timeout(fields), _look_back(fields), bool(text_of(fields, "stats"))

        def work(budget: Budget) -> bytes:
            wanted = Wanted(query_of(fields, over_range=True), look_back, self._subquery_step, limit, stats)
            return operations.query_range(self._samples, budget, wanted, start, end, step)

        return await self._run(request, work, seconds)

    async def exemplars(self, request: web.Request, fields: Fields) -> web.Response:
        """Answer that there are none: samples are kept without them."""
        start, end = time_of(fields, "start", -TIME_MAX), time_of(fields, "end", TIME_MAX)
        if end < start:
            raise Refused("bad_data", "end timestamp must not be before start timestamp")

        def work() -> bytes:
            query_of(fields)
            return success(b"[]")

        return await self._list(request, work)

    async def series(self, request: web.Request, fields: Fields) -> web.Response:
        (start, end), limit = _bounds(fields), limit_of(fields)

        def work() -> bytes:
            return operations.list_series(
                self._samples, matcher_sets_of(fields, needed=True), start, end, limit
            )

        return await self._list(request, work)

    async def labels(self, request: web.Request, fields: Fields) -> web.Response:
        (start, end), limit = _bounds(fields), limit_of(fields)

        def work() -> bytes:
            return operations.list_names(self._samples, matcher_sets_of(fields), start, end, limit)

        return await self._list(request, work)

    async def values(self, request: web.Request, fields: Fields) -> web.Response:
        name = _unescaped(request.match_info["name"])
        (start, end), limit = _bounds(fields), limit_of(fields)

        def work() -> bytes:
            return operations.list_values(self._samples, name, matcher_sets_of(fields), start, end, limit)

        return await self._list(request, work)

    async def metadata(self, request: web.Request, fields: Fields) -> web.Response:
        metric, limit = text_of(fields, "metric"), limit_of(fields)
        return await self._list(request, lambda: operations.list_metadata(self._samples, metric, limit))

    async def rules(self, request: web.Request, fields: Fields) -> web.Response:

        def work() -> bytes:
            return success(encode(listed_rules(self._engine.groups(), wanted_rules(fields))))

        return await self._list(request, work)

    async def alerts(self, request: web.Request, fields: Fields) -> web.Response:
        return await self._list(request, lambda: success(encode(listed_alerts(self._engine.groups()))))

    async def targets(self, request: web.Request, fields: Fields) -> web.Response:
        wanted = wanted_targets(fields)
        statuses = self._engine.targets()
        return await self._list(request, lambda: success(encode(listed_targets(statuses, wanted))))

    async def format(self, request: web.Request, fields: Fields) -> web.Response:
        return await self._list(request, lambda: success(encode(format_query(query_of(fields)))))

    async def build(self, request: web.Request, fields: Fields) -> web.Response:
        about = {"version": VERSION, "revision": "chainwatch", "branch": "HEAD", "buildUser": "chainwatch"}
        return answer(success(encode({**about, "buildDate": "", "goVersion": platform.python_version()})))

    async def _list(self, request: web.Request, work: Callable[[], bytes]) -> web.Response:
        return await self._run(request, lambda _: work())

    async def _run(
        self, request: web.Request, work: Callable[[Budget], bytes], seconds: float = WITHIN
    ) -> web.Response:
        return answer(await in_turn(request, self._turns, work, seconds))


def _answering(handle: Handle) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def respond(request: web.Request) -> web.Response:
        try:
            return await handle(request, await _fields(request))
        except Refused as refused:
            return refused.answer

    return respond


async def _fields(request: web.Request) -> Fields:
    """Return the parameters: those of a form first, then those of the address."""
    fields: MultiDict[str] = MultiDict()
    if request.method == hdrs.METH_POST and request.content_type == "application/x-www-form-urlencoded":
        posted = await request.post()
        fields.extend((name, value) for name, value in posted.items() if isinstance(value, str))
    fields.extend(request.query)
    return fields


def _bounds(fields: Fields) -> tuple[int, int]:
    return time_of(fields, "start", -TIME_MAX), time_of(fields, "end", TIME_MAX)


def _timeout(fields: Fields) -> float:
    """Return the seconds that a query may take. Raises ``Refused``."""
    return duration_of(fields, "timeout") if text_of(fields, "timeout") else WITHIN


def _look_back(fields: Fields) -> int:
    """Return for how long a sample counts, in milliseconds. Raises ``Refused``."""
    text = text_of(fields, "lookback_delta")
    if not text:
        return LOOK_BACK
    try:
        milliseconds = int(min(parse_duration(text) * 1000, _LONGEST))
    except ValueError as error:
        raise Refused("bad_data", f"error parsing lookback delta duration: {error}") from None
    return milliseconds if milliseconds > 0 else LOOK_BACK


def _unescaped(name: str) -> str:
    """Return the label's name that stands in a path, where one that is no plain word is escaped with ``U__``."""
    if not name.startswith(_ESCAPED):
        return name
    return _ESCAPE.sub(_character, name.removeprefix(_ESCAPED))


def _character(match: re.Match[str]) -> str:
    code = int(match[1], 16) if match[1] else ord("_")
    return chr(code) if code < 0xD800 or 0xE000 <= code < 0x110000 else match[0]
