"""Values of flows: transfers under way, counted as of the moment of each check."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.checker.flow import Flow
from chainwatch.checker.invariants.flow_index import FlowIndex
from chainwatch.checker.invariants.flow_measure import Counted, FlowMeasure, Moment, count
from chainwatch.checker.transfer import settle, with_events
from chainwatch.config import ConfigError, read_dict
from chainwatch.invariants import kept_transfers
from chainwatch.model import Event, Occurrence, RawLog, Transfer
from chainwatch.plan import Plan, make_plan
from chainwatch.store import invariants, schema, transfers
from tests.support.flows import event, flow
from tests.support.judging import coverage, occurrences
from tests.unit.invariants.test_checker import NETWORKS, SAFE, Chains, header

TOKEN = "0x" + "70" * 20
OTHER = "0x" + "71" * 20


def _abi(name: str, *inputs: tuple[str, str]) -> dict[str, Any]:
    params = [{"name": one, "type": kind, "indexed": False} for one, kind in inputs]
    return {"type": "event", "name": name, "inputs": params, "anonymous": False}


ABI = [
    _abi("Sent", ("id", "uint256"), ("to", "uint256"), ("amount", "uint256"), ("asset", "address")),
    _abi("Filled", ("id", "uint256")),
]
SIGNATURES = {"Sent": "Sent(uint256,uint256,uint256,address)", "Filled": "Filled(uint256)"}
BRIDGE = {
    "contract": "bridge",
    "key": "id",
    "opens": {
        "step": "send",
        "event": "Sent",
        "destination": "to",
        "amount": "amount",
        "asset": "asset",
    },
    "expects": [{"step": "fill", "event": "Filled", "within": "1h"}],
}
IN_FLIGHT = {"flow": "bridge", "amount": "in_flight", "asset": "usdc"}
BACKED: dict[str, Any] = {
    "values": {
        "locked": {"network": "alpha", "address": SAFE, "balance": True},
        "minted": {"network": "beta", "address": SAFE, "balance": True},
        "in_flight": IN_FLIGHT,
    },
    "assert": "locked + in_flight >= minted",
}
EXACT = {**BACKED, "assert": "locked - in_flight == minted"}


def plan_of(folder: Path, **tables: Mapping[str, Any]) -> Plan:
    (folder / "bridge.json").write_text(json.dumps(ABI))
    return make_plan(
        read_dict(
            {
                "networks": NETWORKS,
                "contracts": {"bridge": {"abi": str(folder / "bridge.json"), "address": "0x" + "b1" * 20}},
                "assets": {"usdc": {"address": TOKEN, "decimals": 6}, "raw": {"address": OTHER}},
                "flows": {"bridge": BRIDGE},
                "invariants": tables,
            }
        )
    )


@pytest.fixture
def connection() -> Iterator[sa.Connection]:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        schema.metadata.create_all(connection)
        yield connection
    engine.dispose()


def made(network: str, block: int, name: str, index: int = 0, **args: Any) -> Event:
    there = header(block)
    log = RawLog(
        block,
        there.hash,
        there.timestamp,
        index,
        (block * 10000 + index).to_bytes(32),
        b"\x01" * 20,
        (b"\2" * 32,),
        b"",
    )
    return Event(network, "bridge", name, SIGNATURES[name], args, log)


def sent(block: int, number: int, amount: int, asset: str = TOKEN, index: int = 0) -> Event:
    return made("alpha", block, "Sent", index, id=number, to=2, amount=amount, asset=asset)


def filled(block: int, number: int) -> Event:
    return made("beta", block, "Filled", id=number)


class World:
    """What is locked on alpha and minted on beta, by block."""

    def __init__(self, connection: sa.Connection, plan: Plan) -> None:
        self.chains = Chains(connection, plan)
        self.by_block: dict[tuple[str, int], int] = {}

    def mine(self, network: str, number: int, amount: int, *events: Event) -> None:
        self.by_block[network, number] = amount
        self.chains.mine(number, network, events=events)

    def read(self) -> None:
        for network, key in (("alpha", "locked"), ("beta", "minted")):
            self.chains.answer(
                lambda _name, block, n=network, k=key: {k: self.by_block[n, block]},  # type: ignore[misc]
                network,
            )


def answers(connection: sa.Connection) -> list[tuple[str, int, bool | None]]:
    return [(c.network, c.block, c.holds) for c in invariants.checks(connection, "backed")]


def test_a_transfer_under_way_is_no_breach_and_a_mint_of_nothing_is_one(
    connection: sa.Connection, tmp_path: Path
) -> None:
    world = World(connection, plan_of(tmp_path, backed=EXACT))
    world.mine("alpha", 1, 100)
    world.mine("beta", 1, 100)
    world.mine("alpha", 2, 110, sent(2, 1, 10), sent(2, 2, 7, OTHER, index=1))
    world.mine("beta", 2, 100)
    world.mine("alpha", 3, 110)
    world.mine("beta", 3, 110, filled(3, 1))
    world.mine("alpha", 4, 110)
    world.mine("beta", 4, 115)
    world.mine("alpha", 5, 110)
    world.mine("beta", 5, 110)
    world.read()
    found = answers(connection)
    assert {block for _, block, holds in found if holds is False} == {4}
    assert {block for _, block, holds in found if holds} >= {2, 3, 5}
    (first, second) = world.chains.alerts.signals
    assert "in_flight = 0" in first.annotations["values"]
    assert (first.ends_at, second.ends_at) == (None, 1_050)


@pytest.mark.parametrize("lock", [2, 3])
def test_a_mint_whose_lock_is_not_seen_yet_is_no_breach(
    connection: sa.Connection, tmp_path: Path, lock: int
) -> None:
    """The block of the lock is not read yet; it has the time of the mint's, or a later one, as clocks differ."""
    world = World(connection, plan_of(tmp_path, backed=BACKED))
    world.mine("alpha", 1, 100)
    world.mine("beta", 1, 100)
    world.mine("beta", 2, 110, filled(2, 1))
    world.read()
    assert not any(block == 2 and holds is not None for _, block, holds in answers(connection))
    for number in (2, 3, 4):
        events = (sent(number, 1, 10),) if number == lock else ()
        world.mine("alpha", number, 110 if number >= lock else 100, *events)
    for number in (3, 4):
        world.mine("beta", number, 110)
    world.read()
    assert not world.chains.alerts.signals
    assert ("beta", 2, True) in answers(connection)


def test_what_is_measured_can_be_a_count_an_age_and_a_latency(
    connection: sa.Connection, tmp_path: Path
) -> None:
    measures = {
        "count": {"flow": "bridge", "count": "in_flight"},
        "age": {"flow": "bridge", "age": "oldest"},
        "took": {"flow": "bridge", "latency": 90, "within": "1h"},
        "units": {**IN_FLIGHT, "decimals": 18, "origin": "alpha", "destination": ["beta"]},
    }
    plan = plan_of(tmp_path, backed={"values": measures, "assert": "count < 0"})
    world = World(connection, plan)
    for network in ("alpha", "beta"):
        world.mine(network, 1, 0)
    world.mine("alpha", 2, 0, sent(2, 1, 10), sent(2, 2, 7, index=1))
    world.mine("beta", 4, 0, filled(4, 2))
    world.mine("alpha", 5, 0)
    world.mine("beta", 6, 0)
    world.mine("alpha", 6, 0)
    name, checks = "backed", invariants.checks(connection, "backed")
    last = next(c for c in reversed(checks) if c.holds is not None)
    (reading,) = invariants.readings_at(connection, {(name, last.network, last.block)}).values()
    assert reading.content == {"count": 1, "age": 40, "took": 20, "units": 10 * 10**12}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"flow": "bridg", "count": "in_flight"}, "no flow is called"),
        ({"flow": "bridge"}, "exactly one of amount"),
        ({"flow": "bridge", "count": "in_flight", "age": "oldest"}, "exactly one of amount"),
        ({**IN_FLIGHT, "asset": "usd"}, "no asset is called"),
        ({**IN_FLIGHT, "asset": "raw", "decimals": 18}, "has no `decimals`"),
        ({**IN_FLIGHT, "decimals": 3}, "has 6 decimals"),
        ({**IN_FLIGHT, "origin": "gamma"}, "has gamma as its origin"),
        ({**IN_FLIGHT, "until": "filll"}, "no step filll"),
        ({**IN_FLIGHT, "network": "alpha"}, "neither `network`"),
        ({"flow": "bridge", "latency": 90}, "`within`"),
        ({"network": "alpha", "address": SAFE, "balance": True, "origin": "alpha"}, "only with `flow`"),
    ],
)
def test_what_cannot_be_measured_is_refused(tmp_path: Path, value: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_of(tmp_path, i={"values": {"a": value}, "assert": "a > 0"})


BRIDGE_FLOW: Flow = flow(settle={"on": "origin"})


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.none() | st.integers(0, 90), st.none() | st.integers(0, 90)),
        max_size=6,
    ),
    st.integers(0, 90),
)
def test_what_is_under_way_is_as_of_the_moment(
    transfers: list[tuple[int, int | None, int | None]], at: int
) -> None:
    """Whatever was read since: a sum over transfers that opened by then and had not ended by then."""
    stored = []
    expected = 0
    for number, (opened, fill, settled) in enumerate(transfers):
        events = [event("alpha", "Sent", opened, id=number, amount=10**number)]
        fill = None if fill is None else max(fill, opened)
        settled = None if settled is None else max(settled, opened)
        events += [] if fill is None else [event("beta", "Filled", fill, id=number)]
        events += [] if settled is None else [event("alpha", "Settled", settled, id=number, log_index=1)]
        known = with_events(Transfer("bridge", str(number)), occurrences(BRIDGE_FLOW, events))
        stored.append(settle(BRIDGE_FLOW, known, coverage(200, 200), now=200).transfer)
        ended = None if fill is None or settled is None else max(fill, settled)
        if opened <= at and (ended is None or ended > at):
            expected += 10**number
    wanted = FlowMeasure(BRIDGE_FLOW, "amount", frozenset(), frozenset(), ("fill", "settle"))
    index = FlowIndex(wanted)
    for number, transfer in enumerate(stored):
        index.put(number, count(wanted, transfer))
    assert index.measure(Moment(at, {})) == expected


def _counted(opened: tuple[int, int], ended: tuple[int, int] | None, amount: int) -> Counted:
    """Return a transfer with the time and block of its ends."""
    opening, end = (
        msgspec.structs.replace(
            _OCCURRENCE, network=network, timestamp=where[0], block=where[0] * 3 + where[1]
        )
        if where is not None
        else None
        for network, where in (("alpha", opened), ("beta", ended))
    )
    assert opening is not None
    return Counted(opening, end, amount)


_OCCURRENCE = Occurrence("send", "alpha", 0, 0, 0, b"", {})
_END = st.tuples(st.integers(0, 9), st.integers(0, 2))
_COUNTED = st.builds(_counted, _END, st.none() | _END, st.integers(1, 50))


@given(
    st.sampled_from(["amount", "count", "age", "latency"]),
    st.lists(st.tuples(st.integers(0, 5), st.none() | _COUNTED), max_size=12),
    st.integers(0, 4),
    st.integers(0, 10),
    st.integers(0, 2),
)
def test_what_is_kept_of_transfers_is_what_each_of_them_says(
    take: Any, puts: list[tuple[int, Counted | None]], forgotten: int, at: int, position: int
) -> None:
    """However transfers change and whatever was forgotten before the moment, with several blocks in one second."""
    wanted = FlowMeasure(BRIDGE_FLOW, take, frozenset(), frozenset(), (), percent=50, within=5)
    index, known = FlowIndex(wanted), dict[int, Counted]()
    for number, one in puts:
        index.put(number, one)
        known.pop(number, None)
        if one is not None:
            known[number] = one
    index.forget_before(forgotten - wanted.within)
    at = max(at, forgotten)
    moment = Moment(at, {"alpha": at * 3 + position, "beta": at * 3 + 2})
    ends = [
        (one, moment.has(one.opening), one.ended is not None and moment.has(one.ended))
        for one in known.values()
    ]
    under_way = [one for one, is_open, is_over in ends if is_open != is_over]
    took = sorted(
        max(0, one.ended.timestamp - one.opening.timestamp)
        for one, _, is_over in ends
        if one.ended is not None and is_over and one.ended.timestamp > at - wanted.within
    )
    expected = {
        "amount": sum(one.amount for one in under_way),
        "count": len(under_way),
        "age": max((at - one.opening.timestamp for one in under_way), default=0),
        "latency": took[(len(took) + 1) // 2 - 1] if took else 0,
    }
    assert index.measure(moment) == expected[take]


def test_transfers_that_changed_are_counted_anew_and_others_are_not_read_again(
    connection: sa.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {"values": {"n": {"flow": "bridge", "count": "in_flight"}}, "assert": "n < 2"}
    world = World(connection, plan_of(tmp_path, i=table))
    for number in range(1, 4):
        world.mine("alpha", number, 0, *([sent(2, 1, 10)] if number == 2 else []))
        world.mine("beta", number, 0)
    monkeypatch.setattr(transfers, "alive_since", None)
    world.mine("alpha", 4, 0, sent(4, 2, 10), sent(4, 3, 10, index=1))
    world.mine("beta", 4, 0)
    world.mine("beta", 5, 0, filled(5, 1), filled(5, 2))
    world.mine("alpha", 5, 0)
    for network in ("alpha", "beta"):
        world.mine(network, 6, 0)
    read = {one.block: one.content["n"] for one in invariants.readings(connection, "i") if one.content}
    assert read == {1: 0, 2: 1, 3: 1, 4: 3, 5: 1, 6: 1}


def test_what_was_counted_in_a_transaction_that_was_undone_does_not_count(
    connection: sa.Connection, tmp_path: Path
) -> None:
    table = {"values": {"n": {"flow": "bridge", "count": "in_flight"}}, "assert": "n < 9"}
    world = World(connection, plan_of(tmp_path, i=table))
    for network in ("alpha", "beta"):
        world.mine(network, 1, 0)
    world.mine("alpha", 2, 0, sent(2, 1, 10))
    world.mine("beta", 2, 0)
    with connection.begin_nested() as undone:
        world.mine("alpha", 3, 0, sent(3, 2, 10), sent(3, 3, 10, index=1))
        undone.rollback()
    world.mine("alpha", 3, 0, sent(3, 2, 10))
    world.mine("beta", 3, 0)
    for network in ("alpha", "beta"):
        world.mine(network, 4, 0)
    read = {one.block: one.content["n"] for one in invariants.readings(connection, "i") if one.content}
    assert read == {1: 0, 2: 1, 3: 2, 4: 2}


def minted_early(connection: sa.Connection, folder: Path) -> World:
    """At 1,060 by the clock, beta has minted at 1,020 by its own, and alpha is read up to 1,030."""
    world = World(connection, plan_of(folder, backed=BACKED))
    world.mine("alpha", 1, 100)
    world.mine("beta", 1, 100)
    world.chains.now = 1_060.0
    world.mine("alpha", 2, 100)
    world.mine("beta", 2, 110, filled(2, 1))
    world.mine("alpha", 3, 100)
    world.read()
    assert ("beta", 2, None) in answers(connection)
    assert not world.chains.alerts.signals
    return world


def test_a_mint_before_its_lock_by_the_clocks_is_no_breach_while_the_lock_is_not_read(
    connection: sa.Connection, tmp_path: Path
) -> None:
    world = minted_early(connection, tmp_path)
    world.mine("alpha", 4, 110, sent(4, 1, 10))
    for number in (5, 6, 7):
        world.mine("alpha", number, 110)
    world.read()
    assert not world.chains.alerts.signals
    assert ("beta", 2, True) in answers(connection)


@pytest.mark.parametrize(("last", "now"), [(6, 1_061.0), (4, 1_095.0)])
def test_a_mint_that_nothing_opens_is_a_breach_once_its_lock_would_be_read(
    connection: sa.Connection, tmp_path: Path, last: int, now: float
) -> None:
    """Alpha is read up to the time at which the mint was, or was not for long."""
    world = minted_early(connection, tmp_path)
    world.chains.now = now
    for number in range(4, last + 1):
        world.mine("alpha", number, 100)
    world.read()
    (signal,) = world.chains.alerts.signals
    assert (signal.labels["alertname"], signal.starts_at) == ("InvariantViolated", 1_020)


def test_what_changes_while_transfers_are_loaded_aside_counts(
    connection: sa.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_transfers, "AT_ONCE", -1)
    plan = plan_of(tmp_path, backed={"values": {"in_flight": IN_FLIGHT}, "assert": "in_flight < 100"})
    chains = Chains(connection, plan)
    chains.mine(1, "beta")
    chains.mine(1, events=(sent(1, 1, 60),))
    chains.mine(2, "beta")
    chains.mine(2)
    assert {holds for _, _, holds in answers(connection)} == {None}
    kept = chains.checker.kept_transfers
    (network,) = kept.loading
    assert kept.load(connection, network)
    chains.mine(3, "beta")
    chains.mine(3, events=(sent(3, 2, 50),))  # this transaction takes over what was loaded, and this one, too
    chains.see("beta", 1_040)
    chains.see("alpha", 1_040)
    assert ("alpha", 3, False) in answers(connection)
    assert ("alpha", 2, True) in answers(connection)
