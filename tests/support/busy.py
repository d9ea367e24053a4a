"""A second checker, small: raises Busy on a network that has more than ``threshold`` events of one kind.

Busy holds from the event that is one too many until ``QUIET`` seconds after the last one. The hash of the block that was
one too many is read from the chain and becomes an annotation. It stands for checkers to come: it is added without
a change of the pipeline, the monitor or the replay.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from chainwatch.chain.history import header_at
from chainwatch.chain.pool import Pool
from chainwatch.checker.extractor import Extracted, WatchedEvent
from chainwatch.config import Settings
from chainwatch.model import Deadline, Event, ReadResult, Signal, to_hex
from chainwatch.pipeline.checker import CONFIG_CHANGED, Page, Prints
from chainwatch.pipeline.joined import Joined
from chainwatch.pipeline.unit_of_work import Work
from chainwatch.store.transfers import DeadlineChanges

QUIET = 60
NAME = "busy"

tables = sa.MetaData()
events = sa.Table(
    "busy_events",
    tables,
    sa.Column("network", sa.Text, primary_key=True),
    sa.Column("block", sa.Integer, primary_key=True),
    sa.Column("log_index", sa.Integer, primary_key=True),
    sa.Column("timestamp", sa.Integer, nullable=False),
)
raised = sa.Table(
    "busy_raised",
    tables,
    sa.Column("network", sa.Text, primary_key=True),
    sa.Column("block", sa.Integer, nullable=False),
    sa.Column("starts_at", sa.Integer, nullable=False),
    sa.Column("quiet_at", sa.Integer, nullable=False),
    sa.Column("ends_at", sa.Integer),
    sa.Column("hash", sa.LargeBinary),
)


class Counted(NamedTuple):
    network: str
    block: int
    log_index: int
    timestamp: int


class BusyExtractor:
    name = NAME
    networks: Collection[str] = ()

    def __init__(self, contract: str, signature: str) -> None:
        self.watched = [WatchedEvent(contract, signature, frozenset())]
        self._kind = contract, signature

    def extract(self, events: Iterable[Event], beside: Iterable[Event] = ()) -> Extracted[list[Counted]]:
        mine = (event for event in events if (event.contract, event.signature) == self._kind)
        return Extracted(
            [Counted(e.network, e.log.block_number, e.log.log_index, e.log.timestamp) for e in mine], []
        )


class Hash(NamedTuple):
    checker: str
    network: str
    block: int
    hash: bytes


class BusyChecker:
    joined = Joined({}, {})

    def __init__(self, extractor: BusyExtractor, threshold: int) -> None:
        self.extractor = extractor
        self.threshold = threshold

    def begin(self, work: Work) -> BusyTransaction:
        tables.create_all(work.connection)
        return BusyTransaction(self, work)

    def load_deadlines(
        self, connection: sa.Connection, after: tuple[int, int, str], until: int, limit: int
    ) -> list[Deadline]:
        tables.create_all(connection)
        rows = connection.execute(sa.select(raised).where(raised.c.ends_at.is_(None)))
        found = sorted((row.quiet_at, _number(row.network), "quiet", row.network) for row in rows)
        return [
            Deadline(number, step, network, due_at)
            for due_at, number, step, network in found
            if (due_at, number, step) > after and due_at <= until
        ][:limit]

    def load_wanted(self, connection: sa.Connection, network: str, _limit: int) -> tuple[str, int] | None:
        if not sa.inspect(connection).has_table("busy_raised"):
            return None
        row = connection.execute(
            sa.select(raised).where(raised.c.network == network, raised.c.hash.is_(None))
        ).first()
        return None if row is None else (network, row.block)

    async def read(self, pools: Mapping[str, Pool], wanted: tuple[str, int]) -> AsyncIterator[ReadResult]:
        network, block = wanted
        yield Hash(NAME, network, block, (await header_at(pools[network], block)).hash)

    def fingerprints(self, _settings: Settings) -> Prints:
        return {"busy": ("", str(self.threshold))}

    def stored_names(self, _connection: sa.Connection) -> list[str]:
        return ["busy"]

    def forget_events(self, _connection: sa.Connection, _page: Page) -> None:
        """Which events count is never configured otherwise."""


class BusyTransaction:
    def __init__(self, checker: BusyChecker, work: Work) -> None:
        self._threshold = checker.threshold
        self._work = work
        self._connection = work.connection
        self._touched: dict[str, str] = {}
        """Why the networks are to be judged."""

    def apply(self, found: Sequence[Counted]) -> None:
        for one in found:
            here = sa.and_(
                events.c.network == one.network,
                events.c.block == one.block,
                events.c.log_index == one.log_index,
            )
            if self._connection.execute(sa.select(events).where(here)).first() is None:
                self._connection.execute(sa.insert(events).values(one._asdict()))
            self._touched.setdefault(one.network, "")

    def apply_read(self, result: ReadResult) -> None:
        assert isinstance(result, Hash)
        here = sa.and_(raised.c.network == result.network, raised.c.block == result.block)
        self._connection.execute(sa.update(raised).where(here).values(hash=result.hash))
        if row := self._connection.execute(sa.select(raised).where(here)).first():
            self._work.signals.append(_signal(row))

    def roll_back(self, network: str, block: int, _found: Sequence[Counted]) -> None:
        self._connection.execute(sa.delete(events).where(events.c.network == network, events.c.block > block))
        self._touched[network] = "reorg"

    def remove(self, network: str, positions: set[tuple[int, int]], _found: Sequence[Counted]) -> None:
        place = sa.tuple_(events.c.block, events.c.log_index)
        self._connection.execute(
            sa.delete(events).where(events.c.network == network, place.in_(sorted(positions)))
        )
        self._touched[network] = "repaired"

    def settle(self) -> None:
        for network, cause in self._touched.items():
            self._judge(network, cause)

    def judge_seen(self, network: str) -> None:
        self._judge(network, "")

    def judge_filled(self, _network: str) -> None:
        pass

    def store_unjudged(self, found: Sequence[Counted], names: Sequence[str]) -> None:
        pass

    def judge_again(self, page: Page) -> int | None:
        if page.after == 0 and page.names is not None and "busy" in page.names:
            for network in self._connection.execute(sa.select(events.c.network).distinct()).scalars().all():
                self._judge(network, CONFIG_CHANGED)
            return 1
        return None

    def _judge(self, network: str, cause: str) -> None:
        ordered = sa.select(events).where(events.c.network == network)
        order = (events.c.timestamp, events.c.block, events.c.log_index)
        rows = self._connection.execute(ordered.order_by(*order)).all()
        before = self._connection.execute(sa.select(raised).where(raised.c.network == network)).first()
        if len(rows) <= self._threshold:
            if before is not None:
                self._connection.execute(sa.delete(raised).where(raised.c.network == network))
                self._work.signals.append(
                    _signal(before, max(before.starts_at, self._work.chain_time), cause)
                )
                self._note([], [(_number(network), "quiet")])
            return
        last, over = rows[-1], rows[self._threshold]
        quiet_at = last.timestamp + QUIET
        ended = quiet_at if self._work.seen.get(network, 0) > quiet_at else None
        known = before is not None and before.block == over.block
        values = {
            "network": network,
            "block": over.block,
            "starts_at": over.timestamp,
            "quiet_at": quiet_at,
            "ends_at": ended,
            "hash": before.hash if before is not None and known else None,
        }
        if before is not None and dict(before._mapping) == values:
            return
        self._connection.execute(sa.delete(raised).where(raised.c.network == network))
        self._connection.execute(sa.insert(raised).values(values))
        row = self._connection.execute(sa.select(raised).where(raised.c.network == network)).one()
        self._work.signals.append(_signal(row))
        number = _number(network)
        if ended is None:
            self._note([Deadline(number, "quiet", network, quiet_at)], [])
        else:
            self._note([], [(number, "quiet")])
        if not known:
            self._work.wanted.add((NAME, network))

    def _note(self, opened: list[Deadline], closed: list[tuple[int, str]]) -> None:
        self._work.change_deadlines(NAME, DeadlineChanges(opened, closed))


def _signal(row: sa.Row[tuple[object, ...]], ends_at: int | None = None, cause: str = "") -> Signal:
    return Signal(
        {"alertname": "Busy", "severity": "P2", "network": row.network},
        row.starts_at,
        {} if row.hash is None else {"hash": to_hex(row.hash)},
        row.ends_at if ends_at is None else ends_at,
        cause or ("" if row.ends_at is None else "quiet"),
    )


def _number(network: str) -> int:
    return int.from_bytes(network.encode()[:6], "big")
