"""The calls under ``/v1``, which are operations, and the description of all calls at ``/api/openapi.json``."""

from __future__ import annotations

import asyncio
from functools import cache

import msgspec
from aiohttp import web

from chainwatch.api import openapi, root
from chainwatch.api.calls import Call, route
from chainwatch.api.reads import Reads
from chainwatch.api.samples import try_receiver
from chainwatch.api.writes import Writes
from chainwatch.operations import (
    accepted_values,
    alert_actions,
    alert_details,
    alert_stats,
    configured,
    cooldowns,
    endpoints,
    incidents,
    invariant_history,
    invariant_making,
    invariants,
    notifications,
    queries,
    rota,
    routing,
    rule_states,
    silencing,
    transfer_details,
    transfer_reports,
)

CALLS = (
    Call("GET", "/v1/status", queries.status, "Everything at a glance"),
    Call("GET", "/v1/networks", queries.network_views, "Networks: head, checkpoint, seen until"),
    Call("GET", "/v1/endpoints", endpoints.list_endpoints, "Endpoints: health, now and over the last day"),
    Call("GET", "/v1/flows", configured.list_flows, "Flows, their steps and deadlines"),
    Call("GET", "/v1/invariants", invariants.list_invariants, "Invariants: how each stands"),
    Call("GET", "/v1/invariants/{name}", invariants.show_invariant, "One invariant with its last checks"),
    Call(
        "GET",
        "/v1/invariants/{name}/history",
        invariant_history.invariant_history,
        "When an invariant did not hold, and how its values changed",
    ),
    Call("PUT", "/v1/invariants/{name}", invariant_making.save_invariant, "Make an invariant, or replace it"),
    Call(
        "DELETE", "/v1/invariants/{name}", invariant_making.delete_invariant, "Delete an invariant made here"
    ),
    Call(
        "POST", "/v1/invariants/{name}/stop", invariant_making.stop_invariant, "Stop an invariant made here"
    ),
    Call("POST", "/v1/invariants/{name}/start", invariant_making.start_invariant, "Start it again"),
    Call(
        "POST",
        "/v1/invariants/{name}/accept",
        accepted_values.accept_values,
        "Accept the values that an invariant read last, with which it is compared from now on",
    ),
    Call("GET", "/v1/rules", rule_states.list_rules, "Rules in use: how each stands"),
    Call("GET", "/v1/receivers", configured.list_receivers, "Receivers"),
    Call("GET", "/v1/transfers", queries.list_transfers, "Transfers, newest first"),
    Call("GET", "/v1/transfers/{flow}/{key}", transfer_details.show_transfer, "One transfer whole"),
    Call(
        "GET", "/v1/transfers/routes", transfer_reports.routes, "Transfers by route: in flight, and how long"
    ),
    Call(
        "GET",
        "/v1/latency",
        transfer_reports.latency_over_time,
        "How long each step took, by route, over time",
    ),
    Call("GET", "/v1/alerts", queries.list_alerts, "Alerts, newest first"),
    Call("GET", "/v1/alerts/{alert_id}", alert_details.show, "One alert, and who acknowledged it"),
    Call("GET", "/v1/stats", alert_stats.alert_statistics, "Alerts of a window by type and severity"),
    Call("GET", "/v1/incidents", incidents.list_incidents, "Incidents, newest first"),
    Call("GET", "/v1/incidents/{incident_id}", incidents.show_incident, "One incident with its timeline"),
    Call("GET", "/v1/silences", silencing.list_silences, "Silences, newest first"),
    Call("GET", "/v1/queue", notifications.list_notifications, "Notifications, newest first"),
    Call("GET", "/v1/cooldowns", cooldowns.list_cooldowns, "Cooldowns in order of precedence"),
    Call("GET", "/v1/routes", routing.find_routes, "The tree of routes, and which an alert takes"),
    Call("GET", "/v1/oncall", rota.on_call, "Who is on call"),
    Call("GET", "/v1/oncall/calendar", rota.calendar, "Who is on call when, by schedule"),
    Call("GET", "/v1/oncall/overrides", rota.list_overrides, "On-call overrides that have not ended"),
    Call("POST", "/v1/alerts/acknowledge", alert_actions.acknowledge, "Acknowledge firing alerts"),
    Call("POST", "/v1/alerts/unacknowledge", alert_actions.unacknowledge, "Drop acknowledgements"),
    Call("POST", "/v1/alerts/resolve", alert_actions.resolve, "Resolve alerts by hand"),
    Call("POST", "/v1/silences", silencing.add_silence, "Silence alerts"),
    Call("POST", "/v1/silences/expire", silencing.expire_silences, "End silences now"),
    Call(
        "POST",
        "/v1/receivers/test",
        try_receiver,
        "Send a sample to a receiver, and wait for what becomes of it",
    ),
    Call("POST", "/v1/cooldowns", cooldowns.set_cooldown, "Set a cooldown"),
    Call("POST", "/v1/cooldowns/remove", cooldowns.remove_cooldowns, "Remove cooldowns"),
    Call("POST", "/v1/oncall/overrides", rota.add_override, "Put somebody on call for a time"),
    Call("POST", "/v1/oncall/overrides/remove", rota.remove_overrides, "Remove on-call overrides"),
    Call("POST", "/v1/queue/retry", notifications.retry, "Retry notifications now"),
    Call("POST", "/v1/queue/drop", notifications.drop, "Drop notifications"),
)


def routes(reads: Reads, writes: Writes) -> list[web.RouteDef]:
    """Return the routes of all calls, also those at the root, and of their description."""

    async def describe(_: web.Request) -> web.Response:
        description = await asyncio.to_thread(_description)
        return web.Response(body=description, content_type="application/json")

    calls = (route(call, reads, writes) for call in (*CALLS, *root.CALLS))
    return [web.get("/api/openapi.json", describe), *calls]


@cache
def _description() -> bytes:
    """Return the description of all calls, which few ask for: to make it at each start and reload would delay both."""
    return msgspec.json.encode(openapi.describe((*CALLS, *root.CALLS)))
