"""After a change of the configuration, what stands is what a replay with the new one says of the same blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.checker.flow import Flow, Step, WatchedStep
from chainwatch.checker.judge import SEARCH
from chainwatch.config import NetworkSettings, RouteSettings
from chainwatch.model import (
    WITH_TRANSACTION,
    Backfilled,
    Batch,
    Event,
    EventSource,
    Searched,
    StoredLog,
    Transaction,
    bare_topic,
)
from chainwatch.pipeline import recompute
from chainwatch.pipeline.checker import Prints
from chainwatch.pipeline.recompute import Recomputation
from chainwatch.store import blocks, schema, transfers, watched
from chainwatch.store.alerting import alerts
from tests.property.worlds import Block, Item, World, fresh, processed_at_once, reorganised_orders, worlds
from tests.support.flows import NAMES, NETWORKS, decode, flow
from tests.support.pipelines import flow_pipeline

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without making failing examples smaller, which takes minutes."""
WITHOUT_GAMMA = {name: network for name, network in NETWORKS.items() if name != "gamma"}


class Config(NamedTuple):
    """Flows and networks, as they may be configured; ``name`` distinguishes it from others."""

    name: str
    flows: tuple[Flow, ...]
    networks: Mapping[str, NetworkSettings] = NETWORKS
    places: Sequence[str] = NAMES
    """The networks that are read: those that the contract is on."""

    def __repr__(self) -> str:
        """Short, for the report of a failing example."""
        return f"Config({self.name})"

    @property
    def prints(self) -> Prints:
        """Of every flow something that is its alone: which events it counts is taken to have changed always."""
        return {flow.name: (self.name, self.name) for flow in self.flows}

    @property
    def signatures(self) -> set[str]:
        return {signature for flow in self.flows for step in flow.all_steps for signature in read_by(step)}

    @property
    def sources(self) -> dict[WatchedStep, frozenset[EventSource]]:
        return {
            (network, "bridge", step.watched_as): sources_of(step)
            for network in self.places
            for flow in self.flows
            for step in flow.all_steps
        }

    def with_transaction(self, event: Event) -> Event:
        """``event`` as it is read from the chain: with its transaction where a flow reads that."""
        steps = [step for flow in self.flows for step in flow.all_steps]
        reads = any(step.transactions for step in steps if step.event.signature == event.signature)
        return event._replace(log=event.log._replace(transaction=transaction_of(event) if reads else None))

    def reads(self, event: Event) -> bool:
        return event.network in self.places and event.signature in self.signatures

    def read_again(self, network: str, log: StoredLog) -> Event | None:
        event = decode(network, log)
        return event if self.reads(event) else None

    def batch(self, batch: Batch) -> Batch:
        return Batch(
            batch.network,
            batch.first,
            batch.last,
            tuple(self.with_transaction(event) for event in batch.events if self.reads(event)),
            headers=batch.headers,
            ancestor=batch.ancestor,
            first_timestamp=batch.first_timestamp,
        )


def sources_of(step: Step) -> frozenset[EventSource]:
    """The sources of a step's event, its siblings and their transactions."""
    parts = [(step.event.signature, step.kind), *((join.event.signature, join.kind) for join in step.joins)]
    plain = frozenset(source(signature) for signature, _ in parts)
    return plain | {
        source(signature, WITH_TRANSACTION) for signature, kind in parts if kind in step.transactions
    }


def read_by(step: Step) -> set[str]:
    """The signatures of a step's event and its siblings."""
    return {step.event.signature, *(join.event.signature for join in step.joins)}


def source(signature: str, mark: bytes = b"") -> EventSource:
    return b"\x01" * 20, mark + signature.encode()


def transaction_of(event: Event) -> Transaction:
    """A transaction that follows from its hash; a few are none."""
    first, second, *_ = event.log.tx_hash
    sender = bytes([first % 2]).rjust(20, b"\x01")
    return Transaction(sender, b"\x02" * 20, second) if first % 16 else Transaction(None)


def only_fills(made: Flow) -> Flow:
    """``made`` without the step that comes last, so that its event is not watched."""
    return replace(made, expected=made.expected[:1])


CONFIGS = (
    Config("plain", (flow(),)),
    Config("another key", (flow(key=["id", "from"]),)),
    Config("only large ones", (flow(opens={"where": "amount > 100"}),)),
    Config("only large fills", (flow(fill={"where": "amount > 100"}),)),
    Config("asserting", (flow(fill={"assert": "amount == opening.amount"}),)),
    Config("by domain", (flow(network_by="domain"),)),
    Config("patient", (flow(fill={"within": "80s"}, settle={"within": "10s"}),)),
    Config("elsewhere", (flow(fill={"on": "gamma", "origin": None}),)),
    Config("opening on alpha only", (flow(opens={"on": "alpha"}),)),
    Config("without a network", (flow(networks=WITHOUT_GAMMA),), WITHOUT_GAMMA, NAMES[:2]),
    Config("without an address", (flow(deployed=NAMES[:2], lookback="30s"),), places=NAMES[:2]),
    Config("two flows", (flow(), flow(name="second", key=["from", "id"]))),
    Config("another flow", (flow(name="second"),)),
    Config("no settling", (only_fills(flow()),)),
    Config("what makes no sense", (flow(settle={"where": "1000 // (amount - 100) > 1"}),)),
    Config("looking back", (flow(lookback="30s"),)),
    Config("numbered", (flow(match="nth", key="from"),)),
    Config("numbered, looking back", (flow(match="nth", lookback="30s"),)),
    Config("aliased", (flow(fill={"alias": "amount"}, settle={"by": "fill", "key": "amount"}),)),
    Config(
        "numbered and aliased",
        (flow(match="nth", key="from", fill={"alias": "id"}, settle={"by": "fill"}, clock_skew="30s"),),
    ),
    Config("in ranges", (flow(key=["from", "id"], settle={"covers": "id..id + 1"}),)),
    Config("numbered, in ranges", (flow(match="nth", settle={"covers": "1..id"}),)),
    Config("large calls", (flow(opens={"where": "transaction.value > 60"}),)),
    Config("by sender", (flow(fill={"assert": "transaction.from == opening.transaction.from"}),)),
    Config("two that read", (flow(), flow(name="second", settle={"where": "transaction.value < 200"}))),
    Config("severe", (flow(fill={"severity": "P0"}, orphan_severity="P2"),)),
)


class Live:
    """A pipeline that is configured anew now and then, on one database."""

    def __init__(self, connection: sa.Connection, config: Config, world: World) -> None:
        self.connection = connection
        self.world = world
        self.unread: list[Item] = []
        """What was read of networks that were not configured then."""
        self.start(config)
        while not self.recompute():
            pass

    def start(self, config: Config) -> None:
        """Run with ``config`` from now on, once it has been applied."""
        self.config = config
        route = RouteSettings.model_validate({"receivers": ["ops"], "group_wait": "0s"})
        self.alerts = AlertEngine([route], {"ops": True}, notify_since=0)
        self.pipeline = flow_pipeline(
            config.flows, config.networks, config.read_again, self.alerts, sources=config.sources
        )
        wanted: dict[str, set[EventSource]] = {}
        for place, sources in config.sources.items():
            wanted.setdefault(place[0], set()).update(sources)
        watched.follow(
            self.connection,
            blocks.checkpoints(self.connection),
            {network: frozenset(sources) for network, sources in wanted.items()},
        )

    def recompute(self) -> bool:
        """One part of the taking up, which may be of a process that has just begun; whether it was the last."""
        work = Recomputation(self.pipeline, self.config.read_again, self.alerts, self.config.prints)
        return not work.step(self.connection, 0.0)

    def process(self, items: Sequence[Item]) -> None:
        items, self.unread = [*self.unread, *items], []
        here = []
        for item in items:
            assert isinstance(item, Batch)
            if item.network in self.config.places:
                here.append(self.config.batch(item))
            else:
                self.unread.append(item)
        self.pipeline.process(self.connection, here, 0.0)

    def backfill(self, chains: Mapping[str, Sequence[Block]], at_once: int) -> None:
        """Read what is to be read again, of ``chains`` as they are now."""
        for network in self.config.places:
            while (gap := watched.gap(self.connection, network)) is not None:
                last = min(gap.first + at_once - 1, gap.last)
                inside = [b for b in chains[network] if gap.first <= b.header.number <= last]
                signatures = {bare_topic(topic).decode() for _, topic in gap.sources}
                events = [e for b in inside for e in b.events if e.signature in signatures]
                events = [
                    self.config.with_transaction(e._replace(log=e.log._replace(block_hash=b.header.hash)))
                    for b in inside
                    for e in b.events
                    if e in events
                ]
                headers = tuple(b.header for b in inside)
                found = Backfilled(network, gap.first, last, gap.sources, tuple(events), headers=headers)
                self.pipeline.process(self.connection, [found], 0.0)
            self.pipeline.judge_filled(self.connection, network, 0.0)

    def answer_searches(self) -> None:
        while waiting := [
            t for n in NETWORKS for t in transfers.waiting_on(self.connection, SEARCH + n, 100)
        ]:
            earlier = tuple(map(self.config.with_transaction, filter(self.config.reads, self.world.earlier)))
            for name in {t.flow for t in waiting}:
                keys = tuple(t.key for t in waiting if t.flow == name)
                self.pipeline.process(self.connection, [Searched(name, keys, earlier)], 0.0)

    def state(self) -> tuple[dict[Any, Any], set[Any], set[Any]]:
        """Transfers, what fires, and the open deadlines by transfer."""
        stored = {t.id: t for t in transfers.page(self.connection, 0, 10_000)}
        firing = {
            (frozenset(a.labels.items()), 0 if a.source == "event" else a.starts_at)
            for a in alerts.firing(self.connection)
        }
        due = {
            (stored[d.transfer_id].flow, stored[d.transfer_id].key, d.step, d.network, d.due_at)
            for d in transfers.due_after(self.connection, (0, 0, ""), 2**62, 10_000)
        }
        return (
            {
                (t.flow, t.key): (
                    t.status,
                    t.origin,
                    t.destination,
                    t.opened_at,
                    t.occurrences,
                    t.raised,
                    t.deadlines,
                )
                for t in stored.values()
            },
            firing,
            due,
        )


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recompute, "LOGS_AT_ONCE", 2)
    monkeypatch.setattr(recompute, "TRANSFERS_AT_ONCE", 2)


def assert_live_equals_replay(
    engine: sa.Engine,
    data: st.DataObject,
    world: World,
    configs: Sequence[Config] = CONFIGS,
    changed: Callable[[Sequence[Item]], list[Item]] = list,
) -> None:
    """``changed`` is what becomes of the items of an order that was drawn."""
    delays = [changed(items) for items in data.draw(reorganised_orders(world))]
    world = changed_world(world, changed)
    changes = data.draw(
        st.lists(st.tuples(st.integers(0, len(delays)), st.sampled_from(configs)), min_size=1, max_size=3)
    )
    changes.sort(key=lambda change: change[0])
    before, after = data.draw(st.sampled_from(configs)), changes[-1][1]

    with fresh(engine) as connection:
        replay = Live(connection, after, world)
        replay.process(processed_at_once(world)[0])
        replay.answer_searches()
        expected = replay.state()
    with fresh(engine) as connection:
        live = Live(connection, before, world)
        for number in range(len(delays) + 1):
            here = [config for at, config in changes if at == number]
            for config in here:
                live.start(config)
                parts = data.draw(st.integers(0, 3)) if config is not here[-1] else 10_000  # some are killed
                for _ in range(parts):
                    if live.recompute():
                        break
            if number < len(delays):
                live.process(delays[number])
        live.process([])
        live.backfill(world.chains, data.draw(st.integers(1, 40)))
        live.answer_searches()
        found = live.state()

    for key in found[0].keys() | expected[0].keys():
        assert (key, found[0].get(key)) == (key, expected[0].get(key))
    assert found[1] - of_orphaned_events(found[1] - expected[1], delays) == expected[1]
    assert found[2] == expected[2]


def changed_world(world: World, changed: Callable[[Sequence[Item]], list[Item]]) -> World:
    """``world`` with what ``changed`` makes of each of its blocks."""

    def events(network: str, block: Block) -> tuple[Event, ...]:
        (item,) = changed([Batch(network, block.header.number, block.header, block.events)])
        assert isinstance(item, Batch)
        return item.events

    chains = {
        network: tuple(Block(block.header, events(network, block)) for block in chain)
        for network, chain in world.chains.items()
    }
    (searched,) = changed([Searched("", (), world.earlier)])
    assert isinstance(searched, Searched)
    return world._replace(chains=chains, earlier=searched.events)


def of_orphaned_events(alerts: set[Any], orders: Sequence[Sequence[Item]]) -> set[Any]:
    """Those of ``alerts`` that may be about an event which could not be judged and was then removed by a reorg: such an
    alert fires until a person deals with it."""
    reorged = {
        b.network for items in orders for b in items if isinstance(b, Batch) and b.ancestor is not None
    }
    labels = {alert: dict(alert[0]) for alert in alerts}
    return {
        a
        for a, own in labels.items()
        if own["alertname"] in ("LogUndecodable", "FlowEvaluationFailed") and own["network"] in reorged
    }


@given(data=st.data(), world=worlds())
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=PHASES,
)
def test_live_after_a_change_equals_a_replay_with_the_new_configuration(
    engine: sa.Engine, data: st.DataObject, world: World
) -> None:
    """S7."""
    assert_live_equals_replay(engine, data, world)


@given(data=st.data(), world=worlds(max_transfers=2))
@settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=PHASES,
)
def test_the_same_on_postgresql(postgres_engine: sa.Engine, data: st.DataObject, world: World) -> None:
    """S7."""
    assert_live_equals_replay(postgres_engine, data, world)


@pytest.fixture
def postgres_engine(empty_postgres_url: str) -> Iterator[sa.Engine]:
    made = sa.create_engine(empty_postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    schema.metadata.create_all(made)
    yield made
    made.dispose()
