"""A checker beside the flows: what `tests.support.busy` raises follows from the set of events, as for flows."""

from __future__ import annotations

import sqlalchemy as sa

from chainwatch.flows.checker import FlowChecker
from chainwatch.model import Batch, Event, Seen, StoredLog
from chainwatch.pipeline.pipeline import Outcome, Pipeline
from chainwatch.pipeline.recompute import Recomputation
from chainwatch.store import transfers
from tests.support.busy import NAME, BusyChecker, BusyExtractor, Hash
from tests.support.flows import EVENTS, NETWORKS, Alerts, decode, event, flow, header

BUSY = ("Busy", 1030, None, "")


class Run:
    """A pipeline of flows and Busy on a database."""

    def __init__(self, connection: sa.Connection, threshold: int = 2) -> None:
        self.connection = connection
        self.alerts = Alerts()
        self.busy = BusyChecker(BusyExtractor("bridge", EVENTS["Filled"].signature), threshold)
        self.pipeline = Pipeline([FlowChecker([flow()]), self.busy], NETWORKS, decode, self.alerts)
        target = {"bridge": ("", ""), "busy": ("", str(threshold))}
        work = Recomputation(self.pipeline, decode, self.alerts, target)
        while work.step(connection, 0.0):
            pass

    def read(self, until: int, *events: Event, first: int = 1, ancestor: int | None = None) -> Outcome:
        """Blocks of beta up to ``until``, whose number is their time."""
        back = None if ancestor is None else header(ancestor, ancestor)
        last = header(until, until, 0 if back is None else 1)
        batch = Batch("beta", first, last, events, headers=(last,), ancestor=back, first_timestamp=first)
        return self.pipeline.process(self.connection, [batch], 0.0)

    @property
    def raised(self) -> list[tuple[str, float, float | None, str]]:
        return [
            (s.labels["alertname"], s.starts_at, s.ends_at, s.reason)
            for s in self.alerts.signals
            if s.labels["alertname"] == "Busy"
        ]


def fill(number: int, at: int) -> Event:
    return event("beta", "Filled", at, id=number)


def test_it_is_raised_above_its_threshold_beside_the_flows(connection: sa.Connection) -> None:
    run = Run(connection)
    run.read(1020, fill(1, 1010), fill(2, 1020))
    assert run.raised == []

    outcome = run.read(1030, fill(3, 1030), first=1021)

    assert run.raised == [BUSY]
    assert [(d.network, d.due_at) for d in outcome.deadlines[NAME].opened] == [("beta", 1090)]
    assert outcome.wanted == {(NAME, "beta")}
    assert len(list(transfers.select(connection, transfers.Filter()))) == 3


def test_it_ends_by_chain_time(connection: sa.Connection) -> None:
    run = Run(connection)
    run.read(1030, fill(1, 1010), fill(2, 1020), fill(3, 1030))
    run.pipeline.process(connection, [Seen("beta", 1090)], 0.0)
    assert run.raised == [BUSY]

    run.pipeline.process(connection, [Seen("beta", 1091)], 0.0)

    assert run.raised == [BUSY, ("Busy", 1030, 1090, "quiet")]


def test_a_reorg_undoes_it_and_may_bring_it_back(connection: sa.Connection) -> None:
    run = Run(connection)
    run.read(1030, fill(1, 1010), fill(2, 1020), fill(3, 1030))

    run.read(1031, ancestor=1025, first=1026)
    assert run.raised == [BUSY, ("Busy", 1030, 1031, "reorg")]

    run.read(1035, fill(3, 1033), first=1032)
    assert run.raised[2:] == [("Busy", 1033, None, "")]


def test_a_restart_goes_on_with_it(connection: sa.Connection) -> None:
    Run(connection).read(1020, fill(1, 1010), fill(2, 1020))
    run = Run(connection)
    run.read(1030, fill(3, 1030), first=1021)
    assert run.raised == [BUSY]

    again = Run(connection)
    again.read(1040, first=1031)
    assert again.raised == []
    network, block = again.busy.load_wanted(connection, "beta", 10) or ("", 0)
    again.pipeline.process(connection, [Hash(NAME, network, block, b"\x01" * 32)], 0.0)
    assert again.alerts.signals[-1].annotations == {"hash": "0x" + "01" * 32}
    assert again.busy.load_wanted(connection, "beta", 10) is None


def test_a_changed_threshold_is_judged_again(connection: sa.Connection) -> None:
    Run(connection).read(1030, fill(1, 1010), fill(2, 1020), fill(3, 1030))

    assert Run(connection, threshold=3).raised == [("Busy", 1030, 1030, "configuration changed")]
    assert Run(connection, threshold=3).raised == []
    assert Run(connection, threshold=0).raised == [("Busy", 1010, None, "")]


def test_logs_that_were_never_in_the_chain_stop_counting(connection: sa.Connection) -> None:
    run = Run(connection)
    wrong = fill(3, 1030)
    run.read(1030, fill(1, 1010), fill(2, 1020), wrong)

    run.pipeline.repair_logs(connection, "beta", [StoredLog("bridge", wrong.log, None)], [], 0.0)

    assert run.raised == [BUSY, ("Busy", 1030, 1030, "repaired")]
