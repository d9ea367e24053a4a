"""Groups of pushed metrics as rows. All functions work inside the caller's transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
import sqlalchemy as sa

from chainwatch.ingestion.push_groups import Family, Group
from chainwatch.promql.series import Labels, Metadata
from chainwatch.store import bulk
from chainwatch.store.push_tables import push_groups

_COLUMNS = ("id", "labels", "families", "pushed_at", "failed_at")
_Pairs = list[tuple[str, str]]
_Families = dict[str, tuple[Metadata, list[tuple[_Pairs, float]]]]


def load(connection: sa.Connection) -> list[Group]:
    """Return all groups."""
    query = sa.select(*(push_groups.c[name] for name in _COLUMNS))
    return [
        Group(
            Labels(msgspec.json.decode(row.labels, type=dict[str, str])),
            _unpacked(bytes(row.families)),
            row.pushed_at,
            row.failed_at,
        )
        for row in connection.execute(query)
    ]


def save(connection: sa.Connection, group: Group) -> None:
    """Store a group in place of what it was before."""
    labels = msgspec.json.encode(dict(group.labels)).decode()
    row = (_id(group.labels), labels, _packed(group.families), group.pushed_at, group.failed_at)
    bulk.upsert(connection, push_groups, _COLUMNS, [row])


def delete(connection: sa.Connection, labels: Labels) -> None:
    """Delete the group of these labels, if there is one."""
    bulk.delete(connection, push_groups, ("id",), [(_id(labels),)])


def _id(labels: Labels) -> bytes:
    return hashlib.sha256(msgspec.json.encode(labels.pairs)).digest()


def _packed(families: Mapping[str, Family]) -> bytes:
    return msgspec.msgpack.encode(
        {
            name: (family.metadata, [(labels.pairs, value) for labels, value in family.values.items()])
            for name, family in families.items()
        }
    )


def _unpacked(content: bytes) -> dict[str, Family]:
    found = msgspec.msgpack.decode(content, type=_Families)
    return {
        name: Family(metadata, {Labels(pairs): value for pairs, value in values})
        for name, (metadata, values) in found.items()
    }
