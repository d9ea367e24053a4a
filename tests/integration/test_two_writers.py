"""Commands that write while the running process does: neither loses what the other wrote, on either database."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from chainwatch.alert_model import Alert, Silence
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.engine.intake import recognized
from chainwatch.chain.watch import NetworkWatch
from chainwatch.config import read_dict
from chainwatch.model import Batch, Checkpoint, Header, Signal
from chainwatch.operations import (
    alert_actions,
    auditing,
    cooldowns,
    notifications,
    receiver_test,
    rewinding,
    rota,
    silencing,
)
from chainwatch.operations import incidents as incident_operations
from chainwatch.operations.context import Access, Context
from chainwatch.plan import Plan, make_plan
from chainwatch.store import blocks, drivers
from chainwatch.store.alerting import (
    acknowledgements,
    alerts,
    escalations,
    incidents,
    limits,
    outbox,
    silences,
)
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from tests.support.flows import header
from tests.support.storing import store_batch
from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
T0 = 1_700_000_000
HELD = 0.3
"""Seconds for which the running process keeps its transaction open while a command wants to write."""
LABELS = {"alertname": "Late", "severity": "P1", "transfer": "0x01"}


def config(url: str) -> dict[str, object]:
    return {
        "store": {"url": url},
        "networks": {"alpha": {"chain_id": 1, "rpc": ["http://127.0.0.1:1"]}},
        "people": {"ann": {"receivers": ["ops"]}, "bob": {"receivers": ["ops"]}},
        "oncall": {
            "first": {
                "zone": "UTC",
                "layers": [{"people": ["ann", "bob"], "start": "2023-01-02"}],
            }
        },
        "receivers": {"ops": {"provider": "console"}},
        "routes": [{"receivers": ["ops"], "group_wait": "0s"}],
    }


@pytest.fixture
def plan(database_url: str) -> Plan:
    return make_plan(read_dict(config(database_url)))


@pytest.fixture
def running(database_url: str) -> Iterator[Database]:
    """The database as the running process has it: one alert fires and was queued, one network was read."""
    with closing(Database.open(database_url)) as database:
        with database.transaction() as connection:
            manager(connection).apply(connection, [Signal(LABELS, T0, {"summary": "late"})], T0)
            read = header(10, T0 - 10)
            batch = Batch("alpha", 5, read, headers=(header(9, T0 - 11), read))
            store_batch(connection, batch, Checkpoint("alpha", read, 5, T0 - 100, T0 - 3))
        yield database


@pytest.fixture
def at_t0(plan: Plan, running: Database, database_url: str) -> Iterator[Access]:
    """The same as a command has it."""
    with closing(Database.open(database_url, create=False)) as other:
        with other.reading() as connection:
            context = Context.of(plan, connection)
        yield Access(other, context, lambda: T0 + 1)


def manager(connection: sa.Connection) -> AlertEngine:
    return AlertEngine.of(make_plan(read_dict(config("sqlite:///x.db"))).settings, 0)


def only_alert(connection: sa.Connection) -> Alert:
    (alert,) = alerts.list_alerts(connection, name="Late")
    return alert


# --- every operation, with what is there before and after ----------------------------------------------------

Write = Callable[[Access], object]
Check = Callable[[sa.Connection], bool]
SILENCE = Silence({"alertname": ["Other"]}, T0, T0 + 600, "ann", "upgrade", T0)


def acknowledge(access: Access) -> object:
    return access.write(alert_actions.acknowledge, [1], "ann")


def rewind(access: Access) -> object:
    """What the command does once it has asked the endpoint."""

    async def asked(_pool: object, _block: int) -> Header:
        return header(9, T0 - 11)

    async def is_gone(_pool: object, _kept: Header) -> bool:
        return False

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rewinding, "header_at", asked)
        patched.setattr(rewinding, "_is_gone", is_gone)
        return asyncio.run(rewinding.rewind(access.database, plan_for(access), T0, "alpha", 9))


def store_sample(access: Access) -> object:
    with access.database.transaction() as connection:
        return receiver_test._store_alert(connection, "ops", "P3", T0 + 1.0)


def add_silence(access: Access) -> object:
    return access.write(silencing.add_silence, {"alertname": "Other"}, "ann", "upgrade", lasts=600)


def set_cooldown(access: Access) -> object:
    return access.write(cooldowns.set_cooldown, {"alertname": ["Late"]}, 600.0, ["alertname"], "ann")


def add_override(access: Access) -> object:
    return access.write(rota.add_override, "first", "bob", "ann", starts_at=T0, lasts=600)


def repair(access: Access) -> object:
    nothing = auditing.Audit("alpha", 5, 10, 0, (), ())
    return asyncio.run(auditing.repair(access.database, plan_for(access), T0, nothing))


def plan_for(access: Access) -> Plan:
    plan = make_plan(read_dict(config(access.context.settings.store.url.get_secret_value())))
    return replace(plan, watches={"alpha": NetworkWatch("alpha", [])})


OPERATIONS: dict[str, tuple[Write | None, Write, Check]] = {
    "alerts ack": (None, acknowledge, lambda c: acknowledgements.of(c, [1])[1].actor == "ann"),
    "alerts unack": (
        acknowledge,
        lambda access: access.write(alert_actions.unacknowledge, [1], "bob"),
        lambda c: acknowledgements.of(c, [1]) == {},
    ),
    "alerts resolve": (
        None,
        lambda access: access.write(alert_actions.resolve, [1], "ann", "done"),
        lambda c: only_alert(c).state == "resolved" and only_alert(c).reason == "by hand: done",
    ),
    "silences add": (
        None,
        add_silence,
        lambda c: [s.comment for s in silences.active(c, T0 + 1)] == ["upgrade"],
    ),
    "silences expire": (
        add_silence,
        lambda access: access.write(silencing.expire_silences, [1]),
        lambda c: silences.active(c, T0 + 2) == [],
    ),
    "cooldowns set": (
        None,
        set_cooldown,
        lambda c: [one.seconds for one in limits.stored_cooldowns(c)] == [600.0],
    ),
    "cooldowns remove": (
        set_cooldown,
        lambda access: access.write(cooldowns.remove_cooldowns, [1]),
        lambda c: limits.stored_cooldowns(c) == [],
    ),
    "queue retry": (
        None,
        lambda access: access.write(notifications.retry, [1]),
        lambda c: outbox.list_notifications(c)[-1].queued_at == T0 + 1,
    ),
    "queue drop": (
        None,
        lambda access: access.write(notifications.drop, [1]),
        lambda c: outbox.list_notifications(c)[-1].status == "dropped",
    ),
    "incident --note": (
        None,
        lambda access: access.write(incident_operations.add_note, 1, "ann", "looking"),
        lambda c: "looking" in [entry.text for entry in incidents.entries(c, 1)],
    ),
    "oncall override add": (
        None,
        add_override,
        lambda c: [o.person for o in escalations.overrides(c, T0)["first"]] == ["bob"],
    ),
    "oncall override remove": (
        add_override,
        lambda access: access.write(rota.remove_override, 1),
        lambda c: escalations.overrides(c, T0) == {},
    ),
    "receivers test": (None, store_sample, lambda c: len(alerts.list_alerts(c)) >= 2),
    "rewind": (None, rewind, lambda c: blocks.checkpoints(c)["alpha"].last.number == 9),
    "audit --repair": (
        None,
        repair,
        lambda c: blocks.checkpoints(c)["alpha"].last.number == 10,
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_command_between_what_the_process_reads_and_writes_is_not_lost(
    running: Database, at_t0: Access, name: str
) -> None:
    """The process has read that the alert fires, and writes that it fires still, and another one."""
    before, command, check = OPERATIONS[name]
    if before is not None:
        before(at_t0)
    again = [Signal(LABELS, T0, {"summary": "still late"}), Signal({**LABELS, "alertname": "New"}, T0)]
    with ThreadPoolExecutor(1) as pool:
        with running.transaction() as connection:
            taken = recognized(connection, again)
            commanded = pool.submit(command, at_t0)
            time.sleep(HELD)
            assert not commanded.done()
            manager(connection).take(connection, taken, T0 + 1)
        commanded.result(PATIENCE)

    with running.reading() as connection:
        assert check(connection)
        assert only_alert(connection).annotations["summary"] == "still late"
        (new,) = alerts.list_alerts(connection, name="New")
        assert new.state == "firing"


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_process_that_comes_while_a_command_writes_sees_what_it_wrote(
    running: Database, at_t0: Access, name: str
) -> None:
    before, command, check = OPERATIONS[name]
    if before is not None:
        before(at_t0)
    entered, go_on = threading.Event(), threading.Event()

    with pausing(at_t0.database, entered, go_on), ThreadPoolExecutor(2) as pool:
        commanded = pool.submit(command, at_t0)
        assert entered.wait(PATIENCE)
        raised = running.hand_over(
            lambda c: manager(c).apply(c, [Signal({**LABELS, "alertname": "New"}, T0)], T0 + 2)
        )
        time.sleep(HELD)
        assert not raised.done()
        go_on.set()
        commanded.result(PATIENCE)
        raised.result(PATIENCE)

    with running.reading() as connection:
        assert check(connection)
        ids = [one.id for one in alerts.list_alerts(connection)]
        assert len(ids) == len(set(ids))


@contextmanager
def pausing(database: Database, entered: threading.Event, go_on: threading.Event) -> Iterator[None]:
    """Let the next transaction of ``database`` stop before its commit."""

    def wait(_connection: sa.Connection) -> None:
        entered.set()
        go_on.wait(PATIENCE)

    sa.event.listen(database._writer, "commit", wait)
    yield
    sa.event.remove(database._writer, "commit", wait)


# --- two processes that write all the time -------------------------------------------------------------------

WRITER = """
import sys
from chainwatch.model import Signal
from chainwatch.alert_model import Silence
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.store.alerting import silences
from chainwatch.store.database import Database
name, url, times = sys.argv[1:]
database = Database.open(url)
manager = AlertEngine([], {}, 0)
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(times)):
    labels = {"alertname": f"{name}{number}", "severity": "P3"}
    with database.transaction() as connection:
        manager.apply(connection, [Signal(labels, 1.0)], 1.0)
        silences.add(connection, Silence({"alertname": ["x"]}, 1.0, 2.0, name, "", 1.0))
database.close()
"""


def test_two_processes_that_write_at_once_lose_nothing_and_give_no_id_twice(database_url: str) -> None:
    Database.open(database_url).close()
    each = 100
    writers = [_python(WRITER, name, database_url, str(each)) for name in ("one", "two", "three")]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        _, errors = writer.communicate(timeout=PATIENCE)
        assert writer.returncode == 0, errors

    with closing(Database.open(database_url)) as database, database.reading() as connection:
        names = [one.name for one in alerts.list_alerts(connection)]
        assert sorted(names) == sorted(f"{n}{i}" for n in ("one", "two", "three") for i in range(each))
        assert len(silences.select(connection, 0.0)) == 3 * each


HOLDER = """
import sys, time
from chainwatch.store.database import Database
database = Database.open(sys.argv[1])
with database.transaction() as connection:
    connection.exec_driver_sql("DELETE FROM silences")
    print("limits", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(database_url: str) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of a transaction."""
    Database.open(database_url).close()
    process = _python(HOLDER, database_url)
    assert process.stdout is not None
    assert process.stdout.readline() == "limits\n"
    yield process
    process.kill()
    process.communicate()


def test_a_writer_that_is_killed_holds_up_nobody(database_url: str, holder: subprocess.Popen[str]) -> None:
    with closing(Database.open(database_url, create=False)) as database:
        written = database.hand_over(lambda c: silences.add(c, SILENCE))
        time.sleep(HELD)
        assert not written.done()
        os.kill(holder.pid, signal.SIGKILL)

        assert written.result(PATIENCE) == 1


def test_a_writer_that_never_ends_is_named_once_the_time_is_up_and_nobody_waits_to_read(
    database_url: str, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "BUSY_TIMEOUT", 0.1)
    with closing(Database.open(database_url, create=False)) as database:
        with pytest.raises(StoreError, match="another process") as refused, database.transaction():
            raise AssertionError("it is held")
        assert refused.value.transient
        with database.reading() as connection:
            assert silences.select(connection, 0.0) == []
        os.kill(holder.pid, signal.SIGKILL)
        monkeypatch.undo()
        with database.transaction() as connection:
            silences.add(connection, SILENCE)


def test_closing_waits_no_longer_for_the_transaction_of_another_process(
    database_url: str, holder: subprocess.Popen[str]
) -> None:
    database = Database.open(database_url, create=False)
    written = database.hand_over(lambda c: silences.add(c, SILENCE))
    time.sleep(0.05)
    begun = time.monotonic()
    database.close()

    assert time.monotonic() - begun < drivers.BUSY_TIMEOUT / 2
    with pytest.raises(StoreError, match="another process"):
        written.result(0)


def _python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
