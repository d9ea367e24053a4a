"""Computed values: what each function gives, and which are refused before anything runs."""

import re
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_abi.packed import encode_packed
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from chainwatch.checker.expression import (
    ConditionError,
    EvaluationError,
    compile_condition,
    compile_value,
)
from chainwatch.checker.keys import key_text
from chainwatch.checker.protocols.connext import TRANSFER_INFO, encode_transfer_info
from chainwatch.model import AbiEvent, AbiParam, Event, RawLog

USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
USDC_BYTES = bytes.fromhex(USDC[2:])
WORD_OF_USDC = bytes(12) + USDC_BYTES
NETWORKS: dict[str, dict[str, int | str]] = {
    "ethereum": {"name": "ethereum", "chain_id": 1, "domain": 7, "mixed": 1, "bridge": USDC, "label": "Eth"},
    "base": {"name": "base", "chain_id": 8453, "domain": 9, "mixed": "x", "bridge": "0x" + "11" * 20},
}
EVENT = AbiEvent(
    "Sent",
    (
        AbiParam("payload", "bytes"),
        AbiParam("id", "bytes32"),
        AbiParam("selector", "bytes4"),
        AbiParam("amount", "uint256"),
        AbiParam("nonce", "uint64"),
        AbiParam("delta", "int16"),
        AbiParam("to", "address"),
        AbiParam("paid", "bool"),
        AbiParam("memo", "string"),
        AbiParam("routers", "address[]"),
        AbiParam("params", "tuple", components=(AbiParam("body", "bytes"), AbiParam("no", "uint8"))),
        AbiParam("info", "tuple", components=TRANSFER_INFO.components),
    ),
)
ARGS: dict[str, Any] = {
    "payload": bytes(range(100)),
    "id": bytes(range(32)),
    "selector": b"\x01\x02\x03\x04",
    "amount": 10**18,
    "nonce": 5,
    "delta": -2,
    "to": USDC,
    "paid": True,
    "memo": "Ünïcode",
    "routers": [USDC],
    "params": {"body": b"abcdef", "no": 3},
    "info": {},
}
LOG = RawLog(12, b"", 1_700_000_000, 34, bytes.fromhex("ab" * 32), USDC_BYTES, (), b"")


def event_of(network: str = "ethereum", **args: Any) -> Event:
    return Event(network, "bridge", "Sent", EVENT.signature, ARGS | args, LOG)


def value_of(source: str, network: str = "ethereum", **args: Any) -> Any:
    return compile_value(source, EVENT, NETWORKS).read(event_of(network, **args))


def refusal(source: str) -> ConditionError:
    with pytest.raises(ConditionError) as caught:
        compile_value(source, EVENT, NETWORKS)
    return caught.value


@pytest.mark.parametrize(
    ("source", "abi_type", "expected"),
    [
        ("payload[9:13]", "bytes4", bytes([9, 10, 11, 12])),
        ("payload[:4]", "bytes4", bytes(range(4))),
        ("payload[96:]", "bytes", bytes([96, 97, 98, 99])),
        ("payload[-4:]", "bytes4", bytes([96, 97, 98, 99])),
        ("payload[-4:-2]", "bytes2", bytes([96, 97])),
        ("payload[90:-8]", "bytes", bytes([90, 91])),
        ("payload[:]", "bytes", bytes(range(100))),
        ("payload[5:5]", "bytes", b""),
        ("payload[10:60][5:7]", "bytes2", bytes([15, 16])),
        ("payload[uint(payload[3:4]):8]", "bytes", bytes(range(3, 8))),
        ("payload[2 * 4:3 * 4]", "bytes4", bytes(range(8, 12))),
        ("params.body[1:3]", "bytes2", b"bc"),
        ("id[12:]", "bytes20", bytes(range(12, 32))),
        ("memo[0:3]", "string", "Ünï"),
        ("memo[-4:]", "string", "code"),
        ("uint(payload[0:4])", "uint256", 0x00010203),
        ("uint(selector)", "uint256", 0x01020304),
        ("uint(id)", "uint256", int.from_bytes(bytes(range(32)))),
        ("uint(to)", "uint256", int(USDC, 16)),
        ("uint(payload[1:uint(payload[3:4])])", "uint256", 0x0102),
        ("uint32(payload[1:3])", "uint32", 0x0102),
        ("uint8(amount // 10**17)", "uint8", 10),
        ("int(payload[0:2])", "int256", 1),
        ("int(id[31:32])", "int256", 31),
        ("int(amount)", "int256", 10**18),
        ("int8(delta)", "int8", -2),
        ("address(id[12:])", "address", to_checksum_address(bytes(range(12, 32)))),
        ("address(to)", "address", USDC),
        ("address(nonce)", "address", "0x" + "00" * 19 + "05"),
        ("bytes32(to)", "bytes32", WORD_OF_USDC),
        ("bytes32(nonce)", "bytes32", bytes(31) + b"\x05"),
        ("bytes32(selector)", "bytes32", bytes(28) + b"\x01\x02\x03\x04"),
        ("bytes32(payload[0:40][:3])", "bytes32", bytes(29) + bytes(range(3))),
        ("text(params.body)", "string", "abcdef"),
        ("lower(memo)", "string", "ünïcode"),
        ("keccak(payload)", "bytes32", keccak(bytes(range(100)))),
        ("keccak(memo)", "bytes32", keccak("Ünïcode".encode())),
        ("connext.transfer_id(info)", "bytes32", None),
        ("transaction.hash", "bytes32", LOG.tx_hash),
        ("log.index", "uint256", 34),
        ("block.number", "uint256", 12),
        ("block.timestamp", "uint256", 1_700_000_000),
        ("emitter", "address", USDC),
        ("network", "string", "ethereum"),
        ("network.domain + 1", "int", 8),
        ("address(network.bridge)", "address", USDC),
        ("bytes32(network.bridge)", "bytes32", WORD_OF_USDC),
        ("amount // 10**9", "int", 10**9),
        ("to == network.bridge", "bool", True),
        ("len(payload)", "int", 100),
    ],
)
def test_each_function_gives_its_value_and_type(source: str, abi_type: str, expected: Any) -> None:
    info = _transfer_info()
    if expected is None:
        expected = keccak(encode_transfer_info(info))
    assert compile_value(source, EVENT, NETWORKS).type == abi_type
    assert value_of(source, info=info) == expected


def test_packed_values_hash_as_solidity_packs_them() -> None:
    source = "keccak(nonce, uint32(network.domain), bytes32(to), to, delta, paid, memo, selector, uint(nonce), payload)"
    types = (
        "uint64",
        "uint32",
        "bytes32",
        "address",
        "int16",
        "bool",
        "string",
        "bytes4",
        "uint256",
        "bytes",
    )
    values = (5, 7, WORD_OF_USDC, USDC, -2, True, "Ünïcode", b"\x01\x02\x03\x04", 5, bytes(range(100)))
    assert value_of(source) == keccak(encode_packed(types, values))


def test_decoded_values_are_found_by_their_positions() -> None:
    types = ["uint32", "address", "bytes32", "string", "uint8[]", "(bytes,int16[2])[]"]
    values = (7, USDC, bytes(range(32)), "hello", [1, 2, 3], [(b"xy", [-1, 5])])
    payload = encode(types, values)
    text = f"decode('({', '.join(types)})', payload)"
    found = {
        "[0]": 7,
        "[1]": USDC,
        "[2][0:4]": bytes(range(4)),
        "[3][1:]": "ello",
        "[4][-1]": 3,
        "[5][0][0]": b"xy",
        "[-1][0][1][0]": -1,
    }
    assert {part: value_of(text + part, payload=payload) for part in found} == found
    assert value_of(f"sum({text}[4])", payload=payload) == 6
    assert value_of('decode("uint16", id)', id=bytes(30) + b"\x01\x02") == 0x0102


@pytest.mark.parametrize(
    ("source", "args", "reason"),
    [
        ("payload[9:13]", {"payload": bytes(12)}, r"\[9:13\] is beyond the end of 12 bytes"),
        ("payload[81:]", {"payload": bytes(80)}, r"\[81:\] is beyond the end of 80 bytes"),
        ("payload[-32:]", {"payload": bytes(31)}, "beyond the end of 31 bytes"),
        ("payload[10:-10]", {"payload": bytes(19)}, "beyond the end"),
        ("memo[0:8]", {}, "beyond the end of 7 characters"),
        ("payload[delta:]", {}, "a slice cannot begin or end at -2"),
        ("payload[:]", {"payload": bytes(65_537)}, "a value of 65537 bytes"),
        ("uint(payload)", {"payload": b""}, "an integer has 1 to 32 bytes, not 0"),
        ("uint(payload)", {"payload": bytes(33)}, "1 to 32 bytes, not 33"),
        ("uint(delta)", {}, "-2 is no uint256"),
        ("uint32(amount)", {}, "1000000000000000000 is no uint32"),
        ("int(amount)", {"amount": 2**255}, "is no int256"),
        ("uint64(to)", {}, "is no uint64"),
        ("address(id)", {}, "its first 12 are not zero"),
        ("address(payload)", {"payload": bytes(19)}, "there are 19"),
        ("address(amount)", {"amount": 2**160}, "is no uint160"),
        ("bytes32(payload)", {}, "100 bytes do not fit into 32"),
        ("bytes32(delta)", {}, "-2 is no uint256"),
        ("text(payload)", {"payload": b"\xff"}, "invalid start byte"),
        ("keccak(payload)", {"payload": bytes(65_537)}, "65537 bytes"),
        ("keccak(memo)", {"memo": "\ud800"}, "surrogates not allowed"),
        ("lower(memo)", {"memo": "x" * 65_537}, "65537 bytes"),
        ("lower(memo)", {"memo": "€" * 30_000}, "90000 bytes"),
        ('decode("(address)", payload)[0]', {"payload": b"\x01" * 32}, "not an address of 20 bytes"),
        ('decode("(bytes)", payload)[0]', {"payload": bytes(31)}, "needs 32 bytes"),
        ('decode("uint8[]", payload)[0]', {"payload": encode(["uint8[]"], [[]])}, "no element there"),
        ("connext.transfer_id(info)", {}, "no value for callData"),
    ],
)
def test_a_value_that_an_event_does_not_have_is_a_typed_error(
    source: str, args: dict[str, Any], reason: str
) -> None:
    with pytest.raises(EvaluationError, match=reason) as caught:
        value_of(source, **args)
    assert source in str(caught.value)


@pytest.mark.parametrize(
    ("source", "column", "message", "hint"),
    [
        ("payload[13:9]", 8, "the slice ends before it begins", ""),
        ("id[0:40]", 5, "`id` has 32 bytes: the slice is beyond its end", ""),
        ("payload[0:4][2:5]", 15, "`payload[0:4]` has 4 bytes", ""),
        ("payload[0:65537]", 8, "a slice has at most 65536 bytes", ""),
        ("amount[0:4]", 0, "bytes and strings have slices, `amount` is an integer", "bytes32(…)"),
        ("payload[memo:]", 8, "`a slice` works on integers", ""),
        ("payload[0]", 8, "payload is bytes, not an array", "one byte is a slice: payload[0:1]"),
        ("payload[0:9][3]", 13, "`payload[0:9]` is bytes9, not an array", "[3:4]"),
        ("payload[0:4", 11, "expected `]`", ""),
        ("paylod[0:4]", 0, "Sent has no field paylod", "did you mean payload?"),
        ("unit(amount)", 0, "there is no function unit", 'did you mean "uint"?'),
        ("uint7(amount)", 0, "there is no integer type uint7", "8, 16"),
        ("uint(memo)", 5, "`memo` is a string", ""),
        ("int(to)", 4, "`to` is an address", ""),
        ("uint8(300) + amount", 6, "300 is no uint8", ""),
        ("address(selector)", 8, "`selector` has 4 bytes", ""),
        ("address(paid)", 8, "`paid` is a boolean", ""),
        ("bytes32(memo)", 8, "`memo` is a string", ""),
        ("address(text(network.bridge))", 8, "`text(network.bridge)` is a string", ""),
        ("text(amount)", 5, "`amount` is an integer", ""),
        ("lower(payload)", 6, "`payload` is bytes", ""),
        ("keccak(amount + 1)", 7, "`amount + 1` has no stated width", "uint256(amount + 1)"),
        ("keccak(routers)", 7, "`routers` is address[]", ""),
        ("keccak()", 0, "keccak takes one argument or more", ""),
        ("decode(payload)", 0, "decode takes a type in quotes and bytes", "body"),
        ('decode("(uint7)", payload)[0]', 8, '"uint7" is not an ABI type', ""),
        ('decode("(uint8", payload)[0]', 8, "a `)` is missing", ""),
        ('decode("(uint8)", payload)[1]', 27, "has 1 values only", ""),
        ('decode("uint8", memo)', 16, "decode takes bytes, `memo` is a string", ""),
        ('decode("(uint8)", payload)', 0, "is a tuple; a single value is needed", ""),
        ('decode("uint256[500]", payload)[0]', 23, "more than a millisecond", "slice first"),
        ("connext.transfer_id(params)", 0, "connext.transfer_id takes (", ""),
        ("connext.transferid(info)", 8, "values have no methods", 'did you mean "connext.transfer_id"?'),
        ("network.domian + 1", 8, "network ethereum has no attribute 'domian'", 'did you mean "domain"?'),
        ("lower(network.label)", 14, "network base has no attribute 'label'", ""),
        ("uint(network.mixed)", 13, "mixed is an integer on ethereum and text on base", ""),
        ("amount * amount", 0, "this can have 512 bits", "uint(…)"),
        ("10**18", 0, "this is the same for every event", ""),
        ("routers", 0, "", ""),
    ],
)
def test_a_wrong_value_is_refused_with_the_place_and_a_way_out(
    source: str, column: int, message: str, hint: str
) -> None:
    if source == "routers":  # a plain path says its type; who needs one value refuses it
        assert compile_value(source, EVENT, NETWORKS).type == "address[]"
        return
    error = refusal(source)
    assert message in error.message
    assert hint in error.hint
    assert error.column == column


def test_an_attribute_beside_an_address_must_be_one_on_every_network() -> None:
    networks = {"a": {"bridge": USDC}, "b": {"bridge": "0x12"}}
    with pytest.raises(ConditionError, match="an address has 40 hex digits, this has 2 \\('0x12'\\)"):
        compile_condition("to == network.bridge", EVENT, None, networks)
    good = compile_condition("to == network.bridge", EVENT, None, NETWORKS)
    assert (good.evaluate(event_of("ethereum")), good.evaluate(event_of("base"))) == (True, False)
    with pytest.raises(ConditionError, match="has no attribute"):
        compile_condition("to == network.bridge", EVENT)


def test_values_of_different_types_give_the_same_part_of_a_key_by_casts() -> None:
    word = AbiEvent("E", (AbiParam("a", "address"), AbiParam("b", "bytes32"), AbiParam("c", "uint256")))
    args = {"a": USDC, "b": WORD_OF_USDC, "c": int(USDC, 16)}
    event = event_of()._replace(args=args)

    def keys(cast: str) -> set[str]:
        return {key_text(compile_value(f"{cast}({name})", word, NETWORKS))(event) for name in args}

    assert keys("address") == {USDC}
    assert keys("bytes32") == {f"0x{WORD_OF_USDC.hex()}"}
    assert keys("uint") == {str(int(USDC, 16))}


def test_a_long_part_of_a_key_is_the_events_trouble() -> None:
    part = key_text(compile_value("payload[:]", EVENT, NETWORKS))
    assert part(event_of(payload=b"\x01\x02")) == "0x0102"
    with pytest.raises(EvaluationError, match="1025 bytes, a part of a key has 1024 at most"):
        part(event_of(payload=bytes(1025)))


def test_arguments_win_over_what_is_known_of_the_place() -> None:
    names = ("emitter", "log", "transaction", "network")
    event = AbiEvent("E", tuple(AbiParam(name, "uint8") for name in names))
    seen = event_of()._replace(args=dict.fromkeys(names, 4))
    assert [compile_value(f"{name} + 0", event, NETWORKS).read(seen) for name in names] == [4] * 4
    with pytest.raises(ConditionError, match="network is uint8 and has no fields"):
        compile_value("network.domain + 1", event, NETWORKS)


def test_the_facts_of_an_assert_hold_what_is_computed_not_what_it_is_made_of() -> None:
    condition = compile_condition(
        "id == keccak(opening.payload[81:]) and uint(payload[0:2]) == 1", EVENT, EVENT, NETWORKS
    )
    own, opening = condition.facts(event_of()), condition.opening_facts(event_of())
    hashed = keccak(bytes(range(81, 100)))
    assert opening == {"keccak(opening.payload[81:])": hashed}
    assert own == {"id": bytes(range(32)), "uint(payload[0:2])": 1}
    assert condition.evaluate_facts(own | {"id": hashed}, opening)
    assert not condition.evaluate_facts(own, opening)
    assert {path.steps for path in condition.paths} == {("id",), ("payload",)}
    assert {path.steps for path in condition.opening_paths} == {("payload",)}


def test_a_computed_fact_that_an_event_lacks_is_an_error_only_where_it_is_needed() -> None:
    condition = compile_condition("len(payload) < 4 or uint(payload[0:4]) == 1", EVENT, EVENT, NETWORKS)
    facts = condition.facts(event_of(payload=b""))
    assert facts == {"payload": b""}
    assert condition.evaluate_facts(facts, {})
    with pytest.raises(EvaluationError, match=r"no value for uint\(payload\[0:4\]\)"):
        condition.evaluate_facts({"payload": bytes(9)}, {})


def test_one_expression_may_use_both_events() -> None:
    condition = compile_condition("id == keccak(payload, opening.payload)", EVENT, EVENT, NETWORKS)
    facts = condition.facts(event_of(payload=b"a")) | {"id": keccak(b"ab")}
    assert condition.evaluate_facts(facts, condition.opening_facts(event_of(payload=b"b")))


def test_too_much_work_for_one_expression_is_refused() -> None:
    once = compile_value("keccak(keccak(payload), keccak(memo))", EVENT, NETWORKS)
    assert once.read(event_of()) == keccak(keccak(bytes(range(100))) + keccak("Ünïcode".encode()))
    error = refusal("keccak(payload) in (keccak(memo), keccak(params.body), id)")
    assert "more than a millisecond" in error.message
    compile_value("keccak(payload[:99]) in (keccak(memo), keccak(params.body[:99]), id)", EVENT, NETWORKS)


def test_reads_are_those_of_every_part() -> None:
    paths = compile_value("keccak(payload[4:], params.body, nonce, emitter)", EVENT, NETWORKS).paths
    assert {path.steps for path in paths} == {("payload",), ("params", "body"), ("nonce",), ("emitter",)}


def _transfer_info() -> dict[str, Any]:
    by_type = {"address": USDC, "bool": True, "bytes": b"call", "bytes32": bytes(32)}
    return {param.name: by_type.get(param.type, 3) for param in TRANSFER_INFO.components}


# --- addresses of contracts, names that mean two things, texts ---------------------------------------------


CONTRACTS = {
    "bridge": {"ethereum": [USDC], "base": ["0x" + "22" * 20]},
    "old": {"ethereum": [USDC]},
    "many": {"ethereum": [USDC, "0x" + "22" * 20], "base": [USDC]},
}


def test_the_address_of_a_configured_contract_is_that_on_the_events_network() -> None:
    condition = compile_condition('to == contract("bridge")', EVENT, None, NETWORKS, CONTRACTS)
    assert [condition.evaluate(event_of(network)) for network in NETWORKS] == [True, False]
    value = compile_value("bytes32(contract('bridge'))", EVENT, NETWORKS, CONTRACTS)
    assert value.type == "bytes32"
    assert value.read(event_of()) == WORD_OF_USDC


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ('contract("bridg")', "no contract is called 'bridg'"),
        ('contract("old")', "contract 'old' has no address on base"),
        ('contract("many")', "contract 'many' has 2 addresses on ethereum"),
        ("contract(to)", "takes the name of a configured contract in quotes"),
        ("contract()", "takes the name of a configured contract in quotes"),
    ],
)
def test_a_contract_without_one_address_on_every_network_is_refused(source: str, reason: str) -> None:
    with pytest.raises(ConditionError, match=re.escape(reason)):
        compile_condition(f"{source} == to", EVENT, None, NETWORKS, CONTRACTS)


def test_an_argument_with_the_name_of_something_else_can_be_told_from_it() -> None:
    names = ("emitter", "network", "block", "opening")
    event = AbiEvent("E", tuple(AbiParam(name, "uint8") for name in names))
    seen = event_of()._replace(args=dict.fromkeys(names, 4))
    both = "event.args.network == 4 and event.network == 'ethereum' and event.network.domain == 7"
    condition = compile_condition(both, event, None, NETWORKS)
    assert condition.evaluate(seen)
    assert condition.evaluate_facts(condition.facts(seen), {})
    assert compile_value("event.emitter", event, NETWORKS).read(seen) == USDC
    assert compile_value("event.block.timestamp", event, NETWORKS).read(seen) == LOG.timestamp
    assert compile_condition("event.args.opening == 4", event, EVENT, NETWORKS).evaluate(seen)
    later = compile_condition(
        "opening.event.args.network == opening.event.network.domain - 3", event, event, NETWORKS
    )
    assert later.evaluate_facts({}, later.opening_facts(seen))
    own = AbiEvent("E", (AbiParam("event", "uint8"),))
    assert compile_value("event + 0", own, NETWORKS).read(event_of()._replace(args={"event": 9})) == 9


@pytest.mark.parametrize("source", ["event", "event.args", "event.to", "event[0]", "event.args[0]"])
def test_what_is_neither_an_argument_nor_known_of_an_event_says_what_can_be_written(source: str) -> None:
    error = refusal(source)
    assert "event.args.payload" in error.hint or "has no field" in error.message


def test_bytes_are_read_from_text_in_hex_digits() -> None:
    digits = "0x" + "aB" * 32
    assert value_of("unhex(memo[0:66])", memo=f"{digits}-7") == bytes.fromhex(digits[2:])
    assert value_of("bytes32(unhex(memo))", memo="07") == bytes(31) + b"\x07"
    assert value_of("address(unhex(memo))", memo=USDC.lower()) == USDC
    for wrong in ("0x123", "0xzz", "0x 11", "٣٣"):
        with pytest.raises(EvaluationError, match="not an even number of hex digits"):
            value_of("unhex(memo)", memo=wrong)
    assert "a string of hex digits" in refusal("unhex(payload)").message
