"""What the events of one transfer mean: statuses, deadlines, alerts, whatever comes first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import permutations
from typing import Any

import msgspec
import pytest

from chainwatch.checker import transfer as transfers
from chainwatch.checker.coverage import Coverage
from chainwatch.checker.flow import FAILED_CHECKS, Flow, extract, index_steps
from chainwatch.checker.judge import OPENING, SEARCH
from chainwatch.checker.step_views import step_views
from chainwatch.checker.transfer import REORG, Settled, settle
from chainwatch.model import EXCLUDED, AbiEvent, AbiParam, Event, Occurrence, Signal, Transfer
from tests.support.flows import CHAIN_IDS, EVENTS, event, flow

FIRST_BLOCK = {"alpha": (0, 0), "beta": (0, 0), "gamma": (0, 0)}


def world(
    alpha: int = 0, beta: int = 0, gamma: int = 0, first: Mapping[str, tuple[int, int]] = FIRST_BLOCK
) -> Coverage:
    """How far each network was seen."""
    return Coverage({"alpha": alpha, "beta": beta, "gamma": gamma}, first)


def occurrences(compiled: Flow, events: Iterable[Event]) -> list[Occurrence]:
    found = extract(index_steps([compiled]), events)
    assert not found.signals
    return [o for of_key in found.found.values() for o in of_key]


def judged(
    compiled: Flow, events: Iterable[Event], seen: Coverage, before: Transfer | None = None
) -> Settled:
    current = transfers.with_events(before or Transfer("bridge", "7"), occurrences(compiled, events))
    return settle(compiled, current, seen, now=max(seen.seen.values()))


def names(settled: Settled) -> list[str]:
    return [s.labels["alertname"] for s in settled.signals]


def only(settled: Settled) -> Signal:
    (signal,) = settled.signals
    return signal


# --- deadlines ----------------------------------------------------------------------------------------


def test_an_opened_transfer_waits_for_each_step_until_its_own_deadline() -> None:
    opened = judged(flow(), [event("alpha", "Sent", 1000)], world(alpha=1000, beta=900))

    assert opened.transfer.status == "open"
    assert (opened.transfer.origin, opened.transfer.destination) == ("alpha", "beta")
    assert opened.transfer.opened_at == 1000
    assert opened.transfer.deadlines == {"fill": ("beta", 1030), "settle": ("beta", 1100)}
    assert opened.signals == []


def test_a_transfer_whose_steps_all_came_is_complete_and_waits_for_nothing() -> None:
    events = [event("alpha", "Sent", 1000), event("beta", "Filled", 1030), event("beta", "Settled", 1100)]

    done = judged(flow(), events, world(alpha=2000, beta=2000))

    assert (done.transfer.status, done.transfer.deadlines, done.signals) == ("complete", {}, [])


@pytest.mark.parametrize("seen", [0, 1029, 1030])
def test_a_step_is_not_overdue_before_its_network_is_seen_strictly_past_it(seen: int) -> None:
    """S5: at the deadline itself a block with the step may still follow."""
    waiting = judged(flow(), [event("alpha", "Sent", 1000)], world(alpha=9999, beta=seen))

    assert waiting.transfer.status == "open"
    assert waiting.signals == []


def test_a_missing_step_is_overdue_from_its_deadline_once_its_network_is_seen_past_it() -> None:
    late = judged(flow(), [event("alpha", "Sent", 1000)], world(alpha=1000, beta=1031))

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
    late = judged(flow(), [event("alpha", "Sent", 1000)], world(beta=1031))

    assert settle(flow(), late.transfer, world(beta=1050), 1050).signals == []


def test_a_late_step_ends_its_alert_at_its_own_time_and_says_how_late() -> None:
    overdue = judged(flow(), [event("alpha", "Sent", 1000)], world(beta=1031))

    came = judged(flow(), [event("beta", "Filled", 1042)], world(beta=1042), overdue.transfer)

    signal = only(came)
    assert (signal.starts_at, signal.ends_at, signal.reason) == (1030, 1042, "late")
    assert signal.annotations["late_by"] == "12"
    assert came.transfer.status == "open"  # it has still to settle


def test_a_late_step_that_was_seen_before_its_opening_leaves_the_same_alert() -> None:
    """S3: it came and went."""
    events = [event("alpha", "Sent", 1000), event("beta", "Filled", 1042)]

    at_once = judged(flow(), events, world(alpha=1000, beta=1042))

    signal = only(at_once)
    assert (signal.labels["alertname"], signal.starts_at, signal.ends_at) == ("TransferOverdue", 1030, 1042)


def test_a_step_that_turns_out_to_be_in_time_takes_its_alert_back() -> None:
    overdue = judged(flow(), [event("alpha", "Sent", 1000)], world(beta=1031))

    came = judged(flow(), [event("beta", "Filled", 1029)], world(beta=1040), overdue.transfer)

    signal = only(came)
    assert (signal.starts_at, signal.ends_at, signal.reason) == (1030, 1040, "in time")
    assert came.transfer.raised == {}


def test_a_step_at_the_deadline_itself_is_in_time() -> None:
    events = [event("alpha", "Sent", 1000), event("beta", "Filled", 1030)]

    assert judged(flow(), events, world(beta=9999), None).transfer.raised.keys() == {
        "TransferOverdue/settle/beta/alpha//P2"
    }


def test_a_step_on_the_origin_is_awaited_there() -> None:
    compiled = flow(settle={"on": "origin"})

    opened = judged(compiled, [event("alpha", "Sent", 1000)], world())

    assert opened.transfer.deadlines["settle"] == ("alpha", 1100)


def test_a_step_on_a_fixed_network_is_awaited_there() -> None:
    compiled = flow(settle={"on": "gamma"})

    opened = judged(compiled, [event("alpha", "Sent", 1000)], world(beta=9999))
    settled = judged(compiled, [event("gamma", "Settled", 1050)], world(), opened.transfer)

    assert opened.transfer.deadlines == {"settle": ("gamma", 1100)}
    assert "settle" not in settled.transfer.deadlines


def test_no_time_is_counted_against_a_network_that_was_never_seen() -> None:
    opened = settle(
        flow(), transfers.with_events(Transfer("bridge", "7"), occurrences(flow(), [event("alpha", "Sent", 1)])),
        Coverage({"alpha": 10**9}, {}), 10**9,
    )  # fmt: skip

    assert opened.transfer.status == "open"


# --- early steps and orphans --------------------------------------------------------------------------


def test_an_early_step_is_held_until_its_opening_comes() -> None:
    early = judged(flow(), [event("beta", "Filled", 1005)], world(alpha=900, beta=1005))
    opened = judged(flow(), [event("alpha", "Sent", 1000)], world(alpha=1000, beta=1005), early.transfer)

    assert (early.transfer.status, early.signals) == ("open", [])
    assert early.transfer.deadlines == {OPENING: ("alpha", 1015)}
    assert (opened.transfer.status, opened.signals) == ("open", [])
    assert opened.transfer.deadlines == {"settle": ("beta", 1100)}


@pytest.mark.parametrize("seen", [0, 1014, 1015])
def test_a_step_is_no_orphan_before_the_origin_is_seen_past_it_and_the_grace(seen: int) -> None:
    held = judged(flow(), [event("beta", "Filled", 1005)], world(alpha=seen, beta=9999))

    assert (held.transfer.status, held.signals) == ("open", [])


def test_a_step_without_opening_is_an_orphan_once_the_origin_is_seen_past_the_grace() -> None:
    orphan = judged(flow(), [event("beta", "Filled", 1005)], world(alpha=1016, beta=1005))

    assert (orphan.transfer.status, orphan.transfer.deadlines) == ("orphan", {})
    signal = only(orphan)
    assert (signal.labels["alertname"], signal.labels["severity"]) == ("TransferOrphan", "P0")
    assert (signal.labels["origin"], signal.labels["destination"]) == ("alpha", "beta")
    assert (signal.starts_at, signal.ends_at) == (1015, None)


def test_an_opening_later_than_the_grace_ends_the_orphan_in_either_order() -> None:
    orphan = judged(flow(), [event("beta", "Filled", 1005)], world(alpha=1016, beta=1005))
    opened = judged(flow(), [event("alpha", "Sent", 1020)], world(alpha=1020, beta=1005), orphan.transfer)
    at_once = judged(
        flow(),
        [event("alpha", "Sent", 1020), event("beta", "Filled", 1005)],
        world(alpha=1020, beta=1005),
    )

    assert (only(opened).starts_at, only(opened).ends_at) == (1015, 1020)
    assert only(opened) == only(at_once)
    assert opened.transfer == at_once.transfer


def test_an_opening_at_the_end_of_the_grace_itself_makes_no_orphan() -> None:
    events = [event("alpha", "Sent", 1015), event("beta", "Filled", 1005)]

    assert judged(flow(), events, world(alpha=1016, beta=1005)).signals == []


def test_steps_that_name_different_origins_are_no_repetition_of_each_other() -> None:
    events = [
        event("alpha", "Sent", 1000),
        event("beta", "Filled", 1010),
        event("beta", "Filled", 1011, from_=3),
    ]

    strayed = judged(flow(), events, world(alpha=1030, beta=1011, gamma=1030))

    assert names(strayed) == ["TransferOrphan"]


def test_an_orphan_that_does_not_name_its_origin_keeps_its_labels_when_it_is_opened_late() -> None:
    """S3: who sees the opening first must know the same alert."""
    compiled = flow(fill={"origin": None})
    seen = world(alpha=1020, beta=1020, gamma=1020)
    orphan = judged(compiled, [event("beta", "Filled", 1005)], seen)
    opened = judged(compiled, [event("alpha", "Sent", 1020)], seen, orphan.transfer)
    at_once = judged(compiled, [event("alpha", "Sent", 1020), event("beta", "Filled", 1005)], seen)

    assert "origin" not in only(orphan).labels
    assert only(opened).labels == only(orphan).labels == only(at_once).labels
    assert only(opened).ends_at == 1020


def test_a_step_that_names_no_origin_is_an_orphan_only_when_every_origin_is_seen_past_it() -> None:
    compiled = flow(fill={"origin": None})
    events = [event("beta", "Filled", 1005)]

    held = judged(compiled, events, world(alpha=2000, beta=2000, gamma=1015))
    orphan = judged(compiled, [], world(alpha=2000, beta=2000, gamma=1016), held.transfer)

    assert held.transfer.deadlines == {OPENING: ("gamma", 1015)}
    assert names(orphan) == ["TransferOrphan"]


def test_a_step_on_the_wrong_network_is_an_orphan_there_and_does_not_count() -> None:
    events = [event("alpha", "Sent", 1000), event("gamma", "Filled", 1010)]

    strayed = judged(flow(), events, world(alpha=1021, beta=1010, gamma=1010))

    assert strayed.transfer.status == "disputed"
    assert strayed.transfer.deadlines["fill"] == ("beta", 1030)
    assert only(strayed).labels["alertname"] == "TransferOrphan"
    assert only(strayed).labels["destination"] == "gamma"


def test_a_step_that_names_another_origin_is_an_orphan() -> None:
    events = [event("alpha", "Sent", 1000), event("beta", "Filled", 1010, from_=3)]

    strayed = judged(flow(), events, world(alpha=1021, beta=1010, gamma=1021))

    assert only(strayed).labels["origin"] == "gamma"
    assert strayed.transfer.deadlines["fill"] == ("beta", 1030)


def test_a_stray_step_is_held_until_the_origin_it_names_is_seen_past_it() -> None:
    events = [event("alpha", "Sent", 1000), event("beta", "Filled", 1010, from_=3)]

    held = judged(flow(), events, world(alpha=9999, beta=1010, gamma=1020))

    assert held.signals == []
    assert held.transfer.deadlines[OPENING] == ("gamma", 1020)


# --- before the first block watched -------------------------------------------------------------------

WATCHED_FROM = {"alpha": (50, 1000), "beta": (50, 1000), "gamma": (0, 0)}
UNSEARCHABLE = dict(EVENTS) | {
    "Sent": AbiEvent("Sent", tuple(msgspec.structs.replace(p, indexed=False) for p in EVENTS["Sent"].inputs))
}


def test_a_step_whose_opening_may_lie_before_the_first_block_is_looked_up_first() -> None:
    compiled = flow(lookback="1h")

    held = judged(compiled, [event("beta", "Filled", 1005)], world(1016, 1016, first=WATCHED_FROM))

    assert (held.transfer.status, held.signals) == ("open", [])
    assert held.transfer.deadlines == {OPENING: (SEARCH + "alpha", 1015)}


def test_a_step_whose_opening_was_looked_for_in_vain_is_an_orphan() -> None:
    compiled = flow(lookback="1h")
    held = judged(compiled, [event("beta", "Filled", 1005)], world(1016, 1016, first=WATCHED_FROM))

    searched = msgspec.structs.replace(held.transfer, searched=True)

    assert names(settle(compiled, searched, world(1016, 1016, first=WATCHED_FROM), 1016)) == [
        "TransferOrphan"
    ]


def test_a_step_whose_opening_cannot_be_looked_up_is_unopened_and_raises_nothing() -> None:
    compiled = flow(lookback="1h", events=UNSEARCHABLE)
    steps = [event("beta", "Filled", 1005), event("beta", "Filled", 1006)]

    unopened = judged(compiled, steps, world(2000, 2000, first=WATCHED_FROM))

    assert (unopened.transfer.status, unopened.signals, unopened.transfer.deadlines) == ("unopened", [], {})


@pytest.mark.parametrize("events", [EVENTS, UNSEARCHABLE], ids=["searchable", "not searchable"])
@pytest.mark.parametrize(
    ("lookback", "first"),
    [
        ("0s", WATCHED_FROM),
        ("1h", {"alpha": (0, 1000), "beta": (50, 1000)}),
        ("4s", WATCHED_FROM),
    ],
    ids=["lookback is off", "the origin is watched from block 0", "the lookback is too short"],
)
def test_a_step_without_opening_is_an_orphan_where_nothing_can_lie_before(
    lookback: str, first: dict[str, tuple[int, int]], events: dict[str, AbiEvent]
) -> None:
    compiled = flow(lookback=lookback, events=events)

    assert names(judged(compiled, [event("beta", "Filled", 1005)], world(1016, 1016, first=first))) == [
        "TransferOrphan"
    ]


def test_the_last_second_of_the_lookback_still_counts() -> None:
    compiled = flow(lookback="5s", events=UNSEARCHABLE)

    judgement = judged(compiled, [event("beta", "Filled", 1005)], world(1016, 1016, first=WATCHED_FROM))

    assert judgement.transfer.status == "unopened"


def test_steps_that_follow_an_unopened_one_on_its_network_are_no_orphans_however_late() -> None:
    """They share its opening step, which nobody can look up."""
    compiled = flow(lookback="1h", events=UNSEARCHABLE)
    events = [event("beta", "Filled", 4000), event("beta", "Settled", 9000)]

    unopened = judged(compiled, events, world(10_000, 10_000, first=WATCHED_FROM))

    assert (unopened.transfer.status, unopened.signals) == ("unopened", [])


def test_an_opening_found_before_the_first_block_makes_nobody_wait_for_what_nobody_watched() -> None:
    """The fill may have come before its network was watched: cannot see is not late (S5)."""
    compiled = flow(lookback="1h")
    events = [event("alpha", "Sent", 980, block=40), event("beta", "Settled", 1010)]

    found = judged(compiled, events, world(1016, 2000, first=WATCHED_FROM))

    assert (found.transfer.status, found.transfer.deadlines, found.signals) == ("complete", {}, [])
    assert [view.step.name for view in step_views(compiled, found.transfer)] == ["settle"]


def test_an_opening_found_before_the_first_block_still_awaits_what_its_network_was_watched_for() -> None:
    compiled = flow(lookback="1h", settle={"on": "gamma"})
    events = [event("alpha", "Sent", 980, block=40), event("beta", "Filled", 1005)]

    found = judged(compiled, events, world(1016, 2000, 1081, first=WATCHED_FROM))

    assert found.transfer.status == "overdue"
    assert [s.labels["step"] for s in found.signals if s.ends_at is None] == ["settle"]


def test_an_orphan_that_was_looked_up_stays_one_when_its_opening_comes_too_late() -> None:
    """S3: the search found nothing earlier, so the time as an orphan is a fact in every order."""
    compiled = flow(lookback="1h")
    seen = world(1030, 1016, first=WATCHED_FROM)
    held = judged(compiled, [event("beta", "Filled", 1005)], seen)
    orphan = settle(compiled, msgspec.structs.replace(held.transfer, searched=True), seen, 1030)
    opened = judged(compiled, [event("alpha", "Sent", 1020)], seen, orphan.transfer)
    at_once = judged(compiled, [event("alpha", "Sent", 1020), event("beta", "Filled", 1005)], seen)

    assert (only(opened).reason, only(opened).ends_at) == ("late", 1020)
    assert only(opened) == only(at_once)


# --- networks that are not configured -----------------------------------------------------------------


def test_a_transfer_to_a_network_that_is_not_configured_is_untracked_and_raises_nothing() -> None:
    untracked = judged(flow(), [event("alpha", "Sent", 1000, to=99)], world(9999, 9999, 9999))

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
    seen = world(2000, 2000, 2000)
    orphan = judged(compiled, [fill], seen)
    opened = judged(compiled, [opening], seen, orphan.transfer)

    assert (only(opened).reason, only(opened).ends_at) == ("late", 1030)
    assert only(judged(compiled, [opening, fill], seen)) == only(opened)
    assert opened.transfer.status == "untracked"


def test_a_step_from_a_network_that_is_not_configured_is_untracked_and_raises_nothing() -> None:
    steps = [event("beta", "Filled", 1000, from_=99), event("beta", "Filled", 1001, from_=99)]

    untracked = judged(flow(), steps, world(9999, 9999, 9999))

    assert (untracked.transfer.status, untracked.signals) == ("untracked", [])


@pytest.mark.parametrize("seen", [0, 9999], ids=["not read", "read for other flows"])
def test_a_configured_network_that_the_flows_contract_is_not_on_is_none_that_the_flow_watches(
    seen: int,
) -> None:
    compiled, read = flow(deployed=["alpha", "beta"]), world(9999, 9999, seen)

    there = judged(compiled, [event("alpha", "Sent", 1000, to=3)], read)
    thence = judged(compiled, [event("beta", "Filled", 1000, from_=3)], read)

    assert [(s.transfer.status, s.signals, s.transfer.deadlines) for s in (there, thence)] == [
        ("untracked", [], {})
    ] * 2


def test_only_those_steps_are_awaited_whose_contract_is_on_the_network() -> None:
    compiled = flow(deployed=["alpha", "beta"], settle={"on": "origin"})

    opened = judged(compiled, [event("alpha", "Sent", 1000, to=3)], world(1000))

    assert (opened.transfer.status, opened.transfer.deadlines) == ("open", {"settle": ("alpha", 1100)})
    acknowledged = judged(compiled, [event("alpha", "Settled", 1010)], world(1010), opened.transfer)
    assert acknowledged.transfer.status == "complete"


def test_a_step_on_a_watched_network_that_an_untracked_transfer_never_asked_for_is_an_orphan() -> None:
    events = [event("alpha", "Sent", 1000, to=99), event("beta", "Filled", 1001)]

    untracked = judged(flow(), events, world(9999, 9999, 9999))

    assert untracked.transfer.status == "disputed"
    assert names(untracked) == ["TransferOrphan"]


# --- mismatches and repeats ---------------------------------------------------------------------------


def test_an_opening_that_names_another_origin_than_its_network_is_a_mismatch() -> None:
    wrong = judged(flow(), [event("alpha", "Sent", 1000, from_=3)], world(1000))

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

    twice = judged(flow(), events, world(1000, 1020))
    thrice = judged(flow(), [event("beta", "Filled", 1025)], world(1000, 1025), twice.transfer)

    assert (only(twice).labels["alertname"], only(twice).starts_at) == ("TransferRepeated", 1020)
    assert only(thrice).labels == only(twice).labels
    assert only(thrice).starts_at == 1020
    assert "3 logs" in only(thrice).annotations["description"]


def test_a_repeated_opening_raises_an_alert() -> None:
    events = [event("alpha", "Sent", 1000), event("alpha", "Sent", 1001)]

    assert names(judged(flow(), events, world(1001))) == ["TransferRepeated"]


def test_the_same_log_seen_twice_is_no_repetition() -> None:
    events = [event("alpha", "Sent", 1000), event("beta", "Filled", 1010), event("beta", "Filled", 1010)]
    once = judged(flow(), events, world(1000, 1020))

    assert judged(flow(), events, world(1000, 1020), once.transfer).signals == []
    assert len(once.transfer.occurrences) == 2


@pytest.mark.parametrize("changes", [{"repeat": "allow"}, {"fill": {"repeat": "allow"}}])
def test_repetition_can_be_allowed_for_the_flow_or_for_one_step(changes: dict[str, Any]) -> None:
    events = [event("alpha", "Sent", 1000), event("beta", "Filled", 1010), event("beta", "Filled", 1020)]

    assert judged(flow(**changes), events, world(1000, 1020)).signals == []


def test_repetition_allowed_for_the_flow_can_be_forbidden_for_one_step() -> None:
    compiled = flow(repeat="allow", fill={"repeat": "alert"})
    events = [event("alpha", "Sent", 1000), event("alpha", "Sent", 1001)]
    events += [event("beta", "Filled", 1010), event("beta", "Filled", 1020)]

    assert only(judged(compiled, events, world(1001, 1020))).labels["step"] == "fill"


def test_a_repeated_orphan_raises_both_alerts_and_keeps_them_when_it_is_opened_late() -> None:
    """S3."""
    steps = [event("beta", "Filled", 1005), event("beta", "Filled", 1006)]
    orphan = judged(flow(), steps, world(1030, 1030))
    opened = judged(flow(), [event("alpha", "Sent", 1030)], world(1030, 1030), orphan.transfer)

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

    first = judged(compiled, [events[order[0]]], world(1000, 1010))
    second = judged(compiled, [events[order[1]]], world(1000, 1010), first.transfer)

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

    assert judged(compiled, events, world(1000, 1010)).signals == []


def test_an_assertion_that_cannot_be_answered_is_a_mismatch_that_says_why() -> None:
    compiled = flow(fill={"assert": "amount == opening.parts[1]"})
    events = [event("alpha", "Sent", 1000, parts=[1]), event("beta", "Filled", 1010)]

    signal = only(judged(compiled, events, world(1000, 1010)))

    assert signal.labels["alertname"] == "TransferMismatch"
    assert "cannot evaluate `amount == opening.parts[1]`" in signal.annotations["description"]


def test_a_failed_built_in_check_is_a_p0_mismatch_with_the_same_labels_before_and_after_the_opening() -> None:
    """S3: what is wrong with an event by itself does not wait for another and does not change by it."""
    compiled = flow(fill={"origin": None})
    fill = occurrences(compiled, [event("beta", "Filled", 1010)])[0]
    bad = msgspec.structs.replace(
        fill, facts=fill.facts | {FAILED_CHECKS: {"connext.transfer_id": "it is not"}}
    )
    seen = world(1000, 1010, 900)

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
    filled = judged(flow(), events, world(1000, 1010))

    undone = transfers.without_blocks_above(filled.transfer, "beta", 1009)

    assert settle(flow(), undone, world(1000, 1010), 1010, REORG).transfer.deadlines["fill"] == ("beta", 1030)


def test_an_alert_whose_opening_was_reorganised_away_ends_with_the_reason_reorg() -> None:
    """S4."""
    late = judged(flow(), [event("alpha", "Sent", 1000)], world(1000, 1031))

    undone = transfers.without_blocks_above(late.transfer, "alpha", 999)
    settled = settle(flow(), undone, world(1000, 1031), 1050, REORG)

    assert (only(settled).ends_at, only(settled).reason) == (1050, "reorg")
    assert (settled.transfer.raised, settled.transfer.deadlines, settled.transfer.status) == ({}, {}, "open")


def test_an_alert_whose_late_step_was_reorganised_away_fires_again() -> None:
    """S4."""
    events = [event("alpha", "Sent", 1000), event("beta", "Filled", 1042)]
    ended = judged(flow(), events, world(1000, 1042))

    undone = transfers.without_blocks_above(ended.transfer, "beta", 1041)

    signal = only(settle(flow(), undone, world(1000, 1050), 1050, REORG))
    assert (signal.starts_at, signal.ends_at) == (1030, None)


def test_an_alert_reports_the_transaction_that_replaced_the_one_it_reported_of() -> None:
    """S4: the same block time, another transaction."""
    old = judged(flow(), [event("alpha", "Sent", 1000)], world(1000, 1031))

    undone = transfers.without_blocks_above(old.transfer, "alpha", 999)
    new = judged(flow(), [event("alpha", "Sent", 1000, amount=1)], world(1000, 1031), undone)

    assert only(new).starts_at == 1030
    assert only(new).annotations["amount"] == "1"


def test_blocks_of_other_networks_are_not_touched_by_a_reorg() -> None:
    events = [event("alpha", "Sent", 1000), event("beta", "Filled", 1010)]
    filled = judged(flow(), events, world(1000, 1010)).transfer

    assert transfers.without_blocks_above(filled, "gamma", 0) == filled


# --- several openings ---------------------------------------------------------------------------------


def test_a_step_answers_the_opening_that_asks_for_it_when_there_are_several() -> None:
    compiled = flow(repeat="allow", fill={"assert": "amount == opening.amount"})
    events = [
        event("alpha", "Sent", 1000, amount=1),
        event("gamma", "Sent", 1001, from_=3, amount=2),
        event("beta", "Filled", 1010, from_=3, amount=2),
    ]

    assert judged(compiled, events, world(1000, 1010, 1001)).signals == []


# --- what is shown ------------------------------------------------------------------------------------


def test_each_expected_step_shows_its_network_its_deadline_and_its_event() -> None:
    events = [event("alpha", "Sent", 1000), event("gamma", "Filled", 1005), event("beta", "Filled", 1010)]
    opened = judged(flow(), events, world(1000, 1010)).transfer

    shown = [
        (v.step.name, v.network, v.due_at, v.event and v.event.timestamp) for v in step_views(flow(), opened)
    ]

    assert shown == [("fill", "beta", 1030, 1010), ("settle", "beta", 1100, None)]


def test_what_never_opened_and_what_is_untracked_shows_no_steps() -> None:
    early = judged(flow(), [event("beta", "Filled", 1005)], world()).transfer
    untracked = judged(flow(), [event("alpha", "Sent", 1000, to=99)], world()).transfer

    assert step_views(flow(), early) == step_views(flow(), untracked) == []


def test_a_transfer_without_events_is_open_and_silent() -> None:
    assert settle(flow(), Transfer("bridge", "7"), world(), 0) == Settled(Transfer("bridge", "7"), [])


def test_a_key_and_its_parameters_are_named_in_every_alert() -> None:
    abi = dict(EVENTS) | {"Sent": AbiEvent("Sent", (*EVENTS["Sent"].inputs, AbiParam("token", "address")))}
    compiled = flow(opens={"asset": "token"}, runbook_url="https://example.org/runbook", events=abi)
    sent = event("alpha", "Sent", 1000, events=abi, token="0x" + "Ab" * 20)

    signal = only(judged(compiled, [sent], world(beta=1031)))

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
        left_out = judged(compiled, order, world(9000, 9000))
        assert (left_out.transfer.status, left_out.signals, left_out.transfer.deadlines) == (EXCLUDED, [], {})
        assert step_views(compiled, left_out.transfer) == []


def test_a_counted_opening_wins_over_one_that_where_leaves_out() -> None:
    compiled = flow(opens={"where": "amount >= 1000"})
    events = [event("alpha", "Sent", 1000, amount=1), event("alpha", "Sent", 1001, block=9, amount=1000)]

    assert judged(compiled, events, world(1001)).transfer.status == "open"


def test_a_payout_for_an_origin_on_which_the_flow_does_not_open_is_untracked() -> None:
    compiled = flow(opens={"on": "gamma"})

    judgement = judged(
        compiled, [event("beta", "Filled", 1000, from_=CHAIN_IDS["alpha"])], world(9000, 9000, 9000)
    )

    assert (judgement.transfer.status, judgement.signals) == ("untracked", [])
