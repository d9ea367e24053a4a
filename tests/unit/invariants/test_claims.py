"""Claims of JSON documents, and values of other invariants."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.chain.state import Unread
from chainwatch.checker.invariants.claims import parse_path, reader_of
from chainwatch.checker.invariants.invariant import StateRead
from chainwatch.config import ConfigError, read_dict
from chainwatch.invariants import claims
from chainwatch.invariants.claims import NoClaim, read_claims
from chainwatch.invariants.fingerprints import fingerprints
from chainwatch.model import Header
from chainwatch.plan import Plan, make_plan
from tests.support.waiting import PATIENCE
from tests.unit.invariants.test_checker import FLOOR, NETWORKS, SAFE

DOCUMENT = json.dumps(
    {
        "data": [{"supply": "1234.5", "ok": True, "who": SAFE.lower(), "big": 2**200, "float": 1e3}],
        "name": "x",
    }
).encode()


@pytest.mark.parametrize(
    ("path", "abi_type", "decimals", "value"),
    [
        ("data[0].supply", "int256", 6, 1_234_500_000),
        ("data[0].big", "int256", 0, 2**200),
        ("data[0].float", "int256", 0, 1_000),
        ("data[0].ok", "bool", 0, True),
        (".name", "string", 0, "x"),
        ("data[0].supply", "int256", 0, ValueError),
        ("data[1].supply", "int256", 0, ValueError),
        ("data.supply", "int256", 0, ValueError),
        ("data[0]", "int256", 0, ValueError),
        ("data[0].ok", "int256", 0, ValueError),
        ("data[0].who", "bool", 0, ValueError),
        ("name", "address", 0, ValueError),
    ],
)
def test_a_claim_is_read_exactly_by_its_path(path: str, abi_type: str, decimals: int, value: Any) -> None:
    read = reader_of(parse_path(path), abi_type, decimals)
    if value is ValueError:
        with pytest.raises(ValueError, match=r"no |expected|decimals"):
            read(DOCUMENT)
    else:
        assert read(DOCUMENT) == value


def test_an_address_is_read_with_its_checksum() -> None:
    assert reader_of(parse_path("data[0].who"), "address", 0)(DOCUMENT).lower() == SAFE.lower()


@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode), st.sampled_from(["int256", "string"]))
def test_any_document_is_a_value_or_a_typed_error(document: bytes, abi_type: str) -> None:
    try:
        value = reader_of((), abi_type, 3)(document)
    except ValueError:
        return
    assert isinstance(value, int | str)


@pytest.mark.parametrize("text", [r'"\ud800"', r'"a\udfffb"', r'"\ud83d"'])
def test_half_a_pair_of_surrogates_is_no_text(text: str) -> None:
    with pytest.raises(ValueError, match="half a pair"):
        reader_of((), "string", 0)(text.encode())
    assert reader_of((), "string", 0)(rb'"\ud83d\ude00"') == "\U0001f600"


@given(st.integers(-(10**70), 10**70), st.integers(0, 18))
def test_numbers_are_exact(number: int, decimals: int) -> None:
    scaled = f"{number}e-{decimals}"
    assert reader_of((), "int256", decimals)(json.dumps(scaled).encode()) == number


def plan_of(**tables: Any) -> Plan:
    return make_plan(read_dict({"networks": NETWORKS, "invariants": tables}))


CLAIM = {"network": "alpha", "http": "https://api.example/supply", "path": "total", "decimals": 6}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({**CLAIM, "path": "a..b"}, "keys and indexes"),
        ({**CLAIM, "type": "uint8"}, "expected one of int256"),
        ({**CLAIM, "http": "ftp://x"}, "http"),
        ({**CLAIM, "network": ["alpha", "beta"], "sum": True}, "one network"),
        ({**CLAIM, "address": SAFE}, "neither `contract`"),
        ({"invariant": "flor.funds"}, "no invariant is called"),
        ({"invariant": "floor.found"}, "no value"),
        ({"invariant": "i.a"}, "values of one another"),
        ({"invariant": "floor.funds", "network": "alpha"}, "that value has its own"),
    ],
)
def test_mistakes_are_named(value: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_of(floor=FLOOR, i={"values": {"a": value}, "assert": "a == a"})


def test_a_value_of_another_invariant_is_read_in_its_own_right() -> None:
    tables = {"low": {"values": {"f": {"invariant": "floor.funds"}}, "assert": "f < 100"}}
    floor, low = plan_of(floor=FLOOR, **tables).invariants.invariants
    assert low.values[0].reads == floor.values[0].reads
    assert (low.networks, low.values[0].name) == (("alpha",), "f")
    other = {**FLOOR, "values": {"funds": {**FLOOR["values"]["funds"], "address": "0x" + "11" * 20}}}
    before, after = (fingerprints(plan_of(floor=one, **tables).settings) for one in (FLOOR, other))
    assert before["low"] != after["low"]


def test_another_address_of_a_claim_begins_anew_and_is_kept_secret() -> None:
    def plan(address: str) -> Plan:
        return plan_of(i={"values": {"a": {**CLAIM, "http": address}}, "assert": "a > 0"})

    one, other = plan("https://api.example/1"), plan("https://api.example/2")
    assert fingerprints(one.settings)["i"] != fingerprints(other.settings)["i"]
    assert "api.example" not in repr(one.settings)


async def test_documents_are_bounded_and_asked_for_blocks_of_now_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def answer(request: web.Request) -> web.Response:
        match request.path:
            case "/huge":
                return web.Response(body=b" " * 300_000)
            case "/moved":
                raise web.HTTPFound("/ok")
            case "/error":
                return web.Response(status=503)
        return web.Response(body=b"5")

    app = web.Application()
    app.router.add_get("/{any}", answer)
    monkeypatch.setattr(claims, "PATIENCE", PATIENCE)  # nothing hangs here
    async with TestServer(app) as server:

        def at(path: str, private: int = 1) -> StateRead:
            return StateRead("http", slot=private, field=str(server.make_url(path)))

        now = Header(5, b"", b"", int(time.time()))
        paths = ("/ok", "/huge", "/moved", "/error")
        found = await read_claims(now, [*map(at, paths), at("/ok", 0)])
        assert found[at("/ok")] == b"5"
        assert isinstance(found[at("/huge")], NoClaim)
        for refused in (at("/moved"), at("/error"), at("/ok", 0)):
            assert isinstance(found[refused], Unread), refused
            assert str(server.port) not in str(found[refused])
        old = Header(4, b"", b"", int(time.time()) - 1_000)
        (claim,) = (await read_claims(old, [at("/ok")])).values()
        assert isinstance(claim, NoClaim)
