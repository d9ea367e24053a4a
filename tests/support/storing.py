"""Databases for tests, and what is put into them without a pipeline around it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from chainwatch.checker.extractor import log_rows
from chainwatch.model import Batch, Checkpoint
from chainwatch.store import blocks, schema
from chainwatch.store.database import Database


def remember_statements() -> None:
    """Have this process compile the statements that create the tables only once: thousands of tests create them."""
    create_all = schema.metadata.create_all

    def create(bind: sa.Engine | sa.Connection, tables: None = None, checkfirst: bool = True) -> None:
        if isinstance(bind, sa.Engine):
            with bind.begin() as connection:
                create(connection, tables, checkfirst)
        elif tables is None and bind.dialect.name == "sqlite" and not sa.inspect(bind).get_table_names():
            for statement in statements():
                bind.exec_driver_sql(statement)
        else:
            create_all(bind, tables, checkfirst)

    @cache
    def statements() -> list[str]:
        compiled: list[str] = []
        dialect = sqlite.dialect()
        engine = sa.create_mock_engine(
            "sqlite://", lambda element, *_, **__: compiled.append(str(element.compile(dialect=dialect)))
        )
        create_all(engine, checkfirst=False)
        return compiled

    vars(schema.metadata)["create_all"] = create


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
