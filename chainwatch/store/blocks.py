"""What was read from the chains: checkpoints, the windows of headers, the logs."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from chainwatch.model import (
    HASH_LENGTH,
    LOGS_A_BLOCK,
    Checkpoint,
    Header,
    Logs,
    PackedLogs,
    RawLog,
    StoredLog,
    Transaction,
    TransactionRow,
    event_id,
)
from chainwatch.store import bulk
from chainwatch.store.errors import StoreError
from chainwatch.store.tables import headers, logs, network_states, networks, transactions

_LOG_COLUMNS = ("id", "timestamp", "contract", "tx_hash", "address", "topics", "data", "error")
_HEADER_COLUMNS = ("network_id", "number", "hash", "parent_hash", "timestamp")
_TRANSACTION_COLUMNS = ("id", "hash", "sender", "recipient", "value", "input", "size")
_NO_HASH = b""
_ROWS_AT_ONCE = 500
PAGE_BYTES = 16_000_000
"""About how many bytes of stored logs are held in memory at a time."""


def checkpoints(connection: sa.Connection) -> dict[str, Checkpoint]:
    """Return every stored network's checkpoint, by name."""
    return {
        row.name: Checkpoint(
            network=row.name,
            last=Header(row.number, bytes(row.hash), bytes(row.parent_hash), row.timestamp),
            first_block=row.first_block,
            first_timestamp=row.first_timestamp,
            seen_until=row.seen_until,
        )
        for row in connection.execute(sa.select(networks))
    }


def check_chain_ids(connection: sa.Connection, expected: dict[str, int]) -> None:
    """Raise ``StoreError`` where the database knows a network's name under another chain id than ``expected``."""
    for name, chain_id in connection.execute(sa.select(networks.c.name, networks.c.chain_id)):
        if name in expected and expected[name] != chain_id:
            raise StoreError(
                f"the database holds network {name!r} with chain_id {chain_id}, the config says {expected[name]}: "
                "give the network another name, or name another database in [store] url"
            )


def window(connection: sa.Connection, network: str) -> list[Header]:
    """Return the stored window of recent headers of ``network``, ascending."""
    statement = _headers_of(network).order_by(headers.c.number)
    return [Header(n, bytes(h), bytes(p), t) for n, h, p, t in connection.execute(statement)]


def header_at_time(connection: sa.Connection, network: str, timestamp: int) -> Header | None:
    """Return the newest header in the window of ``network`` that is no later than ``timestamp``; None before all of them."""
    statement = _headers_of(network).where(headers.c.timestamp <= timestamp)
    return _header(connection, statement.order_by(headers.c.number.desc()).limit(1))


def header_of(connection: sa.Connection, network: str, block: int) -> Header | None:
    """Return the header of ``block`` in the window of ``network``; None where it is not known."""
    return _header(connection, _headers_of(network).where(headers.c.number == block))


def _headers_of(network: str) -> sa.Select[Any]:
    columns = (headers.c.number, headers.c.hash, headers.c.parent_hash, headers.c.timestamp)
    joined = sa.select(*columns).join(networks, networks.c.id == headers.c.network_id)
    return joined.where(networks.c.name == network)


def _header(connection: sa.Connection, statement: sa.Select[Any]) -> Header | None:
    row = connection.execute(statement).first()
    return None if row is None else Header(row[0], bytes(row[1]), bytes(row[2]), row[3])


def network_id(connection: sa.Connection, network: str) -> int | None:
    """Return the small integer that stands for ``network`` in log ids, or None before its first batch."""
    return connection.execute(sa.select(networks.c.id).where(networks.c.name == network)).scalar()


def network_ids(connection: sa.Connection, names: Sequence[str]) -> dict[str, int]:
    """Return the small integers that stand for the networks ``names``, or will for those that were never read."""
    stored = connection.execute(sa.select(networks.c.name, networks.c.id))
    return new_ids(names, {row.name: row.id for row in stored})


def new_ids(names: Sequence[str], known: Mapping[str, int]) -> dict[str, int]:
    """Return the integers for the networks ``names`` in a database that has ``known`` already."""
    free = itertools.count(max(known.values(), default=0) + 1)
    return {name: known[name] if name in known else next(free) for name in names}


def add_network(connection: sa.Connection, number: int, chain_id: int, checkpoint: Checkpoint) -> None:
    """Begin to store what is read of a network, which has the id ``number`` and the ``checkpoint``."""
    values = {
        "id": number,
        "name": checkpoint.network,
        "chain_id": chain_id,
        "first_block": checkpoint.first_block,
        "first_timestamp": checkpoint.first_timestamp,
    }
    connection.execute(sa.insert(networks).values(values | _progress(checkpoint)))


def save_checkpoint(
    connection: sa.Connection, checkpoint: Checkpoint, new: Sequence[Header], keep_headers: int
) -> None:
    """Move a network that is stored already to ``checkpoint`` and append the headers ``new`` to its window."""
    here = networks.c.name == checkpoint.network
    connection.execute(sa.update(networks).where(here).values(_progress(checkpoint)))
    if not new:
        return
    number = network_id(connection, checkpoint.network)
    before = checkpoint.last.number - keep_headers
    rows = [(number, h.number, h.hash, h.parent_hash, h.timestamp) for h in new if h.number > before]
    bulk.upsert(connection, headers, _HEADER_COLUMNS, rows)
    connection.execute(sa.delete(headers).where(headers.c.network_id == number, headers.c.number <= before))


def save_logs(connection: sa.Connection, number: int, rows: Logs) -> None:
    """Store logs of the network with the id ``number``; those that are stored already stay as they are."""
    if isinstance(rows, PackedLogs):
        assert rows.number == number
        if rows.data:
            bulk.insert_packed(connection, logs, _LOG_COLUMNS, rows.data)
    else:
        first = event_id(number, 0, 0)
        bulk.insert(connection, logs, _LOG_COLUMNS, [(first + row[0], *row[1:]) for row in rows])


def save_transactions(connection: sa.Connection, number: int, rows: Sequence[TransactionRow]) -> None:
    """Store transactions of the network with the id ``number``, in place of those that are stored already."""
    first = event_id(number, 0, 0)
    bulk.upsert(connection, transactions, _TRANSACTION_COLUMNS, [(first + row[0], *row[1:]) for row in rows])


def logs_above(connection: sa.Connection, network: str, block: int) -> list[StoredLog]:
    """Return the stored logs of ``network`` in blocks after ``block``, in order."""
    number = network_id(connection, network)
    if number is None:
        return []
    between = logs.c.id.between(event_id(number, block + 1, 0), event_id(number + 1, 0, 0) - 1)
    return [log for _, log in _stored(connection, between)]


def logs_between(
    connection: sa.Connection, network: str, first: int, last: int, contracts: Collection[str] | None = None
) -> list[StoredLog]:
    """Return the stored logs of ``network`` in the blocks ``first``..``last``, in order: all, or those of ``contracts``."""
    number = network_id(connection, network)
    if number is None:
        return []
    between = logs.c.id.between(event_id(number, first, 0), event_id(number, last + 1, 0) - 1)
    wanted = sa.true() if contracts is None else logs.c.contract.in_(contracts)
    return [log for _, log in _stored(connection, sa.and_(between, wanted))]


def blocks_with_logs(connection: sa.Connection, network: str, first: int, last: int) -> list[int]:
    """Return the blocks ``first``..``last`` of ``network`` with stored logs, ascending."""
    number = network_id(connection, network)
    if number is None:
        return []
    between = logs.c.id.between(event_id(number, first, 0), event_id(number, last, LOGS_A_BLOCK - 1))
    block: sa.ColumnElement[int] = sa.literal_column("(logs.id >> 20) & 4294967295", sa.BigInteger())
    return list(connection.execute(sa.select(block).where(between).distinct().order_by(block)).scalars())


def bounded(
    connection: sa.Connection, network: str, first: int, last: int, contracts: Collection[str], limit: int
) -> int:
    """Return ``last``, or an earlier block: ``first``..it have ``limit`` stored logs of ``contracts`` at most.

    ``first`` where it alone has more.
    """
    number = network_id(connection, network)
    if number is None:
        return last
    between = logs.c.id.between(event_id(number, first, 0), event_id(number, last + 1, 0) - 1)
    beyond = connection.execute(
        sa.select(logs.c.id)
        .where(between, logs.c.contract.in_(contracts))
        .order_by(logs.c.id)
        .offset(limit)
        .limit(1)
    ).scalar()
    return last if beyond is None else max(first, (beyond >> 20 & 0xFFFFFFFF) - 1)


def logs_after(connection: sa.Connection, after: int, limit: int) -> Iterator[tuple[int, str, StoredLog]]:
    """Yield the stored logs of all networks with ids above ``after``: (id, network, log), by id.

    About ``limit``, and about `PAGE_BYTES` of data at most: the last transaction is always whole.
    """
    names = {row.id: row.name for row in connection.execute(sa.select(networks.c.id, networks.c.name))}
    size, number, last = 0, 0, None
    for number, last in _stored(connection, logs.c.id > after, limit):
        yield number, names[number >> 52], last
        size += len(last.log.data)
        if last.log.transaction is not None:
            size += len(last.log.transaction.input or b"")
        if size > PAGE_BYTES:
            break
    if last is not None:
        same = logs.c.id.between(number + 1, number | (LOGS_A_BLOCK - 1)), logs.c.tx_hash == last.log.tx_hash
        for number, log in _stored(connection, sa.and_(*same)):
            yield number, names[number >> 52], log


def relabel(connection: sa.Connection, changed: Sequence[tuple[str, str | None, int]]) -> None:
    """Change of stored logs the contract's name and why they do not decode: (contract, error, id)."""
    bulk.change(connection, "UPDATE logs SET contract = ?, error = ? WHERE id = ?", changed)


def drop_logs(connection: sa.Connection, number: int, dropped: Sequence[RawLog]) -> None:
    """Delete the logs at the positions of ``dropped`` of the network with the id ``number``."""
    rows = [(event_id(number, log.block_number, log.log_index),) for log in dropped]
    bulk.delete(connection, logs, ("id",), rows)


def drop_above(connection: sa.Connection, network: str, block: int) -> None:
    """Delete the logs and headers of ``network`` in blocks after ``block``."""
    number = network_id(connection, network)
    if number is None:
        return
    above = event_id(number, block + 1, 0), event_id(number + 1, 0, 0) - 1
    connection.execute(sa.delete(logs).where(logs.c.id.between(*above)))
    connection.execute(sa.delete(transactions).where(transactions.c.id.between(*above)))
    connection.execute(sa.delete(headers).where(headers.c.network_id == number, headers.c.number > block))


def forget_window(connection: sa.Connection, network: str, block: int) -> None:
    """Delete the headers of ``network`` before ``block``, which may be of another fork."""
    number = network_id(connection, network)
    connection.execute(sa.delete(headers).where(headers.c.network_id == number, headers.c.number < block))


def begin_at(connection: sa.Connection, network: str, block: int, timestamp: int) -> None:
    """Make ``block`` the first one watched of ``network``; the one before it was made at ``timestamp``."""
    here = networks.c.name == network
    connection.execute(sa.update(networks).where(here).values(first_block=block, first_timestamp=timestamp))


class NetworkState(NamedTuple):
    """What the running process last knew of a network; ``updated_at`` is the wall clock's."""

    name: str
    state: str
    head: int | None
    head_timestamp: int | None
    error: str | None
    updated_at: float


def save_states(connection: sa.Connection, states: Sequence[NetworkState]) -> None:
    """Store what is known of networks."""
    bulk.upsert(connection, network_states, NetworkState._fields, states)


def states(connection: sa.Connection) -> dict[str, NetworkState]:
    """Return what was last known of each network."""
    statement = sa.select(*(network_states.c[f] for f in NetworkState._fields))
    return {row[0]: NetworkState(*row) for row in connection.execute(statement)}


def log_count(connection: sa.Connection, network: str, first: int) -> int:
    """Return how many logs of ``network`` from the block ``first`` on are stored that decode."""
    number = network_id(connection, network)
    if number is None:
        return 0
    here = logs.c.id.between(event_id(number, first, 0), event_id(number + 1, 0, 0) - 1)
    statement = sa.select(sa.func.count()).select_from(logs).where(logs.c.error.is_(None), here)
    return connection.execute(statement).scalar_one()


def undecoded_count(connection: sa.Connection) -> int:
    """Return how many stored logs do not decode."""
    return connection.execute(
        sa.select(sa.func.count()).select_from(logs).where(logs.c.error.isnot(None))
    ).scalar_one()


def _stored(
    connection: sa.Connection, where: sa.ColumnElement[bool], limit: int | None = None
) -> Iterator[tuple[int, StoredLog]]:
    statement = sa.select(logs).where(where).order_by(logs.c.id).limit(limit)
    stored = _Transactions(connection)
    with connection.execute(statement.execution_options(yield_per=_ROWS_AT_ONCE)) as rows:
        for row in rows:
            topics, tx_hash = bytes(row.topics), bytes(row.tx_hash)
            yield (
                row.id,
                StoredLog(
                    row.contract,
                    RawLog(
                        block_number=(row.id >> 20) & 0xFFFFFFFF,
                        block_hash=_NO_HASH,
                        timestamp=row.timestamp,
                        log_index=row.id & 0xFFFFF,
                        tx_hash=tx_hash,
                        address=bytes(row.address),
                        topics=tuple(topics[i : i + HASH_LENGTH] for i in range(0, len(topics), HASH_LENGTH)),
                        data=bytes(row.data),
                        transaction=stored.of(row.id, tx_hash),
                    ),
                    row.error,
                ),
            )


class _Transactions:
    """The stored transactions of logs that are read in the order of their ids; those of one block are held at a time."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._any = connection.execute(sa.select(transactions.c.id).limit(1)).first() is not None
        self._block = -1
        self._held: dict[bytes, Transaction] = {}

    def of(self, log_id: int, tx_hash: bytes) -> Transaction | None:
        """Return the transaction ``tx_hash`` of the log ``log_id``; None where it is not stored."""
        if not self._any:
            return None
        block = log_id - log_id % LOGS_A_BLOCK
        if block != self._block:
            self._block = block
            found = bulk.select(self._connection, _TRANSACTIONS_OF_BLOCK, (block,))
            self._held = {bytes(row[0]): _transaction(row) for row in found}
        return self._held.get(tx_hash)


_TRANSACTIONS_OF_BLOCK = "SELECT hash, sender, recipient, value, input, size FROM transactions WHERE id = ?"


def _transaction(row: Any) -> Transaction:
    _, sender, recipient, value, data, size = row
    return Transaction(
        sender=None if sender is None else bytes(sender),
        to=None if recipient is None else bytes(recipient),
        value=int.from_bytes(value),
        input=None if data is None else bytes(data),
        size=size,
    )


def _progress(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the columns of a network that change as it is read."""
    last = checkpoint.last
    return {
        "number": last.number,
        "hash": last.hash,
        "parent_hash": last.parent_hash,
        "timestamp": last.timestamp,
        "seen_until": checkpoint.seen_until,
    }
