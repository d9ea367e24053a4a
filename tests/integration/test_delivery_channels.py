"""Signals to HTTP servers: real databases, real queues, real connections, and processes that die in between."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
import sqlalchemy as sa

from chainwatch.alerting.delivery.queue import ReceiverQueue
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.providers import Transport, build_provider
from chainwatch.alerting.providers.discord import DiscordSettings
from chainwatch.alerting.providers.webhook import WebhookSettings
from chainwatch.config import ReceiverSettings, RouteSettings
from chainwatch.model import Signal
from chainwatch.store.alerting import outbox
from chainwatch.store.database import Database
from tests.support.discord import discord, rate_limited
from tests.support.receiver import Answer, Receiver
from tests.support.waiting import eventually

T0 = 1_700_000_000


class Alerting:
    """A database with a manager and one queue per receiver, as the running process has them."""

    def __init__(self, url: str, *receivers: ReceiverSettings) -> None:
        self.database = Database.open(url, durable=False)
        route = {
            "receivers": [r.name for r in receivers],
            "group_by": ["..."],
            "group_wait": "0s",
            "group_interval": "1ms",
        }
        self._manager = AlertEngine(
            [RouteSettings.model_validate(route)], {r.name: True for r in receivers}, 0
        )
        self._receivers = receivers
        self.transport = Transport()
        self._tasks: list[asyncio.Task[None]] = []
        self.queues: list[ReceiverQueue] = []

    def start(self) -> None:
        self.queues = [
            ReceiverQueue(
                self.database,
                settings.name,
                build_provider(settings, self.transport),
                self.apply,
                give_up_after=settings.give_up_after,
                jitter=lambda: 0.01,
            )
            for settings in self._receivers
        ]
        self._tasks = [asyncio.create_task(queue.run()) for queue in self.queues]

    async def kill(self) -> None:
        """End without any of the care that stopping takes."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def apply(self, signals: Sequence[Signal]) -> None:
        now = time.time()

        def apply(connection: sa.Connection) -> None:
            self._manager.apply(connection, signals, now)
            self._manager.flush(connection, now + 0.01)  # the next tick, which is a millisecond away

        await self.database.write(apply)
        for queue in self.queues:
            queue.wake()

    async def until_nothing_waits(self) -> None:
        """Return once every queue is empty."""

        def waiting() -> bool:
            with self.database.reading() as connection:
                return outbox.has_pending(connection, [receiver.name for receiver in self._receivers])

        await eventually(lambda: not waiting())

    async def until_delivered(self, count: int) -> None:
        """Return once ``count`` notifications are marked as delivered."""

        def delivered() -> int:
            with self.database.reading() as connection:
                return len(outbox.list_notifications(connection, status="delivered", limit=10_000))

        await eventually(lambda: delivered() >= count)


Start = Callable[..., Alerting]


@pytest.fixture
async def start(database_url: str) -> AsyncIterator[Start]:
    started: list[Alerting] = []

    def make(*receivers: ReceiverSettings) -> Alerting:
        alerting = Alerting(database_url, *receivers)
        started.append(alerting)
        alerting.start()
        return alerting

    yield make
    for alerting in started:
        await alerting.kill()
        await alerting.transport.close()
        alerting.database.close()


def _webhook(server: Receiver, name: str = "hook") -> WebhookSettings:
    return WebhookSettings.model_validate(
        {"name": name, "provider": "webhook", "url": server.url, "allow_private": True}
    )


def _fires(number: int) -> Signal:
    return Signal({"alertname": "X", "severity": "P1", "n": str(number)}, T0)


def _ends(number: int) -> Signal:
    return Signal({"alertname": "X", "severity": "P1", "n": str(number)}, T0, ends_at=T0 + 9)


def _heard(server: Receiver) -> dict[str, list[str]]:
    """What the server received of each alert, in order; a message that came again counts once.

    So does a beginning that is repeated with its end: after a failed attempt what waits for a group becomes one message.
    """
    received: dict[str, list[str]] = defaultdict(list)
    for key, request in {r.headers["Idempotency-Key"]: r for r in reversed(server.requests)}.items():
        assert key
        for alert in reversed(request.json()["alerts"]):
            statuses = received[alert["labels"]["n"]]
            if statuses[:1] != [alert["status"]]:
                statuses.insert(0, alert["status"])
    return received


async def test_what_fires_and_ends_is_reported_in_order_through_every_kind_of_fault_s6(start: Start) -> None:
    async with Receiver() as server:
        server.script.extend(
            [Answer(503), Answer(500, drop=True), Answer(429, headers={"Retry-After": "0.05"}), Answer(502)]
        )
        alerting = start(_webhook(server))
        await alerting.apply([_fires(n) for n in range(5)])
        await alerting.apply([_ends(n) for n in range(5)])
        await alerting.until_nothing_waits()
        assert _heard(server) == {str(n): ["firing", "resolved"] for n in range(5)}


async def test_a_receiver_that_was_down_hears_of_all_that_came_and_went(start: Start) -> None:
    async with Receiver() as server:
        await server.stop()
        alerting = start(_webhook(server))
        await alerting.apply([_fires(1)])
        await alerting.apply([_ends(1)])
        await server.start()
        await alerting.until_nothing_waits()
        assert _heard(server) == {"1": ["firing", "resolved"]}


async def test_a_dead_receiver_does_not_delay_another_s8(start: Start) -> None:
    async with Receiver(lambda _: Answer(delay=60)) as hanging, Receiver() as server:
        alerting = start(_webhook(hanging, "hanging"), _webhook(server, "hook"))
        await alerting.apply([_fires(n) for n in range(20)])
        received = await server.wait_for(20)  # one after the other, they would take minutes
        assert len(received) == 20


async def test_a_process_that_dies_at_any_moment_loses_nothing_s2(start: Start) -> None:
    dice = random.Random(1)
    async with Receiver(lambda _: Answer(delay=dice.uniform(0, 0.003))) as server:
        alerting = start(_webhook(server))
        for number in range(30):
            await alerting.apply([_fires(number)] + ([_ends(number - 1)] if number else []))
            await asyncio.sleep(dice.uniform(0, 0.01))
            if number % 3 == 0:
                await alerting.kill()
                alerting.start()
        await alerting.apply([_ends(29)])
        await alerting.until_delivered(60)
        assert _heard(server) == {str(n): ["firing", "resolved"] for n in range(30)}


async def test_discord_hears_of_all_through_a_rate_limit_and_is_left_alone_meanwhile(start: Start) -> None:
    async with Receiver(discord) as server:
        server.script.extend([rate_limited(0.3), Answer(204), Answer(502, "<html>")])
        alerting = start(
            DiscordSettings.model_validate(
                {
                    "name": "d",
                    "provider": "discord",
                    "url": f"{server.url}/api/webhooks/1/token",
                    "allow_private": True,
                }
            )
        )
        await alerting.apply([_fires(n) for n in range(4)])
        await alerting.until_delivered(4)
        first, second, *_ = server.requests
        assert second.arrived_at - first.arrived_at >= 0.29
        assert len(server.requests) == 6
