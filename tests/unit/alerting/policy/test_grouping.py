"""What a group notifies, and when, from tables."""

from typing import Literal

import msgspec
import pytest

from chainwatch.alerting.policy.grouping import (
    Message,
    after_flush,
    digest,
    ended_unheard,
    flush_at_change,
    is_repeat_due,
    message,
    next_tick,
)
from chainwatch.store.alerting.alert_groups import Group, Member

GROUP = Group(1, "key", "ops", "{}", {}, flush_at=105.0)
FLUSHED = msgspec.structs.replace(GROUP, flush_at=5000.0, flushed_at=105.0, sent_at=105.0)


def _member(
    alert_id: int,
    state: Literal["firing", "resolved"],
    *,
    notified: bool,
    fingerprint: str = "",
    quiet: bool = False,
    unseen_for: float | None = None,
) -> Member:
    return Member(alert_id, fingerprint or f"f{alert_id}", state, notified, quiet, unseen_for=unseen_for)


NEW = _member(1, "firing", notified=False)
OLD = _member(2, "firing", notified=True)
OVER = _member(3, "resolved", notified=True)
MISSED = _member(4, "resolved", notified=False)


@pytest.mark.parametrize(
    ("members", "notified"),
    [
        ([], None),
        ([NEW], Message((1,))),
        ([OLD], None),
        ([NEW, OLD], Message((1, 2))),
        ([OVER], Message((), (3,))),
        ([OLD, OVER], Message((2,), (3,))),
        ([NEW, OVER], Message((1,), (3,))),
        ([MISSED], Message((4,), (4,), in_order=True)),
        ([NEW, MISSED], Message((1, 4), (4,), in_order=True)),
        ([OVER, MISSED], Message((4,), (3, 4), in_order=True)),
        ([_member(5, "resolved", notified=False, quiet=True)], None),
        ([_member(5, "resolved", notified=True, quiet=True)], Message((), (5,))),
    ],
)
def test_firing_alerts_and_new_ends_are_one_message(members: list[Member], notified: Message | None) -> None:
    assert message(members, send_resolved=True, repeat=False) == notified


def test_the_episodes_of_one_condition_are_reported_in_order_s6() -> None:
    episodes = [
        _member(1, "resolved", notified=True, fingerprint="f"),
        _member(2, "firing", notified=False, fingerprint="f"),
    ]
    assert message(episodes, send_resolved=True, repeat=False) == Message((2,), (1,), in_order=True)


def test_a_receiver_that_hears_of_no_ends_is_reported_of_what_still_fires_alone() -> None:
    assert message([NEW, OVER, MISSED], send_resolved=False, repeat=False) == Message((1,))
    assert message([OVER, MISSED], send_resolved=False, repeat=False) is None
    assert message([OLD, OVER], send_resolved=False, repeat=True) == Message((2,))


def test_a_repeat_reports_firing_alerts_again_and_nothing_else() -> None:
    assert message([OLD], send_resolved=True, repeat=True) == Message((2,))
    assert message([], send_resolved=True, repeat=True) is None


@pytest.mark.parametrize(
    ("member", "wait", "is_unheard"),
    [
        (MISSED, 5.0, True),
        (OVER, 5.0, False),
        (NEW, 5.0, False),
        (_member(5, "resolved", notified=False, unseen_for=4.9), 5.0, True),
        (_member(5, "resolved", notified=False, unseen_for=5.0), 5.0, False),
        (_member(5, "resolved", notified=False, quiet=True), 5.0, False),
    ],
)
def test_what_is_over_and_was_never_reported_is_reported_no_more(
    member: Member, wait: float, is_unheard: bool
) -> None:
    assert ended_unheard(member, wait) is is_unheard
    assert not ended_unheard(member, wait, collects=True)


@pytest.mark.parametrize("collects", [False, True])
def test_what_ended_while_it_was_held_back_is_reported_no_more(collects: bool) -> None:
    held = msgspec.structs.replace(MISSED, held=True)
    assert ended_unheard(held, 0.0, collects=collects)
    assert ended_unheard(msgspec.structs.replace(held, held=False, released=True), 0.0, collects=collects)


def test_a_digest_holds_the_beginning_and_the_end_of_what_came_and_went() -> None:
    members = [NEW, OLD, OVER, MISSED]
    assert digest(members, send_resolved=True, empty=False) == Message((1, 2, 4), (3, 4), in_order=True)
    assert digest(members, send_resolved=False, empty=False) == Message((1, 2))
    assert digest([MISSED], send_resolved=False, empty=False) is None
    assert digest([], send_resolved=True, empty=True) == Message(())


@pytest.mark.parametrize(
    ("at", "tick"), [(100, 115), (101, 115), (115, 115), (115.1, 130), (1000, 1000), (1001, 1015)]
)
def test_ticks_are_an_interval_apart_from_the_last_flush(at: float, tick: float) -> None:
    assert next_tick(100, 15, at) == tick


def test_a_change_before_the_first_flush_waits_for_it() -> None:
    assert flush_at_change(GROUP, 15.0, now=101.0) == 105.0


def test_a_change_after_a_flush_waits_for_the_next_tick() -> None:
    assert flush_at_change(FLUSHED, 15.0, now=121.0) == 135.0


def test_a_change_never_puts_a_flush_off() -> None:
    assert flush_at_change(msgspec.structs.replace(FLUSHED, flush_at=120.0), 15.0, now=121.0) == 120.0


def _after(group: Group, *, notified: bool, firing: bool, now: float, **more: bool) -> Group | None:
    return after_flush(
        group, group_interval=15.0, repeat_interval=60.0, notified=notified, firing=firing, now=now, **more
    )


def test_a_group_that_still_fires_is_looked_at_again_when_it_repeats() -> None:
    after = _after(GROUP, notified=True, firing=True, now=105.01)
    assert after is not None
    assert (after.flushed_at, after.sent_at, after.flush_at) == (105.0, 105.0, 165.0)
    assert is_repeat_due(after, 60.0, 165.0)
    assert not is_repeat_due(after, 60.0, 164.9)


def test_a_flush_that_comes_late_moves_the_ticks_so_that_the_next_is_not_early() -> None:
    after = _after(GROUP, notified=True, firing=True, now=300.0)
    assert after is not None
    assert after.flushed_at == 300.0


@pytest.mark.parametrize("notified", [True, False])
def test_an_emptied_group_keeps_its_ticks_for_half_a_minute_and_is_then_over(notified: bool) -> None:
    emptied = _after(GROUP, notified=notified, firing=False, now=105.0, emptied=True)
    assert emptied is not None
    assert emptied.flush_at == 135.0
    assert flush_at_change(emptied, 15.0, now=106.0) == 120.0
    assert _after(emptied, notified=False, firing=False, now=135.0) is None


def test_an_emptied_group_with_a_longer_interval_lives_until_its_next_tick() -> None:
    emptied = after_flush(
        GROUP, group_interval=300.0, repeat_interval=600.0, notified=True, firing=False, now=105.0
    )
    assert emptied is not None
    assert emptied.flush_at == 405.0
