"""Siblings: which other event of a transaction a step reads, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chainwatch.checker.compiler import FlowError
from chainwatch.checker.expression import compile_value
from chainwatch.checker.flow import AMOUNT, DESTINATION, EXCLUDED, ORIGIN, Flow, FlowExtractor
from chainwatch.checker.joins import Join, Pick
from chainwatch.checker.scope import Scope
from chainwatch.config.errors import ConfigError
from chainwatch.flows.sources import sources_of
from chainwatch.model import Event, Occurrence, Signal
from chainwatch.plan import Plan, load_plan
from tests.support.effort import effort_within
from tests.support.flows import EVENTS, NAMES, event, flow
from tests.support.runs import moved

TX = 1


def log(name: str, log_index: int, *, tx: int = TX, network: str = "alpha", **args: Any) -> Event:
    return moved(event(network, name, 1000, log_index=log_index, **args), tx)


def joined(pick: str = "before", where: str | None = None, **opens: Any) -> Flow:
    """The bridge's flow; the opening step reads its amount from ``Terms``."""
    sibling = {"event": "Terms", "pick": pick} | ({"where": where} if where else {})
    return flow(opens={"with": {"terms": sibling}, "amount": "terms.amount"} | opens)


def amounts(compiled: Flow, *events: Event) -> tuple[dict[str, int], list[Signal]]:
    """By key, the amounts of the openings that are found; and what is raised."""
    extracted = FlowExtractor([compiled]).extract(events)
    return {key: some[0].facts[AMOUNT] for (_, key), some in extracted.found.items()}, extracted.signals


@pytest.mark.parametrize(("pick", "first", "second"), [("before", 10, 30), ("after", 20, 40)])
def test_the_nearest_sibling_counts_also_in_a_batch(pick: str, first: int, second: int) -> None:
    events = [
        log("Terms", 0, amount=10),
        log("Sent", 1, id=1),
        log("Terms", 2, amount=20),
        log("Terms", 3, amount=30),
        log("Sent", 4, id=2),
        log("Terms", 5, amount=40),
    ]
    assert amounts(joined(pick), *events) == ({"1": first, "2": second}, [])


def test_the_only_sibling_may_be_on_either_side() -> None:
    terms = log("Terms", 3, amount=10)
    events = [log("Sent", 1, id=1), terms, log("Sent", 4, id=2)]
    assert amounts(joined("only"), *events) == ({"1": 10, "2": 10}, [])


def test_several_where_one_is_allowed_are_trouble() -> None:
    found, (signal,) = amounts(joined("only"), log("Terms", 0), log("Sent", 1), log("Terms", 2))
    assert found == {}
    assert "its transaction has 2 events Terms of bridge" in signal.annotations["description"]


@pytest.mark.parametrize("pick", ["before", "after", "only"])
def test_an_event_is_no_sibling_of_itself(pick: str) -> None:
    other = flow(opens={"with": {"other": {"event": "Sent", "pick": pick}}, "amount": "other.amount"})
    alone, (signal,) = amounts(other, log("Sent", 1))
    assert alone == {}
    assert "no event Sent of bridge" in signal.annotations["description"]
    two = [log("Sent", 1, id=1, amount=10), log("Sent", 2, id=2, amount=20)]
    found, signals = amounts(other, *two)
    expected = {"before": {"2": 10}, "after": {"1": 20}, "only": {"1": 20, "2": 10}}
    assert found == expected[pick]
    assert len(signals) == 2 - len(found)


@pytest.mark.parametrize(
    "elsewhere", [log("Terms", 0, tx=2), log("Terms", 2), log("Terms", 0, network="beta")]
)
def test_a_missing_sibling_is_the_events_trouble(elsewhere: Event) -> None:
    found, (signal,) = amounts(joined(), elsewhere, log("Sent", 1))
    assert found == {}
    assert signal.labels["alertname"] == "FlowEvaluationFailed"
    assert signal.labels["step"] == "send"
    assert signal.annotations["tx_hash"] == "0x" + TX.to_bytes(32, "big").hex()
    assert (
        "terms: its transaction has no event Terms of bridge before it" in signal.annotations["description"]
    )


def test_a_missing_sibling_matters_although_nothing_reads_it() -> None:
    compiled = flow(fill={"with": {"terms": {"event": "Terms", "pick": "after"}}})
    extracted = FlowExtractor([compiled]).extract([log("Filled", 1, network="beta")])
    assert extracted.found == {}
    assert [signal.labels["step"] for signal in extracted.signals] == ["fill"]


def test_where_that_says_no_comes_before_a_missing_sibling() -> None:
    large = {"where": "amount > 100", "with": {"terms": {"event": "Terms", "pick": "before"}}}
    fill = flow(fill=large | {"origin": "terms.from"})
    assert FlowExtractor([fill]).extract([log("Filled", 1, network="beta")]) == ({}, [])
    either = flow(fill=large | {"where": "amount > 100 and terms.amount > 5"})
    assert FlowExtractor([either]).extract([log("Filled", 1, network="beta")]) == ({}, [])
    failed = FlowExtractor([either]).extract([log("Filled", 1, network="beta", amount=101)])
    assert len(failed.signals) == 1


def test_an_opening_left_out_is_known_where_its_key_needs_no_sibling() -> None:
    terms = {"terms": {"event": "Terms", "pick": "before"}}
    compiled = flow(opens={"where": "amount > 100", "with": terms})
    extracted = FlowExtractor([compiled]).extract([log("Sent", 1, amount=5)])
    ((opening,),) = extracted.found.values()
    assert opening.facts[EXCLUDED]
    assert extracted.signals == []


def test_conditions_choose_among_siblings() -> None:
    events = [log("Terms", 0, amount=500), log("Terms", 1, amount=3), log("Sent", 2)]
    assert amounts(joined(where="amount >= 100"), *events) == ({"7": 500}, [])
    assert amounts(joined("only", where="amount >= 100"), *events) == ({"7": 500}, [])
    found, (signal,) = amounts(joined(where="amount > 1000"), *events)
    assert found == {}
    assert "that satisfies `amount > 1000`" in signal.annotations["description"]


def test_a_sibling_whose_condition_has_no_answer_matters_only_where_it_would_be_picked() -> None:
    compiled = joined(where="100 // amount > 0")
    events = [
        log("Terms", 0, amount=0),
        log("Sent", 1, id=1),
        log("Terms", 2, amount=5),
        log("Sent", 3, id=2),
    ]
    found, (signal,) = amounts(compiled, *events)
    assert found == {"2": 5}
    assert "division by zero" in signal.annotations["description"]


def test_every_value_of_a_step_may_come_from_siblings() -> None:
    terms = {"with": {"terms": {"event": "Terms", "pick": "before"}}}
    compiled = flow(
        key=["terms.from", "id"],
        opens=terms | {"origin": "terms.from", "destination": "terms.to", "amount": "terms.amount * 2"},
        fill=terms
        | {"origin": "terms.from", "assert": "terms.amount == opening.terms.amount and terms.log.index == 0"},
        settle={"key": ["from", "id"]},
    )
    made: list[Occurrence] = []
    for network, name in (("alpha", "Sent"), ("beta", "Filled")):
        events = [log("Terms", 0, network=network, from_=1, to=2, amount=50), log(name, 1, network=network)]
        ((key, (one,)),) = FlowExtractor([compiled]).extract(events).found.items()
        assert key == ("bridge", "1/7")
        made.append(one)
    opening, filled = made
    assert opening.facts == {ORIGIN: "alpha", DESTINATION: "beta", AMOUNT: 100, "terms.amount": 50}
    assert filled.facts == {ORIGIN: "alpha", "terms.amount": 50, "terms.log.index": 0}
    assertion = compiled.expected[0].assertion
    assert assertion is not None
    assert assertion.evaluate_facts(filled.facts, opening.facts)
    assert not assertion.evaluate_facts(filled.facts, opening.facts | {"terms.amount": 51})


def test_the_emitter_of_a_sibling_is_known() -> None:
    compiled = joined(amount="uint(terms.emitter)")
    assert amounts(compiled, log("Terms", 0), log("Sent", 1)) == ({"7": int("01" * 20, 16)}, [])


def test_siblings_are_watched_and_what_is_read_of_them() -> None:
    watched = {one.signature: one.reads for one in FlowExtractor([joined(where="to > 1")]).watched}
    assert watched[EVENTS["Terms"].signature] == {("amount",), ("to",)}


def test_events_in_any_order_and_twice_have_the_same_siblings() -> None:
    events = [
        log("Terms", 0, amount=1),
        log("Sent", 1, id=1),
        log("Terms", 2, amount=2),
        log("Sent", 3, id=2),
    ]
    for pick in ("before", "after"):
        assert amounts(joined(pick), *events[::-1], *events) == amounts(joined(pick), *events, *events)


def test_siblings_may_stand_beside_the_events() -> None:
    extracted = FlowExtractor([joined()]).extract([log("Sent", 1)], [log("Terms", 0, amount=5)])
    assert [o.facts[AMOUNT] for some in extracted.found.values() for o in some] == [5]


def test_a_transaction_of_very_many_events_takes_no_quadratic_time() -> None:
    """S10."""
    events = [log("Terms" if n % 2 else "Sent", n, id=n) for n in range(10_000)]
    for pick in ("before", "after", "only"):
        compiled = joined(pick, where="amount != 100")  # none is: each would be looked at for each
        with effort_within(5):
            assert amounts(compiled, *events)[0] == {}


# --- what is refused ------------------------------------------------------------------------------------


def problems(**changes: Any) -> list[tuple[str, str, str]]:
    with pytest.raises(FlowError) as failure:
        flow(**changes)
    return [(".".join(map(str, p.path)), p.message, p.hint) for p in failure.value.problems]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("amount", "Sent has an argument amount"),
        ("transaction", "has a meaning of its own"),
        ("opening", "has a meaning of its own"),
        ("event", "has a meaning of its own"),
        ("network", "has a meaning of its own"),
        ("True", "has a meaning of its own"),
        ("the-terms", "cannot be read in an expression"),
        ("1st", "cannot be read in an expression"),
    ],
)
def test_a_name_that_means_something_else_is_refused(name: str, message: str) -> None:
    ((path, what, hint),) = problems(opens={"with": {name: {"event": "Terms", "pick": "before"}}})
    assert path == f"flows.bridge.opens.with.{name}"
    assert message in what
    assert hint


def test_an_unknown_event_is_refused() -> None:
    ((path, what, _),) = problems(fill={"with": {"terms": {"event": "Term", "pick": "before"}}})
    assert (path, what) == ("flows.bridge.expects.0.with.terms.event", "there is no event Term")


@pytest.mark.parametrize(
    ("amount", "parts"),
    [
        ("terms.amout", ["terms (Terms) has no field amout", "did you mean amount?"]),
        ("term.amount", ["Sent has no field term", "did you mean terms?"]),
        ("terms", ["terms is a whole event, Terms", "terms.from"]),
        ("terms.amount + terms.nothing", ["terms (Terms) has no field nothing"]),
        ("terms.block.number", ["terms (Terms) has no field block"]),
    ],
)
def test_an_unknown_value_of_a_sibling_is_refused(amount: str, parts: list[str]) -> None:
    terms = {"terms": {"event": "Terms", "pick": "before"}}
    ((path, what, hint),) = problems(opens={"with": terms, "amount": amount})
    assert path == "flows.bridge.opens.amount"
    for part in parts:
        assert part in what + hint


def test_a_siblings_own_condition_reads_the_sibling_alone() -> None:
    terms = {"terms": {"event": "Terms", "pick": "before", "where": "id == 7"}}
    ((path, what, _),) = problems(opens={"with": terms})
    assert path == "flows.bridge.opens.with.terms.where"
    assert "Terms has no field id" in what


def test_a_sibling_of_the_opening_is_not_one_of_a_later_step() -> None:
    terms = {"terms": {"event": "Terms", "pick": "before"}}
    assert problems(opens={"with": terms}, fill={"amount": "terms.amount"})
    assert problems(opens={"with": terms}, fill={"assert": "amount == terms.amount"})
    flow(opens={"with": terms}, fill={"assert": "amount == opening.terms.amount"})


def test_a_part_of_the_key_that_a_sibling_has_is_not_searched_by() -> None:
    terms = {"with": {"terms": {"event": "Terms", "pick": "before"}}}
    compiled = flow(key=["id", "terms.from"], opens=terms, fill=terms, settle=terms)
    assert compiled.search is not None
    assert flow(key="terms.from", opens=terms, fill=terms, settle=terms).search is None


@pytest.mark.parametrize("pick", ["before", "after", "only"])
def test_types_of_siblings_are_checked(pick: Pick) -> None:
    join = Join("terms", "bridge", EVENTS["Terms"], pick)
    value = compile_value("terms.amount", Scope(EVENTS["Sent"], {"terms": join}), {})
    assert value.type == "uint256"
    assert value.path is None


# --- contracts and networks ---------------------------------------------------------------------------------


def planned(folder: Path, sibling: str, terms_on: str, opens: str = "") -> Plan:
    """Of a file whose flow is on alpha and beta, and ``terms`` where ``terms_on`` says."""
    abi = [_abi_entry("Sent", id="uint256", to="uint256"), _abi_entry("Filled", id="uint256")]
    (folder / "bridge.json").write_text(json.dumps(abi))
    (folder / "terms.json").write_text(json.dumps([_abi_entry("Terms", amount="uint256")]))
    file = folder / "config.toml"
    file.write_text(
        "".join(
            f'[networks.{n}]\nchain_id = {i}\nrpc = ["http://node"]\n' for i, n in enumerate(NAMES[:2], 1)
        )
        + f"""
[contracts.bridge]
abi = "bridge.json"
address = "0x{"11" * 20}"
[contracts.terms]
abi = "terms.json"
address = {terms_on}
[flows.bridge]
contract = "bridge"
key = "id"
[flows.bridge.opens]
step = "send"
event = "Sent"
destination = "to"
amount = "terms.amount"
{opens}
with.terms = {sibling}
[[flows.bridge.expects]]
step = "fill"
event = "Filled"
within = "1h"
[receivers.console]
provider = "console"
[[routes]]
receivers = ["console"]
"""
    )
    return load_plan(file, {})


def _abi_entry(name: str, **arguments: str) -> dict[str, Any]:
    inputs = [{"name": argument, "type": kind, "indexed": False} for argument, kind in arguments.items()]
    return {"type": "event", "name": name, "anonymous": False, "inputs": inputs}


ON_BOTH, ON_BETA = f'"0x{"22" * 20}"', f'{{ beta = "0x{"22" * 20}" }}'
TERMS = '{ event = "Terms", contract = "terms", pick = "before" }'


def test_a_sibling_of_another_contract_is_watched_and_counts_for_since_when_the_step_is(
    tmp_path: Path,
) -> None:
    plan = planned(tmp_path, TERMS, ON_BOTH)
    assert not plan.warnings
    assert {contract.name for contract in plan.watches["alpha"].contracts} == {"bridge", "terms"}
    opening = plan.flows[0].opening
    sources = sources_of(plan.flows, plan.watches)["alpha", "bridge", opening.watched_as]
    assert {address for address, _ in sources} == {b"\x11" * 20, b"\x22" * 20}


@pytest.mark.parametrize(
    ("sibling", "path", "parts"),
    [
        (TERMS.replace("Terms", "Term"), "event", ['did you mean "Terms"?']),
        (
            TERMS.replace('"terms"', '"term"'),
            "contract",
            ['no contract is called "term"', 'did you mean "terms"?'],
        ),
        (TERMS.replace("before", "befor"), "pick", ['did you mean "before"?']),
        (TERMS.replace("pick", "pik"), "pik", ["did you mean"]),
        ('{ event = "Terms", contract = "terms" }', "pick", ["missing"]),
    ],
)
def test_a_mistake_in_a_sibling_is_reported_where_it_is(
    tmp_path: Path, sibling: str, path: str, parts: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        planned(tmp_path, sibling, ON_BOTH)
    (problem,) = caught.value.problems
    assert problem.path == ("flows", "bridge", "opens", "with", "terms", path)
    for part in parts:
        assert part in f"{problem.message} {problem.hint}"


def test_a_sibling_that_is_never_in_the_same_transaction_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no transaction has both events"):
        planned(tmp_path, TERMS, ON_BETA, 'on = "alpha"')


def test_a_sibling_that_is_not_on_every_network_of_the_step_is_doubtful(tmp_path: Path) -> None:
    (warning,) = planned(tmp_path, TERMS, ON_BETA).warnings
    assert "contract 'terms' has no address on alpha: each event Sent there cannot be judged" in warning
