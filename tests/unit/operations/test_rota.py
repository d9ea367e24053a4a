"""Who is on call, and overrides."""

from __future__ import annotations

from typing import Any

import pytest

from chainwatch.config import read_dict
from chainwatch.operations import rota
from chainwatch.operations.context import Access
from chainwatch.operations.errors import Invalid, NotFound
from tests.unit.operations.conftest import T0, Clock, config


def test_who_is_on_call_now_and_next(access: Access) -> None:
    (now,) = access.read(rota.on_call, ["primary"])
    (following,) = access.read(rota.next_on_call, ["primary"], number=1)
    assert (now.person, now.by, following.person) == ("anna", "layer 1", "ben")
    assert now.ends_at == following.starts_at
    assert [shift.schedule for shift in access.read(rota.on_call, [])] == ["primary", "office"]


def test_an_override_counts_until_it_is_removed(access: Access, clock: Clock) -> None:
    added = access.write(rota.add_override, "primary", "ben", "anna", lasts=3600)

    assert (added.id, added.starts_at, added.ends_at, added.author) == (1, T0, T0 + 3600, "anna")
    assert access.read(rota.list_overrides) == [added]
    (now,) = access.read(rota.on_call, ["primary"])
    assert (now.person, now.by) == ("ben", "override")
    access.write(rota.remove_override, 1)
    assert [shift.person for shift in access.read(rota.on_call, ["primary"])] == ["anna"]
    with pytest.raises(NotFound, match="there is no override 1; `chainwatch oncall override` lists them"):
        access.write(rota.remove_override, 1)


def test_an_override_fills_a_gap_ahead_and_needs_no_open_database(access: Access) -> None:
    settings = access.context.settings
    assert {gap.schedule for gap in rota.gaps_ahead(settings, T0)} == {"office"}
    access.write(rota.add_override, "office", "anna", lasts=31 * 86_400)
    assert rota.gaps_ahead(settings, T0) == []
    elsewhere = read_dict(config("sqlite:////nowhere/x.db"), watches=False).settings()
    assert not rota.configured(elsewhere, T0).knows_overrides


@pytest.mark.parametrize("number", [0, -1, 10**30])
def test_an_override_that_cannot_be_there_is_not_found(access: Access, number: int) -> None:
    with pytest.raises(NotFound, match=f"there is no override {number}"):
        access.write(rota.remove_override, number)


@pytest.mark.parametrize(
    ("names", "more", "error", "said"),
    [
        (
            ("primry", "ben"),
            {"lasts": 5},
            NotFound,
            "no schedule is called 'primry'; did you mean \"primary\"",
        ),
        (("primary", "bne"), {"lasts": 5}, NotFound, "no person is called 'bne'; did you mean \"ben\""),
        (("primary", "ben"), {}, Invalid, "neither the end nor the length"),
        (("primary", "ben"), {"lasts": 5, "ends_at": T0 + 5}, Invalid, "not both"),
        (("primary", "ben"), {"lasts": 0.5}, Invalid, "must end after it begins"),
        (("primary", "ben"), {"ends_at": T0 - 5}, Invalid, "must end after it begins"),
        (("primary", "ben"), {"ends_at": float("inf")}, Invalid, "is not a time"),
    ],
)
def test_an_override_that_makes_no_sense_is_refused(
    access: Access, names: tuple[str, str], more: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        access.write(rota.add_override, *names, **more)
    assert access.read(rota.list_overrides) == []


def test_a_schedule_or_a_moment_that_is_none_is_refused(access: Access) -> None:
    with pytest.raises(NotFound, match="no schedule is called 'x'"):
        access.read(rota.on_call, ["x"])
    for at in (float("nan"), -1.0, rota.LAST_AT + 1.0):
        with pytest.raises(Invalid, match=f"at: {at} is not a time in Unix seconds between"):
            access.read(rota.on_call, [], at)
    assert len(access.read(rota.next_on_call, ["primary"], float(rota.LAST_AT), 5)) == 5
    with pytest.raises(Invalid, match="number: 0 is not between 1 and 100"):
        access.read(rota.next_on_call, [], number=0)
