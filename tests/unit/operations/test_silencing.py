"""Silences and cooldowns: what they are, what is refused, and how they end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chainwatch.operations import cooldowns, silencing
from chainwatch.operations.context import Access
from chainwatch.operations.errors import Invalid
from chainwatch.operations.views import Changed
from tests.support.operating import raise_alert
from tests.unit.operations.conftest import T0, Clock

LATE = {"alertname": "Late"}


def test_a_silence_lasts_two_hours_by_default_and_counts_what_it_hides(access: Access) -> None:
    raise_alert(access)
    raise_alert(access, "Other")

    added = access.write(silencing.add_silence, LATE, "anna", "upgrade", during=["office"])

    assert (added.state, added.hides, added.ends_at - added.starts_at) == ("active", 1, 7200)
    assert (added.author, added.comment, added.during) == ("anna", "upgrade", ["office"])
    assert access.read(silencing.list_silences).rows == [added]
    assert [alert.name for alert in access.read(silencing.preview, LATE)] == ["Late"]


@pytest.mark.parametrize(
    ("match", "more", "said"),
    [
        ({}, {}, "without any, every alert would match"),
        ({"alertname": []}, {}, "without any, every alert would match"),
        ({"alertname": "=~("}, {}, "not a regular expression"),
        ({"alertname": [5]}, {}, "'alertname': expected a label's name, and text"),
        ({"": "x"}, {}, "'': expected a label's name, and text"),
        ({"alertname": "\udcff"}, {}, r"'\\udcff' is not text"),
        ({"\ud800": "x"}, {}, r"'\\ud800' is not text"),
        (LATE, {"ends_at": T0}, "must end after its start and in the future"),
        (LATE, {"lasts": -5}, "must end after its start and in the future"),
        (LATE, {"starts_at": T0 - 60, "ends_at": T0 - 30}, "must end after its start and in the future"),
        (LATE, {"ends_at": T0 + 60, "lasts": 60}, "not both"),
        (LATE, {"ends_at": float("inf")}, "is not a time in Unix seconds"),
        (LATE, {"starts_at": float("nan")}, "is not a time in Unix seconds"),
        (LATE, {"warn_before": float("nan")}, "warn_before: nan is not a length of time"),
        (LATE, {"during": ["offce"]}, "no interval is called 'offce'; did you mean \"office\""),
    ],
)
def test_a_silence_that_makes_no_sense_is_invalid_and_not_stored(
    access: Access, match: dict[str, Any], more: dict[str, Any], said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        access.write(silencing.add_silence, match, **more)
    assert access.read(silencing.list_silences).rows == []


def test_ending_silences_says_which_had_ended_and_which_are_unknown(access: Access, clock: Clock) -> None:
    for _ in range(2):
        access.write(silencing.add_silence, LATE)
    assert access.write(silencing.expire_silences, [1]) == Changed([1])
    assert access.write(silencing.expire_silences, [1, 2, 0, 2**63 - 1]) == Changed([2], [1], [0, 2**63 - 1])
    assert access.read(silencing.list_silences).rows == []
    clock.now += 60
    ended = access.read(silencing.list_silences, ended=True).rows
    assert [(one.id, one.state, one.hides) for one in ended] == [(2, "ended", 0), (1, "ended", 0)]


def test_pages_of_silences_join_whatever_is_added_meanwhile(access: Access) -> None:
    for _ in range(3):
        access.write(silencing.add_silence, LATE)
    first = access.read(silencing.list_silences, limit=2)
    access.write(silencing.add_silence, LATE)
    second = access.read(silencing.list_silences, limit=2, after=first.next)
    assert [[one.id for one in page.rows] for page in (first, second)] == [[3, 2], [1]]
    assert second.next is None
    with pytest.raises(Invalid, match="is not a cursor of silences"):
        access.read(silencing.list_silences, after="incidents.3")


def test_cooldowns_set_while_running_precede_the_configured_ones(access: Access) -> None:
    added = access.write(cooldowns.set_cooldown, {"alertname": ["Late"]}, 600.0, (), "anna")

    assert (added.id, added.by, added.within, added.author) == (1, ["..."], 600, "anna")
    configured = cooldowns.CooldownView(None, '{alertname="Noise"}', ["..."], 3600, cooldowns.CONFIGURED)
    assert access.read(cooldowns.list_cooldowns) == [added, configured]
    assert access.write(cooldowns.remove_cooldowns, [1, 2]) == Changed([1], [], [2])
    assert access.read(cooldowns.list_cooldowns) == [configured]


@pytest.mark.parametrize(
    ("match", "within", "said"),
    [
        ({}, 5.0, "every alert would match"),
        ({"a": "!~["}, 5.0, "not a regular expression"),
        ({"a": "\udcff"}, 5.0, r"'\\udcff' is not text"),
        (LATE, -1.0, "within: -1.0 is not a length of time"),
        (LATE, float("inf"), "within: inf is not a length of time"),
    ],
)
def test_a_cooldown_that_makes_no_sense_is_invalid(
    access: Access, match: dict[str, str], within: float, said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        access.write(cooldowns.set_cooldown, match, within)
    assert len(access.read(cooldowns.list_cooldowns)) == 1


async def test_on_an_event_loop_a_refused_operation_spoils_no_other_of_its_commit(access: Access) -> None:
    def adding(match: dict[str, str]) -> Any:
        return access.database.write(
            lambda connection: silencing.add_silence(connection, access.context, access.clock(), match)
        )

    wanted: list[dict[str, str]] = [LATE, {}, {"alertname": "Other"}]
    good, bad, other = await asyncio.gather(*map(adding, wanted), return_exceptions=True)

    assert isinstance(bad, Invalid)
    listed = await access.database.read(
        lambda connection: silencing.list_silences(connection, access.context, access.clock())
    )
    assert listed.rows == [other, good]
