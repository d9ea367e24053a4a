"""Logs from the wire into the nouns: what fits comes through exactly, what nobody asked for is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from chainwatch.chain import wire
from chainwatch.chain.wire import Call, LogFilter
from chainwatch.model import Header, RawLog

ADDRESS = b"\xaa" * 20


def entry(block: int = 7, index: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "address": "0x" + "aa" * 20,
        "topics": ["0x" + "11" * 32, "0x" + "22" * 32],
        "data": "0xc0ffee",
        "blockNumber": hex(block),
        "blockHash": "0x" + f"{block:064x}",
        "transactionHash": "0x" + "33" * 32,
        "logIndex": hex(index),
        "blockTimestamp": "0x64",
        "removed": False,
    } | changes


def logs(*entries: dict[str, Any]) -> list[RawLog]:
    return wire.to_raw_logs(wire.parse_logs(msgspec.json.encode(entries)), 5, 9, LogFilter((ADDRESS,)))


def test_a_log_comes_through_in_bytes() -> None:
    assert logs(entry()) == [
        RawLog(
            7,
            (7).to_bytes(32, "big"),
            100,
            0,
            b"\x33" * 32,
            ADDRESS,
            (b"\x11" * 32, b"\x22" * 32),
            b"\xc0\xff\xee",
        )
    ]


def test_a_log_with_more_topics_than_there_can_be_is_refused() -> None:
    assert len(logs(entry(topics=["0x" + "11" * 32] * 4))) == 1
    with pytest.raises(ValueError, match="more than 4 topics"):
        logs(entry(topics=["0x" + "11" * 32] * 5))


def test_a_log_without_timestamp_topics_and_data_is_fine() -> None:
    bare = entry(topics=[], data="0x")
    del bare["blockTimestamp"]
    (log,) = logs(bare)
    assert (log.timestamp, log.topics, log.data) == (0, (), b"")


def test_logs_are_put_in_order() -> None:
    found = logs(entry(8, 1), entry(7, 3), entry(8, 0), entry(5, 9))
    assert [(log.block_number, log.log_index) for log in found] == [(5, 9), (7, 3), (8, 0), (8, 1)]


@pytest.mark.parametrize(
    "wrong",
    [
        [entry(blockNumber=None)],
        [entry(blockHash=None)],
        [entry(logIndex=None)],
        [entry(transactionHash=None)],
        [entry(4)],
        [entry(10)],
        [entry(address="0x" + "bb" * 20)],
        [entry(removed=True)],
        [entry(blockHash="0x12")],
        [entry(transactionHash="0x12")],
        [entry(topics=["0x12"])],
        [entry(data="0xzz")],
        [entry(data="0x123")],
        [entry(logIndex="7")],
        [entry(logIndex=hex(2**20))],
        [entry(blockTimestamp=hex(10**14))],
        [entry(), entry()],
        [entry(8, 1), entry(7), entry(8, 1)],
        [entry(), entry(index=1, blockHash="0x" + "99" * 32)],
        [entry(), entry(8, blockHash=entry()["blockHash"])],
    ],
)
def test_a_wrong_log_refuses_the_whole_answer_S1(wrong: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError):
        logs(*wrong)


def test_a_header_comes_through_in_bytes() -> None:
    body = {
        "number": "0x2a",
        "hash": "0x" + "01" * 32,
        "parentHash": "0x" + "02" * 32,
        "timestamp": "0x3e8",
        "x": 1,
    }
    header = wire.to_header(wire.parse_header(msgspec.json.encode(body)))
    assert header == Header(42, b"\x01" * 32, b"\x02" * 32, 1000)


@pytest.mark.parametrize(("field", "value"), [("number", 2**32), ("timestamp", 10**14), ("timestamp", 0)])
def test_a_header_with_numbers_that_no_chain_has_is_refused(field: str, value: int) -> None:
    body = {
        "number": "0x2a",
        "hash": "0x" + "01" * 32,
        "parentHash": "0x" + "02" * 32,
        "timestamp": "0x3e8",
        field: hex(value),
    }
    with pytest.raises(ValueError, match=r"block|timestamp"):
        wire.to_header(wire.parse_header(msgspec.json.encode(body)))


def test_one_call_is_an_object_and_several_are_an_array() -> None:
    one = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    assert msgspec.json.decode(wire.request_body([(1, Call("eth_chainId"))])) == one
    two = msgspec.json.decode(wire.request_body([(1, Call("eth_chainId")), (2, Call("a", ("0x1", False)))]))
    assert two == [one, {"jsonrpc": "2.0", "id": 2, "method": "a", "params": ["0x1", False]}]


@pytest.mark.parametrize(
    ("topics", "fits"),
    [
        ((), True),
        (((b"\x11" * 32,),), True),
        (((b"\x11" * 32, b"\x99" * 32), None), True),
        ((None, (b"\x22" * 32,)), True),
        (((b"\x22" * 32,),), False),
        ((None, None, None), False),
    ],
)
def test_a_filter_matches_by_position_as_nodes_do(
    topics: tuple[tuple[bytes, ...] | None, ...], fits: bool
) -> None:
    (log,) = logs(entry())
    assert LogFilter((ADDRESS,), topics).matches(log) is fits
    assert not LogFilter((b"\xbb" * 20,), topics).matches(log)


@pytest.mark.parametrize(
    ("topics", "fits"),
    [
        ((), True),
        ((None,), True),
        (((b"\x11" * 32,),), True),
        (((b"\x99" * 32, b"\x11" * 32),), True),
        (((b"\x99" * 32,),), False),
        (((b"\x22" * 32,),), False),
        (((b"\x11" * 32,), (b"\x22" * 32,)), True),
        (((b"\x11" * 32,), (b"\x11" * 32,)), False),
        ((None, None, (b"\x22" * 32,)), False),
    ],
)
def test_topics_that_were_not_asked_for_are_refused(
    topics: tuple[tuple[bytes, ...] | None, ...], fits: bool
) -> None:
    asked = LogFilter((ADDRESS,), topics)
    found = wire.parse_logs(msgspec.json.encode([entry()]))
    if fits:
        assert len(wire.to_raw_logs(found, 5, 9, asked)) == 1
    else:
        with pytest.raises(ValueError, match="not asked for"):
            wire.to_raw_logs(found, 5, 9, asked)
