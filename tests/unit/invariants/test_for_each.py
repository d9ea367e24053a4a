"""Invariants over lists: of the configuration, and of contracts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.config import ConfigError, read, read_dict
from chainwatch.operations import invariant_making
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Conflict, Invalid
from chainwatch.operations.invariant_making import delete_invariant, save_invariant, stop_invariant
from chainwatch.operations.invariant_values import invariant_values
from chainwatch.operations.invariants import list_invariants
from chainwatch.plan import Plan, load_plan, make_plan
from chainwatch.store import invariants, schema
from chainwatch.store.database import Database
from tests.unit.invariants.test_checker import FLOOR, NETWORKS, SAFE, Chains
from tests.unit.store.conftest import Undo

OWNERS = ["0x" + digit * 40 for digit in "123"]
LISTED = "function getOwners() view returns (address[] owners)"
RICH: dict[str, Any] = {
    "for_each": {"owner": {"network": "alpha", "address": SAFE, "call": LISTED}},
    "values": {"funds": {"network": "alpha", "address": "${owner}", "balance": True}},
    "assert": "funds >= 10",
    "message": "${owner} is poor",
}


def plan_of(**tables: dict[str, Any]) -> Plan:
    return make_plan(read_dict({"networks": NETWORKS, "invariants": tables}))


def listed(chains: Chains) -> list[tuple[str, str]]:
    context = Context(chains.checker.settings, AlertEngine([], {}, 0), ())
    return [(one.name, one.state) for one in list_invariants(chains.connection, context, 5.0).rows]


def test_one_invariant_is_made_of_each_element() -> None:
    table = {
        "for_each": {"who": OWNERS[:2], "network": ["alpha", "beta"]},
        "values": {"funds": {"network": "${network}", "address": "${who}", "balance": True}},
        "assert": "funds >= 10 and ${who} != 0x" + "00" * 20,
        "severity": "P0",
    }
    plan = plan_of(rich=table, floor={**RICH, "for_each": {"owner": [OWNERS[0]]}})
    made = plan.invariants.invariants
    assert [one.name for one in made] == [
        *(f"rich:{who},{network}" for who in OWNERS[:2] for network in ("alpha", "beta")),
        f"floor:{OWNERS[0]}",
    ]
    assert made[1].networks == ("beta",)
    assert (made[1].title, made[1].labels) == ("rich", {"who": OWNERS[0], "network": "beta"})
    assert made[1].condition.source.startswith(f"funds >= 10 and {OWNERS[0]} !=")


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"owner": []}, r"i\.for_each\.owner: expected a list with at least one item"),
        ({"owner": [OWNERS[0], OWNERS[0]]}, "each element once"),
        ({"owner": [True]}, "text or an integer"),
        ({"severity": ["a"]}, "other than alertname"),
        ({"owner": {"network": "alpha"}}, r"i\.for_each\.owner\.call: missing"),
        ({"owner": {**RICH["for_each"]["owner"], "cal": "x"}}, r"i\.for_each\.owner\.cal: unknown key"),
        (
            {"owner": {"network": "alpha", "address": SAFE, "call": "function f() returns (address)"}},
            r"i\.for_each\.owner\.call: expected a list of addresses",
        ),
        ({"owner": {**RICH["for_each"]["owner"], "network": "gamma"}}, r"i\.for_each\.owner\.network"),
        ({"owner": ["nobody"]}, r"i\.values\.funds\.address: expected"),
        ({"owner": [str(n) for n in range(1_001)]}, "at most 1000 invariants"),
        ({"ownr": [OWNERS[0]]}, "environment variable owner is not set"),
    ],
)
def test_lists_with_mistakes_are_refused_where_they_stand(lists: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_of(i={**RICH, "for_each": lists})


def test_no_other_invariant_has_the_name_of_one_that_a_list_makes() -> None:
    rich = {**RICH, "for_each": {"owner": OWNERS[:1]}}
    with pytest.raises(
        ConfigError, match=f"rich.for_each: expected names of their own: one is rich:{OWNERS[0]}"
    ):
        plan_of(rich=rich, **{f"rich:{OWNERS[0]}": FLOOR})


def test_a_mistake_in_the_table_of_a_list_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        f"""[networks.alpha]
chain_id = 1
rpc = ["http://x"]
[invariants.rich]
for_each.owner = {json.dumps(OWNERS)}
values.funds = {{ network = "alpha", address = "${{owner}}", balance = true }}
assert = "fund >= 10"
"""
    )
    with pytest.raises(ConfigError) as error:
        load_plan(path, {})
    assert [line.partition(": ")[0] for line in str(error.value).splitlines()[:1]] == [f"{path}:7"]
    assert len(read(path, {}).problems) == 0
    assert len(error.value.problems) == 1


@pytest.fixture
def connection() -> Iterator[sa.Connection]:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        schema.metadata.create_all(connection)
        yield connection
    engine.dispose()


def step(chains: Chains, number: int, owners: Sequence[str], poor: Sequence[str] = ()) -> None:
    """Mine a block at which a contract lists ``owners``, of whom some are ``poor``."""

    def answer(name: str, _block: int) -> dict[str, Any]:
        if name.endswith(":*"):
            return {"owner": list(owners)}
        return {"funds": 1 if name.partition(":")[2] in poor else 100}

    chains.mine(number)
    chains.answer(answer)
    chains.answer(answer)  # those of new elements


def raised(chains: Chains) -> list[tuple[str, float, float | None, str]]:
    return [(s.labels.get("owner", ""), s.starts_at, s.ends_at, s.reason) for s in chains.alerts.signals]


def test_the_elements_of_a_contract_s_list_are_checked_and_forgotten_as_it_changes(
    connection: sa.Connection,
) -> None:
    first, second, third = OWNERS
    chains = Chains(connection, plan_of(rich=RICH))
    step(chains, 1, [first, second], [second])
    assert raised(chains) == [(second, 1_010, None, "")]
    (signal,) = chains.alerts.signals
    assert signal.labels["invariant"] == "rich"
    assert signal.annotations["description"].startswith(f"{second} is poor. funds is 9 less than 10")

    step(chains, 2, [first, third, second], [second, third])
    assert raised(chains)[1:] == [(third, 1_020, None, "")]
    step(chains, 3, [first, third], [second, third])
    assert raised(chains)[2:] == [(second, 1_010, 1_030, "no longer listed")]
    assert invariants.known_names(connection) == {"rich:*", f"rich:{first}", f"rich:{third}"}
    step(chains, 4, [], [third])
    assert [(owner, reason) for owner, _, _, reason in raised(chains)[3:]] == [(third, "no longer listed")]


def test_a_restart_goes_on_with_a_list_and_another_configuration_begins_anew(
    connection: sa.Connection,
) -> None:
    first, second, _ = OWNERS
    chains = Chains(connection, plan_of(rich=RICH))
    step(chains, 1, [first, second], [second])
    again = Chains(connection, plan_of(rich=RICH))
    step(again, 2, [first, second], [second])
    assert raised(again) == []
    changed = Chains(connection, plan_of(rich={**RICH, "assert": "funds >= 11"}))
    assert raised(changed) == [(second, 1_010, 1_020, "configuration changed")]


def test_a_list_that_cannot_be_read_changes_nothing(connection: sa.Connection) -> None:
    first, second, _ = OWNERS
    chains = Chains(connection, plan_of(rich=RICH))
    step(chains, 1, [first, second], [second])
    chains.mine(2)
    chains.answer(lambda name, _: "the call reverts" if name.endswith(":*") else {"funds": 1})
    assert raised(chains) == [(second, 1_010, None, ""), (first, 1_020, None, "")]


def test_a_list_that_is_too_long_stays_as_it_was_and_is_an_alert(connection: sa.Connection) -> None:
    """Whoever can add to a list cannot end the alerts of those that are on it."""
    first, *_ = OWNERS
    for_each = {**RICH["for_each"], "and_": ["a", "b"]}
    chains = Chains(connection, plan_of(rich={**RICH, "for_each": for_each}))

    def answer(length: int) -> None:
        many = [*(f"0x{number:040x}" for number in range(1, length)), first]
        chains.answer(lambda name, _: {"owner": many} if name.endswith(":*") else {"funds": 1})

    for number, length in enumerate((1, 501, 3), 1):
        chains.mine(number)
        answer(length)
    assert [r for r in raised(chains) if r[1] < 1_030] == [
        (first, 1_010, None, ""),
        (first, 1_010, None, ""),
        ("", 1_020, None, ""),
        ("", 1_020, 1_030, "holds again"),
    ]
    (signal,) = [one for one in chains.alerts.signals if one.starts_at == 1_020 and one.ends_at is None]
    assert "len(owner) * 2 is 2 more than 1000" in signal.annotations["description"]


HOSTILE = [
    "x" * 20_000,
    "x" * 19_999 + "y",
    "*",
    "?",
    "",
    "a\0b",
    "\x1a0",
    "\U0001f600" * 900,
    "${y}",
    "a,b",
    "a%2Cb",
]
NAMED: dict[str, Any] = {
    "for_each": {
        "x": {"network": "alpha", "address": SAFE, "call": "function names() view returns (string[])"},
        "y": ["b", "b,c", "c"],
    },
    "values": {"funds": {"network": "alpha", "address": SAFE, "balance": True}},
    "assert": "funds >= 10",
}


def test_any_texts_that_a_contract_lists_are_elements_of_their_own(shared_database: Database) -> None:
    with suppress(Undo), shared_database.transaction() as connection:
        chains = Chains(connection, plan_of(named=NAMED, floor={**NAMED, "for_each": {"x": ["USD Coin"]}}))

        def answer(name: str, _block: int) -> dict[str, Any]:
            return {"x": HOSTILE} if name == "named:*" else {"funds": 1}

        chains.mine(1)
        for _ in range(2):
            chains.answer(answer)
        found = {(s.labels["invariant"], s.labels["x"], s.labels.get("y")) for s in chains.alerts.signals}
        assert found == {("floor", "USD Coin", None)} | {
            ("named", x, y) for x in HOSTILE for y in ("b", "b,c", "c")
        }
        raise Undo


def test_an_element_that_makes_no_valid_invariant_is_an_alert_until_it_is_gone(
    connection: sa.Connection,
) -> None:
    """Whoever can add to a list writes no part of a condition: `usdc' == ''  or '` held always."""
    hostile = "usdc' == '' or '"
    poor = {**NAMED, "for_each": {"x": NAMED["for_each"]["x"]}, "assert": "'${x}' == '' or funds >= 10"}
    chains = Chains(connection, plan_of(named=poor))

    def answer(names: list[str]) -> None:
        for _ in range(2):
            chains.answer(lambda name, _: {"x": names} if name == "named:*" else {"funds": 1})

    shown = []
    for number, names in enumerate(([hostile, "dai"], [hostile, "dai"], ["dai"]), 1):
        chains.mine(number)
        answer(names)
        shown.append(sorted(state for _, state in listed(chains)))
    assert shown == [["unread", "violated"], ["unread", "violated"], ["violated"]]
    found = [
        (s.labels["alertname"], s.labels["invariant"], s.labels["x"], s.reason) for s in chains.alerts.signals
    ]
    assert sorted(found) == [
        ("InvariantUnread", "named", hostile, ""),
        ("InvariantUnread", "named", hostile, "no longer listed"),
        ("InvariantViolated", "named", "dai", ""),
    ]
    chains.mine(4)
    answer([hostile, "dai"])
    other = Chains(connection, plan_of(named={**poor, "severity": "P0"}))
    other.mine(5)
    for number in (6, 7):
        other.mine(number)
    of_hostile = [s for s in other.alerts.signals if s.labels["x"] == hostile]
    assert [(s.labels["severity"], s.reason) for s in of_hostile] == [
        ("P1", "configuration changed"),
        ("P0", ""),
    ]
    unread = next(s for s in chains.alerts.signals if s.labels["x"] == hostile)
    assert "has quotes or a backslash" in unread.annotations["description"]
    assert "[invariants.named]" in unread.annotations["description"]


def test_routes_may_match_the_labels_of_elements() -> None:
    def warnings(label: str) -> list[str]:
        tables = {
            "networks": NETWORKS,
            "invariants": {"rich": RICH, "floor": {**RICH, "for_each": {"owner": OWNERS, "who": ["a"]}}},
            "receivers": {"ops": {"provider": "console"}},
            "routes": [{"match": {label: "x"}, "receivers": ["ops"]}],
        }
        return [one for one in make_plan(read_dict(tables)).warnings if "label" in one]

    assert warnings("owner") == warnings("who") == []
    assert "no alert of chainwatch has the label" in warnings("ownr")[0]


def test_alerts_of_elements_go_on_where_only_how_they_are_reported_is_configured_otherwise(
    connection: sa.Connection,
) -> None:
    chains = Chains(connection, plan_of(rich=RICH))
    step(chains, 1, OWNERS, [OWNERS[0]])
    step(chains, 2, OWNERS, [OWNERS[0]])
    assert raised(chains) == [(OWNERS[0], 1_010, None, "")]
    changed = Chains(
        connection, plan_of(rich={**RICH, "message": "fill up ${owner}", "runbook_url": "https://x.org"})
    )
    step(changed, 3, OWNERS, [OWNERS[0]])
    assert raised(changed) == []
    step(changed, 4, OWNERS)
    assert raised(changed) == [(OWNERS[0], 1_010, 1_040, "holds again")]


def test_a_list_without_elements_is_shown_as_one_that_checks_nothing(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(rich=RICH))
    assert listed(chains) == [("rich:*", "waiting")]
    for number, owners in enumerate(([], OWNERS[:1], []), 1):
        step(chains, number, owners)
        shown = [(f"rich:{owner}", "holds") for owner in owners]
        assert listed(chains) == (shown or [("rich:*", "empty")])


def test_a_list_that_is_too_long_is_shown_beside_the_elements_that_it_had(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(rich=RICH))
    step(chains, 1, OWNERS[:1])
    step(chains, 2, [f"0x{number:040x}" for number in range(1_001)])
    assert listed(chains) == [("rich:*", "violated"), (f"rich:{OWNERS[0]}", "holds")]


class Made:
    """Invariants that are made while this runs; the configuration has none."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self.plan = make_plan(read_dict({"networks": NETWORKS, "invariants": {"other": FLOOR}}))
        self.context = Context(self.plan.settings, AlertEngine([], {}, 0), (), plan=self.plan)
        self.chains = Chains(connection, self.plan)

    def put(self, settings: dict[str, Any], name: str = "rich") -> None:
        save_invariant(self.connection, self.context, 5.0, name=name, settings=settings, author="anna")

    def step(self, number: int, owners: Sequence[str], poor: Sequence[str] = ()) -> None:
        step(self.chains, number, owners, poor)

    def restart(self) -> None:
        self.chains = Chains(self.connection, self.plan)

    def listed(self) -> list[tuple[str, str]]:
        found = list_invariants(self.connection, self.context, 5.0).rows
        return [(one.name, one.state) for one in found if one.origin == "api"]

    def families(self) -> set[tuple[str, str]]:
        return {(one.name, one.element) for one in invariant_values(self.connection, self.context)}


def test_one_that_is_made_over_http_is_made_of_each_element_too(connection: sa.Connection) -> None:
    first, second, third = OWNERS
    made = Made(connection)
    made.put({**RICH, "for_each": {"owner": [first, second]}})
    assert made.listed() == [(f"rich:{first}", "waiting"), (f"rich:{second}", "waiting")]
    made.step(1, [], [second])
    assert raised(made.chains) == [(second, 1_010, None, "")]
    assert made.listed() == [(f"rich:{first}", "holds"), (f"rich:{second}", "violated")]
    assert made.families() == {("other", ""), ("rich", first), ("rich", second)}

    made.restart()
    made.step(2, [], [second])
    assert raised(made.chains) == []
    made.put({**RICH, "for_each": {"owner": [second, third]}, "message": "poor"})
    made.step(3, [], [second])
    assert raised(made.chains) == [(second, 1_030, None, "")]  # the same alert goes on
    made.put({**RICH, "for_each": {"owner": [first]}})
    made.step(4, [], [first])
    assert raised(made.chains)[1:] == [(second, 1_030, 1_040, "no longer listed"), (first, 1_040, None, "")]

    stop_invariant(connection, made.context, 6.0, name="rich")
    made.step(5, [], [first])
    assert raised(made.chains)[3:] == [(first, 1_040, 1_050, "stopped")]
    assert made.listed() == [("rich", "stopped")]
    assert made.families() == {("other", "")}
    delete_invariant(connection, made.context, 7.0, name="rich")
    assert made.listed() == []


def test_one_over_a_contract_s_list_that_is_made_over_http_goes_on_after_a_restart(
    connection: sa.Connection,
) -> None:
    first, second, third = OWNERS
    made = Made(connection)
    made.put(RICH)
    made.step(1, [first, second], [second])
    assert raised(made.chains) == [(second, 1_010, None, "")]
    assert made.families() == {("other", ""), ("rich", first), ("rich", second)}
    made.restart()
    made.put({**RICH, "message": "still ${owner}"})
    made.step(2, [first, second, third], [second, third])
    assert raised(made.chains) == [(second, 1_020, None, ""), (third, 1_020, None, "")]
    delete_invariant(connection, made.context, 7.0, name="rich")
    made.step(3, [first], [second])
    assert sorted(raised(made.chains)[2:]) == [
        (second, 1_020, 1_030, "deleted"),
        (third, 1_020, 1_030, "deleted"),
    ]
    assert made.listed() == []
    made.put(RICH)  # what was listed before means nothing now
    assert made.listed() == [("rich:*", "waiting")]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"owner": []}, r"for_each\.owner: expected a list with at least one item"),
        ({"owner": ["nobody"]}, r"values\.funds\.address: expected"),
        ({"owner": [str(n) for n in range(1_001)]}, "at most 1000 invariants"),
        ({"owner": {**RICH["for_each"]["owner"], "network": "gamma"}}, r"for_each\.owner\.network"),
        (
            {"owner": {"network": "alpha", "address": SAFE, "call": "function f() returns (address)"}},
            r"owner\.call",
        ),
        ([], "for_each"),
    ],
)
def test_mistakes_in_lists_are_refused_over_http_as_in_the_file(
    connection: sa.Connection, lists: Any, message: str
) -> None:
    made = Made(connection)
    with pytest.raises(Invalid, match=message):
        made.put({**RICH, "for_each": lists})
    assert made.listed() == []


def test_what_is_made_over_http_is_bounded(
    connection: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invariant_making, "MADE_MAX", 5)
    made = Made(connection)
    for number in range(2):
        made.put({**RICH, "for_each": {"owner": OWNERS[:2]}}, f"rich{number}")
    with pytest.raises(Conflict, match="over 5 elements"):
        made.put({**RICH, "for_each": {"owner": OWNERS[:2]}})
    made.put({**RICH, "for_each": {"owner": OWNERS}}, "rich1")
    with pytest.raises(Conflict, match="over 5 elements"):
        made.put(FLOOR, "floor")
    delete_invariant(connection, made.context, 7.0, name="rich0")
    made.put(FLOOR, "floor")
    with pytest.raises(Conflict, match="configuration file"):
        made.put(FLOOR, "other")


def test_a_list_of_the_file_wins_over_one_that_was_made(connection: sa.Connection) -> None:
    first, second, _ = OWNERS
    made = Made(connection)
    made.put({**RICH, "for_each": {"owner": [second]}})
    chains = Chains(connection, plan_of(rich={**RICH, "for_each": {"owner": [first]}}))
    step(chains, 1, [], [first, second])
    assert raised(chains) == [(first, 1_010, None, "")]


def test_an_alert_of_one_that_is_replaced_goes_on_while_it_is_broken_whatever_for_says(
    connection: sa.Connection,
) -> None:
    made = Made(connection)
    for number, funds in ((1, 10), (2, 9), (3, 9), (4, 9), (5, 9), (6, 10), (7, 9), (8, 9)):
        if number in (1, 4):
            made.put({**FLOOR, "for": "1m"} if number == 4 else FLOOR, "poor")
        made.chains.step(number, funds)
    found = [
        (one.ends_at, one.reason) for one in made.chains.alerts.signals if one.labels["invariant"] == "poor"
    ]
    assert found == [(None, ""), (None, ""), (1_060, "holds again")]


@pytest.mark.parametrize("gone", ["one of the first page", "the last one of the first page"])
def test_none_is_missing_in_the_pages_of_a_list_of_which_one_is_deleted(
    connection: sa.Connection, gone: str
) -> None:
    made = Made(connection)
    for number in range(6):
        made.put(FLOOR, f"made{number}")
    page = list_invariants(connection, made.context, 5.0, limit=3)
    name = page.rows[1 if gone == "one of the first page" else -1].name
    delete_invariant(connection, made.context, 5.0, name=name)
    found = page.rows + list_invariants(connection, made.context, 5.0, after=page.next).rows
    assert [one.name for one in found] == ["other", *(f"made{number}" for number in range(6))]
