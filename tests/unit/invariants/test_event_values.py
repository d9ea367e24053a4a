"""Values of events: which of them count, what is taken of them, and checks at blocks with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch.config import ConfigError
from chainwatch.store import invariants
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
