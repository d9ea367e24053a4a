"""The back-fill of blocks that are not available any more."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch.chain.errors import NodeError
from chainwatch.checker.judge import FILLING
from chainwatch.model import Batch
from chainwatch.pipeline import backfill
from chainwatch.pipeline.backfill import PATIENCE, Backfill
from chainwatch.store import blocks, transfers, watched
from tests.support.flows import NAMES, NETWORKS, event, flow
from tests.unit.pipeline.test_recompute import SOURCES, Run


class Watch:
    def only(self, _sources: object) -> Watch:
        return self


async def refused(*_: object) -> AsyncGenerator[Batch]:
    raise NodeError("node", "eth_getLogs", -32003, "archive requests need a paid plan")
    yield


async def test_blocks_that_are_refused_for_long_are_given_up_and_accuse_nobody(
    connection: sa.Connection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(backfill, "read_range", refused)
    monkeypatch.setattr(backfill, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(backfill, "PAUSE", 0.0)
    whole = {n: frozenset(s for p, some in SOURCES.items() if p[0] == n for s in some) for n in NAMES}
    run = Run(connection, flow()).take_up()
    run.read("alpha", 900)
    run.read("beta", 900)
    watched.follow(connection, blocks.checkpoints(connection), dict.fromkeys(NAMES, frozenset()))
    run.read("alpha", 1005, first=901)
    run.read("beta", 1005, first=901)
    watched.follow(connection, blocks.checkpoints(connection), whole)
    run.read("alpha", 1400, event("alpha", "Sent", 1006, id=8), first=1006)
    run.read("beta", 1400, event("beta", "Filled", 1010), event("beta", "Filled", 1380, id=9), first=1006)
    assert {t.key for t in transfers.waiting_on(connection, FILLING + "alpha", 10)} == {"7", "9"}
    now = 0.0
    pool: Any = SimpleNamespace(last_answer_at=0.0, network=NETWORKS["alpha"])
    work: Any = Backfill("alpha", 1e12, Watch(), lambda: now)  # type: ignore[arg-type]

    noted_at = []
    while (gap := watched.gap(connection, "alpha")) is not None:
        pool.last_answer_at = now
        async for note in work.read(pool, gap, blocks.checkpoints(connection)["alpha"]):
            note(connection)
            noted_at.append(now)
        now += 60.0
        assert now < 10 * PATIENCE
    run.pipeline.judge_filled(connection, "alpha", 0.0)

    assert [at > PATIENCE for at in noted_at] == [True]
    firing = {(s.labels["alertname"], s.labels["transfer"]) for s in run.alerts.signals if not s.ends_at}
    assert ("TransferOrphan", "7") not in firing
    assert ("TransferOrphan", "9") in firing
    assert run.statuses["7"] == "unopened"
    assert transfers.waiting_on(connection, FILLING + "alpha", 10) == []
    assert len(capsys.readouterr().out.splitlines()) < 10


async def test_a_clock_that_is_ahead_gives_up_no_blocks(connection: sa.Connection) -> None:
    run = Run(connection, flow()).take_up()
    run.read("alpha", 1400)
    checkpoint = blocks.checkpoints(connection)["alpha"]
    pool: Any = SimpleNamespace(last_answer_at=0.0, network=NETWORKS["alpha"])  # to be asked for nothing
    work: Any = Backfill("alpha", 1000, Watch(), lambda: 1e9)  # type: ignore[arg-type]
    gap = watched.Gap(900, 1300, 900, frozenset())
    assert [note async for note in work.read(pool, gap, checkpoint)] == []
