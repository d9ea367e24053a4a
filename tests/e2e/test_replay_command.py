"""`chainwatch replay` as its users run it, against recorded nodes without anything that is not needed."""

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from scripts.bench.recorded_node import Faults, RecordedNode, serve
from tests.support import bridge
from tests.support.bridge import BEGIN, DAY, NETWORKS
from tests.support.process import ROOT, Chainwatch
from tests.support.receiver import Receiver
from tests.support.waiting import PATIENCE, eventually

LENGTH = 60 * DAY
ACTIONS = bridge.history(seed=3, transfers=250, length=LENGTH)
EXPECTED = bridge.expect(ACTIONS, {n: (n.start, n.block_at(BEGIN + LENGTH)) for n in NETWORKS})
BARE = Faults(
    methods=frozenset({"eth_chainId", "eth_blockNumber", "eth_getLogs", "eth_getBlockByNumber"}),
    batches=False,
    linked=False,
    log_timestamps=False,
)


class History:
    """Recorded nodes, and what is asked of them."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder

    async def watch(self, faults: Faults = BARE, rest: str = "", network: str = "") -> Chainwatch:
        chains = bridge.recordings(ACTIONS, LENGTH)
        nodes = {f"/{name}": RecordedNode(chain, faults) for name, chain in chains.items()}
        server = await self._stack.enter_async_context(TestServer(serve(nodes)))
        urls = {name: str(server.make_url(f"/{name}")) for name in chains}
        bridge.write_abi(self._folder)
        return Chainwatch(self._folder, bridge.config(urls, rest=rest, network=network))


@pytest.fixture
async def history(tmp_path: Path) -> AsyncIterator[History]:
    async with AsyncExitStack() as stack:
        yield History(stack, tmp_path)


async def test_s7_the_whole_history_is_replayed_to_the_same_bytes_on_either_database(
    history: History, empty_postgres_url: str, tmp_path: Path
) -> None:
    watch = await history.watch()

    by_itself = await watch.command("replay", "--json")
    kept = await watch.command("replay", "--json", "--database", str(tmp_path / "kept.db"))
    in_postgres = await watch.command("replay", "--json", "--database", empty_postgres_url)

    assert by_itself.code == 0, by_itself.err
    assert by_itself.err == ""
    assert bridge.found(json.loads(by_itself.out)) == EXPECTED
    assert by_itself.out == kept.out == in_postgres.out


async def test_the_script_is_the_command(history: History) -> None:
    watch = await history.watch()
    line = [sys.executable, str(ROOT / "scripts/replay.py"), "--json", "--network", "alpha"]

    script = await asyncio.to_thread(
        subprocess.run,
        line,
        cwd=watch.folder,
        env=watch.environ | {"CHAINWATCH_CONFIG": str(watch.config)},
        capture_output=True,
        text=True,
    )

    assert script.returncode == 0, script.stderr
    assert script.stdout == (await watch.command("replay", "--json", "--network", "alpha")).out


@pytest.mark.parametrize(("severity", "code"), [("P0", 3), ("P1", 3), ("critical", 3), ("P3", 3), (None, 0)])
async def test_alerts_as_severe_as_asked_for_are_reported_by_the_exit_code(
    history: History, severity: str | None, code: int
) -> None:
    watch = await history.watch(Faults())

    done = await watch.command("replay", *(["--fail-on", severity] if severity else []))

    assert done.code == code, done.err
    assert "alerts" in done.out


async def test_no_alert_as_severe_as_asked_for_is_fine(history: History) -> None:
    watch = await history.watch(Faults())

    done = await watch.command("replay", "--fail-on", "P1", "--to", "alpha=17000001", "--to", "beta=80000001")

    assert done.code == 0, done.err


def _has_begun(database: str) -> bool:
    """Whether anything of the chains is stored there yet."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return bool(connection.execute("SELECT count(*) FROM networks").fetchone()[0])
    except sqlite3.OperationalError:
        return False


class Hanging:
    """Seconds until a node answers: it hangs, ``after`` so many answers to a replay that has stored something."""

    def __init__(self, database: str, after: int) -> None:
        self._database = database
        self.left = self.after = after

    def __call__(self) -> float:
        if self.left == self.after and not _has_begun(self._database):
            return 0.0
        self.left -= 1
        return 0.01 if self.left > 0 else 60.0


async def test_a_killed_replay_goes_on_to_the_same_bytes(history: History, tmp_path: Path) -> None:
    database = str(tmp_path / "killed.db")
    delay = Hanging(database, after=20)
    slow = await history.watch(Faults(delay=delay), network="max_block_range = 20000")
    for attempt in range(3):
        line = [*slow._line("replay", "--json", "--database", database), *(["--resume"] if attempt else [])]
        delay.left = delay.after
        process = subprocess.Popen(line, cwd=slow.folder, env=slow.environ, stdout=subprocess.DEVNULL)
        await eventually(lambda: delay.left <= 0)
        process.send_signal((signal.SIGKILL, signal.SIGINT, signal.SIGTERM)[attempt])
        assert await asyncio.to_thread(process.wait, PATIENCE) != 0
    watch = await history.watch(Faults())

    resumed = await watch.command("replay", "--json", "--database", database, "--resume")

    assert resumed.code == 0, resumed.err
    assert resumed.out == (await watch.command("replay", "--json")).out


async def test_what_notify_sends_is_what_the_report_lists(history: History) -> None:
    async with Receiver() as receiver:
        watch = await history.watch(
            Faults(),
            f'[receivers.hook]\nprovider = "webhook"\nurl = "http://127.0.0.1:{receiver.port}/"\nallow_private = true\n'
            '[[routes]]\nmatch = { severity = ["P0", "P1"] }\nreceivers = ["hook"]\ngroup_by = ["..."]\n',
        )
        silent = await watch.command("replay", "--json")
        assert receiver.requests == []

        loud = await watch.command("replay", "--json", "--notify")

        assert loud.code == 0, loud.err
        assert loud.out == silent.out
        notified = {
            (alert["labels"]["alertname"], alert["labels"]["transfer"])
            for request in receiver.requests
            for alert in request.json()["alerts"]
        }
        listed = {(a["labels"]["alertname"], a["labels"]["transfer"]) for a in json.loads(loud.out)["alerts"]}
        assert notified == listed


async def test_a_replay_never_touches_the_live_database(
    history: History, sqlite_url: str, tmp_path: Path
) -> None:
    watch = await history.watch(Faults(), rest=f'[store]\nurl = "{sqlite_url}"\n')
    watch.start()
    database = tmp_path / "chainwatch.db"
    await eventually(lambda: _has_begun(str(database)))
    assert await watch.stop() == 0

    refused = await watch.command("replay", "--database", str(database))
    not_resumed = await watch.command("replay", "--database", str(database), "--resume")

    assert refused.code == not_resumed.code == 2
    assert "never touches a live database" in refused.err
    assert "holds no replay to go on with" in not_resumed.err
