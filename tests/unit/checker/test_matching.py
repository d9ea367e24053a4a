"""How events find their transfers beyond a key of their own: elements of arrays, aliases, numbers; and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chainwatch.checker.compiler import FlowError
from chainwatch.checker.flow import Flow, FlowExtractor
from chainwatch.checker.transfer_keys import event_key, numbered_key, unknown_alias_key, unopened_key
from chainwatch.model import AbiEvent, AbiParam, Event, Occurrence
from tests.support.effort import effort_within
from tests.support.flows import EVENTS, event, flow

BATCHED = EVENTS | {
    "Filled": AbiEvent(
        "Filled",
        (
            AbiParam("from", "uint256"),
            AbiParam(
                "paid", "tuple[]", components=(AbiParam("id", "uint256"), AbiParam("amount", "uint256"))
            ),
            AbiParam("ids", "uint256[]"),
        ),
    ),
}


def batched(**fill: Any) -> Flow:
    return flow(events=BATCHED, fill={"each": "paid", "key": "item.id", "amount": "item.amount"} | fill)


def paid(*payments: tuple[int, int]) -> Event:
    some = [{"id": number, "amount": amount} for number, amount in payments]
    made = event("beta", "Filled", 100, events=BATCHED, paid=some, ids=[], parts=[])
    return made._replace(signature=BATCHED["Filled"].signature)


def found(compiled: Flow, *events: Event) -> dict[str, list[tuple[str, int, Any]]]:
    extracted = FlowExtractor([compiled]).extract(events)
    assert extracted.signals == []
    return {
        key: [(o.step, o.item, o.facts.get("@amount")) for o in occurrences]
        for (_, key), occurrences in extracted.found.items()
    }


def test_each_element_of_an_array_is_the_step_of_a_transfer_of_its_own() -> None:
    assert found(batched(), paid((7, 100), (8, 200), (7, 300))) == {
        "7": [("fill", 0, 100), ("fill", 2, 300)],
        "8": [("fill", 1, 200)],
    }


def test_an_array_of_plain_values_and_the_position_within_it() -> None:
    compiled = batched(each="ids", key=["item"], amount="item_index")
    made = event("beta", "Filled", 100, events=BATCHED, paid=[], ids=[5, 6], parts=[])
    assert found(compiled, made._replace(signature=BATCHED["Filled"].signature)) == {
        "5": [("fill", 0, 0)],
        "6": [("fill", 1, 1)],
    }


def test_where_chooses_elements_and_an_empty_array_is_nothing() -> None:
    compiled = batched(where="item.amount > 100")
    assert list(found(compiled, paid((7, 100), (8, 200)))) == ["8"]
    assert found(compiled, paid()) == {}


def test_only_the_array_of_an_element_is_decoded() -> None:
    compiled = batched(origin=None)
    assert compiled.reads[BATCHED["Filled"].signature] == {("paid",)}


def test_elements_without_a_value_are_one_alert_and_the_others_count() -> None:
    compiled = batched(where="100 // item.amount > 0")
    extracted = FlowExtractor([compiled]).extract([paid((7, 0), (8, 0), (9, 50))])
    assert [key for _, key in extracted.found] == ["9"]
    assert [s.labels["alertname"] for s in extracted.signals] == ["FlowEvaluationFailed"]


@pytest.mark.slow
def test_a_hundred_thousand_elements_take_a_few_seconds() -> None:
    big = paid(*((number, 1) for number in range(100_000)))
    with effort_within(10):
        assert len(found(batched(), big)) == 100_000


def test_opening_steps_may_be_elements_and_be_named_by_later_assertions() -> None:
    sent = AbiEvent("Sent", (*EVENTS["Sent"].inputs[:4], AbiParam("parts", "uint256[]")))
    compiled = flow(
        events=EVENTS | {"Sent": sent},
        opens={"each": "parts", "key": "item", "amount": None},
        fill={"assert": "amount == opening.item"},
    )
    made = event("alpha", "Sent", 100, parts=[7, 8])._replace(signature=sent.signature)
    extracted = FlowExtractor([compiled]).extract([made])
    assert {key: o[0].facts["item"] for (_, key), o in extracted.found.items()} == {"7": 7, "8": 8}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"fill": {"each": "amount"}}, "amount is uint256, not an array"),
        ({"fill": {"each": "amounts"}}, "has no field amounts"),
        ({"opens": {"each": "parts"}, "fill": {"event": "Sent"}}, "opens transfers too"),
        ({"settle": {"by": "fil"}}, "there is no step 'fil' with an alias"),
        ({"fill": {"alias": "amount", "by": "settle"}, "settle": {"alias": "id"}}, "cannot give another"),
        ({"fill": {"alias": ["id", "amount"]}, "settle": {"by": "fill", "key": "id"}}, "alias of fill has 2"),
        ({"fill": {"alias": "amounts"}}, "has no field amounts"),
    ],
)
def test_what_cannot_be_is_refused_where_it_stands(changes: Any, problem: str) -> None:
    with pytest.raises(FlowError, match=problem):
        flow(**changes)


def test_an_alias_must_be_of_the_same_type_at_both_ends() -> None:
    filled = AbiEvent("Filled", (*EVENTS["Filled"].inputs, AbiParam("command", "bytes32")))
    with pytest.raises(FlowError, match="command of Filled, which it must equal, is bytes32"):
        flow(
            events=EVENTS | {"Filled": filled},
            fill={"alias": "command"},
            settle={"by": "fill", "key": "amount"},
        )


@pytest.mark.parametrize("key", ["7", "a#2", "1/0xab", "#", "a#", "a%252"])
def test_keys_of_transfers_are_all_different_and_lead_back_to_those_of_events(key: str) -> None:
    names = [numbered_key(key, number) for number in (1, 2, 12)]
    assert [event_key(name) for name in names] == [key] * 3
    assert len({*names, unknown_alias_key(key, "approve"), numbered_key(key + "#2", 1)}) == 5


def test_the_key_of_a_step_without_opening_says_where_it_is() -> None:
    here = Occurrence("fill", "beta", 120, 4, 1000, b"", {})
    assert unopened_key("a#b", here) == "a%23b#beta:120:4"
    for one in (here, replace(here, item=3), replace(here, network="a:1#b")):
        assert event_key(unopened_key("a#b", one)) == "a#b"
    assert unopened_key("7", replace(here, item=3)) == "7#beta:120:4:3"
