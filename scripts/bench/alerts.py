"""What alerting takes and delivers a second, on disk, with Debian's Alertmanager beside it where it is installed.

``python -m scripts.bench.alerts [ROW …]`` prints a row for each measurement. chainwatch runs in process through the
library, on SQLite that commits to disk; Alertmanager is spoken to over HTTP. The webhook is another process on loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple

import structlog

from chainwatch import AlertManager
from chainwatch.model import Deadline
from chainwatch.monitor.deadlines import DeadlineScheduler
from chainwatch.store import bulk, tables, transfers
from chainwatch.store.database import Database
from scripts.bench import hook as hooks
from scripts.bench import peer

ACCEPTED = 20_000
LATENCIES = 400
STORM = 5_000
ACTIVE = 100_000
DEADLINES = 1_000_000
CHANGED = 20_000
DUE = 10_000
REFUSING = 30.0
NEVER = "1h"


class Row(NamedTuple):
    """One line of the table."""

    what: str
    alertmanager: str
    chainwatch: str
    wanted: str


def main() -> None:
    """Measure the rows that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], help="default: all")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        CHILDREN[arguments.child[0]](*arguments.child[1:])
        return
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print("| | Alertmanager here (memory only) | chainwatch (committed to disk) | wanted |")
    print("| --- | --- | --- | --- |")
    for name in arguments.rows or ROWS:
        with tempfile.TemporaryDirectory() as folder:
            print(f"| {' | '.join(ROWS[name](Path(folder)))} |", flush=True)


# --- what both are given ----------------------------------------------------------------------------------


def alerts(numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Alerts as large as those about transfers."""
    return [
        {
            "labels": {
                "alertname": "TransferOverdue",
                "severity": "critical",
                "flow": "connext",
                "step": "execute",
                "transfer": f"0x{number:064x}",
                "n": str(number),
            },
            "annotations": {"summary": f"execute is overdue for {number}", "amount": "2500000000000000000"},
        }
        for number in numbers
    ]


def library(folder: Path, url: str, *, group_by: Sequence[str], group_wait: str) -> AlertManager:
    """chainwatch with a database on disk and one webhook."""
    return AlertManager.from_config(
        {
            "store": {"url": f"sqlite:///{folder}/alerts.db"},
            "receivers": {"hook": {"provider": "webhook", "url": url, "allow_private": True}},
            "routes": [{"receivers": ["hook"], "group_by": list(group_by), "group_wait": group_wait}],
        },
        resolve_timeout="1h",
    )


def batches(total: int, size: int) -> list[list[dict[str, Any]]]:
    """Alerts numbered from 0 in batches."""
    return [alerts(range(start, min(start + size, total))) for start in range(0, total, size)]


Submit = Callable[[list[dict[str, Any]]], object]


# --- the rows -----------------------------------------------------------------------------------------------


def accept(folder: Path) -> Row:
    """Batches of 500, one after the other."""
    work = batches(ACCEPTED, 500)

    def rate(submit: Submit) -> str:
        begun = time.perf_counter()
        for batch in work:
            submit(batch)
        return f"{ACCEPTED / (time.perf_counter() - begun):,.0f}/s"

    with hooks.running() as hook:
        theirs = "–"
        if peer.is_installed():
            with peer.running(
                folder / "am", hook.url, group_by="alertname", group_wait=NEVER
            ) as alertmanager:
                theirs = rate(alertmanager.submit)
        manager = library(folder, hook.url, group_by=["alertname"], group_wait=NEVER)
        ours = rate(manager.submit)
        manager.close(0)
    return Row("accept, batches of 500", theirs, ours, "≥ 15,000/s")


def burst(folder: Path) -> Row:
    """As many alerts as a loop can send, in memory: how long each send takes."""
    manager = AlertManager.from_config(
        {
            "receivers": {"screen": {"provider": "console"}},
            "routes": [{"receivers": ["screen"], "group_wait": NEVER}],
        }
    )
    took = []
    for work in batches(STORM, 1):
        begun = time.perf_counter()
        manager.submit(work)
        took.append((time.perf_counter() - begun) * 1000)
    percentiles = quantiles(took, n=100)
    manager.close(0)
    ours = f"p50 {percentiles[49]:.3f} ms, p99 {percentiles[98]:.3f} ms, longest {max(took):.1f} ms"
    return Row(f"{STORM:,} sends in memory, one after the other", "–", ours, "p99 < 1 ms")


def latency(folder: Path) -> Row:
    """One alert at a time, notified at once."""

    def times(hook: hooks.Hook, submit: Submit) -> str:
        hook.reset()
        sent = {}
        for number in range(LATENCIES):
            work = alerts([number])
            sent[number] = time.time()
            submit(work)
            time.sleep(0.005)
        seen = hook.wait_for(LATENCIES)
        percentiles = quantiles([(seen[n] - at) * 1000 for n, at in sent.items()], n=100)
        return f"p50 {percentiles[49]:.1f} ms, p99 {percentiles[98]:.1f} ms"

    with hooks.running() as hook:
        theirs = "–"
        if peer.is_installed():
            with peer.running(folder / "am", hook.url, group_by="'...'", group_wait="0s") as alertmanager:
                theirs = times(hook, alertmanager.submit)
        manager = library(folder, hook.url, group_by=["..."], group_wait="0s")
        ours = times(hook, manager.submit)
        manager.close(0)
    return Row("accept → webhook, `group_wait = 0`", theirs, ours, "p50 ≤ 4 ms, p99 ≤ 20 ms")


def storm(folder: Path) -> Row:
    """A group for each alert, in batches of 500."""
    work = batches(STORM, 500)

    def rate(hook: hooks.Hook, submit: Submit) -> str:
        hook.reset()
        begun = time.time()
        for batch in work:
            submit(batch)
        return f"{STORM / (max(hook.wait_for(STORM).values()) - begun):,.0f}/s"

    with hooks.running() as hook:
        theirs = "–"
        if peer.is_installed():
            with peer.running(folder / "am", hook.url, group_by="'...'", group_wait="0s") as alertmanager:
                theirs = rate(hook, alertmanager.submit)
        manager = library(folder, hook.url, group_by=["..."], group_wait="0s")
        ours = rate(hook, manager.submit)
        manager.close(0)
    return Row(f"{STORM:,} alerts, a group each → webhooks", theirs, ours, "≥ 2,500/s")


def memory(folder: Path) -> Row:
    """What a process grows by while so many alerts fire."""
    theirs = "–"
    with hooks.running() as hook:
        if peer.is_installed():
            with peer.running(folder / "am", hook.url, group_by="flow", group_wait=NEVER) as alertmanager:
                before = alertmanager.resident()
                for batch in batches(ACTIVE, 1000):
                    alertmanager.submit(batch)
                theirs = f"{alertmanager.resident() - before:,.0f} MiB"
        ours = _child("memory", folder, hook.url)
    return Row(f"{ACTIVE:,} active alerts", theirs, ours, "≤ 200 MiB")


def deadlines(folder: Path) -> Row:
    """A million of them open."""
    return Row(
        f"{DEADLINES:,} open deadlines", "–", _child("deadlines", folder), "≥ 10,000/s, ≤ 100 MiB, ≤ 3 s"
    )


def kill(folder: Path) -> Row:
    """SIGKILL as soon as a batch was accepted, then a new start."""
    theirs = "–"
    with hooks.running() as hook:
        if peer.is_installed():
            place = folder / "am"
            with peer.running(place, hook.url, group_by="'...'", group_wait="1s") as alertmanager:
                alertmanager.submit(alerts(range(1000)))
                alertmanager.kill()
            with peer.running(place, hook.url, group_by="'...'", group_wait="1s"):
                time.sleep(3)
            theirs = f"{1000 - len(hook.seen())} of 1,000 lost"
        hook.reset()
        child = subprocess.Popen(_line("kill", folder, hook.url), stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()  # it says when the batch was accepted
        child.kill()
        child.wait()
        early = len(hook.seen())
        manager = library(folder, hook.url, group_by=["..."], group_wait="1s")
        hook.wait_for(1000, 30)
        manager.close(0)
        ours = f"{1000 - len(hook.seen())} of 1,000 lost ({early} were delivered before)"
    return Row("after `kill -9` right after accept", theirs, ours, "none lost")


def refused(folder: Path) -> Row:
    """A webhook that answers 429, without saying for how long, while 100 notifications wait."""

    def attempts(hook: hooks.Hook, submit: Submit) -> str:
        hook.reset()
        submit(alerts(range(100)))
        time.sleep(REFUSING)
        return f"{hook.attempts():,} attempts"

    with hooks.running(REFUSING + 5) as hook:
        theirs = "–"
        if peer.is_installed():
            with peer.running(folder / "am", hook.url, group_by="'...'", group_wait="0s") as alertmanager:
                theirs = attempts(hook, alertmanager.submit)
        manager = library(folder, hook.url, group_by=["..."], group_wait="0s")
        ours = attempts(hook, manager.submit)
        manager.close(0)
    return Row(f"the receiver answers 429 for {REFUSING:g} s", theirs, ours, "≤ 10 attempts")


ROWS: dict[str, Callable[[Path], Row]] = {
    "accept": accept,
    "burst": burst,
    "latency": latency,
    "storm": storm,
    "memory": memory,
    "deadlines": deadlines,
    "kill": kill,
    "refused": refused,
}


# --- what needs a process of its own ------------------------------------------------------------------------


def _line(name: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "scripts.bench.alerts", "--child", name, *map(str, arguments)]


def _child(name: str, *arguments: object) -> str:
    return subprocess.run(_line(name, *arguments), check=True, capture_output=True, text=True).stdout.strip()


def _grow(folder: str, url: str) -> None:
    manager = library(Path(folder), url, group_by=["flow"], group_wait=NEVER)
    manager.submit(alerts([ACTIVE]))
    before = peer.resident(os.getpid())
    for start in range(0, ACTIVE, 1000):
        manager.submit(alerts(range(start, start + 1000)))
    grown = peer.resident(os.getpid()) - before
    print(f"{grown:,.0f} MiB")
    manager.close(0)


def _accept_and_wait(folder: str, url: str) -> None:
    manager = library(Path(folder), url, group_by=["..."], group_wait="1s")
    manager.submit(alerts(range(1000)))
    print("accepted", flush=True)
    time.sleep(60)


def _deadlines(folder: str) -> None:
    asyncio.run(_measure_deadlines(Path(folder)))


async def _measure_deadlines(folder: Path) -> None:
    """Rows as the pipeline writes them, batches of 1,000 a transaction, with the scheduler running beside."""
    database = Database.open(f"sqlite:///{folder}/deadlines.db")
    before = peer.resident(os.getpid())
    start = int(time.time())
    columns = ("transfer_id", "step", "network", "due_at")
    with database.transaction() as connection:
        for first in range(0, DEADLINES, 10_000):
            rows = [
                (n, "execute", "optimism", start + 3600 + n % 10_000) for n in range(first, first + 10_000)
            ]
            bulk.insert(connection, tables.deadlines, columns, rows)
    come: dict[int, float] = {}
    all_come = asyncio.Event()

    async def due(found: list[Deadline]) -> None:
        await database.write(lambda c: transfers.discard(c, found))
        come.update((deadline.transfer_id, time.time()) for deadline in found)
        if len(come) == DUE:
            all_come.set()

    async def load(after: tuple[int, int, str], until: int, limit: int) -> list[Deadline]:
        return await database.read(lambda c: transfers.due_after(c, after, until, limit))

    scheduler = DeadlineScheduler(load, due)
    running = asyncio.create_task(scheduler.run())
    await asyncio.sleep(0)
    begun = time.perf_counter()
    for first in range(DEADLINES, DEADLINES + CHANGED, 1000):
        some = [Deadline(n, "execute", "optimism", start + 3600) for n in range(first, first + 1000)]
        rows = [(d.transfer_id, d.step, d.network, d.due_at) for d in some]
        await database.write(lambda c: bulk.insert(c, tables.deadlines, columns, rows))  # noqa: B023
        scheduler.added(some)
        await database.write(lambda c: transfers.discard(c, some))  # noqa: B023
        scheduler.cancelled((d.transfer_id, d.step) for d in some)
    rate = CHANGED / (time.perf_counter() - begun)
    due_at = int(time.time()) + 3
    first = DEADLINES + CHANGED
    some = [Deadline(n, "execute", "optimism", due_at) for n in range(first, first + DUE)]
    rows = [(d.transfer_id, d.step, d.network, d.due_at) for d in some]
    await database.write(lambda c: bulk.insert(c, tables.deadlines, columns, rows))
    scheduler.added(some)
    await all_come.wait()
    late = max(come.values()) - due_at
    gc.collect()
    grown = peer.resident(os.getpid()) - before
    print(f"{rate:,.0f}/s, {grown:,.0f} MiB, {DUE:,} due at once within {late:.2f} s")
    running.cancel()
    database.close()


CHILDREN: dict[str, Callable[..., None]] = {
    "memory": _grow,
    "kill": _accept_and_wait,
    "deadlines": _deadlines,
}

if __name__ == "__main__":
    main()
