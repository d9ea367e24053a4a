"""The commands about the queues of notifications."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from chainwatch.commands.common import looking_at
from chainwatch.commands.options import Id, as_json, at_most, ids


@click.group()
def queue() -> None:
    """Look at the queues of notifications, try again, or drop."""


@queue.command("list")
@click.option("--receiver", help="Only this receiver's.")
@click.option("--status", type=click.Choice(["pending", "delivered", "dead", "dropped"]), help="Only these.")
@at_most
@as_json
@click.pass_obj
def queue_list(config: Path, receiver: str | None, status: Any, limit: int, as_json: bool) -> None:
    """List notifications with their attempts and last error."""
    from chainwatch.commands.show import watching as show
    from chainwatch.operations import looking

    with looking_at(config) as look:
        show.queue(looking.queue(look, receiver, status, limit), as_json)


@queue.command("retry")
@click.argument("ids", type=Id, nargs=-1)
@click.option("--receiver", help="All dead and waiting notifications of this receiver.")
@click.pass_obj
def queue_retry(config: Path, ids: tuple[int, ...], receiver: str | None) -> None:
    """Try notifications again now: by id, or all of a receiver."""
    from chainwatch.operations import looking

    if bool(ids) == (receiver is not None):
        raise click.UsageError("name notification ids, or a receiver with --receiver")
    with looking_at(config) as look:
        click.echo(f"{looking.retry(look, ids, receiver)} to be tried again")


@queue.command("drop")
@ids
@click.pass_obj
def queue_drop(config: Path, ids: tuple[int, ...]) -> None:
    """Give notifications up for good; they stay visible as dropped."""
    from chainwatch.operations import looking

    with looking_at(config) as look:
        click.echo(f"{looking.drop(look, ids)} dropped")
