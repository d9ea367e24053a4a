"""Values read from siblings judge transfers as if they were the event's own, over pages, repeats, reorgs and changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainwatch.checker.flow import Flow
from chainwatch.model import Batch, Event, Searched, StoredLog
from chainwatch.pipeline import pipeline, recompute
from chainwatch.store import schema
from chainwatch.store.alerting import alerts
from tests.property.test_pipeline_config_change import (
    PHASES,
    Config,
    Live,
    assert_live_equals_replay,
    changed_world,
    only_fills,
)
from tests.property.worlds import (
    Block,
    Item,
    State,
    World,
    fresh,
    orders,
    play,
    processed_at_once,
    reorganised_orders,
    state,
    worlds,
)
from tests.support.flows import NAMES, NETWORKS, Alerts, decode, event, flow, header
from tests.support.pipelines import flow_pipeline

Change = Callable[[Sequence[Item]], list[Item]]

WITHOUT_TERMS = 4
"""The transfer whose events have no siblings: they count for nothing."""

PICKS = st.sampled_from(["before", "after", "only"])


def joined_flow(pick: str, *, reading_amount_only: bool = False, **changes: Any) -> Flow:
    """The bridge's flow, which knows networks and amounts from ``Terms`` alone, or from there only the amount."""
    terms = {"with": {"terms": {"event": "Terms", "pick": pick}}}
    named = {} if reading_amount_only else {"origin": "terms.from"}
    opens = terms | named | {"amount": "terms.amount"}
    if not reading_amount_only:
        opens["destination"] = "terms.to"
    return flow(opens=opens, fill=terms | named, settle=terms | named, **changes)


def with_terms(pick: str) -> Change:
    """Gives each event a sibling with its values, in the place of its own, on the side that ``pick`` looks for."""
    return lambda items: [_changed(item, pick, siblings=True) for item in items]


def with_own_values(pick: str) -> Change:
    """The same events at the same positions with their own values; those without siblings are left out."""
    return lambda items: [_changed(item, pick, siblings=False) for item in items]


def _changed(item: Item, pick: str, *, siblings: bool) -> Item:
    if not isinstance(item, Batch | Searched):
        return item
    changed = tuple(e for one in item.events for e in _split(one, pick, siblings=siblings))
    return msgspec.structs.replace(item, events=changed)


def _split(one: Event, pick: str, *, siblings: bool) -> list[Event]:
    """One event of a transaction that has two, unless ``pick`` allows only one sibling or there is none."""
    log, alone = one.log, one.args["id"] == WITHOUT_TERMS
    apart = log.log_index if alone or pick == "only" else log.log_index // 2
    place = f"{one.network}/{log.block_number}/{alone}/{apart}"
    tx_hash = hashlib.sha256(place.encode()).digest()
    index = 3 * log.log_index + 1
    if not siblings:
        return [] if alone else [one._replace(log=log._replace(log_index=index, tx_hash=tx_hash))]
    shift = 1 if pick == "after" else -1
    at, number = log.timestamp, log.block_number
    given: dict[str, Any] = {
        name.replace("from", "from_"): one.args.get(name, 0) for name in ("from", "to", "amount")
    }
    empty: dict[str, Any] = dict.fromkeys(given, 0)
    made = event(one.network, one.name, at, block=number, log_index=index, id=one.args["id"], **empty)
    terms = event(one.network, "Terms", at, block=number, log_index=index + shift, **given)
    both = [made] if alone else sorted([made, terms], key=lambda e: e.log.log_index)
    return [e._replace(log=e.log._replace(tx_hash=tx_hash)) for e in both]


def judged(state: State) -> tuple[Any, ...]:
    """What must not depend on whose values they were; events without siblings raise alerts of their own."""
    firing = {k: v for k, v in state.firing.items() if ("alertname", "FlowEvaluationFailed") not in k}
    return state.transfers, state.deadlines, firing


def assert_as_own_values(
    engine: sa.Engine, world: World, delays: Sequence[Sequence[Item]], pick: str, compiled: tuple[Flow, Flow]
) -> None:
    plain, joined = compiled
    own = changed_world(world, with_own_values(pick))._replace(flow=plain)
    with fresh(engine) as connection:
        expected = play(connection, own, processed_at_once(own))
    split = changed_world(world, with_terms(pick))._replace(flow=joined)
    with fresh(engine) as connection:
        found = play(connection, split, [with_terms(pick)(items) for items in delays])
    assert judged(found) == judged(expected)


def flows(pick: str, **changes: Any) -> tuple[Flow, Flow]:
    """The flow that reads the event's own values, and the one that reads its sibling's."""
    return flow(**changes), joined_flow(pick, **changes)


@given(data=st.data(), world=worlds(), pick=PICKS, lookback=st.sampled_from(["0s", "30s"]))
@settings(max_examples=60, deadline=None)
def test_in_any_order_siblings_count_as_own_values(
    engine: sa.Engine, data: st.DataObject, world: World, pick: str, lookback: str
) -> None:
    """S3."""
    delays = data.draw(orders(world))
    assert_as_own_values(engine, world, delays, pick, flows(pick, lookback=lookback))


@given(data=st.data(), world=worlds(), pick=PICKS)
@settings(max_examples=60, deadline=None)
def test_over_reorgs_siblings_count_as_own_values(
    engine: sa.Engine, data: st.DataObject, world: World, pick: str
) -> None:
    """S4."""
    assert_as_own_values(engine, world, data.draw(reorganised_orders(world)), pick, flows(pick))


@given(data=st.data(), world=worlds(max_transfers=3), pick=PICKS)
@settings(max_examples=60, deadline=None)
def test_logs_that_are_repaired_one_by_one_leave_what_a_replay_finds(
    engine: sa.Engine, data: st.DataObject, world: World, pick: str
) -> None:
    """S7: a sibling that was missing, or never in the chain, changes what the step is."""
    world = changed_world(world, with_terms(pick))._replace(flow=joined_flow(pick))
    every = [event for chain in world.chains.values() for block in chain for event in block.events]
    wrong = data.draw(st.lists(st.sampled_from(every), max_size=4, unique_by=_place)) if every else []
    missing = {_place(event) for event in wrong if data.draw(st.booleans())}
    spoiled = {_place(event): _spoiled(event) for event in wrong if _place(event) not in missing}

    def faulty(items: Sequence[Item]) -> list[Item]:
        return [
            msgspec.structs.replace(
                item, events=tuple(spoiled.get(_place(e), e) for e in item.events if _place(e) not in missing)
            )
            for item in items
            if isinstance(item, Batch)
        ]

    with fresh(engine) as connection:
        expected = play(connection, world, processed_at_once(world))
    with fresh(engine) as connection:
        shown = Alerts()
        pipeline = flow_pipeline([world.flow], NETWORKS, decode, shown)
        pipeline.process(connection, faulty(processed_at_once(world)[0]), 0.0)
        for event in data.draw(st.permutations(wrong)):
            stored = [spoiled[_place(event)]] if _place(event) in spoiled else []
            logs = [StoredLog("bridge", one.log, None) for one in stored]
            pipeline.repair_logs(connection, event.network, logs, [event], 0.0)
        found = state(connection, shown)

    assert events_of(found) == events_of(expected)
    assert found.deadlines == expected.deadlines


def _place(event: Event) -> tuple[str, int, int]:
    return event.network, event.log.block_number, event.log.log_index


def _spoiled(right: Event) -> Event:
    """Another event at the same position."""
    ids: dict[str, Any] = {"from_": 3, "to": 3, "amount": 7} if right.name == "Terms" else {"id": 9}
    log = right.log
    made = event(
        right.network, right.name, log.timestamp, block=log.block_number, log_index=log.log_index, **ids
    )
    return made._replace(log=made.log._replace(tx_hash=log.tx_hash))


def events_of(found: State) -> dict[Any, Any]:
    """Status, networks, opening and events of transfers that have any."""
    return {key: facts[:5] for key, facts in found.transfers.items() if facts[4]}


def configs(pick: str) -> tuple[Config, ...]:
    """Configurations with siblings, without, and with some of them."""
    return (
        Config("joined", (joined_flow(pick),)),
        Config("own values", (flow(),)),
        Config("own values and joined", (flow(name="second"), joined_flow(pick))),
        Config("no settling", (only_fills(joined_flow(pick)),)),
        Config("fills only", (only_fills(flow()),)),
        Config("no address", (joined_flow(pick, deployed=NAMES[:2], lookback="30s"),), places=NAMES[:2]),
        Config("amounts", (joined_flow(pick, reading_amount_only=True, orphan_severity="P2"),)),
    )


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recompute, "LOGS_AT_ONCE", 2)
    monkeypatch.setattr(recompute, "TRANSFERS_AT_ONCE", 2)
    monkeypatch.setattr(pipeline, "STORED_AT_ONCE", 2)


@given(data=st.data(), world=worlds(max_transfers=3), pick=PICKS)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=PHASES,
)
def test_after_a_change_siblings_that_were_not_watched_count_as_in_a_replay(
    engine: sa.Engine, data: st.DataObject, world: World, pick: str
) -> None:
    """S7."""
    assert_live_equals_replay(engine, data, world, configs(pick), with_terms(pick))


@given(data=st.data(), world=worlds(max_transfers=2), pick=PICKS)
@settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=PHASES,
)
def test_the_same_on_postgresql(
    postgres_engine: sa.Engine, data: st.DataObject, world: World, pick: str
) -> None:
    """S7."""
    assert_live_equals_replay(postgres_engine, data, world, configs(pick), with_terms(pick))


@pytest.fixture
def postgres_engine(empty_postgres_url: str) -> Iterator[sa.Engine]:
    made = sa.create_engine(empty_postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    schema.metadata.create_all(made)
    yield made
    made.dispose()


def test_what_fires_goes_on_while_siblings_that_are_new_are_read(engine: sa.Engine) -> None:
    """S7: nobody is notified that an alert has ended, and then that it fires again."""
    sent = event("alpha", "Sent", 1_000, block=1)
    blocks = {name: [Block(header(1, 1_000), ()), Block(header(2, 1_090), ())] for name in NAMES}
    blocks["alpha"][0] = Block(header(1, 1_000), (sent,))
    plain = World(flow(), {name: tuple(chain) for name, chain in blocks.items()})
    world = changed_world(plain, with_terms("before"))
    own = Config("own values", (flow(opens={"origin": None, "destination": "beta"}),))
    with fresh(engine) as connection:
        live = Live(connection, own, world)
        live.process(processed_at_once(world)[0])
        assert [a.labels["alertname"] for a in alerts.firing(connection)] == ["TransferOverdue"]

        live.start(Config("joined", (joined_flow("before"),)))
        while not live.recompute():
            pass
        assert [a.labels["alertname"] for a in alerts.firing(connection)] == ["TransferOverdue"]
        assert live.state()[0]["bridge", "7"][4] == ()

        live.backfill(world.chains, 10)
        (alert,) = alerts.list_alerts(connection)
        assert (alert.name, alert.ends_at) == ("TransferOverdue", None)
        assert [o.step for o in live.state()[0]["bridge", "7"][4]] == ["send"]


def test_the_flow_with_siblings_reads_nothing_else() -> None:
    compiled = joined_flow("before")
    assert compiled.opening.joins
    assert compiled.reads["Sent(uint256,uint256,uint256,uint256,uint256[])"] == {("id",)}
    assert replace(compiled, name="other").search is not None
