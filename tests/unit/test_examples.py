"""The worked examples of docs/writing-a-flow.md, run on the logs that their bridges would emit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from chainwatch.chain.decode.abi import load_abi
from chainwatch.init.presets import PRESETS
from chainwatch.init.questions import Given, ask
from chainwatch.init.wizard import create
from chainwatch.plan import Plan, load_plan
from chainwatch.support.keccak import keccak256
from tests.support.pages import ROOT, blocks, variables
from tests.support.past import Past, past

MINUTE, HOUR, DAY = 60, 3600, 86_400
LONG_AFTER = 100 * DAY
"""Far enough from the first watched block that no opening may lie before it."""
USER = bytes.fromhex("11" * 20)
WORD = bytes(12) + USER
PAGE = ROOT / "docs" / "writing-a-flow.md"
HEADINGS = {"across": "Across", "op-stack": "OP-stack withdrawals", "nomad": "Nomad"}
TOPICS = {
    "FundsDeposited": "32ed1a409ef04c7b0227189c3a103dc5ac10e775a15b785dcc510201f7c25ad3",
    "FilledRelay": "44b559f101f8fbcc8a0ea43fa91a05a729a5ea6e14a7c75aa750374690137208",
    "V3FundsDeposited": "a123dc29aebf7d0c3322c8eeb5b999e859f39937950ed31056532713d0de396f",
    "FilledV3Relay": "571749edf1d5c9599318cdbc4e28a6475d65e87fd3b2ddbe1e9a8d5e7a0f0ff7",
    "MessagePassed": "02a52367d10742d8032712c1bb8e0144ff1ec5ffda1ed7d70bb05a2744955054",
    "WithdrawalProven": "67a6208cfcc0801d50f6cbe764733f4fddf66ac0b04442061a8a8c0cb6b63f62",
    "WithdrawalFinalized": "db5c7652857aa163daadd670e116628fb42e869d8ac4251ef8971d9e5727df1b",
    "Upgraded": "bc7cd75a20ee27fd9adebab32041f755214dbc6bffa90cc0225b39da2e5c2d3b",
    "AdminChanged": "7e644d79422f17c01e4894b5f4f588d331ebfa28653d42ae832dc59e38c9798f",
    "Dispatch": "9d4c83d2e57d7d381feb264b44a5015e7f9ef26340f4fc46b558a6dc16dd811a",
    "Process": "d42de95a9b26f1be134c8ecce389dc4fcfa18753d01661b7b361233569e8fe48",
}
"""First topics as they stand on chain."""


class Emission(NamedTuple):
    """What one contract emits on one network."""

    network: str
    contract: str
    event: str
    values: dict[str, Any]


class Bridge(NamedTuple):
    """A bridge: the events of its transfer ``n``, each after so many seconds, and what its steps allow."""

    opens: Callable[[int], Emission]
    steps: list[tuple[str, int, Callable[[int], Emission]]]
    """Step, seconds after the opening, event."""
    within: dict[str, int]
    key: Callable[[int], str]
    origin: str
    destination: str


def deposit(n: int, **changes: Any) -> Emission:
    values = {
        "inputToken": WORD,
        "outputToken": WORD,
        "inputAmount": 2**200 + 1,
        "outputAmount": 2**200,
        "destinationChainId": 8453,
        "depositId": n,
        "quoteTimestamp": 1,
        "fillDeadline": 2,
        "exclusivityDeadline": 0,
        "depositor": WORD,
        "recipient": WORD,
        "exclusiveRelayer": bytes(32),
        "message": b"",
    }
    return Emission("ethereum", "across", "FundsDeposited", values | changes)


def fill(n: int, **changes: Any) -> Emission:
    values = {
        **deposit(n).values,
        "repaymentChainId": 10,
        "originChainId": 1,
        "relayer": WORD,
        "messageHash": bytes(32),
        "relayExecutionInfo": {
            "updatedRecipient": WORD,
            "updatedMessageHash": bytes(32),
            "updatedOutputAmount": 2**200,
            "fillType": 0,
        },
    }
    return Emission("base", "across", "FilledRelay", values | changes)


def identity(n: int) -> bytes:
    return keccak256(n.to_bytes(32, "big"))


def initiate(n: int) -> Emission:
    values = {
        "nonce": n,
        "sender": USER,
        "target": USER,
        "value": 10**18,
        "gasLimit": 21_000,
        "data": b"",
        "withdrawalHash": identity(n),
    }
    return Emission("optimism", "optimism-message-passer", "MessagePassed", values)


def prove(n: int) -> Emission:
    values = {"withdrawalHash": identity(n), "from": USER, "to": USER}
    return Emission("ethereum", "optimism-portal", "WithdrawalProven", values)


def finalize(n: int, success: bool = True) -> Emission:
    values = {"withdrawalHash": identity(n), "success": success}
    return Emission("ethereum", "optimism-portal", "WithdrawalFinalized", values)


def dispatch(n: int, domain: int = 6648936) -> Emission:
    values = {
        "messageHash": identity(n),
        "leafIndex": n,
        "destinationAndNonce": (domain << 32) | n,
        "committedRoot": bytes(32),
        "message": b"message",
    }
    return Emission("moonbeam", "home", "Dispatch", values)


def process(n: int, success: bool = True) -> Emission:
    values = {"messageHash": identity(n), "success": success, "returnData": b"done"}
    return Emission("ethereum", "replica-moonbeam-on-ethereum", "Process", values)


BRIDGES = {
    "across": Bridge(
        deposit, [("fill", 5, fill)], {"fill": 30 * MINUTE}, lambda n: f"1/{n}", "ethereum", "base"
    ),
    "op-stack": Bridge(
        initiate,
        [("prove", HOUR, prove), ("finalize", 7 * DAY + 2 * HOUR, finalize)],
        {"prove": DAY, "finalize": 8 * DAY},
        lambda n: "0x" + identity(n).hex(),
        "optimism",
        "ethereum",
    ),
    "nomad": Bridge(
        dispatch,
        [("process", 35 * MINUTE, process)],
        {"process": 2 * HOUR},
        lambda n: "0x" + identity(n).hex(),
        "moonbeam",
        "ethereum",
    ),
}


def example(name: str, folder: Path) -> Plan:
    """The example's configuration as the page has it."""
    (config,) = [b.text for b in blocks(PAGE) if b.heading == HEADINGS[name] and b.is_configuration]
    path = folder / "config.toml"
    path.write_text(config.replace('abi = "abi/', f'abi = "{ROOT}/abi/'))
    return load_plan(path, variables(config))


@pytest.fixture
def history(tmp_path: Path) -> Iterator[Callable[[str], Past]]:
    """Opens a past of the example named."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(past(example(name, tmp_path), tmp_path))


def emit(history: Past, emission: Emission, at: int) -> None:
    history.emit(*emission, at=at)


def all_steps(history: Past, bridge: Bridge, n: int, at: int) -> None:
    emit(history, bridge.opens(n), at)
    for _, after, step in bridge.steps:
        emit(history, step(n), at + after)


# --- what every example must show -----------------------------------------------------------------------


@pytest.mark.parametrize("name", BRIDGES)
def test_a_transfer_with_all_its_steps_in_time_is_complete_and_raises_nothing(
    name: str, history: Callable[[str], Past]
) -> None:
    bridge, seen = BRIDGES[name], history(name)
    all_steps(seen, bridge, 7, LONG_AFTER)
    seen.see(LONG_AFTER + 30 * DAY)
    assert seen.statuses() == {bridge.key(7): "complete"}
    assert seen.alerts() == []
    (transfer,) = seen.transfers()
    assert (transfer.origin, transfer.destination) == (bridge.origin, bridge.destination)


@pytest.mark.parametrize("name", BRIDGES)
def test_a_step_that_does_not_come_is_overdue_once_the_network_was_seen_past_it(
    name: str, history: Callable[[str], Past]
) -> None:
    """S5"""
    bridge, seen = BRIDGES[name], history(name)
    emit(seen, bridge.opens(7), LONG_AFTER)
    first = min(bridge.within.values())
    seen.see(LONG_AFTER + first)
    assert (seen.statuses(), seen.alerts()) == ({bridge.key(7): "open"}, [])
    seen.see(LONG_AFTER + max(bridge.within.values()) + 1)
    assert seen.statuses() == {bridge.key(7): "overdue"}
    assert seen.raised() == [("TransferOverdue", step, "firing") for step in bridge.within]
    alert = seen.alerts()[0]
    assert alert.labels["transfer"] == bridge.key(7)
    assert (alert.labels["origin"], alert.labels["destination"]) == (bridge.origin, bridge.destination)


@pytest.mark.parametrize("name", BRIDGES)
def test_a_late_step_ends_its_alert_and_says_how_late_it_was(
    name: str, history: Callable[[str], Past]
) -> None:
    bridge, seen = BRIDGES[name], history(name)
    step, _, event = bridge.steps[-1]
    emit(seen, bridge.opens(7), LONG_AFTER)
    for _, after, earlier in bridge.steps[:-1]:
        emit(seen, earlier(7), LONG_AFTER + after)
    seen.see(LONG_AFTER + bridge.within[step] + 10)
    emit(seen, event(7), LONG_AFTER + bridge.within[step] + 90)
    assert seen.statuses() == {bridge.key(7): "complete"}
    assert seen.raised() == [("TransferOverdue", step, "resolved")]
    assert seen.alerts()[0].annotations["late_by"] == "90"


@pytest.mark.parametrize("name", BRIDGES)
def test_a_payout_that_nobody_funded_is_an_orphan(name: str, history: Callable[[str], Past]) -> None:
    bridge, seen = BRIDGES[name], history(name)
    step, _, event = bridge.steps[-1]
    emit(seen, event(7), LONG_AFTER)
    assert (seen.statuses(), seen.alerts()) == ({bridge.key(7): "open"}, [])
    seen.see(LONG_AFTER + 2 * HOUR)
    assert seen.statuses() == {bridge.key(7): "orphan"}
    assert seen.raised() == [("TransferOrphan", step, "firing")]
    assert seen.alerts()[0].labels["severity"] == "P0"
    assert seen.alerts()[0].labels["origin"] == bridge.origin


@pytest.mark.parametrize("name", BRIDGES)
def test_the_steps_may_be_seen_before_the_opening(name: str, history: Callable[[str], Past]) -> None:
    """S3"""
    bridge, seen = BRIDGES[name], history(name)
    for _, after, event in bridge.steps:
        emit(seen, event(7), LONG_AFTER + after)
    emit(seen, bridge.opens(7), LONG_AFTER)
    seen.see(LONG_AFTER + 30 * DAY)
    assert seen.statuses() == {bridge.key(7): "complete"}
    assert [alert for alert in seen.alerts() if alert.state == "firing"] == []


@pytest.mark.parametrize(("name", "may_be_asked"), [("across", True), ("op-stack", False), ("nomad", True)])
def test_a_step_soon_after_the_first_block_is_looked_up_or_left_alone(
    name: str, may_be_asked: bool, history: Callable[[str], Past]
) -> None:
    bridge, seen = BRIDGES[name], history(name)
    emit(seen, bridge.steps[-1][2](7), HOUR)
    seen.see(DAY)
    assert seen.alerts() == []
    assert seen.statuses() == {bridge.key(7): "open" if may_be_asked else "unopened"}
    seen.look_back_in_vain()
    assert seen.statuses() == {bridge.key(7): "orphan" if may_be_asked else "unopened"}


@pytest.mark.parametrize("name", BRIDGES)
def test_the_events_have_the_first_topics_that_stand_on_chain(name: str) -> None:
    for abi in PRESETS[name].abis:
        for event in load_abi(ROOT / "abi" / f"{abi}.json").events:
            assert keccak256(event.signature.encode()).hex() == TOPICS[event.name]


@pytest.mark.parametrize("name", BRIDGES)
def test_init_writes_the_same_flows(name: str, tmp_path: Path) -> None:
    shown = example(name, tmp_path)
    folder = tmp_path / "init"
    done = create(ask(Given(preset=name, networks=list(shown.settings.networks))), folder / "config.toml")
    written = load_plan(done.config, dict.fromkeys(done.variables, "https://node.example"))
    assert written.settings.flows | shown.settings.flows == written.settings.flows
    assert {name: c.address for name, c in written.settings.contracts.items()} == {
        name: c.address for name, c in shown.settings.contracts.items()
    }


# --- what is particular to each -------------------------------------------------------------------------


def test_across_deposits_of_two_origins_with_one_id_are_two_transfers(history: Callable[[str], Past]) -> None:
    seen = history("across")
    emit(seen, deposit(7), LONG_AFTER)
    emit(seen, deposit(7, destinationChainId=1)._replace(network="base"), LONG_AFTER)
    emit(seen, fill(7), LONG_AFTER + 5)
    assert seen.statuses() == {"1/7": "complete", "8453/7": "open"}


def test_an_across_deposit_for_a_network_that_is_not_configured_is_untracked(
    history: Callable[[str], Past],
) -> None:
    seen = history("across")
    emit(seen, deposit(7, destinationChainId=34268394551451), LONG_AFTER)
    seen.see(LONG_AFTER + DAY)
    assert (seen.statuses(), seen.alerts()) == ({"1/7": "untracked"}, [])


@pytest.mark.parametrize(
    "changes", [{"outputAmount": 2**200 - 1}, {"inputAmount": 2**200}, {"recipient": bytes(31) + b"\x01"}]
)
def test_an_across_fill_with_other_terms_than_its_deposit_is_a_mismatch(
    changes: dict[str, Any], history: Callable[[str], Past]
) -> None:
    seen = history("across")
    emit(seen, deposit(7), LONG_AFTER)
    emit(seen, fill(7, **changes), LONG_AFTER + 5)
    assert seen.raised() == [("TransferMismatch", "fill", "firing")]


def test_a_second_across_fill_is_reported(history: Callable[[str], Past]) -> None:
    seen = history("across")
    all_steps(seen, BRIDGES["across"], 7, LONG_AFTER)
    emit(seen, fill(7), LONG_AFTER + 60)
    assert seen.raised() == [("TransferRepeated", "fill", "firing")]


def test_a_withdrawal_may_be_proven_twice(history: Callable[[str], Past]) -> None:
    seen = history("op-stack")
    emit(seen, initiate(7), LONG_AFTER)
    emit(seen, prove(7), LONG_AFTER + HOUR)
    emit(seen, prove(7), LONG_AFTER + 2 * HOUR)
    assert (seen.statuses(), seen.alerts()) == ({BRIDGES["op-stack"].key(7): "open"}, [])


def test_a_withdrawal_whose_call_failed_is_a_mismatch(history: Callable[[str], Past]) -> None:
    seen = history("op-stack")
    emit(seen, initiate(7), LONG_AFTER)
    emit(seen, prove(7), LONG_AFTER + HOUR)
    emit(seen, finalize(7, success=False), LONG_AFTER + 7 * DAY + 2 * HOUR)
    assert seen.raised() == [("TransferMismatch", "finalize", "firing")]


def test_a_nomad_message_for_another_network_is_not_awaited_here(history: Callable[[str], Past]) -> None:
    seen = history("nomad")
    emit(seen, dispatch(7, domain=1635148152), LONG_AFTER)
    seen.see(LONG_AFTER + DAY)
    assert (seen.transfers(), seen.alerts()) == ([], [])


def test_the_other_direction_of_nomad_is_a_flow_of_its_own(history: Callable[[str], Past]) -> None:
    seen = history("nomad")
    sent = dispatch(7, domain=1650811245)._replace(network="ethereum")
    emit(seen, sent, LONG_AFTER)
    emit(
        seen, process(7)._replace(network="moonbeam", contract="replica-ethereum-on-moonbeam"), LONG_AFTER + 9
    )
    (transfer,) = seen.transfers()
    assert (transfer.flow, transfer.status) == ("nomad-ethereum-to-moonbeam", "complete")


def test_messages_processed_without_a_dispatch_are_orphans_each(history: Callable[[str], Past]) -> None:
    """The Nomad bridge of August 2022: messages were processed that no Home had dispatched."""
    seen = history("nomad")
    all_steps(seen, BRIDGES["nomad"], 1, LONG_AFTER)
    for n in (2, 3, 4):
        emit(seen, process(n), LONG_AFTER + HOUR + n)
    seen.see(LONG_AFTER + 2 * HOUR)
    assert sorted(seen.statuses().values()) == ["complete", "orphan", "orphan", "orphan"]
    assert {alert.labels["transfer"] for alert in seen.alerts()} == {
        BRIDGES["nomad"].key(n) for n in (2, 3, 4)
    }
