"""The commands that correct what was read of one network."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import click

from chainwatch.commands.common import FAILED, known_as, plan_of
from chainwatch.commands.options import Block, as_json
from chainwatch.model import to_hex


@click.command()
@click.argument("network")
@click.argument("block", type=Block)
@click.pass_obj
def rewind(config: Path, network: str, block: int) -> None:
    """Discard what was read of NETWORK after BLOCK, so that `run` reads it again from there."""
    from chainwatch.operations import rewinding
    from chainwatch.store.claim import claimed
    from chainwatch.store.database import Database

    plan = plan_of(config)
    known_as("network that is watched", network, plan.watches)
    url = plan.settings.store.url.get_secret_value()
    with claimed(url), contextlib.closing(Database.open(url, create=False)) as database:
        header = asyncio.run(rewinding.rewind(plan, database, network, block))
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
    from chainwatch.store.claim import claimed
    from chainwatch.store.database import Database

    plan = plan_of(config)
    known_as("network that is watched", network, plan.watches)
    url = plan.settings.store.url.get_secret_value()
    with (
        claimed(url) if repair else contextlib.nullcontext(),
        contextlib.closing(Database.open(url, create=False)) as database,
    ):
        found = asyncio.run(auditing.audit(plan, database, network, first, last))
        if repair and found.differences:
            auditing.repair(plan, database, found)
    show.audit(found, repair, as_json)
    if found.differences:
        sys.exit(FAILED)
