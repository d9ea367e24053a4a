"""`Idempotency-Key`: what is sent twice is done once, and answered alike."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch.api import idempotency
from chainwatch.api.calls import Call
from chainwatch.operations import access
from chainwatch.operations.context import Access, Context
from chainwatch.operations.errors import Invalid
from tests.support.waiting import PATIENCE
from tests.unit.api.conftest import Served, Serving

SILENCE = {"match": {"alertname": "A"}, "comment": "work", "lasts": 3600}


async def silence(served: Served, key: str | None, body: Any = SILENCE, **headers: str) -> tuple[int, Any]:
    given = headers if key is None else {"Idempotency-Key": key, **headers}
    return await served.ask("POST", "/v1/silences", json=body, headers=given)


async def done(served: Served) -> tuple[int, int]:
    """How many silences there are, and how many entries the audit log has."""
    _, silences = await served.get("/v1/silences")
    with served.running.database.reading() as connection:
        context = Context.of(served.running.plan, connection)
        return len(silences["rows"]), len(access.list_audit(connection, context, 0.0).rows)


async def test_what_is_sent_again_with_its_key_is_done_once_and_answered_alike(serving: Serving) -> None:
    async with serving() as served:
        first = await silence(served, "one")
        assert first[0] == 200
        assert await silence(served, "one") == first
        assert await silence(served, '"one"') == first
        assert await done(served) == (1, 1)
        assert (await silence(served, "two"))[1] != first[1]
        assert (await silence(served, None))[0] == 200
        assert await done(served) == (3, 3)


async def test_a_key_is_still_known_after_a_restart(serving: Serving) -> None:
    async with serving() as served:
        first = await silence(served, "one")
    async with serving() as served:
        assert await silence(served, "one") == first
        assert await done(served) == (1, 1)


async def test_a_key_belongs_to_its_token(serving: Serving) -> None:
    async with serving() as served:
        database = served.running.database
        with database.reading() as connection:
            operations = Access(database, Context.of(served.running.plan, connection))
        tokens = [
            (await asyncio.to_thread(operations.write, access.add_token, name, "operator", "me")).token
            for name in ("ann", "bob")
        ]
        answers = [
            await silence(served, "one", Authorization=f"Bearer {token}") for token in (*tokens, tokens[0])
        ]
        assert [status for status, _ in answers] == [200, 200, 200]
        assert answers[0] == answers[2] != answers[1]


async def test_a_key_of_another_request_is_refused(serving: Serving) -> None:
    async with serving() as served:
        await silence(served, "one")
        status, answer = await silence(served, "one", {**SILENCE, "comment": "other"})
        assert (status, answer["title"]) == (422, "Unprocessable Entity")
        expired = await served.ask(
            "POST", "/v1/silences/expire", json={"ids": [1]}, headers={"Idempotency-Key": "one"}
        )
        assert expired[0] == 422
        assert await done(served) == (1, 1)


async def test_a_refused_request_may_be_corrected_under_its_key(serving: Serving) -> None:
    async with serving() as served:
        assert (await silence(served, "one", {**SILENCE, "lasts": -1}))[0] == 400
        assert (await silence(served, "one"))[0] == 200
        assert await done(served) == (1, 1)


async def test_the_second_of_two_at_once_is_asked_to_wait(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slow(connection: sa.Connection, context: Context, now: float) -> list[str]:
        begun.set()
        may_end.wait(2 * PATIENCE)
        return []

    monkeypatch.setattr("chainwatch.api.v1.CALLS", (Call("POST", "/v1/slow", slow, "Wait"),))
    async with serving() as served:
        ask = {"json": {}, "headers": {"Idempotency-Key": "one"}}
        first = asyncio.ensure_future(served.ask("POST", "/v1/slow", **ask))
        await asyncio.to_thread(begun.wait, PATIENCE)
        assert (await served.ask("POST", "/v1/slow", **ask))[0] == 409
        may_end.set()
        assert await first == (200, {"rows": []})
        assert await served.ask("POST", "/v1/slow", **ask) == (200, {"rows": []})


async def test_a_sample_that_is_asked_for_twice_is_sent_once(serving: Serving) -> None:
    async with serving() as served:
        await served.running.alerting.start()
        ask = {"json": {"receiver": "ops"}, "headers": {"Idempotency-Key": "one"}}
        first = await served.ask("POST", "/v1/receivers/test", **ask)
        assert (first[0], first[1]["delivered"]) == (200, True)
        assert await served.ask("POST", "/v1/receivers/test", **ask) == first
        assert len((await served.get("/v1/queue"))[1]["rows"]) == 1
        ask["json"] = {"receiver": "ops", "severity": "P1"}
        assert (await served.ask("POST", "/v1/receivers/test", **ask))[0] == 422


async def test_a_body_that_comes_with_a_key_is_bounded(serving: Serving) -> None:
    async with serving() as served:
        large = {**SILENCE, "comment": "x" * idempotency.BODY_MAX}
        status, answer = await silence(served, "one", large)
        assert (status, answer["detail"]) == (413, "with an Idempotency-Key a body has at most 64 KiB")
        assert await done(served) == (0, 0)


@pytest.mark.parametrize(
    "given",
    [
        [""],
        ['""'],
        ["x" * 256],
        ['"open'],
        ['a"b'],
        ["\u00e9"],
        ["a\tb"],
        ["a b"],
        ["a\\b"],
        ["a", "a"],
        ['"a\\b"'],
    ],
)
def test_a_key_that_is_none_is_refused(given: list[str]) -> None:
    with pytest.raises(Invalid):
        idempotency.parse(given)


@pytest.mark.parametrize(
    ("given", "key"),
    [("abc", "abc"), ('"abc"', "abc"), (r'"a\"b\\"', 'a"b\\'), ("x" * 255, "x" * 255), ('" a b "', " a b ")],
)
def test_a_key_may_be_quoted(given: str, key: str) -> None:
    assert idempotency.parse([given]) == key
