"""Decoding of logs: real ones, every kind of value, every kind of fault, and the choice among events."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode as decode_by_eth_abi
from eth_abi.abi import encode

from chainwatch.chain.decode.abi import AbiError, load_abi, topic0
from chainwatch.chain.decode.decoder import ContractDecoder, DecodeError, EventDecoder
from chainwatch.model import AbiEvent, AbiParam
from chainwatch.support.abi.addresses import CACHE_SIZE, Checksums, checksum
from chainwatch.support.keccak import keccak256
from tests.support.effort import effort_within

ROOT = Path(__file__).parents[4]
CONNEXT = ROOT / "tests/data/connext"

ADDRESS = "0x8898B472C54c31894e3B9bb83cEA802a5d0e63C6"
HASH = bytes(range(32))


def json_lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CONNEXT / name).read_text().splitlines()]


def param(text: str, name: str = "v", *components: AbiParam, indexed: bool = False) -> AbiParam:
    return AbiParam(name, text, indexed, components)


def anonymous(*inputs: AbiParam) -> EventDecoder:
    """A decoder of logs that are data (and indexed values) only."""
    return EventDecoder(AbiEvent("E", inputs, anonymous=True))


def word(number: int) -> bytes:
    return number.to_bytes(32, signed=number < 0)


def decode(decoder: EventDecoder, *words: int | bytes) -> Any:
    """The only value of a log with this data."""
    data = b"".join(word(w) if isinstance(w, int) else w for w in words)
    (value,) = decoder.decode_raw([], data).values()
    return value


def fault(decoder: EventDecoder, *words: int | bytes) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        decode(decoder, *words)
    return caught.value


# --- real logs -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def connext() -> ContractDecoder:
    return ContractDecoder(load_abi(ROOT / "abi/connext.json").events)


def test_two_mainnet_transfers_decode_to_their_published_fields() -> None:
    abi = load_abi(ROOT / "abi/connext.json")
    decoder = EventDecoder.from_abi(abi.event("XCalled"))
    published = {t["transfer_id"]: t for t in json.loads((CONNEXT / "transfers.json").read_text())}
    logs = [row["log"] for row in json_lines("rebuilt-logs.jsonl") if row["event"] == "XCalled"]
    assert len(logs) == 2

    for log in logs:
        args = decoder.decode(log)
        transfer = published[f"0x{args['transferId'].hex()}"]
        params = args["params"]

        assert args["nonce"] == params["nonce"] == int(transfer["nonce"])
        assert f"0x{args['messageHash'].hex()}" == transfer["message_hash"]
        assert keccak256(args["messageBody"]) == args["messageHash"]
        assert args["amount"] == int(transfer["origin_transacting_amount"])
        assert args["asset"].lower() == transfer["origin_transacting_asset"]
        assert args["local"].lower() == transfer["origin_bridged_asset"]
        assert params == {
            "originDomain": int(transfer["origin_domain"]),
            "destinationDomain": int(transfer["destination_domain"]),
            "canonicalDomain": int(transfer["canonical_domain"]),
            "to": params["to"],
            "delegate": params["to"],
            "receiveLocal": False,
            "callData": b"",
            "slippage": int(transfer["slippage"]),
            "originSender": params["to"],
            "bridgedAmt": int(transfer["bridged_amt"]),
            "normalizedIn": int(transfer["normalized_in"]),
            "nonce": int(transfer["nonce"]),
            "canonicalId": bytes.fromhex(transfer["canonical_id"][2:]),
        }
        assert params["to"].lower() == transfer["to"]


def test_a_reconcile_log_decodes_with_its_routers(connext: ContractDecoder) -> None:
    (log,) = [row["log"] for row in json_lines("rebuilt-logs.jsonl") if row["event"] == "Reconciled"]
    topics = [bytes.fromhex(t[2:]) for t in log["topics"]]

    event, args = connext.decode(topics, bytes.fromhex(log["data"][2:]))

    assert event.name == "Reconciled"
    assert args["routers"] == ["0xF26c772C0fF3a6036bDdAbDAbA22cf65ECa9F97c"]
    assert args["amount"] == 99407526243394


def test_of_990_deployment_logs_the_833_whose_event_is_known_decode() -> None:
    decoder = ContractDecoder(load_abi(CONNEXT / "deployment-events.abi.json").events)
    logs = [log for row in json_lines("deployment-receipts.jsonl") for log in row["receipt"]["logs"]]
    decoded = 0
    errors: list[str] = []

    for log in logs:
        topics = [bytes.fromhex(t[2:]) for t in log["topics"]]
        data = bytes.fromhex(log["data"][2:])
        try:
            event, args = decoder.decode(topics, data)
        except DecodeError as error:
            errors.append(str(error))
        else:
            assert args == EventDecoder(event).decode(log)
            decoded += 1

    assert (len(logs), decoded, len(errors)) == (990, 833, 157)
    assert all("no event of the contract has it" in error for error in errors)


# --- values --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "encoded", "value"),
    [
        ("uint8", 255, 255),
        ("uint24", 2**24 - 1, 2**24 - 1),
        ("uint48", 2**48 - 1, 2**48 - 1),
        ("uint72", 2**72 - 1, 2**72 - 1),
        ("uint", 2**256 - 1, 2**256 - 1),
        ("int8", -128, -128),
        ("int8", 127, 127),
        ("int", -(2**255), -(2**255)),
        ("int256", 2**255 - 1, 2**255 - 1),
        ("bool", 1, True),
        ("bool", 0, False),
        ("address", int(ADDRESS, 16), ADDRESS),
        ("address payable", int(ADDRESS, 16), ADDRESS),
        ("byte", b"\x07" + bytes(31), b"\x07"),
        ("bytes4", b"abcd" + bytes(28), b"abcd"),
        ("bytes32", HASH, HASH),
        ("function", HASH[:24] + bytes(8), HASH[:24]),
        ("fixed128x18", -(15 * 10**17), Decimal("-1.5")),
        ("fixed", 1, Decimal("1E-18")),
        ("ufixed256x80", 2**256 - 1, Decimal(f"{2**256 - 1}E-80")),
        ("ufixed8x1", 255, Decimal("25.5")),
    ],
)  # fmt: skip
def test_a_word_is_read_as_its_type_says(text: str, encoded: int | bytes, value: object) -> None:
    read = decode(anonymous(param(text)), encoded)

    assert read == value
    assert type(read) is type(value)
    topic = word(encoded) if isinstance(encoded, int) else encoded
    assert anonymous(param(text, indexed=True)).decode_raw([topic], b"") == {"v": value}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("bytes", b""),
        ("bytes", b"x" * 31),
        ("bytes", b"x" * 32),
        ("string", "ÄÖ€😀"),
        ("uint256[]", []),
        ("uint256[2]", [1, 2]),
        ("int16[3][]", [[-1, 2, -3], [4, 5, 6]]),
        ("int16[][2]", [[], [-4]]),
        ("string[][2][]", [[["a", ""], []], [[], ["b"]]]),
        ("bytes3[2][2]", [[b"abc", b"def"], [b"ghi", b"jkl"]]),
        ("address[]", [ADDRESS, ADDRESS]),
        ("bool[]", [True, False, True]),
        ("uint8[300]", [*range(256), *range(44)]),
        ("string[]" + "[]" * 10, [[[[[[[[[[["deep"]]]]]]]]]]]),
    ],
)
def test_arrays_and_blobs_of_any_depth_are_lists_and_bytes(text: str, value: object) -> None:
    assert decode(anonymous(param(text)), encode([text], [value])) == value


def test_tuples_are_dicts_by_component_name() -> None:
    point = (param("int32", "x"), param("int32", "y"))
    fields = (
        param("tuple", "static", *point),
        param("tuple[]", "list", *point),
        param("tuple", "dynamic", param("string", "name"), param("tuple[2]", "pair", *point)),
        param("tuple[]", "dynamics", param("bytes", "blob"), param("uint8", "n")),
    )
    types = ["(int32,int32)", "(int32,int32)[]", "(string,(int32,int32)[2])", "(bytes,uint8)[]"]
    values = [(1, -2), [(3, 4)], ("n", [(5, 6), (7, 8)]), [(b"a", 1), (b"", 2)]]

    decoded = anonymous(*fields).decode_raw([], encode(types, values))

    assert decoded == {
        "static": {"x": 1, "y": -2},
        "list": [{"x": 3, "y": 4}],
        "dynamic": {"name": "n", "pair": [{"x": 5, "y": 6}, {"x": 7, "y": 8}]},
        "dynamics": [{"blob": b"a", "n": 1}, {"blob": b"", "n": 2}],
    }


def test_unnamed_and_repeated_names_lose_no_value() -> None:
    fields = (param("uint8", ""), param("uint8", "a"), param("uint8", "a"))
    decoder = anonymous(*fields, param("tuple", "", *fields))

    decoded = decoder.decode_raw([], b"".join(map(word, range(6))))

    assert decoded == {"arg0": 0, "a": 1, "a_1": 2, "arg3": {"arg0": 3, "a": 4, "a_1": 5}}


def test_a_name_cannot_become_code() -> None:
    name = "'}\nraise SystemExit #"

    assert anonymous(param("uint8", name)).decode_raw([], word(7)) == {name: 7}


def test_arrays_of_no_length_and_tuples_of_no_members_take_no_room() -> None:
    decoder = anonymous(
        param("uint256[0]", "none"),
        param("tuple", "empty"),
        param("tuple[2]", "pair"),
        param("uint256[0][]", "nones"),
        param("string[0]", "texts"),
        param("uint8", "last"),
    )

    decoded = decoder.decode_raw([], word(96) + word(128) + word(7) + word(2))

    expected = {"none": [], "empty": {}, "pair": [{}, {}], "nones": [[], []], "texts": [], "last": 7}
    assert decoded == expected


def test_an_event_without_data_decodes_with_any_spelling_of_nothing() -> None:
    decoder = EventDecoder.from_abi({"type": "event", "name": "Paused", "inputs": []})
    log = {"topics": [decoder.topic0]}

    assert [decoder.decode({**log, **d}) for d in ({}, {"data": None}, {"data": ""}, {"data": "0x"})] == [
        {}
    ] * 4


def test_values_stand_in_the_order_of_the_abi_whether_indexed_or_not() -> None:
    decoder = anonymous(param("uint8", "c"), param("uint8", "b", indexed=True), param("uint8", "a"))

    assert list(decoder.decode_raw([word(2)], word(3) + word(1)).items()) == [("c", 3), ("b", 2), ("a", 1)]


@pytest.mark.parametrize(
    "text", ["string", "bytes", "uint256[]", "uint256[2]", "uint256[0]", "tuple", "tuple[1]"]
)
def test_an_indexed_value_of_more_than_a_word_stays_its_hash(text: str) -> None:
    components = (param("uint8"),) if text.startswith("tuple") else ()
    decoder = anonymous(param(text, "v", *components, indexed=True))

    assert decoder.decode_raw([HASH], b"") == {"v": HASH}


def test_enums_and_contracts_are_the_types_they_are_encoded_as() -> None:
    decoder = EventDecoder.from_abi({
        "type": "event",
        "name": "Changed",
        "inputs": [
            {"name": "state", "type": "uint8", "internalType": "enum A.State", "indexed": True},
            {"name": "token", "type": "address", "internalType": "contract IERC20"},
        ],
    })  # fmt: skip

    log = {"topics": [decoder.topic0, f"0x{2:064x}"], "data": "0x" + "00" * 12 + ADDRESS[2:].lower()}

    assert decoder.decode(log) == {"state": 2, "token": ADDRESS}


def test_bytes_behind_the_encoding_are_ignored_as_by_eth_abi() -> None:
    assert decode(anonymous(param("uint8")), 7, b"more") == 7


@pytest.mark.parametrize(
    ("field", "type_text", "size"),
    [
        (param("tuple", "a", param("uint8", "x"), param("uint8", "y")), "(uint8,uint8)", 2),
        (param("uint8[2][2]", "a"), "uint8[2][2]", 4),
    ],
)
def test_an_offset_into_the_end_of_a_head_is_read_where_eth_abi_reads_it(
    field: AbiParam, type_text: str, size: int
) -> None:
    offset = 32 * size  # of the word that holds the offset itself, which so becomes the length as well
    data = word(0) * size + word(offset) + b"x" * offset

    decoded = anonymous(field, param("bytes", "b")).decode_raw([], data)

    assert decoded["b"] == decode_by_eth_abi([type_text, "bytes"], data)[1] == b"x" * offset


def test_an_event_that_cannot_be_is_an_error_at_once() -> None:
    with pytest.raises(AbiError, match="uint7"):
        EventDecoder.from_abi({"type": "event", "name": "E", "inputs": [{"name": "x", "type": "uint7"}]})


# --- faults --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "encoded", "reason"),
    [
        ("uint8", 256, "not a uint of 8 bits"),
        ("uint64", 2**64, "not a uint of 64 bits"),
        ("uint248", 2**255, "not a uint of 248 bits"),
        ("int8", 128, "not an int of 8 bits"),
        ("int8", -129, "not an int of 8 bits"),
        ("int248", 2**247, "not an int of 248 bits"),
        ("fixed8x1", 128, "not a fixed of 8 bits"),
        ("ufixed8x1", 256, "not a ufixed of 8 bits"),
        ("bool", 2, "not a bool (0 or 1)"),
        ("bool", 2**255 + 1, "not a bool (0 or 1)"),
        ("address", 2**160, "not an address of 20 bytes"),
        ("bytes4", b"abcde" + bytes(27), "bytes4 has bytes after its end"),
        ("bytes31", HASH, "bytes31 has bytes after its end"),
        ("function", HASH, "bytes24 has bytes after its end"),
    ],
)
def test_a_word_with_wrong_padding_is_refused(text: str, encoded: int | bytes, reason: str) -> None:
    error = fault(anonymous(param(text)), encoded)

    assert (error.path, error.event) == ("v", f"E({text})")
    assert error.reason.startswith(reason)
    topic = word(encoded) if isinstance(encoded, int) else encoded
    with pytest.raises(DecodeError, match="v: "):
        anonymous(param(text, indexed=True)).decode_raw([topic], b"")


@pytest.mark.parametrize(
    ("text", "words", "path", "reason"),
    [
        ("uint8", [b"\0" * 31], "", "needs 32 bytes at byte 0, but the data ends at byte 31"),
        ("uint256[2]", [1, b"\0" * 31], "", "needs 64 bytes at byte 0, but the data ends at byte 63"),
        ("bytes", [0, 0], "v", "its offset 0 points before the end of the head (32 bytes)"),
        ("bytes", [64, 0], "v", "needs 32 bytes at byte 64, but the data ends at byte 64"),
        ("bytes", [96, 0], "v", "its offset 96 points outside the data (64 bytes)"),
        ("bytes", [2**256 - 1, 0], "v", f"its offset {2**256 - 1} points outside the data (64 bytes)"),
        ("bytes", [32, 1], "v", "its 1 bytes with padding do not fit into the 0 bytes left"),
        ("bytes", [32, 33, 0], "v", "its 33 bytes with padding do not fit into the 32 bytes left"),
        ("bytes", [32, 2**255, 0], "v", f"its {2**255} bytes with padding do not fit into the 32 bytes left"),
        ("bytes", [32, 1, b"ab" + bytes(30)], "v", "the padding after its 1 bytes is not zero"),
        ("string", [32, 1, b"ab" + bytes(30)], "v", "the padding after its 1 bytes is not zero"),
        ("string", [32, 2, b"a\xff" + bytes(30)], "v", "not valid UTF-8: invalid start byte at byte 1"),
        ("uint8[]", [32, 2, 1], "v", "2 items of 32 bytes do not fit into the 32 bytes left"),
        ("uint8[]", [32, 2**60], "v", f"{2**60} items of 32 bytes do not fit into the 0 bytes left"),
        ("uint8[]", [32, 2, 1, 256], "v[1]", f"not a uint of 8 bits: 0x{256:064x}"),
        ("string[]", [32, 2, 64, 32, 0], "v[1]", "its offset 32 points before the end of the head (64 bytes)"),
        ("string[]", [32, 1, 0], "v[0]", "its offset 0 points before the end of the head (32 bytes)"),
        ("string[2]", [32, 64, 32, 0], "v[1]", "its offset 32 points before the end of the head (64 bytes)"),
        ("bytes1[][]", [32, 1, 32, 1, 1], "v[0][0]", f"bytes1 has bytes after its end: 0x{1:064x}"),
    ],
)  # fmt: skip
def test_malformed_data_is_refused_with_field_and_reason(
    text: str, words: list[int | bytes], path: str, reason: str
) -> None:
    error = fault(anonymous(param(text)), *words)

    assert (error.path, error.reason) == (path, reason)


def test_the_error_names_the_event_and_the_way_through_tuples_and_arrays() -> None:
    inner = param("tuple[]", "list", param("string", "name"), param("tuple", "pair", param("bool", "yes")))
    decoder = EventDecoder(AbiEvent("Sent", (param("tuple", "params", inner),)))
    good = encode(["((string,(bool))[])"], [([("a", (True,)), ("b", (False,))],)])
    bad = good[: 10 * 32] + word(2) + good[11 * 32 :]
    topic = decoder.topic0_bytes
    assert topic is not None
    assert decoder.decode_raw([topic], good)["params"]["list"][1] == {"name": "b", "pair": {"yes": False}}

    with pytest.raises(DecodeError) as caught:
        decoder.decode_raw([topic], bad)

    assert str(caught.value) == (
        f"Sent(((string,(bool))[])): params.list[1].pair.yes: not a bool (0 or 1): 0x{2:064x}"
    )


def test_only_what_is_wanted_is_made_of_a_log() -> None:
    pair = param("tuple", "pair", param("address", "who"), param("uint256[]", "parts"))
    event = AbiEvent("Sent", (param("string", "name"), pair, param("uint8", "n")))
    topic = EventDecoder(event).topic0_bytes
    assert topic is not None
    data = encode(["string", "(address,uint256[])", "uint8"], ["a", ("0x" + "11" * 20, [7, 8]), 3])

    some = EventDecoder(event, frozenset({("n",), ("pair", "parts", 1)}))

    assert some.decode_raw([topic], data) == {"pair": {"parts": [7, 8]}, "n": 3}
    assert EventDecoder(event, frozenset()).decode_raw([topic], data) == {}
    assert ContractDecoder([event], {event.signature: frozenset({("n",)})}).decode([topic], data) == (
        event,
        {"n": 3},
    )


@pytest.mark.parametrize(
    ("abi_type", "value"),
    [("int8", 200), ("fixed8x1", 200), ("uint8", 256), ("bool", 2), ("address", 2**160), ("bytes1", 1)],
)
@pytest.mark.parametrize("shape", ["{}", "{}[1]", "{}[]"])
def test_what_is_not_wanted_is_checked_no_less(abi_type: str, value: int, shape: str) -> None:
    decoder = EventDecoder(AbiEvent("E", (param(shape.format(abi_type), "v"),), anonymous=True), frozenset())
    data = (word(32) + word(1) if shape == "{}[]" else b"") + word(value)

    with pytest.raises(DecodeError):
        decoder.decode_raw([], data)


def test_text_that_is_not_wanted_must_be_text() -> None:
    decoder = EventDecoder(AbiEvent("E", (param("string", "v"),), anonymous=True), frozenset())

    with pytest.raises(DecodeError, match="UTF-8"):
        decoder.decode_raw([], word(32) + word(1) + b"\xff" + bytes(31))


SENT = EventDecoder.from_abi(
    {"type": "event", "name": "Sent", "inputs": [{"name": "n", "type": "uint8", "indexed": True}]}
)


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ({"topics": []}, "the log has 0 topics, this event has 2"),
        ({"topics": [SENT.topic0]}, "the log has 1 topics, this event has 2"),
        ({"topics": [SENT.topic0] * 3}, "the log has 3 topics, this event has 2"),
        ({"topics": ["0x" + "11" * 32, "0x" + "00" * 32]}, "the log's first topic is 0x1111"),
        ({"topics": [SENT.topic0, "0x00"]}, "a topic of 1 bytes, expected 32"),
        ({"topics": [SENT.topic0, "0x" + "0" * 63]}, "topic: expected hex digits in pairs"),
        ({"topics": [SENT.topic0, None]}, "topic: expected hex digits in pairs"),
        ({"topics": [SENT.topic0, "0x" + "00" * 32], "data": "0x1"}, "data: expected hex digits in pairs"),
        ({"topics": [SENT.topic0, "0x" + "00" * 32], "data": "0xzz"}, "data: expected hex digits in pairs"),
        (
            {"topics": [SENT.topic0, "0x" + "00" * 32], "data": "0x00 00"},
            "data: expected hex digits in pairs",
        ),
        ({"topics": [SENT.topic0, "0x" + "00" * 32], "data": "0x€€"}, "data: expected hex digits in pairs"),
        ({"topics": [SENT.topic0, "0x" + "00" * 32], "data": 5}, "data: expected hex digits in pairs"),
        ({"topics": [SENT.topic0, "0x" + "00" * 32], "data": {}}, "data: expected hex digits in pairs"),
        ({"topics": "0x"}, "expected a list of topics, not str"),
        ({}, "expected a list of topics, not NoneType"),
    ],
)
def test_a_log_that_is_not_of_the_event_or_not_hex_is_refused(log: dict[str, Any], reason: str) -> None:
    with pytest.raises(DecodeError) as caught:
        SENT.decode(log)

    assert str(caught.value).startswith(f"Sent(uint8): {reason}")


@pytest.mark.parametrize("text", ["uint256[0][]", "tuple[]", "uint256[]", "string[]", "uint256[0][][]"])
@pytest.mark.parametrize("length", [2**20, 2**60, 2**255])
def test_an_array_that_claims_endless_items_is_refused_at_once_S10(text: str, length: int) -> None:
    with effort_within(1):
        error = fault(anonymous(param(text)), 32, length, 32, length)

    assert error.path.startswith("v")


def test_offsets_that_overlap_cannot_blow_a_short_log_up_S10() -> None:
    count = 400
    level = word(count) + word(32 * count) * count  # every item is the same array behind this head
    data = word(32) + level * 3 + word(1) + word(5)
    with effort_within(1):
        error = fault(anonymous(param("uint8[][][][]")), data)

    assert "its offsets overlap" in error.reason


def test_parts_that_are_shared_a_few_times_are_read() -> None:
    shared = word(3) + word(96) * 3 + word(1) + b"a" + bytes(31)

    assert decode(anonymous(param("string[]")), 32, shared) == ["a"] * 3


# --- the choice among events ---------------------------------------------------------------------------

FROM_TO = (param("address", "from", indexed=True), param("address", "to", indexed=True))
ERC20 = AbiEvent("Transfer", (*FROM_TO, param("uint256", "value")))
ERC721 = AbiEvent("Transfer", (*FROM_TO, param("uint256", "tokenId", indexed=True)))
PLAIN = AbiEvent("Transfer", (param("address", "a"), param("address", "b"), param("uint256", "c")))
NOTE = AbiEvent("Note", (param("bytes4", "sig", indexed=True), param("uint8", "n")), anonymous=True)
TRANSFER = keccak256(b"Transfer(address,address,uint256)")
A, B = bytes(12) + b"a" * 20, bytes(12) + b"b" * 20


@pytest.mark.parametrize(
    ("topics", "data", "event"),
    [
        ([TRANSFER, A, B], word(5), ERC20),
        ([TRANSFER, A, B, word(5)], b"", ERC721),
        ([TRANSFER], A + B + word(5), PLAIN),
        ([b"sig!" + bytes(28)], word(5), NOTE),
    ],
)
def test_the_event_is_picked_by_first_topic_and_number_of_topics(
    topics: list[bytes], data: bytes, event: AbiEvent
) -> None:
    decoder = ContractDecoder([NOTE, ERC20, ERC721, PLAIN])

    picked, args = decoder.decode(topics, data)

    assert picked == event
    assert 5 in args.values()


def test_of_events_with_the_same_topics_the_one_that_decodes_is_picked() -> None:
    first = AbiEvent("E", (param("uint8", "x", indexed=True), param("bool", "y")))
    second = AbiEvent("E", (param("uint8", "x"), param("bool", "y", indexed=True)))
    topic = topic0(first)
    assert topic is not None
    decoder = ContractDecoder([first, second])

    assert decoder.decode([topic, word(1)], word(7)) == (second, {"x": 7, "y": True})
    assert decoder.decode([topic, word(7)], word(1)) == (first, {"x": 7, "y": True})
    with pytest.raises(DecodeError) as caught:
        decoder.decode([topic, word(7)], word(7))
    assert str(caught.value).count("not a bool") == 2


def test_a_log_of_no_known_event_is_refused_with_its_first_topic() -> None:
    decoder = ContractDecoder([ERC20])

    with pytest.raises(DecodeError, match=r"log with first topic 0x0001.*no event of the contract has it"):
        decoder.decode([HASH], b"")
    with pytest.raises(DecodeError, match="log with first topic none"):
        decoder.decode([], b"")


def test_an_anonymous_event_is_not_tried_where_the_first_topic_is_known() -> None:
    anything = AbiEvent("Any", tuple(param("bytes32", n, indexed=True) for n in "abc"), anonymous=True)

    with pytest.raises(DecodeError, match=r"^Transfer\("):
        ContractDecoder([ERC20, anything]).decode([TRANSFER, A, B], b"")


def test_an_anonymous_event_without_indexed_fields_decodes_from_data_alone() -> None:
    event = AbiEvent("Bare", (param("uint8"),), anonymous=True)

    assert ContractDecoder([event]).decode([], word(3)) == (event, {"v": 3})


def test_the_topics_to_ask_for_are_known_unless_an_anonymous_event_is_wanted() -> None:
    assert ContractDecoder([ERC20, ERC721]).topic0s == (TRANSFER,)
    assert ContractDecoder([ERC20, NOTE]).topic0s is None
    assert EventDecoder(NOTE).topic0 is None
    assert SENT.topic0 == f"0x{keccak256(b'Sent(uint8)').hex()}"


def test_overloads_of_a_real_contract_decode_each_to_its_own_form(connext: ContractDecoder) -> None:
    for signature, words in [("bytes32,uint256,address", 2), ("bytes32,uint256,address,address", 3)]:
        topic = keccak256(f"TransferRelayerFeesIncreased({signature})".encode())

        event, args = connext.decode([topic, HASH], word(9) + A * (words - 1))

        assert event.signature.endswith(f"({signature})")
        assert args["increase"] == 9


# --- addresses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0xde709f2102306220921060314715629080e2fb77",
    ],
)
def test_addresses_are_spelled_as_the_examples_of_eip_55(text: str) -> None:
    assert checksum(bytes.fromhex(text[2:])) == text


def test_the_memory_of_addresses_is_bounded_S10() -> None:
    cache = Checksums((number.to_bytes(20), "") for number in range(CACHE_SIZE))

    assert cache[bytes.fromhex(ADDRESS[2:])] == ADDRESS
    assert len(cache) == 1
