"""`chainwatch audit`, on an embedded chain."""

import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.chain.transport import open_session
from chainwatch.config import read_dict
from chainwatch.demo import scenario
from chainwatch.demo.chain import DemoChain
from chainwatch.model import Event, StoredLog
from chainwatch.monitor.monitor import Monitor
from chainwatch.operations.auditing import audit, repair, view
from chainwatch.operations.errors import Conflict, NotFound
from chainwatch.plan import Plan, make_plan, plan_again
from chainwatch.store import blocks, transfers
from chainwatch.store.alerting import alerts
from chainwatch.store.database import Database
from tests.support.pipelines import flow_pipeline
from tests.support.waiting import eventually


class Watched(NamedTuple):
    """A chain with a transfer to itself that was paid out; all of it was read."""

    plan: Plan
    database: Database

    @property
    def stored(self) -> list[StoredLog]:
        with self.database.reading() as connection:
            return blocks.logs_above(connection, "alpha", -1)

    @property
    def statuses(self) -> dict[str, int]:
        with self.database.reading() as connection:
            return transfers.counts(connection).get("bridge", {})

    @property
    def raised(self) -> list[tuple[str, str, str]]:
        with self.database.reading() as connection:
            return [(a.name, a.state, a.reason) for a in alerts.list_alerts(connection) if "flow" in a.labels]

    def spoil(self, wrong: list[StoredLog], right: list[Event]) -> None:
        """Changes what is stored, with all that follows, as if the endpoint had reported it so."""
        settings = self.plan.settings
        pipeline = flow_pipeline(
            self.plan.flows,
            settings.networks,
            self.plan.decode,
            AlertEngine(settings.routes, dict.fromkeys(settings.receivers, True), 0),
        )
        with self.database.transaction() as connection:
            pipeline.repair_logs(connection, "alpha", wrong, right, 0.0)

    async def kinds(self) -> list[str]:
        return [d.kind for d in (await audit(self.database, self.plan, time.time(), "alpha")).differences]


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    chain = DemoChain(900_001, "alpha")
    await chain.start()
    try:
        address = await chain.deploy_bridge(scenario.ALPHA_DOMAIN)
        config = scenario.config(chain, DemoChain(900_002, "beta"), {"alpha": address}, tmp_path / "x.db")
        del config["networks"]["beta"]
        plan = make_plan(read_dict(config))
        await chain.execute(await chain.xcall(scenario.ALPHA_DOMAIN, 5))
        with closing(Database.open(f"sqlite:///{tmp_path / 'x.db'}", durable=False)) as database:
            watched = Watched(plan, database)
            async with open_session() as session:
                monitor = Monitor(plan, database, session)
                await monitor.start()
                await eventually(lambda: watched.statuses == {"complete": 1})
                await monitor.stop()
            yield watched
    finally:
        await chain.stop()


async def test_what_is_stored_as_it_is_in_the_chain_is_proven_S1(watched: Watched) -> None:
    found = await audit(watched.database, watched.plan, time.time(), "alpha")
    assert (found.logs, found.differences) == (len(watched.stored), ())
    assert found.logs >= 2
    assert found.endpoints


async def test_a_missing_log_is_found_and_put_in_with_its_transfer_S1(watched: Watched) -> None:
    whole = watched.stored
    watched.spoil(whole[-1:], [])
    assert watched.statuses == {"open": 1}
    found = await audit(watched.database, watched.plan, time.time(), "alpha")
    assert [d.kind for d in found.differences] == ["missing"]
    (shown,) = view(found, repaired=False).differences
    assert (shown.kind, shown.block) == ("missing", whole[-1].log.block_number)
    await repair(watched.database, watched.plan, time.time(), found)
    assert watched.stored == whole
    assert watched.statuses == {"complete": 1}
    assert await watched.kinds() == []


async def test_a_transaction_that_is_not_stored_is_found_only_while_a_flow_reads_it(watched: Watched) -> None:
    settings = watched.plan.settings
    (name,) = settings.flows
    flow = settings.flows[name]
    opens = flow.opens.model_copy(update={"where": "transaction.value == 0"})
    flows = {name: flow.model_copy(update={"opens": opens})}
    reading = Watched(plan_again(settings.model_copy(update={"flows": flows})), watched.database)
    assert await watched.kinds() == []
    assert await reading.kinds() == ["different"]
    found = await audit(reading.database, reading.plan, time.time(), "alpha")
    await repair(reading.database, reading.plan, time.time(), found)
    first, *others = reading.stored
    assert first.log.transaction is not None
    assert first.log.transaction.to == first.log.address
    assert {one.log.transaction for one in others} == {None}
    assert reading.statuses == {"complete": 1}
    assert await reading.kinds() == await watched.kinds() == []


async def test_a_foreign_log_is_found_and_dropped_and_its_alert_ends(watched: Watched) -> None:
    whole = watched.stored
    event = watched.plan.decode("alpha", whole[-1])
    assert event is not None
    watched.spoil([], [event._replace(log=event.log._replace(log_index=9))])
    assert watched.raised == [("TransferRepeated", "firing", "")]
    found = await audit(watched.database, watched.plan, time.time(), "alpha")
    assert [d.kind for d in found.differences] == ["foreign"]
    await repair(watched.database, watched.plan, time.time(), found)
    assert watched.stored == whole
    assert watched.raised == [("TransferRepeated", "resolved", "repaired")]
    assert await watched.kinds() == []


async def test_a_log_that_differs_is_replaced(watched: Watched) -> None:
    whole = watched.stored
    event = watched.plan.decode("alpha", whole[0])
    assert event is not None
    watched.spoil(whole[:1], [event._replace(log=event.log._replace(tx_hash=bytes(32)))])
    found = await audit(watched.database, watched.plan, time.time(), "alpha")
    assert [d.kind for d in found.differences] == ["different"]
    await repair(watched.database, watched.plan, time.time(), found)
    assert watched.stored == whole
    assert watched.statuses == {"complete": 1}


async def test_what_was_pruned_is_not_missed(watched: Watched) -> None:
    watched.spoil(watched.stored[-1:], [])
    store = watched.plan.settings.store.model_copy(update={"retention": -1000.0})
    settings = watched.plan.settings.model_copy(update={"store": store})
    object.__setattr__(watched.plan, "settings", settings)
    assert await watched.kinds() == []


async def test_blocks_that_were_not_read_cannot_be_audited(watched: Watched) -> None:
    with pytest.raises(Conflict, match="were not all read; choose among those that were: 0 to"):
        await audit(watched.database, watched.plan, time.time(), "alpha", 0, 10**6)


async def test_a_network_that_is_not_watched_is_not_found(watched: Watched) -> None:
    with pytest.raises(NotFound, match="did you mean"):
        await audit(watched.database, watched.plan, time.time(), "alpa")


async def test_a_network_of_which_nothing_was_read_cannot_be_audited(
    watched: Watched, tmp_path: Path
) -> None:
    with (
        closing(Database.open(f"sqlite:///{tmp_path / 'new.db'}", durable=False)) as fresh,
        pytest.raises(Conflict, match="nothing of alpha was read yet: `chainwatch run` reads it"),
    ):
        await audit(fresh, watched.plan, time.time(), "alpha")
