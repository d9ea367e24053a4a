"""The calls under `/v1`: what operations return, their arguments, and what is refused."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from chainwatch.api import identity, openapi_samples, reads, root, samples
from chainwatch.api.calls import LIMIT_MAX
from chainwatch.api.ingestion import WRITE
from chainwatch.api.prometheus.paths import PREFIX, QUERY_PATHS
from chainwatch.api.v1 import CALLS
from chainwatch.operations import access, queries
from chainwatch.operations.context import Access, Context
from chainwatch.support.counters import TRANSACTION_SECONDS
from tests.support.operating import flush, raise_alert
from tests.unit.api.conftest import Served, Serving


def operating(served: Served) -> Access:
    database = served.running.database
    with database.reading() as connection:
        return Access(database, Context.of(served.running.plan, connection))


@pytest.mark.parametrize("path", [c.path for c in CALLS if c.method == "GET" and "{" not in c.path])
async def test_every_list_is_answered(serving: Serving, path: str) -> None:
    async with serving() as served:
        status, answer = await served.get(path)
        assert status == 200
        assert isinstance(answer, dict)


async def test_alerts_are_listed_in_pages_and_shown(serving: Serving) -> None:
    async with serving() as served:
        for name in ("A", "B", "C"):
            await asyncio.to_thread(raise_alert, operating(served), name)
        _, first = await served.get("/v1/alerts?limit=2&firing=true&severities=P1&severities=P2")
        assert len(first["rows"]) == 2
        _, rest = await served.get(f"/v1/alerts?limit=2&after={first['next']}")
        found = [row["labels"]["alertname"] for row in (*first["rows"], *rest["rows"])]
        assert sorted(found) == ["A", "B", "C"]
        assert rest["next"] is None
        status, one = await served.get(f"/v1/alerts/{first['rows'][0]['id']}")
        assert (status, one["id"]) == (200, first["rows"][0]["id"])
        assert (await served.get("/v1/alerts/999"))[0] == 404
        assert (await served.get("/v1/alerts/x"))[0] == 404
        async with served.client.get(f"{served.url}/v1/alerts/acknowledge") as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "POST")


async def test_what_has_not_changed_is_not_sent_again(serving: Serving) -> None:
    async with serving() as served:
        async with served.client.get(f"{served.url}/v1/alerts") as answer:
            etag = answer.headers["ETag"]
        headers = {"If-None-Match": f'"other", W/{etag}'}
        async with served.client.get(f"{served.url}/v1/alerts", headers=headers) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
        await asyncio.to_thread(raise_alert, operating(served))
        async with served.client.get(f"{served.url}/v1/alerts", headers=headers) as answer:
            assert answer.status == 200


async def test_many_clients_cost_one_read_until_something_is_committed(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "SHARED_FOR", 600.0)
    monkeypatch.setattr(identity, "CALLERS_FRESH_FOR", 600.0)
    async with serving() as served:

        async def ask(path: str) -> Any:
            return await served.get(path)

        await ask("/v1/flows")  # who may call is read, too
        before = counted_reads()
        asked = await asyncio.gather(
            *(ask("/v1/alerts") for _ in range(20)), *(ask("/v1/queue") for _ in range(20))
        )
        assert {status for status, _ in asked} == {200}
        assert counted_reads() - before == 2
        assert (await ask("/v1/alerts?limit=5"))[1]["rows"] == []
        assert counted_reads() - before == 3
        await asyncio.to_thread(raise_alert, operating(served))
        assert len((await ask("/v1/alerts"))[1]["rows"]) == 1


def counted_reads() -> int:
    """How many transactions this process has read in."""
    observed = TRANSACTION_SECONDS.observed().get(("read",))
    return observed.cumulative[-1] if observed else 0


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/alerts?limit=0", "limit"),
        (f"/v1/alerts?limit={LIMIT_MAX + 1}", "after"),
        ("/v1/alerts?limit=x", "limit"),
        ("/v1/alerts?limit=1&limit=2", "given 2 times"),
        ("/v1/alerts?severities=P9", "P9"),
        ("/v1/alerts?since=nan", "since"),
        ("/v1/alerts?since=1e300", "since"),
        ("/v1/alerts?after=x", "cursor"),
        ("/v1/alerts?nothing=1", "nothing"),
        ("/v1/transfers?statuses=gone", "gone"),
        ("/v1/transfers?key=%00", "text"),
        ("/v1/transfers?key=x", None),
        ("/v1/transfers?key=%ED%B3%BF", None),
        ("/v1/alerts/99999999999999999999999", None),
        ("/v1/queue?status=lost", "lost"),
    ],
)
async def test_arguments_that_cannot_be_used_are_refused(
    serving: Serving, path: str, said: str | None
) -> None:
    async with serving() as served:
        status, answer = await served.get(path)
        if said is None:
            assert status in (200, 400, 404)
        else:
            assert (status, answer["status"]) == (400, 400)
            assert said in answer["detail"]


async def test_people_act_and_the_audit_log_says_who(serving: Serving) -> None:
    async with serving() as served:
        here = operating(served)
        await asyncio.to_thread(raise_alert, here)
        await asyncio.to_thread(flush, here)
        made = await asyncio.to_thread(here.write, access.add_token, "anna", "operator", "test")
        headers = {"Authorization": f"Bearer {made.token}"}

        async def post(path: str, body: dict[str, Any]) -> Any:
            status, answer = await served.ask("POST", path, json=body, headers=headers)
            assert status == 200, answer
            return answer

        (alert,) = here.read(queries.list_alerts).rows
        assert (await post("/v1/alerts/acknowledge", {"ids": [alert.id, 77], "note": "mine"})) == {
            "done": [alert.id],
            "conflicting": [],
            "not_found": [77],
        }
        _, shown = await served.get(f"/v1/alerts/{alert.id}", headers=headers)
        assert shown["acknowledged"]["by"] == "anna"
        silence = await post("/v1/silences", {"match": {"alertname": "Late"}, "lasts": 60, "comment": "c"})
        assert (silence["author"], silence["hides"]) == ("anna", 1)
        assert (await post("/v1/silences/expire", {"ids": [silence["id"]]}))["done"] == [silence["id"]]
        assert (await post("/v1/alerts/resolve", {"ids": [alert.id]}))["done"] == [alert.id]
        assert here.read(queries.list_alerts).rows[0].state == "resolved"
        entries = here.read(access.list_audit).rows
        assert {(e.actor, e.action) for e in entries} >= {
            ("anna", "POST /v1/alerts/acknowledge"),
            ("anna", "POST /v1/silences"),
            ("anna", "POST /v1/alerts/resolve"),
        }
        assert any('"note": "mine"' in e.detail for e in entries)


async def test_a_viewer_does_not_act(serving: Serving) -> None:
    async with serving() as served:
        made = await asyncio.to_thread(operating(served).write, access.add_token, "a", "viewer", "test")
        headers = {"Authorization": f"Bearer {made.token}"}
        assert (await served.get("/v1/alerts", headers=headers))[0] == 200
        for call in CALLS:
            if call.method == "POST":
                status, _ = await served.ask("POST", call.path, json={"ids": [1]}, headers=headers)
                assert status == 403


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"ids": 1}',
        b'{"ids": ["1"]}',
        b'{"ids": [1.5]}',
        b'{"ids": [null]}',
        b'{"ids": [1], "note": "\\u0000"}',
        b'{"ids": [1], "actor": "somebody else"}',
        b'{"ids": [1], "nothing": 1}',
        b'{"ids": [1], "until": 1}',
        b'{"ids": [1], "until": 1e999}',
        b'{"ids": [1], "note": "\\ud800"}',
        b"[" * 100_000,
        b"\xff",
        b'{"ids": [1], "note": "\xed\xb3\xbf"}',
    ],
)
async def test_a_body_that_cannot_be_used_is_refused_and_nothing_is_recorded(
    serving: Serving, body: bytes
) -> None:
    async with serving() as served:
        headers = {"Content-Type": "application/json"}
        status, answer = await served.ask("POST", "/v1/alerts/acknowledge", data=body, headers=headers)
        assert (status, answer["status"]) == (400, 400)
        assert operating(served).read(access.list_audit).rows == []


async def test_only_json_is_taken(serving: Serving) -> None:
    async with serving() as served:
        for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
            headers = {"Content-Type": kind}
            status, _ = await served.ask("POST", "/v1/queue/drop", data=b'{"ids": [1]}', headers=headers)
            assert status == 415


async def test_the_description_is_whole(serving: Serving) -> None:
    async with serving() as served:
        status, document = await served.get("/api/openapi.json")
    assert status == 200
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    by_hand = {
        (method.upper(), path) for path, methods in openapi_samples.paths().items() for method in methods
    }
    assert described == {(call.method, call.path) for call in (*CALLS, *root.CALLS)} | by_hand
    operations = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    assert len(set(operations)) == len(operations)
    text = json.dumps(document)
    names = document["components"]["schemas"]
    references = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert references <= names.keys()
    alerts = document["paths"]["/v1/alerts"]["get"]
    assert {p["name"] for p in alerts["parameters"]} >= {"firing", "severities", "limit", "after"}
    (_, alert_id) = document["paths"]["/v1/alerts/{alert_id}"]["get"]["parameters"]
    assert (alert_id["in"], alert_id["required"]) == ("path", True)
    body = document["paths"]["/v1/alerts/acknowledge"]["post"]["requestBody"]
    given = names[body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]]
    assert "ids" in given["required"]
    assert "actor" not in given["properties"]


def test_every_path_of_queries_is_described() -> None:
    """Also by POST, where that is taken."""
    described = {path for path in openapi_samples.paths() if path.startswith(PREFIX) and path != WRITE}
    assert described == {PREFIX + name for name in (*QUERY_PATHS, "label/{name}/values")}


def test_the_page_has_every_call_and_no_other() -> None:
    page = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
    written = re.findall(r"^\| `(GET|POST|PUT|DELETE) (/v1/[^`…]*)`", page, re.MULTILINE)
    assert sorted(written) == sorted((call.method, call.path) for call in CALLS)


ON_CALL = {
    "people": {"anna": {"receivers": ["ops"]}, "ben": {"receivers": ["ops"]}},
    "oncall": {"primary": {"layers": [{"people": ["anna", "ben"], "start": "2026-01-05"}]}},
}


async def test_somebody_is_put_on_call_and_taken_off_again(serving: Serving) -> None:
    async with serving(ON_CALL) as served:
        _, made = await served.ask(
            "POST",
            "/v1/oncall/overrides",
            json={"schedule": "primary", "person": "ben", "starts_at": 1_767_600_000, "lasts": 3600},
        )
        assert (made["person"], made["author"]) == ("ben", "api")
        _, now = await served.get("/v1/oncall?at=1767600010")
        assert [(r["person"], r["by"]) for r in now["rows"]] == [("ben", "override")]
        _, days = await served.get("/v1/oncall/calendar?since=1767600000&until=1768000000")
        assert days["rows"][0]["until"] == 1_767_603_600
        assert {row["person"] for row in days["rows"]} >= {"anna", "ben"}
        _, gone = await served.ask("POST", "/v1/oncall/overrides/remove", json={"ids": [made["id"], 99]})
        assert (gone["done"], gone["not_found"]) == ([made["id"]], [99])
        assert (await served.get("/v1/oncall/overrides"))[1] == {"rows": []}
        for wrong in ("since=2&until=1", "since=nan", "until=1e18", "schedules=nobody"):
            assert (await served.get(f"/v1/oncall/calendar?{wrong}"))[0] in (400, 404), wrong


async def test_the_routes_of_an_alert_are_found_by_its_labels(serving: Serving) -> None:
    async with serving() as served:
        _, tree = await served.get("/v1/routes")
        assert (len(tree["routes"]), tree["receivers"]) == (1, [])
        _, taken = await served.get("/v1/routes?labels=alertname=Late&labels=severity=P1")
        assert (taken["routes"][0]["takes"], taken["receivers"]) == (True, ["ops"])
        assert (await served.get("/v1/routes?labels=severity"))[0] == 400


async def test_a_cooldown_is_set_and_removed(serving: Serving) -> None:
    async with serving() as served:
        body = {"match": {"alertname": "Noise"}, "within": 600}
        _, made = await served.ask("POST", "/v1/cooldowns", json=body)
        assert (await served.get("/v1/cooldowns"))[1] == {"rows": [made]}
        _, gone = await served.ask("POST", "/v1/cooldowns/remove", json={"ids": [made["id"]]})
        assert gone["done"] == [made["id"]]


async def test_a_receiver_is_tested(serving: Serving) -> None:
    async with serving() as served:
        await served.running.alerting.start()
        _, outcome = await served.ask("POST", "/v1/receivers/test", json={"receiver": "ops"})
        assert (outcome["receiver"], outcome["delivered"], outcome["error"]) == ("ops", True, None)
        status, _ = await served.ask("POST", "/v1/receivers/test", json={"receiver": "nobody"})
        assert status == 404
        assert (await served.get("/v1/alerts"))[1]["rows"] == []
        _, queue = await served.get("/v1/queue")
        assert [row["status"] for row in queue["rows"]] == ["delivered"]
        (entry,) = operating(served).read(access.list_audit).rows
        assert entry.action == "POST /v1/receivers/test"


async def test_a_sample_that_is_not_taken_is_dropped(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "WITHIN", 0.2)
    async with serving() as served:  # its queues do not run
        _, outcome = await served.ask("POST", "/v1/receivers/test", json={"receiver": "ops"})
        assert outcome["delivered"] is False
        assert "not delivered" in outcome["error"]
        assert (await served.get("/v1/queue"))[1]["rows"][0]["status"] == "dropped"
