"""A pipeline of flows on a database in memory, fed by hand."""

from __future__ import annotations

import sqlalchemy as sa

from chainwatch.checker.flow import Flow
from chainwatch.model import FLOWS, Batch, Event, Searched, Seen, Transfer, UndecodedLog
from chainwatch.store import blocks, transfers
from tests.support.flows import NETWORKS, Alerts, decode, event, flow, header
from tests.support.pipelines import flow_pipeline


class Run:
    """A pipeline on a database, with what it said."""

    def __init__(self, connection: sa.Connection, *flows: Flow) -> None:
        self.connection = connection
        self.alerts = Alerts()
        self.pipeline = flow_pipeline(flows or [flow()], NETWORKS, decode, self.alerts)

    def __call__(self, *items: Batch | Seen | Searched) -> transfers.DeadlineChanges:
        outcome = self.pipeline.process(self.connection, items, 0.0)
        return outcome.deadlines.get(FLOWS, transfers.DeadlineChanges([], []))

    @property
    def transfer(self) -> Transfer:
        """The only transfer stored."""
        (found,) = transfers.select(self.connection, transfers.Filter())
        return found

    @property
    def raised(self) -> list[tuple[str, str, float | None, str]]:
        """Name, step, end and reason of every signal so far."""
        return [
            (s.labels["alertname"], s.labels.get("step", ""), s.ends_at, s.reason)
            for s in self.alerts.signals
        ]

    def rows(self) -> set[tuple[str, str, int]]:
        """Step, network and time of every deadline that is open."""
        return {
            (d.step, d.network, d.due_at) for d in transfers.due_after(self.connection, (0, 0, ""), 2**62, 99)
        }

    def checkpoint(self, network: str) -> tuple[int, int, int]:
        """Number, time and end of what was seen."""
        found = blocks.checkpoints(self.connection)[network]
        return found.last.number, found.last.timestamp, found.seen_until


def batch(
    network: str,
    until: int,
    *events: Event,
    first: int = 0,
    ancestor: int | None = None,
    fork: int = 0,
    undecoded: tuple[UndecodedLog, ...] = (),
) -> Batch:
    """A batch up to block ``until``, whose number is its time; ``ancestor`` is the number of the block that stays."""
    return Batch(
        network,
        first,
        header(until, until, fork),
        events,
        undecoded,
        (header(until, until, fork),),
        None if ancestor is None else header(ancestor, ancestor),
        first_timestamp=first,
    )


def moved(made: Event, tx: int) -> Event:
    """The same event in another transaction."""
    return made._replace(log=made.log._replace(tx_hash=tx.to_bytes(32, "big")))


SENT = event("alpha", "Sent", 1000)
FILLED = event("beta", "Filled", 1010)
SETTLED = event("beta", "Settled", 1050)
