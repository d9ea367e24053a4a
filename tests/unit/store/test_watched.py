"""Since when something is watched, and what is to be read again for it."""

import pytest
import sqlalchemy as sa

from chainwatch.model import ANY_TOPIC, Batch, Checkpoint, EventSource
from chainwatch.store import blocks, watched
from chainwatch.store.watched import Gap
from tests.support.flows import header
from tests.support.storing import store_batch

OLD: EventSource = (b"\x01" * 20, b"\x01" * 32)
NEW: EventSource = (b"\x01" * 20, b"\x02" * 32)


@pytest.fixture(autouse=True)
def network(connection: sa.Connection) -> None:
    """A network that is read from block 5 to 100, each block's number its time, and of which ``OLD`` is watched."""
    read_to(connection, 100)
    watched.begin(connection, 1, [OLD], 5, 5)


def read_to(connection: sa.Connection, block: int) -> None:
    last = header(block, block)
    store_batch(connection, Batch("alpha", 5, last, headers=(last,)), Checkpoint("alpha", last, 5, 5, block))


def follow(connection: sa.Connection, *sources: EventSource) -> None:
    watched.follow(connection, blocks.checkpoints(connection), {"alpha": frozenset(sources)})


def gap(connection: sa.Connection) -> tuple[int, int] | None:
    found = watched.gap(connection, "alpha")
    return None if found is None else (found.first, found.last)


def test_what_is_watched_already_has_no_gap(connection: sa.Connection) -> None:
    follow(connection, OLD)
    assert gap(connection) is None


def test_what_is_new_is_to_be_read_from_the_first_block_to_the_last_one_read(
    connection: sa.Connection,
) -> None:
    follow(connection, OLD, NEW)
    assert watched.gap(connection, "alpha") == Gap(5, 100, 5, frozenset({NEW}))


def test_a_database_of_an_older_version_counts_as_watched_all_the_time(connection: sa.Connection) -> None:
    connection.execute(sa.text("DELETE FROM watched_sets"))
    follow(connection, OLD, NEW)
    assert gap(connection) is None
    assert watched.load(connection)["alpha"][NEW].first_block == 5


def test_what_was_not_watched_for_a_time_is_to_be_read_for_that_time(connection: sa.Connection) -> None:
    follow(connection, OLD, NEW)
    watched.narrow(connection, "alpha", [NEW], 100)
    follow(connection, OLD)
    read_to(connection, 200)
    assert gap(connection) is None
    follow(connection, OLD, NEW)
    assert gap(connection) == (101, 200)
    watched.narrow(connection, "alpha", [NEW], 200)
    assert watched.load(connection)["alpha"][NEW].first_block == 5


def test_a_gap_that_was_left_when_something_was_taken_out_is_part_of_the_next(
    connection: sa.Connection,
) -> None:
    follow(connection, OLD, NEW)
    watched.narrow(connection, "alpha", [NEW], 49)
    follow(connection, OLD)
    assert gap(connection) is None
    read_to(connection, 200)
    follow(connection, OLD, NEW)
    assert gap(connection) == (50, 200)


def test_a_restart_changes_nothing(connection: sa.Connection) -> None:
    follow(connection, OLD, NEW)
    watched.narrow(connection, "alpha", [NEW], 30)
    before = watched.load(connection)
    read_to(connection, 200)
    follow(connection, OLD, NEW)
    assert watched.load(connection) == before


def test_blocks_that_a_reorg_replaces_are_not_to_be_read_again(connection: sa.Connection) -> None:
    follow(connection, NEW)
    watched.cut(connection, "alpha", 60)
    assert gap(connection) == (5, 60)
    assert watched.load(connection)["alpha"][OLD].last_block == 60
    watched.cut(connection, "alpha", 4)
    assert gap(connection) is None


def test_what_is_given_up_counts_as_watched_from_the_gaps_end(connection: sa.Connection) -> None:
    follow(connection, OLD, NEW)
    watched.give_up(connection, "alpha")
    found = watched.load(connection)["alpha"]
    assert gap(connection) is None
    assert (found[NEW].first_block, found[NEW].first_timestamp) == (101, 101)
    assert found[OLD].first_block == 5


def test_what_would_be_deleted_at_once_is_not_read_again(connection: sa.Connection) -> None:
    follow(connection, OLD, NEW)
    watched.skip_to(connection, "alpha", 40, 40)
    assert gap(connection) == (40, 100)
    assert watched.load(connection)["alpha"][NEW].first_block == 40


def test_where_all_logs_of_a_contract_are_watched_each_of_its_events_is(connection: sa.Connection) -> None:
    anything = (OLD[0], ANY_TOPIC)
    watched.begin(connection, 1, [anything], 5, 5)
    follow(connection, OLD, anything, NEW)
    assert gap(connection) is None


def test_deleted_logs_are_not_to_be_read_again(connection: sa.Connection) -> None:
    watched.note_pruned(connection, 1, 70, 70)
    follow(connection, OLD, NEW)
    assert gap(connection) == (71, 100)
    watched.begin_after_pruned(connection)
    assert watched.load(connection)["alpha"][OLD].first_block == 71


def test_of_an_older_database_no_more_counts_as_deleted_than_may_be(connection: sa.Connection) -> None:
    watched.assume_pruned(connection, 4)
    watched.begin_after_pruned(connection)
    assert watched.load(connection)["alpha"][OLD].first_block == 5
    blocks.save_logs(connection, 1, [(50 << 20, 50, "bridge", b"", b"", b"", b"", None)])
    watched.assume_pruned(connection, 30)
    watched.begin_after_pruned(connection)
    found = watched.load(connection)["alpha"][OLD]
    assert (found.first_block, found.first_timestamp) == (50, 30)
