"""What a condition means, what it refuses, and where its errors point."""

from __future__ import annotations

from typing import Any

import pytest

from chainwatch.checker.expression import (
    Condition,
    ConditionError,
    EvaluationError,
    compile_condition,
    compile_path,
)
from chainwatch.model import AbiEvent, AbiParam, Event, RawLog

USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
DAI = "0x6B175474E89094C44Da98b954EedeAC495271d0F"
TRANSFER_ID = bytes.fromhex("d3b48a423a57829f3970b76c4546c9ac67eaa46589f0048eee9e6bf45adab806")
MAX_UINT = 2**256 - 1

PARAMS = AbiParam(
    "params",
    "tuple",
    components=(
        AbiParam("originDomain", "uint32"),
        AbiParam("to", "address"),
        AbiParam("bridgedAmt", "uint256"),
        AbiParam("callData", "bytes"),
    ),
)
CALLS = AbiParam("calls", "tuple[]", components=(AbiParam("target", "address"), AbiParam("value", "uint256")))
EVENT = AbiEvent(
    "Sent",
    (
        AbiParam("transferId", "bytes32", indexed=True),
        AbiParam("asset", "address"),
        AbiParam("amount", "uint256"),
        AbiParam("delta", "int256"),
        AbiParam("paid", "bool"),
        AbiParam("from", "address"),
        AbiParam("memo", "string"),
        AbiParam("tag", "string", indexed=True),
        AbiParam("routes", "address[]", indexed=True),
        AbiParam("selector", "bytes4"),
        AbiParam("body", "bytes"),
        AbiParam("routers", "address[]"),
        AbiParam("amounts", "uint256[3]"),
        AbiParam("$fee", "uint8"),
        PARAMS,
        CALLS,
    ),
)
ARGS: dict[str, Any] = {
    "transferId": TRANSFER_ID,
    "asset": USDC,
    "amount": 2**255 + 1,
    "delta": -(2**255),
    "paid": True,
    "from": DAI,
    "memo": "hello",
    "tag": bytes(32),
    "routes": bytes(32),
    "selector": b"\x01\x02\x03\x04",
    "body": b"\xab\xcd",
    "routers": [DAI, USDC],
    "amounts": [1, 2, 3],
    "$fee": 30,
    "params": {"originDomain": 6648936, "to": DAI, "bridgedAmt": 10**18, "callData": b""},
    "calls": [{"target": USDC, "value": 7}],
}


def event_of(args: dict[str, Any]) -> Event:
    log = RawLog(1_000, b"h" * 32, 1_700_000_000, 3, b"t" * 32, b"a" * 20, (), b"")
    return Event("ethereum", "bridge", "Sent", EVENT.signature, args, log)


def holds(source: str, **changes: Any) -> bool:
    return compile_condition(source, EVENT).evaluate(event_of(ARGS | changes))


def refusal(source: str, opening: AbiEvent | None = None) -> ConditionError:
    with pytest.raises(ConditionError) as caught:
        compile_condition(source, EVENT, opening)
    return caught.value


@pytest.mark.parametrize(
    "source",
    [
        "amount == 57896044618658097711785492504343953926634992332820282019728792003956564819969",
        "amount > 2**255 and not amount > 2**255 + 1",
        "delta == -(2**255) and -delta == 2**255 and abs(delta) == 2**255",
        "amount * 10_000 // 9_999 > amount",
        "-7 // 2 == -4 and -7 % 3 == 2",
        "2**3**2 == 512 and -2**2 == -4 and 2 - 3 - 4 == -5",
        "1 < 2 <= 2 < amount",
        "0xff == 255 and 0x_ff == 255",
        "params.originDomain == 6648936 and params.bridgedAmt >= 10**15",
        "paid and paid == true and paid != False",
        f"asset == {USDC}",
        f"asset == {USDC.lower()} and asset == '{USDC.upper().replace('X', 'x')}'",
        f"{DAI} == from",
        f"asset in ({USDC}, {DAI}) and asset not in [{DAI}]",
        f"{USDC} in routers and not from in [asset]",
        "amounts[1] in [2] and 3 in amounts and 4 not in amounts",
        "transferId == 0xd3b48a423a57829f3970b76c4546c9ac67eaa46589f0048eee9e6bf45adab806",
        "selector == 0x01020304 and selector in [0xffffffff, '0x01020304']",
        "body == 0xABCD and body != '0x' and params.callData == '0x'",
        "memo == 'hello' and memo != \"Hello\" and memo in ['a', 'hello']",
        "routers[0] == from and routers[-1] == asset and calls[0].value == 7",
        "len(routers) == 2 and len(body) == 2 and len(memo) == 5",
        "min(amounts) == 1 and max(amounts) == 3 and sum(amounts) == 6",
        "min(amount, 5) == 5 and max(amount, 5, 6) == amount",
        "$fee < 100",
        "tag == 0x" + "00" * 32,
        "block.number == 1000 and block.timestamp == 1_700_000_000 and network == 'ethereum'",
        "(paid or\n  amount > 1)\n",
        "false or not false",
    ],
)
def test_these_conditions_hold(source: str) -> None:
    assert holds(source) is True
    assert holds(f"not ({source})") is False


def test_an_argument_wins_over_what_is_known_of_every_event() -> None:
    event = AbiEvent("E", (AbiParam("network", "uint256"),))
    assert compile_condition("network == 5", event).evaluate(event_of({"network": 5}))


def test_and_and_or_stop_early_so_that_a_length_guards_an_index() -> None:
    guarded = f"len(routers) > 0 and routers[0] == {DAI}"
    assert holds(guarded)
    assert not holds(guarded, routers=[])


@pytest.mark.parametrize(
    ("source", "changes", "reason"),
    [
        ("routers[2] == asset", {}, "an array has no element there"),
        ("amount // (amount - amount) > 1", {}, "division by zero"),
        ("amount % delta > 1", {"delta": 0}, "division by zero"),
        ("max(amounts) > 1", {"amounts": []}, "empty"),
        ("params.bridgedAmt > 1", {"params": {}}, "no value for bridgedAmt"),
    ],
)
def test_a_value_that_is_not_there_is_a_typed_error(
    source: str, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(EvaluationError, match=reason) as caught:
        holds(source, **changes)
    assert source in str(caught.value)


@pytest.mark.parametrize(
    ("source", "column", "message", "hint"),
    [
        ("params.bridgedAmout >= 1", 7, "params has no field bridgedAmout", "did you mean bridgedAmt?"),
        ("amonut >= 1", 0, "Sent has no field amonut", "did you mean amount?"),
        ("amount == asset", 7, "`amount` is an integer and `asset` is an address", ""),
        ("amount == '5'", 7, "`'5'` is a string", ""),
        ("transferId == 5", 11, "`transferId` is bytes32 and `5` is an integer", ""),
        ("transferId == selector", 11, "`transferId` is bytes32 and `selector` is bytes4", ""),
        ("asset == 0x12", 9, "an address has 40 hex digits, this has 2", ""),
        ("transferId == 0xd3b4", 14, "bytes32 has 64 hex digits, this has 4", ""),
        ("body == 0xabc", 8, "bytes has an even number of hex digits, this has 3", ""),
        ("asset == 'usdc'", 9, "`asset` is an address", "compare it with hex"),
        ("asset in [amount]", 10, "`asset` is an address and `amount` is an integer", ""),
        ("amount in routers", 7, "`amount` is an integer and an element of `routers` is an address", ""),
        ("amount in amount", 10, "not a list or an array", ""),
        ("asset < from", 6, "`<` orders integers only", ""),
        ("paid > false", 5, "`>` orders integers only", ""),
        ("memo + 'x' == 'y'", 0, "`+` works on integers, `memo` is a string", ""),
        ("body * 2 == body", 0, "`*` works on integers, `body` is bytes", ""),
        ("-paid == 1", 1, "`-` works on integers, `paid` is a boolean", ""),
        ("amount", 0, "a condition needs a boolean, `amount` is an integer", "compare it"),
        ("amount and paid", 0, "`and` needs a boolean, `amount` is an integer", ""),
        ("paid or len(memo)", 8, "`or` needs a boolean, `len(memo)` is an integer", ""),
        ("not amount > 1 and not amount", 23, "`not` needs a boolean", ""),
        ("params == params", 0, "`params` is a tuple, which cannot be compared as a whole", "fields"),
        ("routers == routers", 0, "`routers` is address[], which cannot be compared as a whole", ""),
        ("routers.length > 1", 8, "routers is address[] and has no fields", ""),
        ("calls.value > 1", 6, "calls is tuple[] and has no fields", "calls[0].value"),
        ("amount[0] > 1", 7, "amount is uint256, not an array", ""),
        ("amounts[3] > 1", 8, "amounts has 3 elements only", ""),
        ("amounts[-4] > 1", 8, "amounts has 3 elements only", ""),
        ("amounts[amount] > 1", 8, "expected an index", ""),
        ('amounts[""] > 1', 8, "expected an index", ""),
        ("routers[99999] == asset", 8, "an index above 10000", ""),
        ("tag == 'x'", 7, "`tag` is bytes32", "indexed string: the log keeps only its 32-byte hash"),
        ("asset in routes", 9, "`routes` is bytes32", "indexed address[]"),
        ("routes[0] == asset", 7, "routes is bytes32, not an array", "indexed address[]"),
        ("amount / 2 > 1", 7, "`/` would round", "`//`"),
        ("amount // 0 > 1", 10, "division by zero", ""),
        ("amount ** 2 > 1", 0, "`**` takes constants only", "multiplication"),
        ("2 ** amount > 1", 5, "`**` takes constants only", ""),
        ("2 ** -1 > 1", 5, "a negative power", ""),
        ("2 ** 3000 > 1", 2, "can have 6000 bits", "2048"),
        ("amount > 1 && paid", 11, "'&&' is not part of the language", "`and`"),
        ("amount = 1", 7, "'=' is not part of the language", "`==`"),
        ("amount ^ 2 > 1", 7, "'^' is not part of the language", "`**`"),
        ("amount > 1.5", 9, "1.5 is not a whole number", "integers"),
        ("amount > 1e18", 9, "1e18 is not a whole number", ""),
        ("memo == 'x", 8, "a string that does not end", ""),
        ("amount is 5", 7, "expected an operator, not 'is'", "`==`"),
        ("amount > 1 AND paid", 11, "expected an operator, not 'AND'", "`and`"),
        ("amount >", 8, "expected a value, not the end", ""),
        ("(amount > 1", 11, "expected an operator or `)`, not the end", ""),
        ("amount > 1)", 10, "expected an operator, not ')'", ""),
        ("amount > 1 2", 11, "expected an operator, not '2'", ""),
        ("amount in []", 10, "an empty list", ""),
        ("paid not amount", 9, "expected `in` after `not`", ""),
        ("1 < amount in [2]", 11, "`in` cannot stand in a row", "`and`"),
        ("upper(memo) == 'x'", 0, "there is no function upper", "abs, len, max, min, sum"),
        ("len(memo, memo) > 1", 0, "len takes one argument, not 2", ""),
        ("len(amount) > 1", 4, "len measures an array", ""),
        ("sum(routers) > 1", 4, "sum takes an array of integers", ""),
        ("memo.lower() == 'x'", 5, "values have no methods", ""),
        ("(amount).real > 1", 8, "only the event's arguments have fields", ""),
        ("", 0, "expected a value, not the end", ""),
        ("opening.amount > 1", 0, "there is no opening event here", "`assert`"),
    ],
)
def test_a_wrong_condition_is_refused_with_the_place_and_a_way_out(
    source: str, column: int, message: str, hint: str
) -> None:
    error = refusal(source)
    assert message in error.message
    assert hint in error.hint
    assert error.column == column


def test_an_error_shows_the_line_with_a_caret_under_the_place() -> None:
    assert str(refusal("paid and\n  amount > asset")) == (
        "`amount` is an integer and `asset` is an address: they cannot be compared\n"
        "    amount > asset\n"
        "           ^"
    )


def test_an_error_in_a_long_line_shows_the_part_around_the_place() -> None:
    lines = str(refusal("paid and " * 50 + "amuont > 1" + " and paid" * 50)).split("\n")
    assert max(map(len, lines[:3])) <= 102
    assert lines[1][lines[2].index("^") :].startswith("amuont > 1")


def test_an_unknown_field_is_answered_with_all_that_there_are() -> None:
    assert refusal("params.xyz == 1").hint == "params has originDomain, to, bridgedAmt, callData"


# --- assert: two events ---

OPENING = AbiEvent("Opened", (AbiParam("amount", "uint256"), AbiParam("routers", "address[]"), PARAMS))


def both(source: str) -> Condition:
    return compile_condition(source, EVENT, OPENING)


def test_an_assert_compares_its_event_with_the_opening_event() -> None:
    condition = both("amount <= opening.amount")
    assert condition.evaluate_facts({"amount": 5}, {"amount": 5})
    assert not condition.evaluate_facts({"amount": MAX_UINT}, {"amount": MAX_UINT - 1})


def test_facts_hold_all_that_an_assert_reads_and_nothing_else() -> None:
    condition = both(
        "params.bridgedAmt <= opening.params.bridgedAmt and amount > 0 and amount < 9"
        " and routers[0] in opening.routers and block.timestamp - opening.block.timestamp < 3600"
        " and opening.network != network"
    )
    assert [path.text for path in condition.paths] == [
        "params.bridgedAmt",
        "amount",
        "routers[0]",
        "block.timestamp",
        "network",
    ]
    assert [path.text for path in condition.opening_paths] == [
        "params.bridgedAmt",
        "routers",
        "block.timestamp",
        "network",
    ]
    assert condition.facts(event_of(ARGS | {"amount": 5})) == {
        "params.bridgedAmt": 10**18,
        "amount": 5,
        "routers[0]": DAI,
        "block.timestamp": 1_700_000_000,
        "network": "ethereum",
    }
    opening = {
        "params.bridgedAmt": 10**18,
        "routers": [DAI],
        "block.timestamp": 1_699_999_999,
        "network": "polygon",
    }
    own = condition.facts(event_of(ARGS | {"amount": 5}))
    assert condition.evaluate_facts(own, opening)
    assert not condition.evaluate_facts(own, opening | {"network": "ethereum"})
    assert not condition.evaluate_facts(own, opening | {"routers": [USDC]})


def test_the_facts_of_the_opening_event_come_from_its_own_args() -> None:
    facts = both("amount < opening.amount").opening_facts(event_of({"amount": 7, "routers": []}))
    assert facts == {"amount": 7}


def test_an_element_that_is_not_there_is_no_fact_and_an_error_only_where_it_is_needed() -> None:
    condition = both("len(routers) == 0 or routers[0] == from")
    facts = condition.facts(event_of(ARGS | {"routers": []}))
    assert "routers[0]" not in facts
    assert condition.evaluate_facts(facts, {})
    with pytest.raises(EvaluationError, match=r"no value for routers\[0\]"):
        condition.evaluate_facts(facts | {"routers": [DAI]}, {})


def test_a_where_evaluation_of_an_assert_says_that_the_opening_event_is_missing() -> None:
    with pytest.raises(EvaluationError, match=r"no value for opening\.amount"):
        both("amount <= opening.amount").evaluate(event_of(ARGS))


def test_a_field_that_the_opening_event_lacks_is_refused_by_its_name() -> None:
    error = refusal("amount <= opening.amuont", OPENING)
    assert error.message == "opening (Opened) has no field amuont"
    assert "did you mean amount?" in error.hint
    assert error.column == 18


def test_opening_is_reserved_in_an_assert_and_free_in_a_where() -> None:
    event = AbiEvent("E", (AbiParam("opening", "uint256"),))
    assert compile_condition("opening > 4", event).evaluate(event_of({"opening": 5}))
    with pytest.raises(ConditionError, match="name a field of opening") as caught:
        compile_condition("opening > 4", event, OPENING)
    assert "the argument opening of E cannot be read here" in caught.value.hint


# --- paths ---


@pytest.mark.parametrize(
    ("text", "abi_type", "value"),
    [
        ("amount", "uint256", 2**255 + 1),
        ("from", "address", DAI),
        ("params.originDomain", "uint32", 6648936),
        (" calls[-1] . target ", "address", USDC),
        ("routers[1]", "address", USDC),
        ("amounts[0]", "uint256", 1),
        ("routers", "address[]", [DAI, USDC]),
        ("tag", "bytes32", bytes(32)),
    ],
)
def test_a_path_knows_its_type_and_gets_its_value(text: str, abi_type: str, value: object) -> None:
    path = compile_path(text, EVENT)
    assert path.type == abi_type
    assert path.get(ARGS) == value
    assert path.text == text.replace(" ", "")


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("params.orginDomain", 7, "params has no field orginDomain"),
        ("amount.x", 7, "amount is uint256 and has no fields"),
        ("amount >= 1", 7, "expected the end of the path, not '>='"),
        ("params.", 7, "expected a field, not the end"),
        ("routers[0", 9, "expected `]`, not the end"),
        ("0", 0, "expected a field, not '0'"),
        ("network", 0, "Sent has no field network"),
    ],
)
def test_a_wrong_path_is_refused_at_its_place(text: str, column: int, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        compile_path(text, EVENT)
    assert caught.value.message == message
    assert caught.value.column == column


def test_a_path_past_an_arrays_end_is_a_typed_error() -> None:
    with pytest.raises(EvaluationError, match=r"routers\[2\]: .* the array has 2"):
        compile_path("routers[2]", EVENT).get(ARGS)
    with pytest.raises(EvaluationError, match=r"calls\[0\]\.value: the event has no such argument"):
        compile_path("calls[0].value", EVENT).get({})
