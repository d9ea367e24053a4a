"""Events that contradict each other, repeated steps, and events that a reorg removes."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import msgspec
import pytest

from chainwatch.alert_model import REORG
from chainwatch.checker import transfer as transfers
from chainwatch.checker.flow import FAILED_CHECKS
from chainwatch.checker.transfer import settle
from chainwatch.model import Transfer
from tests.support.flows import event, flow
from tests.support.judging import coverage, judged, names, occurrences, only

# --- mismatches and repeats ---------------------------------------------------------------------------


def test_an_opening_that_names_another_origin_than_its_network_is_a_mismatch() -> None:
    wrong = judged(flow(), [event("alpha", "Sent", 1000, from_=3)], coverage(1000))

    signal = only(wrong)
    assert (signal.labels["alertname"], signal.labels["severity"], signal.labels["check"]) == (
        "TransferMismatch",
        "P0",
        "origin",
    )
    assert "gamma" in signal.annotations["description"]
    assert "alpha" in signal.annotations["description"]


def test_a_repeated_step_raises_an_alert_from_its_second_event_on() -> None:
    events = [event("alpha", "Sent", 1000), event("beta", "Filled", 1010), event("beta", "Filled", 1020)]

    twice = judged(flow(), events, coverage(1000, 1020))
    thrice = judged(flow(), [event("beta", "Filled", 1025)], coverage(1000, 1025), twice.transfer)

    assert (only(twice).labels["alertname"], only(twice).starts_at) == ("TransferRepeated", 1020)
    assert only(thrice).labels == only(twice).labels
    assert only(thrice).starts_at == 1020
    assert "3 times" in only(thrice).annotations["description"]


def test_a_repeated_opening_raises_an_alert() -> None:
    events = [event("alpha", "Sent", 1000), event("alpha", "Sent", 1001)]

    assert names(judged(flow(), events, coverage(1001))) == ["TransferRepeated"]


def test_the_same_log_seen_twice_is_no_repetition() -> None:
    events = [event("alpha", "Sent", 1000), event("beta", "Filled", 1010), event("beta", "Filled", 1010)]
    once = judged(flow(), events, coverage(1000, 1020))

    assert judged(flow(), events, coverage(1000, 1020), once.transfer).signals == []
    assert len(once.transfer.occurrences) == 2


@pytest.mark.parametrize("changes", [{"repeat": "allow"}, {"fill": {"repeat": "allow"}}])
def test_repetition_can_be_allowed_for_the_flow_or_for_one_step(changes: dict[str, Any]) -> None:
    events = [event("alpha", "Sent", 1000), event("beta", "Filled", 1010), event("beta", "Filled", 1020)]

    assert judged(flow(**changes), events, coverage(1000, 1020)).signals == []


def test_repetition_allowed_for_the_flow_can_be_forbidden_for_one_step() -> None:
    compiled = flow(repeat="allow", fill={"repeat": "alert"})
    events = [event("alpha", "Sent", 1000), event("alpha", "Sent", 1001)]
    events += [event("beta", "Filled", 1010), event("beta", "Filled", 1020)]

    assert only(judged(compiled, events, coverage(1001, 1020))).labels["step"] == "fill"


def test_a_repeated_orphan_raises_both_alerts_and_keeps_them_when_it_is_opened_late() -> None:
    """S3."""
    steps = [event("beta", "Filled", 1005), event("beta", "Filled", 1006)]
    orphan = judged(flow(), steps, coverage(1030, 1030))
    opened = judged(flow(), [event("alpha", "Sent", 1030)], coverage(1030, 1030), orphan.transfer)

    assert names(orphan) == ["TransferOrphan", "TransferRepeated"]
    assert names(opened) == ["TransferOrphan"]
    assert only(opened).reason == "late"


@pytest.mark.parametrize("order", list(permutations(range(2))))
def test_an_assertion_is_checked_once_both_events_are_known_in_either_order(order: tuple[int, ...]) -> None:
    compiled = flow(fill={"assert": "amount <= opening.amount"})
    events = [
        event("alpha", "Sent", 1000, amount=2**256 - 2),
        event("beta", "Filled", 1010, amount=2**256 - 1),
    ]

    first = judged(compiled, [events[order[0]]], coverage(1000, 1010))
    second = judged(compiled, [events[order[1]]], coverage(1000, 1010), first.transfer)

    assert first.signals == []
    signal = only(second)
    assert (signal.labels["alertname"], signal.labels["severity"]) == ("TransferMismatch", "P1")
    assert signal.labels["check"] == "amount <= opening.amount"
    assert str(2**256 - 2) in signal.annotations["description"]
    assert str(2**256 - 1) in signal.annotations["description"]
    assert signal.starts_at == 1010


def test_an_assertion_that_holds_raises_nothing() -> None:
    compiled = flow(fill={"assert": "amount <= opening.amount"})
    events = [
        event("alpha", "Sent", 1000, amount=2**256 - 1),
        event("beta", "Filled", 1010, amount=2**256 - 1),
    ]

    assert judged(compiled, events, coverage(1000, 1010)).signals == []


def test_an_assertion_that_cannot_be_answered_is_a_mismatch_that_says_why() -> None:
    compiled = flow(fill={"assert": "amount == opening.parts[1]"})
    events = [event("alpha", "Sent", 1000, parts=[1]), event("beta", "Filled", 1010)]

    signal = only(judged(compiled, events, coverage(1000, 1010)))

    assert signal.labels["alertname"] == "TransferMismatch"
    assert "cannot evaluate `amount == opening.parts[1]`" in signal.annotations["description"]


def test_a_failed_built_in_check_is_a_p0_mismatch_with_the_same_labels_before_and_after_the_opening() -> None:
    """S3: what is wrong with an event by itself does not wait for another and does not change by it."""
    compiled = flow(fill={"origin": None})
    fill = occurrences(compiled, [event("beta", "Filled", 1010)])[0]
    bad = msgspec.structs.replace(
        fill, facts=fill.facts | {FAILED_CHECKS: {"connext.transfer_id": "it is not"}}
    )
    seen = coverage(1000, 1010, 900)

    alone = settle(compiled, transfers.with_events(Transfer("bridge", "7"), [bad]), seen, 1010)
    opened = judged(compiled, [event("alpha", "Sent", 1000)], seen, alone.transfer)

    assert only(alone).labels["check"] == "connext.transfer_id"
    assert only(alone).labels["severity"] == "P0"
    assert "it is not" in only(alone).annotations["description"]
    assert opened.signals == []


# --- reorgs -------------------------------------------------------------------------------------------


def test_a_step_that_was_reorganised_away_is_awaited_again() -> None:
    """S4."""
    events = [event("alpha", "Sent", 1000), event("beta", "Filled", 1010)]
    filled = judged(flow(), events, coverage(1000, 1010))

    undone = transfers.without_blocks_above(filled.transfer, "beta", 1009)

    assert settle(flow(), undone, coverage(1000, 1010), 1010, REORG).transfer.deadlines["fill"] == (
        "beta",
        1030,
    )


def test_an_alert_whose_opening_was_reorganised_away_ends_with_the_reason_reorg() -> None:
    """S4."""
    late = judged(flow(), [event("alpha", "Sent", 1000)], coverage(1000, 1031))

    undone = transfers.without_blocks_above(late.transfer, "alpha", 999)
    settled = settle(flow(), undone, coverage(1000, 1031), 1050, REORG)

    assert (only(settled).ends_at, only(settled).reason) == (1050, "reorg")
    assert (settled.transfer.raised, settled.transfer.deadlines, settled.transfer.status) == ({}, {}, "open")


def test_an_alert_whose_late_step_was_reorganised_away_fires_again() -> None:
    """S4."""
    events = [event("alpha", "Sent", 1000), event("beta", "Filled", 1042)]
    ended = judged(flow(), events, coverage(1000, 1042))

    undone = transfers.without_blocks_above(ended.transfer, "beta", 1041)

    signal = only(settle(flow(), undone, coverage(1000, 1050), 1050, REORG))
    assert (signal.starts_at, signal.ends_at) == (1030, None)


def test_an_alert_reports_the_transaction_that_replaced_the_one_it_reported_of() -> None:
    """S4: the same block time, another transaction."""
    old = judged(flow(), [event("alpha", "Sent", 1000)], coverage(1000, 1031))

    undone = transfers.without_blocks_above(old.transfer, "alpha", 999)
    new = judged(flow(), [event("alpha", "Sent", 1000, amount=1)], coverage(1000, 1031), undone)

    assert only(new).starts_at == 1030
    assert only(new).annotations["amount"] == "1"


def test_blocks_of_other_networks_are_not_touched_by_a_reorg() -> None:
    events = [event("alpha", "Sent", 1000), event("beta", "Filled", 1010)]
    filled = judged(flow(), events, coverage(1000, 1010)).transfer

    assert transfers.without_blocks_above(filled, "gamma", 0) == filled
