"""Checkpoints, header windows and logs as rows."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from chainwatch.model import Batch, Checkpoint, Event, RawLog, UndecodedLog
from chainwatch.store import blocks
from chainwatch.store.errors import StoreError
from tests.support.flows import event, header
from tests.support.runs import moved
from tests.support.storing import store_batch


def save(connection: sa.Connection, batch: Batch, *, seen: int = 0, keep: int = 100, first: int = 0) -> None:
    checkpoint = Checkpoint(batch.network, batch.last, first, first, max(seen, batch.last.timestamp))
    store_batch(connection, batch, checkpoint, keep)


def batch(network: str, first: int, last: int, *events: Event) -> Batch:
    """A batch of the blocks ``first`` to ``last``, with all their headers."""
    headers = tuple(header(n, n * 10) for n in range(first, last + 1))
    return Batch(network, first, headers[-1], events, headers=headers)


def test_a_new_network_is_known_by_its_first_batch(connection: sa.Connection) -> None:
    save(connection, batch("alpha", 5, 6), first=5)
    save(connection, batch("beta", 1, 2))

    known = blocks.checkpoints(connection)

    assert known["alpha"] == Checkpoint("alpha", header(6, 60), 5, 5, 60)
    assert set(known) == {"alpha", "beta"}
    assert blocks.network_id(connection, "alpha") != blocks.network_id(connection, "beta")
    assert blocks.network_id(connection, "gamma") is None


def test_the_checkpoint_moves_on_and_its_first_block_stays(connection: sa.Connection) -> None:
    save(connection, batch("alpha", 5, 6), first=5)
    save(connection, batch("alpha", 7, 9), first=7)

    found = blocks.checkpoints(connection)["alpha"]

    assert (found.last, found.first_block, found.first_timestamp) == (header(9, 90), 5, 5)


def test_the_window_keeps_the_newest_headers_in_order(connection: sa.Connection) -> None:
    save(connection, batch("beta", 1, 3), keep=4)
    for first in (1, 4, 7):
        save(connection, batch("alpha", first, first + 2), keep=4)

    assert [h.number for h in blocks.window(connection, "alpha")] == [6, 7, 8, 9]
    assert blocks.window(connection, "alpha")[-1] == header(9, 90)
    assert blocks.window(connection, "gamma") == []


def test_a_header_that_comes_again_replaces_the_one_of_its_number(connection: sa.Connection) -> None:
    save(connection, batch("alpha", 1, 3))
    other = header(3, 30, 1)
    save(connection, Batch("alpha", 3, other, headers=(other,)))

    assert blocks.window(connection, "alpha") == [header(1, 10), header(2, 20), other]


def test_a_batch_without_headers_leaves_the_window_alone(connection: sa.Connection) -> None:
    save(connection, batch("alpha", 1, 3))
    save(connection, Batch("alpha", 4, header(500, 5000)), keep=4)

    assert [h.number for h in blocks.window(connection, "alpha")] == [1, 2, 3]


@pytest.mark.parametrize("count", [1, 200])
def test_logs_come_back_as_they_were_read_in_order(connection: sa.Connection, count: int) -> None:
    made = [event("alpha", "Sent", 10 + n, log_index=n, id=2**256 - 1 - n) for n in range(count)]
    save(connection, batch("alpha", 1, 300, *made))

    found = list(blocks.logs_above(connection, "alpha", 9))

    assert [s.log for s in found] == [e.log for e in made]
    assert {(s.contract, s.error) for s in found} == {("bridge", None)}


def test_the_largest_positions_are_kept_exactly(connection: sa.Connection) -> None:
    log = RawLog(2**32 - 1, b"", 7, 2**20 - 1, b"t" * 32, b"a" * 20, (), b"")
    save(connection, batch("alpha", 1, 2, event("alpha", "Sent", 1)._replace(log=log)))
    save(
        connection,
        batch("beta", 1, 2, event("beta", "Sent", 1)._replace(log=log._replace(block_number=0, log_index=0))),
    )

    assert [s.log for s in blocks.logs_above(connection, "alpha", 2**32 - 2)] == [log]
    assert [s.log.block_number for s in blocks.logs_above(connection, "beta", -1)] == [0]


def test_logs_are_stored_once_however_often_they_come(connection: sa.Connection) -> None:
    for _ in range(2):
        save(connection, batch("alpha", 1, 20, event("alpha", "Sent", 10)))

    assert len(list(blocks.logs_above(connection, "alpha", 0))) == 1


def test_a_log_that_does_not_decode_is_kept_with_its_error(connection: sa.Connection) -> None:
    log = event("alpha", "Sent", 10).log
    undecoded = UndecodedLog("alpha", "bridge", log, "short data")
    save(connection, Batch("alpha", 1, header(20, 200), undecoded=(undecoded,)))

    assert [(s.log, s.error) for s in blocks.logs_above(connection, "alpha", 0)] == [(log, "short data")]
    assert blocks.undecoded_count(connection) == 1


def test_what_lies_above_a_block_goes_on_that_network_alone(connection: sa.Connection) -> None:
    for network in ("alpha", "beta"):
        made = [event(network, "Sent", number) for number in (5, 6, 7)]
        save(connection, batch(network, 1, 8, *made))

    blocks.drop_above(connection, "alpha", 5)
    blocks.drop_above(connection, "gamma", 5)

    assert [s.log.block_number for s in blocks.logs_above(connection, "alpha", 0)] == [5]
    assert [h.number for h in blocks.window(connection, "alpha")] == [1, 2, 3, 4, 5]
    assert [s.log.block_number for s in blocks.logs_above(connection, "beta", 0)] == [5, 6, 7]
    assert len(blocks.window(connection, "beta")) == 8


def test_the_blocks_with_logs_come_in_order_each_once(connection: sa.Connection) -> None:
    largest = event("alpha", "Sent", 1)
    largest = largest._replace(log=largest.log._replace(block_number=2**32 - 1, log_index=2**20 - 1))
    twice = event("alpha", "Sent", 7)
    save(
        connection,
        batch(
            "alpha",
            1,
            8,
            event("alpha", "Sent", 5),
            twice,
            twice._replace(log=twice.log._replace(log_index=9)),
            largest,
        ),
    )
    save(connection, batch("beta", 1, 8, event("beta", "Sent", 6)))

    assert blocks.blocks_with_logs(connection, "alpha", 1, 2**32 - 1) == [5, 7, 2**32 - 1]
    assert blocks.blocks_with_logs(connection, "alpha", 6, 7) == [7]
    assert blocks.blocks_with_logs(connection, "gamma", 0, 9) == []


def test_a_network_that_has_become_another_chain_is_refused(connection: sa.Connection) -> None:
    save(connection, batch("alpha", 1, 2))

    blocks.check_chain_ids(connection, {"alpha": 1, "beta": 2})
    with pytest.raises(StoreError, match=r"alpha.*chain_id 1.*10") as refused:
        blocks.check_chain_ids(connection, {"alpha": 10})

    assert "another" in str(refused.value)


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_a_page_of_logs_never_cuts_a_transaction(connection: sa.Connection, limit: int) -> None:
    """S7: events of one transaction may be read together."""
    events = [
        moved(event("alpha", "Sent", 30, block=3, log_index=n), tx) for n, tx in enumerate((1, 1, 1, 2))
    ]
    other = moved(event("alpha", "Sent", 40, block=4), 2)
    save(connection, batch("alpha", 1, 4, *events, other))

    pages, after = [], 0
    while page := list(blocks.logs_after(connection, after, limit)):
        pages.append([log.log.log_index for _, _, log in page])
        after = page[-1][0]

    expected = {
        1: [[0, 1, 2], [3], [0]],
        2: [[0, 1, 2], [3, 0]],
        3: [[0, 1, 2], [3, 0]],
        4: [[0, 1, 2, 3], [0]],
    }
    assert pages == expected[limit]


def test_a_large_transaction_ends_a_page_as_a_whole(
    connection: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S10."""
    monkeypatch.setattr(blocks, "PAGE_BYTES", 10)
    events = [moved(event("alpha", "Sent", 30, block=3, log_index=n), n // 2) for n in range(4)]
    save(connection, batch("alpha", 1, 4, *events))

    assert [log.log.log_index for _, _, log in blocks.logs_after(connection, 0, 100)] == [0, 1]
