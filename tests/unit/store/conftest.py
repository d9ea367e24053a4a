"""An open database, of either kind, for the tests of the store."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from chainwatch.store.database import Database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh database; a test that asks for it runs once on each kind."""
    opened = Database.open(database_url)
    yield opened
    opened.close()


@pytest.fixture
def connection(database: Database) -> Iterator[sa.Connection]:
    """A write transaction on a fresh database."""
    with database.transaction() as connection:
        yield connection
