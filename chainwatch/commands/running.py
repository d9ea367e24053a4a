"""The commands that run until they are stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from pathlib import Path

import click

from chainwatch.commands.common import plan_of, run_until_stopped
from chainwatch.commands.options import Duration

SWITCH_EVERY = 0.0002
"""Seconds for which one thread may keep the interpreter from the others, by default 25 times as long."""


@click.command()
@click.pass_obj
def run(config: Path) -> None:
    """Follow every network and deliver alerts until stopped. SIGHUP reloads the configuration."""
    signal.signal(
        signal.SIGHUP, signal.SIG_IGN
    )  # until the handler is set, the default would end the process
    sys.setswitchinterval(SWITCH_EVERY)
    from chainwatch.api.server import companions
    from chainwatch.monitor import monitor
    from chainwatch.monitor.companions import together
    from chainwatch.operations.context import open_database
    from chainwatch.operations.live_alerting import alerting
    from chainwatch.operations.reloading import Reloads
    from chainwatch.rule_engine.engine import RuleEngine

    plan = plan_of(config)
    with open_database(plan, claim=True, create=True) as database:

        async def work(stop: asyncio.Event) -> None:
            reloads = Reloads(config, os.environ, database, plan)
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloads.ask)
            rules = RuleEngine()
            beside = together(rules.companions, companions(reloads.ask, rules))
            await monitor.run(plan, database, stop, reloads.next, alerting, beside)

        run_until_stopped(work)


@click.command()
@click.option("--for", "seconds", type=Duration(), default="60s", show_default=True, help="How long to run.")
def demo(seconds: float) -> None:
    """Watch two embedded chains on which transfers complete, get stuck, are orphaned and undone by a reorg.

    It prints the address of its page, which shows all that live.
    """
    from chainwatch.api.server import companions
    from chainwatch.demo.run import run_demo
    from chainwatch.monitor.companions import together
    from chainwatch.operations.live_alerting import alerting
    from chainwatch.rule_engine.engine import RuleEngine

    async def work(folder: Path, stop: asyncio.Event) -> None:
        rules = RuleEngine()
        page = companions(lambda: None, rules)  # there is no configuration that could be read again
        await run_demo(folder, seconds, stop, alerting, together(rules.companions, page))

    with tempfile.TemporaryDirectory(prefix="chainwatch-demo-") as folder:
        run_until_stopped(lambda stop: work(Path(folder), stop))
