"""What conditions of invariants compute: exact fractions, decimals that are read; and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from chainwatch.checker.expression import EvaluationError
from chainwatch.checker.invariants.invariant import Invariant
from chainwatch.config import ConfigError, read_dict
from chainwatch.plan import make_plan

A = "0x" + "11" * 20


def compiled(condition: str, **values: dict[str, Any]) -> Invariant:
    """An invariant of two balances and a token's decimals, or of ``values``."""
    integers = {name: {"network": "alpha", "address": A, "balance": True} for name in ("locked", "minted")}
    decimals = {"network": "alpha", "address": A, "call": "function decimals() view returns (uint8)"}
    table = {"values": values or {**integers, "decimals": decimals}, "assert": condition}
    networks = {"alpha": {"chain_id": 1, "rpc": ["http://x"]}, "beta": {"chain_id": 2, "rpc": ["http://x"]}}
    return make_plan(read_dict({"networks": networks, "invariants": {"i": table}})).invariants.invariants[0]


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("locked / 10**decimals >= minted / 10**18", True),
        ("locked / 10**decimals > minted / 10**18", False),
        ("(locked + 1) / 10**decimals > minted / 10**18", True),
        ("locked / 3 * 3 == locked", True),
        ("min(locked / 7, minted / 7) == locked / 7", True),
        ("abs(locked / 10**decimals - minted / 10**18) <= 1 / 1000", True),
        ("sum_ok := 1", None),
    ],
)
def test_fractions_are_exact(condition: str, holds: bool | None) -> None:
    if holds is None:
        with pytest.raises(ConfigError):
            compiled(condition)
        return
    values = {"locked": 5 * 10**6, "minted": 5 * 10**18, "decimals": 6}
    assert compiled(condition).holds(values, None) is holds


def test_what_has_no_answer_is_an_error() -> None:
    values = {"locked": 1, "minted": 0, "decimals": 6}
    for condition in (
        "locked / minted > 1",
        "keccak(uint8(locked / 3)) == 0x" + "00" * 32,
    ):
        with pytest.raises(EvaluationError):
            compiled(condition).holds(values, None)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("locked / 0 > 1", "division by zero"),
        ("2**locked > 1", "constants only"),
        ("1000**decimals > 1", "bits"),
        ("locked > other", "other"),
        ("block.number > 1", "there is no value 'block'"),
        ("1 > 0", "reads no value"),
        ("locked", "boolean"),
    ],
)
def test_what_cannot_be_a_condition_is_refused(condition: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compiled(condition)


BALANCE = {"network": "alpha", "address": A, "balance": True}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"network": "alpha"}, "exactly one of"),
        ({**BALANCE, "code_hash": True}, "exactly one of"),
        ({"network": "alpha", "balance": True}, "either `contract` or `address`"),
        ({**BALANCE, "network": ["alpha", "beta"]}, "sum = true"),
        ({**BALANCE, "sum": True}, "sum = true"),
        ({**BALANCE, "network": "gamma"}, "no network"),
        ({"flow": "connext", "amount": "in_flight"}, "no flow is called"),
        ({"address": A, "balance": True}, "network"),
        ({"network": "alpha", "address": A, "storage": -1}, "slot"),
        ({"network": "alpha", "address": A, "call": "balanceOf"}, "a function of no known ABI"),
        ({"network": "alpha", "address": A, "call": "function f()"}, "returns nothing"),
        (
            {"network": "alpha", "address": A, "call": "function f(uint8 a) returns (int8)", "args": [256]},
            "fit",
        ),
        (
            {"network": "alpha", "address": A, "call": "function f(uint8[] a) returns (int8)", "args": [1]},
            "expected a list",
        ),
        (
            {"network": "alpha", "address": A, "call": "function f(address a) returns (int8)", "args": []},
            "takes 1",
        ),
        (
            {
                "network": "alpha",
                "address": A,
                "call": "function f() returns (int8 a, int8 b)",
                "output": "c",
            },
            '"c"',
        ),
    ],
)
def test_what_cannot_be_a_value_is_refused(value: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compiled("a > 0", a=value)


USDC = "0x" + "22" * 20
SUPPLY = "function totalSupply() view returns (uint256)"


@pytest.mark.parametrize(
    ("condition", "values", "told"),
    [
        ("a >= b", {"a": 5, "b": 10**18}, ["a is 0.999999999999999995 ETH less than b"]),
        (
            "a + 1 <= b and c >= 2",
            {"a": 4, "b": 3, "c": 1},
            ["a + 1 is 0.000000000000000002 ETH more than b"],
        ),
        ("c == d", {"c": 1_500_000, "d": 0}, ["c is 1.5 USDC more than d"]),
        ("a >= d", {"a": 1, "d": 3}, ["a is 2 less than d"]),
        ("a / 10**18 >= d / 10**6", {"a": 0, "d": 1_250_000}, ["a / 10**18 is 1.25 less than d / 10**6"]),
        ("min(a, b) >= 10", {"a": 9, "b": 11}, ["min(a, b) is 0.000000000000000001 ETH less than 10"]),
        ("not (a >= b)", {"a": 5, "b": 4}, []),
        ("a >= 5 or b >= 5", {"a": 4, "b": 4}, []),
        ("a > 5", {"a": 5}, []),
        ("a / b > 5", {"a": 5, "b": 0}, []),
        ("a <= previous.a", {"a": 5}, []),
    ],
)
def test_a_breach_is_told_in_units_of_the_asset(
    condition: str, values: dict[str, int], told: list[str]
) -> None:
    balance, supply = (
        {"network": "alpha", "address": A, "balance": True},
        {"network": "alpha", "address": USDC},
    )
    read = {"a": balance, "b": balance, "c": {**supply, "call": SUPPLY}, "d": {**supply, "call": SUPPLY}}
    network = {"chain_id": 1, "rpc": ["http://x"], "currency": {"symbol": "ETH"}}
    tables = {
        "networks": {"alpha": network},
        "assets": {"USDC": {"address": USDC, "decimals": 6}},
        "invariants": {"i": {"values": read, "assert": condition}},
    }
    (invariant,) = make_plan(read_dict(tables)).invariants.invariants
    assert invariant.differences({"a": 0, "b": 0, "c": 0, "d": 0, **values})[:1] == told
