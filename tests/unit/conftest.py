"""A transaction on a new database; folders whose tests concern both kinds of database have fixtures of their own."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from chainwatch.store import schema


@pytest.fixture
def connection() -> Iterator[sa.Connection]:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as opened:
        schema.metadata.create_all(opened)
        yield opened
    engine.dispose()
