"""Tokens: who may do what, how fast one is refused, and that guessing does not help."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import encode_basic_auth

from chainwatch.api import identity
from chainwatch.api.identity import FAILURES_MAX, FAILURES_WITHIN, Failures, role_needed
from chainwatch.operations import access
from chainwatch.operations.context import Access, Context
from tests.unit.api.conftest import Served, Serving


@pytest.fixture(autouse=True)
def _tokens_are_always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "CALLERS_FRESH_FOR", 0.0)


def operating(served: Served) -> Access:
    database = served.running.database
    with database.reading() as connection:
        return Access(database, Context.of(served.running.plan, connection))


async def make(served: Served, name: str, role: str) -> dict[str, Any]:
    """Make a token; return the options of requests that have it."""
    made = await asyncio.to_thread(operating(served).write, access.add_token, name, role, "test")
    return {"headers": {"Authorization": f"Bearer {made.token}"}}


async def test_with_a_token_every_request_needs_one(serving: Serving) -> None:
    async with serving() as served:
        assert (await served.get("/metrics"))[0] == 200
        holding = await make(served, "anna", "viewer")
        for path in ("/metrics", "/-/ready", "/nothing"):
            async with served.client.get(f"{served.url}{path}") as answer:
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
                assert answer.content_type == "application/problem+json"
        assert (await served.get("/metrics", **holding))[0] == 200
        assert (await served.get("/-/healthy"))[0] == 200


async def test_a_program_that_knows_only_basic_sends_the_token_as_its_password(serving: Serving) -> None:
    async with serving() as served:
        token = (await make(served, "anna", "viewer"))["headers"]["Authorization"].partition(" ")[2]
        by_basic = {"Authorization": encode_basic_auth("any", token)}
        assert (await served.get("/metrics", headers=by_basic))[0] == 200
        wrong = ["Basic", "Basic ?", "Basic " + "/" * 80, encode_basic_auth("any", token[:-1])]
        for header in [*wrong, encode_basic_auth(token, ""), "Digest x"]:
            assert (await served.get("/metrics", headers={"Authorization": header}))[0] == 401


@pytest.mark.parametrize(
    "header",
    [
        ("Origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("Referer", "x"),
        ("referer", "x"),
    ],
)
async def test_a_browser_that_sends_basic_by_itself_lends_no_page_a_token(
    serving: Serving, header: tuple[str, str]
) -> None:
    async with serving() as served:
        token = (await make(served, "anna", "admin"))["headers"]["Authorization"].partition(" ")[2]
        sent = {"Authorization": encode_basic_auth("any", token), header[0]: header[1]}
        assert (await served.get("/metrics", headers=sent))[0] in (401, 403)


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("operator", 403), ("admin", 202)])
async def test_only_an_admin_reloads_and_it_is_in_the_audit_log(
    serving: Serving, role: str, status: int
) -> None:
    async with serving() as served:
        holding = await make(served, "anna", role)
        assert (await served.ask("POST", "/-/reload", **holding))[0] == status
        assert len(served.reloads) == (status == 202)
        entries = operating(served).read(access.list_audit).rows
        wanted = [("anna", "POST /-/reload")] if status == 202 else []
        assert [(e.actor, e.action) for e in entries] == [*wanted, ("test", "token add")]


def test_each_request_needs_a_role() -> None:
    assert role_needed("GET", "/-/reload") == "viewer"
    assert role_needed("POST", "/anything") == "operator"
    assert role_needed("BREW", "/anything") == "operator"
    assert role_needed("POST", "/-/reload") == "admin"


async def test_a_token_that_was_removed_is_refused_though_it_was_used(serving: Serving) -> None:
    async with serving() as served:
        await make(served, "ben", "viewer")
        holding = await make(served, "anna", "viewer")
        assert (await served.get("/metrics", **holding))[0] == 200
        await asyncio.to_thread(operating(served).write, access.remove_token, "anna", "test")
        assert (await served.get("/metrics", **holding))[0] == 401


async def test_a_token_is_not_guessed(serving: Serving) -> None:
    async with serving() as served:
        right = (await make(served, "anna", "viewer"))["headers"]["Authorization"]
        wrong = right[:-1] + ("A" if right[-1] != "A" else "B")
        for text in (wrong, right[:-1], right + "x", "Bearer", "Bearer ", "Basic YTpi", "Bearer \xff", ""):
            assert (await served.get("/metrics", headers={"Authorization": text}))[0] == 401


async def test_guessing_is_slowed_down_and_whoever_is_known_goes_on(serving: Serving) -> None:
    async with serving() as served:
        holding = await make(served, "anna", "viewer")
        assert (await served.get("/metrics", **holding))[0] == 200
        wrong = {"headers": {"Authorization": "Bearer cw_x"}}
        answers = [(await served.get("/metrics", **wrong))[0] for _ in range(FAILURES_MAX + 2)]
        assert answers == [401] * FAILURES_MAX + [429] * 2
        async with served.client.get(f"{served.url}/metrics", **wrong) as answer:
            assert 0 < int(answer.headers["Retry-After"]) <= FAILURES_WITHIN
        assert (await served.get("/metrics", **holding))[0] == 200


async def test_who_sends_wrong_tokens_locks_nobody_else_out_from_behind_the_same_proxy(
    serving: Serving,
) -> None:
    async with serving() as served:
        anna, ben = [await make(served, name, "viewer") for name in ("anna", "ben")]
        bens = ben["headers"]["Authorization"]
        for wrong in ("Bearer cw_x", bens[:-1] + "~", bens[:-4] + "AAAA"):
            for _ in range(FAILURES_MAX):
                await served.get("/metrics", headers={"Authorization": wrong})
        assert (await served.get("/metrics", **ben))[0] == 429  # whose token is being guessed
        assert (await served.get("/metrics", **anna))[0] == 200


def test_failures_are_forgotten_in_time_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "FAILING_MAX", 2)
    now = 0.0
    failures = Failures(lambda: now)
    for _ in range(FAILURES_MAX):
        failures.note("a")
    assert failures.wait("a") == FAILURES_WITHIN
    assert failures.wait("b") == 0
    now = FAILURES_WITHIN
    assert failures.wait("a") == 0
    for address in ("b", "c", "d"):
        failures.note(address)
    assert set(failures._at) == {"c", "d"}


async def test_a_token_makes_a_foreign_name_harmless_but_grants_no_page(serving: Serving) -> None:
    async with serving() as served:
        holding = await make(served, "anna", "admin")
        headers = {**holding["headers"], "Host": "watch.example"}
        assert (await served.get("/metrics", headers=headers))[0] == 200
        asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
        async with served.client.options(f"{served.url}/metrics", headers=asked) as answer:
            assert answer.status == 403
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_other_machines_are_served_only_once_there_is_a_token(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chainwatch.api import server

    monkeypatch.setattr(server, "LISTEN_AGAIN", 0.01)
    monkeypatch.setattr(server, "is_loopback", lambda host: False)
    async with serving(wait=False) as served:
        await asyncio.sleep(0.1)
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", served.port)
        holding = await make(served, "anna", "viewer")
        await served.until_it_listens()
        assert (await served.get("/metrics"))[0] == 401
        assert (await served.get("/metrics", **holding))[0] == 200
        await asyncio.to_thread(operating(served).write, access.remove_token, "anna", "test")
        assert (await served.get("/metrics"))[0] == 401  # nor is everybody served afterwards
