"""How long the HTTP server takes for each list, screen and `/metrics`, and how much memory, on a large database.

The database, with a million transfers and a hundred thousand alerts, is made once a run in a temporary folder. The server
is a process of its own. Beside each figure stands whether it keeps to its mark.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from chainwatch.alerting.runtime import AlertingConfig, AlertingRuntime  # noqa: E402
from chainwatch.api import server  # noqa: E402
from chainwatch.api.kept import KeptAnswers  # noqa: E402
from chainwatch.config import read_dict  # noqa: E402
from chainwatch.monitor.companions import Running  # noqa: E402
from chainwatch.monitor.heartbeat import Health  # noqa: E402
from chainwatch.plan import make_plan  # noqa: E402
from chainwatch.store.database import Database  # noqa: E402
from scripts.bench import large  # noqa: E402
from scripts.bench.peer import resident  # noqa: E402
from tests.support.ports import free_port  # noqa: E402

MOST_MS = 150.0
MOST_MIB = 50.0
"""The marks: p95 of a request, and how much memory all of them together may add."""
WEEK, DAY = 7 * 86_400, 86_400

PATHS = (
    "/v1/status",
    "/v1/networks",
    "/v1/flows",
    "/v1/receivers",
    "/v1/transfers",
    "/v1/transfers?limit=1000",
    "/v1/transfers?statuses=overdue",
    "/v1/transfers?statuses=overdue&statuses=open&statuses=disputed",
    "/v1/transfers?statuses=resolved",
    "/v1/transfers?origin=base&destination=optimism",
    "/v1/transfers?flow=none",
    "/v1/transfers?key={key}",
    "/v1/transfers?key={hash}",
    "/v1/transfers?address=0x" + "a0" * 20,
    "/v1/transfers/connext/{key}",
    "/v1/transfers/routes",
    "/v1/latency?since={day}",
    "/v1/latency?since={month}",
    "/v1/stats?since={week}",
    "/v1/endpoints",
    "/ui/transfers",
    "/ui/transfers?q={key}",
    "/ui/transfers?status=overdue",
    "/ui/transfers/connext/{key}",
    "/ui/latency?window=30d",
    "/ui/networks",
    "/ui/deliveries",
    "/ui/oncall",
    "/ui/configuration",
    "/v1/transfers?until={month}",
    "/v1/latency",
    "/v1/alerts",
    "/v1/alerts?firing=true",
    "/v1/alerts?severities=P0&since={week}",
    "/v1/alerts?name=NetworkBlind&until={month}",
    "/v1/alerts?limit=1000",
    "/v1/alerts/100000",
    "/v1/alerts/50",
    "/v1/incidents",
    "/v1/incidents?is_open=true",
    "/v1/incidents?limit=1000",
    "/v1/incidents/10000",
    "/v1/silences",
    "/v1/queue",
    "/v1/queue?status=dead",
    "/v1/queue?status=pending&receiver=ops",
    "/v1/routes",
    "/v1/cooldowns",
    "/v1/oncall",
    "/api/v2/alerts",
    "/api/v2/alerts/groups",
    "/alerts",
    "/ui/",
    "/ui/alerts",
    "/ui/incidents",
    "/ui/alerts/50",
    "/ui/alerts/100000",
    "/ui/incidents/10000",
    "/ui/silences",
    "/metrics",
)


class Figure(NamedTuple):
    """What one request took, over several times: milliseconds, and the mebibytes that the process grew by."""

    path: str
    status: int
    p50: float
    p95: float
    grown: float
    size: int


async def measure(url: str, pid: int, paths: list[str], times: int) -> list[Figure]:
    """Ask for each path ``times`` times, and never for one that could be answered from what was just read."""
    figures = []
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session:
        for path in paths:
            before, took, status, size = resident(pid), [], 0, 0
            for _ in range(times):
                began = time.perf_counter()
                async with session.get(url + path, allow_redirects=False) as answer:
                    size, status = len(await answer.read()), answer.status
                took.append((time.perf_counter() - began) * 1000)
                if path == "/metrics":
                    await asyncio.sleep(max(1.1, 0.012 * took[-1]))
            p95 = statistics.quantiles(took, n=20, method="inclusive")[-1] if len(took) > 1 else took[0]
            figures.append(Figure(path, status, statistics.median(took), p95, resident(pid) - before, size))
    return figures


async def serve(folder: Path, port: int) -> None:
    """Serve the database of ``folder`` as `chainwatch run` does, without following networks, until it is killed.

    Nothing is kept from one request for the next: each figure is of a read.
    """

    async def anew(_: Any, __: Any, make: Callable[[], Awaitable[Any]]) -> Any:
        return await make()

    KeptAnswers.get = anew  # type: ignore[method-assign, assignment]
    plan = make_plan(read_dict(tomllib.loads((folder / "config.toml").read_text()), watches=False))
    with closing(Database.open(plan.settings.store.url.get_secret_value(), durable=False)) as database:
        alerting = AlertingRuntime(database, AlertingConfig.of(plan.settings))
        await alerting.resume()
        running = Running(plan, database, alerting, Health([]))
        await server.companions(lambda: None)(running)["api"]()


@contextmanager
def serving(folder: Path, url: str) -> Iterator[tuple[str, int]]:
    """The address of a server on the database at ``url``, and its process's id."""
    port = free_port()
    (folder / "config.toml").write_text(large.config(url, port, ROOT / "abi" / "connext.json"))
    command = [sys.executable, str(Path(__file__)), "--serve", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        asyncio.run(_until_ready(f"http://127.0.0.1:{port}", process))
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.kill()
        process.wait()


async def _until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    async with aiohttp.ClientSession() as session:
        while process.poll() is None:
            try:
                async with session.get(f"{url}/-/healthy") as answer:
                    if answer.status == 200:
                        return
            except OSError:
                pass
            await asyncio.sleep(0.1)
    raise RuntimeError("the server has ended")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transfers", type=int, default=1_000_000)
    parser.add_argument("--alerts", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=10, help="requests of each kind")
    parser.add_argument(
        "--url", help="a database to be used, filled where it is empty; default: a temporary SQLite"
    )
    parser.add_argument("--only", default="", help="only paths that hold this text")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        asyncio.run(serve(given.serve, given.port))
        return
    with tempfile.TemporaryDirectory(prefix="chainwatch-api-") as name:
        folder = Path(name)
        url = given.url or f"sqlite:///{folder}/chainwatch.db"
        began = time.monotonic()
        with closing(Database.open(url, durable=False)) as database:
            opened = time.monotonic() - began
            key = large.fill_if_empty(database, given.transfers, given.alerts)
            text = large.config(url, 1, ROOT / "abi" / "connext.json")
            plan = make_plan(read_dict(tomllib.loads(text), watches=False))
            large.index(database, {flow.name: flow for flow in plan.flows})
        filled = time.monotonic() - began - opened
        now = int(time.time())
        names = {
            "key": key,
            "hash": "0x" + "1f" * 32,
            "day": now - DAY,
            "week": now - WEEK,
            "month": now - 30 * DAY,
        }
        paths = [path.format(**names) for path in PATHS if given.only in path]
        with serving(folder, url) as (address, pid):
            before = resident(pid)
            figures = asyncio.run(measure(address, pid, paths, given.times))
            grown = resident(pid) - before
    if given.json:
        print(json.dumps({"figures": [one._asdict() for one in figures], "grown": grown}))
        return
    print(f"opened (and brought up to date) in {opened:.1f} s, filled in {filled:.1f} s")
    print(f"{'path':<66}{'status':>7}{'p50 ms':>9}{'p95 ms':>9}{'MiB':>7}{'bytes':>9}  mark")
    for one in figures:
        mark = "ok" if one.status == 200 and one.p95 <= MOST_MS else "MISSED"
        print(
            f"{one.path:<66}{one.status:>7}{one.p50:>9.1f}{one.p95:>9.1f}{one.grown:>7.1f}{one.size:>9}  {mark}"
        )
    print(f"memory: {before:.0f} MiB, {grown:+.1f} MiB ({'ok' if grown <= MOST_MIB else 'MISSED'})")


if __name__ == "__main__":
    main()
