"""Tasks that go on: crashes are reported once, restarted with growing pauses, and stop nobody else (S8)."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from chainwatch.model import Signal
from chainwatch.support import supervise
from chainwatch.support.supervise import TASK_FAILED, Supervisor
from tests.support.waiting import eventually

NOW = 1_700_000_000

Run = Callable[[], Coroutine[Any, Any, None]]


class NotifiedAlert:
    """Takes the signals; refuses while ``refuses`` is set."""

    def __init__(self) -> None:
        self.signals: list[Signal] = []
        self.refuses = False

    async def __call__(self, signals: Sequence[Signal]) -> None:
        if self.refuses:
            raise OSError("the disk is gone")
        self.signals += signals

    @property
    def short(self) -> list[tuple[str, bool, str]]:
        return [(s.labels["task"], s.ends_at is not None, s.reason) for s in self.signals]


@pytest.fixture
def notified() -> NotifiedAlert:
    return NotifiedAlert()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(supervise, "LONGEST_PAUSE", 0.004)


@asynccontextmanager
async def supervising(notified: NotifiedAlert) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(notified, lambda: NOW)
    yield supervisor
    await supervisor.stop(1.0, first=lambda _: True)


def failing(times: int, error: BaseException) -> Run:
    """A task that fails so often, then goes on for ever."""
    left = times

    async def run() -> None:
        nonlocal left
        if left:
            left -= 1
            raise error
        await forever()

    return run


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_crash_is_restarted_reported_once_and_stops_no_other_task(
    notified: NotifiedAlert,
) -> None:  # S8
    turns = 0

    async def healthy() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    run = failing(5, ValueError("bad"))
    async with supervising(notified) as supervisor:
        supervisor.start("healthy", healthy)
        supervisor.start("sick", run)
        await eventually(lambda: supervisor.crashes.get("sick") == 5)
        before = turns
        await eventually(lambda: turns > before)
    assert notified.short == [("sick", False, "")]
    (signal,) = notified.signals
    assert signal.labels == {"alertname": TASK_FAILED, "task": "sick", "severity": "P1"}
    assert signal.starts_at == NOW


async def test_the_alert_does_not_repeat_what_the_error_says(notified: NotifiedAlert) -> None:  # S9
    async with supervising(notified) as supervisor:
        supervisor.start("sick", failing(1, ValueError("https://node/5ecret")))
        await eventually(lambda: bool(notified.signals))
    said = notified.signals[0].annotations["description"]
    assert "5ecret" not in said
    assert "ValueError in test_supervise.py, line" in said


async def test_the_alert_ends_once_the_task_has_run_for_long_enough(
    notified: NotifiedAlert, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "HEALTHY_AFTER", 0.02)
    async with supervising(notified) as supervisor:
        supervisor.start("sick", failing(1, ValueError()))
        await eventually(lambda: len(notified.signals) == 2)
    assert notified.short == [("sick", False, ""), ("sick", True, "runs again")]
    assert notified.signals[1].ends_at == NOW


async def test_pauses_grow_and_begin_anew_after_health(
    notified: NotifiedAlert, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "FIRST_PAUSE", 1.0)
    monkeypatch.setattr(supervise, "LONGEST_PAUSE", 60.0)
    monkeypatch.setattr("chainwatch.support.supervise.random.uniform", lambda _low, high: high)
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        if seconds == supervise.HEALTHY_AFTER:
            await asyncio.Event().wait()  # not in this test
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", note)
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 9:
            monkeypatch.setattr(supervise, "HEALTHY_AFTER", 0.0)
        if runs < 11:
            raise ValueError
        await forever()

    async with supervising(notified) as supervisor:
        supervisor.start("sick", run)
        while runs < 11:
            await sleep(0)
    assert pauses[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert 1 in pauses[8:]


async def test_a_lasting_crash_is_one_traceback_and_short_lines(notified: NotifiedAlert) -> None:  # S10
    with capture_logs() as lines:
        async with supervising(notified) as supervisor:
            supervisor.start("sick", failing(20, ValueError("same")))
            await eventually(lambda: supervisor.crashes.get("sick") == 20)
    crashes = [line for line in lines if line["event"].startswith("a task crashed")]
    assert sum("Traceback" in line.get("exception", "") for line in crashes) == 1
    assert crashes[-1]["error"] == "ValueError: same"


async def test_a_crash_that_could_not_be_reported_is_reported_at_the_next_one(
    notified: NotifiedAlert,
) -> None:
    notified.refuses = True

    async def run() -> None:
        if supervisor.crashes.get("sick", 0) == 3:
            notified.refuses = False
        raise ValueError

    async with supervising(notified) as supervisor:
        supervisor.start("sick", run)
        await eventually(lambda: bool(notified.signals))
    assert notified.short == [("sick", False, "")]


async def test_a_cancellation_from_within_is_a_crash_and_not_the_end(notified: NotifiedAlert) -> None:  # S8
    async with supervising(notified) as supervisor:
        supervisor.start("sick", failing(1, asyncio.CancelledError()))
        await eventually(lambda: bool(notified.signals))
    assert notified.short == [("sick", False, "")]


async def test_a_crash_after_a_failed_task_group_is_a_crash_and_not_the_end(
    notified: NotifiedAlert,
) -> None:  # S8
    """Up to Python 3.12 a group whose child failed leaves its parent with a cancellation on the count."""

    async def fail_later() -> None:
        await asyncio.sleep(0)
        raise OSError("HTTP 500")

    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        with contextlib.suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(fail_later())
        if runs < 3:
            raise ValueError("something else, later")
        await forever()

    async with supervising(notified) as supervisor:
        supervisor.start("network", run)
        await eventually(lambda: runs == 3)
    assert notified.short == [("network", False, "")]


async def test_who_cancels_itself_crashes(notified: NotifiedAlert) -> None:
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        await forever()

    async with supervising(notified) as supervisor:
        supervisor.start("confused", run)
        await eventually(lambda: runs == 2)
    assert notified.short == [("confused", False, "")]


class Unspeakable(Exception):
    """Cannot even be printed."""

    def __str__(self) -> str:
        raise RecursionError

    __repr__ = __str__


class OutOfPlace(BaseException):
    """Of no usual kind."""


def deep() -> BaseException:
    """An error with a thousand frames."""

    def fall() -> None:
        fall()

    try:
        fall()
    except RecursionError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    "error",
    [
        Unspeakable(),
        OutOfPlace(),
        KeyboardInterrupt(),
        SystemExit(1),
        GeneratorExit(),
        MemoryError(),
        StopIteration(),
        StopAsyncIteration(),
        BaseExceptionGroup("many", [OutOfPlace(), asyncio.CancelledError()]),
        deep(),
        ValueError("x" * 10_000_000),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "\udcff"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_no_error_of_any_class_ends_a_task(
    notified: NotifiedAlert, error: BaseException
) -> None:  # S8, S10
    with capture_logs() as lines:
        async with supervising(notified) as supervisor:
            supervisor.start("sick", failing(2, error))
            await eventually(lambda: supervisor.crashes.get("sick") == 2)
    assert notified.short == [("sick", False, "")]
    crashes = [line for line in lines if line["event"].startswith("a task crashed")]
    assert len(crashes) == 2
    assert all(len(str(line)) < 25_000 for line in crashes)


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), SystemExit(1), OutOfPlace(), Unspeakable(), MemoryError()]
)
async def test_no_error_in_reporting_of_a_crash_ends_a_task(error: BaseException) -> None:  # S8
    async def report(_signals: Sequence[Signal]) -> None:
        raise error

    supervisor = Supervisor(report, lambda: NOW)
    supervisor.start("sick", failing(3, ValueError()))
    await eventually(lambda: supervisor.crashes.get("sick") == 3)
    await supervisor.stop(1.0, first=lambda _: True)


async def test_a_log_that_cannot_be_written_ends_no_task(
    notified: NotifiedAlert, monkeypatch: pytest.MonkeyPatch
) -> None:  # S8
    class Full:
        def error(self, *_: object, **__: object) -> None:
            raise OSError("no space left on device")

        info = warning = error

    monkeypatch.setattr(supervise, "_log", Full())
    async with supervising(notified) as supervisor:
        supervisor.start("sick", failing(3, ValueError()))
        await eventually(lambda: supervisor.crashes.get("sick") == 3)
    assert notified.short == [("sick", False, "")]


async def test_the_end_of_an_alert_is_reported_once_the_store_takes_it(
    notified: NotifiedAlert, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "HEALTHY_AFTER", 0.02)
    async with supervising(notified) as supervisor:
        supervisor.start("sick", failing(1, ValueError()))
        await eventually(lambda: len(notified.signals) == 1)
        notified.refuses = True
        await asyncio.sleep(0.05)
        notified.refuses = False
        await eventually(lambda: len(notified.signals) == 2)
    assert notified.short[1] == ("sick", True, "runs again")


async def test_a_task_that_swallows_its_cancellation_is_stopped_all_the_same(
    notified: NotifiedAlert, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "CANCEL_AGAIN", 0.01)
    swallowed = 0

    async def run() -> None:
        nonlocal swallowed
        while swallowed < 2:
            try:
                await forever()
            except asyncio.CancelledError:
                swallowed += 1
        await forever()

    supervisor = Supervisor(notified, time.time)
    supervisor.start("deaf", run)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await supervisor.stop(1.0, first=lambda _: True)
    assert swallowed == 2
    assert notified.signals == []


async def test_a_task_that_was_asked_to_end_and_fails_is_not_restarted(notified: NotifiedAlert) -> None:
    runs = 0
    asked = asyncio.Event()

    async def run() -> None:
        nonlocal runs
        runs += 1
        await asked.wait()
        raise ValueError("closing failed")

    supervisor = Supervisor(notified, time.time)
    supervisor.start("sick", run)
    await asyncio.sleep(0.01)
    asyncio.get_running_loop().call_later(0.01, asked.set)
    await supervisor.finish("sick", 1.0)
    assert runs == 1
    assert notified.signals == []


async def test_a_task_that_returns_has_ended_and_so_has_its_alert(notified: NotifiedAlert) -> None:
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ValueError

    async with supervising(notified) as supervisor:
        supervisor.start("sick", run)
        await eventually(lambda: len(notified.signals) == 2)
        await asyncio.sleep(0.01)
    assert runs == 2
    assert notified.short[1] == ("sick", True, "has ended")


async def test_alerts_from_before_end_with_health_or_with_their_task(
    notified: NotifiedAlert, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "HEALTHY_AFTER", 0.02)
    before = [
        Signal({"alertname": TASK_FAILED, "task": task, "severity": "P1"}, 5, {"summary": "as told"})
        for task in ("here", "gone")
    ]
    async with supervising(notified) as supervisor:
        supervisor.start("here", forever)
        await supervisor.remember(before)
        assert notified.short == [("gone", True, "there is no such task any more")]
        await eventually(lambda: len(notified.signals) == 2)
    assert notified.short[1] == ("here", True, "runs again")
    assert notified.signals[1].starts_at == 5
    assert notified.signals[1].annotations == {"summary": "as told"}


async def test_stopping_cancels_some_at_once_and_gives_the_others_time(notified: NotifiedAlert) -> None:
    ended: list[str] = []

    def task(name: str, seconds: float) -> Run:
        async def run() -> None:
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                ended.append(f"{name} cut short")
                raise
            ended.append(f"{name} done")

        return run

    supervisor = Supervisor(notified, time.time)
    supervisor.start("now", task("now", 60))
    supervisor.start("soon", task("soon", 0.02))
    supervisor.start("never", task("never", 60))
    await asyncio.sleep(0)
    start = time.monotonic()
    await supervisor.stop(0.1, first=lambda name: name == "now")
    assert time.monotonic() - start < 30
    assert ended == ["now cut short", "soon done", "never cut short"]


async def test_a_task_that_fails_while_it_is_stopped_is_not_restarted(notified: NotifiedAlert) -> None:
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError("closing failed")

    supervisor = Supervisor(notified, time.time)
    supervisor.start("sick", run)
    await asyncio.sleep(0)
    await supervisor.stop(1.0, first=lambda _: True)
    assert runs == 1
    assert notified.signals == []
