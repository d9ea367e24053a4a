"""What makes a transfer disputed, and how a person ends that."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import msgspec
import pytest

from chainwatch.alert_model import REORG
from chainwatch.checker import transfer as transfers
from chainwatch.checker.coverage import Coverage
from chainwatch.checker.flow import FAILED_CHECKS, Flow
from chainwatch.checker.judge import SEARCH
from chainwatch.checker.transfer import resolved_by_hand, settle
from chainwatch.model import EXCLUDED, Event, Signal, Transfer
from tests.support.flows import event, flow
from tests.support.judging import coverage, judged, names, occurrences, only
from tests.unit.checker.test_orphans import UNSEARCHABLE, WATCHED_FROM

PATIENT = flow(orphan_grace="10m", clock_skew="2m")
IMPATIENT = flow(orphan_grace="10s", clock_skew="2m")
FORGED = event("beta", "Filled", 1000)
ALL_SEEN = coverage(5000, 5000, 5000)


def by_hand(transfer: Transfer, *signals: Signal, at: int = 6000) -> Transfer:
    """``transfer`` after a person has resolved the alerts of ``signals``."""
    return resolved_by_hand(transfer, [s.labels for s in signals], at)


def notified(compiled: Flow, events: Sequence[Event], seen: Coverage = ALL_SEEN) -> dict[str, float | None]:
    """What is raised by all of ``events``, with its end."""
    return {s.labels["alertname"]: s.ends_at for s in judged(compiled, events, seen).signals}


# --- an opening that cannot have funded the payout --------------------------------------------------------


@pytest.mark.parametrize("compiled", [PATIENT, IMPATIENT], ids=["skew < grace", "grace < skew"])
@pytest.mark.parametrize(("opened_at", "disputed"), [(1120, False), (1121, True), (1400, True), (3000, True)])
def test_an_opening_later_than_the_payout_by_more_than_clocks_differ_cannot_have_funded_it(
    compiled: Flow, opened_at: int, disputed: bool
) -> None:
    for order in permutations(
        [FORGED, event("alpha", "Sent", opened_at), event("beta", "Settled", opened_at)]
    ):
        settled = judged(compiled, order, ALL_SEEN)
        firing = [s for s in settled.signals if s.ends_at is None]
        assert [s.labels["alertname"] for s in firing] == ["TransferOrphan"] * disputed
        assert settled.transfer.status == ("disputed" if disputed else "complete")


def test_the_orphan_stays_and_says_so_when_its_opening_comes_too_late() -> None:
    orphan = judged(IMPATIENT, [FORGED], coverage(1016, 1005))
    opened = judged(IMPATIENT, [event("alpha", "Sent", 1300)], coverage(1300, 1300), orphan.transfer)
    at_once = judged(IMPATIENT, [event("alpha", "Sent", 1300), FORGED], coverage(1300, 1300))

    assert (orphan.transfer.status, opened.transfer.status) == ("orphan", "disputed")
    assert only(opened) == only(at_once)
    assert only(opened).labels == only(orphan).labels
    assert (only(opened).labels["severity"], only(opened).starts_at, only(opened).ends_at) == (
        "P0",
        1010,
        None,
    )
    assert "5m after fill" in only(opened).annotations["description"]
    assert "disputed" in only(opened).annotations["description"]
    assert opened.transfer == at_once.transfer


def test_a_verdict_waits_until_every_origin_that_may_have_opened_it_was_seen() -> None:
    """S3: an opening in time may come from a network that lags."""
    compiled = flow(orphan_grace="10m", clock_skew="2m", fill={"origin": None}, settle={"origin": None})
    events = [FORGED, event("alpha", "Sent", 1300)]

    seen = coverage(5000, 5000, 1601)
    held = judged(compiled, events, coverage(5000, 5000, 1600))
    orphan = judged(compiled, [], seen, held.transfer)
    funded = judged(compiled, [event("gamma", "Sent", 990, from_=3)], seen, held.transfer)

    assert "TransferOrphan" not in names(held)
    assert held.transfer.deadlines["!opening gamma"] == ("gamma", 1600)
    assert names(orphan) == ["TransferOrphan"]
    assert "TransferOrphan" not in names(funded)


def test_an_earlier_opening_is_looked_for_before_a_payout_is_called_unfunded() -> None:
    compiled = flow(lookback="1h", orphan_grace="10m", clock_skew="2m")
    seen = coverage(5000, 5000, first=WATCHED_FROM)
    events = [event("beta", "Filled", 1005), event("alpha", "Sent", 1300), event("beta", "Settled", 1310)]

    held = judged(compiled, events, seen)
    searched = msgspec.structs.replace(held.transfer, searched=True)

    assert names(held) == []
    assert held.transfer.deadlines["!opening search alpha"] == (SEARCH + "alpha", 1605)
    assert names(settle(compiled, searched, seen, 5000)) == ["TransferOrphan"]
    assert notified(flow(lookback="1h", clock_skew="2m", events=UNSEARCHABLE), events, seen) == {}


def test_a_forged_payout_and_the_true_one_are_both_reported() -> None:
    events = [
        FORGED,
        event("alpha", "Sent", 1300),
        event("beta", "Filled", 1310),
        event("beta", "Settled", 1310),
    ]

    assert notified(PATIENT, events) == {"TransferOrphan": None, "TransferRepeated": None}


# --- payouts that do not add up ---------------------------------------------------------------------------


SENT, FILLED, SETTLED = (
    event("alpha", "Sent", 1000),
    event("beta", "Filled", 1010),
    event("beta", "Settled", 1050),
)
HONEST = flow(fill={"assert": "amount == opening.amount"})
WRONG = event("beta", "Filled", 1010, amount=101)


@pytest.mark.parametrize(
    "events",
    [
        [SENT, WRONG, SETTLED],
        [SENT, FILLED, event("beta", "Filled", 1011), SETTLED],
        [SENT, FILLED, event("gamma", "Filled", 1011), SETTLED],
        [SENT, FILLED, event("beta", "Filled", 1011, from_=3), SETTLED],
        [event("alpha", "Sent", 1000, from_=3), FILLED, SETTLED],
        [SENT, event("alpha", "Sent", 1001), FILLED, SETTLED],
    ],
    ids=["amount", "paid twice", "paid elsewhere too", "paid for another", "wrong origin", "opened twice"],
)
def test_a_transfer_that_does_not_add_up_is_disputed_until_a_person_resolves_it(events: list[Event]) -> None:
    for order in permutations(events):
        settled = judged(HONEST, order, ALL_SEEN)
        firing = [s for s in settled.signals if s.ends_at is None]
        assert firing
        assert settled.transfer.status == "disputed"
        for count in range(len(firing)):
            assert by_hand(settled.transfer, *firing[:count]).status == "disputed"
        resolved = by_hand(settled.transfer, *firing)
        assert resolved.status == "resolved"
        again = settle(HONEST, resolved, coverage(9000, 9000, 9000), 9000)
        assert (again.signals, again.transfer) == ([], resolved)


def test_a_failed_check_disputes_what_has_not_opened_yet() -> None:
    fill = occurrences(flow(), [FILLED])[0]
    bad = msgspec.structs.replace(
        fill, facts=fill.facts | {FAILED_CHECKS: {"connext.transfer_id": "it is not"}}
    )

    held = settle(
        flow(), transfers.with_events(Transfer("bridge", "7"), [bad]), coverage(1000, 1010, 900), 1010
    )

    assert held.transfer.status == "disputed"
    assert by_hand(held.transfer, *held.signals).status == "resolved"


def test_what_is_resolved_still_waits_for_its_other_steps_and_may_be_overdue() -> None:
    settled = judged(HONEST, [SENT, WRONG], coverage(1000, 1010))
    resolved = by_hand(settled.transfer, *settled.signals)
    late = settle(HONEST, resolved, coverage(1000, 1200), 1200)
    done = judged(HONEST, [SETTLED], coverage(1000, 1050), resolved)

    assert (settled.transfer.status, resolved.status) == ("disputed", "open")
    assert (late.transfer.status, names(late)) == ("overdue", ["TransferOverdue"])
    assert (done.transfer.status, done.signals) == ("resolved", [])


def test_an_orphan_resolved_by_hand_stays_so_when_its_opening_comes_too_late() -> None:
    orphan = judged(IMPATIENT, [FORGED, event("beta", "Settled", 1001)], coverage(1300, 1300))
    resolved = by_hand(orphan.transfer, *orphan.signals)
    opened = judged(IMPATIENT, [event("alpha", "Sent", 1300)], coverage(1300, 1300), resolved)

    assert resolved.status == "resolved"
    assert (opened.transfer.status, opened.signals) == ("resolved", [])


def test_another_such_event_begins_a_resolved_condition_anew() -> None:
    twice = judged(flow(), [SENT, FILLED, event("beta", "Filled", 1011), SETTLED], ALL_SEEN)
    resolved = by_hand(twice.transfer, *twice.signals)

    thrice = judged(flow(), [event("beta", "Filled", 1012)], ALL_SEEN, resolved)

    assert (thrice.transfer.status, names(thrice)) == ("disputed", ["TransferRepeated"])


def test_what_was_resolved_stays_so_through_a_reorg_and_another_severity() -> None:
    twice = [SENT, FILLED, event("beta", "Filled", 1011), SETTLED]
    settled = judged(flow(), twice, ALL_SEEN)
    resolved = by_hand(settled.transfer, *settled.signals)

    undone = settle(flow(), transfers.without_events_at(resolved, {("beta", 1011, 0)}), ALL_SEEN, 5000, REORG)
    again = judged(flow(), twice, ALL_SEEN, undone.transfer)
    graver = settle(flow(fill={"severity": "P0"}), resolved, ALL_SEEN, 5000)

    assert undone.signals == []
    assert (again.transfer.status, again.signals) == ("resolved", [])
    assert (graver.transfer.status, graver.signals) == ("resolved", [])


def test_a_dispute_that_a_reorg_takes_back_is_none() -> None:
    """S4."""
    settled = judged(flow(), [SENT, FILLED, event("beta", "Filled", 1011), SETTLED], ALL_SEEN)
    undone = transfers.without_events_at(settled.transfer, {("beta", 1011, 0)})

    assert settle(flow(), undone, ALL_SEEN, 5000, REORG).transfer.status == "complete"


def test_what_was_resolved_stays_so_when_a_reorg_takes_the_only_event_and_gives_it_back() -> None:
    orphan = judged(flow(), [FILLED], ALL_SEEN)
    resolved = by_hand(orphan.transfer, *orphan.signals)

    gone = settle(flow(), transfers.without_blocks_above(resolved, "beta", 0), ALL_SEEN, 5000, REORG)
    back = judged(flow(), [FILLED], ALL_SEEN, gone.transfer)

    assert (gone.transfer.status, gone.signals) == (EXCLUDED, [])
    assert (back.transfer.status, back.signals) == ("resolved", [])


def test_what_was_resolved_stays_so_when_a_reorg_takes_some_of_it() -> None:
    thrice = [SENT, FILLED, event("beta", "Filled", 1011), event("beta", "Filled", 1012), SETTLED]
    settled = judged(flow(), thrice, ALL_SEEN)
    resolved = by_hand(settled.transfer, *settled.signals)

    fewer = settle(flow(), transfers.without_events_at(resolved, {("beta", 1012, 0)}), ALL_SEEN, 5000, REORG)
    again = judged(flow(), thrice, ALL_SEEN, fewer.transfer)

    assert (fewer.transfer.status, fewer.signals) == ("resolved", [])
    assert (again.transfer.status, again.signals) == ("resolved", [])


@pytest.mark.parametrize(
    ("first", "more"),
    [
        ([FILLED], [event("beta", "Filled", 1011)]),
        (
            [SENT, event("beta", "Filled", 1010, amount=1), SETTLED],
            [event("beta", "Filled", 1011, amount=1)],
        ),
    ],
    ids=["unfunded", "of another amount"],
)
def test_another_wrong_payout_is_reported_after_one_was_resolved_where_steps_may_repeat(
    first: list[Event], more: list[Event]
) -> None:
    compiled = flow(repeat="allow", fill={"assert": "amount == opening.amount"})
    settled = judged(compiled, first, ALL_SEEN)
    resolved = by_hand(settled.transfer, *settled.signals)
    assert resolved.status == "resolved"

    twice = judged(compiled, more, ALL_SEEN, resolved)

    assert names(twice) == names(settled)
    assert twice.transfer.status == settled.transfer.status


def test_what_was_resolved_stays_so_when_the_configuration_names_another_origin() -> None:
    orphan = judged(flow(), [FILLED], ALL_SEEN)
    resolved = by_hand(orphan.transfer, *orphan.signals)
    compiled = flow(fill={"origin": None})

    again = judged(compiled, [FILLED], ALL_SEEN, resolved)

    assert (again.transfer.status, again.signals) == ("resolved", [])


def test_a_step_that_comes_after_its_alert_was_resolved_reports_nothing_and_nothing_begins_anew() -> None:
    overdue = judged(flow(), [SENT, SETTLED], coverage(1100, 1100))
    resolved = by_hand(overdue.transfer, *overdue.signals)

    late = judged(flow(), [event("beta", "Filled", 1090)], ALL_SEEN, resolved)
    gone = settle(flow(), transfers.without_blocks_above(late.transfer, "beta", 1080), ALL_SEEN, 5000, REORG)

    assert (names(overdue), late.signals, gone.signals) == (["TransferOverdue"], [], [])
    assert late.transfer.status == "complete"
