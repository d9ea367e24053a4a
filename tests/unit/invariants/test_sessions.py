"""Sessions for events in the pipeline, without a chain: cursors, cooldowns, ends, reorgs."""

from __future__ import annotations

import msgspec
import pytest
import sqlalchemy as sa

from chainwatch.chain.blocks import SentTransaction, WholeBlock
from chainwatch.chain.errors import MalformedAnswer, NodeError, RpcError, RpcTimeout
from chainwatch.checker.invariants.sessions import Session
from chainwatch.config import read_dict
from chainwatch.invariants import block_reads, event_reads
from chainwatch.invariants.checker import InvariantChecker, Wanted
from chainwatch.invariants.definitions import SESSION
from chainwatch.invariants.event_reads import EventsRead
from chainwatch.model import Header, RawLog
from chainwatch.pipeline.checker import CONFIG_CHANGED
from chainwatch.plan import make_plan
from chainwatch.store import definitions, invariants
from chainwatch.store.definitions import Definition
from chainwatch.support.keccak import keccak256
from tests.unit.invariants.test_checker import SAFE, Chains, header

TOPIC = keccak256(b"Paused()")
PLAN = make_plan(
    read_dict(
        {
            "networks": {"alpha": {"chain_id": 1, "rpc": ["http://x"], "block_time": "10s"}},
            "pessimism": {"layer1": "alpha"},
        }
    )
)


class Watched(Chains):
    """Chains with one session, ``s``."""

    def save(self, *, cooldown: int = 0, is_running: bool = True) -> None:
        params = {"address": SAFE, "args": ["Paused()"]}
        text = msgspec.json.encode(Session("layer1", "contract_event", params, cooldown=cooldown)).decode()
        made = Definition("s", text, SESSION, is_running, False, 0, "anna", 1.0, 1.0)
        definitions.save(self.connection, made)

    def wanted_events(self) -> tuple[int, int] | None:
        found = self.checker.load_wanted(self.connection, "alpha", 500)
        return (found.events[0].first, found.events[0].last) if found and found.events else None

    def read(self, *emitted: int, wanted: Wanted | None = None) -> None:
        """Answer what is wanted by the events of the blocks ``emitted``."""
        found = wanted or self.checker.load_wanted(self.connection, "alpha", 500)
        assert found is not None
        (one,) = found.events
        logs = [
            RawLog(b, header(b).hash, header(b).timestamp, 0, b"t" * 32, b"a" * 20, (TOPIC,), b"")
            for b in emitted
        ]
        self.pipeline.process(self.connection, [EventsRead(one, tuple(logs), ("",) * len(logs))], 0.0)

    @property
    def events(self) -> list[tuple[str, float | None, str]]:
        return [(s.labels["event"], s.ends_at, s.reason) for s in self.alerts.signals]


@pytest.fixture
def chains(connection: sa.Connection) -> Watched:
    chains = Watched(connection, PLAN)
    chains.mine(1)
    return chains


def test_it_begins_after_the_block_that_was_read_last_and_misses_none(chains: Watched) -> None:  # S1
    chains.save()
    chains.mine(2)
    assert chains.wanted_events() == (2, 2)
    chains.mine(3)
    assert chains.wanted_events() == (2, 3)
    chains.read(2)
    assert chains.events == [("2-0", None, "")]
    assert chains.wanted_events() is None


def test_what_cannot_be_looked_up_is_an_alert_in_time(chains: Watched) -> None:
    chains.save(cooldown=10_000)
    for block in range(2, 32):
        chains.mine(block)
    assert chains.raised == []
    chains.mine(32)
    assert chains.raised == [("InvariantUnread", 1_320, None, "")]
    chains.mine(33)
    chains.read(33)
    assert [(kind, end, reason) for kind, _, end, reason in chains.raised[1:]] == [
        ("InvariantViolated", None, ""),
        ("InvariantUnread", 1_330, "read again"),
    ]


async def test_a_node_that_serves_no_traces_is_named_as_the_reason(connection: sa.Connection) -> None:
    settings = {"networks": {"alpha": {"chain_id": 1, "rpc": ["http://x"], "block_time": "10s"}}}
    eth = {"kind": "eth_conservation", "network": "alpha"}
    chains = Watched(connection, make_plan(read_dict({**settings, "invariants": {"eth": eth}})))
    chains.mine(1)

    class Refusing:
        network = chains.checker.settings.networks["alpha"]

        async def ask_agreeing(self, *_: object) -> None:
            raise NodeError("alpha[0]", "debug_traceBlockByHash", -32601, "no such method")

    for block in range(2, 40):
        chains.mine(block)
        wanted = chains.checker.load_wanted(connection, "alpha", 500)
        assert wanted is not None
        with pytest.raises(NodeError):
            _ = [one async for one in chains.checker.read({"alpha": Refusing()}, wanted)]  # type: ignore[dict-item]
    (signal,) = chains.alerts.signals
    assert signal.labels["alertname"] == "InvariantUnread"
    assert (
        "debug_traceBlockByHash failed with code -32601: no such method" in signal.annotations["description"]
    )


@pytest.mark.parametrize(
    "failure",
    [
        NodeError("alpha[0]", "debug_traceBlockByHash", -32601, "no such method"),
        MalformedAnswer("alpha[0]", "no such method, but a text"),
        RpcTimeout("alpha[0]", "no such method within 20 s"),
    ],
)
async def test_blocks_that_are_passed_over_as_too_old_are_not_taken_for_read(
    connection: sa.Connection, monkeypatch: pytest.MonkeyPatch, failure: RpcError
) -> None:
    settings = {"networks": {"alpha": {"chain_id": 1, "rpc": ["http://x"], "block_time": "10s"}}}
    eth = {"kind": "eth_conservation", "network": "alpha"}
    chains = Watched(connection, make_plan(read_dict({**settings, "invariants": {"eth": eth}})))
    chains.mine(1)
    sent = SentTransaction(b"t" * 32, b"a" * 20, None, 0, 0)

    async def whole(_pool: object, first: int, last: int, _hash: object) -> list[WholeBlock]:
        return [WholeBlock(header(number), (sent,), ()) for number in range(first, last + 1)]

    async def refuse(*_: object) -> frozenset[bytes]:
        raise failure

    monkeypatch.setattr(event_reads, "read_blocks", whole)
    monkeypatch.setattr(block_reads, "read_touched", refuse)
    monkeypatch.setattr(block_reads, "STATES_KEPT", 8)  # fewer than are made in the time until the alert

    class AtHead:
        network = chains.checker.settings.networks["alpha"]
        head = header(1)

        async def ask(self, _what: object) -> Header:
            return self.head

    pool = AtHead()
    for block in range(2, 80):
        chains.mine(block)
        pool.head = header(block)
        while wanted := chains.checker.load_wanted(connection, "alpha", 500):
            try:
                read = [one async for one in chains.checker.read({"alpha": pool}, wanted)]  # type: ignore[dict-item]
            except RpcError:
                break
            chains.pipeline.process(connection, read, chains.now)
    (signal,) = chains.alerts.signals
    assert (signal.labels["alertname"], signal.ends_at) == ("InvariantUnread", None)
    assert "no such method" in signal.annotations["description"]
    assert invariants.cursors(connection, "alpha")["eth"] >= 64  # what comes later is checked


def test_an_alert_ends_by_chain_time(chains: Watched) -> None:
    chains.save()
    chains.mine(2)
    chains.read(2)
    chains.see("alpha", 1_319)
    assert len(chains.events) == 1
    chains.see("alpha", 1_320)
    assert chains.events[1:] == [("2-0", 1_320, "over")]


def test_events_within_the_cooldown_are_no_alerts(chains: Watched) -> None:
    chains.save(cooldown=25)
    for block in range(2, 7):
        chains.mine(block)
    chains.read(2, 3, 4, 5, 6)
    assert [event for event, _, _ in chains.events] == ["2-0", "5-0"]


def test_a_reorg_ends_alerts_and_has_the_blocks_read_again(chains: Watched) -> None:  # S4
    chains.save()
    chains.mine(2)
    chains.mine(3)
    late = chains.checker.load_wanted(chains.connection, "alpha", 500)
    chains.read(3)
    chains.mine(3, fork=1, back_to=2)
    assert chains.events == [("3-0", None, ""), ("3-0", 1_030, "reorg")]
    assert chains.wanted_events() == (3, 3)
    chains.read(3, wanted=late)
    assert len(chains.events) == 2


def test_a_stopped_session_ends_its_alerts_and_reads_nothing(chains: Watched) -> None:
    chains.save()
    chains.mine(2)
    chains.read(2)
    chains.save(is_running=False)
    chains.mine(3)
    assert chains.events[1:] == [("2-0", 1_030, "stopped")]
    assert chains.wanted_events() is None
    assert invariants.known_names(chains.connection) == set()


def test_a_restart_goes_on_where_events_were_read(chains: Watched) -> None:
    chains.save()
    chains.mine(2)
    again = Watched(chains.connection, PLAN)
    assert again.wanted_events() == (2, 2)
    again.mine(3)
    again.read(2, 3)
    assert [event for event, _, _ in again.events] == ["2-0", "3-0"]


def test_what_the_file_has_looked_up_is_checked_live_only_and_ends_with_its_table(
    connection: sa.Connection,
) -> None:
    networks = {
        name: {"chain_id": number, "rpc": ["http://x"], "block_time": "10s"}
        for number, name in enumerate(("alpha", "beta"), 1)
    }
    roots = {"kind": "output_roots", "network": "alpha", "l2": "beta", "contract": SAFE}
    roots["runbook_url"] = "https://example.org/roots"
    plan = make_plan(read_dict({"networks": networks, "invariants": {"roots": roots}}))
    chains = Watched(connection, plan)
    chains.mine(1)
    chains.mine(2)
    wanted = chains.checker.load_wanted(connection, "alpha", 500)
    assert wanted is not None
    (one,) = wanted.events
    assert (one.session.name, one.first, one.last) == ("roots", 1, 2)
    topic = next(iter(one.session.signatures))
    log = RawLog(2, header(2).hash, header(2).timestamp, 0, b"t" * 32, b"a" * 20, (topic,), b"")
    chains.pipeline.process(connection, [EventsRead(one, (log,), ("not that of its block",))], 0.0)
    (signal,) = chains.alerts.signals
    assert signal.labels["severity"] == "P0"
    assert "not that of its block; block 2 of alpha" in signal.annotations["description"]
    assert signal.annotations["runbook_url"] == "https://example.org/roots"
    assert InvariantChecker.of(plan, by_clock=False).definitions.load(connection).sessions == {}

    without = make_plan(read_dict({"networks": networks, "pessimism": {"layer1": "alpha"}}))
    after = Watched(connection, without)
    assert [(s.labels["invariant"], s.reason) for s in after.alerts.signals] == [("roots", CONFIG_CHANGED)]


def test_what_cannot_be_looked_up_takes_the_severity_of_a_changed_configuration(
    connection: sa.Connection,
) -> None:
    def watched(severity: str) -> Watched:
        networks = {"alpha": {"chain_id": 1, "rpc": ["http://x"], "block_time": "10s"}}
        roots = {"kind": "eth_conservation", "network": "alpha", "severity": severity}
        return Watched(connection, make_plan(read_dict({"networks": networks, "invariants": {"eth": roots}})))

    chains = watched("P1")
    for block in range(1, 34):
        chains.mine(block)
    assert [one.labels["severity"] for one in chains.alerts.signals] == ["P1"]
    changed = watched("P0")
    for block in range(34, 66):  # for another 5 minutes
        changed.mine(block)
    found = [(one.labels["severity"], one.reason) for one in changed.alerts.signals]
    assert found == [("P1", CONFIG_CHANGED), ("P0", "")]
