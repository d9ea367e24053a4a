"""A database for the tests of alerting that need no other kind."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from chainwatch.store.database import Database


@pytest.fixture
def connection(sqlite_url: str) -> Iterator[sa.Connection]:
    """A transaction on a fresh SQLite database."""
    database = Database.open(sqlite_url, durable=False)
    with database.transaction() as connection:
        yield connection
    database.close()
