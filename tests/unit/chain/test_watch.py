"""What is watched on a network: which logs are asked for, and what becomes of them."""

from __future__ import annotations

from chainwatch.chain.decode.decoder import ContractDecoder
from chainwatch.chain.watch import NetworkWatch, WatchedContract
from chainwatch.chain.wire import LogFilter
from chainwatch.model import AbiEvent, AbiParam, Event, RawLog, UndecodedLog
from chainwatch.support.keccak import keccak256

A, B = b"\xaa" * 20, b"\xbb" * 20
PING = AbiEvent("Ping", (AbiParam("n", "uint256"),))
PONG = AbiEvent("Pong", (AbiParam("n", "uint256"),))
ANY = AbiEvent("Any", (AbiParam("n", "uint256"),), anonymous=True)
PING_TOPIC, PONG_TOPIC = keccak256(b"Ping(uint256)"), keccak256(b"Pong(uint256)")


def contract(name: str, address: bytes, *events: AbiEvent) -> WatchedContract:
    return WatchedContract(name, address, ContractDecoder(list(events)))


def log(address: bytes, *topics: bytes, data: bytes = (7).to_bytes(32, "big")) -> RawLog:
    return RawLog(1, b"\x01" * 32, 100, 0, b"\x02" * 32, address, topics, data)


def test_the_filter_names_all_addresses_and_first_topics_once() -> None:
    watch = NetworkWatch(
        "net", [contract("a", A, PING), contract("b", B, PING, PONG), contract("c", A, PONG)]
    )
    assert watch.addresses == (A, B)
    assert watch.filter == LogFilter((A, B), ((PING_TOPIC, PONG_TOPIC),))


def test_an_anonymous_event_may_have_any_first_topic() -> None:
    watch = NetworkWatch("net", [contract("a", A, PING), contract("b", B, ANY)])
    assert watch.topic0s is None
    assert watch.filter == LogFilter((A, B))
    assert isinstance(watch.decode(log(B)), Event)


def test_a_network_without_contracts_asks_for_nothing() -> None:
    assert NetworkWatch("net", []).filter == LogFilter(())


def test_a_log_is_decoded_by_the_contract_at_its_address() -> None:
    watch = NetworkWatch("net", [contract("a", A, PING), contract("b", B, PONG)])
    event = watch.decode(log(B, PONG_TOPIC))
    assert isinstance(event, Event)
    assert (event.network, event.contract, event.name, event.signature) == (
        "net",
        "b",
        "Pong",
        "Pong(uint256)",
    )
    assert event.args == {"n": 7}


def test_one_address_under_two_names_gives_each_event_to_the_name_that_knows_it() -> None:
    watch = NetworkWatch("net", [contract("one", A, PING), contract("two", A, PONG)])
    events, undecoded = watch.decode_all([log(A, PING_TOPIC), log(A, PONG_TOPIC)])
    assert [(event.contract, event.name) for event in events] == [("one", "Ping"), ("two", "Pong")]
    assert undecoded == ()


def test_a_log_that_does_not_decode_is_kept_with_its_error() -> None:
    watch = NetworkWatch("net", [contract("a", A, PING)])
    broken = log(A, PING_TOPIC, data=b"\x01")
    events, undecoded = watch.decode_all([broken, log(A, PING_TOPIC)])
    assert len(events) == 1
    (kept,) = undecoded
    assert isinstance(kept, UndecodedLog)
    assert (kept.network, kept.contract, kept.log) == ("net", "a", broken)
    assert kept.error


def test_a_log_that_only_another_contracts_events_asked_for_is_left_out() -> None:
    watch = NetworkWatch("net", [contract("a", A, PING), contract("b", B, PONG)])
    assert watch.decode(log(B, PING_TOPIC)) is None
