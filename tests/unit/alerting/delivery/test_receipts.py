"""Receipts: stored with the delivery's mark, given to the group's next message, deleted with the group.

The provider is a new one (``tests/support/board.py``): a file and a row of the registry are all that it takes.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch.alerting.delivery.queue import ReceiverQueue
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.policy.grouping import KEPT_EMPTY
from chainwatch.alerting.providers import DeliveryError, Receipt, Transport, build_provider
from chainwatch.config import ConfigError, ReceiverSettings, read_dict
from chainwatch.config.receivers import PROVIDERS
from chainwatch.model import Signal
from chainwatch.store import retention
from chainwatch.store.alerting import outbox, receipts
from chainwatch.store.alerting.alert_tables import delivery_receipts
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from tests.support.board import BoardProvider, BoardSettings
from tests.support.waiting import eventually
from tests.unit.alerting.helpers import T0, ManualClock, ends, fires, route


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROVIDERS, "board", "tests.support.board:BoardProvider")
    monkeypatch.setattr(BoardProvider, "notes", {})
    monkeypatch.setattr(BoardProvider, "refusals", [])


def configured(**table: object) -> ReceiverSettings:
    """The receiver's settings by a configuration with these keys in its table."""
    data = {"receivers": {"ops": {"provider": "board", **table}}, "routes": [{"receivers": ["ops"]}]}
    return read_dict(data, watches=False).settings().receivers["ops"]


class Board:
    """A queue with the new provider at work on a database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = ManualClock()
        self.manager = AlertEngine([route(group_interval="1ms")], {"ops": True}, 0)
        self._transport = Transport()
        self._running: list[tuple[ReceiverQueue, asyncio.Task[None]]] = []

    def start(self) -> None:
        provider = build_provider(configured(token="T0KEN"), self._transport)
        queue = ReceiverQueue(
            self.database, "ops", provider, self._ignore, give_up_after=86_400.0, clock=self.clock
        )
        self._running.append((queue, asyncio.create_task(queue.run())))

    async def crash(self) -> None:
        for _, task in self._running:
            task.cancel()
        await asyncio.gather(*(task for _, task in self._running), return_exceptions=True)
        self._running.clear()

    async def restart(self) -> None:
        await self.crash()
        self.start()

    async def apply(self, *signals: Signal) -> None:
        """Let signals change alerts, and time pass until the next flush."""
        now = self.clock.now()

        def apply(connection: sa.Connection) -> None:
            self.manager.apply(connection, signals, now)
            self.manager.flush(connection, now + 0.01)

        await self.database.write(apply)
        self.clock.advance(0.02)
        for queue, _ in self._running:
            queue.wake()

    async def let_the_empty_group_go(self) -> None:
        self.clock.advance(KEPT_EMPTY)
        await self.apply()

    async def delivered(self, number: int) -> None:
        """Return once so many notifications are marked as delivered."""

        def is_done() -> bool:
            with self.database.reading() as connection:
                return len(outbox.list_notifications(connection, status="delivered")) == number

        await eventually(is_done)

    def stored(self) -> list[str]:
        with self.database.reading() as connection:
            return list(connection.execute(sa.select(delivery_receipts.c.remote_ids)).scalars())

    async def _ignore(self, signals: list[Signal]) -> None:
        return


@pytest.fixture
async def board(database_url: str) -> AsyncIterator[Board]:
    database = Database.open(database_url, durable=False)
    board = Board(database)
    board.start()
    yield board
    await board.crash()
    database.close()


def test_a_provider_is_configured_by_its_own_settings() -> None:
    settings = configured(token="T0KEN")
    assert isinstance(settings, BoardSettings)
    assert settings.token.get_secret_value() == "T0KEN"
    assert "T0KEN" not in repr(settings)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({}, r"receivers\.ops\.token: missing; expected: Opens the board"),
        ({"token": "T0KEN", "tokens": "T0KEN"}, r"receivers\.ops\.tokens: unknown key"),
        ({"token": ["T0KEN"]}, r"receivers\.ops\.token: expected text, found a list"),
    ],
)
def test_a_wrong_key_of_it_is_named_and_no_secret_is_s9(table: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        configured(**table)
    assert "T0KEN" not in str(caught.value)


async def test_a_groups_next_message_gets_the_receipt_of_its_last(board: Board) -> None:
    await board.apply(fires("0x01"))
    await board.delivered(1)
    await board.apply(fires("0x02"))
    await board.delivered(2)
    assert BoardProvider.notes == {"1": ["firing 0x01", "firing 0x01, firing 0x02"]}


async def test_groups_have_receipts_of_their_own(board: Board) -> None:
    await board.apply(fires("0x01"), fires("0x02", name="TransferOrphan"))
    await board.delivered(2)
    await board.apply(fires("0x03"))
    await board.delivered(3)
    assert sorted(len(versions) for versions in BoardProvider.notes.values()) == [1, 2]


async def test_a_receipt_survives_a_restart(board: Board) -> None:
    await board.apply(fires("0x01"))
    await board.delivered(1)
    await board.restart()
    await board.apply(fires("0x02"))
    await board.delivered(2)
    assert list(BoardProvider.notes) == ["1"]


async def test_a_crash_between_sending_and_marking_sends_again_with_the_receipt_from_before(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:  # S2, S6
    await board.apply(fires("0x01"))
    await board.delivered(1)
    save = receipts.save

    def refuse(*_: object) -> int:
        raise StoreError("the disk is full", transient=True)

    monkeypatch.setattr(receipts, "save", refuse)
    await board.apply(fires("0x02"))
    await eventually(lambda: len(BoardProvider.notes["1"]) == 2)
    await board.crash()
    with board.database.reading() as connection:
        assert [one.status for one in outbox.list_notifications(connection)] == ["pending", "delivered"]
    assert board.stored() == ['{"note":"1"}']
    monkeypatch.setattr(receipts, "save", save)
    board.start()
    await board.delivered(2)
    assert BoardProvider.notes == {"1": ["firing 0x01", *["firing 0x01, firing 0x02"] * 2]}


async def test_a_message_that_failed_leaves_the_receipt_for_the_next_attempt(board: Board) -> None:
    await board.apply(fires("0x01"))
    await board.delivered(1)
    BoardProvider.refusals.append(DeliveryError("busy"))
    await board.apply(fires("0x02"))
    await eventually(lambda: not BoardProvider.refusals)
    board.clock.advance(10)
    await board.restart()
    await board.delivered(2)
    assert BoardProvider.notes == {"1": ["firing 0x01", "firing 0x01, firing 0x02"]}


async def test_the_end_of_a_group_edits_its_message_and_deletes_the_receipt(board: Board) -> None:
    await board.apply(fires("0x01"))
    await board.delivered(1)
    await board.apply(ends("0x01"))
    await board.delivered(2)
    assert BoardProvider.notes == {"1": ["firing 0x01", "resolved 0x01"]}
    await board.let_the_empty_group_go()
    assert board.stored() == []
    await board.apply(fires("0x01", at=T0 + 100))
    await board.delivered(3)
    assert BoardProvider.notes == {"1": ["firing 0x01", "resolved 0x01"], "2": ["firing 0x01"]}


async def test_a_group_that_ends_without_a_notification_takes_its_receipt_along(board: Board) -> None:
    board.manager = AlertEngine([route(group_interval="1ms")], {"ops": False}, 0)
    await board.apply(fires("0x01"))
    await board.delivered(1)
    assert board.stored() == ['{"note":"1"}']
    await board.apply(ends("0x01"))
    await board.let_the_empty_group_go()
    assert board.stored() == []


async def test_a_receipt_that_is_too_long_is_not_stored_s10(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send(self: BoardProvider, message: object) -> Receipt:
        return Receipt({"note": "x" * receipts.IDS_MAX})

    monkeypatch.setattr(BoardProvider, "send", send)
    await board.apply(fires("0x01"))
    await board.delivered(1)
    assert board.stored() == []


class _Unreadable(dict[str, str]):
    def items(self) -> Any:
        raise RuntimeError("odd")


@pytest.mark.parametrize(
    "odd",
    [
        None,
        "42",
        Receipt({"note": 42}),  # type: ignore[dict-item]
        Receipt({"note": None}),  # type: ignore[dict-item]
        Receipt({7: "42", "note": "1"}),  # type: ignore[dict-item]
        Receipt({"note": object()}),  # type: ignore[dict-item]
        Receipt({"note": "\ud800"}),
        Receipt({"note": "4\x002"}),
        Receipt({"note": "x" * 10_000_000}),
        Receipt(["42"]),  # type: ignore[arg-type]
        Receipt(None),  # type: ignore[arg-type]
        Receipt(_Unreadable(note="42")),
    ],
    ids=lambda odd: f"{odd!r:.40}",
)
async def test_a_message_is_sent_once_whatever_its_receipt_holds(
    board: Board, monkeypatch: pytest.MonkeyPatch, odd: Any
) -> None:  # S6
    sent = []

    async def send(self: BoardProvider, message: object) -> Receipt:
        sent.append(message)
        return odd  # type: ignore[no-any-return]

    monkeypatch.setattr(BoardProvider, "send", send)
    await board.apply(fires("0x01"))
    await board.delivered(1)
    await board.apply(fires("0x02"))
    await board.delivered(2)
    assert len(sent) == 2


async def test_a_receipt_of_a_group_whose_last_notification_is_dropped_is_pruned_s10(board: Board) -> None:
    await board.apply(fires("0x01"))
    await board.delivered(1)
    await board.crash()
    await board.apply(ends("0x01"))
    await board.let_the_empty_group_go()
    assert board.stored() == ['{"note":"1"}']
    with board.database.transaction() as connection:
        outbox.drop(connection, board.clock.now(), receiver="ops")
        retention.prune(connection, 0, T0 - 1, 100)
    assert board.stored() == ['{"note":"1"}']
    with board.database.transaction() as connection:
        retention.prune(connection, 0, T0 + 1e6, 100)
    assert board.stored() == []
