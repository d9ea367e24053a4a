"""A glance at a database changes nothing and fails for nothing."""

from pathlib import Path

import sqlalchemy as sa

from chainwatch.store.database import Database
from chainwatch.store.peek import peek


def one(connection: sa.Connection) -> int | None:
    return connection.execute(sa.text("SELECT 1")).scalar()


def test_a_database_that_is_there_is_read(database_url: str) -> None:
    Database.open(database_url).close()
    assert peek(database_url, one) == 1


def test_an_older_database_is_left_as_it_is(database_url: str) -> None:
    with_old = Database.open(database_url)
    with with_old.transaction() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    assert peek(database_url, one) is None
    with with_old.reading() as connection:
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == "0001"
    with_old.close()


def test_where_there_is_none_none_is_made(tmp_path: Path) -> None:
    assert peek(f"sqlite:///{tmp_path / 'none.db'}", one) is None
    assert list(tmp_path.iterdir()) == []
    assert peek("postgresql://nobody@127.0.0.1:1/none", one) is None
    assert peek("mysql://x/y", one) is None
