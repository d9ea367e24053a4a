"""What is stored of the events of transfers: their logs, and who sent and received their transactions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

import sqlalchemy as sa

from chainwatch.model import HASH_LENGTH, Occurrence, event_id
from chainwatch.store import blocks, bulk
from chainwatch.store.tables import logs, transactions

Place: TypeAlias = tuple[str, int, int]
"""The network, block and log index of an event."""


class EmittedLog(NamedTuple):
    """A stored log. ``sender`` and ``recipient`` of its transaction are None where that is not stored, or has none."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    sender: bytes | None
    recipient: bytes | None


def load(connection: sa.Connection, events: Iterable[Occurrence]) -> dict[Place, EmittedLog]:
    """Return the logs of ``events`` that are still stored, by their places."""
    places = {(one.network, one.block, one.log_index): one.tx_hash for one in events}
    numbers = blocks.network_ids(connection, sorted({network for network, _, _ in places}))
    by_id = {event_id(numbers[place[0]], *place[1:]): place for place in places}
    people = _people(connection, {number >> 20 << 20 for number in by_id})
    found: dict[Place, EmittedLog] = {}
    columns = ("id", "address", "topics", "data")
    for number, address, topics, data in bulk.select_in(connection, logs, columns, "id", sorted(by_id)):
        place = by_id[number]
        whole = bytes(topics)
        words = tuple(whole[start : start + HASH_LENGTH] for start in range(0, len(whole), HASH_LENGTH))
        sender, recipient = people.get((number >> 20 << 20, places[place]), (None, None))
        found[place] = EmittedLog(bytes(address), words, bytes(data), sender, recipient)
    return found


def _people(
    connection: sa.Connection, block_ids: Iterable[int]
) -> dict[tuple[int, bytes], tuple[bytes | None, bytes | None]]:
    """Return sender and recipient of the stored transactions of blocks, by the block's id and the hash."""
    columns = ("id", "hash", "sender", "recipient")
    rows = bulk.select_in(connection, transactions, columns, "id", sorted(block_ids))
    return {
        (number, bytes(tx_hash)): (sender and bytes(sender), recipient and bytes(recipient))
        for number, tx_hash, sender, recipient in rows
    }
