"""``chainwatch demo``: the real pipeline on two embedded chains, alerts on the console, a summary at the end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from rich.console import Console

from chainwatch.config import LogSettings, read_dict
from chainwatch.demo import scenario
from chainwatch.demo.chain import DemoChain
from chainwatch.logs import configure
from chainwatch.monitor import monitor
from chainwatch.monitor.companions import Companions
from chainwatch.monitor.monitor import ConfigureAlerting
from chainwatch.plan import make_plan
from chainwatch.store import transfers
from chainwatch.store.alerting import alerts
from chainwatch.store.database import Database

ALPHA_CHAIN_ID = 900_001
BETA_CHAIN_ID = 900_002
PORT = 9095
"""Where the demo's page is, if nobody else listens there."""


async def run_demo(
    folder: Path,
    seconds: float,
    stop: asyncio.Event,
    alerting: ConfigureAlerting,
    companions: Companions,
) -> None:
    """Run the demo in ``folder`` for ``seconds``, or until ``stop`` is set, with ``companions`` such as the HTTP server."""
    configure(LogSettings(level="warning"))
    console = Console()
    console.print("[bold]chainwatch demo[/]: two chains, one bridge, deadlines of seconds")
    alpha, beta = DemoChain(ALPHA_CHAIN_ID, "alpha"), DemoChain(BETA_CHAIN_ID, "beta")
    try:
        await asyncio.gather(alpha.start(), beta.start())
        addresses = {
            "alpha": await alpha.deploy_bridge(scenario.ALPHA_DOMAIN),
            "beta": await beta.deploy_bridge(scenario.BETA_DOMAIN),
        }
        listen = f"127.0.0.1:{_usable_port(PORT)}"
        plan = make_plan(read_dict(scenario.config(alpha, beta, addresses, folder / "demo.db", listen)))
        console.print(f"its page, as long as it runs: [bold]http://{listen}/ui/[/]")
        with contextlib.closing(Database.open(plan.settings.store.url.get_secret_value())) as database:
            watching = monitor.run(plan, database, stop, alerting=alerting, companions=companions)
            await _tell(watching, alpha, beta, console, seconds, stop)
            _summarize(database, console)
    finally:
        await asyncio.gather(alpha.stop(), beta.stop())


async def _tell(
    monitoring: Coroutine[Any, Any, None],
    alpha: DemoChain,
    beta: DemoChain,
    console: Console,
    seconds: float,
    stop: asyncio.Event,
) -> None:
    watching = asyncio.create_task(monitoring)
    story = asyncio.create_task(
        scenario.play(alpha, beta, lambda text: console.print(f"[dim]demo ▸ {text}[/]"))
    )
    try:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)
    finally:
        stop.set()
        story.cancel()
        await asyncio.gather(story, return_exceptions=True)
        await watching


def _usable_port(wanted: int) -> int:
    """Return ``wanted`` where nobody listens on it, otherwise another port."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    return wanted


def _summarize(database: Database, console: Console) -> None:
    with database.reading() as connection:
        counts = transfers.counts(connection).get("bridge", {})
        raised = [a for a in alerts.list_alerts(connection) if a.name.startswith("Transfer")]
    counted = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    firing = sum(a.state == "firing" for a in raised)
    console.print(f"[bold]transfers[/]: {counted or 'none'}")
    console.print(
        f"[bold]alerts[/]: {len(raised)} raised, {len(raised) - firing} resolved, {firing} still firing"
    )
