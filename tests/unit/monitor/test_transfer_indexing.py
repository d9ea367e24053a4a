"""The task that keeps the index of transfers up to date."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest

from chainwatch.model import Occurrence, Transfer
from chainwatch.monitor import transfer_indexing
from chainwatch.monitor.transfer_indexing import index_transfers
from chainwatch.store import transfer_index, transfers
from chainwatch.store.database import Database
from tests.support.waiting import PATIENCE


def store(database: Database, first: int, number: int) -> None:
    seen = Occurrence("send", "alpha", 5, 1, 50, b"t" * 32, {})
    new = [
        Transfer("bridge", str(n), opened_at=50, occurrences=(seen,)) for n in range(first, first + number)
    ]
    with database.transaction() as connection:
        transfers.save(connection, [(Transfer(one.flow, one.key), one) for one in new])


def waiting(database: Database) -> int:
    with database.reading() as connection:
        return transfer_index.waiting(connection)


async def test_what_changes_is_indexed_in_parts_now_and_later(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer_indexing, "AT_ONCE", 3)
    monkeypatch.setattr(transfer_indexing, "PAUSE", 0.0)
    monkeypatch.setattr(transfer_indexing, "LOOK_EVERY", 0.01)
    with closing(Database.open(sqlite_url, durable=False)) as database:
        store(database, 0, 7)
        task = asyncio.ensure_future(index_transfers([], database.read, database.write))
        try:
            async with asyncio.timeout(PATIENCE):
                for first in (100, 200):
                    while waiting(database):
                        await asyncio.sleep(0.01)
                    store(database, first, 2)
                while waiting(database):
                    await asyncio.sleep(0.01)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        with database.reading() as connection:
            term = transfer_index.transaction_term(b"t" * 32)
            assert len(transfer_index.ids_with(connection, term, None, 100)) == 11
