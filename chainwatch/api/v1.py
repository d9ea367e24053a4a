"""The calls under ``/v1``, which are operations, and their description at ``/api/openapi.json``."""

from __future__ import annotations

import msgspec
from aiohttp import web

from chainwatch.api import openapi
from chainwatch.api.calls import Call, route
from chainwatch.api.reads import Reads
from chainwatch.api.writes import Writes
from chainwatch.operations import (
    alert_actions,
    alert_details,
    configured,
    incidents,
    invariants,
    notifications,
    queries,
    silencing,
)

CALLS = (
    Call("GET", "/v1/status", queries.status, "Everything at a glance"),
    Call("GET", "/v1/networks", queries.network_views, "Networks: head, checkpoint, seen until"),
    Call("GET", "/v1/flows", configured.list_flows, "Flows, their steps and deadlines"),
    Call("GET", "/v1/invariants", invariants.list_invariants, "Invariants: how each stands"),
    Call("GET", "/v1/invariants/{name}", invariants.show_invariant, "One invariant with its last checks"),
    Call("GET", "/v1/receivers", configured.list_receivers, "Receivers"),
    Call("GET", "/v1/transfers", queries.list_transfers, "Transfers, newest first"),
    Call("GET", "/v1/latency", queries.latency, "How long each step took, by route"),
    Call("GET", "/v1/alerts", queries.list_alerts, "Alerts, newest first"),
    Call("GET", "/v1/alerts/{alert_id}", alert_details.show, "One alert, and who acknowledged it"),
    Call("GET", "/v1/incidents", incidents.list_incidents, "Incidents, newest first"),
    Call("GET", "/v1/incidents/{incident_id}", incidents.show_incident, "One incident with its timeline"),
    Call("GET", "/v1/silences", silencing.list_silences, "Silences, newest first"),
    Call("GET", "/v1/queue", notifications.list_notifications, "Notifications, newest first"),
    Call("POST", "/v1/alerts/acknowledge", alert_actions.acknowledge, "Acknowledge firing alerts"),
    Call("POST", "/v1/alerts/unacknowledge", alert_actions.unacknowledge, "Drop acknowledgements"),
    Call("POST", "/v1/alerts/resolve", alert_actions.resolve, "Resolve alerts by hand"),
    Call("POST", "/v1/silences", silencing.add_silence, "Silence alerts"),
    Call("POST", "/v1/silences/expire", silencing.expire_silences, "End silences now"),
    Call("POST", "/v1/queue/retry", notifications.retry, "Retry notifications now"),
    Call("POST", "/v1/queue/drop", notifications.drop, "Drop notifications"),
)


def routes(reads: Reads, writes: Writes) -> list[web.RouteDef]:
    """Return the routes of all calls, and of their description."""
    description = msgspec.json.encode(openapi.describe(CALLS))

    async def describe(_: web.Request) -> web.Response:
        return web.Response(body=description, content_type="application/json")

    return [web.get("/api/openapi.json", describe), *(route(call, reads, writes) for call in CALLS)]
