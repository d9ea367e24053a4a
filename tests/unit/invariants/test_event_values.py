"""Values of events: which of them count, what is taken of them, and checks at blocks with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.checker.invariants.event_facts import EventMeasure
from chainwatch.checker.invariants.event_index import EventIndex
from chainwatch.config import ConfigError
from chainwatch.store import invariant_events, invariants
from tests.unit.invariants.test_checker import SAFE, Chains
from tests.unit.invariants.test_flow_values import OTHER, TOKEN, plan_of, sent

SENT: dict[str, Any] = {"network": "alpha", "contract": "bridge", "event": "Sent", "within": "1h"}


def contents(connection: sa.Connection, name: str = "i") -> dict[int, Any]:
    return {
        one.block: one.content for one in invariants.readings(connection, name) if one.content is not None
    }


def test_only_events_that_satisfy_a_condition_count(connection: sa.Connection, tmp_path: Path) -> None:
    values = {
        "all": SENT,
        "large": {**SENT, "where": f"amount >= 100 and asset == {TOKEN}"},
        "large_sum": {**SENT, "where": "amount >= 100", "take": "sum", "of": "amount"},
        "last_asset": {**SENT, "take": "last", "of": "asset"},
        "other_emitter": {**SENT, "address": SAFE},
        "own_emitter": {**SENT, "address": "0x" + "01" * 20, "where": "amount > 5 or id == 9"},
        "unanswered": {**SENT, "where": "amount // (amount - 5) >= 0"},
    }
    chains = Chains(connection, plan_of(tmp_path, i={"values": values, "assert": "all >= 0"}))
    chains.mine(1)
    chains.mine(2, events=(sent(2, 1, 100), sent(2, 2, 5, index=1), sent(2, 3, 200, OTHER, index=2)))
    assert contents(connection)[2] == {
        "all": 3,
        "large": 1,
        "large_sum": 300,
        "last_asset": OTHER,
        "other_emitter": 0,
        "own_emitter": 2,
        "unanswered": 2,
    }


def test_blocks_are_checked_at_events_that_satisfy_a_condition(
    connection: sa.Connection, tmp_path: Path
) -> None:
    every = {"contract": "bridge", "event": "Sent", "where": "amount > 50"}
    plan = plan_of(
        tmp_path, i={"values": {"n": SENT}, "assert": "n < 3", "every": every, "for": "1m", "severity": "P0"}
    )
    assert [warning.split(": ", 1)[1] for warning in plan.warnings if "invariants.i.for" in warning] == [
        "invariants.i.for: time passes only from one event to the next, at which it is checked "
        '— every = "block" checks it meanwhile, too'
    ]
    chains = Chains(connection, plan)
    for number, amount in enumerate((10, 60, 20, 70), start=1):
        chains.mine(number, events=(sent(number, number, amount),))
    assert [check.block for check in invariants.checks(connection, "i")] == [2, 4]
    assert contents(connection) == {2: {"n": 2}, 4: {"n": 4}}


def test_events_are_kept_in_memory_but_for_those_of_a_transaction_that_was_undone(
    connection: sa.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"n": SENT, "sum": {**SENT, "take": "sum", "of": "amount", "where": "id != 3", "within": "25s"}}
    chains = Chains(connection, plan_of(tmp_path, i={"values": values, "assert": "n >= 0"}))
    chains.mine(1, events=(sent(1, 1, 60),))
    with connection.begin_nested() as undone:
        chains.mine(2, events=(sent(2, 9, 500),))
        undone.rollback()
    chains.mine(2, events=(sent(2, 2, 7),))
    monkeypatch.setattr(invariant_events, "events_after", None)
    chains.mine(3, events=(sent(3, 3, 40), sent(3, 4, 2, index=1)))
    chains.mine(4)
    assert contents(connection) == {
        1: {"n": 1, "sum": 60},
        2: {"n": 2, "sum": 67},
        3: {"n": 4, "sum": 69},
        4: {"n": 4, "sum": 9},
    }
    monkeypatch.undo()
    chains.mine(3, fork=1, back_to=2)
    assert contents(connection)[3] == {"n": 2, "sum": 67}


@given(
    st.sampled_from(["count", "sum", "last"]),
    st.sampled_from([None, "?"]),
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 2), st.integers(-9, 9), st.booleans()), max_size=12
    ),
    st.lists(st.integers(0, 25), max_size=4).map(sorted),
)
def test_what_is_taken_of_kept_events_is_what_each_of_them_says(
    take: Any, where: str | None, events: list[tuple[int, int, int, bool]], measured: list[int]
) -> None:
    """In whatever order they came; events until the earliest moment are forgotten as time goes on."""
    wanted = EventMeasure(("c", "s"), take, None if take == "count" else "a", 6, where)
    index, known = EventIndex(wanted), dict[tuple[int, int], int]()
    for block, log_index, value, counts in events:
        index.add(block // 2, block, log_index, {"a": value, **({"?": 1} if counts else {})})
        if counts or where is None:
            known.setdefault((block, log_index), value)
    for block in measured:
        index.forget_before(block // 2 - 6)
        counted = [known[p] for p in sorted(known) if p[0] <= block and p[0] // 2 > block // 2 - 6]
        if take == "last":
            assert index.measure(block // 2, block) == (counted[-1] if counted else None)
        else:
            assert index.measure(block // 2, block) == (sum(counted) if take == "sum" else len(counted))


def test_another_condition_counts_stored_events_anew(connection: sa.Connection, tmp_path: Path) -> None:
    value = {**SENT, "where": "amount > 50"}
    table = {"values": {"n": value}, "assert": "n >= 0"}
    chains = Chains(connection, plan_of(tmp_path, i=table))
    chains.mine(1, events=(sent(1, 1, 60), sent(1, 2, 40, index=1)))
    assert contents(connection)[1] == {"n": 1}
    value["where"] = "amount > 60"
    changed = Chains(connection, plan_of(tmp_path, i=table))
    changed.mine(2, events=(sent(2, 3, 61),))
    assert contents(connection)[2] == {"n": 1}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({**SENT, "where": "amont > 5"}, r"where: .*no field amont"),
        ({**SENT, "where": "amount"}, "boolean"),
        ({**SENT, "where": "transaction.value > 5"}, "transactions are not read"),
        ({**SENT, "where": "amont > 5", "address": SAFE}, r"where: .*no field amont"),
        ({**SENT, "take": "sum", "of": "asset"}, "only integers have a sum"),
        ({**SENT, "take": "last", "of": "nothing"}, "no field nothing"),
        ({"network": "alpha", "address": SAFE, "balance": True, "where": "a > 0"}, "only with `event`"),
        ({**SENT, "contract": "brige"}, "no contract is called"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, value: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_of(tmp_path, i={"values": {"a": value}, "assert": "a == a"})


def test_no_value_counts_what_is_not_kept_for_so_long(tmp_path: Path) -> None:
    latency = {"flow": "bridge", "latency": 95, "within": "100d"}
    values = {"n": {**SENT, "within": "91d"}, "took": latency, "fine": {**SENT, "within": "90d"}}
    with pytest.raises(ConfigError) as error:
        plan_of(tmp_path, i={"values": values, "assert": "n + took + fine >= 0"})
    assert [problem.path[-2:] for problem in error.value.problems] == [("n", "within"), ("took", "within")]
    assert "for 90d only" in error.value.problems[0].message
