"""Pessimism's JSON API: its documented bodies in both vocabularies, and answers of its shape."""

from __future__ import annotations

import json
import uuid
from typing import Any

from chainwatch.operations import access
from chainwatch.operations.context import Context
from chainwatch.store import definitions, invariants
from tests.unit.api.conftest import Served, Serving

TABLES: dict[str, Any] = {
    "networks": {"ethereum": {"chain_id": 1, "rpc": ["http://127.0.0.1:1"]}},
    "pessimism": {"layer1": "ethereum"},
}
ADDRESS = "0xfC0157aA4F5DB7177830ACddB3D5a9BB5BE9cc5e"
EVENTS = {
    "method": "run",
    "params": {
        "network": "layer1",
        "pipeline_type": "live",
        "type": "contract_event",
        "start_height": None,
        "alert_destination": "slack",
        "invariant_params": {"address": ADDRESS, "args": ["Transfer(address, address, uint256)"]},
    },
}
"""As in the documentation of the older version, with the space in the signature."""
BALANCE = {
    "method": "run",
    "params": {
        "network": "layer1",
        "type": "balance_enforcement",
        "start_height": None,
        "end_height": None,
        "heuristic_params": {"address": ADDRESS, "lower": 1.5, "upper": 2},
        "alerting_params": {
            "severity": "high",
            "destination": "third_party",
            "message": "look at the treasury",
            "cooldown_time": 60,
        },
    },
}
REFUSED = {
    "status_code": 500,
    "status": "NOTOK",
    "result": None,
    "error": "error processing heuristic request",
}


async def post(served: Served, body: Any, path: str = "/v0/heuristic") -> tuple[int, Any]:
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    return await served.ask("POST", path, data=text, headers={"Content-Type": "text/plain"})


async def session(served: Served, body: Any, path: str = "/v0/heuristic") -> str:
    status, answer = await post(served, body, path)
    assert status == 202
    assert answer == {"status_code": 202, "status": "OK", "result": answer["result"], "error": ""}
    assert list(answer["result"]) == ["uuid"]
    assert str(uuid.UUID(answer["result"]["uuid"])) == answer["result"]["uuid"]
    return str(answer["result"]["uuid"])


def changed(body: dict[str, Any], **params: Any) -> dict[str, Any]:
    return {**body, "params": {**body["params"], **params}}


async def test_the_documented_bodies_run_in_both_vocabularies(serving: Serving) -> None:
    async with serving(TABLES) as served:
        old = await session(served, EVENTS, "/v0/invariant")
        new = await session(served, BALANCE)
        status, answer = await served.get("/v0/invariant", params={"uuid": old})
        assert status == 200
        found = answer["result"]
        assert (found["invariant"], found["invariant_params"]) == (
            "contract_event",
            EVENTS["params"]["invariant_params"],  # type: ignore[index]
        )
        assert (found["alert_destination"], found["status"], found["deleted"]) == ("slack", "running", False)
        found = (await served.get("/v0/heuristic", params={"uuid": new}))[1]["result"]
        assert found["heuristic"] == "balance_enforcement"
        assert found["alerting_params"] == BALANCE["params"]["alerting_params"]  # type: ignore[index]


async def test_an_update_changes_what_is_checked_and_a_deleted_session_is_gone(serving: Serving) -> None:
    async with serving(TABLES) as served:
        name = await session(served, BALANCE)
        update = {
            "method": "update",
            "params": {"uuid": name, "heuristic_params": {"lower": 3, "upper": None}},
        }
        assert await session(served, update) == name
        found = (await served.get("/v0/heuristic", params={"uuid": name}))[1]["result"]
        assert found["heuristic_params"] == {"address": ADDRESS, "lower": 3}
        assert found["alerting_params"]["severity"] == "high"

        assert await session(served, {"method": "stop", "params": {"uuid": name}}) == name
        assert (await served.get("/v0/heuristic", params={"uuid": name}))[1]["result"]["status"] == "stopped"
        assert await session(served, {"method": "run", "params": {"uuid": name}}) == name
        assert (await served.get("/v0/heuristic", params={"uuid": name}))[1]["result"]["status"] == "running"

        assert await session(served, {"method": "delete", "params": {"uuid": name}}) == name
        found = (await served.get("/v0/heuristic", params={"uuid": name}))[1]["result"]
        assert (found["deleted"], found["deleted_at"] is None) == (True, False)
        for method in ("update", "stop", "delete", "run"):
            assert await post(served, {"method": method, "params": {"uuid": name}}) == (500, REFUSED)
        with served.running.database.reading() as connection:
            assert definitions.running(connection) == []


async def test_an_update_may_name_another_network_heuristic_and_block(serving: Serving) -> None:
    tables = {
        "networks": {
            **TABLES["networks"],
            "optimism": {"chain_id": 10, "rpc": ["http://127.0.0.1:1"]},
        },
        "pessimism": {"layer1": "ethereum", "layer2": "optimism"},
    }
    async with serving(tables) as served:
        name = await session(served, EVENTS)

        async def update(**params: Any) -> dict[str, Any]:
            body = {"method": "update", "params": {"uuid": name, **params}}
            assert await session(served, body) == name
            found: dict[str, Any] = (await served.get("/v0/heuristic", params={"uuid": name}))[1]["result"]
            return found

        def cursors() -> dict[str, int]:
            with served.running.database.reading() as connection:
                return {
                    network: found[name]
                    for network in ("ethereum", "optimism")
                    if name in (found := invariants.cursors(connection, network))
                }

        assert (await update(start_height=100))["type"] == "backtest"
        assert cursors() == {"ethereum": 99}
        found = await update(network="layer2", type="")
        assert (found["network"], found["type"], found["heuristic"]) == ("layer2", "live", "contract_event")
        assert cursors() == {}
        assert (await update(network="layer2", start_height=7))["heuristic_params"]["address"] == ADDRESS
        assert cursors() == {"optimism": 6}
        found = await update(type="balance_enforcement", heuristic_params={"address": ADDRESS, "lower": 1})
        assert found["heuristic_params"] == {"address": ADDRESS, "lower": 1}
        assert cursors() == {}
        for wrong in ({"network": "layer3"}, {"type": "nonsense"}, {"start_height": 5}, {"end_height": 9}):
            body = {"method": "update", "params": {"uuid": name, **wrong}}
            assert await post(served, body) == (500, REFUSED), wrong


async def test_what_is_no_request_is_refused_as_pessimism_refuses_it(serving: Serving) -> None:
    error = "could not unmarshal request body"
    refused = {"status_code": 400, "status": "NOTOK", "result": None, "error": error}
    async with serving(TABLES) as served:
        for body in ("", "{", "[]", '{"params": []}', '{"method": 1}', b"\xff", "[" * 100_000):
            assert await post(served, body) == (400, refused), body[:20]


BAD: list[dict[str, Any]] = [
    {"type": "nonsense"},
    {"type": None},
    {"network": "layer2"},
    {"network": "ethereum"},
    {"heuristic_params": None},
    {"heuristic_params": {}},
    {"heuristic_params": {"address": ADDRESS}},
    {"heuristic_params": {"address": "0x" + "0" * 40, "lower": 1}},
    {"heuristic_params": {"address": ADDRESS, "lower": -1}},
    {"heuristic_params": {"address": ADDRESS, "lower": True}},
    {"heuristic_params": {"address": ADDRESS, "lower": "1e999999999"}},
    {"heuristic_params": {"address": ADDRESS, "lower": 2, "upper": 1}},
    {"heuristic_params": {"address": ADDRESS, "upper": 1e300}},
    {"type": "contract_event", "heuristic_params": {"address": ADDRESS, "args": []}},
    {"type": "contract_event", "heuristic_params": {"address": ADDRESS, "args": ["Transfer"]}},
    {
        "type": "contract_event",
        "heuristic_params": {"address": ADDRESS, "args": ["T(x)\r\nSet-Cookie: a"]},
    },
    {"start_height": 5},
    {"end_height": 5},
    {"alerting_params": {"severity": "urgent"}},
    {"alerting_params": {"cooldown_time": -1}},
    {"heuristic_params": {"address": ADDRESS, "lower": 10**4000}},
    {"heuristic_params": {"address": ADDRESS, "lower": "NaN"}},
]


async def test_what_cannot_be_checked_is_refused_with_the_reason_in_a_header(serving: Serving) -> None:
    async with serving(TABLES) as served:
        for params in BAD:
            text = json.dumps(changed(BALANCE, **params))
            async with served.client.post(f"{served.url}/v0/heuristic", data=text) as answer:
                assert (answer.status, await answer.json()) == (500, REFUSED), text[:200]
                assert answer.headers["X-Chainwatch-Reason"]
                assert "Set-Cookie" not in answer.headers
        with served.running.database.reading() as connection:
            assert invariants.newest_revision(connection) == 0


LAYERS = {
    "networks": {
        "ethereum": {"chain_id": 1, "rpc": ["http://127.0.0.1:1"]},
        "optimism": {"chain_id": 10, "rpc": ["http://127.0.0.1:1"]},
    },
    "pessimism": {"layer1": "ethereum", "layer2": "optimism"},
}
PORTAL: dict[str, Any] = {
    "l1_portal_address": ADDRESS,
    "l2_to_l1_address": "0x4200000000000000000000000000000000000016",
}
FAULT: dict[str, Any] = {
    "l2_output_address": ADDRESS,
    "l2_to_l1_address": "0x4200000000000000000000000000000000000016",
}


async def test_heuristics_of_both_layers_run_as_documented(serving: Serving) -> None:
    async with serving(LAYERS) as served:
        for kind, network, params in (
            ("withdrawal_safety", "layer1", PORTAL),
            ("withdrawal_safety", "layer2", {**PORTAL, "threshold": 0.2, "coefficient_threshold": "0.25"}),
            ("withdrawal_enforcement", "layer1", PORTAL),
            ("fault_detector", "layer1", FAULT),
        ):
            body = changed(BALANCE, type=kind, network=network, heuristic_params=params)
            name = await session(served, body)
            found = (await served.get("/v0/heuristic", params={"uuid": name}))[1]["result"]
            assert (found["heuristic"], found["heuristic_params"]) == (kind, params)
        for kind, network, params, reason in (
            ("fault_detector", "layer2", FAULT, "for layer1"),
            ("fault_detector", "layer1", {**FAULT, "args": ["x()"]}, "no args"),
            ("fault_detector", "layer1", PORTAL, "l2_output_address"),
            ("withdrawal_safety", "layer1", FAULT, "l1_portal_address"),
            ("withdrawal_safety", "layer1", {**PORTAL, "threshold": 1}, "threshold"),
            ("withdrawal_safety", "layer1", {**PORTAL, "threshold": 0}, "threshold"),
            ("withdrawal_safety", "layer1", {**PORTAL, "threshold": "1e-999999999"}, "threshold"),
            ("withdrawal_safety", "layer1", {**PORTAL, "coefficient_threshold": True}, "coefficient"),
        ):
            text = json.dumps(changed(BALANCE, type=kind, network=network, heuristic_params=params))
            async with served.client.post(f"{served.url}/v0/heuristic", data=text) as answer:
                assert answer.status == 500
                assert reason in answer.headers["X-Chainwatch-Reason"]


async def test_what_reads_both_layers_is_refused_without_the_other(serving: Serving) -> None:
    async with serving(TABLES) as served:
        text = json.dumps(changed(BALANCE, type="withdrawal_safety", heuristic_params=PORTAL))
        async with served.client.post(f"{served.url}/v0/heuristic", data=text) as answer:
            assert answer.status == 500
            assert "set layer2 in [pessimism]" in answer.headers["X-Chainwatch-Reason"]


async def test_an_unknown_session_is_not_found(serving: Serving) -> None:
    async with serving(TABLES) as served:
        for params in ({}, {"uuid": "x\0"}, {"uuid": str(uuid.uuid4())}):
            status, answer = await served.get("/v0/heuristic", params=params)
            assert (status, answer["status"], answer["result"]) == (404, "NOTOK", None)


async def test_health_says_which_layers_are_read(serving: Serving) -> None:
    async with serving(TABLES) as served:
        status, answer = await served.get("/health")
        assert status == 200
        assert set(answer) == {"Timestamp", "Healthy", "ChainConnectionStatus"}
        assert answer["ChainConnectionStatus"] == {"IsL1Healthy": False, "IsL2Healthy": False}
        assert answer["Timestamp"].endswith("Z")


async def test_a_viewer_reads_sessions_and_makes_none(serving: Serving) -> None:
    async with serving(TABLES, wait=False) as served:
        with served.running.database.transaction() as connection:
            context = Context.of(served.running.plan, connection)
            token = access.add_token(connection, context, 0.0, name="grafana", role="viewer", author="anna")
        await served.until_it_listens()
        headers = {"Authorization": f"Bearer {token.token}"}
        assert (await served.get("/v0/heuristic", params={"uuid": "x"}, headers=headers))[0] == 404
        status, _ = await served.ask("POST", "/v0/heuristic", data=json.dumps(BALANCE), headers=headers)
        assert status == 403
