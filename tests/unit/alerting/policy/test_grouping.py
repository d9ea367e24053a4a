"""What a group tells, and when, from tables."""

from typing import Literal

import msgspec
import pytest

from chainwatch.alerting.policy.grouping import (
    Message,
    after_flush,
    flush_at_change,
    is_repeat_due,
    messages,
    next_tick,
)
from chainwatch.store.alert_groups import Group, Member

GROUP = Group(1, "key", "ops", "{}", {}, flush_at=105.0)
FLUSHED = msgspec.structs.replace(GROUP, flush_at=5000.0, flushed_at=105.0, sent_at=105.0)


def _member(
    alert_id: int,
    state: Literal["firing", "resolved"],
    *,
    told: bool,
    fingerprint: str = "",
    quiet: bool = False,
) -> Member:
    return Member(alert_id, fingerprint or f"f{alert_id}", state, told, quiet)


NEW = _member(1, "firing", told=False)
OLD = _member(2, "firing", told=True)
OVER = _member(3, "resolved", told=True)
MISSED = _member(4, "resolved", told=False)


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([], []),
        ([NEW], [Message((1,))]),
        ([OLD], []),
        ([NEW, OLD], [Message((1, 2))]),
        ([OVER], [Message((), (3,))]),
        ([OLD, OVER], [Message((2,), (3,))]),
        ([NEW, OVER], [Message((1,), (3,))]),
        ([MISSED], [Message((4,)), Message((), (4,))]),
        ([NEW, MISSED], [Message((1, 4)), Message((1,), (4,))]),
        ([OVER, MISSED], [Message((4,), (3,)), Message((), (4,))]),
        ([_member(5, "resolved", told=False, quiet=True)], []),
        ([_member(5, "resolved", told=True, quiet=True)], [Message((), (5,))]),
    ],
)
def test_firing_alerts_and_new_ends_are_told_firing_first(members: list[Member], told: list[Message]) -> None:
    assert messages(members, send_resolved=True, repeat=False) == told


def test_the_episodes_of_one_condition_are_told_in_order_s6() -> None:
    episodes = [
        _member(1, "resolved", told=True, fingerprint="f"),
        _member(2, "resolved", told=False, fingerprint="f"),
        _member(3, "firing", told=False, fingerprint="f"),
    ]
    assert messages(episodes, send_resolved=True, repeat=False) == [
        Message((), (1,)),
        Message((2,)),
        Message((), (2,)),
        Message((3,)),
    ]


def test_a_receiver_that_hears_of_no_ends_is_told_of_firing_alone() -> None:
    assert messages([NEW, OVER, MISSED], send_resolved=False, repeat=False) == [Message((1, 4))]
    assert messages([OVER], send_resolved=False, repeat=False) == []


def test_a_repeat_tells_firing_alerts_again_and_nothing_else() -> None:
    assert messages([OLD], send_resolved=True, repeat=True) == [Message((2,))]
    assert messages([], send_resolved=True, repeat=True) == []


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


def _after(group: Group, *, told: bool, firing: bool, now: float) -> Group | None:
    return after_flush(group, group_interval=15.0, repeat_interval=60.0, told=told, firing=firing, now=now)


def test_a_group_that_still_fires_is_looked_at_again_when_it_repeats() -> None:
    after = _after(GROUP, told=True, firing=True, now=105.01)
    assert after is not None
    assert (after.flushed_at, after.sent_at, after.flush_at) == (105.0, 105.0, 165.0)
    assert is_repeat_due(after, 60.0, 165.0)
    assert not is_repeat_due(after, 60.0, 164.9)


def test_a_flush_that_comes_late_moves_the_ticks_so_that_the_next_is_not_early() -> None:
    after = _after(GROUP, told=True, firing=True, now=300.0)
    assert after is not None
    assert after.flushed_at == 300.0


def test_an_emptied_group_lives_for_one_interval_and_is_then_over() -> None:
    emptied = _after(GROUP, told=True, firing=False, now=105.0)
    assert emptied is not None
    assert emptied.flush_at == 120.0
    assert _after(emptied, told=False, firing=False, now=120.0) is None
