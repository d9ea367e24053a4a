"""Which of the configured routes an alert takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alerting.policy.lifecycle import normal_labels
from chainwatch.alerting.policy.routing import Route, build_routes, destinations, group_key, matching_routes
from chainwatch.config import Settings
from chainwatch.grammar import matchers
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Invalid


class RouteView(msgspec.Struct, frozen=True, rename={"goes_on": "continue"}):
    """A route in its tree. ``matches``: its own matchers do; ``takes``: the alert arrives there, and joins ``group``."""

    depth: int
    match: str
    receivers: Sequence[str]
    goes_on: bool
    matches: bool
    takes: bool
    group: str | None


class RoutesView(msgspec.Struct, frozen=True):
    """The tree of routes, each before those beneath it, and the receivers that the alert goes to."""

    routes: list[RouteView]
    receivers: list[str]


def find_routes(
    connection: sa.Connection, context: Context, now: float, *, labels: Sequence[str] = ()
) -> RoutesView:
    """As ``trace_routes``, with ``labels`` written ``NAME=VALUE``. Raises ``Invalid``."""
    given: dict[str, str] = {}
    for written in labels:
        name, equals, value = written.partition("=")
        if not equals or not name.strip():
            raise Invalid(f"labels: {written[:100]!r}: expected a label as NAME=VALUE")
        given[name.strip()] = value.strip()
    return trace_routes(context.settings, given)


def trace_routes(settings: Settings, labels: Mapping[str, str]) -> RoutesView:
    """Return the configured tree of routes, and which of them an alert with ``labels`` takes.

    Without labels it is the tree alone. ``alertname`` and ``severity`` are "Test" and P2 where they are missing. Raises
    ``Invalid``.
    """
    try:
        wanted = normal_labels({"severity": "P2", "alertname": "Test", **labels}) if labels else {}
    except ValueError as error:
        raise Invalid(str(error)) from None
    tree = build_routes(settings.routes)
    taking = matching_routes(tree, wanted) if wanted else []
    failing = wanted.get("receiver", "") if wanted.get("alertname") == "ReceiverFailing" else ""
    return RoutesView(
        routes=list(_views(tree, wanted, {route.key for route in taking}, 0)),
        receivers=list(dict.fromkeys(receiver for _, receiver in destinations(taking, failing))),
    )


def _views(
    routes: Sequence[Route], labels: Mapping[str, str], taking: set[str], depth: int
) -> Iterator[RouteView]:
    for route in routes:
        takes = route.key in taking
        yield RouteView(
            depth=depth,
            match=matchers.written(route.match),
            receivers=list(route.receivers),
            goes_on=route.continues,
            matches=bool(labels) and matchers.takes(route.match, labels),
            takes=takes,
            group=group_key(route, route.group_labels(labels)) if takes else None,
        )
        yield from _views(route.routes, labels, taking, depth + 1)
