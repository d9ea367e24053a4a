"""Calls that are made together: their encoding against an independent one, what is remembered of failures."""

from __future__ import annotations

import asyncio

import pytest
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.chain import multicall
from chainwatch.chain.multicall import LARGEST, SMALLEST, Together

ADDRESSES = st.binary(min_size=20, max_size=20)
RESULTS = st.lists(st.tuples(st.booleans(), st.binary(max_size=70)), max_size=6)


@given(st.lists(st.tuples(ADDRESSES, st.binary(max_size=70)), max_size=6))
def test_calls_are_encoded_as_the_contract_reads_them(calls: list[tuple[bytes, bytes]]) -> None:
    data = multicall.encode(calls)
    (decoded,) = abi_decode(["(address,bool,bytes)[]"], data[4:])
    assert [(bytes.fromhex(to[2:]), may_fail, sent) for to, may_fail, sent in decoded] == [
        (to, True, sent) for to, sent in calls
    ]


@given(RESULTS)
def test_results_are_read_as_they_were_encoded(results: list[tuple[bool, bytes]]) -> None:
    returned = abi_encode(["(bool,bytes)[]"], [results])
    assert multicall.decode(returned, len(results)) == results


@given(RESULTS, st.data())
def test_other_bytes_are_refused_or_are_results(
    results: list[tuple[bool, bytes]], data: st.DataObject
) -> None:
    returned = bytearray(abi_encode(["(bool,bytes)[]"], [results]))
    at = data.draw(st.integers(0, len(returned) - 1))
    returned[at] = data.draw(st.integers(0, 255))
    cut = bytes(returned[: data.draw(st.integers(0, len(returned)))])
    for broken in (bytes(returned), cut, b""):
        try:
            found = multicall.decode(broken, len(results))
        except ValueError:
            continue
        assert len(found) == len(results)


async def test_what_fails_together_is_made_apart_or_in_smaller_parts_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)
    together = Together()
    assert together.is_possible(5)
    together.note_failed(["a", "b"], ["b"])
    assert (together.is_apart("a"), together.is_apart("b"), together.size) == (False, True, LARGEST)
    together.note_failed(["a"], [])
    assert (together.is_apart("a"), together.size) == (False, LARGEST // 2)
    for _ in range(10):
        together.note_failed(["a"], [])
    assert (together.is_apart("a"), together.size) == (True, SMALLEST)
    together.note_late()
    assert not together.is_possible(5)
    now += multicall.AGAIN_AFTER
    assert together.is_possible(5)
    assert not together.is_apart("a")


async def test_blocks_before_the_contract_was_deployed_hold_none_that_come_after_up() -> None:
    together = Together()
    assert together.is_possible(100)
    together.note_present(100)
    together.note_absent()
    assert [together.is_possible(block) for block in (50, 99, 100, 101)] == [False, False, True, True]


async def test_a_probe_that_showed_nothing_is_made_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)
    together = Together()
    assert together.is_possible(5)
    together.note_useless(0)
    together.note_useless(0)
    assert (together.is_possible(5), together.probe) == (True, 1)
    now += multicall.AGAIN_AFTER
    assert (together.is_possible(5), together.probe) == (True, 0)
