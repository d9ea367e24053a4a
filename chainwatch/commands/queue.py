"""The commands about the queues of notifications."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chainwatch.commands.common import FAILED, accessing, doubt, print_changed, print_more
from chainwatch.commands.options import Id, as_json, ids, paged

if TYPE_CHECKING:
    from chainwatch.operations.views import Changed


@click.group()
def queue() -> None:
    """List, retry or drop notifications, which wait in one queue for each receiver.

    A notification is pending until it is delivered, dead (its retries are exhausted, or it was permanently refused) or
    dropped by a person.
    """


@queue.command("list")
@click.option("--receiver", help="Only this receiver's.")
@click.option("--status", type=click.Choice(["pending", "delivered", "dead", "dropped"]), help="Only these.")
@paged()
@as_json
@click.pass_obj
def queue_list(
    config: Path, receiver: str | None, status: str | None, limit: int, after: str | None, as_json: bool
) -> None:
    """List notifications with their attempts and last error."""
    from chainwatch.commands.show import watching as show
    from chainwatch.operations import notifications

    with accessing(config) as access:
        doubt("receiver", receiver, access.context.receivers)
        page = access.read(
            notifications.list_notifications, receiver=receiver, status=status, limit=limit, after=after
        )
    show.queue(page.rows, as_json)
    print_more(page)


@queue.command("retry")
@click.argument("ids", type=Id(), nargs=-1)
@click.option("--receiver", help="All dead and pending notifications of this receiver.")
@click.pass_obj
def queue_retry(config: Path, ids: tuple[int, ...], receiver: str | None) -> None:
    """Retry notifications now: by ID, or all of a receiver."""
    from chainwatch.operations import notifications

    if bool(ids) == (receiver is not None):
        raise click.UsageError("give either notification IDs or --receiver")
    with accessing(config) as access:
        if receiver is None:
            _print_changed(access.write(notifications.retry, ids), "to be retried", "delivered already")
            return
        doubt("receiver", receiver, access.context.receivers)
        number = access.write(notifications.retry_receiver, receiver)
    click.echo(f"{number} to be retried")
    if number == 0:
        click.echo("it has no pending or dead notifications; `chainwatch queue list` lists all", err=True)
        sys.exit(FAILED)


@queue.command("drop")
@ids
@click.pass_obj
def queue_drop(config: Path, ids: tuple[int, ...]) -> None:
    """Drop notifications for good; they stay visible as dropped."""
    from chainwatch.operations import notifications

    with accessing(config) as access:
        changed = access.write(notifications.drop, ids)
    _print_changed(changed, "dropped", "neither pending nor dead")


def _print_changed(changed: Changed, done: str, conflicting: str) -> None:
    print_changed(changed, done, conflicting=conflicting, kind="notification", listed_by="queue list")
