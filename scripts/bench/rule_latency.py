"""How long it takes from a pushed sample to the webhook: alone, beside 1,000 other rules, and beside a slow one.

``python -m scripts.bench.rule_latency`` prints a row for each. chainwatch runs in a process of its own, on SQLite that
commits to disk, without networks. Samples come by ``POST /samples``; each breaks a rule's bound for another
series, and ends an earlier alert.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import aiohttp
from aiohttp import web

from chainwatch.alerting.runtime import AlertingRuntime
from chainwatch.api import server
from chainwatch.commands.running import SWITCH_EVERY
from chainwatch.config import read_dict
from chainwatch.monitor.companions import Running
from chainwatch.monitor.heartbeat import Health
from chainwatch.operations import live_alerting
from chainwatch.plan import make_plan
from chainwatch.rule_engine.engine import RuleEngine
from chainwatch.store.database import Database
from chainwatch.support.garbage import collect_seldom
from tests.support.ports import free_port

PROBES = 300
EVERY = 0.05
"""Seconds between two samples that break the bound."""
WARM_UP = 10
FIRING = 20
"""Alerts of the rule that fire at a time."""
OTHERS = 1_000
P50, P99 = 10.0, 50.0
"""The marks, in milliseconds."""
PROBE = {"alert": "Probe", "query": "probe > 0", "severity": "P1"}
SLOW = {"alert": "Slow", "query": "sum(sum_over_time(many[1h:1s])) > 0", "severity": "P3"}


def main() -> None:
    """Measure, or serve as a child."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--probes", type=int, default=PROBES)
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        folder, port, hook = arguments.serve
        asyncio.run(_serve(Path(folder), int(port), hook))
        return
    print(f"load average: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'pushed sample to webhook':<42} {'p50':>8} {'p99':>8}   marks: {P50:g} ms, {P99:g} ms")
    for name, kind in (
        ("alone", "alone"),
        (f"beside {OTHERS:,} rules whose series grow", "others"),
        ("and one that takes too long", "slow"),
    ):
        took = sorted(asyncio.run(_measure(kind, arguments.probes)))
        p50, p99 = median(took) * 1000, quantiles(took, n=100, method="inclusive")[-1] * 1000
        print(f"{name:<42} {p50:>5.1f} ms {p99:>5.1f} ms", flush=True)


def _rules(kind: str) -> list[Mapping[str, Any]]:
    rules: list[Mapping[str, Any]] = [PROBE]
    if kind != "alone":
        rules += [
            {"alert": f"Other{n}", "query": f'rate(other{{n="{n}"}}[1m]) > 1e9', "severity": "P3"}
            for n in range(OTHERS)
        ]
    return [*rules, SLOW] if kind == "slow" else rules


async def _measure(kind: str, probes: int) -> list[float]:
    arrived: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="chainwatch-bench-") as folder:
        async with (
            _hook(arrived) as hook,
            _served(Path(folder), kind, hook) as url,
            aiohttp.ClientSession() as http,
        ):
            busy = asyncio.create_task(_keep_pushing(http, url, kind))
            sent = {}
            for n in range(-WARM_UP, probes):
                sent[f"p{n}"] = time.monotonic()
                await _push(http, url, [_probe(n, 1), _probe(n - FIRING, 0)])
                while n < 0 and f"p{n}" not in arrived:  # noqa: ASYNC110 - a bench
                    await asyncio.sleep(0.01)
                await asyncio.sleep(EVERY)
            async with asyncio.timeout(30):
                while len(arrived) < len(sent):  # noqa: ASYNC110 - a bench
                    await asyncio.sleep(0.05)
            busy.cancel()
    return [arrived[name] - at for name, at in list(sent.items())[WARM_UP:]]


def _probe(number: int, value: int) -> Mapping[str, Any]:
    return {"name": "probe", "labels": {"probe": f"p{number}"}, "value": value}


async def _keep_pushing(http: aiohttp.ClientSession, url: str, kind: str) -> None:
    value = 0
    while kind != "alone":
        value += 1
        some = [{"name": "other", "labels": {"n": str(n)}, "value": value} for n in range(OTHERS)]
        if kind == "slow":
            some += [{"name": "many", "labels": {"n": str(n)}, "value": value} for n in range(200)]
        await _push(http, url, some)
        await asyncio.sleep(1.0)


async def _push(http: aiohttp.ClientSession, url: str, samples: Sequence[Mapping[str, Any]]) -> None:
    async with http.post(f"{url}/samples", json={"samples": samples}) as answer:
        if answer.status >= 300:
            raise RuntimeError(await answer.text())


@asynccontextmanager
async def _hook(arrived: dict[str, float]) -> AsyncIterator[str]:
    async def take(request: web.Request) -> web.Response:
        at = time.monotonic()
        for alert in (await request.json())["alerts"]:
            arrived.setdefault(alert["labels"].get("probe", ""), at)
        arrived.pop("", None)
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/", take)])
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _served(folder: Path, kind: str, hook: str) -> AsyncIterator[str]:
    (folder / "kind").write_text(kind)
    port = free_port()
    command = [sys.executable, "-m", "scripts.bench.rule_latency", "--serve", str(folder), str(port), hook]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: ASYNC220
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as http, asyncio.timeout(60):
            while not await _is_ready(http, url):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait()


async def _is_ready(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(f"{url}/v1/rules?limit=1") as answer:
            rows = (await answer.json())["rows"] if answer.status == 200 else []
            return bool(rows) and rows[0]["health"] == "ok"
    except aiohttp.ClientError:
        return False


async def _serve(folder: Path, port: int, hook: str) -> None:
    """Run alerting, rules and the server, as `chainwatch run` does without networks, until killed."""
    sys.setswitchinterval(SWITCH_EVERY)
    collect_seldom()
    config = {
        "store": {"url": f"sqlite:///{folder}/chainwatch.db"},
        "api": {"listen": f"127.0.0.1:{port}"},
        "receivers": {
            "hook": {"provider": "webhook", "url": hook, "allow_private": True, "send_resolved": False}
        },
        "routes": [{"receivers": ["hook"], "group_by": ["..."], "group_wait": "0s"}],
        "rules": _rules((folder / "kind").read_text()),
    }
    plan = make_plan(read_dict(config, watches=False))
    with closing(Database.open(plan.settings.store.url.get_secret_value())) as database:
        alerting = AlertingRuntime(database, live_alerting.alerting(plan.settings))
        await alerting.resume()
        running, engine = Running(plan, database, alerting, Health([])), RuleEngine()
        tasks = {**engine.companions(running), **server.companions(lambda: None, engine)(running)}
        async with asyncio.TaskGroup() as group:
            for task in tasks.values():
                group.create_task(_run(task))
            await alerting.start()


async def _run(task: Any) -> None:
    await task()


if __name__ == "__main__":
    main()
