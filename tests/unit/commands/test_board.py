"""What the keys of `chainwatch top` do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from chainwatch.commands.board import Board
from chainwatch.commands.show.now import alerts_of
from chainwatch.config import read_dict
from chainwatch.operations import alert_details, silencing
from chainwatch.operations.context import Access, Context
from chainwatch.plan import make_plan
from chainwatch.store.database import Database
from tests.support.operating import end_alert, raise_alert


@pytest.fixture
def access(sqlite_url: str) -> Iterator[Access]:
    config = {
        "store": {"url": sqlite_url},
        "receivers": {"ops": {"provider": "console"}},
        "routes": [{"receivers": ["ops"]}],
    }
    with closing(Database.open(sqlite_url, durable=False)) as database:
        with database.reading() as connection:
            context = Context.of(make_plan(read_dict(config, watches=False)), connection)
        yield Access(database, context)


@pytest.fixture
def board(access: Access) -> Board:
    for name in ("A", "B", "C"):
        raise_alert(access, name)
    return Board(access, "anna")


def chosen(board: Board) -> str | None:
    found = {one.alert.id: one.alert.name for one in alerts_of(board.shown.glance)}
    return found.get(board.shown.chosen or 0)


def names(board: Board) -> list[str]:
    return [one.alert.name for one in alerts_of(board.shown.glance)]


def test_keys_choose_up_to_the_ends(board: Board) -> None:
    first, second, third = names(board)
    assert chosen(board) == first
    board.press("up")
    assert chosen(board) == first
    board.press("j")
    assert chosen(board) == second
    board.press("down")
    board.press("down")
    assert chosen(board) == third
    board.press("k")
    assert chosen(board) == second


def test_what_is_chosen_stays_chosen_while_it_fires(board: Board, access: Access) -> None:
    board.press("down")
    name = chosen(board)
    raise_alert(access, "Worse", severity="P0")
    board.read()
    assert (chosen(board), names(board)[0]) == (name, "Worse")
    end_alert(access, name or "")
    board.read()
    assert chosen(board) in names(board)


def test_a_acknowledges_in_the_name_of_the_user(board: Board, access: Access) -> None:
    number = board.shown.chosen
    assert number is not None
    board.press("a")
    taken = access.read(alert_details.show, number).acknowledged
    assert taken is not None
    assert taken.by == "anna"
    assert "acknowledged" in board.shown.message
    assert board.shown.glance.urgency[0].acknowledged == 1
    board.press("a")
    assert "already, by anna" in board.shown.message


def test_s_silences_this_alert_alone_after_a_yes(board: Board, access: Access) -> None:
    for key in ("s", "n", "s", "q"):
        board.press(key)
        assert not access.read(silencing.list_silences).rows
    assert not board.is_over
    board.press("s")
    assert "press y" in board.shown.message.lower()
    board.press("y")
    (silence,) = access.read(silencing.list_silences).rows
    assert (silence.author, silence.hides, silence.ends_at - silence.starts_at) == ("anna", 1, 3_600)
    assert "hides 1 now" in board.shown.message
    board.press("y")
    assert len(access.read(silencing.list_silences).rows) == 1


def test_an_alert_that_was_resolved_meanwhile_is_not_acknowledged(board: Board, access: Access) -> None:
    end_alert(access, chosen(board) or "")
    board.press("a")
    assert "fires no more" in board.shown.message


def test_without_alerts_keys_do_nothing(access: Access) -> None:
    board = Board(access, "anna")
    for key in ("a", "s", "y", "up", "down", "x", "\x00"):
        board.press(key)
    assert (board.shown.chosen, board.is_over) == (None, False)
    board.press("q")
    assert board.is_over


def test_a_database_that_fails_is_said_and_what_was_read_stays(board: Board, access: Access) -> None:
    before = names(board)
    with access.database.transaction() as connection:
        connection.exec_driver_sql("ALTER TABLE alerts RENAME TO gone")
    board.read()
    assert "what is shown is old" in board.shown.message
    board.press("a")
    assert "nothing was done" in board.shown.message
    assert names(board) == before
    with access.database.transaction() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO alerts")
    board.press("x")
    board.read()
    assert board.shown.message == ""
