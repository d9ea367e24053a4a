"""Logs that were packed for PostgreSQL are stored as those that were not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwatch.model import Checkpoint, Header, LogRow, RawLog, StoredLog, log_row
from chainwatch.store import blocks
from chainwatch.store.database import Database
from chainwatch.store.packed_logs import pack_logs
from chainwatch.store.tables import logs
from tests.support.postgres import PostgresServer

LAST_BLOCK = 2**32 - 2
IDS = {"whole": 1, "packed": 2**11 - 1}
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
HASH = st.binary(min_size=32, max_size=32)


@st.composite
def rows(draw: st.DrawFn) -> list[LogRow]:
    """Rows of logs at different positions."""
    positions = draw(st.lists(st.tuples(st.integers(0, LAST_BLOCK), st.integers(0, 2**20 - 1)), unique=True))
    return [
        log_row(
            draw(TEXT),
            RawLog(
                block,
                b"",
                draw(st.integers(0, 2**63 - 1)),
                index,
                draw(HASH),
                draw(st.binary(min_size=20, max_size=20)),
                draw(st.lists(HASH, max_size=4).map(tuple)),
                draw(st.binary()),
            ),
            draw(st.none() | TEXT),
        )
        for block, index in positions
    ]


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """A database that knows both networks."""
    nothing = Header(0, b"", b"", 0)
    with postgres_server.database() as url, closing(Database.open(url)) as opened:
        with opened.transaction() as connection:
            for name, number in IDS.items():
                blocks.add_network(connection, number, 1, Checkpoint(name, nothing, 0, 0, 0))
        yield opened


def stored(connection: sa.Connection, network: str) -> list[StoredLog]:
    return blocks.logs_between(connection, network, 0, LAST_BLOCK)


@given(before=rows(), some=rows())
@settings(max_examples=50, deadline=None)
def test_packed_logs_are_stored_as_others_are(
    database: Database, before: list[LogRow], some: list[LogRow]
) -> None:
    """Also where logs at the same positions are there already: they stay as they are."""
    with database.transaction() as connection:
        connection.execute(sa.delete(logs))
        for part in (before, some):
            blocks.save_logs(connection, IDS["whole"], part)
            blocks.save_logs(connection, IDS["packed"], pack_logs(IDS["packed"], part))

        assert stored(connection, "packed") == stored(connection, "whole")
        assert len(stored(connection, "packed")) >= len(some)
