"""Which receivers an alert goes to, and in which groups: the configured routes, in order, first match wins."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from chainwatch.config import RouteSettings

ALL_LABELS = "..."
"""As the only entry of ``group_by``: every label counts, so every alert is its own group."""


class Route(msgspec.Struct, frozen=True):
    """A configured route with a ``key`` that names it in groups, stable while its ``match`` is. Times in seconds."""

    key: str
    match: Mapping[str, frozenset[str]]
    receivers: tuple[str, ...]
    group_by: tuple[str, ...] = ("alertname",)
    goes_on: bool = False
    group_wait: float = 5.0
    group_interval: float = 15.0
    repeat_interval: float = 14_400.0
    send_resolved: bool | None = None

    def takes(self, labels: Mapping[str, str]) -> bool:
        """Whether every label that the route names has one of its values; a label that is missing counts as empty."""
        return all(labels.get(name, "") in values for name, values in self.match.items())

    def group_labels(self, labels: Mapping[str, str]) -> dict[str, str]:
        """The labels that an alert shares with all others of its group."""
        names = labels if self.group_by == (ALL_LABELS,) else self.group_by
        return {name: labels[name] for name in sorted(names) if name in labels}


def build_routes(settings: Sequence[RouteSettings]) -> tuple[Route, ...]:
    """The routes as configured; those with equal ``match`` are told apart by a number in their key."""
    routes = []
    seen: Counter[str] = Counter()
    for route in settings:
        match = {name: frozenset(values) for name, values in route.match.items()}
        key = _matchers(match)
        seen[key] += 1
        routes.append(
            Route(
                key=key if seen[key] == 1 else f"{key}#{seen[key]}",
                match=match,
                receivers=tuple(dict.fromkeys(route.receivers)),
                group_by=tuple(route.group_by),
                goes_on=route.continue_,
                group_wait=route.group_wait,
                group_interval=route.group_interval,
                repeat_interval=route.repeat_interval,
                send_resolved=route.send_resolved,
            )
        )
    return tuple(routes)


def destinations(routes: Sequence[Route], labels: Mapping[str, str]) -> list[tuple[Route, str]]:
    """Every (route, receiver) that an alert with ``labels`` goes to.

    ``Watchdog`` goes only where a route names it; an alert about a failing receiver never to that receiver.
    """
    found = []
    for route in routes:
        if not route.takes(labels) or (is_watchdog(labels) and "alertname" not in route.match):
            continue
        found += [(route, receiver) for receiver in route.receivers if not _is_about(labels, receiver)]
        if not route.goes_on:
            break
    return found


def is_watchdog(labels: Mapping[str, str]) -> bool:
    """Whether this is the alert that always fires, to show that alerting lives."""
    return labels["alertname"] == "Watchdog"


def group_key(route: Route, group_labels: Mapping[str, str]) -> str:
    """Alertmanager's groupKey: the route and the labels of the group."""
    return f"{{}}/{route.key}:{_braced(f'{k}={_quoted(v)}' for k, v in sorted(group_labels.items()))}"


def _is_about(labels: Mapping[str, str], receiver: str) -> bool:
    return labels["alertname"] == "ReceiverFailing" and labels.get("receiver") == receiver


def _matchers(match: Mapping[str, frozenset[str]]) -> str:
    return _braced(
        f"{name}={_quoted(next(iter(values)))}"
        if len(values) == 1
        else f"{name}=~{_quoted('|'.join(sorted(values)))}"
        for name, values in sorted(match.items())
    )


def _braced(parts: Iterable[str]) -> str:
    return "{" + ",".join(parts) + "}"


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
