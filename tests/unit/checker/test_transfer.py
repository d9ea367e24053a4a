"""What the events of one transfer mean: statuses and deadlines, whatever comes first."""

from __future__ import annotations

from itertools import permutations

import pytest

from chainwatch.checker import transfer as transfers
from chainwatch.checker.coverage import Coverage
from chainwatch.checker.step_views import step_views
from chainwatch.checker.transfer import Settled, settle
from chainwatch.model import EXCLUDED, AbiEvent, AbiParam, Transfer
from tests.support.flows import CHAIN_IDS, EVENTS, event, flow
from tests.support.judging import coverage, judged, names, occurrences, only

# --- deadlines ----------------------------------------------------------------------------------------


def test_an_opened_transfer_waits_for_each_step_until_its_own_deadline() -> None:
    opened = judged(flow(), [event("alpha", "Sent", 1000)], coverage(alpha=1000, beta=900))

    assert opened.transfer.status == "open"
    assert (opened.transfer.origin, opened.transfer.destination) == ("alpha", "beta")
    assert opened.transfer.opened_at == 1000
    assert opened.transfer.deadlines == {"fill": ("beta", 1030), "settle": ("beta", 1100)}
    assert opened.signals == []


def test_a_transfer_whose_steps_all_came_is_complete_and_waits_for_nothing() -> None:
    events = [event("alpha", "Sent", 1000), event("beta", "Filled", 1030), event("beta", "Settled", 1100)]

    done = judged(flow(), events, coverage(alpha=2000, beta=2000))

    assert (done.transfer.status, done.transfer.deadlines, done.signals) == ("complete", {}, [])


@pytest.mark.parametrize("seen", [0, 1029, 1030])
def test_a_step_is_not_overdue_before_its_network_is_seen_strictly_past_it(seen: int) -> None:
    """S5: at the deadline itself a block with the step may still follow."""
    waiting = judged(flow(), [event("alpha", "Sent", 1000)], coverage(alpha=9999, beta=seen))

    assert waiting.transfer.status == "open"
    assert waiting.signals == []


def test_a_missing_step_is_overdue_from_its_deadline_once_its_network_is_seen_past_it() -> None:
    late = judged(flow(), [event("alpha", "Sent", 1000)], coverage(alpha=1000, beta=1031))

    assert late.transfer.status == "overdue"
    assert late.transfer.deadlines == {"settle": ("beta", 1100)}
    signal = only(late)
    assert signal.labels == {
        "alertname": "TransferOverdue",
        "flow": "bridge",
        "step": "fill",
        "transfer": "7",
        "origin": "alpha",
        "destination": "beta",
        "severity": "P1",
    }
    assert (signal.starts_at, signal.ends_at) == (1030, None)
    assert signal.annotations["amount"] == "100"
    assert (signal.annotations["opened_at"], signal.annotations["due_at"]) == ("1000", "1030")


def test_an_alert_that_stands_is_not_raised_again() -> None:
    late = judged(flow(), [event("alpha", "Sent", 1000)], coverage(beta=1031))

    assert settle(flow(), late.transfer, coverage(beta=1050), 1050).signals == []


def test_a_late_step_ends_its_alert_at_its_own_time_and_says_how_late() -> None:
    overdue = judged(flow(), [event("alpha", "Sent", 1000)], coverage(beta=1031))

    came = judged(flow(), [event("beta", "Filled", 1042)], coverage(beta=1042), overdue.transfer)

    signal = only(came)
    assert (signal.starts_at, signal.ends_at, signal.reason) == (1030, 1042, "late")
    assert signal.annotations["late_by"] == "12"
    assert came.transfer.status == "open"  # it has still to settle


def test_a_late_step_that_was_seen_before_its_opening_leaves_the_same_alert() -> None:
    """S3: it came and went."""
    events = [event("alpha", "Sent", 1000), event("beta", "Filled", 1042)]

    at_once = judged(flow(), events, coverage(alpha=1000, beta=1042))

    signal = only(at_once)
    assert (signal.labels["alertname"], signal.starts_at, signal.ends_at) == ("TransferOverdue", 1030, 1042)


def test_a_step_that_turns_out_to_be_in_time_takes_its_alert_back() -> None:
    overdue = judged(flow(), [event("alpha", "Sent", 1000)], coverage(beta=1031))

    came = judged(flow(), [event("beta", "Filled", 1029)], coverage(beta=1040), overdue.transfer)

    signal = only(came)
    assert (signal.starts_at, signal.ends_at, signal.reason) == (1030, 1040, "in time")
    assert came.transfer.raised == {}


def test_a_step_at_the_deadline_itself_is_in_time() -> None:
    events = [event("alpha", "Sent", 1000), event("beta", "Filled", 1030)]

    assert judged(flow(), events, coverage(beta=9999), None).transfer.raised.keys() == {
        "TransferOverdue/settle/beta/alpha//P2"
    }


def test_a_step_on_the_origin_is_awaited_there() -> None:
    compiled = flow(settle={"on": "origin"})

    opened = judged(compiled, [event("alpha", "Sent", 1000)], coverage())

    assert opened.transfer.deadlines["settle"] == ("alpha", 1100)


def test_a_step_on_a_fixed_network_is_awaited_there() -> None:
    compiled = flow(settle={"on": "gamma"})

    opened = judged(compiled, [event("alpha", "Sent", 1000)], coverage(beta=9999))
    settled = judged(compiled, [event("gamma", "Settled", 1050)], coverage(), opened.transfer)

    assert opened.transfer.deadlines == {"settle": ("gamma", 1100)}
    assert "settle" not in settled.transfer.deadlines


def test_no_time_is_counted_against_a_network_that_was_never_seen() -> None:
    opened = settle(
        flow(), transfers.with_events(Transfer("bridge", "7"), occurrences(flow(), [event("alpha", "Sent", 1)])),
        Coverage({"alpha": 10**9}, {}), 10**9,
    )  # fmt: skip

    assert opened.transfer.status == "open"


# --- networks that are not configured -----------------------------------------------------------------


def test_a_transfer_to_a_network_that_is_not_configured_is_untracked_and_raises_nothing() -> None:
    untracked = judged(flow(), [event("alpha", "Sent", 1000, to=99)], coverage(9999, 9999, 9999))

    assert (untracked.transfer.status, untracked.signals, untracked.transfer.deadlines) == (
        "untracked",
        [],
        {},
    )
    assert untracked.transfer.destination == "?99"


def test_an_orphan_whose_late_opening_goes_to_a_network_that_is_not_configured_was_one_until_it_came() -> (
    None
):
    """S3: that nobody knew the destination until then takes nothing back."""
    compiled = flow(fill={"on": "beta"})
    opening, fill = event("alpha", "Sent", 1030, to=99), event("beta", "Filled", 1000)
    seen = coverage(2000, 2000, 2000)
    orphan = judged(compiled, [fill], seen)
    opened = judged(compiled, [opening], seen, orphan.transfer)

    assert (only(opened).reason, only(opened).ends_at) == ("late", 1030)
    assert only(judged(compiled, [opening, fill], seen)) == only(opened)
    assert opened.transfer.status == "untracked"


def test_a_step_from_a_network_that_is_not_configured_is_untracked_and_raises_nothing() -> None:
    steps = [event("beta", "Filled", 1000, from_=99), event("beta", "Filled", 1001, from_=99)]

    untracked = judged(flow(), steps, coverage(9999, 9999, 9999))

    assert (untracked.transfer.status, untracked.signals) == ("untracked", [])


@pytest.mark.parametrize("seen", [0, 9999], ids=["not read", "read for other flows"])
def test_a_configured_network_that_the_flows_contract_is_not_on_is_none_that_the_flow_watches(
    seen: int,
) -> None:
    compiled, read = flow(deployed=["alpha", "beta"]), coverage(9999, 9999, seen)

    there = judged(compiled, [event("alpha", "Sent", 1000, to=3)], read)
    thence = judged(compiled, [event("beta", "Filled", 1000, from_=3)], read)

    assert [(s.transfer.status, s.signals, s.transfer.deadlines) for s in (there, thence)] == [
        ("untracked", [], {})
    ] * 2


def test_only_those_steps_are_awaited_whose_contract_is_on_the_network() -> None:
    compiled = flow(deployed=["alpha", "beta"], settle={"on": "origin"})

    opened = judged(compiled, [event("alpha", "Sent", 1000, to=3)], coverage(1000))

    assert (opened.transfer.status, opened.transfer.deadlines) == ("open", {"settle": ("alpha", 1100)})
    acknowledged = judged(compiled, [event("alpha", "Settled", 1010)], coverage(1010), opened.transfer)
    assert acknowledged.transfer.status == "complete"


def test_a_step_on_a_watched_network_that_an_untracked_transfer_never_asked_for_is_an_orphan() -> None:
    events = [event("alpha", "Sent", 1000, to=99), event("beta", "Filled", 1001)]

    untracked = judged(flow(), events, coverage(9999, 9999, 9999))

    assert untracked.transfer.status == "disputed"
    assert names(untracked) == ["TransferOrphan"]


# --- several openings ---------------------------------------------------------------------------------


def test_a_step_answers_the_opening_that_asks_for_it_when_there_are_several() -> None:
    compiled = flow(repeat="allow", fill={"assert": "amount == opening.amount"})
    events = [
        event("alpha", "Sent", 1000, amount=1),
        event("gamma", "Sent", 1001, from_=3, amount=2),
        event("beta", "Filled", 1010, from_=3, amount=2),
    ]

    assert judged(compiled, events, coverage(1000, 1010, 1001)).signals == []


# --- what is shown ------------------------------------------------------------------------------------


def test_each_expected_step_shows_its_network_its_deadline_and_its_event() -> None:
    events = [event("alpha", "Sent", 1000), event("gamma", "Filled", 1005), event("beta", "Filled", 1010)]
    opened = judged(flow(), events, coverage(1000, 1010)).transfer

    shown = [
        (v.step.name, v.network, v.due_at, v.event and v.event.timestamp) for v in step_views(flow(), opened)
    ]

    assert shown == [("fill", "beta", 1030, 1010), ("settle", "beta", 1100, None)]


def test_what_never_opened_and_what_is_untracked_shows_no_steps() -> None:
    early = judged(flow(), [event("beta", "Filled", 1005)], coverage()).transfer
    untracked = judged(flow(), [event("alpha", "Sent", 1000, to=99)], coverage()).transfer

    assert step_views(flow(), early) == step_views(flow(), untracked) == []


def test_a_transfer_without_events_is_open_and_silent() -> None:
    assert settle(flow(), Transfer("bridge", "7"), coverage(), 0) == Settled(Transfer("bridge", "7"), [])


def test_a_key_and_its_parameters_are_named_in_every_alert() -> None:
    abi = dict(EVENTS) | {"Sent": AbiEvent("Sent", (*EVENTS["Sent"].inputs, AbiParam("token", "address")))}
    compiled = flow(opens={"asset": "token"}, runbook_url="https://example.org/runbook", events=abi)
    sent = event("alpha", "Sent", 1000, events=abi, token="0x" + "Ab" * 20)

    signal = only(judged(compiled, [sent], coverage(beta=1031)))

    assert signal.annotations["asset"] == "0x" + "Ab" * 20
    assert signal.annotations["runbook_url"] == "https://example.org/runbook"
    assert signal.annotations["send_tx"] == "0x" + sent.log.tx_hash.hex()


# --- what where and on leave out ------------------------------------------------------------------------


def test_a_transfer_that_where_leaves_out_raises_nothing_whatever_its_steps_do() -> None:
    compiled = flow(opens={"where": "amount >= 1000"})
    events = [
        event("alpha", "Sent", 1000, amount=1),
        event("beta", "Filled", 5000),
        event("beta", "Filled", 5001),
    ]

    for order in permutations(events):
        left_out = judged(compiled, order, coverage(9000, 9000))
        assert (left_out.transfer.status, left_out.signals, left_out.transfer.deadlines) == (EXCLUDED, [], {})
        assert step_views(compiled, left_out.transfer) == []


def test_a_counted_opening_wins_over_one_that_where_leaves_out() -> None:
    compiled = flow(opens={"where": "amount >= 1000"})
    events = [event("alpha", "Sent", 1000, amount=1), event("alpha", "Sent", 1001, block=9, amount=1000)]

    assert judged(compiled, events, coverage(1001)).transfer.status == "open"


def test_a_payout_for_an_origin_on_which_the_flow_does_not_open_is_untracked() -> None:
    compiled = flow(opens={"on": "gamma"})

    judgement = judged(
        compiled, [event("beta", "Filled", 1000, from_=CHAIN_IDS["alpha"])], coverage(9000, 9000, 9000)
    )

    assert (judgement.transfer.status, judgement.signals) == ("untracked", [])
