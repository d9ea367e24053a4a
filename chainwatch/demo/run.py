"""``chainwatch demo``: the real pipeline on two embedded chains, alerts on the console, a summary at the end."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from rich.console import Console

from chainwatch.config import LogSettings, read_dict
from chainwatch.demo import scenario
from chainwatch.demo.chain import DemoChain
from chainwatch.logs import configure
from chainwatch.monitor import monitor
from chainwatch.plan import Plan, make_plan
from chainwatch.store import transfers
from chainwatch.store.alerting import alerts
from chainwatch.store.database import Database

ALPHA_CHAIN_ID = 900_001
BETA_CHAIN_ID = 900_002


async def run_demo(folder: Path, seconds: float, stop: asyncio.Event) -> None:
    """Run the demo in ``folder`` for ``seconds``, or until ``stop`` is set."""
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
        plan = make_plan(read_dict(scenario.config(alpha, beta, addresses, folder / "demo.db")))
        with contextlib.closing(Database.open(plan.settings.store.url.get_secret_value())) as database:
            await _watch(plan, database, alpha, beta, console, seconds, stop)
            _summarize(database, console)
    finally:
        await asyncio.gather(alpha.stop(), beta.stop())


async def _watch(
    plan: Plan,
    database: Database,
    alpha: DemoChain,
    beta: DemoChain,
    console: Console,
    seconds: float,
    stop: asyncio.Event,
) -> None:
    watching = asyncio.create_task(monitor.run(plan, database, stop))
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
