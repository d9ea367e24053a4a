"""Rules in a replay: over the numbers of transfers at chain time, and over samples that are given."""

import heapq
import json
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.model import Batch, Seen
from chainwatch.operations.context import Context
from chainwatch.operations.measures import OTHERS, measure, place_label
from chainwatch.plan import Plan, load_plan
from chainwatch.promql.series import NAME, Labels
from chainwatch.replay import replay, session
from chainwatch.replay.errors import ReplayError
from chainwatch.replay.session import Wanted
from chainwatch.rule_engine import replaying
from chainwatch.rule_engine.families import families
from chainwatch.rule_engine.past_transfers import PastTransfers
from chainwatch.rule_engine.replaying import GivenSamples, PastRules, read_samples, rules_over_history
from chainwatch.store import blocks as stored_blocks
from chainwatch.store import transfers
from chainwatch.store.database import Database
from chainwatch.store.transfer_totals import place
from scripts.bench.recorded_node import RecordedNode, Recording, serve
from tests.integration.test_replay_live import batch
from tests.integration.test_replay_resumed import Interrupt, interrupting
from tests.support import bridge
from tests.support.bridge import BEGIN, DAY, NETWORKS
from tests.support.pipelines import flow_pipeline
from tests.support.replays import Bridge

NO_SAMPLES = GivenSamples(())
LENGTH = DAY
RULES = """
[[rules]]
alert = "ManyInFlight"
query = 'sum by (origin) (chainwatch_transfers_in_flight) > 3'
for = "15m"
severity = "P1"
annotations = { summary = "{{ $value }} in flight from {{ $labels.origin }}" }

[[rules]]
alert = "OldOne"
query = "max(chainwatch_transfers_oldest_age_seconds) > 2 * 3600"
keep_firing_for = "1h"

[[rules]]
record = "opened:increase1h"
query = "sum(increase(chainwatch_transfers_opened_total[1h]))"
group = "opened"

[[rules]]
alert = "NothingOpened"
query = "opened:increase1h == 0"
group = "opened"
"""
SHOWN = ("ManyInFlight", "OldOne", "NothingOpened")


def of_rules(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [alert for alert in report["alerts"] if alert["labels"]["alertname"] in SHOWN]


async def replayed(plan: Plan, url: str, samples: GivenSamples = NO_SAMPLES, **wanted: Any) -> Any:
    rules = rules_over_history(plan, samples)
    return await session.replay(
        plan, Wanted((), (), (), **wanted), url, rules=rules, durable=False, show_progress=False
    )


async def test_s7_rules_over_a_live_run_give_what_the_replay_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live, the numbers are those of ``/metrics`` once the blocks of both networks until then are stored."""
    monkeypatch.setattr(replaying, "EVERY", 280)
    chains = bridge.recordings(bridge.history(seed=3, transfers=200, length=LENGTH), LENGTH)
    async with TestServer(
        serve({f"/{name}": RecordedNode(chain) for name, chain in chains.items()})
    ) as server:
        bridge.write_abi(tmp_path)
        urls = {name: str(server.make_url(f"/{name}")) for name in chains}
        (tmp_path / "config.toml").write_text(bridge.config(urls, flow='lookback = "0s"', rest=RULES))
        plan = load_plan(tmp_path / "config.toml", {})
        url = f"sqlite:///{tmp_path / 'replay.db'}"
        report = await replayed(plan, url)
    found = of_rules(report)
    assert {alert["labels"]["alertname"] for alert in found} == set(SHOWN)
    with closing(Database.open(url, durable=False)) as database, database.reading() as connection:
        checkpoints = stored_blocks.checkpoints(connection).values()
        first = min(one.first_timestamp for one in checkpoints)
        last = max(one.seen_until for one in checkpoints)
        rules = PastRules(plan, connection, GivenSamples(()))
    live = Live(plan, chains, tmp_path)
    monkeypatch.setattr(rules, "_transfers", live)
    starts: dict[str, list[float]] = {}
    ends: dict[str, list[float]] = {}
    for signal in rules.signals(first, last, lambda: False):
        times = starts if signal.ends_at is None else ends
        name = json.dumps(dict(sorted(signal.labels.items())))
        times.setdefault(name, []).append(signal.starts_at if signal.ends_at is None else signal.ends_at)
    live.database.close()
    for alert in found:
        name = json.dumps(alert["labels"])
        assert alert["starts_at"] in starts[name]
        assert alert["ends_at"] is None or alert["ends_at"] in ends[name]
    assert sum(map(len, starts.values())) == len(found)


class Live:
    """Samples as a live run has them."""

    def __init__(self, plan: Plan, chains: dict[str, Recording], folder: Path) -> None:
        self._coming = heapq.merge(
            *(_blocks(plan, network, chains[network.name]) for network in NETWORKS),
            key=lambda pair: pair[0],
        )
        self._next = next(self._coming, None)
        engine = AlertEngine(plan.settings.routes, {}, 0)
        self._pipeline = flow_pipeline(plan.flows, plan.settings.networks, plan.decode, engine)
        self._plan = plan
        self.database = Database.open(f"sqlite:///{folder / 'live.db'}", durable=False)

    def at(self, now: int) -> Iterator[tuple[Labels, float]]:
        with self.database.transaction() as connection:
            while self._next is not None and self._next[0] <= now:
                self._pipeline.process(connection, [self._next[1]], BEGIN)
                self._next = next(self._coming, None)
            self._pipeline.process(connection, [Seen(network.name, now) for network in NETWORKS], BEGIN)
            numbers = measure(connection, Context.of(self._plan, connection), now)
        for family in families(numbers, {}):
            if family.name in ("chainwatch_transfers_in_flight", "chainwatch_transfers_oldest_age_seconds"):
                for sample in family.samples:
                    yield Labels({NAME: sample.name, **sample.labels, "job": "chainwatch"}), sample.value
        with (
            self.database.reading() as connection
        ):  # counters are the process's: here they are those of what is stored
            opened = dict.fromkeys(product(("alpha", "beta"), ("alpha", "beta", "", OTHERS)), 0)
            for one in transfers.select(connection, transfers.Filter()):
                if one.opened_at is not None:
                    opened[one.origin or "", place_label(place(one.destination))] += 1
        for (origin, destination), number in opened.items():
            labels = {"flow": "bridge", "origin": origin, "destination": destination, "job": "chainwatch"}
            yield Labels({NAME: "chainwatch_transfers_opened_total", **labels}), float(number)


def _blocks(plan: Plan, network: bridge.Network, chain: Recording) -> Iterator[tuple[int, Batch]]:
    """The first block, then those with logs, each with its time."""
    first = network.start
    inside = [log for log in chain.logs if log.block_number >= first]
    for number in sorted({log.block_number for log in inside} | {network.start, chain.head}):
        logs = [log for log in inside if log.block_number == number]
        one = batch(plan.watches[network.name], chain, first, number, logs, network)
        yield one.last.timestamp, one
        first = number + 1


async def test_s7_interruptions_and_sizes_change_nothing(
    watched: Bridge, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "EVERY", 280)
    await watched.serve(bridge.recordings(bridge.history(seed=5, transfers=200, length=LENGTH), LENGTH))
    plan = watched.plan(rest=f'{RULES}\n[evaluation]\ninterval = "2h"')
    whole = await replayed(plan, f"sqlite:///{watched.folder / 'whole.db'}")
    assert of_rules(whole)
    monkeypatch.setattr(replay, "EVENTS_A_COMMIT", 20)
    with monkeypatch.context() as patched:
        patched.setattr(session, "_bar", partial(interrupting, 30))
        with pytest.raises(Interrupt):
            await replayed(plan, database_url)

    assert json.dumps(await replayed(plan, database_url, resume=True)) == json.dumps(whole)
    assert json.dumps(await replayed(plan, database_url, resume=True)) == json.dumps(whole)


async def test_samples_alone_are_replayed(tmp_path: Path) -> None:
    """A configuration without networks: rules over the samples of a file, each from the moment on that it has."""
    (tmp_path / "config.toml").write_text(
        """
[networks.alpha]
chain_id = 1
rpc = ["http://127.0.0.1:1"]

[[rules]]
alert = "Slow"
query = "latency_seconds > 2"
for = "2m"
severity = "P2"
annotations = { summary = "{{ $labels.service }} takes {{ $value }} s" }
"""
    )
    lines = [
        f'latency_seconds{{service="a"}} {3 if 5 <= minute < 10 else 1} {60 * minute}' for minute in range(20)
    ]
    (tmp_path / "samples").write_text("# TYPE latency_seconds gauge\n" + "\n".join(lines) + "\n# EOF\n")
    plan = load_plan(tmp_path / "config.toml", {})
    report = await replayed(plan, f"sqlite:///{tmp_path}/r.db", read_samples([tmp_path / "samples"]))
    (alert,) = report["alerts"]
    assert alert["labels"]["alertname"] == "Slow"
    assert alert["labels"]["severity"] == "P2"
    assert alert["annotations"]["summary"] == "a takes 3 s"
    assert (alert["starts_at"], alert["ends_at"]) == (7 * 60, 10 * 60)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x 1\n", "has no time"),
        ("x{ 1 5\n", "line 1"),
        ("x nonsense 5\n", "line 1"),
        ("\xff", "no UTF-8"),
    ],
)
def test_samples_that_cannot_be_used_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "samples").write_bytes(text.encode("latin-1"))
    with pytest.raises(ReplayError, match=reason):
        read_samples([tmp_path / "samples"])


def test_a_missing_file_of_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="cannot be read"):
        read_samples([tmp_path / "none"])


def test_nobody_pays_for_series_that_nobody_reads() -> None:
    assert not list(PastTransfers((), {}, None, lambda labels: False).at(5))  # type: ignore[arg-type]
