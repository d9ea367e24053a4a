"""Databases for tests, and what is put into them without a pipeline around it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import sqlalchemy as sa

from chainwatch.checker.extractor import log_rows
from chainwatch.model import Batch, Checkpoint
from chainwatch.store import blocks
from chainwatch.store.database import Database


@contextmanager
def transaction_on(url: str) -> Iterator[sa.Connection]:
    """A transaction on the database at ``url``, which is made where it is missing."""
    with closing(Database.open(url, durable=False)) as database, database.transaction() as connection:
        yield connection


def store_batch(connection: sa.Connection, batch: Batch, checkpoint: Checkpoint, keep: int = 256) -> None:
    """Store the logs and headers of ``batch``, with which its network (of chain id 1) comes to ``checkpoint``."""
    number = blocks.network_ids(connection, [batch.network])[batch.network]
    if blocks.network_id(connection, batch.network) is None:
        blocks.add_network(connection, number, 1, checkpoint)
    blocks.save_checkpoint(connection, checkpoint, batch.headers, keep)
    blocks.save_logs(connection, number, log_rows(batch.events, batch.undecoded))
