"""The calls at the root: channels and rules that are created while the process runs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from chainwatch.operations import access
from chainwatch.operations.context import Access
from chainwatch.store import access as stored_access
from tests.support.operating import raise_alert
from tests.support.receiver import Receiver
from tests.support.waiting import eventually
from tests.unit.api.conftest import Served, Serving
from tests.unit.api.test_v1 import operating

HOOK = {"url": "https://user:pass-w0rd@example.org/hook/S3CRETS3CRET", "headers": {"X-Key": "S3CRETKEY"}}
RULE = {
    "name": "HighErrors",
    "query": "rate(errors[5m]) > 0.1",
    "duration": "5m",
    "severity": "critical",
    "annotations": {"summary": "too many errors"},
}


async def created(served: Served, type: str = "webhook", config: dict[str, Any] = HOOK) -> str:
    """The ID of a new channel."""
    status, made = await served.ask("POST", "/channels", json={"type": type, "config": config})
    assert status == 201
    return str(made["id"])


def queues(served: Served) -> set[str]:
    return {
        task.get_name().removeprefix("receiver ")
        for task in asyncio.all_tasks()
        if task.get_name().startswith("receiver ")
    }


async def test_a_channel_runs_at_once_until_it_is_deleted(serving: Serving) -> None:
    async with serving() as served:
        first = await created(served)
        second = await created(served, "console", {})
        assert queues(served) == {first, second}
        running = {task for task in asyncio.all_tasks() if task.get_name() == f"receiver {second}"}
        _, listed = await served.get("/v1/receivers")
        assert [(row["name"], row["origin"]) for row in listed["rows"]] == [
            ("ops", "file"),
            *sorted([(first, "api"), (second, "api")]),
        ]
        _, status = await served.get("/v1/status")
        assert {first, second} <= {queue["receiver"] for queue in status["queues"]}
        assert f'receiver="{first}"' in (await served.get("/metrics"))[1]
        assert await served.ask("DELETE", f"/channels/{first}") == (200, {"id": first, "dropped": 0})
        assert queues(served) == {second}
        assert running <= asyncio.all_tasks()  # the others go on
        assert (await served.get(f"/channels/{first}"))[0] == 404


async def test_no_answer_and_no_entry_of_the_audit_log_has_a_secret(serving: Serving) -> None:
    async with serving() as served:
        channel = await created(served)
        answers = [await served.get(path) for path in ("/channels", f"/channels/{channel}", "/v1/receivers")]
        with served.running.database.reading() as connection:
            entries = stored_access.entries(connection, 10)
        assert [entry.action for entry in entries] == ["POST /channels"]
        assert json.loads(entries[0].detail)["type"] == "webhook"
        for secret in ("S3CRET", "pass-w0rd", "example.org"):
            assert secret not in repr((answers, entries, served.running))


async def test_only_an_admin_creates_channels_and_an_operator_makes_rules(serving: Serving) -> None:
    async with serving() as served:
        made: dict[str, access.NewToken] = {
            role: await asyncio.to_thread(operating(served).write, access.add_token, role, role, "test")
            for role in access.ROLES
        }
        headers = {role: {"Authorization": f"Bearer {one.token}"} for role, one in made.items()}
        body = {"type": "console", "config": {}}
        for role, expected in (("viewer", 403), ("operator", 403), ("admin", 201)):
            assert (await served.ask("POST", "/channels", json=body, headers=headers[role]))[0] == expected
        _, listed = await served.get("/channels", headers=headers["viewer"])
        (channel,) = listed["channels"]
        assert channel["author"] == "admin"
        path = f"/channels/{channel['id']}"
        assert (await served.ask("DELETE", path, headers=headers["operator"]))[0] == 403
        assert (await served.ask("POST", "/rules", json=RULE, headers=headers["viewer"]))[0] == 403
        status, rule = await served.ask("POST", "/rules", json=RULE, headers=headers["operator"])
        assert (status, rule["author"]) == (201, "operator")


async def test_rules_are_created_changed_and_deleted(serving: Serving) -> None:
    async with serving() as served:
        channel = await created(served)
        body = {**RULE, "type": "errors", "cooldown": "1h", "channels": [channel]}
        status, made = await served.ask("POST", "/rules", json=body)
        assert status == 201
        assert body.items() <= made.items()
        assert made["evaluated"] is True
        assert (await served.get("/rules"))[1] == {"rules": [made]}
        assert await served.get("/rules/HighErrors") == (200, made)
        assert (await served.ask("DELETE", f"/channels/{channel}"))[0] == 409
        routes = served.running.alerting.engine.routes
        assert [route.receivers for route in routes] == [(channel,), ("ops",)]
        status, changed = await served.ask(
            "PUT", "/rules/HighErrors", json={**body, "channels": [], "severity": "low"}
        )
        assert (status, changed["severity"], changed["channels"]) == (200, "low", [])
        assert len(served.running.alerting.engine.routes) == 1
        assert (await served.ask("DELETE", f"/channels/{channel}"))[0] == 200
        assert await served.ask("DELETE", "/rules/HighErrors") == (200, {"name": "HighErrors"})
        assert (await served.ask("PUT", "/rules/HighErrors", json={}))[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/rules", {}, 400, "name"),
        ("POST", "/rules", {**RULE, "expr": "up"}, 400, "expr"),
        ("POST", "/rules", {**RULE, "query": "rate(x)"}, 400, "expected type range vector"),
        ("POST", "/rules", {**RULE, "annotations": {"a": 5}}, 400, "annotations"),
        ("POST", "/rules", {**RULE, "name": "a\0"}, 400, "NUL"),
        ("POST", "/rules", [], 400, "array"),
        ("PUT", "/rules/Other", {"query": "up"}, 404, "Other"),
        ("PUT", "/rules/Other", {"name": "Another"}, 400, "differs"),
        ("DELETE", "/rules/Other", None, 404, "Other"),
        ("POST", "/channels", {"type": "webhook"}, 400, "config"),
        ("POST", "/channels", {"type": "exec", "config": {}}, 400, "runs a program"),
        ("POST", "/channels", {"type": "webhook", "config": []}, 400, "config"),
        ("PATCH", "/channels", {}, 405, "GET"),
    ],
)
async def test_what_cannot_be_done_is_refused_and_changes_nothing(
    serving: Serving, method: str, path: str, body: Any, status: int, said: str
) -> None:
    async with serving() as served:
        found, problem = await served.ask(method, path, json=body)
        assert found == status
        assert said in problem["detail"]
        assert (await served.get("/rules"))[1] == {"rules": []}
        assert (await served.get("/channels"))[1] == {"channels": []}


async def test_they_are_described(serving: Serving) -> None:
    async with serving() as served:
        _, description = await served.get("/api/openapi.json")
        put = description["paths"]["/rules/{name}"]["put"]
        assert "name" in [one["name"] for one in put["parameters"]]
        schema = put["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        body = description["components"]["schemas"][schema]
        assert "name" not in body["properties"]
        assert "query" in body["properties"]
        assert "201" in description["paths"]["/channels"]["post"]["responses"]


async def test_a_channel_delivers_what_its_rule_sends_it(serving: Serving) -> None:
    async with serving() as served, Receiver() as receiver:
        channel = await created(served, config={"url": f"{receiver.url}/x", "allow_private": True})
        await served.ask("POST", "/rules", json={**RULE, "channels": [channel]})
        now = operating(served)
        earlier = Access(now.database, now.context, lambda: now.clock() - 60)
        await asyncio.to_thread(raise_alert, earlier, "HighErrors")
        alerting = served.running.alerting
        await asyncio.wrap_future(
            alerting.write(lambda connection, at: (None, alerting.flush(connection, at)))
        )
        await eventually(lambda: receiver.requests)
        assert "HighErrors" in receiver.requests[0].body.decode()


async def test_alerts_are_listed_resolved_and_counted(serving: Serving) -> None:
    async with serving() as served:
        await asyncio.to_thread(raise_alert, operating(served), "HighErrors")
        status, active = await served.get("/alerts")
        assert status == 200
        (alert,) = active["alerts"]
        assert {"rule", "state", "value", "labels", "started_at", "annotations"} <= alert.keys()
        assert (alert["rule"], alert["state"]) == ("HighErrors", "firing")
        assert (await served.ask("POST", f"/alerts/{alert['id']}/resolve"))[1]["reason"] == "by hand"
        assert (await served.ask("POST", f"/alerts/{alert['id']}/resolve", json={"note": "x"}))[0] == 409
        assert (await served.ask("POST", "/alerts/x/resolve"))[0] == 404
        assert (await served.get("/alerts"))[1]["alerts"] == []
        _, history = await served.get("/alerts/history?limit=1")
        assert history["alerts"][0]["ended_at"] >= alert["started_at"]
        _, stats = await served.get("/alerts/stats?window=24h")
        assert (stats["number"], stats["resolved"]) == (1, 1)
