"""What flows make of one transaction: which log is which step, or why it is none; what is awaited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chainwatch.commands.show import flows as show
from chainwatch.operations.flow_testing import Awaited, FlowTest, StepTest, run_flows
from chainwatch.support.keccak import keccak256
from tests.support.effort import effort_within
from tests.support.receipts import BRIDGE, HOUR, SENT, TIME, log, plan, received, sent, transaction


def tried(folder: Path, *logs: dict[str, Any], network: str = "alpha", **changes: Any) -> FlowTest:
    (flow,) = run_flows(plan(folder, **changes), transaction(*logs, network=network)).flows
    return flow


def first(flow: FlowTest, step: str) -> StepTest:
    return next(one for one in flow.steps if one.step == step)


def test_an_opening_event_shows_what_it_computes_and_what_it_waits_for(tmp_path: Path) -> None:
    flow = tried(tmp_path, sent(), expects={"assert": "opening.amount > 0"})
    opening = first(flow, "send")
    assert (opening.outcome, opening.log_index, opening.key) == ("matched", 3, "7")
    assert (opening.origin, opening.destination, opening.amount) == ("alpha", "beta", "50")
    assert opening.facts == {"amount": "50"}
    assert first(flow, "receive").outcome == "no event"
    (transfer,) = flow.transfers
    assert (transfer.key, transfer.steps, transfer.note) == ("7", ["send"], "")
    assert transfer.awaited == [Awaited("receive", ["beta"], HOUR, TIME + HOUR)]


def test_a_key_that_is_zero_is_said_to_be_no_id(tmp_path: Path) -> None:
    key = "bytes32(id)"
    of_zero, other = (tried(tmp_path, sent(id=number), key=key, expects={"key": key}) for number in (0, 1))
    assert "its key is zero" in first(of_zero, "send").reason
    assert first(other, "send").reason == ""


def test_a_later_step_waits_for_the_opening_on_the_origin_that_it_names(tmp_path: Path) -> None:
    flow = tried(tmp_path, received(), network="beta")
    step = first(flow, "receive")
    assert (step.outcome, step.origin, step.destination) == ("matched", "alpha", "beta")
    assert flow.transfers[0].awaited == [Awaited("send", ["alpha"], None, None)]


def test_each_transfer_of_a_transaction_waits_by_itself(tmp_path: Path) -> None:
    flow = tried(tmp_path, sent(id=1), sent(id=2), sent(id=2, to=9))
    assert [(t.key, len(t.awaited)) for t in flow.transfers] == [("1", 1), ("2", 1)]


def test_both_steps_in_one_transaction_wait_for_nothing(tmp_path: Path) -> None:
    flow = tried(tmp_path, sent(to=1), received(at="alpha"))
    (transfer,) = flow.transfers
    assert transfer.steps == ["send", "receive"]
    assert (transfer.awaited, transfer.note) == ([], "every step is in this transaction")


def test_a_transaction_of_many_events_is_tried_in_no_quadratic_time(tmp_path: Path) -> None:
    joined: dict[str, Any] = {
        "with": {"paid": {"event": "Received", "pick": "before"}},
        "where": "paid.id == id",
    }
    logs = [one for number in range(2_000) for one in (received(number, at="alpha"), sent(number))]
    with effort_within(3):
        flow = tried(tmp_path, *logs, **joined)
    assert [one.outcome for one in flow.steps if one.step == "send"] == ["matched"] * 2_000


ELSEWHERE = f"{BRIDGE['beta']} emitted it, but bridge on alpha is {BRIDGE['alpha']}"


@pytest.mark.parametrize(
    ("emitted", "opens", "outcome", "reason"),
    [
        (sent(at="beta"), {}, "other address", ELSEWHERE),
        (sent() | {"data": "0x01"}, {}, "undecodable", "the data ends at byte 1"),
        (sent(), {"on": "beta"}, "other network", "seen on alpha; this step counts on beta"),
        (sent(), {"where": "amount > 60"}, "excluded", "`where` is false: amount > 60: the transfer is not"),
        (sent(), {"where": "parts[0] == 1"}, "error", "cannot evaluate `parts[0] == 1`: an array has no"),
        (sent(), {"amount": "parts[2]"}, "error", "parts[2]: the event has no element there"),
    ],
    ids=["address", "undecodable", "network", "where", "where fails", "value fails"],
)
def test_a_log_that_is_no_step_says_why(
    tmp_path: Path, emitted: dict[str, Any], opens: dict[str, Any], outcome: str, reason: str
) -> None:
    flow = tried(tmp_path, emitted, **opens)
    step = first(flow, "send")
    assert step.outcome == outcome
    assert reason in step.reason
    assert all(not transfer.awaited for transfer in flow.transfers)


def test_a_later_step_that_where_or_its_origin_excludes_says_so(tmp_path: Path) -> None:
    flow = tried(tmp_path, received(), network="beta", expects={"where": "source == 5"})
    step = first(flow, "receive")
    assert (step.outcome, step.reason) == ("where", "`where` is false: source == 5")
    flow = tried(tmp_path, received(), network="beta", expects={"on": "origin"})
    step = first(flow, "receive")
    assert (step.outcome, step.reason) == (
        "other origin",
        "seen on beta, but the event names another origin",
    )


def test_an_event_at_both_ends_is_one_of_the_two_steps(tmp_path: Path) -> None:
    flow = tried(
        tmp_path, sent(), expects={"event": "Sent", "origin": "alpha", "on": "destination"}, on="alpha"
    )
    assert [(step.step, step.outcome) for step in flow.steps] == [
        ("send", "matched"),
        ("receive", "other step"),
    ]


def test_a_destination_that_is_not_configured_waits_for_nothing(tmp_path: Path) -> None:
    flow = tried(tmp_path, sent(to=99))
    assert first(flow, "send").destination == "?99"
    (transfer,) = flow.transfers
    assert transfer.awaited == []
    assert transfer.note.startswith("untracked: the destination, ?99,")


def test_logs_of_other_contracts_are_left_out_and_others_listed(tmp_path: Path) -> None:
    foreign = log("0x" + "ee" * 20, [b"\x99" * 32])
    odd = log(BRIDGE["alpha"], [b"\x99" * 32])
    found = run_flows(plan(tmp_path), transaction(foreign, odd, sent()))
    assert [(one.log_index, one.contract, one.event) for one in found.logs] == [
        (4, "bridge", None),
        (5, "bridge", SENT),
    ]
    assert found.logs[1].args == {"id": "7", "to": "2", "amount": "50", "memo": "", "parts": []}


@pytest.mark.parametrize("as_json", [True, False])
def test_hostile_text_is_escaped_and_long_text_cut(
    tmp_path: Path, as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    memo = "\x1b[31m\u202e[bold]\n" + "x" * 100_000
    found = run_flows(plan(tmp_path, asset="memo"), transaction(sent(memo=memo, id=2**256 - 1)))
    show.flows_test(found, as_json)
    written = capsys.readouterr().out
    assert not {"\x1b", "\u202e"} & set(written)
    assert "[bold]" in written
    assert str(2**256 - 1) in written
    assert as_json or len(written) < 4_000


def test_a_flow_that_the_transaction_has_nothing_of_takes_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show.flows_test(run_flows(plan(tmp_path), transaction()), as_json=False)
    assert capsys.readouterr().out.splitlines()[2:] == [
        "no log is of a configured contract, or of an event in its ABI",
        "flow bridge: no log of the transaction is an event of its steps",
    ]


def test_undecodable_logs_never_end_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    topic = keccak256(SENT.encode())
    broken = [
        log(BRIDGE["alpha"], [topic]),
        log(BRIDGE["alpha"], [topic] * 4, b"\xff" * 31),
        log(BRIDGE["alpha"], [topic, b"\0" * 32], b"\xff" * 128),
        log(BRIDGE["alpha"], []),
    ]
    found = run_flows(plan(tmp_path), transaction(*broken))
    assert [step.outcome for step in found.flows[0].steps] == ["undecodable"] * 3 + ["no event"]
    assert [bool(one.problem) for one in found.logs] == [True, True, True, False]
    show.flows_test(found, as_json=False)
    assert "points outside the data (128 bytes)" in capsys.readouterr().out


def test_each_element_of_an_array_is_tried_by_itself(tmp_path: Path) -> None:
    flow = tried(tmp_path, sent(parts=(5, 0, 6)), each="parts", key="item", amount="item", where="item > 0")
    shown = [(one.outcome, one.key, one.amount) for one in flow.steps if one.step == "send"]
    assert shown == [("matched", "5", "5"), ("excluded", "0", "0"), ("matched", "6", "6")]
    assert [(t.key, len(t.awaited)) for t in flow.transfers] == [("5", 1), ("0", 0), ("6", 1)]


def test_a_step_that_is_found_by_an_alias_waits_for_what_gives_it(tmp_path: Path) -> None:
    last = {"step": "pay", "event": "Received", "by": "receive", "within": "1h"}
    flow = tried(tmp_path, received(), network="beta", expects={"alias": "source"}, more=[last])
    waiting = {t.key: t.awaited for t in flow.transfers if t.steps == ["pay"]}
    assert waiting == {"1": [Awaited("receive", ["alpha", "beta"], None, None)]}


def test_a_range_is_said_to_be_a_step_of_many_transfers(tmp_path: Path) -> None:
    flow = tried(tmp_path, received(id=5), network="beta", expects={"covers": "id..id + source"})
    (transfer,) = flow.transfers
    assert (transfer.awaited, transfer.note) == ([], "a step of every transfer whose key ends in one of 5..6")
