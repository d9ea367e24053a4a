"""An open database, of either kind, for the tests of the store."""

from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
import sqlalchemy as sa

from chainwatch.store.database import Database


class Undo(Exception):
    """Has a transaction rolled back."""


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh database; a test that asks for it runs once on each kind."""
    opened = Database.open(database_url)
    yield opened
    opened.close()


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def shared_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """One database of each kind for all tests that leave nothing in it."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('shared') / 'chainwatch.db'}"
        else:
            url = stack.enter_context(request.getfixturevalue("postgres_server").database())
        opened = Database.open(url)
        stack.callback(opened.close)
        yield opened


@pytest.fixture
def connection(shared_database: Database) -> Iterator[sa.Connection]:
    """A transaction on an empty database, undone after the test, which runs once on each kind."""
    with suppress(Undo), shared_database.transaction() as connection:
        yield connection
        raise Undo
