"""S7: what a replay reports is what a live run would have raised on the same blocks."""

import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from chainwatch.alerting.engine.manager import AlertManager
from chainwatch.chain.watch import NetworkWatch
from chainwatch.checker.transfer import IN_TIME
from chainwatch.model import Batch, Header, RawLog, Seen
from chainwatch.plan import Plan, load_plan
from chainwatch.replay import session
from chainwatch.replay.session import Wanted
from chainwatch.store import transfers
from chainwatch.store.alerting import alerts
from chainwatch.store.database import Database
from scripts.bench.recorded_node import RecordedNode, Recording, serve
from tests.support import bridge
from tests.support.bridge import BEGIN, DAY, NETWORKS, Network
from tests.support.pipelines import flow_pipeline

LENGTH = 20 * DAY
NotifiedAlert = list[tuple[dict[str, str], dict[str, str], float, float | None]]


@pytest.mark.parametrize("seed", range(4))
async def test_s7_a_live_run_in_any_interleaving_raises_what_the_replay_reports(
    tmp_path: Path, seed: int
) -> None:
    chains = bridge.recordings(bridge.history(seed=seed, transfers=150, length=LENGTH), LENGTH)
    nodes = {f"/{name}": RecordedNode(chain) for name, chain in chains.items()}
    async with TestServer(serve(nodes)) as server:
        bridge.write_abi(tmp_path)
        urls = {name: str(server.make_url(f"/{name}")) for name in chains}
        (tmp_path / "config.toml").write_text(bridge.config(urls, flow='lookback = "0s"'))
        plan = load_plan(tmp_path / "config.toml", {})
        url = f"sqlite:///{tmp_path / 'replay.db'}"
        report = await session.replay(plan, Wanted((), (), ()), url, durable=False, show_progress=False)
    replayed = [(a["labels"], a["annotations"], a["starts_at"], a["ends_at"]) for a in report["alerts"]]

    live, statuses = run_live(plan, chains, tmp_path, random.Random(seed))

    assert len(live) > 20
    assert live == replayed
    assert statuses == report["transfers"]


def run_live(
    plan: Plan, chains: dict[str, Recording], folder: Path, chance: random.Random
) -> tuple[NotifiedAlert, dict[str, dict[str, int]]]:
    """The alerts and transfers when blocks come one by one, the networks' in any order, with what was seen between them."""
    coming = {n.name: blocks(plan.watches[n.name], n, chains[n.name]) for n in NETWORKS}
    manager = AlertManager(plan.settings.routes, {}, 0)
    pipeline = flow_pipeline(plan.flows, plan.settings.networks, plan.decode, manager)
    with closing(Database.open(f"sqlite:///{folder / 'live.db'}", durable=False)) as database:
        while coming:
            name = chance.choice(sorted(coming))
            items = []
            for _ in range(chance.choice((1, 1, 5, 50))):
                if (item := next(coming[name], None)) is None:
                    del coming[name]
                    break
                items.append(item)
            with database.transaction() as connection:
                pipeline.process(connection, items, BEGIN)
        with database.reading() as connection:
            raised = alerts.list_alerts(connection)
            found = [
                (dict(a.labels), dict(a.annotations), a.starts_at, a.ends_at)
                for a in raised
                if a.reason != IN_TIME
            ]
            counts = transfers.counts(connection)
    ordered = sorted(found, key=lambda a: (a[2], sorted(a[0].items())))
    return ordered, {flow: dict(sorted(c.items())) for flow, c in sorted(counts.items())}


def blocks(watch: NetworkWatch, network: Network, chain: Recording) -> Iterator[Batch | Seen]:
    """A network's blocks as an observer reports them: those with logs one by one, those without many at a time."""
    inside = [log for log in chain.logs if log.block_number >= network.start]
    first = network.start
    for number in sorted({log.block_number for log in inside} | {chain.head}):
        yield batch(
            watch, chain, first, number, [log for log in inside if log.block_number == number], network
        )
        yield Seen(network.name, chain.timestamp(number + 1) - 1 if number < chain.head else 0)
        first = number + 1


def batch(
    watch: NetworkWatch, chain: Recording, first: int, last: int, logs: Sequence[RawLog], network: Network
) -> Batch:
    events, _ = watch.decode_all(logs)
    header = Header(last, chain.hash(last), chain.hash(last - 1), chain.timestamp(last))
    begun = chain.timestamp(first) if first == network.start else None
    return Batch(watch.network, first, header, events, headers=(header,), first_timestamp=begun)
