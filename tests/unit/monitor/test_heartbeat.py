"""The dead man's switch: called while all is well, and not a moment longer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chainwatch.config import ConfigError, read_dict
from chainwatch.config.settings import MonitorSettings
from chainwatch.model import Signal
from chainwatch.monitor import heartbeat as module
from chainwatch.monitor.heartbeat import STALE_AFTER, Health, Heartbeat, problem_of
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.support.supervise import Supervisor
from tests.support.receiver import Answer, Receiver
from tests.support.waiting import PATIENCE, eventually
from tests.unit.test_plan import CONFIG


def _signal(name: str, **labels: str) -> Signal:
    return Signal({"alertname": name, "severity": "P1", **labels}, 0, {}, source="network")


@pytest.fixture
def database(tmp_path: Path) -> Any:
    with closing(Database.open(f"sqlite:///{tmp_path / 'x.db'}", durable=False)) as database:
        yield database


@pytest.fixture
async def server() -> AsyncIterator[Receiver]:
    async with Receiver() as server:
        yield server


def test_all_is_well_once_every_network_was_seen() -> None:
    assert problem_of(["a", "b"], {"a"}, []) == "b has not been seen yet"
    assert problem_of(["a", "b"], {"a", "b"}, []) == ""


@pytest.mark.parametrize(
    "name", ["NetworkBlind", "NetworkStalled", "NetworkLagging", "LogsDisputed", "DeepReorg"]
)
def test_a_network_that_cannot_be_judged_is_not_well(name: str) -> None:
    assert problem_of(["a"], {"a"}, [_signal(name, network="a")]) == f"{name} a"


@pytest.mark.parametrize("name", ["Watchdog", "EndpointDegraded", "ClockSkew"])
def test_what_hides_nothing_is_well(name: str) -> None:
    assert problem_of(["a"], {"a"}, [_signal(name, network="a")]) == ""


def test_self_monitoring_that_is_stuck_is_not_well() -> None:
    now = 0.0
    health = Health(["a"], lambda: now)
    assert health.problem() == "it has not looked yet"
    health.note({"a"}, [])
    now = STALE_AFTER
    assert health.problem() == ""
    now += 1
    assert health.problem() == "self-monitoring is stuck"


class _Beating:
    """A heartbeat that runs fast, and whether it is well."""

    def __init__(self, server: Receiver, database: Any, supervisor: Supervisor) -> None:
        settings = MonitorSettings.model_validate(
            {"heartbeat": f"{server.url}/ping/s3cr3t", "heartbeat_every": "10ms", "allow_private": True}
        )
        self.heartbeat = Heartbeat(settings, ["a"], supervisor, database)

    async def __aenter__(self) -> Heartbeat:
        (run,) = self.heartbeat.all().values()
        self._task = asyncio.ensure_future(run())
        return self.heartbeat

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def _nothing_comes(server: Receiver) -> None:
    """Nothing comes any more, but for a call under way."""
    async with asyncio.timeout(PATIENCE):
        before = -1
        while len(server.requests) != before:
            before = len(server.requests)
            await asyncio.sleep(0.2)


async def _report(_: object) -> None: ...


async def test_it_is_called_while_all_is_well(server: Receiver, database: Database) -> None:
    async with _Beating(server, database, Supervisor(_report)) as heartbeat:
        await _nothing_comes(server)
        heartbeat.health.note({"a"}, [])
        await server.wait_for(3)
        assert {(r.method, r.path) for r in server.requests} == {("GET", "/ping/s3cr3t")}
        heartbeat.health.note({"a"}, [_signal("NetworkBlind", network="a")])
        await _nothing_comes(server)


async def test_it_goes_on_when_network_and_server_are_back(
    server: Receiver, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_EVERY", 0.01)
    async with _Beating(server, database, Supervisor(_report)) as heartbeat:
        heartbeat.health.note({"a"}, [_signal("NetworkBlind", network="a")])
        await _nothing_comes(server)
        server.script += [Answer(500), Answer(302, headers={"Location": "/elsewhere"})]
        heartbeat.health.note({"a"}, [])
        await server.wait_for(4)
        assert {request.path for request in server.requests} == {"/ping/s3cr3t"}


async def test_it_stops_while_the_database_takes_nothing(server: Receiver) -> None:
    class Full:
        async def write(self, job: object) -> None:
            raise StoreError("the disk is full")

    async with _Beating(server, Full(), Supervisor(_report)) as heartbeat:
        heartbeat.health.note({"a"}, [])
        await _nothing_comes(server)
    assert server.requests == []


async def test_it_stops_while_a_task_fails(server: Receiver, database: Database) -> None:
    async def crash() -> None:
        raise RuntimeError("oops")

    supervisor = Supervisor(_report)
    supervisor.start("part", crash)
    try:
        await eventually(lambda: supervisor.failing)
        async with _Beating(server, database, supervisor) as heartbeat:
            heartbeat.health.note({"a"}, [])
            await _nothing_comes(server)
    finally:
        await supervisor.stop(1.0, lambda _: True)
    assert server.requests == []


def test_without_a_url_nothing_runs(database: Database) -> None:
    assert Heartbeat(MonitorSettings(), ["a"], Supervisor(_report), database).all() == {}


def test_s9_the_url_is_in_no_error() -> None:
    with pytest.raises(ConfigError) as caught:
        read_dict(CONFIG | {"monitor": {"heartbeat": "hc-ping.com/s3cr3t"}}).settings()
    assert "monitor.heartbeat" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)
