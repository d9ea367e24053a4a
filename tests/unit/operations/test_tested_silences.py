"""Silences by Alertmanager's rules: which change in place, which are replaced, and what they match."""

from __future__ import annotations

import msgspec
import pytest

from chainwatch.operations import silencing, tested_silences, unresolved_alerts
from chainwatch.operations.context import Access
from chainwatch.operations.errors import NotFound
from chainwatch.operations.tested_silences import WantedSilence
from tests.support.operating import raise_alert

TESTS = (("alertname", "=", "Late"),)


def wanted(now: float, begins: float = 0.0, ends: float = 3600.0, **more: object) -> WantedSilence:
    one = WantedSilence(TESTS, now + begins, now + ends, "anna", "works")
    return msgspec.structs.replace(one, **more)


def silenced(access: Access) -> list[list[int]]:
    return [one.silenced_by for one in access.read(unresolved_alerts.list_unresolved)]


def state(access: Access, number: int) -> str:
    return access.read(tested_silences.show_tested, number).state


def test_the_same_tests_and_start_change_it_in_place(access: Access) -> None:
    now = access.clock()
    first = access.write(tested_silences.put, wanted(now))
    assert access.write(tested_silences.put, wanted(now, ends=9000.0, comment="longer"), first) == first
    (one,) = access.read(tested_silences.list_tested)
    assert (one.silence.comment, one.silence.ends_at) == ("longer", now + 9000.0)
    pending = access.write(tested_silences.put, wanted(now, begins=600.0))
    assert access.write(tested_silences.put, wanted(now, begins=700.0), pending) == pending
    assert state(access, pending) == "pending"


@pytest.mark.parametrize("change", ["tests", "start"])
def test_anything_else_ends_it_and_makes_another(access: Access, change: str) -> None:
    now = access.clock()
    first = access.write(tested_silences.put, wanted(now))
    other = (
        wanted(now, tests=(("alertname", "=", "Other"),)) if change == "tests" else wanted(now, begins=60.0)
    )
    second = access.write(tested_silences.put, other, first)
    assert second != first
    assert state(access, first) == "expired"
    third = access.write(tested_silences.put, wanted(now), first)  # one that has ended is never changed
    assert third not in (first, second)


def test_a_pending_one_that_is_ended_has_ended(access: Access) -> None:
    number = access.write(tested_silences.put, wanted(access.clock(), begins=600.0))
    for _ in range(2):
        access.write(tested_silences.expire, number)
        assert state(access, number) == "expired"
    (shown,) = access.read(silencing.list_silences, ended=True).rows
    assert shown.state == "ended"
    for operation in (tested_silences.expire, tested_silences.show_tested):
        with pytest.raises(NotFound):
            access.write(operation, number + 1)
    with pytest.raises(NotFound):
        access.write(tested_silences.put, wanted(access.clock()), number + 1)


def test_a_silence_of_the_command_line_has_tests_and_keeps_its_intervals(access: Access) -> None:
    made = access.write(silencing.add_silence, {"severity": ["high"], "alertname": ["=~L.*", "X"]}, "me")
    (one,) = access.read(tested_silences.list_tested)
    assert set(one.tests) == {("alertname", "=~", "X|(?:L.*)"), ("severity", "=~", "(?i:high|p1)")}
    raise_alert(access, "Late")
    assert silenced(access) == [[made.id]]
    begun, ends = one.silence.starts_at, access.clock() + 60.0
    changed = WantedSilence(tuple(reversed(one.tests)), begun, ends, "karma", "later")
    assert access.write(tested_silences.put, changed, made.id) == made.id
    assert silenced(access) == [[made.id]]


def test_a_silence_that_replaces_another_is_in_effect_only_where_that_one_was(access: Access) -> None:
    during = access.write(
        silencing.add_silence, {"alertname": ["Late"]}, "me", during=["office"], warn_before=60.0
    )
    number = access.write(tested_silences.put, wanted(access.clock(), tests=(("a", "=", "b"),)), during.id)
    (shown,) = access.read(silencing.list_silences).rows
    assert (shown.id, shown.during) == (number, ["office"])


def test_all_tests_of_one_label_must_pass(access: Access) -> None:
    raise_alert(access, "Late")
    raise_alert(access, "Later")
    both = (("alertname", "=~", "L.*"), ("alertname", "=~", ".*r"), ("severity", "!=", "page"))
    number = access.write(tested_silences.put, wanted(access.clock(), tests=both))
    assert silenced(access) == [[], [number]]
    (shown,) = access.read(silencing.list_silences).rows
    assert shown.matchers == '{alertname=~"L.*",alertname=~".*r",severity!="page"}'
    assert shown.hides == 1
