"""The schema's version: a new database is made in one go, an older one is migrated, a newer one is refused.

Alembic is imported only when there is something to migrate.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from chainwatch.store import (
    access_tables,
    bulk,
    endpoint_tables,
    index_tables,
    invariant_tables,
    push_tables,
    rule_tables,
    sample_tables,
)
from chainwatch.store.alerting import alert_tables, escalation_tables
from chainwatch.store.errors import NewerSchema, NoDatabase, OlderSchema, StoreError
from chainwatch.store.tables import metadata, properties

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0047"
"""The newest migration. A test keeps it equal to Alembic's head and to ``metadata``."""
CREATED_AT = "created_at"
"""The property for the time at which the database was made, in Unix seconds."""
MIGRATIONS = Path(__file__).parent / "migrations"

__all__ = [
    "CREATED_AT",
    "HEAD",
    "MIGRATIONS",
    "access_tables",
    "alert_tables",
    "created_at",
    "current_version",
    "drop_property",
    "endpoint_tables",
    "escalation_tables",
    "get_property",
    "index_tables",
    "invariant_tables",
    "metadata",
    "prepare",
    "push_tables",
    "rule_tables",
    "sample_tables",
    "set_property",
]


def prepare(engine: sa.Engine) -> None:
    """Create or migrate the schema.

    Raises ``NewerSchema`` for a database of a newer chainwatch, ``StoreError`` for tables of another program.
    """
    with engine.begin() as connection:
        version = current_version(connection)
        if version is None:
            _create(connection)
        elif version != HEAD:
            _upgrade(connection, version)


def check(engine: sa.Engine) -> None:
    """Make sure that the schema is this version's, without writing.

    Raises ``NoDatabase`` for an empty database, ``OlderSchema`` and ``NewerSchema`` for another version's, ``StoreError``
    for another program's.
    """
    with engine.begin() as connection:
        version = current_version(connection)
    if version is None:
        raise NoDatabase("it is empty")
    if version != HEAD:
        _check_known(version)
        raise OlderSchema(
            f"the database has schema version {version}, this chainwatch needs {HEAD}: only `chainwatch run` brings it up "
            "to date, so start that first (after a backup)"
        )


def current_version(connection: sa.Connection) -> str | None:
    """Return the schema's version, or None for an empty database."""
    tables = set(sa.inspect(connection).get_table_names())
    if not tables:
        return None
    if not tables >= {"alembic_version", "networks", "transfers"}:
        raise StoreError(
            f"the database holds tables of something else ({', '.join(sorted(tables)[:3])}, …); "
            "name a database of chainwatch's own in [store] url"
        )
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _create(connection: sa.Connection) -> None:
    metadata.create_all(connection)
    connection.execute(sa.text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    connection.execute(sa.text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})
    set_property(connection, CREATED_AT, str(int(time.time())))


def created_at(connection: sa.Connection) -> int:
    """Return when the database was made, in Unix seconds."""
    return int(get_property(connection, CREATED_AT) or 0)


def get_property(connection: sa.Connection, name: str) -> str | None:
    """Return the stored property ``name``; None where it is not set."""
    found = bulk.select(connection, "SELECT value FROM properties WHERE name = ?", (name,))
    return found[0][0] if found else None


def set_property(connection: sa.Connection, name: str, value: str) -> None:
    """Set the property ``name``."""
    bulk.upsert(connection, properties, ("name", "value"), [(name, value)])


def drop_property(connection: sa.Connection, name: str) -> None:
    """Delete the property ``name``."""
    connection.execute(sa.delete(properties).where(properties.c.name == name))


def _upgrade(connection: sa.Connection, version: str) -> None:
    from alembic import command

    _check_known(version)
    config = _migrations()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _check_known(version: str) -> None:
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    try:
        ScriptDirectory.from_config(_migrations()).get_revision(version)
    except CommandError as error:
        raise NewerSchema(
            f"the database has schema version {version}, this chainwatch knows up to {HEAD}: it was written by a newer "
            "chainwatch; update this one or name another database in [store] url"
        ) from error


def _migrations() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
