"""A database for the tests of alerting that need no other kind."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.support.storing import transaction_on


@pytest.fixture
def connection(sqlite_url: str) -> Iterator[sa.Connection]:
    """A transaction on a fresh SQLite database."""
    with transaction_on(sqlite_url) as connection:
        yield connection
