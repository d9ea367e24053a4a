"""Small worlds for the properties of the pipeline: what happens on some networks, and ways to learn of it.

A world is a chain of blocks per network, with steps of a few transfers in them: in time, late, early, missing,
repeated, on the wrong network, without opening. It is delivered as batches per network, in any splitting; orders of
several networks are mixed in any order. All is drawn from small numbers, so that things collide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from hypothesis import strategies as st

from chainwatch.checker.flow import Flow
from chainwatch.checker.judge import SEARCH
from chainwatch.checker.transfer import IN_TIME
from chainwatch.flows.checker import Changed
from chainwatch.model import Batch, Event, Header, Searched, Seen, Signal
from chainwatch.pipeline.pipeline import Pipeline
from chainwatch.store import schema, tables, transfers
from tests.support.counting import assert_totals_are_right
from tests.support.flows import CHAIN_IDS, EVENTS, NAMES, NETWORKS, Alerts, decode, event, flow, header
from tests.support.pipelines import flow_pipeline

T = TypeVar("T")
Item = Batch | Seen | Searched

START, END = 1_000, 1_200
"""Chain times of the first and the last block of every network."""
FILL_WITHIN, SETTLE_WITHIN = 30, 100


class Block(NamedTuple):
    """A block and its events."""

    header: Header
    events: tuple[Event, ...]


class World(NamedTuple):
    """A flow, the chains of its networks by name, and what its openings before the first watched blocks are."""

    flow: Flow
    chains: Mapping[str, tuple[Block, ...]]
    earlier: tuple[Event, ...] = ()

    def __repr__(self) -> str:
        """Short, for the report of a failing example."""
        steps = [
            f"{e.name} {e.args['id']} {e.args['from']}→{e.args.get('to', '')} on {e.network} at {e.log.timestamp}"
            for e in (
                *self.earlier,
                *(e for blocks in self.chains.values() for b in blocks for e in b.events),
            )
        ]
        return f"World({', '.join(steps)}; {[s.expected_on for s in self.flow.expected]})"


class Happening(NamedTuple):
    """An event that is to be put into a block."""

    network: str
    name: str
    at: int
    apart: bool
    """In another block of the same time."""
    args: tuple[tuple[str, Any], ...]


class State(NamedTuple):
    """All that must not depend on how a world was delivered."""

    transfers: dict[tuple[str, str], tuple[Any, ...]]
    deadlines: set[tuple[str, str, str, str, int]]
    firing: dict[frozenset[tuple[str, str]], Any]
    held: dict[frozenset[tuple[str, str]], Any]
    taken_back: list[Signal]
    """What was raised and turned out never to have held."""


# --- what happens -------------------------------------------------------------------------------------


@st.composite
def happenings(draw: st.DrawFn, max_transfers: int, max_keys: int) -> list[Happening]:
    """The steps of some transfers."""
    found: list[Happening] = []
    for number in range(draw(st.integers(1, max_transfers))):
        found += draw(steps_of(1 + number % max_keys))
    return found


@st.composite
def steps_of(draw: st.DrawFn, key: int) -> list[Happening]:
    """The steps of the transfer ``key``."""
    origin = draw(st.sampled_from(NAMES))
    to = draw(st.sampled_from([*NAMES, *NAMES, "nowhere"]))
    opened_at = draw(times(START - 40, END - 20))
    args = {"id": key, "from": CHAIN_IDS[origin], "to": CHAIN_IDS.get(to, 99)}

    def happening(network: str, name: str, at: int, **changes: Any) -> Happening:
        apart = draw(st.booleans())
        return Happening(network, name, min(at, END), apart, tuple(sorted({**args, **changes}.items())))

    found = []
    if draw(st.integers(0, 3)):
        found.append(happening(origin, "Sent", opened_at))
        if not draw(st.integers(0, 4)):
            found.append(happening(origin, "Sent", opened_at + draw(times(0, 20))))
    for name, within in (("Filled", FILL_WITHIN), ("Settled", SETTLE_WITHIN)):
        for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
            at = max(opened_at + draw(times(-40, within + 20)), START)
            strayed = to == "nowhere" or not draw(st.integers(0, 5))
            network = draw(st.sampled_from(NAMES)) if strayed else to
            claim = args["from"] if draw(st.integers(0, 7)) else CHAIN_IDS[draw(st.sampled_from(NAMES))]
            amount = draw(st.sampled_from([100, 100, 101]))
            found.append(happening(network, name, at, **{"from": claim, "amount": amount}))
    return found


def times(first: int, last: int) -> st.SearchStrategy[int]:
    """Round times, which often meet the ends of the flow's times, or one second past such."""
    return st.builds(int.__add__, st.sampled_from(range(first, last + 1, 10)), st.sampled_from([0, 0, 0, 1]))


@st.composite
def worlds(
    draw: st.DrawFn, max_transfers: int = 4, max_keys: int = 4, variants: Sequence[Flow] | None = None
) -> World:
    """A flow, one of ``variants``, and the chains on which it happens; all are read from ``START`` to ``END``."""
    compiled = draw(flow_variants() if variants is None else st.sampled_from(variants))
    happened = draw(happenings(max_transfers, max_keys))
    starts = {name: draw(st.sampled_from([0, 50])) for name in NAMES}
    chains = {}
    for name in NAMES:
        others = draw(st.lists(times(START, END - 10), max_size=10))
        here = [h for h in happened if h.network == name and h.at >= START]
        chains[name] = chain(starts[name], here, others)
    earlier = [h for h in happened if h.at < START and h.name == "Sent" and starts[h.network]]
    return World(compiled, chains, tuple(_event(h, 10 + i, 0) for i, h in enumerate(earlier)))


def chain(
    first: int, happened: Sequence[Happening], times: Sequence[int] = (), *, fork: int = 0, start: int = START
) -> tuple[Block, ...]:
    """Blocks from number ``first`` on at the times of what ``happened``, at ``times``, and at ``start`` and ``END``."""
    blocks = []
    places = {
        (start, False),
        (END, True),
        *((at, False) for at in times),
        *((h.at, h.apart) for h in happened),
    }
    for number, (at, apart) in enumerate(sorted(places), first):
        inside = [h for h in happened if (h.at, h.apart) == (at, apart)]
        events = tuple(_event(h, number, index) for index, h in enumerate(inside))
        blocks.append(Block(header(number, at, fork), events))
    return tuple(blocks)


def flow_variants() -> st.SearchStrategy[Flow]:
    """The bridge's flow: its steps with and without origin, on any place, with and without a look back, asserting or not."""
    unindexed = EVENTS | {
        "Sent": EVENTS["Sent"].__class__(
            "Sent", tuple(p.__class__(p.name, p.type) for p in EVENTS["Sent"].inputs)
        )
    }
    return st.sampled_from(
        [
            flow(),
            flow(fill={"origin": None, "on": "gamma"}, settle={"origin": None}),
            flow(lookback="30s"),
            flow(lookback="30s", events=unindexed),
            flow(repeat="allow", settle={"on": "origin"}, fill={"assert": "amount == opening.amount"}),
            flow(clock_skew="0s"),
            flow(clock_skew="5s", lookback="30s", fill={"assert": "amount == opening.amount"}),
            flow(clock_skew="20s", lookback="30s", events=unindexed),
            flow(clock_skew="5s", fill={"origin": None}, settle={"origin": None, "on": "origin"}),
            flow(clock_skew="0s", settle={"event": "Filled", "on": "origin", "origin": None}),
            flow(opens={"on": "alpha"}, fill={"origin": None}, settle={"on": "beta"}),
            flow(clock_skew="5s", fill={"event": "Sent"}, settle={"event": "Sent", "on": "origin"}),
        ]
    )


def _event(h: Happening, number: int, index: int) -> Event:
    usual: dict[str, Any] = {"amount": 100, "parts": []}
    made = event(h.network, h.name, h.at, block=number, log_index=index, **usual | dict(h.args))
    return made._replace(signature=EVENTS[h.name].signature)


# --- how it is delivered -----------------------------------------------------------------------------------


def batch(
    network: str,
    blocks: Sequence[Block],
    *,
    first_timestamp: int | None = None,
    ancestor: Header | None = None,
) -> Batch:
    """One batch of all of ``blocks``."""
    return Batch(
        network,
        blocks[0].header.number,
        blocks[-1].header,
        tuple(e for b in blocks for e in b.events),
        headers=tuple(b.header for b in blocks),
        first_timestamp=first_timestamp,
        ancestor=ancestor,
    )


def processed_at_once(world: World) -> list[list[Item]]:
    """The plainest order: a batch per network, all in one transaction."""
    return [[batch(name, blocks, first_timestamp=START) for name, blocks in world.chains.items()]]


@st.composite
def orders(draw: st.DrawFn, world: World) -> list[list[Item]]:
    """Any order of ``world``: batches split, repeated, mixed between the networks, several or one at a time."""
    streams: list[list[Item]] = []
    for name, blocks in world.chains.items():
        streams.append(draw(with_repeats(draw(split(name, blocks)))))
    return draw(grouped(draw(mixed(streams))))


@st.composite
def reorganised_orders(draw: st.DrawFn, world: World) -> list[list[Item]]:
    """An order of ``world`` with blocks that did not stay."""
    streams = [draw(reorganised(name, blocks)) for name, blocks in world.chains.items()]
    return draw(grouped(draw(mixed(streams))))


@st.composite
def split(
    draw: st.DrawFn,
    network: str,
    blocks: Sequence[Block],
    start: int = 0,
    end: int | None = None,
    ancestor: Header | None = None,
) -> list[Item]:
    """``blocks`` from index ``start`` to ``end`` as batches, in order; the first replaces what is above ``ancestor``."""
    items: list[Item] = []
    for part in draw(parted(blocks[start:end])):
        first = START if part[0] is blocks[0] else None
        items.append(batch(network, part, first_timestamp=first, ancestor=None if items else ancestor))
    return items


@st.composite
def with_repeats(draw: st.DrawFn, items: list[Item]) -> list[Item]:
    """``items`` with some of them delivered again later, as after a crash."""
    notified = list(items)
    for index in draw(st.lists(st.integers(0, len(items) - 1), max_size=2)):
        notified.insert(draw(st.integers(notified.index(items[index]) + 1, len(notified))), items[index])
    return notified


@st.composite
def mixed(draw: st.DrawFn, streams: Sequence[Sequence[T]]) -> list[T]:
    """One order of all items that keeps that of each stream: as often as not, one stream after the other."""
    if draw(st.booleans()):
        return [item for stream in draw(st.permutations(streams)) for item in stream]
    order = draw(st.permutations([i for i, stream in enumerate(streams) for _ in stream]))
    rest = [list(stream) for stream in streams]
    return [rest[i].pop(0) for i in order]


@st.composite
def grouped(draw: st.DrawFn, items: list[Item]) -> list[list[Item]]:
    """``items`` by the transactions that take them in."""
    return draw(parted(items))


@st.composite
def parted(draw: st.DrawFn, whole: Sequence[Any]) -> list[Any]:
    """``whole`` in consecutive parts: each piece by itself as often as any other way."""
    inner = range(1, len(whole))
    if not whole:
        return []
    cuts = sorted(inner if draw(st.booleans()) else draw(st.sets(st.sampled_from(inner))) if inner else ())
    return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


@st.composite
def reorganised(draw: st.DrawFn, network: str, blocks: Sequence[Block]) -> list[Item]:
    """Batches that end in ``blocks``, some of them after others that did not stay, or delivered a second time."""
    items: list[Item] = []
    notified, ancestor = 0, None
    for _ in range(draw(st.integers(0, 3))):
        until = draw(st.integers(notified + 1, len(blocks)))
        items += draw(split(network, blocks, notified, until, ancestor))
        fork = draw(forked(network, blocks[until - 1].header))
        items += [batch(network, part) for part in draw(parted(fork))]
        notified = draw(st.integers(1, min(until, len(blocks) - 1)))
        ancestor = blocks[notified - 1].header
    return items + draw(split(network, blocks, notified, len(blocks), ancestor))


@st.composite
def forked(draw: st.DrawFn, network: str, parent: Header) -> list[Block]:
    """Some blocks after ``parent`` that do not stay, with steps of the world's transfers and of others; perhaps none."""
    happened = [h for key in draw(st.lists(st.integers(1, 5), max_size=2)) for h in draw(steps_of(key))]
    here = [h._replace(at=max(h.at, parent.timestamp)) for h in happened if h.network == network]
    mark = draw(st.integers(1, 1_000_000))
    blocks = [block for block in chain(0, here, start=parent.timestamp) if block.events]
    return [
        Block(header(number, block.header.timestamp, mark), _marked(block.events, number, mark))
        for number, block in enumerate(blocks, parent.number + 1)
    ]


def _marked(events: Sequence[Event], number: int, mark: int) -> tuple[Event, ...]:
    """``events`` as the transactions of another block."""
    tx_hash = mark.to_bytes(32, "big")
    return tuple(e._replace(log=e.log._replace(block_number=number, tx_hash=tx_hash)) for e in events)


# --- what comes of it ---------------------------------------------------------------------------------


def memory_engine() -> sa.Engine:
    """An engine with the schema in memory, for one connection at a time."""
    engine = sa.create_engine(
        "sqlite://", poolclass=sa.StaticPool, connect_args={"isolation_level": None}
    )  # the driver's own transactions know no savepoints
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    schema.metadata.create_all(engine)
    return engine


@contextmanager
def fresh(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A database as it was when the engine was made, for as long as the context lasts."""
    with engine.connect() as connection:
        yield connection
        connection.rollback()


def play(
    connection: sa.Connection,
    world: World,
    delays: Sequence[Sequence[Item]],
    saved: Callable[[Sequence[Changed]], None] | None = None,
) -> State:
    """Take a whole order through the pipeline, searches answered at the end; the state it leaves."""
    alerts = Alerts()
    pipeline = flow_pipeline([world.flow], NETWORKS, decode, alerts, saved=saved)
    for items in delays:
        pipeline.process(connection, items, 0.0)
    answer_searches(connection, pipeline, world)
    return state(connection, alerts)


def played_twice(engine: sa.Engine, world: World, delays: Sequence[Sequence[Item]]) -> tuple[State, State]:
    """The state that all of a world at once leaves, and the one that ``delays`` leave."""
    with fresh(engine) as connection:
        expected = play(connection, world, processed_at_once(world))
    with fresh(engine) as connection:
        return expected, play(connection, world, delays)


def answer_searches(connection: sa.Connection, pipeline: Pipeline, world: World) -> None:
    """Answer every search for an opening, with all that there is before the first watched blocks."""
    while waiting := [t for n in NETWORKS for t in transfers.waiting_on(connection, SEARCH + n, 100)]:
        keys = tuple(t.key for t in waiting)
        pipeline.process(connection, [Searched(world.flow.name, keys, world.earlier)], 0.0)


def state(connection: sa.Connection, alerts: Alerts) -> State:
    """What is stored, without the ids that count arrivals, and what was said."""
    assert_totals_are_right(connection)
    stored = {t.id: t for t in transfers.select(connection, transfers.Filter())}
    rows = connection.execute(sa.select(tables.deadlines)).all()
    return State(
        {
            (t.flow, t.key): (
                t.status,
                t.origin,
                t.destination,
                t.opened_at,
                t.occurrences,
                t.searched,
                t.raised,
                t.deadlines,
            )
            for t in stored.values()
        },
        {(stored[r.transfer_id].flow, stored[r.transfer_id].key, r.step, r.network, r.due_at) for r in rows},
        alerts.firing,
        alerts.held,
        [s for s in alerts.signals if s.reason == IN_TIME],
    )
