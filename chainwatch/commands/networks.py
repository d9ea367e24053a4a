"""The commands that correct what was read of one network."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import click

from chainwatch.commands.common import FAILED, plan_of, refusals
from chainwatch.commands.options import Block, as_json
from chainwatch.model import to_hex


@click.command()
@click.argument("network")
@click.argument("block", type=Block)
@click.pass_obj
def rewind(config: Path, network: str, block: int) -> None:
    """Discard what was read of NETWORK after BLOCK, so that `run` reads it again from there."""
    from chainwatch.operations import rewinding
    from chainwatch.operations.context import open_database

    plan = plan_of(config)
    with refusals(), open_database(plan, claim=True, create=False) as database:
        header = asyncio.run(rewinding.rewind(database, plan, time.time(), network, block))
    click.echo(f"{network} resumes after block {header.number}, {to_hex(header.hash)}")


@click.command()
@click.argument("network")
@click.option("--from", "first", type=Block, help="The first block. Default: the first one read.")
@click.option("--to", "last", type=Block, help="The last block. Default: the last one read.")
@click.option("--repair", is_flag=True, help="Correct the differences, with everything that depends on them.")
@as_json
@click.pass_obj
def audit(
    config: Path, network: str, first: int | None, last: int | None, repair: bool, as_json: bool
) -> None:
    """Read blocks of NETWORK again, through another endpoint if there is one, and compare with what is stored."""
    from chainwatch.commands.show import watching as show
    from chainwatch.operations import auditing
    from chainwatch.operations.context import open_database

    plan = plan_of(config)

    async def run() -> auditing.Audit:
        found = await auditing.audit(database, plan, time.time(), network, first, last)
        if repair and found.differences:
            await auditing.repair(database, plan, time.time(), found)
        return found

    with refusals(), open_database(plan, claim=repair, create=False) as database:
        found = asyncio.run(run())
    show.audit(auditing.view(found, repair), as_json)
    if found.differences:
        sys.exit(FAILED)
