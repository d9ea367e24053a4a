"""What was created through the HTTP server, beside the configuration: receivers (channels) and rules, as rows.

All functions work inside the caller's transaction. Times are Unix seconds of this machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic import SecretStr

from chainwatch.store import bulk
from chainwatch.store.access_tables import channels, rules
from chainwatch.store.tables import properties

VERSION = "created_version"
"""The property that counts changes, so that whoever knows all channels and rules knows when to load them again."""


@dataclass(frozen=True)
class StoredChannel:
    """A receiver: ``id`` is its name, ``config`` the other keys of its table as JSON, which hold secrets."""

    id: str
    provider: str
    config: SecretStr
    author: str
    created_at: float

    @property
    def keys(self) -> dict[str, Any]:
        """The other keys of its table."""
        return dict(json.loads(self.config.get_secret_value()))


@dataclass(frozen=True)
class StoredRule:
    """A rule as it was given; ``channels`` are names of receivers."""

    name: str
    query: str
    duration: str
    severity: str
    annotations: Mapping[str, str]
    type: str | None
    cooldown: str | None
    channels: tuple[str, ...]
    author: str
    created_at: float
    updated_at: float


class Created(NamedTuple):
    """Everything that was created, by its names."""

    channels: tuple[StoredChannel, ...] = ()
    rules: tuple[StoredRule, ...] = ()


NOTHING = Created()


def load(connection: sa.Connection) -> Created:
    """Return all channels and rules."""
    made = connection.execute(sa.select(channels).order_by(channels.c.id))
    ruled = connection.execute(sa.select(rules).order_by(rules.c.name))
    return Created(tuple(_channel(row) for row in made), tuple(_rule(row) for row in ruled))


def version(connection: sa.Connection) -> int:
    """Return a number that is another after each change."""
    found = connection.execute(sa.select(properties.c.value).where(properties.c.name == VERSION)).scalar()
    return int(found or 0)


def add_channel(connection: sa.Connection, channel: StoredChannel) -> None:
    """Store a channel whose id no other has."""
    values = {
        "id": channel.id,
        "provider": channel.provider,
        "config": channel.config.get_secret_value(),
        "author": channel.author,
        "created_at": channel.created_at,
    }
    connection.execute(sa.insert(channels).values(values))
    _changed(connection)


def delete_channel(connection: sa.Connection, channel_id: str) -> None:
    """Delete a channel."""
    connection.execute(sa.delete(channels).where(channels.c.id == channel_id))
    _changed(connection)


def save_rule(connection: sa.Connection, rule: StoredRule) -> None:
    """Store ``rule`` in place of the one with its name, if there is one."""
    delete_rule(connection, rule.name)
    values = {
        **vars(rule),
        "annotations": json.dumps(dict(rule.annotations)),
        "channels": json.dumps(rule.channels),
    }
    connection.execute(sa.insert(rules).values(values))
    _changed(connection)


def delete_rule(connection: sa.Connection, name: str) -> None:
    """Delete a rule."""
    connection.execute(sa.delete(rules).where(rules.c.name == name))
    _changed(connection)


def _channel(row: Any) -> StoredChannel:
    return StoredChannel(row.id, row.provider, SecretStr(row.config), row.author, row.created_at)


def _rule(row: Any) -> StoredRule:
    values = row._asdict()
    values["annotations"] = json.loads(values["annotations"])
    values["channels"] = tuple(json.loads(values["channels"]))
    return StoredRule(**values)


def _changed(connection: sa.Connection) -> None:
    bulk.upsert(connection, properties, ("name", "value"), [(VERSION, str(version(connection) + 1))])
