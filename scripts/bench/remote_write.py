"""How many samples a second a server takes by remote write 1.0 and 2.0: over HTTP, parsed, in memory, and stored on disk.

The server is a process of its own, with SQLite as `chainwatch run` has it; this one sends, over some connections, requests
as Prometheus does: 2,000 series of eight labels each, one sample of each. Beside the figure stands whether it keeps to its
mark, and the same for each second of the server's processor time, as a machine whose processors are busy shows less.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import aiohttp

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from chainwatch.alerting.runtime import AlertingConfig, AlertingRuntime  # noqa: E402
from chainwatch.api import server  # noqa: E402
from chainwatch.commands.running import SWITCH_EVERY  # noqa: E402
from chainwatch.config import read_dict  # noqa: E402
from chainwatch.ingestion.known_labels import KnownLabels  # noqa: E402
from chainwatch.ingestion.remote_write import V1, V2, parse_remote_write  # noqa: E402
from chainwatch.monitor.companions import Running  # noqa: E402
from chainwatch.monitor.heartbeat import Health  # noqa: E402
from chainwatch.plan import make_plan  # noqa: E402
from chainwatch.rule_engine.engine import RuleEngine  # noqa: E402
from chainwatch.store.database import Database  # noqa: E402
from chainwatch.support.garbage import collect_seldom  # noqa: E402
from tests.support.ports import free_port  # noqa: E402
from tests.support.remote_write import request_v1, request_v2, series_v1  # noqa: E402

MOST = 150_000
"""The mark: samples a second."""
SERIES = 10_000
BATCH = 2_000
CONNECTIONS = 4


def label_sets() -> list[dict[str, str]]:
    """Labels as those of a cluster's containers."""
    return [
        {
            "__name__": f"container_network_receive_bytes_total_{number % 50}",
            "cluster": "eu-west-1",
            "container": f"relayer-{number % 20}",
            "instance": f"10.0.{number % 200}.17:9100",
            "interface": "eth0",
            "job": "kubernetes-nodes",
            "namespace": "bridges",
            "pod": f"relayer-{number}",
        }
        for number in range(SERIES)
    ]


def requests(version: str, rounds: int, start: int) -> list[bytes]:
    """The requests of so many scrapes, 15 seconds apart from ``start`` (Unix ms) on."""
    sets = label_sets()
    found = []
    for scrape in range(rounds):
        at = start + 15_000 * scrape
        for first in range(0, SERIES, BATCH):
            some = [(labels, [(at, float(scrape * 17 + first))]) for labels in sets[first : first + BATCH]]
            if version == V1:
                found.append(request_v1([series_v1(labels, points) for labels, points in some]))
            else:
                found.append(request_v2([(labels, points, 0) for labels, points in some], kind=1))
    return found


async def serve(port: int, folder: Path) -> None:
    """Serve with a database in ``folder`` until killed, as `chainwatch run` does."""
    sys.setswitchinterval(SWITCH_EVERY)
    collect_seldom()
    url = f"sqlite:///{folder}/bench.db"
    plan = make_plan(
        read_dict({"store": {"url": url}, "api": {"listen": f"127.0.0.1:{port}"}}, watches=False)
    )
    with closing(Database.open(url)) as database:
        alerting = AlertingRuntime(database, AlertingConfig.of(plan.settings))
        await alerting.resume()
        running, rules = Running(plan, database, alerting, Health([])), RuleEngine()
        tasks = {**rules.companions(running), **server.companions(lambda: None, rules)(running)}
        await asyncio.gather(*(task() for task in tasks.values()))


async def send(port: int, version: str, bodies: Sequence[bytes]) -> float:
    """Send all ``bodies``, each once, in order by connection; return the seconds until the last one was answered."""
    kind = "application/x-protobuf" + (f";proto={V2}" if version == V2 else "")
    headers = {"Content-Type": kind, "Content-Encoding": "snappy"}
    shares: list[list[bytes]] = [[] for _ in range(SERIES // BATCH)]
    for index, body in enumerate(bodies):
        shares[index % len(shares)].append(body)

    async def send_share(client: aiohttp.ClientSession, share: Sequence[bytes]) -> None:
        for body in share:
            async with client.post(
                f"http://127.0.0.1:{port}/api/v1/write", data=body, headers=headers
            ) as answer:
                if answer.status != 204:
                    raise SystemExit(f"{answer.status}: {await answer.text()}")

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as client:
        began = time.perf_counter()
        await asyncio.gather(*(send_share(client, share) for share in shares))
        return time.perf_counter() - began


async def measure(rounds: int) -> None:
    for version in (V1, V2):
        bodies = requests(version, rounds, (int(time.time()) - 15 * rounds) * 1000)
        samples = rounds * SERIES
        known = KnownLabels()
        for body in bodies[: SERIES // BATCH]:
            parse_remote_write(body, version, known)
        began = time.perf_counter()
        for body in bodies:
            parse_remote_write(body, version, known)
        parsed = samples / (time.perf_counter() - began)
        with tempfile.TemporaryDirectory() as folder:
            port = free_port()
            process = subprocess.Popen(  # noqa: ASYNC220 - it runs for as long as the measurement
                [sys.executable, "-m", "scripts.bench.remote_write", "--serve", str(port), folder]
            )
            try:
                await until_it_listens(port)
                before = processor_time(process.pid)
                seconds = await send(port, version, bodies)
                busy = processor_time(process.pid) - before
            finally:
                process.kill()
                process.wait()
        rate = samples / seconds
        kept = "kept" if rate >= MOST else "NOT KEPT"
        print(
            f"{version:32} {rate:9,.0f} samples/s (mark {MOST:,}: {kept}); {samples / busy:9,.0f} for each second of the "
            f"server's processor; parsed alone {parsed:9,.0f}/s"
        )


def processor_time(pid: int) -> float:
    """Return the seconds that a process has used (Linux, proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def until_it_listens(port: int) -> None:
    async with asyncio.timeout(30), aiohttp.ClientSession() as client:
        while True:
            try:
                async with client.get(f"http://127.0.0.1:{port}/-/healthy"):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, help="scrapes of 10,000 series (60)")
    parser.add_argument("--serve", nargs=2, metavar=("PORT", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve(int(given.serve[0]), Path(given.serve[1])))
    else:
        asyncio.run(measure(given.rounds))


if __name__ == "__main__":
    main()
