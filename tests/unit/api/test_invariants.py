"""Invariants over HTTP: listed beside those of the file, made, replaced, stopped and deleted."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from chainwatch.store import accepted_values, definitions, invariants
from chainwatch.store.accepted_values import BY_NOBODY, Accepted
from chainwatch.store.invariants import Check, Reading
from tests.unit.api.conftest import Served, Serving
from tests.unit.api.page.test_operating_screens import send

SAFE = "0x" + "5a" * 20
FLOOR: dict[str, Any] = {
    "values": {"funds": {"network": "ethereum", "address": SAFE, "balance": True}},
    "assert": "funds >= 10",
}
TABLES = {
    "networks": {
        "ethereum": {"chain_id": 1, "rpc": ["http://127.0.0.1:1"]},
        "optimism": {"chain_id": 10, "rpc": ["http://127.0.0.1:1"]},
    },
    "invariants": {"floor": FLOOR},
}


async def put(served: Served, name: str, settings: Any) -> tuple[int, Any]:
    return await served.ask("PUT", f"/v1/invariants/{name}", json={"settings": settings})


async def states(served: Served) -> dict[str, tuple[str, str]]:
    _, answer = await served.get("/v1/invariants")
    return {row["name"]: (row["origin"], row["state"]) for row in answer["rows"]}


async def test_they_are_made_replaced_stopped_and_deleted(serving: Serving) -> None:
    async with serving(TABLES) as served:
        status, answer = await put(served, "ceiling", {**FLOOR, "assert": "funds < 100", "severity": "high"})
        assert (status, answer["origin"], answer["severity"]) == (200, "api", "P1")
        assert await states(served) == {"floor": ("file", "waiting"), "ceiling": ("api", "waiting")}

        assert (await put(served, "ceiling", {**FLOOR, "assert": "funds < 50"}))[0] == 200
        _, answer = await served.get("/v1/invariants/ceiling")
        assert answer["invariant"]["condition"] == "funds < 50"
        assert answer["checks"] == []

        for action, state in (("stop", "stopped"), ("start", "waiting")):
            status, answer = await served.ask("POST", f"/v1/invariants/ceiling/{action}", json={})
            assert (status, answer["state"]) == (200, state)
        assert (await served.ask("DELETE", "/v1/invariants/ceiling"))[0] == 200
        assert await states(served) == {"floor": ("file", "waiting")}
        assert (await served.ask("DELETE", "/v1/invariants/ceiling"))[0] == 404
        with served.running.database.reading() as connection:
            assert definitions.running(connection) == []


def read(connection: sa.Connection, name: str, block: int, funds: int) -> None:
    """Store a check with an answer."""
    check = Check("ethereum", block, 1_000 + block, positions={"ethereum": block}, holds=True)
    invariants.add_checks(connection, [(name, check)])
    content = {"funds": funds}
    invariants.add_readings(
        connection, [Reading(name, "ethereum", block, bytes(32), 1_000 + block, False, content)]
    )


async def test_the_values_that_one_has_read_last_are_accepted(serving: Serving) -> None:
    same = {**FLOOR, "assert": "is_accepted(funds)"}
    async with serving({**TABLES, "invariants": {"floor": FLOOR, "same": same}}) as served:
        with served.running.database.transaction() as connection:
            for name in ("floor", "same"):
                read(connection, name, 1, 7)
                read(connection, name, 2, 8)
            first = Accepted("same", "ethereum", 1, 1_001, b"reads", {"funds": 7}, BY_NOBODY, 1_001.0)
            accepted_values.save(connection, first)
        _, answer = await served.get("/v1/invariants/same")
        assert (answer["accepted"]["values"], answer["accepted"]["author"]) == ("funds = 7", None)
        assert answer["to_accept"] == "funds = 8"
        status, refused = await served.ask("POST", "/v1/invariants/same/accept", json={"values": "funds = 7"})
        assert (status, refused["detail"]) == (
            409,
            "same has read other values last: funds = 8; not funds = 7",
        )
        given = {"values": answer["to_accept"]}
        status, accepted = await served.ask("POST", "/v1/invariants/same/accept", json=given)
        assert (status, accepted["values"], accepted["block"]) == (200, "funds = 8", 2)
        _, answer = await served.get("/v1/invariants/same")
        assert answer["accepted"] == accepted
        assert (await served.get("/v1/invariants/floor"))[1]["accepted"] is None
        assert (await served.ask("POST", "/v1/invariants/floor/accept", json={}))[0] == 409
        assert (await served.ask("POST", "/v1/invariants/other/accept", json={}))[0] == 404


async def test_they_are_listed_in_pages_as_configured_and_by_their_state(serving: Serving) -> None:
    names = [f"floor{number}" for number in range(5)]
    async with serving({**TABLES, "invariants": dict.fromkeys(names, FLOOR)}) as served:
        found: list[str] = []
        path = "/v1/invariants?limit=2"
        while True:
            _, page = await served.get(path)
            assert len(page["rows"]) <= 2
            found += [row["name"] for row in page["rows"]]
            if page["next"] is None:
                break
            path = f"/v1/invariants?limit=2&after={page['next']}"
        assert found == names
        with served.running.database.transaction() as connection:
            read(connection, "floor3", 1, 12)
        for query, some in (
            ("state=holds", ["floor3"]),
            ("name=floor2", ["floor2"]),
            ("state=violated", []),
            ("state=waiting&limit=2", ["floor0", "floor1"]),
        ):
            _, page = await served.get(f"/v1/invariants?{query}")
            assert [row["name"] for row in page["rows"]] == some
        for query in ("state=good", "limit=0", "limit=1001", "after=alerts.1.1"):
            assert (await served.get(f"/v1/invariants?{query}"))[0] == 400


async def test_a_person_accepts_the_values_that_the_screen_has_shown(serving: Serving) -> None:
    name = "same<b>"
    same = {**FLOOR, "assert": "is_accepted(funds)"}
    async with serving({**TABLES, "invariants": {name: same}}) as served:
        with served.running.database.transaction() as connection:
            read(connection, name, 1, 7)
            first = Accepted(name, "ethereum", 1, 1_001, b"reads", {"funds": 7}, BY_NOBODY, 1_001.0)
            accepted_values.save(connection, first)
        screen = f"/ui/invariants/{quote(name)}"
        _, page = await served.get(screen)
        assert "read first at" in page
        assert "/accept" not in page  # nothing has changed
        with served.running.database.transaction() as connection:
            read(connection, name, 2, 8)
        _, page = await served.get(screen)
        assert f'action="{screen}/accept"' in page
        assert 'value="funds = 8"' in page
        status, page = await send(served, screen, f"{screen}/accept", values="funds = 9")
        assert (status, "has read other values last" in page) == (409, True)
        status, page = await send(served, screen, f"{screen}/accept", values="funds = 8")
        assert (status, "accepted by api" in page) == (200, True)
        assert "/accept" not in page


async def test_kinds_are_made_over_http_too(serving: Serving) -> None:
    kind = {"kind": "balance", "network": "ethereum", "address": SAFE, "lower": "0.5"}
    async with serving(TABLES) as served:
        status, answer = await put(served, "funds", kind)
        assert (status, answer["condition"], answer["severity"]) == (200, f"funds >= {5 * 10**17}", "P2")
        assert (await put(served, "funds", {**kind, "severity": "P0"}))[1]["severity"] == "P0"
        for settings, detail in (
            ({**kind, "lower": "x"}, "lower"),
            ({**kind, "lower": None}, "nothing to check"),
            ({**kind, "address": None}, "address"),
            ({**kind, "network": "mars"}, "mars"),
            ({**kind, "kind": "ballance"}, "no such kind"),
            ({**kind, "kind": {}}, "no such kind"),
            ({**kind, "assert": "funds > 1"}, "assert"),
            ({"kind": "output_roots"}, "looks up what events claim"),
        ):
            status, answer = await put(served, "other", settings)
            assert status == 400, settings
            assert detail in answer["detail"], (settings, answer)


async def test_what_check_would_refuse_is_refused(serving: Serving) -> None:
    async with serving(TABLES) as served:
        for settings, detail in (
            ({**FLOOR, "assert": "fund >= 10"}, "fund"),
            ({**FLOOR, "severity": "urgent"}, "severity"),
            ({**FLOOR, "sevrity": "P1"}, "unknown key"),
            ({**FLOOR, "values": {}}, "values"),
            ({**FLOOR, "assert": "${SECRET}"}, "SECRET is not set"),
            (
                {
                    **FLOOR,
                    "values": {"a": {"network": "optimism", "address": SAFE, "balance": True}},
                    "assert": "a > 0",
                },
                "not followed",
            ),
            (
                {
                    **FLOOR,
                    "values": {"a": {"network": "base", "address": SAFE, "balance": True}},
                    "assert": "a > 0",
                },
                "base",
            ),
            ({**FLOOR, "every": {"contract": "x", "event": "E"}}, "contract"),
            ({}, "assert"),
        ):
            status, answer = await put(served, "ceiling", settings)
            assert (status, detail in answer["detail"]) == (400, True), answer
        assert (await put(served, "floor", FLOOR))[0] == 409
        assert (await put(served, "a b", FLOOR))[0] == 400
        assert list(await states(served)) == ["floor"]
        assert (await served.get("/v1/invariants/other"))[0] == 404


async def test_the_screens_show_them_and_refuse_what_is_none(serving: Serving) -> None:
    async with serving(TABLES) as served:
        await put(served, "rich", {**FLOOR, "for_each": {"who": ["a", "b"]}})
        for path, status, said in (
            ("/ui/invariants", 200, "floor"),
            ("/ui/invariants?name=rich", 200, "/ui/invariants/rich%3Ab"),
            ("/ui/invariants?name=rich&state=violated", 200, "No invariant is so"),
            ("/ui/invariants?state=lost", 400, "expected violated"),
            ("/ui/invariants?after=x", 400, "cursor"),
            ("/ui/invariants/floor", 200, "No value is a number that was read"),
            ("/ui/invariants/rich:a", 200, "made through the HTTP server"),
            ("/ui/invariants/rich", 404, "rich is made for each element of a list (2 at present)"),
            ("/ui/invariants/%00", 404, "no invariant is called"),
        ):
            answer, text = await served.get(path)
            assert (answer, said in text) == (status, True), (path, text)
