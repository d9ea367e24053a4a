"""Which receivers an alert goes to, and in which groups: a tree of routes; the first that matches takes the alert."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from chainwatch.config import RouteSettings
from chainwatch.grammar import matchers
from chainwatch.grammar.calendars import Schedule, parse_schedule
from chainwatch.grammar.matchers import Matchers
from chainwatch.store.texts import bounded

ALL_LABELS = "..."
"""As the only entry of ``group_by``: every label counts, so every alert is its own group."""
NOT_INHERITED = {"match", "continue_", "digest", "digest_empty", "routes"}


class Route(msgspec.Struct, frozen=True):
    """A configured route with a ``key`` that names it in groups, stable while its ``match`` is. Times in seconds.

    ``routes`` are tried before the route itself. ``names_alerts``: its ``match`` or an outer one has ``alertname``.
    ``alertname``: the only one that its ``match`` takes, or empty: of many such routes, others are passed over quickly.
    """

    key: str
    match: Matchers
    receivers: tuple[str, ...]
    group_by: tuple[str, ...] = ("alertname",)
    continues: bool = False
    group_wait: float = 5.0
    group_interval: float = 15.0
    repeat_interval: float = 14_400.0
    send_resolved: bool | None = None
    mute_times: tuple[str, ...] = ()
    active_times: tuple[str, ...] = ()
    mute_critical: bool = False
    digest: Schedule | None = None
    digest_empty: bool = False
    names_alerts: bool = False
    alertname: str = ""
    escalation: str | None = None
    template: str = ""
    routes: tuple[Route, ...] = ()

    def group_labels(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Return the labels that an alert shares with all others of its group."""
        names = labels if self.group_by == (ALL_LABELS,) else self.group_by
        return {name: labels[name] for name in sorted(names) if name in labels}


def build_routes(settings: Sequence[RouteSettings]) -> tuple[Route, ...]:
    """Return the routes as configured; siblings with equal ``match`` get a number in their key."""
    return _built(settings, "", {}, False)


def all_routes(routes: Sequence[Route]) -> Iterator[Route]:
    """Yield all routes of the tree, the outer ones first."""
    for route in routes:
        yield route
        yield from all_routes(route.routes)


def matching_routes(routes: Sequence[Route], labels: Mapping[str, str]) -> list[Route]:
    """Return the routes that take an alert with ``labels``: the innermost of each branch.

    ``Watchdog`` goes only where a route names it.
    """
    found: list[Route] = []
    name = labels["alertname"]
    for route in routes:
        if (route.alertname and route.alertname != name) or not matchers.takes(route.match, labels):
            continue
        taking = matching_routes(route.routes, labels)
        if not taking and (route.names_alerts or not is_watchdog(labels)):
            taking = [route]
        found += taking
        if taking and not route.continues:
            break
    return found


def destinations(taking: Sequence[Route], failing: str = "") -> list[tuple[Route, str]]:
    """Return every (route, receiver) to which an alert goes that the routes ``taking`` take.

    An alert about the ``failing`` receiver never goes to that receiver.
    """
    return [(route, receiver) for route in taking for receiver in route.receivers if receiver != failing]


def is_watchdog(labels: Mapping[str, str]) -> bool:
    """Return whether this is the alert that always fires, chainwatch's or another program's, to show that alerting works."""
    return labels["alertname"] == "Watchdog"


def group_key(route: Route, group_labels: Mapping[str, str]) -> str:
    """Return Alertmanager's groupKey: the route and the labels of the group. A long one is cut, with a digest at its end."""
    pairs = ",".join(f"{k}={_quoted(v)}" for k, v in sorted(group_labels.items()))
    return bounded(f"{{}}/{route.key}:{{{pairs}}}")


def _built(
    settings: Sequence[RouteSettings], outer_key: str, inherited: Mapping[str, Any], names_alerts: bool
) -> tuple[Route, ...]:
    routes = []
    seen: Counter[str] = Counter()
    for route in settings:
        values = {**inherited, **{name: getattr(route, name) for name in route.model_fields_set}}
        key = matchers.written(matchers.build(route.match))
        seen[key] += 1
        key = outer_key + (key if seen[key] == 1 else f"{key}#{seen[key]}")
        names = names_alerts or "alertname" in route.match
        handed_on = {name: value for name, value in values.items() if name not in NOT_INHERITED}
        routes.append(_one(key, route, values, names, _built(route.routes, key + "/", handed_on, names)))
    return tuple(routes)


def _one(
    key: str, route: RouteSettings, values: Mapping[str, Any], names: bool, inner: tuple[Route, ...]
) -> Route:
    whole = route.model_copy(update=dict(values))
    grouped = "group_by" in values or whole.digest is None
    return Route(
        key=key,
        match=matchers.build(route.match),
        receivers=tuple(dict.fromkeys(whole.receivers)),
        group_by=tuple(whole.group_by)
        if grouped
        else (),  # a digest is one notification unless configured otherwise
        continues=route.continue_,
        group_wait=whole.group_wait,
        group_interval=whole.group_interval,
        repeat_interval=whole.repeat_interval,
        send_resolved=whole.send_resolved,
        mute_times=tuple(whole.mute_times),
        active_times=tuple(whole.active_times),
        mute_critical=whole.mute_critical,
        digest=None if whole.digest is None else parse_schedule(whole.digest),
        digest_empty=whole.digest_empty,
        names_alerts=names,
        alertname=_only_alertname(route.match),
        escalation=whole.escalation,
        template=whole.template or "",
        routes=inner,
    )


def _only_alertname(match: Mapping[str, Sequence[str]]) -> str:
    values = match.get("alertname", ())
    return values[0] if len(values) == 1 and not values[0].startswith(matchers.OPERATORS) else ""


_quoted = json.JSONEncoder(ensure_ascii=False).encode
