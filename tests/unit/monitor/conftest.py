"""A transaction on each kind of database."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.support.storing import transaction_on


@pytest.fixture
def connection(database_url: str) -> Iterator[sa.Connection]:
    with transaction_on(database_url) as opened:
        yield opened
