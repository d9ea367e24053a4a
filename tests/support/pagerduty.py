"""How PagerDuty answers `POST /v2/enqueue`, from its Events API v2 documentation, and the alerts that it would have."""

import json

from tests.support.receiver import Answer, Received

ROUTING_KEY = "0123456789abcdef0123456789abcdef"
JSON = {"Content-Type": "application/json"}
LARGEST = 512 * 1024
SEVERITIES = ("critical", "error", "warning", "info")


class PagerDuty:
    """Takes events; an alert is ``triggered``, ``acknowledged`` or ``resolved``."""

    def __init__(self) -> None:
        self.alerts: dict[str, str] = {}
        self.events: list[tuple[str, str]] = []

    def __call__(self, request: Received) -> Answer:
        if request.path != "/v2/enqueue":
            return Answer(404)
        if len(request.body) > LARGEST:
            return _answer(413, "request entity too large")
        event = request.json()
        if errors := list(_errors(event)):
            return _answer(400, "Event object is invalid", status="invalid event", errors=errors)
        action, key = event["event_action"], event["dedup_key"]
        self.events.append((action, key))
        if action == "trigger":
            if self.alerts.get(key) in (None, "resolved"):
                self.alerts[key] = "triggered"
        elif key in self.alerts and self.alerts[key] != "resolved":
            self.alerts[key] = f"{action}d"
        return _answer(202, "Event processed", status="success", dedup_key=key)


def _answer(status_code: int, message: str, **more: object) -> Answer:
    return Answer(status_code, json.dumps({"message": message, **more}), JSON)


def _errors(event: dict[str, object]) -> list[str]:
    found = []
    if len(str(event.get("routing_key", ""))) != 32:
        found.append("Length of 'routing_key' is incorrect (should be 32 characters)")
    if event.get("event_action") not in ("trigger", "acknowledge", "resolve"):
        found.append("'event_action' is invalid")
    if not 0 < len(str(event.get("dedup_key", ""))) <= 255:
        found.append("Length of 'dedup_key' is incorrect")
    if event.get("event_action") == "trigger":
        payload = event.get("payload")
        if not isinstance(payload, dict):
            return [*found, "'payload' is missing or blank"]
        if not 0 < len(payload.get("summary") or "") <= 1024:
            found.append("Length of 'payload.summary' is incorrect (should be 1 to 1024 characters)")
        if not payload.get("source"):
            found.append("'payload.source' is missing or blank")
        if payload.get("severity") not in SEVERITIES:
            found.append("'payload.severity' is invalid")
    return found
