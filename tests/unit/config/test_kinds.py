"""Kinds of invariants: each example compiles, parameters become conditions, mistakes are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from chainwatch.checker.invariants.invariant import Invariant
from chainwatch.checker.invariants.sessions import compile_look_up
from chainwatch.cli import main
from chainwatch.config import ConfigError, read_dict
from chainwatch.config.kinds import Kind, kinds
from chainwatch.plan import make_plan

A, B, C = ("0x" + digit * 40 for digit in "123")
ABI = str(Path(__file__).parents[2] / "support" / "protocols" / "watched.json")
FLOW = {
    "contract": "bridge",
    "key": "id",
    "opens": {
        "step": "send",
        "event": "Sent",
        "destination": "destination",
        "asset": "token",
        "amount": "amount",
    },
    "expects": [{"step": "receive", "event": "Received", "on": "destination", "within": "1h"}],
}
PASSER = "0x4200000000000000000000000000000000000016"
NETWORKS = {
    name: {"chain_id": number, "rpc": ["http://x"]}
    for number, name in enumerate(("ethereum", "optimism", "base"), 1)
}


def compiled(kind: str, **parameters: Any) -> Invariant:
    contract = {"abi": ABI, "address": A}
    config = {
        "flows": {"bridge": FLOW},
        "assets": {"usdc": {"decimals": 6, "address": A}},
        "networks": NETWORKS,
        "contracts": dict.fromkeys(("bridge", "token", "safe"), contract),
        "invariants": {"i": {"kind": kind, **parameters}},
    }
    return make_plan(read_dict(config, {"SECRET": "hunter2"})).invariants.invariants[0]


CONDITIONS = {name: kind for name, kind in kinds().items() if kind.look_up is None}


@pytest.mark.parametrize("kind", CONDITIONS.values(), ids=CONDITIONS)
def test_every_example_is_an_invariant(kind: Kind) -> None:
    made = compiled(kind.name, **kind.example)
    assert made.severity == kind.template["severity"]
    assert made.message
    assert "{" not in made.condition.source + made.message
    assert not [name for name in kind.example if name not in kind.parameters]


@pytest.mark.parametrize("name", CONDITIONS)
def test_what_is_not_expected_is_compared_with_what_was_accepted(name: str) -> None:
    kind = kinds()[name]
    texts = " ".join(kind.template["assert"])
    if "! is_accepted(" not in texts:
        assert "is_accepted" not in texts
        return
    left_out = [key for key, one in kind.parameters.items() if not one.is_required and one.default is None]
    made = compiled(name, **{key: value for key, value in kind.example.items() if key not in left_out})
    assert made.condition.source.startswith("is_accepted(")
    assert made.reads_accepted
    if "events" in kind.parameters:
        target = next(key for key, one in kind.parameters.items() if one.type == "target")
        events = {target: "bridge", "events": ["Received", "Sent"]}
        both = compiled(name, **{**kind.example, **events})
        assert both.condition.source.endswith(
            "seen_Received <= accepted.seen_Received and seen_Sent <= accepted.seen_Sent"
        )
        assert len([value for value in both.values if value.trigger is not None]) == 2


def test_what_is_seen_of_events_is_called_after_them() -> None:
    event = "Sent(bytes32,uint256,address,uint256)"
    made = compiled("paused", network="ethereum", contract="bridge", events=[event])
    assert [value.name for value in made.values] == ["paused", "seen_Sent"]
    with pytest.raises(ConfigError, match=r"i\.events: expected events of different names"):
        compiled("paused", network="ethereum", contract="bridge", events=["Sent", event])


def test_a_switch_with_an_argument_is_read_with_it() -> None:
    call = "function paused(address identifier) view returns (bool)"
    made = compiled("paused", network="ethereum", contract=A, call=call, args=[B])
    (read,) = made.values[0].reads.values()
    assert read.data[-20:].hex() == B[2:]


@pytest.mark.parametrize(
    ("kind", "heuristic", "params"),
    [
        ("output_roots", "fault_detector", {"l2_output_address": A, "l2_to_l1_address": PASSER}),
        (
            "proven_withdrawals",
            "withdrawal_safety",
            {"l1_portal_address": A, "l2_to_l1_address": PASSER, "threshold": "0.125"},
        ),
        (
            "sent_withdrawals",
            "withdrawal_safety",
            {"l1_portal_address": A, "l2_to_l1_address": PASSER, "threshold": "0.125"},
        ),
    ],
)
def test_what_events_claim_is_looked_up_with_pessimisms_parameters(
    kind: str, heuristic: str, params: dict[str, Any]
) -> None:
    own = {"contract": A} if kind == "output_roots" else {"portal": A, "share": 12.5}
    table = {"kind": kind, "network": "ethereum", "l2": "base", **own}
    plan = make_plan(read_dict({"networks": NETWORKS, "invariants": {"i": {**table, "severity": "high"}}}))
    made = plan.settings.look_ups["i"]
    assert (made.heuristic, made.params, made.severity) == (heuristic, params, "P1")
    assert compile_look_up("i", made).network == ("base" if kind == "sent_withdrawals" else "ethereum")
    assert set(plan.watches) == {"ethereum", "base"}
    for wrong in (
        {"l2": "bas"},
        {"severity": "urgent"},
        {"every": "5m"},
        {"message": 5},
        {"runbook_url": "wiki"},
        {"runbook_url": 5},
    ):
        (name,) = wrong
        with pytest.raises(ConfigError, match=rf"invariants\.i\.{name}: "):
            make_plan(read_dict({"networks": NETWORKS, "invariants": {"i": {**table, **wrong}}}))
    with pytest.raises(ConfigError, match=r"invariants\.i: .* is 0x and 40 hex digits, and not zero"):
        make_plan(
            read_dict({"networks": NETWORKS, "invariants": {"i": {**table, "passer": "0x" + "0" * 40}}})
        )


@pytest.mark.parametrize("kind", kinds().values(), ids=kinds())
def test_every_parameter_that_is_required_is_asked_for(kind: Kind) -> None:
    with pytest.raises(ConfigError) as refused:
        compiled(kind.name)
    missing = {problem.path[2] for problem in refused.value.problems if len(problem.path) > 2}
    assert missing == {name for name, one in kind.parameters.items() if one.is_required}


def test_places_with_other_decimals_are_summed_up_exactly() -> None:
    made = compiled(
        "conservation",
        locked=[
            {"network": "ethereum", "token": A, "holder": B, "decimals": 6},
            {"network": "ethereum", "holder": B},
        ],
        minted=[{"network": "optimism", "token": C}, {"network": "base", "token": C, "decimals": 6}],
        tolerance=2,
    )
    assert {value.name: value.reads[value.networks[0]].kind for value in made.values} == {
        "locked_1": "call",
        "locked_2": "balance",
        "minted_1": "call",
        "minted_2": "call",
    }
    backed = {"locked_1": 10 * 10**6, "locked_2": 5 * 10**18, "minted_1": 10 * 10**18, "minted_2": 7 * 10**6}
    assert made.holds(backed, None)
    assert not made.holds({**backed, "minted_2": 7 * 10**6 + 1}, None)


def test_lists_are_compared_in_any_order() -> None:
    made = compiled("safe_owners", network="ethereum", safe=A, owners=[B, C])
    assert made.holds({"owners": [C, B]}, None)
    assert not made.holds({"owners": [C]}, None)
    assert not made.holds({"owners": [C, A]}, None)
    assert not made.holds({"owners": [A, B, C]}, None)
    none = compiled("safe_modules", network="ethereum", safe=A)
    assert none.holds({"modules": []}, None)
    assert not none.holds({"modules": [A]}, None)


def test_amounts_are_in_whole_tokens() -> None:
    made = compiled("balance", network="ethereum", address=A, lower="0.1", upper=1.5)
    assert made.condition.source == f"funds >= {10**17} and funds <= {15 * 10**17}"
    with pytest.raises(ConfigError, match="at most 6 decimals"):
        compiled("token_balance", network="base", token=A, address=B, decimals=6, lower="0.1234567")


def test_what_stands_beside_the_parameters_replaces_what_the_kind_says() -> None:
    made = compiled(
        "owner", network="ethereum", contract="bridge", owner=B, severity="P3", message="Call Ann."
    )
    assert (made.severity, made.message, made.every) == ("P3", "Call Ann.", "block")
    assert made.values[0].reads["ethereum"].address == bytes.fromhex(A[2:])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"network": 5}, r"i\.network: expected text that is not empty, found 5"),
        ({"severity": "urgent"}, r"i\.severity: expected a severity"),
        ({"values": {}}, r"i\.values: the kind balance has values of its own"),
        ({"lower": -1}, r"i\.lower: expected an amount in whole tokens"),
        ({"lower": True}, r"i\.lower: expected an amount"),
        ({"lower": "2.5", "upper": "2.25"}, r"i\.upper: expected `lower` or more"),
        ({"lower": 1e300}, r"i\.lower: expected an amount"),
        ({"decimals": 78}, r"i\.decimals: expected a number of decimals from 0 to 77, found 78"),
        ({"address": "${SECRET}"}, r"i\.address: expected an address.*found the value of \$\{SECRET\}"),
        ({"network": "${SECRET}"}, r"i\.network.*no network is called"),
        ({"kind": ["balance"]}, r"i\.kind: there is no such kind"),
    ],
)
def test_mistakes_are_at_their_parameters(parameters: dict[str, Any], message: str) -> None:
    given = {"kind": "balance", "network": "ethereum", "address": A, "lower": 1, **parameters}
    with pytest.raises(ConfigError, match=message):
        compiled(**given)


def test_what_only_the_whole_configuration_shows_is_at_parameters_too() -> None:
    rows = {"locked": [{"network": "base", "holder": A}], "minted": [{"network": "base", "token": "usdc"}]}
    with pytest.raises(ConfigError, match=r'i\.minted\[0\]\.token: no contract is called "usdc"'):
        compiled("conservation", **rows)
    fee = {"network": "base", "contract": A, "expected": 1}
    with pytest.raises(
        ConfigError, match=r"i\.call: .*is a function of no known ABI: name a `contract`, or write it out"
    ):
        compiled("constant", **fee, call="fee()")
    with pytest.raises(ConfigError, match=r"invariants\.i: assert: .*cannot be compared"):
        compiled("constant", **{**fee, "expected": "x"}, call="function fee() view returns (uint256)")


@pytest.mark.parametrize("kind", kinds().values(), ids=kinds())
def test_no_value_of_a_parameter_is_a_crash(kind: Kind) -> None:
    values: list[Any] = [
        None,
        [],
        {},
        [[]],
        [{}],
        [None],
        "",
        "0x",
        2**300,
        -1,
        True,
        1.5,
        [{"network": []}],
        {"a": [1]},
    ]
    tables = {
        f"{name}-{index}": {"kind": kind.name, **kind.example, name: value}
        for name in kind.parameters
        for index, value in enumerate(values)
    }
    draft = read_dict({"networks": NETWORKS, "invariants": tables})
    broken = {str(problem.path[1]) for problem in draft.problems}
    assert broken | {*draft.parts.invariants, *draft.parts.look_ups} == set(tables)


def test_the_command_lists_and_shows_them() -> None:
    rows = json.loads(CliRunner().invoke(main, ["invariants", "kinds", "--json"]).stdout)
    assert [row["name"] for row in rows] == list(kinds())
    shown = CliRunner().invoke(main, ["invariants", "kinds", "conservation"]).stdout
    assert "locked.holder" in shown
    assert '[invariants.conservation]\nkind = "conservation"' in shown
    unknown = CliRunner().invoke(main, ["invariants", "kinds", "onwer"])
    assert unknown.exit_code == 1
    assert "owner" in unknown.stderr
