"""The commands about the queues of notifications."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from chainwatch.commands.common import doubt, looking_at, print_done
from chainwatch.commands.options import Id, as_json, at_most, ids

NONE = "no such notification is pending or dead; `chainwatch queue list` lists them"


@click.group()
def queue() -> None:
    """The queues of notifications, one for each receiver: list, retry or drop notifications.

    A notification is pending until it is delivered, dead (its retries are exhausted, or it was permanently refused) or
    dropped by a person.
    """


@queue.command("list")
@click.option("--receiver", help="Only this receiver's.")
@click.option("--status", type=click.Choice(["pending", "delivered", "dead", "dropped"]), help="Only these.")
@at_most
@as_json
@click.pass_obj
def queue_list(config: Path, receiver: str | None, status: Any, limit: int, as_json: bool) -> None:
    """List notifications with their attempts and last error."""
    from chainwatch.commands.show import watching as show
    from chainwatch.operations import queries

    with looking_at(config) as look:
        doubt("receiver", receiver, look.plan.settings.receivers)
        show.queue(queries.queue(look, receiver, status, limit), as_json)


@queue.command("retry")
@click.argument("ids", type=Id(), nargs=-1)
@click.option("--receiver", help="All dead and pending notifications of this receiver.")
@click.pass_obj
def queue_retry(config: Path, ids: tuple[int, ...], receiver: str | None) -> None:
    """Retry notifications now: by ID, or all of a receiver."""
    from chainwatch.operations import queries

    if bool(ids) == (receiver is not None):
        raise click.UsageError("give either notification IDs or --receiver")
    with looking_at(config) as look:
        doubt("receiver", receiver, look.plan.settings.receivers)
        print_done(queries.retry(look, ids, receiver), "to be retried", NONE)


@queue.command("drop")
@ids
@click.pass_obj
def queue_drop(config: Path, ids: tuple[int, ...]) -> None:
    """Drop notifications for good; they stay visible as dropped."""
    from chainwatch.operations import queries

    with looking_at(config) as look:
        print_done(queries.drop(look, ids), "dropped", NONE)
