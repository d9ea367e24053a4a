"""``chainwatch audit``: compare what is stored of a network with what another endpoint says of the same blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.chain.history import read_range
from chainwatch.chain.pool import Pool
from chainwatch.chain.transport import open_session
from chainwatch.model import Batch, Event, RawLog, StoredLog, UndecodedLog, to_hex
from chainwatch.operations.checks import check_known
from chainwatch.operations.created import extended_on
from chainwatch.operations.errors import Conflict
from chainwatch.pipeline.pipeline import Pipeline
from chainwatch.pipeline.recompute import check_done
from chainwatch.plan import Plan
from chainwatch.registry import build_checkers
from chainwatch.store import blocks, schema
from chainwatch.store.database import Database

MISSING, FOREIGN, DIFFERENT = "missing", "foreign", "different"


class Difference(NamedTuple):
    """A log that is stored otherwise than it is in the chain.

    ``kind``: missing (in the chain only), foreign (stored only), different (another log at the same position).
    """

    kind: str
    stored: StoredLog | None
    found: Event | UndecodedLog | None

    @property
    def log(self) -> RawLog:
        """The log in the chain; the stored one where there is none."""
        one = self.found or self.stored
        assert one is not None
        return one.log


class Audit(NamedTuple):
    """``differences`` in the blocks ``first``..``last`` of ``network`` among ``logs`` logs read through ``endpoints``."""

    network: str
    first: int
    last: int
    logs: int
    endpoints: tuple[str, ...]
    differences: tuple[Difference, ...]


class DifferenceView(msgspec.Struct, frozen=True):
    """A difference, and the position of its log."""

    kind: str
    block: int
    log_index: int
    tx_hash: str


class AuditView(msgspec.Struct, frozen=True, rename={"first": "from", "last": "to"}):
    """An audit of the blocks from ``first`` to ``last``, both inclusive; ``logs``: how many were read."""

    network: str
    first: int
    last: int
    logs: int
    endpoints: list[str]
    repaired: bool
    differences: list[DifferenceView]


async def audit(
    database: Database,
    plan: Plan,
    now: float,
    network: str,
    first: int | None = None,
    last: int | None = None,
) -> Audit:
    """Read the blocks ``first``..``last`` again, through the endpoint configured last where it answers, and compare.

    Without bounds: all blocks that were read. Logs older than the store's retention may be missing. Raises ``NotFound`` for
    a network that is not watched, ``Conflict`` when it was not read that far, ``ChainError`` when the blocks cannot be read.
    """
    check_known("network that is watched", network, plan.watches)
    checkpoint = (await database.read(blocks.checkpoints)).get(network)
    if checkpoint is None:
        raise Conflict(f"nothing of {network} was read yet: `chainwatch run` reads it")
    first = checkpoint.first_block if first is None else first
    last = checkpoint.last.number if last is None else last
    if not checkpoint.first_block <= first <= last <= checkpoint.last.number:
        read = f"{checkpoint.first_block} to {checkpoint.last.number}"
        raise Conflict(
            f"blocks {first} to {last} of {network} were not all read; choose among those that were: {read}"
        )
    differences: list[Difference] = []
    logs = 0
    pruned_before = now - plan.settings.store.retention
    settings = plan.settings.networks[network]
    async with open_session() as session, Pool(settings, session, last_first=True) as pool:
        await pool.all_tried()
        async for batch in read_range(pool, plan.watches[network], first, last):
            between = network, batch.first, batch.last.number
            stored = await database.read(lambda connection: blocks.logs_between(connection, *between))  # noqa: B023
            logs += len(batch.events) + len(batch.undecoded)
            differences += _compare(batch, stored, pruned_before)
        asked = tuple(endpoint.name for endpoint in pool.endpoints if endpoint.questions)
    return Audit(network, first, last, logs, asked, tuple(differences))


async def repair(database: Database, plan: Plan, now: float, found: Audit) -> None:
    """Correct the differences in ``found``, with all that depends on them, in one transaction."""
    settings = plan.settings
    wrong = [d.stored for d in found.differences if d.stored is not None]
    right = [d.found for d in found.differences if d.found is not None]

    def correct(connection: sa.Connection) -> None:
        check_done(connection)
        alerts = AlertEngine.of(extended_on(connection, settings).settings, schema.created_at(connection))
        pipeline = Pipeline(build_checkers(plan), settings.networks, plan.decode, alerts, plan.sources)
        pipeline.repair_logs(connection, found.network, wrong, right, now)

    await database.write(correct)


def view(found: Audit, repaired: bool) -> AuditView:
    """Return ``found`` without the logs' contents."""
    return AuditView(
        network=found.network,
        first=found.first,
        last=found.last,
        logs=found.logs,
        endpoints=list(found.endpoints),
        repaired=repaired and bool(found.differences),
        differences=[
            DifferenceView(one.kind, one.log.block_number, one.log.log_index, to_hex(one.log.tx_hash))
            for one in found.differences
        ],
    )


def _compare(batch: Batch, stored: Sequence[StoredLog], pruned_before: float) -> Iterable[Difference]:
    """Yield how ``stored`` differs from the logs of ``batch``, in the order of their positions."""
    logs: list[Event | UndecodedLog] = [*batch.events, *batch.undecoded]
    in_chain = {_position(one.log): one for one in logs}
    in_store = {_position(one.log): one for one in stored}
    for position in sorted(in_chain.keys() | in_store.keys()):
        found, kept = in_chain.get(position), in_store.get(position)
        if found is None:
            yield Difference(FOREIGN, kept, None)
        elif kept is None:
            if found.log.timestamp >= pruned_before:
                yield Difference(MISSING, None, found)
        elif _content(found.log) != _content(kept.log, found.log.transaction is not None):
            yield Difference(DIFFERENT, kept, found)


def _position(log: RawLog) -> tuple[int, int]:
    return log.block_number, log.log_index


def _content(log: RawLog, with_transaction: bool = True) -> RawLog:
    """Return ``log`` without its block's hash, which is not stored, and without a transaction that is not read any more."""
    return log._replace(block_hash=b"", transaction=log.transaction if with_transaction else None)
