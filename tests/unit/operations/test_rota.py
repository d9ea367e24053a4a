"""Who is on call now and next, overrides, and gaps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chainwatch.config import Settings, from_dict
from chainwatch.operations import rota
from chainwatch.operations.alert_context import AlertLook
from chainwatch.operations.rota import NoSuchName
from chainwatch.store.database import Database

NOW = 1_767_600_000  # 2026-01-05 08:00 UTC, a Monday
DAY = 86_400


def settings(url: str, **oncall: Any) -> Settings:
    office = {"layers": [{"people": ["ben"], "during": ["office"]}]}
    primary = {"layers": [{"people": ["anna", "ben"], "start": "2026-01-05", "handoff": "monday 09:00"}]}
    return from_dict(
        {
            "store": {"url": url},
            "networks": {"n": {"chain_id": 1, "rpc": ["http://127.0.0.1:1"]}},
            "receivers": {"phone": {"provider": "console"}},
            "people": {"anna": {"receivers": ["phone"]}, "ben": {"receivers": ["phone"]}},
            "intervals": {"office": {"times": ["09:00-17:00"], "weekdays": ["monday-friday"]}},
            "routes": [{"receivers": ["phone"]}],
            "oncall": oncall or {"primary": primary, "office": office},
        }
    )


@pytest.fixture
def look(tmp_path: Path) -> Iterator[AlertLook]:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    with closing(Database.open(url, durable=False)) as database:
        yield AlertLook(settings(url), database, NOW)


def people(rows: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [(row["schedule"], row["person"]) for row in rows]


def test_who_is_on_call_by_each_schedule_and_until_when(look: AlertLook) -> None:
    primary, office = rota.now(rota.stored(look, NOW), [], NOW)
    assert primary == {
        "schedule": "primary",
        "person": "ben",
        "by": "layer 1",
        "from": NOW,
        "until": NOW + 3600,
    }
    assert (office["person"], office["until"]) == (None, NOW + 3600)


def test_the_next_handoffs_of_a_schedule(look: AlertLook) -> None:
    found = rota.upcoming(rota.stored(look, NOW), ["primary"], NOW, 3)
    assert people(found) == [("primary", "anna"), ("primary", "ben"), ("primary", "anna")]
    assert [row["from"] for row in found] == [NOW + 3600 + week * 7 * DAY for week in range(3)]


def test_a_schedule_of_one_person_never_changes(tmp_path: Path) -> None:
    only = settings(f"sqlite:///{tmp_path / 'none.db'}", primary={"layers": [{"people": ["anna"]}]})
    known = rota.configured(only, NOW)
    assert not known.knows_overrides
    (row,) = rota.now(known, [], NOW)
    assert (row["person"], row["until"]) == ("anna", None)
    assert rota.upcoming(known, [], NOW, 5) == []


def test_an_override_counts_until_it_ends_or_is_removed(look: AlertLook) -> None:
    number = rota.override(look, "primary", "anna", NOW - 60, NOW + 600, "cleo")
    (row,) = rota.now(rota.stored(look, NOW), ["primary"], NOW)
    assert (row["person"], row["by"], row["until"]) == ("anna", "override", NOW + 600)
    assert [(o["id"], o["person"], o["author"]) for o in rota.overrides(look)] == [(number, "anna", "cleo")]
    rota.remove(look, number)
    assert rota.overrides(look) == []
    assert people(rota.now(rota.stored(look, NOW), ["primary"], NOW)) == [("primary", "ben")]


@pytest.mark.parametrize(
    ("schedule", "person", "ends_at", "says"),
    [
        ("primry", "anna", NOW + 1, "no schedule is called 'primry'"),
        ("primary", "ana", NOW + 1, "no person is called 'ana'"),
        ("primary", "anna", NOW, "must end after it begins"),
    ],
)
def test_an_override_that_cannot_be_is_refused_and_none_is_stored(
    look: AlertLook, schedule: str, person: str, ends_at: int, says: str
) -> None:
    with pytest.raises(NoSuchName, match=says):
        rota.override(look, schedule, person, NOW, ends_at, "cleo")
    assert rota.overrides(look) == []


def test_an_override_that_is_not_there_cannot_be_removed(look: AlertLook) -> None:
    with pytest.raises(NoSuchName, match="no override 7"):
        rota.remove(look, 7)


def test_an_unknown_schedule_is_named(look: AlertLook) -> None:
    with pytest.raises(NoSuchName, match="no schedule is called 'nightly'"):
        rota.now(rota.stored(look, NOW), ["nightly"], NOW)


def test_gaps_are_the_times_at_which_nobody_is_on_call(look: AlertLook) -> None:
    gaps = rota.gaps_ahead(look.settings, NOW)
    assert {row["schedule"] for row in gaps} == {"office"}
    assert (gaps[0]["from"], gaps[0]["until"]) == (NOW, NOW + 3600)
    assert (gaps[1]["from"], gaps[1]["until"]) == (NOW + 9 * 3600, NOW + 25 * 3600)
    rota.override(look, "office", "anna", NOW, NOW + 3600, "cleo")
    assert rota.gaps_ahead(look.settings, NOW)[0]["from"] == NOW + 9 * 3600
