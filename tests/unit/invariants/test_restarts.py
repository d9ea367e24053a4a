"""A restart before any block changes no verdict, whatever a condition reads."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch.invariants import kept_transfers
from chainwatch.model import Signal
from chainwatch.store import schema
from tests.unit.invariants.test_checker import FLOOR, SAFE, Chains
from tests.unit.invariants.test_flow_values import IN_FLIGHT, filled, plan_of, sent
from tests.unit.invariants.test_for_each import OWNERS, RICH

TABLES: dict[str, Any] = {
    "drained": {**FLOOR, "assert": 'delta(funds, "50s") > -40 and funds >= 10'},
    "changed": {**FLOOR, "assert": "not has_changed(funds) or funds > previous.funds"},
    "same": {**FLOOR, "assert": "is_accepted(funds) or funds == accepted.funds + 1"},
    "rich": RICH,
    "flow": {
        "values": {
            "in_flight": IN_FLIGHT,
            "funds": {"network": "alpha", "address": SAFE, "balance": True},
        },
        "assert": "in_flight <= 30",
    },
}


def signals(folder: Path, seed: int, *, restarts: bool) -> list[tuple[Any, ...]]:
    choose = random.Random(seed)
    engine = sa.create_engine("sqlite://")
    found: list[Signal] = []
    with engine.begin() as connection:
        schema.metadata.create_all(connection)
        plan = plan_of(folder, **TABLES)
        chains = Chains(connection, plan)
        for number in range(1, 17):
            if restarts:
                found += chains.alerts.signals
                chains = Chains(connection, plan)
            funds, owners = choose.choice([5, 60, 100, 110]), choose.sample(OWNERS, choose.randrange(4))
            content = {"funds": funds}
            opened = (sent(number, number, 10),) if choose.random() < 0.7 else ()
            ended = (filled(number, choose.randrange(1, number + 1)),) if choose.random() < 0.5 else ()
            chains.mine(number, events=opened)
            chains.mine(number, "beta", events=ended)
            for _ in range(2):
                chains.answer(
                    lambda name, _block, c=content, o=owners: {"owner": o} if name.endswith(":*") else c  # type: ignore[misc]
                )
        found += chains.alerts.signals
    engine.dispose()
    return [
        (sorted(one.labels.items()), one.starts_at, one.ends_at, one.reason, one.annotations.get("values"))
        for one in found
        if one.source == "invariant"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("restarts", [False, True])
def test_verdicts_are_the_same_where_transfers_are_loaded_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, restarts: bool
) -> None:
    at_once = signals(tmp_path, seed, restarts=False)
    monkeypatch.setattr(kept_transfers, "AT_ONCE", -1)
    assert signals(tmp_path, seed, restarts=restarts) == at_once


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_verdicts_are_the_same_with_restarts(tmp_path: Path, seed: int) -> None:
    without = signals(tmp_path, seed, restarts=False)
    assert without == signals(tmp_path, seed, restarts=True)
    raised = {dict(labels)["invariant"] for labels, *_ in without}
    assert raised == set(TABLES)
