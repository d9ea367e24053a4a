"""Which events are steps of which transfers, and what is said of a flow that does not compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chainwatch.checker.compiler import FlowError
from chainwatch.checker.flow import (
    AMOUNT,
    DESTINATION,
    EXCLUDED,
    FAILED_CHECKS,
    ORIGIN,
    Flow,
    extract,
    index_steps,
)
from chainwatch.config import NetworkSettings
from chainwatch.model import AbiEvent, AbiParam, Event, Occurrence
from tests.support.flows import EVENTS, NETWORKS, event, flow


def found(compiled: Flow, *events: Event) -> dict[tuple[str, str], list[Occurrence]]:
    extracted = extract(index_steps([compiled]), events)
    assert not extracted.signals
    return extracted.found


def problems(compile_it: Callable[[], Any]) -> dict[str, str]:
    """Path to message and hint of every problem."""
    with pytest.raises(FlowError) as refused:
        compile_it()
    return {".".join(map(str, p.path)): f"{p.message} {p.hint}".strip() for p in refused.value.problems}


def with_param(name: str, param: AbiParam) -> dict[str, AbiEvent]:
    """The bridge's events, one of them with another parameter."""
    return EVENTS | {name: AbiEvent(name, (*EVENTS[name].inputs, param))}


# --- steps --------------------------------------------------------------------------------------------


def test_an_event_becomes_a_step_of_the_transfer_that_its_key_names() -> None:
    sent = event("alpha", "Sent", 1000, log_index=4, id=2**256 - 1)

    ((key, (occurrence,)),) = found(flow(), sent).items()

    assert key == ("bridge", str(2**256 - 1))
    assert (occurrence.step, occurrence.network, occurrence.block, occurrence.log_index) == (
        "send",
        "alpha",
        1000,
        4,
    )
    assert (occurrence.timestamp, occurrence.tx_hash) == (1000, sent.log.tx_hash)
    assert occurrence.facts == {ORIGIN: "alpha", DESTINATION: "beta", AMOUNT: 100}


def test_an_event_of_another_contract_or_of_no_flow_is_no_step() -> None:
    sent = event("alpha", "Sent", 1000)

    assert found(flow(), sent._replace(contract="other"), sent._replace(signature="Sent()")) == {}


def test_an_event_that_does_not_meet_the_condition_is_no_step() -> None:
    compiled = flow(fill={"where": "amount >= 10**2"})

    assert found(compiled, event("beta", "Filled", 1, amount=99)) == {}
    assert found(compiled, event("beta", "Filled", 1, amount=100)) != {}


def test_an_opening_that_does_not_meet_the_condition_is_remembered_as_left_out() -> None:
    compiled = flow(opens={"where": "amount >= 10**2"})

    ((_, (left_out,)),) = found(compiled, event("alpha", "Sent", 1, amount=99)).items()
    ((_, (counted,)),) = found(compiled, event("alpha", "Sent", 1, amount=100)).items()

    assert (EXCLUDED in left_out.facts, EXCLUDED in counted.facts) == (True, False)


def test_an_event_for_both_ends_is_only_the_step_that_its_condition_chooses() -> None:
    compiled = flow(opens={"where": "amount < 10"}, fill={"event": "Sent", "where": "amount >= 10"})

    ((_, steps),) = found(compiled, event("beta", "Sent", 1, amount=10)).items()

    assert [(o.step, EXCLUDED in o.facts) for o in steps] == [("fill", False)]


def test_an_opening_on_one_network_only_does_not_count_on_others() -> None:
    compiled = flow(opens={"on": "gamma"})

    assert found(compiled, event("alpha", "Sent", 1)) == {}
    assert found(compiled, event("gamma", "Sent", 1)) != {}
    assert compiled.origins == ("gamma",)


def test_one_event_can_be_a_step_of_several_flows_and_several_steps_of_one() -> None:
    first = flow(name="first")
    second = flow(name="second", key=["id", "from"], settle={"event": "Filled", "where": "amount > 5"})
    steps = index_steps([first, second])

    keys = extract(steps, [event("beta", "Filled", 1)]).found

    assert {k: [o.step for o in v] for k, v in keys.items()} == {
        ("first", "7"): ["fill"],
        ("second", "7/1"): ["fill", "settle"],
    }


def test_values_in_events_name_networks_by_the_configured_attribute() -> None:
    compiled = flow(network_by="domain")

    ((_, (occurrence,)),) = found(compiled, event("alpha", "Sent", 1, from_=1001, to=1003)).items()

    assert (occurrence.facts[ORIGIN], occurrence.facts[DESTINATION]) == ("alpha", "gamma")


def test_a_value_that_names_no_network_is_kept_with_a_mark() -> None:
    ((_, (occurrence,)),) = found(flow(), event("alpha", "Sent", 1, to=99)).items()

    assert occurrence.facts[DESTINATION] == "?99"


def test_a_networks_name_wins_over_a_path_of_the_same_name() -> None:
    abi = with_param("Sent", AbiParam("gamma", "uint256"))
    compiled = flow(opens={"destination": "gamma"}, events=abi)

    ((_, (occurrence,)),) = found(compiled, event("alpha", "Sent", 1, events=abi, gamma=2)).items()

    assert occurrence.facts[DESTINATION] == "gamma"


def test_bytes_and_text_can_name_networks_too() -> None:
    networks = {
        name: NetworkSettings.model_validate(
            {"name": name, "chain_id": i, "rpc": ["http://node"], "tag": f"0x{i:02x}"}
        )
        for i, name in enumerate(("alpha", "beta"), 1)
    }
    abi = with_param("Sent", AbiParam("tag", "bytes1"))
    compiled = flow(
        opens={"origin": None, "destination": "tag"},
        fill={"origin": None},
        settle={"origin": None},
        network_by="tag",
        events=abi,
        networks=networks,
    )
    sent = event("alpha", "Sent", 1)._replace(signature=abi["Sent"].signature)
    sent.args["tag"] = b"\x02"

    ((_, (occurrence,)),) = found(compiled, sent).items()

    assert occurrence.facts[DESTINATION] == "beta"


def test_an_event_that_lacks_a_value_that_the_flow_names_is_reported_and_counts_for_nothing() -> None:
    compiled = flow(opens={"amount": "parts[0]"})

    extracted = extract(index_steps([compiled]), [event("alpha", "Sent", 5), event("beta", "Filled", 6)])

    assert list(extracted.found) == [("bridge", "7")]
    (trouble,) = extracted.signals
    assert trouble.labels == {
        "alertname": "RuleFailed",
        "flow": "bridge",
        "step": "send",
        "network": "alpha",
        "severity": "P2",
    }
    assert trouble.starts_at == 5
    assert "parts[0]" in trouble.annotations["description"]


def test_a_built_in_check_leaves_what_it_found_wrong_with_the_event() -> None:
    abi = EVENTS | {
        "Filled": AbiEvent(
            "Filled",
            (
                *EVENTS["Filled"].inputs,
                AbiParam("messageHash", "bytes32"),
                AbiParam("messageBody", "bytes"),
            ),
        )
    }
    compiled = flow(fill={"verify": ["connext.message_hash"]}, events=abi)
    fill = event("beta", "Filled", 1)._replace(signature=abi["Filled"].signature)
    fill.args.update(messageHash=bytes(32), messageBody=b"hello")

    ((_, (occurrence,)),) = found(compiled, fill).items()

    assert "messageHash" in occurrence.facts[FAILED_CHECKS]["connext.message_hash"]


# --- keys ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("abi_type", "value", "text"),
    [
        ("uint256", 2**256 - 1, str(2**256 - 1)),
        ("int256", -5, "-5"),
        ("bytes32", b"\xab" * 32, "0x" + "ab" * 32),
        ("bytes", b"", "0x"),
        ("address", "0x" + "Cd" * 20, "0x" + "Cd" * 20),
        ("bool", True, "true"),
        ("string", "plain", "plain"),
        ("string", "a/b%c d", "a%2Fb%25c d"),
        ("string", "\x00\n", "%00%0A"),
    ],
)
def test_a_key_is_written_as_people_write_such_values(abi_type: str, value: object, text: str) -> None:
    assert key_of(abi_type, value) == text


def test_different_texts_never_make_the_same_key() -> None:
    texts = ["\x1fff", "\u1fff", "%1fff", "%1Fff", "a/b", "a%2Fb", "\ud800", "\u0085", "%C2%85"]

    assert len({key_of("string", text) for text in texts}) == len(texts)


def key_of(abi_type: str, value: object) -> str:
    part = AbiParam("part", abi_type)
    abi = {name: AbiEvent(name, (*one.inputs, part)) for name, one in EVENTS.items()}
    compiled = flow(key=["part"], events=abi)
    sent = event("alpha", "Sent", 1)._replace(signature=abi["Sent"].signature)
    sent.args["part"] = value
    ((_, key),) = found(compiled, sent)
    return key


def test_a_composite_key_joins_its_parts() -> None:
    assert list(found(flow(key=["from", "id"]), event("alpha", "Sent", 1))) == [("bridge", "1/7")]


def test_a_key_can_have_the_network_of_the_event_as_a_part() -> None:
    """A deposit is numbered per chain, and the fill elsewhere names that chain."""
    compiled = flow(key=["from", "id"], opens={"key": ["network.chain_id", "id"], "origin": None})

    keys = found(compiled, event("gamma", "Sent", 1, from_=1), event("beta", "Filled", 2, from_=3))

    assert list(keys) == [("bridge", "3/7")]


# --- the search for an opening ------------------------------------------------------------------------


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_openings_are_searched_by_the_indexed_arguments_that_the_key_has() -> None:
    assert flow().search_topics(["7", "9", "7"]) == [(word(7), word(9))]


def test_openings_are_searched_past_a_part_of_the_key_that_is_the_network() -> None:
    compiled = flow(key=["from", "id"], opens={"key": ["network.chain_id", "id"]})

    assert compiled.search_topics(["3/7", "3/8"]) == [(word(7), word(8))]


@pytest.mark.parametrize(
    ("abi_type", "text", "topic"),
    [
        ("int8", "-1", b"\xff" * 32),
        ("bool", "true", word(1)),
        ("bool", "false", word(0)),
        ("bytes4", "0x01020304", bytes.fromhex("01020304") + bytes(28)),
        ("address", "0x" + "Cd" * 20, bytes(12) + b"\xcd" * 20),
    ],
)
def test_each_kind_of_key_is_searched_by_the_topic_that_the_abi_gives_it(
    abi_type: str, text: str, topic: bytes
) -> None:
    sent = AbiEvent(
        "Sent",
        (
            AbiParam("other", "uint256", indexed=True),
            AbiParam("id", abi_type, indexed=True),
            AbiParam("from", "uint256"),
            AbiParam("to", "uint256"),
            AbiParam("amount", "uint256"),
            AbiParam("parts", "uint256[]"),
            AbiParam("last", "uint256", indexed=True),
        ),
    )

    others = {
        name: AbiEvent(name, (AbiParam("id", abi_type), *EVENTS[name].inputs[1:]))
        for name in ("Filled", "Settled")
    }
    assert flow(events={"Sent": sent, **others}).search_topics([text]) == [None, (topic,)]


def test_a_flow_whose_key_is_not_indexed_cannot_be_searched() -> None:
    assert flow(key="amount").search is None


# --- flows that do not compile ------------------------------------------------------------------------


def test_every_problem_of_a_flow_is_reported_at_once_with_its_place() -> None:
    notified = problems(
        lambda: flow(
            opens={"amount": "amont", "where": "amount >", "on": "alfa"},
            fill={"event": "Field", "on": "omega"},
            settle={"key": ["id", "from"], "assert": "amount == opening.nothing", "on": "bta"},
            verify=["connext.transfer"],
        )
    )

    assert set(notified) == {
        "flows.bridge.opens.amount",
        "flows.bridge.opens.where",
        "flows.bridge.opens.on",
        "flows.bridge.expects.0.event",
        "flows.bridge.expects.1.key",
        "flows.bridge.expects.1.assert",
        "flows.bridge.expects.1.on",
        "flows.bridge.verify.0",
    }
    assert "did you mean amount" in notified["flows.bridge.opens.amount"]
    assert "did you mean alpha" in notified["flows.bridge.opens.on"]
    assert "did you mean beta" in notified["flows.bridge.expects.1.on"]
    assert "Field" in notified["flows.bridge.expects.0.event"]


def test_a_step_expected_on_the_destination_needs_one() -> None:
    notified = problems(lambda: flow(opens={"destination": None}))

    assert "destination" in notified["flows.bridge.expects.0.on"]


@pytest.mark.parametrize("place", ["key", "origin", "destination", "amount", "asset"])
def test_a_path_to_an_array_is_refused_where_one_value_is_needed(place: str) -> None:
    notified = problems(lambda: flow(opens={place: "parts"}))

    (message,) = notified.values()
    assert "single value" in message


def test_an_element_of_an_array_is_one_value() -> None:
    assert flow(opens={"amount": "parts[0]"}).name == "bridge"


def test_a_networks_name_that_is_neither_name_nor_path_is_reported_with_the_nearest() -> None:
    notified = problems(lambda: flow(opens={"destination": "gama"}))

    assert "did you mean gamma" in notified["flows.bridge.opens.destination"]


def test_a_part_of_a_key_that_some_network_lacks_is_reported() -> None:
    notified = problems(lambda: flow(opens={"key": ["network.shard"]}))

    assert notified == {"flows.bridge.opens.key": "network alpha has no attribute 'shard'"}


def test_a_check_whose_fields_no_event_of_the_flow_has_is_reported() -> None:
    notified = problems(lambda: flow(verify=["connext.message_hash"]))

    assert "connext.message_hash" in notified["flows.bridge.verify.0"]


def test_a_check_of_a_step_that_lacks_its_fields_is_reported() -> None:
    notified = problems(lambda: flow(fill={"verify": ["connext.message_hash"]}))

    assert "messageHash" in notified["flows.bridge.expects.0.verify.0"]


def test_origins_are_the_networks_that_the_opening_contract_is_on() -> None:
    assert flow().origins == tuple(NETWORKS)
