"""ABI files: what is read from them, and what is said about broken ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from chainwatch.chain.decode.abi import Abi, AbiError, load_abi, parse_abi, parse_event, topic0
from chainwatch.model import AbiEvent, AbiParam

ROOT = Path(__file__).parents[4]
FUNCTION = {"type": "function", "name": "pause", "inputs": [], "outputs": [], "stateMutability": "view"}


def event(*inputs: Any, **changes: Any) -> dict[str, Any]:
    return {"type": "event", "name": "Sent", "inputs": list(inputs), **changes}


def field(type_text: str, name: Any = "x", **changes: Any) -> dict[str, Any]:
    return {"type": type_text, "name": name, **changes}


@pytest.fixture
def connext() -> Abi:
    return load_abi(ROOT / "abi/connext.json")


def test_a_plain_list_is_read_into_events_and_raw_functions(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    constructor = {"type": "constructor", "inputs": [{"type": "nonsense"}]}
    file.write_text(json.dumps([event(field("uint256", "n", indexed=True)), FUNCTION, constructor]))

    abi = load_abi(file)

    assert abi.events == (AbiEvent("Sent", (AbiParam("n", "uint256", indexed=True),)),)
    assert abi.functions == (FUNCTION,)


@pytest.mark.parametrize(
    "artefact",
    [
        {"_format": "hh-sol-artifact-1", "contractName": "A", "bytecode": "0x"},
        {"bytecode": {"object": "0x"}, "methodIdentifiers": {}},
        {"contractName": "A", "networks": {}, "ast": {}},
    ],
    ids=["hardhat", "foundry", "truffle"],
)
def test_an_artefact_is_read_by_its_abi_key(artefact: dict[str, Any]) -> None:
    abi = parse_abi({**artefact, "abi": [event()]}, "A.json")

    assert [e.signature for e in abi.events] == ["Sent()"]


def test_an_entry_without_type_is_a_function_as_in_old_abis() -> None:
    entry = {"name": "pause", "inputs": [], "outputs": []}

    assert parse_abi([entry], "A.json").functions == (entry,)


def test_an_event_that_stands_twice_counts_once() -> None:
    assert len(parse_abi([event(), event()], "A.json").events) == 1


def test_topic0_is_the_hash_of_the_signature_and_missing_for_an_anonymous_event() -> None:
    transfer = event(field("address"), field("address"), field("uint"), name="Transfer")
    expected = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"

    assert topic0(parse_event(transfer)) == bytes.fromhex(expected)
    assert topic0(parse_event({**transfer, "anonymous": True})) is None


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("uint", "uint256"),
        ("int[]", "int256[]"),
        ("byte[2]", "bytes1[2]"),
        ("fixed", "fixed128x18"),
        ("ufixed[][3]", "ufixed128x18[][3]"),
        ("address payable", "address"),
        ("function", "function"),
        ("uint256[0]", "uint256[0]"),
    ],
)
def test_types_are_spelled_as_in_signatures(written: str, canonical: str) -> None:
    assert parse_event(event(field(written))).signature == f"Sent({canonical})"


def test_aliases_inside_tuples_are_spelled_out_as_well() -> None:
    inner = field("tuple[]", components=[field("uint"), field("tuple", components=[field("byte")])])

    assert parse_event(event(inner)).signature == "Sent((uint256,(bytes1))[])"


def test_fields_without_a_name_are_called_after_their_position_in_tuples_too() -> None:
    unnamed = field(
        "tuple", "", components=[field("uint8", ""), {"type": "uint8", "name": None}, {"type": "bool"}]
    )

    parsed = parse_event(event(field("uint8", "first"), unnamed))

    assert [p.name for p in parsed.inputs] == ["first", "arg1"]
    assert [p.name for p in parsed.inputs[1].components] == ["arg0", "arg1", "arg2"]


def test_fields_with_the_same_name_get_names_of_their_own() -> None:
    names = ["a", "a", "a_1", "a", "", "arg4"]

    parsed = parse_event(event(*(field("uint8", name) for name in names)))

    assert [p.name for p in parsed.inputs] == ["a", "a_2", "a_1", "a_3", "arg4", "arg4_1"]


def test_an_event_is_found_by_its_name(connext: Abi) -> None:
    assert connext.event("XCalled").name == "XCalled"


def test_an_overloaded_name_alone_is_an_error_that_lists_the_signatures(connext: Abi) -> None:
    with pytest.raises(AbiError) as caught:
        connext.event("TransferRelayerFeesIncreased")

    assert "TransferRelayerFeesIncreased(bytes32,uint256,address)," in str(caught.value)
    assert "TransferRelayerFeesIncreased(bytes32,uint256,address,address)" in str(caught.value)


@pytest.mark.parametrize("types", ["bytes32,uint256,address", "bytes32, uint, address ,address"])
def test_an_overload_is_found_by_its_signature(connext: Abi, types: str) -> None:
    found = connext.event(f"TransferRelayerFeesIncreased({types})")

    assert len(found.inputs) == types.count(",") + 1


def test_an_unknown_event_is_an_error_with_the_nearest_name(connext: Abi) -> None:
    with pytest.raises(AbiError, match=r'connext.json: no event "XCaled"; did you mean "XCalled"\?'):
        connext.event("XCaled")


def test_an_unknown_signature_is_an_error_with_the_nearest_signature(connext: Abi) -> None:
    with pytest.raises(AbiError, match=r"did you mean \"SlippageUpdated\(bytes32,uint256\)\"\?"):
        connext.event("SlippageUpdated(bytes32,uint128)")


def test_events_that_differ_only_in_indexed_fields_are_forms_of_one_name() -> None:
    erc20, erc721 = event(field("uint256")), event(field("uint256", indexed=True))

    abi = parse_abi([erc20, erc721], "A.json")

    assert abi.forms("Sent") == abi.events
    assert abi.event("Sent") == abi.events[0]


def test_a_file_that_is_not_there_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(AbiError, match=r"none\.json: cannot read the ABI file: No such file"):
        load_abi(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[\n  {"type": "event",}\n]', r"a\.json:2:\d+: not valid JSON"),
        (b'["\xff"]', r"a\.json: not a JSON file: byte 2 is not valid UTF-8"),
        (b"", r"a\.json:1:1: not valid JSON"),
    ],
)
def test_a_file_that_is_not_json_is_an_error_with_the_place(
    tmp_path: Path, content: bytes, message: str
) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(content)

    with pytest.raises(AbiError, match=message):
        load_abi(file)


def test_a_file_that_is_nested_too_deeply_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b"[" * 100_000)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)  # hypothesis raises it, beyond what a thread's stack holds
    try:
        with pytest.raises(AbiError, match="nested too deeply"):
            load_abi(file)
    finally:
        sys.setrecursionlimit(limit)


NESTED = field("tuple", components=[field("uint8"), field("uint265")])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (7, r"A\.json: expected a list of ABI entries, not a number"),
        ({"ABI": []}, r'"abi"; its keys are "ABI" \(did you mean "abi"\?\)'),
        ({"abi": {}}, r"A\.json: expected a list of ABI entries, not an object"),
        ([event(), 3], r"A\.json: \[1\]: expected an object, not a number"),
        ({"abi": ["x"]}, r"A\.json: abi\[0\]: expected an object, not a text"),
        ([{"type": "evnt"}], r'\[0\]\.type: "evnt"; did you mean "event"\?'),
        ([event(name=None)], r"\[0\]\.name: expected the event's name"),
        ([{"type": "event", "name": "Sent", "input": []}], r'"inputs"; .*\(did you mean "inputs"\?\)'),
        ([event(inputs={})], r"\[0\] \(Sent\)\.inputs: expected a list, not an object"),
        ([event("uint")], r"\[0\] \(Sent\)\.inputs\[0\]: expected an object, not a text"),
        ([event({"name": "x", "typ": "uint"})], r'inputs\[0\]\.type: expected .*did you mean "type"'),
        ([event(field("uint", 5))], r"inputs\[0\]\.name: expected a text, not a number"),
        ([event(field("uint", indexed="yes"))], r"inputs\[0\]\.indexed: expected true or false, not a text"),
        ([event(anonymous=None)], r"\[0\]\.anonymous: expected true or false, not null"),
        ([event(field("uint265"))], r'inputs\[0\]\.type: "uint265" is not an ABI type, did you mean "uint256"'),
        ([event(field("bytes33"))], r'"bytes33" is not an ABI type'),
        ([event(field("uint256["))], r'"uint256\[" is not an ABI type; expected one like'),
        ([event(field("uint[01]"))], r'"uint\[01\]" is not an ABI type'),
        ([event(field("fixed128x81"))], r"1 to 80 decimals"),
        ([event(field("tuple"))], r'inputs\[0\]: expected the key "components"'),
        ([event(NESTED)], r"\(Sent\)\.inputs\[0\]\.components\[1\]\.type: \"uint265\""),
        ([event(*[field("uint", indexed=True)] * 4)], r"inputs: 4 are indexed; a log has room for 3"),
        ([event(*[field("uint", indexed=True)] * 5, anonymous=True)], r"a log has room for 4"),
        ([event(field("uint[1048577]"))], r"1048577 words do not fit into a log"),
        ([event(field("uint" + "[]" * 65))], r"nest deeper than 64 levels"),
    ],
)  # fmt: skip
def test_a_broken_abi_is_an_error_with_the_place_and_what_was_expected(content: Any, message: str) -> None:
    with pytest.raises(AbiError, match=message):
        parse_abi(content, "A.json")


def test_tuples_nested_without_end_are_an_error() -> None:
    deep = field("uint8")
    for _ in range(70):
        deep = field("tuple", components=[deep])

    with pytest.raises(AbiError, match="nest deeper than 64 levels"):
        parse_event(event(deep))


def test_an_event_is_not_made_from_another_kind_of_entry() -> None:
    with pytest.raises(AbiError, match='expected "event", not "function"'):
        parse_event(FUNCTION)
