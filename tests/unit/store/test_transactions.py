"""The stored transactions of logs, on both kinds of database."""

from __future__ import annotations

import sqlalchemy as sa

from chainwatch.checker.extractor import transaction_rows
from chainwatch.model import Batch, Checkpoint, Event, Transaction
from chainwatch.store import blocks
from tests.support.flows import event, header
from tests.support.storing import store_batch

WHOLE = Transaction(b"\x01" * 20, b"\x02" * 20, 2**256 - 1, bytes(range(256)) * 512, 512 * 256)
SAMPLES = [
    WHOLE,
    Transaction(None),
    Transaction(b"\x01" * 20, None, 0, b"", 0),
    Transaction(b"\x01" * 20, b"\x00" * 20, 256, None, 2**40),
]


def events(count: int) -> list[Event]:
    made = [event("alpha", "Sent", 10 + n, id=n) for n in range(count)]
    return [e._replace(log=e.log._replace(transaction=SAMPLES[i % 4])) for i, e in enumerate(made)]


def stored(connection: sa.Connection, some: list[Event]) -> list[Transaction | None]:
    last = header(1000, 1000)
    batch = Batch("alpha", 1, last, tuple(some), headers=(last,))
    store_batch(connection, batch, Checkpoint("alpha", last, 1, 1, 1000))
    number = blocks.network_id(connection, "alpha")
    assert number is not None
    blocks.save_transactions(connection, number, transaction_rows(some, []))
    return [one.log.transaction for one in blocks.logs_above(connection, "alpha", 0)]


def test_transactions_come_back_as_they_were_stored(connection: sa.Connection) -> None:
    some = events(130)
    assert stored(connection, some) == [e.log.transaction for e in some]
    assert stored(connection, some) == [e.log.transaction for e in some]


def test_what_was_read_again_replaces_what_was_stored(connection: sa.Connection) -> None:
    (one,) = events(1)
    stored(connection, [one])
    other = one._replace(log=one.log._replace(transaction=SAMPLES[2]))
    assert stored(connection, [other]) == [SAMPLES[2]]


def test_logs_of_one_transaction_share_it(connection: sa.Connection) -> None:
    (one,) = events(1)
    two = one._replace(log=one.log._replace(log_index=1))
    assert len(transaction_rows([one, two], [])) == 1
    first, second = stored(connection, [one, two])
    assert first == WHOLE
    assert first is second


def test_blocks_that_are_dropped_take_their_transactions_along(connection: sa.Connection) -> None:
    some = events(5)
    stored(connection, some)
    blocks.drop_above(connection, "alpha", 11)
    left = connection.execute(sa.text("SELECT count(*) FROM transactions")).scalar()
    assert left == len(blocks.logs_above(connection, "alpha", 0)) == 2
