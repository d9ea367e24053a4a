"""chainwatch's alerting as a library, on real databases and a real webhook."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch import AlertManager, Severity
from chainwatch.alerting.delivery.notification import Notification
from chainwatch.config import ConfigError, read_dict
from chainwatch.operations import alert_actions
from chainwatch.operations.context import Access, Context
from chainwatch.plan import make_plan
from chainwatch.store.alerting import alert_tables
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from tests.support.notified import notified
from tests.support.pages import ROOT, blocks
from tests.support.receiver import Receiver
from tests.support.waiting import PATIENCE

PATIENT = [
    {"match": {"alertname": "Pending"}, "for": "1h"},
    {"match": {"severity": "P2"}, "keep_firing_for": "1h"},
]
WATCHED: dict[str, Any] = {
    "networks": {"n": {"chain_id": 1, "rpc": ["http://127.0.0.1:1"]}},
    "receivers": {"ops": {"provider": "console"}},
    "routes": [{"receivers": ["ops"]}],
}
AT_ONCE: dict[str, Any] = {"group_by": ["..."], "group_wait": "0s", "group_interval": "50ms"}


def config(hook: Receiver, url: str | None = None, **route: Any) -> dict[str, Any]:
    """A webhook that hears of everything at once."""
    return {
        "store": {} if url is None else {"url": url},
        "receivers": {"hook": {"provider": "webhook", "url": hook.url, "allow_private": True}},
        "routes": [{"receivers": ["hook"], **AT_ONCE, **route}],
    }


def until(condition: Callable[[], object], timeout: float = PATIENCE) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.01)


def names(received: list[Notification]) -> list[tuple[str, str]]:
    return [(alert.status, alert.name) for notification in received for alert in notification.alerts]


def test_importing_the_package_imports_no_part_of_it() -> None:
    code = "import sys, chainwatch; print([m for m in sys.modules if m.startswith('chainwatch.')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_library_needs_no_web3() -> None:
    code = "import sys; from chainwatch import AlertManager; print('web3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


async def test_an_alert_fires_and_resolves_on_the_webhook(database_url: str) -> None:
    async with Receiver() as hook, AlertManager.from_config(config(hook, database_url)) as alerts:
        print_ = await alerts.send_alert_async(
            Severity.HIGH, "payments", "QueueStuck", "no progress", {"depth": 12}
        )
        await hook.wait_for(1)
        assert await alerts.resolve_async(print_, "restarted")
        await hook.wait_for(2)
        assert not await alerts.resolve_async(print_)
        first, second = notified(hook.requests)
    assert (first.status, second.status) == ("firing", "resolved")
    assert first.labels == {"alertname": "QueueStuck", "source": "payments", "severity": "P1"}
    assert first.annotations == {"summary": "QueueStuck", "description": "no progress", "depth": "12"}


def test_in_memory_a_send_returns_at_once_and_is_seen_by_the_next_look() -> None:
    with AlertManager.from_config({}) as alerts:
        taken = []
        for number in range(200):
            begun = time.perf_counter()
            alerts.send_alert("low", "test", f"Alert{number}")
            taken.append(time.perf_counter() - begun)
        assert len(alerts.get_recent_alerts(5)) == 200
    assert sorted(taken)[100] < 0.01


def test_recent_alerts_and_counts_are_reported_by_severity() -> None:
    with AlertManager.from_config({}) as alerts:
        alerts.send_alert(Severity.CRITICAL, "test", "Down")
        print_ = alerts.send_alert("warning", "test", "Slow")
        alerts.resolve(print_)
        assert [alert.name for alert in alerts.get_recent_alerts(5, "critical")] == ["Down"]
        stats = alerts.get_alert_stats()
    assert stats["total"] == 2
    assert stats["by_state"] == {"firing": 1, "resolved": 1}
    assert stats["by_severity"] == {"P0": 1, "P2": 1}


def test_an_alert_that_is_not_sent_again_ends_by_itself() -> None:
    received: list[Notification] = []
    with AlertManager.from_config({}, resolve_timeout=1.0) as alerts:
        alerts.register_receiver("me", received.append, **AT_ONCE)
        alerts.submit([{"labels": {"alertname": "Down"}}])
        until(lambda: names(received) == [("firing", "Down"), ("resolved", "Down")])
        (alert,) = alerts.get_recent_alerts(5)
    assert (alert.state, alert.reason) == ("resolved", "not sent again")


def test_an_alert_that_is_sent_again_goes_on() -> None:
    resolves_after = 2.0
    with AlertManager.from_config({}, resolve_timeout=resolves_after) as alerts:
        began = sent = time.monotonic()
        while time.monotonic() < began + 1.5 * resolves_after:
            alerts.submit([{"labels": {"alertname": "Down"}}])
            if time.monotonic() > sent + resolves_after / 2:  # the machine stood still: it may have ended
                began = time.monotonic()
            sent = time.monotonic()
            time.sleep(0.1)
        newest = max(alerts.get_recent_alerts(5), key=lambda alert: alert.starts_at)
    assert newest.state == "firing"
    assert newest.starts_at < time.time() - resolves_after


def test_the_same_alert_twice_in_one_batch_is_one_alert() -> None:
    now = time.time()
    started, ended = round(now - 60.25, 3), round(now - 1.5, 3)
    labels = {"alertname": "Down"}
    with AlertManager.from_config({}) as alerts:
        alerts.submit([{"labels": labels, "startsAt": started}, {"labels": labels, "endsAt": ended}])
        (alert,) = alerts.get_recent_alerts(5)
    assert (alert.state, alert.starts_at, alert.ends_at) == ("resolved", started, ended)


def test_a_batch_with_a_wrong_alert_is_refused_whole() -> None:
    with AlertManager.from_config({}) as alerts:
        with pytest.raises(ValueError, match="alert 1"):
            alerts.submit([{"labels": {"alertname": "Down"}}, {"labels": {}}])
        assert alerts.get_alert_stats()["total"] == 0


def test_functions_plain_and_async_hear_of_what_their_routes_take() -> None:
    received: list[Notification] = []
    heard_async: list[Notification] = []

    async def hear(notification: Notification) -> None:
        await asyncio.sleep(0)
        heard_async.append(notification)

    with AlertManager.from_config({}) as alerts:
        alerts.register_receiver("all", received.append, **AT_ONCE)
        alerts.register_receiver("worst", hear, match={"severity": "critical"}, **AT_ONCE)
        alerts.send_alert("critical", "test", "Down")
        alerts.send_alert("low", "test", "Slow")
    assert sorted(names(received)) == [("firing", "Down"), ("firing", "Slow")]
    assert names(heard_async) == [("firing", "Down")]


def test_a_function_that_raises_is_called_again() -> None:
    calls = []

    def hear(notification: Notification) -> None:
        calls.append(notification.idempotency_key)
        if len(calls) == 1:
            raise RuntimeError

    with AlertManager.from_config({}) as alerts:
        alerts.register_receiver("me", hear, **AT_ONCE)
        alerts.send_alert("high", "test", "Down")
    assert len(calls) == 2
    assert len(set(calls)) == 1


def test_a_name_in_use_and_wrong_settings_are_refused() -> None:
    with AlertManager.from_config({}) as alerts:
        alerts.register_receiver("me", print)
        with pytest.raises(ValueError, match="already"):
            alerts.register_receiver("me", print)
        with pytest.raises(ConfigError, match="provider"):
            alerts.register_receiver("you", {"url": "https://example.org"})
        with pytest.raises(ConfigError, match="group_weight"):
            alerts.register_receiver("him", print, group_weight="5s")


def test_what_is_no_receiver_and_a_silence_of_everything_are_refused() -> None:
    with AlertManager.from_config({}) as alerts:
        with pytest.raises(ValueError, match="me: expected a function or settings, found NoneType"):
            alerts.register_receiver("me", None)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="every alert"):
            alerts.add_silence({}, time.time() + 60)


def by_the_library(alerts: AlertManager, url: str, print_: str) -> bool:
    return alerts.resolve(print_, "done")


def by_a_command(alerts: AlertManager, url: str, print_: str) -> bool:
    """As another process does it."""
    plan = make_plan(read_dict({**WATCHED, "store": {"url": url}, "lifecycle": PATIENT}))
    (alert,) = (a for a in alerts.get_recent_alerts() if a.fingerprint == print_)
    with closing(Database.open(url, create=False)) as database:
        with database.reading() as connection:
            context = Context.of(plan, connection)
        return Access(database, context).write(alert_actions.resolve, [alert.id], "ann", "done").done == [
            alert.id
        ]


@pytest.mark.parametrize("resolve", [by_the_library, by_a_command])
def test_who_resolves_an_alert_ends_it_at_once_whatever_would_keep_it(
    database_url: str, resolve: Callable[[AlertManager, str, str], bool]
) -> None:
    """One that would be kept firing, one that is kept already, and one that is pending."""
    ended = {"labels": {"alertname": "Kept", "severity": "P2"}, "ends_at": time.time() - 1}
    with AlertManager.from_config({"store": {"url": database_url}, "lifecycle": PATIENT}) as alerts:
        prints = alerts.submit(
            [{"labels": {"alertname": n, "severity": "P2"}} for n in ("Firing", "Kept", "Pending")]
        )
        alerts.submit([ended])
        assert [a.state for a in alerts.get_recent_alerts()] == ["pending", "firing", "firing"]

        assert [resolve(alerts, database_url, print_) for print_ in prints] == [True] * 3
        assert not alerts.resolve(prints[0])

        assert {(a.state, "done" in a.reason) for a in alerts.get_recent_alerts()} == {("resolved", True)}
        with closing(Database.open(database_url)) as database, database.reading() as connection:
            for table in (alert_tables.alert_expiries, alert_tables.alert_timers):
                assert connection.execute(sa.select(table)).all() == []


@pytest.mark.parametrize("resolve_timeout", [0, -5, float("nan"), "0s"])
def test_a_time_out_that_is_none_is_refused(resolve_timeout: float | str) -> None:
    with pytest.raises(ValueError, match="resolve_timeout"):
        AlertManager.from_config({}, resolve_timeout=resolve_timeout)


class Refusing:
    """Raises whenever it is to be text."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error


@dataclass(repr=False)
class Linked:
    """Nested by its field."""

    inner: object


def nested(make: Callable[[Any], Any], depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = make(value)
    return value


def within_itself() -> list[Any]:
    value: list[Any] = []
    value.append({"again": value})
    return value


@pytest.mark.parametrize(
    "value",
    [
        within_itself(),
        nested(lambda inner: [inner], 100_000),
        nested(lambda inner: {"a": inner}, 100_000),
        nested(lambda inner: deque([inner]), 100_000),
        nested(Linked, 100_000),
        nested(lambda inner: [inner, inner], 50),
        Refusing(SystemError("no")),
        Refusing(RecursionError()),
        [Refusing(KeyError("x"))],
        Refusing(Refusing(ValueError()).error),
        10**5000,
        ["\ud800"],
        "\ud800",
    ],
    ids=lambda value: type(value).__name__,
)
def test_metadata_that_cannot_be_written_is_refused_by_name_and_nothing_is_taken(value: object) -> None:
    with AlertManager.from_config({}) as alerts:
        with pytest.raises(ValueError, match="'where'"):
            alerts.send_alert("high", "test", "Down", metadata={"fine": 1, "where": value})
        assert alerts.get_recent_alerts() == []
        alerts.send_alert("high", "test", "Down")
        assert len(alerts.get_recent_alerts()) == 1


def test_deep_metadata_ends_no_process_whose_recursion_limit_was_raised() -> None:
    script = """
import sys
from chainwatch import AlertManager
sys.setrecursionlimit(1_000_000)
deep = {}
for _ in range(900_000):
    deep = {"a": deep}
with AlertManager.from_config({}) as alerts:
    try:
        alerts.send_alert("high", "test", "Down", metadata={"where": deep})
    except ValueError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "metadata: 'where': too large, nested too deep, or within itself\n", done.stderr


def test_metadata_of_any_kind_is_kept_as_readable_text() -> None:
    metadata = {
        "amount": 10**30,
        "tx": bytes.fromhex("00ff"),
        "price": Decimal("1.50"),
        "when": datetime(2026, 1, 31, tzinfo=UTC),
        "path": ["a", 1],
        7: None,
    }
    with AlertManager.from_config({}) as alerts:
        alerts.send_alert("high", "test", "Down", metadata=metadata)  # type: ignore[arg-type]
        (alert,) = alerts.get_recent_alerts()
    assert alert.annotations == {
        "summary": "Down",
        "description": "",
        "amount": str(10**30),
        "tx": "0x00ff",
        "price": "1.50",
        "when": "2026-01-31T00:00:00Z",
        "path": '["a",1]',
        "7": "null",
    }


def test_after_its_end_every_method_says_so() -> None:
    alerts = AlertManager.from_config({})
    alerts.close()
    for call in (
        lambda: alerts.register_receiver("me", print),
        lambda: alerts.reload({}),
        lambda: alerts.send_alert("high", "test", "Down"),
        lambda: alerts.resolve("x"),
        alerts.get_recent_alerts,
    ):
        with pytest.raises(StoreError, match="closed"):
            call()


def test_a_function_may_send_alerts_itself() -> None:
    received: list[Notification] = []
    with AlertManager.from_config({}) as alerts:

        async def hear(notification: Notification) -> None:
            if not received:
                alerts.send_alert("low", "receiver", "Heard")
            received.append(notification)

        alerts.register_receiver("me", hear, **AT_ONCE)
        alerts.send_alert("high", "test", "Down")
        until(lambda: len(received) == 2)
    assert names(received) == [("firing", "Down"), ("firing", "Heard")]


def test_a_coroutine_that_would_wait_for_itself_is_reported_so() -> None:
    refused: list[str] = []
    with AlertManager.from_config({}) as alerts:

        async def meddle(_: Notification) -> None:
            for act in (
                alerts.close,
                lambda: alerts.reload({}),
                lambda: alerts.register_receiver("x", lambda _: None),
            ):
                try:
                    act()
                except RuntimeError as error:
                    refused.append(str(error))
            await alerts.reload_async({})

        alerts.register_receiver("me", meddle, group_wait="0s")
        alerts.send_alert("critical", "payments", "Down")
        until(lambda: alerts.get_alert_stats()["notifications"].get("delivered") == 1)
    assert len(refused) == 3
    assert all("asyncio.to_thread" in said for said in refused)


def test_close_reports_what_waits_for_its_group() -> None:
    received: list[Notification] = []
    alerts = AlertManager.from_config({})
    alerts.register_receiver("me", received.append, group_wait="1h")
    alerts.send_alert("high", "test", "Down")
    assert alerts.close()
    assert names(received) == [("firing", "Down")]


def test_close_also_delivers_what_is_sent_meanwhile() -> None:
    received: list[Notification] = []
    hearing, go_on = threading.Event(), threading.Event()
    answers: list[bool] = []

    def hear(notification: Notification) -> None:
        received.append(notification)
        hearing.set()
        go_on.wait(PATIENCE)

    alerts = AlertManager.from_config({})
    alerts.register_receiver("me", hear, group_by=["..."], group_wait="1h")
    alerts.send_alert("high", "test", "First")
    ending = threading.Thread(target=lambda: answers.append(alerts.close()))
    ending.start()
    assert hearing.wait(PATIENCE)
    alerts.send_alert("high", "test", "Second")
    go_on.set()
    ending.join()
    assert (answers, names(received)) == ([True], [("firing", "First"), ("firing", "Second")])
    with pytest.raises(StoreError):
        alerts.send_alert("high", "test", "Third")


def test_every_close_says_whether_everything_was_reported() -> None:
    def hear(_: Notification) -> None:
        raise RuntimeError

    alerts = AlertManager.from_config({})
    alerts.register_receiver("me", hear, **AT_ONCE)
    alerts.send_alert("high", "test", "Down")
    assert [alerts.close(0.1), alerts.close()] == [False, False]


async def test_what_ended_by_itself_while_nothing_ran_is_not_reported_as_firing_again(tmp_path: Path) -> None:
    async with Receiver() as hook:
        settings = config(hook, f"sqlite:///{tmp_path}/alerts.db", repeat_interval="1s")
        async with AlertManager.from_config(settings) as alerts:
            ends_at = time.time() + 4
            await alerts.submit_async([{"labels": {"alertname": "Down"}, "endsAt": ends_at}])
            await hook.wait_for(1)
            await alerts.close_async(0)
        before = len(hook.requests)
        await asyncio.sleep(max(0.0, ends_at - time.time()))
        async with AlertManager.from_config(settings):
            await hook.wait_for(before + 1)
        assert [a.status for a in notified(hook.requests[before:])] == ["resolved"]


def test_close_without_time_hastens_nothing(tmp_path: Path) -> None:
    settings = {"store": {"url": f"sqlite:///{tmp_path}/alerts.db"}}
    received: list[Notification] = []
    alerts = AlertManager.from_config(settings)
    alerts.register_receiver("me", received.append, group_wait="1h")
    alerts.send_alert("high", "test", "Down")
    assert alerts.close(0)
    assert not received


def test_a_reload_keeps_what_is_registered() -> None:
    received: list[Notification] = []
    with AlertManager.from_config({}) as alerts:
        alerts.register_receiver("me", received.append, **AT_ONCE)
        alerts.send_alert("high", "test", "Down")
        until(lambda: len(received) == 1)
        alerts.reload({"intervals": {"night": {"times": ["22:00-07:00"]}}})
        alerts.send_alert("high", "test", "Slow")
        until(lambda: len(received) == 2)
    assert names(received) == [("firing", "Down"), ("firing", "Slow")]


async def test_a_reload_moves_what_fires_to_a_new_receiver_and_ends_the_old_queue() -> None:
    async with Receiver() as old, Receiver() as new, AlertManager.from_config(config(old)) as alerts:
        await alerts.send_alert_async("high", "test", "Down")
        await old.wait_for(1)
        await alerts.reload_async(config(new))
        print_ = await alerts.send_alert_async("high", "test", "Slow")
        await new.wait_for(1)
        await alerts.resolve_async(print_)
        await new.wait_for(2)
        assert [(a.status, a.name) for a in notified(new.requests)] == [
            ("firing", "Slow"),
            ("resolved", "Slow"),
        ]
        assert [(a.status, a.name) for a in notified(old.requests)] == [("firing", "Down")]


async def test_a_reload_reports_a_receiver_that_is_new_of_what_fires() -> None:
    async with Receiver() as hook, AlertManager.from_config({}) as alerts:
        await alerts.send_alert_async("high", "test", "Down")
        await alerts.reload_async(config(hook))
        await hook.wait_for(1)
        assert [(a.status, a.name) for a in notified(hook.requests)] == [("firing", "Down")]


async def test_a_configuration_that_cannot_be_used_is_refused_and_the_old_one_goes_on(tmp_path: Path) -> None:
    async with Receiver() as hook, AlertManager.from_config(config(hook)) as alerts:
        with pytest.raises(ConfigError, match="group_weight"):
            await alerts.reload_async(
                {**config(hook), "routes": [{"receivers": ["hook"], "group_weight": "1s"}]}
            )
        with pytest.raises(ConfigError, match="nobody"):
            await alerts.reload_async({**config(hook), "routes": [{"receivers": ["nobody"]}]})
        with pytest.raises(ValueError, match="url cannot change"):
            await alerts.reload_async(config(hook, f"sqlite:///{tmp_path}/other.db"))
        alerts.register_receiver("me", print)
        with pytest.raises(ValueError, match="already"):
            await alerts.reload_async(
                {"receivers": {"me": {"provider": "console"}}, "routes": [{"receivers": ["me"]}]}
            )
        await alerts.send_alert_async("high", "test", "Down")
        await hook.wait_for(1)
        assert [(a.status, a.name) for a in notified(hook.requests)] == [("firing", "Down")]


def test_a_file_is_read_again_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("")
    with AlertManager.from_config(file) as alerts:
        file.write_text('[receivers.out]\nprovider = "consol"\n')
        with pytest.raises(ConfigError, match=r"config\.toml:2"):
            alerts.reload(file)
        file.write_text('[[cooldowns]]\nwithin = "1h"\n')
        alerts.reload(file)


def test_a_silence_hides_what_it_matches_until_it_is_ended() -> None:
    received: list[Notification] = []
    with AlertManager.from_config({}) as alerts:
        alerts.register_receiver("me", received.append, **AT_ONCE)
        number = alerts.add_silence(
            {"alertname": "=~Do.*"}, time.time() + 60, author="anna", comment="upgrade"
        )
        alerts.send_alert("high", "test", "Down")
        alerts.send_alert("high", "test", "Slow")
        until(lambda: names(received) == [("firing", "Slow")])
        assert alerts.end_silence(number)
        assert not alerts.end_silence(number)
        until(lambda: ("firing", "Down") in names(received))
        with pytest.raises(ValueError, match="end after its start"):
            alerts.add_silence({"alertname": "X"}, 1.0)


def test_long_lists_come_in_pages() -> None:
    with AlertManager.from_config({}) as alerts:
        for name in ("A", "B", "C"):
            alerts.add_silence({"alertname": name}, time.time() + 60)
            alerts.send_alert("high", "test", name)
        first = alerts.silences(limit=2)
        second = alerts.silences(limit=2, after=first.next)
        assert [[one["id"] for one in page] for page in (first, second)] == [[3, 2], [1]]
        newest = alerts.get_recent_alerts(limit=1)
        older = alerts.get_recent_alerts(limit=5, after=newest.next)
        assert [alert.name for alert in (*newest, *older)] == ["C", "B", "A"]
        assert (second.next, older.next) == (None, None)
        with pytest.raises(ValueError, match="not a cursor of incidents"):
            alerts.incidents(after="silences.2")
        history = alerts.history(newest[0].fingerprint)
        assert history is not None
        assert ([line["kind"] for line in history], history.next) == (["firing"], None)


PEOPLE: dict[str, Any] = {
    "people": {"anna": {"receivers": ["me"]}, "ben": {"receivers": ["me"]}},
    "oncall": {"primary": {"layers": [{"people": ["anna"], "handoff": "daily 09:00"}]}},
    "escalations": {"wake": {"steps": [{"wait": "0s", "notify": "oncall:primary"}]}},
    "intervals": {"always": {"times": ["00:00-24:00"]}},
    "receivers": {"me": {"provider": "console"}},
    "routes": [{"receivers": ["me"], "match": {"alertname": "Never"}}],
}


@pytest.mark.parametrize("in_memory", [True, False])
def test_people_work_on_alerts_through_methods(tmp_path: Path, in_memory: bool) -> None:
    store = {} if in_memory else {"store": {"url": f"sqlite:///{tmp_path / 'a.db'}"}}
    received: list[Notification] = []
    with AlertManager.from_config({**PEOPLE, **store}) as alerts:
        alerts.register_receiver("you", received.append, **AT_ONCE)
        print_ = alerts.send_alert("high", "test", "Down")
        until(lambda: len(received) == 1)
        assert alerts.acknowledge(print_, "anna", "on it")
        shown = alerts.show(print_)
        assert shown is not None
        assert shown["acknowledged"]["by"] == "anna"
        assert not alerts.acknowledge("no such fingerprint", "anna")
        assert alerts.unacknowledge(shown["id"], "anna")
        assert not alerts.unacknowledge(print_)
        until(lambda: len(received) == 2)
        assert [n.note for n in received] == ["", ""]
        assert [line["kind"] for line in alerts.history(print_) or ()] == [
            "firing",
            "acknowledged",
            "unacknowledged",
        ]
        explained = alerts.explain(print_)
        assert explained is not None
        assert {r["receiver"]: r["notified"] for r in explained["receivers"]} == {"you": True, "me": False}
        assert alerts.explain(0) is None
        assert alerts.history("nothing") is None
        (incident,) = alerts.incidents(is_open=True)
        alerts.add_note(incident["id"], "anna", "it was the disk")
        timeline = alerts.incident(incident["id"])["timeline"]
        assert "it was the disk" in [line["text"] for line in timeline]
        with pytest.raises(LookupError):
            alerts.incident(77)
    with pytest.raises(StoreError, match="closed"):
        alerts.explain(print_)


def test_who_is_on_call_is_known_in_memory_too() -> None:
    with AlertManager.from_config(PEOPLE) as alerts:
        assert [shift["person"] for shift in alerts.on_call()] == ["anna"]
        now = time.time()
        number = alerts.add_override("primary", "ben", now - 5, now + 3600)
        assert [shift["person"] for shift in alerts.on_call("primary")] == ["ben"]
        assert [shift["person"] for shift in alerts.next_on_call(number=1)] == ["anna"]
        alerts.remove_override(number)
        assert [shift["person"] for shift in alerts.on_call()] == ["anna"]
        with pytest.raises(LookupError, match="secondary"):
            alerts.on_call("secondary")


def test_statistics_count_from_the_start_of_an_alert() -> None:
    now = time.time()
    with AlertManager.from_config({}) as alerts:
        labels = {"alertname": "Down", "severity": "P1"}
        (first,) = alerts.submit([{"labels": {**labels, "host": "a"}, "startsAt": now - 100}])
        alerts.submit([{"labels": {**labels, "host": "b"}, "startsAt": now - 300}])
        alerts.submit([{"labels": {"alertname": "Slow", "severity": "P3"}, "startsAt": now - 50}])
        alerts.acknowledge(first, "anna")
        alerts.resolve(first)
        found = alerts.get_alert_stats()
    assert found["by_type"] == {"Down": 2, "Slow": 1}
    assert found["by_severity"] == {"P1": 2, "P3": 1}
    assert found["mean_time_to_resolve"] == pytest.approx(100, abs=5)
    assert found["mean_time_to_acknowledge"] == pytest.approx(100, abs=5)
    down, slow = found["by_type_and_severity"]
    assert (down["type"], down["severity"], down["number"], down["firing"]) == ("Down", "P1", 2, 1)
    assert (down["acknowledged"], down["resolved"]) == (1, 1)
    assert down["mean_time_to_resolve"] == pytest.approx(100, abs=5)
    assert (slow["number"], slow["mean_time_to_resolve"]) == (1, None)


def test_a_registered_receiver_s_route_may_name_what_is_configured() -> None:
    received: list[Notification] = []
    quiet: list[Notification] = []
    with AlertManager.from_config(PEOPLE) as alerts:
        alerts.register_receiver("quiet", quiet.append, mute_times=["always"], **AT_ONCE)
        alerts.register_receiver("you", received.append, escalation="wake", **AT_ONCE)
        with pytest.raises(ConfigError, match="sometimes"):
            alerts.register_receiver("they", print, mute_times=["sometimes"])
        with pytest.raises(ConfigError, match="page"):
            alerts.register_receiver("they", print, escalation="page")
        print_ = alerts.send_alert("high", "test", "Down")
        until(lambda: len(received) == 1)
        explained = alerts.explain(print_)
        assert explained is not None
        assert {r["receiver"]: r["notified"] for r in explained["receivers"]}["quiet"] is False
        until(lambda: "step" in str(alerts.incident(1)["timeline"]))
        with pytest.raises(ConfigError, match="always"):
            alerts.reload({**PEOPLE, "intervals": {}})
        alerts.reload(PEOPLE)
    assert quiet == []


def test_many_threads_may_send() -> None:
    with AlertManager.from_config({}) as alerts:

        def send(thread: int) -> None:
            for number in range(50):
                alerts.send_alert("low", f"thread-{thread}", f"Alert{number}")

        threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert alerts.get_alert_stats()["total"] == 400


def test_a_database_serves_one_at_a_time_and_outlives_both(tmp_path: Path) -> None:
    settings = {"store": {"url": f"sqlite:///{tmp_path}/alerts.db"}}
    with AlertManager.from_config(settings) as alerts:
        alerts.send_alert("high", "test", "Down")
        with pytest.raises(StoreError, match="another chainwatch"):
            AlertManager.from_config(settings)
    with AlertManager.from_config(settings) as alerts:
        assert [alert.name for alert in alerts.get_recent_alerts(5)] == ["Down"]


def test_a_file_with_networks_serves_too_and_memory_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        '[networks.ethereum]\nchain_id = 1\nrpc = ["https://example.org"]\n'
        '[receivers.out]\nprovider = "console"\n[[routes]]\nreceivers = ["out"]\n'
    )
    with AlertManager.from_config(file) as alerts:
        alerts.send_alert("high", "test", "Down")
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]


def test_what_ended_is_forgotten_after_its_retention(tmp_path: Path) -> None:
    settings = {"store": {"url": f"sqlite:///{tmp_path}/alerts.db", "retention": "100ms"}}
    with AlertManager.from_config(settings) as alerts:
        alerts.resolve(alerts.send_alert("high", "test", "Old"))
        alerts.send_alert("high", "test", "New")  # the newest is kept, for its number
    time.sleep(0.15)
    with AlertManager.from_config(settings) as alerts:
        until(lambda: len(alerts.get_recent_alerts(5)) == 1)
        assert [alert.name for alert in alerts.get_recent_alerts(5)] == ["New"]


def test_a_short_retention_is_honoured_while_running_and_after_a_reload() -> None:
    long, short = ({"store": {"retention": kept}} for kept in ("1h", "1s"))
    with AlertManager.from_config(long) as alerts:
        alerts.resolve(alerts.send_alert("high", "test", "Old"))
        alerts.send_alert("high", "test", "New")
        time.sleep(1.2)
        assert len(alerts.get_recent_alerts(5)) == 2
        alerts.reload(short)
        until(lambda: [alert.name for alert in alerts.get_recent_alerts(5)] == ["New"])
        alerts.resolve(alerts.send_alert("high", "test", "Newer"))
        alerts.send_alert("high", "test", "Newest")
        until(lambda: [alert.name for alert in alerts.get_recent_alerts(5)] == ["Newest", "New"])


@pytest.mark.parametrize("number", range(2))
def test_the_examples_of_the_documentation_run(number: int) -> None:
    examples = [b.text for b in blocks(ROOT / "docs" / "library.md") if b.language == "python"]
    assert len(examples) == 2
    done = subprocess.run(
        [sys.executable, "-c", examples[number]], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert ["QueueStuck resolved", "firing ['Down']"][number] in done.stdout


def test_what_held_an_alert_back_is_over_once_no_route_leads_to_its_receiver() -> None:
    def settings(name: str) -> dict[str, Any]:
        return {
            "receivers": {"ops": {"provider": "console"}},
            "intervals": {"always": {"times": ["00:00-24:00"]}},
            "routes": [
                {"receivers": ["ops"], "match": {"alertname": name}, "mute_times": ["always"], **AT_ONCE}
            ],
        }

    def held(fingerprint: str) -> list[dict[str, Any]]:
        rows = (alerts.explain(fingerprint) or {})["receivers"]
        return [hold for row in rows if row["receiver"] == "ops" for hold in row.get("held", [])]

    with AlertManager.from_config(settings("Down")) as alerts:
        down = alerts.send_alert("low", "test", "Down")
        until(lambda: held(down))
        assert held(down)[0]["until"] is None
        alerts.reload(settings("Slow"))
        (hold,) = held(down)
        assert (hold["why"], hold["missed"]) == ("quiet hours", False)
        assert hold["until"] is not None
