"""The ready-made rules: what each preset watches, and its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["duration", "number", "matchers", "name", "pattern"]


@dataclass(frozen=True)
class Parameter:
    """``kind``: ``matchers`` are such as ``flow="x",origin=~"a|b"``, a ``name`` is that of a series or of a value."""

    kind: Kind
    default: str
    meaning: str


@dataclass(frozen=True)
class Preset:
    about: str
    parameters: dict[str, Parameter]


_WHERE = Parameter("matchers", "", 'matchers that choose the series, such as `flow="connext"`')
_INVARIANTS = Parameter("matchers", "", 'matchers that choose invariants, such as `invariant=~"solvency.*"`')
_FEWEST = Parameter("number", "5", "fewest transfers in an hour of which a share says anything")

PRESETS: dict[str, Preset] = {
    "bridges": Preset(
        "relayers' balances, routes, collateral, outflow and rate limits",
        {
            "where": _WHERE,
            "invariants": _INVARIANTS,
            "balances": Parameter(
                "pattern", "funds|.*balance.*", "names of the invariants' values that are balances"
            ),
            "runway": Parameter("duration", "4h", "time within which a balance may not run out"),
            "amount": Parameter("number", "1000000", "most whole units of an asset in flight on one route"),
            "oldest": Parameter("duration", "2h", "greatest age of a transfer in flight"),
            "success": Parameter(
                "number", "0.95", "least share of a route's transfers that complete in time"
            ),
            "fewest": _FEWEST,
            "imbalance": Parameter(
                "number", "0.5", "greatest (out - in) / (out + in) of an asset on a network in 24 hours"
            ),
            "volume": Parameter(
                "number", "1000", "whole units in 24 hours below which an imbalance does not matter"
            ),
            "outflow": Parameter(
                "number", "1000000", "most whole units of an asset that leave a network in 24 hours"
            ),
            "left": Parameter("name", "current", "the invariants' value that is what a rate limit has left"),
            "capacity": Parameter("name", "maximum", "the invariants' value that is the whole rate limit"),
            "used": Parameter("number", "0.8", "greatest share of a rate limit that may be used"),
        },
    ),
    "baselines": Preset(
        "latency and volume against the same time a week ago",
        {
            "where": _WHERE,
            "deviations": Parameter("number", "3", "standard deviations of the week that are still usual"),
            "factor": Parameter("number", "1.5", "how many times as long as last week is still usual"),
            "share": Parameter("number", "0.2", "least share of last week's transfers"),
            "fewest": Parameter("number", "10", "fewest transfers in an hour of last week to compare with"),
        },
    ),
    "risk_guard": Preset(
        "when to stop a bridge, a route or an asset: `block` is `global`, `route` or `asset`",
        {
            "where": _WHERE,
            "invariants": _INVARIANTS,
            "global_amount": Parameter(
                "number", "10000000", "most whole units of an asset in flight on all routes"
            ),
            "route_amount": Parameter(
                "number", "5000000", "most whole units of an asset in flight on one route"
            ),
            "asset_amount": Parameter(
                "number", "2000000", "most whole units of an asset that leave a network in an hour"
            ),
            "suspects": Parameter("number", "0", "most transfers of a route that are disputed or orphans"),
        },
    ),
    "endpoints": Preset(
        "endpoints' health and rate limits, networks that are behind, notifications that wait",
        {
            "where": Parameter(
                "matchers", "", 'matchers that choose networks and endpoints, such as `network="base"`'
            ),
            "slow": Parameter(
                "duration", "2s", "longest time that answers of an endpoint may take on average"
            ),
            "errors": Parameter("number", "0.2", "greatest share of an endpoint's reads that may fail"),
            "endpoints": Parameter("number", "2", "fewest endpoints of a network that work"),
            "limited": Parameter(
                "number", "0.1", "greatest share of calls that may be refused for their number"
            ),
            "behind": Parameter("duration", "5m", "longest time for which a network may not be seen"),
            "waiting": Parameter("duration", "5m", "longest time that a notification may wait"),
        },
    ),
    "service": Preset(
        "any service: slow or failing requests, memory, errors of its database, failed logins",
        {
            "where": Parameter("matchers", "", 'matchers that choose services, such as `job="relayer"`'),
            "cooldown": Parameter(
                "duration", "10m", "how long an alert goes on firing after it ended, so that none flaps"
            ),
            "latency": Parameter("name", "http_request_duration_seconds", "histogram of the requests' times"),
            "p95": Parameter("duration", "500ms", "longest time that 95 % of the requests may take"),
            "requests": Parameter("name", "http_requests_total", "counter of requests"),
            "errors": Parameter("matchers", 'status=~"5.."', "matchers of the requests that failed"),
            "error_ratio": Parameter("number", "0.05", "greatest share of the requests that may fail"),
            "memory_used": Parameter("name", "process_resident_memory_bytes", "gauge of the memory in use"),
            "memory_limit": Parameter(
                "name", "process_memory_limit_bytes", "gauge of the memory that there is"
            ),
            "memory": Parameter("number", "0.9", "greatest share of the memory that may be used"),
            "database": Parameter("name", "database_errors_total", "counter of the database's errors"),
            "database_errors": Parameter("number", "5", "most errors of the database in five minutes"),
            "logins": Parameter("name", "failed_logins_total", "counter of logins that failed"),
            "failed_logins": Parameter("number", "20", "most failed logins in five minutes"),
        },
    ),
}
