"""Flows whose keys, networks, amounts and assets are computed: what their events become, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from chainwatch.checker.compiler import FlowError
from chainwatch.checker.flow import (
    AMOUNT,
    ASSET,
    DESTINATION,
    EXCLUDED,
    ORIGIN,
    Flow,
    FlowExtractor,
)
from chainwatch.config import FlowSettings, NetworkSettings, Settings, StoreSettings
from chainwatch.flows.fingerprints import fingerprints
from chainwatch.model import AbiEvent, AbiParam, Event, to_hex
from tests.support.flows import EVENTS, NETWORKS, event, flow

USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
PACKET = AbiEvent("Sent", (AbiParam("packet", "bytes"), AbiParam("id", "uint256", indexed=True)))
DELIVERED = AbiEvent(
    "Filled",
    (
        AbiParam("origin", "tuple", components=(AbiParam("eid", "uint32"), AbiParam("sender", "bytes32"))),
        AbiParam("receiver", "address"),
        AbiParam("id", "uint256", indexed=True),
        AbiParam("hash", "bytes32"),
    ),
)
SETTLED = AbiEvent("Settled", (AbiParam("id", "bytes32"), AbiParam("from", "uint256")))
PACKETS = EVENTS | {"Sent": PACKET, "Filled": DELIVERED, "Settled": SETTLED}
"""A packet is origin u32, destination u32, sender b32, receiver b32, amount u64."""

SENDER, RECEIVER = bytes(range(32)), bytes(12) + bytes.fromhex(USDC[2:])
KEY = ["uint(packet[0:4])", "packet[8:40]", "address(packet[40:72])", "uint(packet[4:8])"]


def packet(origin: int = 1001, destination: int = 1002, amount: int = 500) -> bytes:
    return origin.to_bytes(4) + destination.to_bytes(4) + SENDER + RECEIVER + amount.to_bytes(8)


def packets(**changes: Any) -> Flow:
    """A mesh of networks that know each other by ``domain``: no event names both ends in the same way."""
    settings: dict[str, Any] = {
        "key": KEY,
        "network_by": "domain",
        "events": PACKETS,
        "opens": {
            "origin": "uint(packet[:4])",
            "destination": "uint(packet[4:8])",
            "amount": "uint(packet[72:80]) * 10**12",
            "asset": "address(packet[40:72])",
        },
        "fill": {
            "origin": "origin.eid",
            "key": ["origin.eid", "origin.sender", "receiver", "network.domain"],
            "assert": "hash == keccak(opening.packet[40:])",
        },
        "settle": {"key": ["from", "bytes32(id)", "emitter", "network.domain + 0"]},
    }
    merged = {
        name: settings.get(name, {}) | change if isinstance(change, dict) else change
        for name, change in changes.items()
    }
    return flow(**{**settings, **merged})


def sent(raw: bytes, network: str = "alpha") -> Event:
    return event(network, "Sent", 1000, events=PACKETS, packet=raw)


def test_a_mesh_is_one_flow_where_both_ends_compute_the_same_key() -> None:
    opening = sent(packet())
    filled = event(
        "beta",
        "Filled",
        1010,
        events=PACKETS,
        origin={"eid": 1001, "sender": SENDER},
        receiver=USDC,
        hash=b"",
    )
    extracted = FlowExtractor([packets()]).extract([opening, filled])
    assert not extracted.signals
    ((key, (first, second)),) = extracted.found.items()
    assert key == ("bridge", f"1001/{to_hex(SENDER)}/{USDC}/1002")
    assert first.facts == {
        ORIGIN: "alpha",
        DESTINATION: "beta",
        AMOUNT: 500 * 10**12,
        ASSET: USDC,
        "keccak(opening.packet[40:])": keccak(packet()[40:]),
    }
    assert second.facts == {ORIGIN: "alpha", "hash": b""}


def test_a_network_that_is_not_configured_is_named_by_its_number() -> None:
    ((opening,),) = FlowExtractor([packets()]).extract([sent(packet(destination=9))]).found.values()
    assert opening.facts[DESTINATION] == "?9"


def test_a_network_is_named_by_text_in_either_case() -> None:
    named = {
        name: NetworkSettings.model_validate(
            {"name": name, "chain_id": n.chain_id, "rpc": ["http://node"], "axelar": name.capitalize()}
        )
        for name, n in NETWORKS.items()
    }
    call = AbiEvent("Sent", (AbiParam("id", "uint256", indexed=True), AbiParam("to", "string")))
    compiled = flow(
        events=EVENTS | {"Sent": call},
        networks=named,
        network_by="axelar",
        opens={"origin": None, "amount": None},
        fill={"origin": None},
        settle={"origin": None},
    )
    for written, known in (("beta", "beta"), ("Beta", "beta"), ("BETA", "beta"), ("Mars", "?Mars")):
        sent = Event(
            "alpha", "bridge", "Sent", call.signature, {"id": 7, "to": written}, event("alpha", "Sent", 1).log
        )
        ((opening,),) = FlowExtractor([compiled]).extract([sent]).found.values()
        assert opening.facts[DESTINATION] == known


def test_an_event_without_the_value_is_an_alert_with_its_transaction_and_no_transfer() -> None:
    short = sent(packet()[:39])
    extracted = FlowExtractor([packets()]).extract([short, sent(packet())])
    assert len(extracted.found) == 1
    (signal,) = extracted.signals
    assert signal.labels["alertname"] == "FlowEvaluationFailed"
    assert signal.annotations["tx_hash"] == to_hex(short.log.tx_hash)
    assert "is beyond the end of 39 bytes" in signal.annotations["description"]


def test_an_opening_that_where_leaves_out_need_not_have_the_values() -> None:
    compiled = packets(opens={"where": "len(packet) == 80", "destination": "uint(packet[4:8])"})
    foreign, own = sent(b"of another app"), sent(packet())
    extracted = FlowExtractor([compiled]).extract([foreign, own])
    assert not extracted.signals
    assert [len(found) for found in extracted.found.values()] == [1]
    left_out = packets(opens={"where": "len(packet) == 79"})
    ((kept,),) = FlowExtractor([left_out]).extract([own]).found.values()
    assert kept.facts[EXCLUDED] is True


def test_decoders_make_what_expressions_read() -> None:
    reads = packets().reads
    assert reads[PACKET.signature] == {("packet",)}
    assert reads[DELIVERED.signature] >= {("origin", "eid"), ("origin", "sender"), ("receiver",), ("hash",)}
    assert ("id",) in reads[SETTLED.signature]


def test_only_plain_parts_of_a_key_are_searched_for() -> None:
    assert packets().search is None
    some = flow(key=["id", "uint(id + 1)"], fill={"key": ["id", "id"]}, settle={"key": ["id", "id"]})
    assert some.search_topics(["7/8"]) == [((7).to_bytes(32),)]
    assert flow(key="uint(id)").search is None


@pytest.mark.parametrize(
    ("changes", "path", "problem"),
    [
        ({"opens": {"destination": "uint(packt[4:8])"}}, "opens.destination", "did you mean packet?"),
        ({"opens": {"amount": "packet[4:8] + 1"}}, "opens.amount", "`packet[4:8]` is bytes4"),
        ({"opens": {"asset": "adress(packet[4:24])"}}, "opens.asset", 'did you mean "address"?'),
        ({"opens": {"destination": "address(packet[4:24])"}}, "opens.destination", "names no network"),
        ({"fill": {"origin": "uint(origin.sender[0:33])"}}, "expects.0.origin", "beyond its end"),
        ({"opens": {"origin": "uint(packet[4])"}}, "opens.origin", "packet[4:5]"),
        (
            {"fill": {"key": ["origin.eid", "receiver", "receiver", "network.domain"]}},
            "expects.0.key",
            "packet[8:40] of Sent, which it must equal, is bytes32",
        ),
        (
            {"fill": {"key": ["origin.eid", "origin.sender", "receiver", "uint(network.domian)"]}},
            "expects.0.key.3",
            'did you mean "domain"?',
        ),
    ],
)
def test_a_wrong_expression_is_refused_where_it_is_written(
    changes: dict[str, Any], path: str, problem: str
) -> None:
    with pytest.raises(FlowError) as refused:
        packets(**changes)
    problems = {".".join(map(str, p.path)): f"{p.message} {p.hint}" for p in refused.value.problems}
    assert problem in problems[f"flows.bridge.{path}"]


def test_a_mistake_in_an_expression_is_shown_with_its_place() -> None:
    with pytest.raises(FlowError) as refused:
        packets(opens={"destination": "uint(packt[4:8])"})
    (shown,) = [p.message for p in refused.value.problems]
    assert "  uint(packt[4:8])\n       ^" in shown


def test_a_changed_expression_or_attribute_is_another_flow() -> None:
    def prints(destination: str, domain: int = 1001) -> Any:
        table = {
            "name": "bridge",
            "contract": "bridge",
            "key": KEY,
            "opens": {"step": "send", "event": "Sent", "destination": destination},
            "expects": [{"step": "fill", "event": "Filled", "within": "30s"}],
        }
        alpha = NETWORKS["alpha"].model_copy(update={"attributes": {"domain": domain}})
        return fingerprints(
            Settings.model_construct(
                folder=Path(),
                store=StoreSettings.model_construct(),
                networks={"alpha": alpha},
                contracts={},
                flows={"bridge": FlowSettings.model_validate(table)},
            )
        )

    assert prints("uint(packet[4:8])") == prints("uint(packet[4:8])")
    assert prints("uint(packet[4:8])") != prints("uint(packet[4:9])")
    assert prints("uint(packet[4:8])") != prints("uint(packet[4:8])", domain=9)
