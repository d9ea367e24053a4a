"""The calls at the root: alerts by their rules; channels and rules, which are created while chainwatch runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from chainwatch.api.calls import Call
from chainwatch.operations import alert_stats, channels, rule_alerts, rules


def _without_secrets(given: Mapping[str, Any]) -> str:
    channels.prepare(given["type"], given["config"])  # here, as this runs in a thread of its own
    return json.dumps({**given, "config": channels.without_secrets(given["type"], given["config"])})


CALLS = (
    Call("GET", "/alerts", rule_alerts.list_active, "Alerts that fire or are pending, newest first"),
    Call("GET", "/alerts/history", rule_alerts.list_history, "Alerts, whatever became of them, newest first"),
    Call("GET", "/alerts/stats", alert_stats.window_statistics, "Alerts of a window by type and severity"),
    Call("POST", "/alerts/{id}/resolve", rule_alerts.resolve_alert, "Resolve an alert by hand"),
    Call("GET", "/channels", channels.list_channels, "Channels, without their secrets"),
    Call("GET", "/channels/{id}", channels.show_channel, "One channel, without its secrets"),
    Call("POST", "/channels", channels.add_channel, "Create a receiver", 201, True, _without_secrets),
    Call("DELETE", "/channels/{id}", channels.delete_channel, "Delete a channel", extends=True),
    Call("GET", "/rules", rules.list_rules, "Rules that were created here"),
    Call("GET", "/rules/{name}", rules.show_rule, "One rule"),
    Call("POST", "/rules", rules.add_rule, "Create a rule", 201, True),
    Call("PUT", "/rules/{name}", rules.update_rule, "Change what is given of a rule", extends=True),
    Call("DELETE", "/rules/{name}", rules.delete_rule, "Delete a rule", extends=True),
)
