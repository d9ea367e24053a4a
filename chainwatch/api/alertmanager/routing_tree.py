"""chainwatch's routes as a tree of Alertmanager's, by which each alert goes to the same receivers.

Alertmanager's routes differ in four things: each has one receiver; an alert that none of a route's inner routes takes is
taken by the route itself, but not if it went on through ``continue``; P0 is muted too; and ``Watchdog`` is like any other.
So a route here may become several there, and is followed by what comes after it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from chainwatch.alerting.policy.routing import ALL_LABELS, Route
from chainwatch.alerting.policy.severities import Severities
from chainwatch.grammar.durations import format_duration
from chainwatch.grammar.matchers import LabelTest, Matcher, takes

Node = dict[str, Any]
"""A route as Alertmanager's YAML has it."""

_LABEL = re.compile("[a-zA-Z_][a-zA-Z0-9_]*")
_WATCHDOG = {"alertname": "Watchdog"}
_ONLY_P0 = (Matcher("severity", frozenset(["P0"])),)


def tree(routes: Sequence[Route], root: str, severities: Severities) -> Node:
    """Return the root of the tree; what no route takes goes to the receiver ``root``."""
    maker = _Maker(severities)
    watchdog = maker.watchdog(routes)
    return {"receiver": root, "routes": [*watchdog, *maker.nodes(routes, [])]}


def written(test: LabelTest) -> str:
    """Return a test as it is written in Alertmanager's YAML."""
    name, operator, value = test
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{name}{operator}"{escaped}"'


class _Maker:
    def __init__(self, severities: Severities) -> None:
        self._severities = severities

    def nodes(self, routes: Sequence[Route], otherwise: list[Node]) -> list[Node]:
        """Return ``routes`` in their order, then ``otherwise``, for an alert that none of them took."""
        if not routes:
            return otherwise
        route, rest = routes[0], routes[1:]
        following = self.nodes(rest, otherwise)
        tests = self._severities.tests(route.match)
        if tests is None:
            return following
        if otherwise and route.continues:
            return [self._followed(route, tests, self.nodes(rest, [])), *following]
        return [self._whole(route, tests), *following]

    def watchdog(self, routes: Sequence[Route]) -> list[Node]:
        """Return the route of ``Watchdog``, which goes only where a route names it."""
        inner = self._watchdog_nodes(routes, [], [], is_last=True)
        return [_tidy({"matchers": ['alertname="Watchdog"'], "routes": inner})] if routes else []

    def _watchdog_nodes(
        self, routes: Sequence[Route], after: list[Node], otherwise: list[Node], *, is_last: bool = False
    ) -> list[Node]:
        """As ``nodes``, for ``Watchdog``: a route that does not name it takes it only if an inner one does.

        ``after`` is for what one of them took. ``is_last``: nothing else follows these routes.
        """
        if not routes:
            return otherwise
        route, rest = routes[0], routes[1:]
        following = self._watchdog_nodes(rest, after, otherwise, is_last=is_last)
        tests = self._severities.tests(route.match)
        named = [matcher for matcher in route.match if matcher.name == "alertname"]
        if tests is None or not takes(tuple(named), _WATCHDOG) or not _names_any(route):
            return following
        if route.names_alerts and is_last:
            return [self._whole(route, tests), *following]
        next_ = self._watchdog_nodes(rest, after, after) if route.continues else after
        if route.names_alerts:
            return [self._followed(route, tests, next_), *following]
        outer = list(map(written, tests))
        inner = self._watchdog_nodes(route.routes, next_, [])
        return [*({**node, "matchers": [*outer, *node.get("matchers", [])]} for node in inner), *following]

    def _whole(self, route: Route, tests: Sequence[LabelTest]) -> Node:
        """Return ``route`` as it is."""
        inner = self.nodes(route.routes, self._own(route))
        whole = {**self._keys(route), "matchers": list(map(written, tests)), "routes": inner}
        return _tidy(whole, goes_on=route.continues)

    def _followed(self, route: Route, tests: Sequence[LabelTest], after: list[Node]) -> Node:
        """Return what takes an alert to ``route``, and then to ``after``, but no further."""
        first = _tidy({"routes": self.nodes(route.routes, self._own(route))}, goes_on=True)
        inner = [{"receiver": route.receivers[0], **first}, *after]
        return _tidy({**self._keys(route), "matchers": list(map(written, tests)), "routes": inner})

    def _own(self, route: Route) -> list[Node]:
        """Return what takes the alerts of a route that no inner one takes; none where the route itself can."""
        is_muted = bool(route.mute_times or route.active_times)
        spares = is_muted and not route.mute_critical
        if len(route.receivers) == 1 and not is_muted:
            return []
        muting = {
            "mute_time_intervals": list(route.mute_times),
            "active_time_intervals": list(route.active_times),
        }
        spared = self._each(route, {}, self._severities.tests(_ONLY_P0)) if spares else []
        return [*spared, *self._each(route, muting, [])]

    def _each(self, route: Route, more: Node, tests: Sequence[LabelTest] | None) -> list[Node]:
        """Return a node for each receiver of ``route``, which inherits the rest from it."""
        matchers = [written(test) for test in tests or ()]
        last = len(route.receivers) - 1
        return [
            _tidy({"receiver": name, "matchers": matchers, **more}, goes_on=at < last)
            for at, name in enumerate(route.receivers)
        ]

    def _keys(self, route: Route) -> Node:
        return {
            "receiver": route.receivers[0],
            "group_by": _usable(route.group_by),
            "group_wait": format_duration(_positive(route.group_wait, 0)),
            "group_interval": format_duration(_positive(route.group_interval)),
            "repeat_interval": format_duration(_positive(route.repeat_interval)),
        }


def _usable(names: tuple[str, ...]) -> list[str]:
    """Return the labels that Alertmanager can group by."""
    return list(names) if names == (ALL_LABELS,) else [n for n in dict.fromkeys(names) if _LABEL.fullmatch(n)]


def _names_any(route: Route) -> bool:
    return route.names_alerts or any(map(_names_any, route.routes))


def _tidy(node: Node, *, goes_on: bool = False) -> Node:
    """Return ``node`` without empty lists."""
    kept = {key: value for key, value in node.items() if value != []}
    return {**kept, "continue": True} if goes_on else kept


def _positive(seconds: float, least: float = 0.001) -> float:
    return max(round(seconds, 3), least)
