"""The newest values of invariants as numbers."""

from __future__ import annotations

import math
from contextlib import closing
from typing import Any

import sqlalchemy as sa

from chainwatch.checker.invariants.judge import UNREAD
from chainwatch.config import read_dict
from chainwatch.operations.context import Access, Context
from chainwatch.operations.invariant_values import InvariantValues, invariant_values
from chainwatch.operations.invariants import InvariantView, list_invariants
from chainwatch.plan import make_plan
from chainwatch.store import definitions, invariants
from chainwatch.store.database import Database
from chainwatch.store.definitions import Definition
from chainwatch.store.invariants import Check, RaisedAlert, Reading

NAME = "made"


def check(access: Access, block: int, contents: dict[str, dict[str, Any]], holds: bool | None) -> None:
    with access.database.transaction() as connection:
        one = Check("a", block, 1_000 + block, positions=dict.fromkeys(contents, block))
        invariants.add_checks(connection, [(NAME, one)])
        invariants.save_checks(connection, [(NAME, one._replace(holds=holds))])
        read = [
            Reading(NAME, network, block, b"h", 1, False, content) for network, content in contents.items()
        ]
        invariants.add_readings(connection, read)


def make(access: Access, *, is_running: bool = True) -> None:
    with access.database.transaction() as connection:
        definitions.save(connection, Definition(NAME, "{}", "invariant", is_running, False, 0, "x", 1.0, 1.0))


def values(access: Access) -> list[InvariantValues]:
    return access.read(lambda connection, context, _: invariant_values(connection, context))


def test_an_invariant_that_is_not_answered_yet_has_no_values(access: Access) -> None:
    assert values(access) == []
    make(access)
    check(access, 1, {"a": {"x": 1}}, None)
    assert values(access) == [InvariantValues(NAME, "", None, False, None, {})]


def test_the_newest_check_that_was_answered_counts_with_what_is_a_number(access: Access) -> None:
    make(access)
    check(access, 1, {"a": {"x": 1, "y": 2}}, True)
    check(access, 2, {"a": {"x": 10**77, "flag": True, "owner": "0x00"}, "b": {"x": 1.5, "list": [1]}}, False)
    check(access, 3, {"a": {"x": 5}}, None)
    (found,) = values(access)
    assert (found.holds, found.is_unread, found.checked_at) == (False, False, 1_002)
    assert found.values == {("x", "a"): 1e77, ("flag", "a"): 1, ("x", "b"): 1.5}
    assert all(map(math.isfinite, found.values.values()))


def test_one_that_is_unread_says_so_and_one_that_was_stopped_says_nothing(access: Access) -> None:
    make(access)
    check(access, 1, {"a": {"x": 1}}, True)
    with access.database.transaction() as connection:
        invariants.save_raised(connection, RaisedAlert(NAME, UNREAD, "a", 1, {}, {}, 1))
    (found,) = values(access)
    assert (found.is_unread, found.values) == (True, {})
    make(access, is_running=False)
    assert values(access) == []


def test_elements_of_lists_have_the_name_of_their_table(database_url: str) -> None:
    balance = {"held": {"network": "a", "balance": True, "address": "0x" + "11" * 20}}
    tables: dict[str, Any] = {
        "listed": {"values": balance, "assert": "held >= 0", "for_each": {"token": ["usdc", "dai"]}},
        "owners": {
            "values": {"held": {"network": "a", "balance": True, "address": "${owner}"}},
            "assert": "held >= 0",
            "for_each": {
                "owner": {
                    "network": "a",
                    "address": "0x" + "22" * 20,
                    "call": "function getOwners() view returns (address[])",
                }
            },
        },
    }
    networks = {"a": {"chain_id": 1, "rpc": ["http://127.0.0.1:1"]}}
    plan = make_plan(read_dict({"networks": networks, "store": {"url": database_url}, "invariants": tables}))
    with closing(Database.open(database_url, durable=False)) as database:
        with database.transaction() as connection:
            one = Check("a", 1, 1_001, positions={"a": 1}, holds=True)
            invariants.add_checks(connection, [("owners:0x33", one), ("gone", one)])
        with database.reading() as connection:
            found = invariant_values(connection, Context.of(plan, connection))
    assert [(one.name, one.element, one.holds) for one in found] == [
        ("listed", "dai", None),
        ("listed", "usdc", None),
        ("owners", "0x33", True),
    ]


def test_many_invariants_are_listed_by_as_many_queries_as_one(access: Access) -> None:
    asked = []

    def list_all(connection: sa.Connection, context: Context, now: float) -> list[InvariantView]:
        sa.event.listen(connection, "before_cursor_execute", lambda *given: asked.append(given[2]))
        return list_invariants(connection, context, now).rows

    counts = []
    for number in (1, 20):
        with access.database.transaction() as connection:
            for name in map(str, range(number)):
                one = Definition(name, "{}", "invariant", True, False, 0, "x", 1.0, 1.0)
                definitions.save(connection, one)
        asked.clear()
        assert len(access.read(list_all)) == number
        counts.append(len(asked))
    assert counts[0] == counts[1] > 0
