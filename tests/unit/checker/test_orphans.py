"""Steps without an opening step: early ones, orphans, and those that may open before the first block watched."""

from __future__ import annotations

import msgspec
import pytest

from chainwatch.checker.judge import SEARCH, opening_deadline
from chainwatch.checker.step_views import step_views
from chainwatch.checker.transfer import settle
from chainwatch.model import AbiEvent
from tests.support.flows import EVENTS, event, flow
from tests.support.judging import coverage, judged, names, only

# --- early steps and orphans --------------------------------------------------------------------------


def test_an_early_step_is_held_until_its_opening_comes() -> None:
    early = judged(flow(), [event("beta", "Filled", 1005)], coverage(alpha=900, beta=1005))
    opened = judged(flow(), [event("alpha", "Sent", 1000)], coverage(alpha=1000, beta=1005), early.transfer)

    assert (early.transfer.status, early.signals) == ("open", [])
    assert early.transfer.deadlines == {opening_deadline("alpha"): ("alpha", 1015)}
    assert (opened.transfer.status, opened.signals) == ("open", [])
    assert opened.transfer.deadlines == {"settle": ("beta", 1100)}


@pytest.mark.parametrize("seen", [0, 1014, 1015])
def test_a_step_is_no_orphan_before_the_origin_is_seen_past_it_and_the_grace(seen: int) -> None:
    held = judged(flow(), [event("beta", "Filled", 1005)], coverage(alpha=seen, beta=9999))

    assert (held.transfer.status, held.signals) == ("open", [])


def test_a_step_without_opening_is_an_orphan_once_the_origin_is_seen_past_the_grace() -> None:
    orphan = judged(flow(), [event("beta", "Filled", 1005)], coverage(alpha=1016, beta=1005))

    assert (orphan.transfer.status, orphan.transfer.deadlines) == ("orphan", {})
    signal = only(orphan)
    assert (signal.labels["alertname"], signal.labels["severity"]) == ("TransferOrphan", "P0")
    assert (signal.labels["origin"], signal.labels["destination"]) == ("alpha", "beta")
    assert (signal.starts_at, signal.ends_at) == (1015, None)


def test_an_opening_later_than_the_grace_ends_the_orphan_in_either_order() -> None:
    orphan = judged(flow(), [event("beta", "Filled", 1005)], coverage(alpha=1016, beta=1005))
    opened = judged(flow(), [event("alpha", "Sent", 1020)], coverage(alpha=1020, beta=1005), orphan.transfer)
    at_once = judged(
        flow(),
        [event("alpha", "Sent", 1020), event("beta", "Filled", 1005)],
        coverage(alpha=1020, beta=1005),
    )

    assert (only(opened).starts_at, only(opened).ends_at) == (1015, 1020)
    assert only(opened) == only(at_once)
    assert opened.transfer == at_once.transfer


def test_an_opening_at_the_end_of_the_grace_itself_makes_no_orphan() -> None:
    events = [event("alpha", "Sent", 1015), event("beta", "Filled", 1005)]

    assert judged(flow(), events, coverage(alpha=1016, beta=1005)).signals == []


def test_steps_that_name_different_origins_are_no_repetition_of_each_other() -> None:
    events = [
        event("alpha", "Sent", 1000),
        event("beta", "Filled", 1010),
        event("beta", "Filled", 1011, from_=3),
    ]

    strayed = judged(flow(), events, coverage(alpha=1030, beta=1011, gamma=1030))

    assert names(strayed) == ["TransferOrphan"]


def test_an_orphan_that_does_not_name_its_origin_keeps_its_labels_when_it_is_opened_late() -> None:
    """S3: who sees the opening first must know the same alert."""
    compiled = flow(fill={"origin": None})
    seen = coverage(alpha=1020, beta=1020, gamma=1020)
    orphan = judged(compiled, [event("beta", "Filled", 1005)], seen)
    opened = judged(compiled, [event("alpha", "Sent", 1020)], seen, orphan.transfer)
    at_once = judged(compiled, [event("alpha", "Sent", 1020), event("beta", "Filled", 1005)], seen)

    assert "origin" not in only(orphan).labels
    assert only(opened).labels == only(orphan).labels == only(at_once).labels
    assert only(opened).ends_at == 1020


def test_a_step_that_names_no_origin_is_an_orphan_only_when_every_origin_is_seen_past_it() -> None:
    compiled = flow(fill={"origin": None})
    events = [event("beta", "Filled", 1005)]

    held = judged(compiled, events, coverage(alpha=2000, beta=2000, gamma=1015))
    orphan = judged(compiled, [], coverage(alpha=2000, beta=2000, gamma=1016), held.transfer)

    assert held.transfer.deadlines == {opening_deadline("gamma"): ("gamma", 1015)}
    assert names(orphan) == ["TransferOrphan"]


def test_a_step_on_the_wrong_network_is_an_orphan_there_and_does_not_count() -> None:
    events = [event("alpha", "Sent", 1000), event("gamma", "Filled", 1010)]

    strayed = judged(flow(), events, coverage(alpha=1021, beta=1010, gamma=1010))

    assert strayed.transfer.status == "disputed"
    assert strayed.transfer.deadlines["fill"] == ("beta", 1030)
    assert only(strayed).labels["alertname"] == "TransferOrphan"
    assert only(strayed).labels["destination"] == "gamma"


def test_a_step_that_names_another_origin_is_an_orphan() -> None:
    events = [event("alpha", "Sent", 1000), event("beta", "Filled", 1010, from_=3)]

    strayed = judged(flow(), events, coverage(alpha=1021, beta=1010, gamma=1021))

    assert only(strayed).labels["origin"] == "gamma"
    assert strayed.transfer.deadlines["fill"] == ("beta", 1030)


def test_a_stray_step_is_held_until_the_origin_it_names_is_seen_past_it() -> None:
    events = [event("alpha", "Sent", 1000), event("beta", "Filled", 1010, from_=3)]

    held = judged(flow(), events, coverage(alpha=9999, beta=1010, gamma=1020))

    assert held.signals == []
    assert held.transfer.deadlines[opening_deadline("gamma")] == ("gamma", 1020)


@pytest.mark.parametrize("first", [1, 3], ids=["alpha", "gamma"])
def test_early_steps_from_two_networks_are_each_judged_by_their_own_network(first: int) -> None:
    """One of the networks cannot be read: an orphan that the other one shows does not wait for it (S8)."""
    events = [
        event("beta", "Filled", 1005, from_=first),
        event("beta", "Settled", 1005, from_=4 - first, log_index=1),
    ]
    held = judged(flow(), events, coverage(alpha=900, beta=1005, gamma=900))
    blind = judged(flow(), [], coverage(alpha=900, beta=1005, gamma=1016), held.transfer)
    both = judged(flow(), [], coverage(alpha=1016, beta=1005, gamma=1016), blind.transfer)

    assert held.transfer.deadlines == {
        opening_deadline("alpha"): ("alpha", 1015),
        opening_deadline("gamma"): ("gamma", 1015),
    }
    assert [s.labels["origin"] for s in blind.signals] == ["gamma"]
    assert blind.transfer.deadlines == {opening_deadline("alpha"): ("alpha", 1015)}
    assert [s.labels["origin"] for s in both.signals] == ["alpha"]
    assert both.transfer.deadlines == {}


# --- before the first block watched -------------------------------------------------------------------

WATCHED_FROM = {"alpha": (50, 1000), "beta": (50, 1000), "gamma": (0, 0)}
UNSEARCHABLE = dict(EVENTS) | {
    "Sent": AbiEvent("Sent", tuple(msgspec.structs.replace(p, indexed=False) for p in EVENTS["Sent"].inputs))
}


def test_a_step_whose_opening_may_lie_before_the_first_block_is_looked_up_first() -> None:
    compiled = flow(lookback="1h")

    held = judged(compiled, [event("beta", "Filled", 1005)], coverage(1016, 1016, first=WATCHED_FROM))

    assert (held.transfer.status, held.signals) == ("open", [])
    assert held.transfer.deadlines == {opening_deadline(SEARCH + "alpha"): (SEARCH + "alpha", 1015)}


def test_a_step_whose_opening_was_looked_for_in_vain_is_an_orphan() -> None:
    compiled = flow(lookback="1h")
    held = judged(compiled, [event("beta", "Filled", 1005)], coverage(1016, 1016, first=WATCHED_FROM))

    searched = msgspec.structs.replace(held.transfer, searched=True)

    assert names(settle(compiled, searched, coverage(1016, 1016, first=WATCHED_FROM), 1016)) == [
        "TransferOrphan"
    ]


def test_a_step_whose_opening_cannot_be_looked_up_is_unopened_and_raises_nothing() -> None:
    compiled = flow(lookback="1h", events=UNSEARCHABLE)
    steps = [event("beta", "Filled", 1005), event("beta", "Filled", 1006)]

    unopened = judged(compiled, steps, coverage(2000, 2000, first=WATCHED_FROM))

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

    assert names(judged(compiled, [event("beta", "Filled", 1005)], coverage(1016, 1016, first=first))) == [
        "TransferOrphan"
    ]


def test_the_last_second_of_the_lookback_still_counts() -> None:
    compiled = flow(lookback="5s", events=UNSEARCHABLE)

    judgement = judged(compiled, [event("beta", "Filled", 1005)], coverage(1016, 1016, first=WATCHED_FROM))

    assert judgement.transfer.status == "unopened"


def test_steps_that_follow_an_unopened_one_on_its_network_are_no_orphans_however_late() -> None:
    """They share its opening step, which nobody can look up."""
    compiled = flow(lookback="1h", events=UNSEARCHABLE)
    events = [event("beta", "Filled", 4000), event("beta", "Settled", 9000)]

    unopened = judged(compiled, events, coverage(10_000, 10_000, first=WATCHED_FROM))

    assert (unopened.transfer.status, unopened.signals) == ("unopened", [])


def test_an_opening_found_before_the_first_block_makes_nobody_wait_for_what_nobody_watched() -> None:
    """The fill may have come before its network was watched: cannot see is not late (S5)."""
    compiled = flow(lookback="1h")
    events = [event("alpha", "Sent", 980, block=40), event("beta", "Settled", 1010)]

    found = judged(compiled, events, coverage(1016, 2000, first=WATCHED_FROM))

    assert (found.transfer.status, found.transfer.deadlines, found.signals) == ("complete", {}, [])
    assert [view.step.name for view in step_views(compiled, found.transfer)] == ["settle"]


def test_an_opening_found_before_the_first_block_still_awaits_what_its_network_was_watched_for() -> None:
    compiled = flow(lookback="1h", settle={"on": "gamma"})
    events = [event("alpha", "Sent", 980, block=40), event("beta", "Filled", 1005)]

    found = judged(compiled, events, coverage(1016, 2000, 1081, first=WATCHED_FROM))

    assert found.transfer.status == "overdue"
    assert [s.labels["step"] for s in found.signals if s.ends_at is None] == ["settle"]


def test_an_orphan_that_was_looked_up_stays_one_when_its_opening_comes_too_late() -> None:
    """S3: the search found nothing earlier, so the time as an orphan is a fact in every order."""
    compiled = flow(lookback="1h")
    seen = coverage(1030, 1016, first=WATCHED_FROM)
    held = judged(compiled, [event("beta", "Filled", 1005)], seen)
    orphan = settle(compiled, msgspec.structs.replace(held.transfer, searched=True), seen, 1030)
    opened = judged(compiled, [event("alpha", "Sent", 1020)], seen, orphan.transfer)
    at_once = judged(compiled, [event("alpha", "Sent", 1020), event("beta", "Filled", 1005)], seen)

    assert (only(opened).reason, only(opened).ends_at) == ("late", 1020)
    assert only(opened) == only(at_once)


# --- orphans that are allowed -------------------------------------------------------------------------

ALLOWED = {"orphan": "allow"}


def test_a_step_without_opening_is_untracked_where_orphans_are_allowed() -> None:
    steps = [event("beta", "Filled", 1005), event("beta", "Filled", 1006)]
    allowed = judged(flow(fill=ALLOWED), steps, coverage(alpha=9999, beta=9999))

    assert (allowed.transfer.status, allowed.transfer.deadlines, allowed.signals) == ("untracked", {}, [])


def test_allowing_orphans_of_one_step_allows_none_of_another() -> None:
    compiled = flow(fill=ALLOWED)
    steps = [event("beta", "Filled", 1005), event("beta", "Settled", 1006)]

    assert only(judged(compiled, steps, coverage(alpha=9999, beta=9999))).labels["step"] == "settle"


@pytest.mark.parametrize("later", [1006, 1016, 1200])
def test_an_opening_after_an_allowed_orphan_makes_the_same_transfer_in_either_order(later: int) -> None:
    """S3"""
    compiled = flow(fill=ALLOWED)
    opening, fill = event("alpha", "Sent", later), event("beta", "Filled", 1005)
    seen = coverage(alpha=1400, beta=1400)
    early = judged(compiled, [fill], coverage(alpha=1005, beta=1005))
    opened = judged(compiled, [opening], seen, early.transfer)
    at_once = judged(compiled, [opening, fill], seen)

    assert opened.transfer == at_once.transfer
    assert (opened.signals, names(opened)) == (at_once.signals, ["TransferOverdue"])
    assert opened.signals[0].labels["step"] == "settle"


def test_a_repeated_orphan_of_an_event_that_is_two_steps_stays_repeated_when_its_opening_comes_late_S3() -> (
    None
):
    both = flow(clock_skew="0s", settle={"event": "Filled", "on": "origin", "origin": None})
    twice = [event("beta", "Filled", 1000), event("beta", "Filled", 1000, log_index=1)]
    seen = coverage(alpha=1020, beta=1200)
    orphan = judged(both, twice, seen)
    opened = judged(both, [event("alpha", "Sent", 1030)], coverage(alpha=1200, beta=1200), orphan.transfer)
    at_once = judged(both, [*twice, event("alpha", "Sent", 1030)], coverage(alpha=1200, beta=1200))

    assert names(orphan).count("TransferRepeated") == 2
    assert opened.transfer == at_once.transfer
    assert [s for s in opened.signals if s.labels["alertname"] == "TransferRepeated" and s.ends_at] == []
