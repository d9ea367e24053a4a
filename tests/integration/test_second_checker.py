"""A checker beside the flows in a whole monitor and in a replay, neither of which is changed for it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chainwatch import plan as plans
from chainwatch.chain.decode.abi import Abi
from chainwatch.checker.extractor import Extractor
from chainwatch.config import Settings, read_dict
from chainwatch.demo import scenario
from chainwatch.demo.chain import DemoChain
from chainwatch.flows.checker import Changed
from chainwatch.monitor import monitor
from chainwatch.pipeline.checker import Checker
from chainwatch.plan import Plan
from chainwatch.registry import build_checkers
from chainwatch.replay import replay, session
from chainwatch.replay.session import Wanted
from chainwatch.store.database import Database
from tests.integration.test_monitor import chains, checkpoint, plan_for, raised, running, statuses, until
from tests.support.busy import BusyChecker, BusyExtractor


@pytest.fixture(autouse=True)
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adds it where a checker is added: to the extractors of a plan and to the registry."""
    compile_extractors = plans.compile_extractors

    def extractors(
        parts: Settings, abis: Mapping[str, Abi], add: Callable[..., None], warn: Callable[..., None]
    ) -> tuple[Extractor, ...]:
        signature = abis["bridge"].event("Reconciled").signature  # which no flow watches
        return (*compile_extractors(parts, abis, add, warn), BusyExtractor("bridge", signature))

    def checkers(
        plan: Plan,
        transfers_saved: Callable[[Sequence[Changed]], None] | None = None,
        **options: Any,
    ) -> list[Checker]:
        (extractor,) = (one for one in plan.extractors if isinstance(one, BusyExtractor))
        return [*build_checkers(plan, transfers_saved, **options), BusyChecker(extractor, 1)]

    monkeypatch.setattr(plans, "compile_extractors", extractors)
    for module in (monitor, replay):
        monkeypatch.setattr(module, "build_checkers", checkers)


async def test_it_is_raised_undone_by_a_reorg_and_found_by_a_replay(tmp_path: Path) -> None:  # S4, S7
    file = tmp_path / "monitor.db"
    async with chains() as (alpha, beta, addresses):
        plan = plan_for(alpha, beta, addresses, file)
        transfer = await alpha.xcall(scenario.BETA_DOMAIN, 1)
        await beta.execute(transfer)
        with closing(Database.open(f"sqlite:///{file}", durable=False)) as database:
            async with running(plan, database):
                await beta.reconcile(transfer)
                await beta.reconcile(transfer)
                await until(lambda: any("hash" in a.annotations for a in raised(database, "Busy")))
                await beta.reorg(1)
                await until(lambda: [a.reason for a in raised(database, "Busy")] == ["reorg"])
            await beta.reconcile(transfer)
            async with running(plan, database):  # as after a restart
                await until(lambda: "firing" in {a.state for a in raised(database, "Busy")})
                await until(lambda: "hash" in raised(database, "Busy")[0].annotations)
                await until(lambda: statuses(database) == {"complete": 1})
            live = next(a for a in raised(database, "Busy") if a.state == "firing")

        url = f"sqlite:///{tmp_path / 'replay.db'}"
        report = await session.replay(plan, Wanted((), (), ()), url, durable=False, show_progress=False)

    found = [a for a in report["alerts"] if a["labels"]["alertname"] == "Busy"]
    assert [(a["labels"], a["annotations"], a["starts_at"]) for a in found] == [
        (live.labels, live.annotations, live.starts_at)
    ]
    assert report["transfers"] == {"bridge": {"complete": 1}}


async def test_a_network_without_watched_events_is_followed_where_a_checker_reads_its_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BusyExtractor, "networks", ("gamma",))
    file = tmp_path / "monitor.db"
    gamma = DemoChain(900_003, "gamma")
    await gamma.start()
    try:
        async with chains() as (alpha, beta, addresses):
            config = scenario.config(alpha, beta, addresses, file)
            config["networks"]["gamma"] = {"chain_id": 900_003, "rpc": [gamma.http_url], "start_block": 0}
            plan = plans.make_plan(read_dict(config))
            with closing(Database.open(f"sqlite:///{file}", durable=False)) as database:
                async with running(plan, database):
                    await gamma.mine()
                    await until(lambda: checkpoint(database, "gamma") >= gamma.head.number > 0)
    finally:
        await gamma.stop()
