"""The worker of one receiver, with a clock that stands still and a provider that does as instructed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch.alert_model import Acknowledgement
from chainwatch.alerting.delivery import attempt as attempts
from chainwatch.alerting.delivery import queue as queues
from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.delivery.queue import MIND_EVERY, ReceiverQueue
from chainwatch.alerting.delivery.retry import OPENS_AFTER, REFUSALS, longest_open
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.providers import Capabilities, DeliveryError, Receipt
from chainwatch.model import Signal
from chainwatch.store.alerting import acknowledgements, claims, outbox
from chainwatch.store.alerting.alert_tables import receiver_pauses
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from tests.support.waiting import PATIENCE, eventually
from tests.unit.alerting.helpers import ManualClock, ScriptedProvider, ends, fires, route

DOWN = DeliveryError("the webhook answered 503 Service Unavailable")
REFUSED = DeliveryError("the webhook answered 404 Not Found", permanent=True)


class Bench:
    """A queue at work: signals in, deliveries out."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._busy = 0
        database.read = self._counted(database.read)  # type: ignore[method-assign]  # watched, not changed
        database.write = self._counted(database.write)  # type: ignore[method-assign]  # watched, not changed
        self.clock = ManualClock()
        self.provider = ScriptedProvider()
        self.signals: list[Signal] = []
        self._manager = AlertEngine([route(group_by=["..."], group_interval="1ms")], {"ops": True}, 0)
        self._running: list[tuple[ReceiverQueue, asyncio.Task[None]]] = []

    def start(self, **options: float) -> ReceiverQueue:
        queue = ReceiverQueue(
            self.database,
            "ops",
            self.provider,
            self._on_signals,
            clock=self.clock,
            jitter=lambda: 1.0,
            give_up_after=options.get("give_up_after", 86_400.0),
        )
        self._running.append((queue, asyncio.create_task(queue.run())))
        return queue

    async def stop(self) -> None:
        for queue, task in self._running:
            queue.stop()
            await task
        self._running.clear()

    async def crash(self) -> None:
        """End without any of the care that stopping takes."""
        for _, task in self._running:
            task.cancel()
        await asyncio.gather(*(task for _, task in self._running), return_exceptions=True)
        self._running.clear()

    async def apply(self, *signals: Signal) -> None:
        now = self.clock.now()

        def apply(connection: sa.Connection) -> None:
            self._manager.apply(connection, signals, now)
            self._manager.flush(connection, now + 0.01)  # the next tick, which is a millisecond away

        self.clock.advance(0.02)  # before the write: a worker may take up the row before the write returns
        await self.database.write(apply)
        for queue, _ in self._running:
            queue.wake()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let time pass, whenever nothing is being done, until ``condition`` holds."""

        async def go_on() -> None:
            while not condition():
                await asyncio.sleep(0.001)
                if (
                    not self._busy and not condition()
                ):  # it may hold since the sleep: no further time passes then
                    self.clock.advance_to_alarm()

        await asyncio.wait_for(go_on(), PATIENCE)

    def queued(self) -> list[outbox.QueuedNotification]:
        with self.database.reading() as connection:
            return list(reversed(outbox.list_notifications(connection)))

    def statuses(self) -> list[str]:
        return [queued.status for queued in self.queued()]

    def all_is_noted(self) -> bool:
        """Whether the outcome of every attempt is stored."""
        return sum(queued.attempts for queued in self.queued()) == len(self.provider.attempts)

    def _counted(self, call: Any) -> Any:
        async def counted(job: Callable[[sa.Connection], object]) -> object:
            self._busy += 1
            try:
                return await call(job)
            finally:
                self._busy -= 1

        return counted

    async def _on_signals(self, signals: list[Signal]) -> None:
        self.signals += signals
        await self.apply(*signals)


@pytest.fixture
async def bench(sqlite_url: str) -> AsyncIterator[Bench]:
    database = Database.open(sqlite_url, durable=False)
    bench = Bench(database)
    yield bench
    await bench.stop()
    database.close()


async def test_a_waiting_notification_is_delivered_and_marked(bench: Bench) -> None:
    await bench.apply(fires())
    bench.start()
    await eventually(lambda: bench.statuses() == ["delivered"])
    assert bench.provider.taken_transfers == [("firing", "0x01")]
    assert bench.queued()[0].attempts == 1


async def test_a_wake_up_is_enough_to_deliver_what_is_new(bench: Bench) -> None:
    bench.start()
    await bench.apply(fires())
    await eventually(lambda: len(bench.provider.taken) == 1)
    assert bench.provider.taken_transfers == [("firing", "0x01")]


async def test_a_failed_delivery_is_tried_again_with_the_same_idempotency_key(bench: Bench) -> None:
    bench.provider.script = [DOWN, DOWN]
    bench.start()
    await bench.apply(fires())
    await bench.until(lambda: len(bench.provider.taken) == 1)
    assert len({n.idempotency_key for n in bench.provider.attempts}) == 1
    await eventually(lambda: bench.statuses() == ["delivered"])
    assert bench.queued()[0].attempts == 3


async def test_the_next_attempt_waits_for_its_backoff(bench: Bench) -> None:
    bench.provider.script = [DOWN]
    bench.start()
    await bench.apply(fires())
    await eventually(lambda: [q.attempts for q in bench.queued()] == [1])
    assert bench.queued()[0].next_attempt_at == bench.clock.now() + 0.5
    assert bench.queued()[0].last_error == str(DOWN)
    bench.clock.advance(0.4)
    await asyncio.sleep(0.02)
    assert len(bench.provider.attempts) == 1
    bench.clock.advance(0.2)
    await eventually(lambda: len(bench.provider.taken) == 1)


async def test_retry_after_pauses_the_whole_receiver(bench: Bench) -> None:
    bench.provider.script = [DeliveryError("busy", retry_after=30.0)]
    bench.start()
    await bench.apply(fires("a"))
    await eventually(lambda: [q.attempts for q in bench.queued()] == [1])
    started = bench.clock.now()
    await bench.apply(fires("b"))
    await bench.until(lambda: bench.clock.now() >= started + 29.0)
    assert len(bench.provider.attempts) == 1
    await bench.until(lambda: len(bench.provider.taken) == 2)
    assert bench.clock.now() >= started + 30.0


async def test_firing_is_delivered_before_resolved_however_often_it_fails_s6(bench: Bench) -> None:
    bench.provider.script = [DOWN, DOWN, DOWN]
    bench.start()
    await bench.apply(fires())
    await bench.apply(ends())
    await bench.until(lambda: bench.statuses() == ["delivered"])
    (message,) = bench.provider.taken
    assert [(a.status, a.labels["transfer"]) for a in message.alerts] == [
        ("firing", "0x01"),
        ("resolved", "0x01"),
    ]


async def test_one_slow_message_does_not_hold_up_those_of_other_keys(bench: Bench) -> None:
    bench.provider.on_hold["slow"] = asyncio.Event()
    bench.start()
    await bench.apply(fires("slow"), fires("b"), fires("c"))
    await eventually(lambda: len(bench.provider.taken) == 2)
    bench.provider.on_hold["slow"].set()
    await eventually(lambda: len(bench.provider.taken) == 3)
    assert [transfer for _, transfer in bench.provider.taken_transfers][-1] == "slow"


async def test_no_more_are_under_way_than_the_provider_allows_s10(bench: Bench) -> None:
    gate = asyncio.Event()
    bench.provider.capabilities = Capabilities(concurrency=2)
    for name in "abcd":
        bench.provider.on_hold[name] = gate
    bench.start()
    await bench.apply(*(fires(name) for name in "abcd"))
    await eventually(lambda: len(bench.provider.attempts) == 2)
    await asyncio.sleep(0.02)
    assert len(bench.provider.attempts) == 2
    gate.set()
    await eventually(lambda: len(bench.provider.taken) == 4)


async def test_a_long_queue_is_read_in_pages_s10(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    claim, found = claims.claim, list[int]()

    def counted(*args: Any) -> claims.Claim:
        page = claim(*args)
        found.append(len(page.found))
        return page

    monkeypatch.setattr(claims, "claim", counted)
    await bench.apply(*(fires(str(number)) for number in range(300)))
    bench.start()
    await bench.until(lambda: len(bench.provider.taken) == 300)
    assert 1 < max(found) <= 150


async def test_what_waits_behind_a_slow_message_says_whose_it_is_when_it_is_sent(bench: Bench) -> None:
    bench.provider.capabilities = Capabilities()
    bench.provider.on_hold["slow"] = asyncio.Event()
    bench.start()
    await bench.apply(fires("slow"), fires("b"))
    await eventually(lambda: len(bench.provider.attempts) == 1)
    alert_id = bench.queued()[1].payload.firing[0]
    taken = Acknowledgement(alert_id, "ann", bench.clock.now(), "", None, "P1", bench.clock.now())
    await bench.database.write(lambda c: acknowledgements.save(c, [taken]))
    bench.clock.advance(60.0)
    bench.provider.on_hold["slow"].set()
    await eventually(lambda: len(bench.provider.taken) == 2)
    assert [n.note for n in bench.provider.taken] == ["", "Acknowledged by ann: TransferOverdue."]


async def test_an_open_breaker_makes_one_probe_at_a_time_whatever_waits(bench: Bench) -> None:
    bench.provider.usual = DOWN
    bench.provider.capabilities = Capabilities()
    bench.start()
    await bench.apply(*(fires(f"{n}") for n in range(50)))
    started = bench.clock.now()
    await bench.until(lambda: bench.clock.now() >= started + 600.0)
    assert OPENS_AFTER < len(bench.provider.attempts) < 60
    bench.provider.usual = None
    await bench.until(lambda: len(bench.provider.taken) >= 50)


async def test_a_receiver_that_is_down_for_two_minutes_raises_an_alert_and_resolves_it_on_success(
    bench: Bench,
) -> None:
    bench.provider.usual = DOWN
    bench.start()
    await bench.apply(fires())
    started = bench.clock.now()
    await bench.until(lambda: len(bench.signals) == 1)
    assert 120 <= bench.clock.now() - started < 200
    assert dict(bench.signals[0].labels) == {
        "alertname": "ReceiverFailing",
        "receiver": "ops",
        "severity": "P1",
    }
    bench.provider.usual = None
    await bench.until(lambda: len(bench.signals) == 2)
    assert bench.signals[1].ends_at is not None


async def test_an_alert_about_the_receiver_from_before_a_restart_is_resolved_too(bench: Bench) -> None:
    bench.provider.usual = DOWN
    bench.start()
    await bench.apply(fires())
    await bench.until(lambda: len(bench.signals) == 1)
    await bench.stop()
    bench.provider.usual = None
    bench.start()
    await bench.until(lambda: len(bench.signals) == 2)
    assert bench.signals[1].starts_at == bench.signals[0].starts_at


async def test_what_cannot_be_delivered_in_time_is_visibly_dead_and_the_next_goes_on_s6(
    bench: Bench,
) -> None:
    bench.provider.usual = DOWN
    bench.start(give_up_after=300.0)
    await bench.apply(fires())
    await bench.until(lambda: bench.statuses() == ["dead"])
    assert bench.queued()[0].last_error == str(DOWN)
    assert "given up" in bench.signals[-1].annotations["description"]
    bench.provider.usual = None
    await bench.apply(ends())
    await bench.until(lambda: bench.statuses() == ["dead", "delivered"])


async def test_a_refusal_for_good_ends_after_a_handful_of_attempts(bench: Bench) -> None:
    bench.provider.usual = REFUSED
    bench.start()
    await bench.apply(fires())
    await bench.until(lambda: bench.statuses() == ["dead"])
    # fewer where time passes during the tries
    assert REFUSALS <= len(bench.provider.attempts) <= REFUSALS + 2
    assert bench.clock.now() - bench.queued()[0].created_at < 120


async def test_a_provider_that_breaks_counts_as_a_failure_and_names_no_secret_s9(bench: Bench) -> None:
    class Broken(ScriptedProvider):
        async def send(self, message: object) -> Receipt:
            raise KeyError("https://hooks.example/token")

    bench.provider = Broken()
    bench.start()
    await bench.apply(fires())
    await eventually(lambda: [q.attempts for q in bench.queued()] == [1])
    assert bench.queued()[0].last_error == "the provider broke: KeyError"


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError(),
        SystemExit(1),
        StopAsyncIteration(),
        MemoryError(),
        ExceptionGroup("x", [OSError()]),
    ],
)
async def test_no_error_of_any_class_in_a_provider_ends_its_queue(
    bench: Bench, error: BaseException
) -> None:  # S8
    bench.provider.script = [error]
    await bench.apply(fires())
    bench.start()
    await bench.until(lambda: bench.statuses() == ["delivered"])
    assert len(bench.provider.attempts) == 2


async def test_an_error_of_any_length_is_stored_and_logged_cut_short_s10(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.provider.script = [DeliveryError("x" * 10_000_000)]
    await bench.apply(fires())
    bench.start()
    await eventually(lambda: [q.attempts for q in bench.queued()] == [1])
    assert len(bench.queued()[0].last_error or "") < 2_000
    assert len(capsys.readouterr().out) < 4_000


async def test_a_message_that_cannot_be_rendered_is_given_up_soon_with_an_alert_and_holds_up_no_others(
    bench: Bench,
) -> None:  # S6
    class Picky(ScriptedProvider):
        def render(self, notification: Notification, previous: Receipt | None) -> Notification:
            if notification.alerts[0].labels["transfer"] == "odd":
                raise KeyError("token")
            return super().render(notification, previous)

    bench.provider = Picky()
    await bench.apply(fires("odd"), fires("a"), fires("b"))
    begun = bench.clock.now()
    bench.start()
    await bench.until(lambda: bench.statuses()[:3] == ["dead", "delivered", "delivered"])
    assert bench.clock.now() - begun < 60
    (failing,) = [one for one in bench.signals if one.ends_at is None]
    assert failing.labels["alertname"] == "ReceiverFailing"
    assert "cannot be rendered: KeyError" in failing.annotations["description"]
    assert "token" not in failing.annotations["description"]


async def test_a_delivery_that_never_ends_is_cut_off_and_made_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:  # S8
    monkeypatch.setattr(attempts, "SEND_WITHIN", 0.05)
    calls = 0

    class Hanging(ScriptedProvider):
        async def send(self, message: Notification) -> Receipt:
            nonlocal calls
            calls += 1
            if calls == 1:
                monkeypatch.setattr(attempts, "SEND_WITHIN", PATIENCE)
                await asyncio.Event().wait()
            return await super().send(message)

    bench.provider = Hanging()
    await bench.apply(fires("a"))
    bench.start()
    await bench.until(lambda: bench.statuses() == ["delivered"])
    assert bench.queued()[0].attempts == 2


@pytest.mark.parametrize("error", [RuntimeError("odd"), asyncio.CancelledError(), MemoryError()])
async def test_no_error_of_any_class_while_a_delivery_is_noted_holds_the_queue_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:  # S8
    mark, failures = outbox.mark_delivered, [error]

    def fail_once(connection: sa.Connection, **settings: Any) -> None:
        if failures:
            raise failures.pop()
        mark(connection, **settings)

    monkeypatch.setattr(outbox, "mark_delivered", fail_once)
    await bench.apply(fires("a"))
    bench.start()
    await bench.until(lambda: bench.statuses() == ["delivered"])
    await bench.apply(fires("b"))
    await bench.until(lambda: bench.statuses() == ["delivered", "delivered"])
    assert failures == []
    assert [q.attempts for q in bench.queued()] == [1, 1]


async def test_a_dropped_notification_is_not_sent(bench: Bench) -> None:
    bench.provider.script = [DOWN]
    bench.start()
    await bench.apply(fires())
    await eventually(lambda: [q.attempts for q in bench.queued()] == [1])
    with bench.database.transaction() as connection:
        assert outbox.drop(connection, bench.clock.now(), ids=[bench.queued()[0].id]) == 1
    bench.clock.advance(500)
    await asyncio.sleep(0.02)
    assert bench.statuses() == ["dropped"]
    assert len(bench.provider.attempts) == 1


async def test_another_process_may_have_a_dead_one_tried_again(bench: Bench) -> None:
    bench.provider.usual = REFUSED
    bench.start()
    await bench.apply(fires())
    await bench.until(lambda: bench.statuses() == ["dead"])
    bench.provider.usual = None
    with bench.database.transaction() as connection:
        assert outbox.retry(connection, bench.clock.now(), receiver="ops") == 1
    await bench.until(lambda: bench.statuses() == ["delivered"])


async def test_a_message_that_was_taken_is_not_sent_again_while_the_database_refuses(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, refusals = bench.database.write, 3

    async def refuse(job: Callable[[sa.Connection], object]) -> object:
        nonlocal refusals
        if bench.provider.taken and refusals:
            refusals -= 1
            raise StoreError("cannot write: the disk is full", transient=True)
        return await write(job)

    monkeypatch.setattr(bench.database, "write", refuse)
    bench.start()
    await bench.apply(fires())
    await bench.until(lambda: bench.statuses() == ["delivered"])
    assert refusals == 0
    assert len(bench.provider.attempts) == 1


async def test_stopping_waits_for_the_delivery_under_way(bench: Bench) -> None:
    gate = bench.provider.on_hold["0x01"] = asyncio.Event()
    bench.start()
    await bench.apply(fires())
    await eventually(lambda: len(bench.provider.attempts) == 1)
    stopped: Awaitable[None] = asyncio.create_task(bench.stop())
    await asyncio.sleep(0.01)
    gate.set()
    await stopped
    assert bench.statuses() == ["delivered"]


async def test_stopping_does_not_wait_for_a_receiver_that_hangs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "GRACE", 0.02)
    bench.provider.on_hold["0x01"] = asyncio.Event()
    bench.start()
    await bench.apply(fires())
    await eventually(lambda: len(bench.provider.attempts) == 1)
    await bench.stop()
    assert bench.statuses() == ["pending"]


async def test_a_worker_that_was_cut_off_can_be_run_again(bench: Bench) -> None:
    queue = bench.start()
    await bench.apply(*(fires(f"{n}") for n in range(9)))
    _, task = bench._running.pop()
    await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    bench._running.append((queue, asyncio.create_task(queue.run())))
    await eventually(lambda: bench.statuses() == ["delivered"] * 9)
    assert {transfer for _, transfer in bench.provider.taken_transfers} == {f"{n}" for n in range(9)}


async def test_a_receiver_that_is_back_gets_at_once_all_that_waited_for_it(bench: Bench) -> None:
    bench.provider.usual = DOWN
    bench.start()
    await bench.apply(*[fires(str(n)) for n in range(10)])
    began = bench.clock.now()
    await bench.until(lambda: bench.clock.now() >= began + 900)
    assert not bench.provider.taken
    bench.provider.usual = None
    began = bench.clock.now()
    await bench.until(lambda: len(bench.provider.taken) == 10)
    slack = (
        20 * queues.POLL
    )  # the clock goes on while results are stored; their own next tries are minutes away
    assert bench.clock.now() - began <= longest_open(900.0) + slack


@pytest.mark.parametrize("by_id", [True, False])
async def test_a_retry_by_a_person_is_tried_at_once_though_the_receiver_counts_as_down(
    bench: Bench, by_id: bool
) -> None:
    bench.provider.usual = DOWN
    queue = bench.start()
    await bench.apply(*[fires(str(n)) for n in range(10)])
    await bench.until(lambda: len(bench.provider.attempts) >= 10)  # by now it is tried every ten seconds
    await eventually(bench.all_is_noted)
    bench.provider.usual = None
    asked = bench.clock.now() + 1.0
    bench.clock.advance(1.0)
    with bench.database.transaction() as connection:
        ids = [queued.id for queued in outbox.list_notifications(connection)] if by_id else None
        outbox.retry(connection, asked, ids=ids, receiver=None if by_id else "ops")
    queue.wake()
    await eventually(lambda: len(bench.provider.taken) == 10)
    assert bench.clock.now() < asked + 1.0, "a signal takes a moment"


async def test_a_retry_by_a_person_ends_the_pause_that_a_receiver_asked_for(bench: Bench) -> None:
    bench.provider.script = [DeliveryError("busy", retry_after=600.0)]
    queue = bench.start()
    await bench.apply(fires("a"))
    await eventually(lambda: [q.attempts for q in bench.queued()] == [1])
    await bench.apply(fires("b"))
    bench.clock.advance(1.0)
    with bench.database.transaction() as connection:
        assert outbox.retry(connection, bench.clock.now(), receiver="ops") == 2
    queue.wake()
    await eventually(lambda: len(bench.provider.taken) == 2)


async def test_a_retry_by_a_person_ends_the_pause_that_the_provider_keeps_too(bench: Bench) -> None:
    class Paced(ScriptedProvider):
        def end_pause(self) -> None:
            self.usual = None

    bench.provider = Paced()
    bench.provider.usual = DeliveryError("the channel asked for a pause", retry_after=600.0)
    queue = bench.start()
    await bench.apply(fires())
    await eventually(lambda: [q.attempts for q in bench.queued()] == [1])
    bench.clock.advance(1.0)
    with bench.database.transaction() as connection:
        outbox.retry(connection, bench.clock.now(), receiver="ops")
    queue.wake()
    await eventually(lambda: bench.statuses() == ["delivered"])


async def test_one_retry_lifts_one_time_only(bench: Bench) -> None:
    bench.provider.usual = DOWN
    queue = bench.start()
    await bench.apply(*[fires(str(n)) for n in range(10)])
    await bench.until(lambda: len(bench.provider.attempts) >= 10)
    await eventually(bench.all_is_noted)
    bench.clock.advance(1.0)
    with bench.database.transaction() as connection:
        outbox.retry(connection, bench.clock.now(), receiver="ops")
    before = len(bench.provider.attempts)
    queue.wake()
    await eventually(lambda: len(bench.provider.attempts) == before + OPENS_AFTER)
    for _ in range(3):  # the next probe is further away
        bench.clock.advance(MIND_EVERY)
        queue.wake()
        await asyncio.sleep(0.01)
    assert len(bench.provider.attempts) == before + OPENS_AFTER


async def test_a_dead_notification_comes_back_by_retry(bench: Bench) -> None:
    bench.provider.usual = DeliveryError("no such channel", permanent=True)
    bench.start()
    await bench.apply(fires())
    await bench.until(lambda: bench.statuses()[:1] == ["dead"])
    bench.provider.usual = None
    with bench.database.transaction() as connection:
        assert outbox.retry(connection, bench.clock.now(), ids=[1]) == 1
    await bench.until(lambda: bench.statuses()[:1] == ["delivered"])


async def test_after_a_restart_one_try_is_enough_to_find_a_receiver_still_down(bench: Bench) -> None:
    bench.provider.usual = DOWN
    bench.start()
    await bench.apply(*[fires(str(n)) for n in range(20)])
    await bench.until(lambda: len(bench.provider.attempts) == OPENS_AFTER)
    await bench.stop()
    before = len(bench.provider.attempts)
    bench.start()
    await eventually(lambda: len(bench.provider.attempts) > before)
    await asyncio.sleep(0.05)
    assert len(bench.provider.attempts) == before + 1
    bench.provider.usual = None
    await bench.until(lambda: len(bench.provider.taken) == 20)


async def test_a_restart_in_a_pause_that_a_receiver_asked_for_makes_one_try_of_what_waits(
    bench: Bench,
) -> None:
    busy = DeliveryError("busy", retry_after=600.0)
    bench.provider.usual = busy
    bench.start()
    await bench.apply(fires("a"))
    await eventually(lambda: [q.attempts for q in bench.queued()] == [1])
    await bench.stop()
    await bench.apply(*[fires(str(n)) for n in range(20)])
    bench.start()
    await eventually(lambda: len(bench.provider.attempts) == 2)
    await asyncio.sleep(0.05)
    assert len(bench.provider.attempts) == 2


async def test_a_receiver_that_was_down_for_forty_seconds_hears_within_ten(bench: Bench) -> None:
    bench.provider.usual = DOWN
    bench.start()
    await bench.apply(fires())
    began = bench.clock.now()
    await bench.until(lambda: bench.clock.now() >= began + 30)
    assert len(bench.provider.attempts) <= 11  # the clock may be past it by now
    await bench.until(lambda: bench.clock.now() >= began + 40)
    bench.provider.usual = None
    back = bench.clock.now()
    await bench.until(lambda: bool(bench.provider.taken))
    slack = 4 * queues.POLL  # the clock may go on while a result is being stored
    assert bench.clock.now() - back <= 10 + slack


async def test_one_message_that_is_refused_for_what_it_says_holds_up_no_others(bench: Bench) -> None:
    send = bench.provider.send

    async def refusing(message: Any) -> Receipt:
        bench.provider.usual = DOWN if message.alerts[0].labels["transfer"] == "bad" else None
        return await send(message)

    bench.provider.send = refusing  # type: ignore[method-assign]
    bench.provider.capabilities = Capabilities()
    bench.start()
    await bench.apply(fires("bad"))
    await bench.until(lambda: len(bench.provider.attempts) >= OPENS_AFTER)
    await bench.apply(*(fires(f"{n}") for n in range(3)))
    began = bench.clock.now()
    await bench.until(lambda: len(bench.provider.taken) == 3)
    assert bench.clock.now() - began < 30


@pytest.mark.parametrize("error", [DOWN, DeliveryError("busy", retry_after=600.0)])
async def test_what_is_shown_as_the_next_attempt_is_when_the_next_is_made(
    bench: Bench, error: DeliveryError
) -> None:
    bench.provider.usual = error
    bench.provider.capabilities = Capabilities()
    bench.start()
    began = bench.clock.now()
    await bench.apply(*(fires(f"{n}") for n in range(3)))
    await bench.until(lambda: bench.clock.now() > began + 60)
    made = len(bench.provider.attempts)
    await bench.until(lambda: len(bench.provider.attempts) > made)
    await eventually(bench.all_is_noted)
    made = len(bench.provider.attempts)
    with bench.database.reading() as connection:
        shown = outbox.next_attempts(connection, outbox.list_notifications(connection))
    assert len(shown) == 3
    assert min(shown.values()) > bench.clock.now()
    bench.clock.advance(min(shown.values()) - bench.clock.now() - 0.5)
    await asyncio.sleep(0.05)
    assert len(bench.provider.attempts) == made
    bench.provider.usual = None
    bench.clock.advance(0.6)
    await eventually(lambda: len(bench.provider.attempts) > made)
    await bench.until(lambda: len(bench.provider.taken) == 3)
    await eventually(bench.all_is_noted)
    with bench.database.reading() as connection:
        assert connection.execute(sa.select(receiver_pauses)).all() == []
