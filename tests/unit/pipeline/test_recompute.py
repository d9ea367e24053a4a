"""What a changed configuration does with what is stored."""

from __future__ import annotations

import msgspec
import pytest
import sqlalchemy as sa

from chainwatch.checker.flow import Flow
from chainwatch.model import Backfilled, Batch, Event, UndecodedLog
from chainwatch.pipeline.recompute import Recomputation, check_done
from chainwatch.store import blocks, retention, schema, transfers, watched
from chainwatch.store.errors import StoreError
from tests.support.flows import NAMES, NETWORKS, Alerts, decode, event, flow, header
from tests.support.pipelines import flow_pipeline

SIGNATURES = {step.event.signature for step in flow().all_steps}
SOURCES = {(n, "bridge", s): frozenset({(b"\x01" * 20, s.encode())}) for n in NAMES for s in SIGNATURES}


class Run:
    """A pipeline on a database, configured with some flows."""

    def __init__(
        self, connection: sa.Connection, *flows: Flow, name: str = "first", judging: str = ""
    ) -> None:
        """``name`` and ``judging`` distinguish what the events are, and how they are judged, from other configurations."""
        self.connection = connection
        self.alerts = Alerts()
        self.pipeline = flow_pipeline(flows, NETWORKS, decode, self.alerts, sources=SOURCES)
        target = {f.name: (name, judging or name) for f in flows}
        self.work = Recomputation(self.pipeline, decode, self.alerts, target)

    def take_up(self) -> Run:
        while self.work.step(self.connection, 0.0):
            pass
        return self

    def read(self, network: str, until: int, *events: Event, first: int = 1) -> None:
        """Blocks up to ``until``, whose number is their time."""
        found = Batch(
            network,
            first,
            header(until, until),
            events,
            headers=(header(until, until),),
            first_timestamp=first,
        )
        self.pipeline.process(self.connection, [found], 0.0)

    @property
    def statuses(self) -> dict[str, str]:
        return {t.key: t.status for t in transfers.page(self.connection, 0, 100)}

    @property
    def raised(self) -> list[tuple[str, float | None, str]]:
        return [(s.labels["alertname"], s.ends_at, s.reason) for s in self.alerts.signals]


def test_alerts_that_hold_on_are_not_reported_again(connection: sa.Connection) -> None:
    run = Run(connection, flow()).take_up()
    run.read("beta", 1100, event("beta", "Filled", 1010))
    run.read("alpha", 1100)
    assert run.raised == [("TransferOrphan", None, "")]

    changed = Run(connection, flow(fill={"assert": "amount > 0"}), name="second").take_up()

    assert changed.raised == []
    assert changed.statuses == {"7": "orphan"}


def test_a_flow_that_is_gone_takes_its_transfers_and_alerts_with_it(connection: sa.Connection) -> None:
    run = Run(connection, flow()).take_up()
    run.read("alpha", 1100, event("alpha", "Sent", 1000))
    run.read("beta", 1100)

    gone = Run(connection, flow(name="other", opens={"where": "amount > 10**9"}), name="second").take_up()

    assert gone.raised == [("TransferOverdue", 1100, "configuration changed")]
    assert {t.flow for t in transfers.page(connection, 0, 100)} == {"other"}
    assert {d.step for d in transfers.due_after(connection, (0, 0, ""), 2**62, 99)} == set()


def test_what_was_late_long_ago_is_kept_and_reported_to_nobody(connection: sa.Connection) -> None:
    run = Run(connection, flow()).take_up()
    run.read("alpha", 1100, event("alpha", "Sent", 1000))
    run.read("beta", 1100, event("beta", "Filled", 1020), event("beta", "Settled", 1021))

    hasty = Run(connection, flow(fill={"within": "5s"}), name="second").take_up()

    assert hasty.raised == []
    (transfer,) = transfers.page(connection, 0, 100)
    assert [(r.starts_at, r.ends_at) for r in transfer.raised.values()] == [(1005, 1020)]


def test_a_log_that_does_not_decode_any_more_is_reported_and_labelled(connection: sa.Connection) -> None:
    Run(connection, flow()).take_up().read("alpha", 1100, event("alpha", "Sent", 1000))
    run = Run(connection, flow(), name="second")
    run.work = Recomputation(
        run.pipeline,
        lambda network, log: UndecodedLog(network, "bridge", log.log, "another ABI"),
        run.alerts,
        {"bridge": ("second", "second")},
    )

    run.take_up()

    assert [s.labels["alertname"] for s in run.alerts.signals] == ["LogUndecodable"]
    assert blocks.undecoded_count(connection) == 1
    assert run.statuses == {}


def test_where_only_the_judging_changed_what_is_stored_is_judged_again_S7(connection: sa.Connection) -> None:
    run = Run(connection, flow(fill={"within": "5s"})).take_up()
    run.read("alpha", 1010, event("alpha", "Sent", 1000))
    run.read("beta", 1010)
    assert run.statuses == {"7": "overdue"}

    patient = Run(connection, flow(fill={"within": "1h"}), judging="second").take_up()

    assert patient.statuses == {"7": "open"}
    assert patient.raised == [("TransferOverdue", 1010, "configuration changed")]


@pytest.mark.parametrize("lookback", ["0s", "1h"])
def test_what_retention_has_deleted_is_not_taken_for_what_never_was(
    connection: sa.Connection, lookback: str
) -> None:
    run = Run(connection, flow(lookback=lookback)).take_up()
    run.read("alpha", 1600, event("alpha", "Sent", 1000), event("alpha", "Sent", 1590, id=8))
    run.read("beta", 1600, event("beta", "Filled", 1080), event("beta", "Filled", 1595, id=8))
    connection.execute(sa.delete(schema.metadata.tables["headers"]))
    assert retention.prune(connection, 1050, 0.0, 100) == 1

    changed = Run(connection, flow(lookback=lookback, key=["id", "from"]), name="second").take_up()

    assert changed.statuses["8/1"] == "open"
    assert "TransferOrphan" not in {name for name, ends_at, _ in changed.raised if ends_at is None}
    assert not changed.alerts.firing


def test_nothing_else_judges_while_a_change_is_partly_taken_up(connection: sa.Connection) -> None:
    Run(connection, flow()).take_up().read("alpha", 1100, event("alpha", "Sent", 1000))
    check_done(connection)
    run = Run(connection, flow(key=["id", "from"]), name="second")
    assert run.work.step(connection, 0.0)

    with pytest.raises(StoreError, match="is being applied"):
        check_done(connection)

    run.take_up()
    check_done(connection)


def test_an_orphan_is_held_until_blocks_that_were_not_watched_are_read_again(
    connection: sa.Connection,
) -> None:
    run = Run(connection, flow()).take_up()
    sent = event("alpha", "Sent", 1000)
    before = {n: frozenset(s for p, some in SOURCES.items() if p[0] == n for s in some) for n in NAMES}
    fewer = {n: frozenset(s for s in some if not s[1].startswith(b"Sent")) for n, some in before.items()}
    run.read("alpha", 900)
    run.read("beta", 900)
    watched.follow(connection, blocks.checkpoints(connection), fewer)
    run.read("alpha", 1005, first=901)
    watched.follow(connection, blocks.checkpoints(connection), before)
    run.read("beta", 1100, event("beta", "Filled", 1010), event("beta", "Filled", 1011, id=8), first=901)
    run.read("alpha", 1100, first=1006)
    assert run.raised == []
    gap = watched.gap(connection, "alpha")
    assert gap is not None
    assert (gap.first, gap.last) == (901, 1005)

    foreign = [sent._replace(log=sent.log._replace(block_hash=b"another fork", block_number=1005))]
    run.pipeline.process(
        connection, [Backfilled("alpha", 901, 1005, gap.sources, tuple(foreign))], 0.0
    )  # its block is not the one that is stored
    assert watched.gap(connection, "alpha") == gap
    run.pipeline.process(connection, [Backfilled("alpha", 901, 950, gap.sources)], 0.0)
    assert run.raised == []
    run.pipeline.process(connection, [Backfilled("alpha", 951, 1005, gap.sources, (sent,))], 0.0)

    assert {(s.labels["alertname"], s.labels["transfer"]) for s in run.alerts.signals if not s.ends_at} == {
        ("TransferOrphan", "8")
    }
    assert msgspec.structs.asdict(transfers.page(connection, 0, 1)[0])["opened_at"] == 1000
