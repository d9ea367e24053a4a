"""The commands that test delivery: which routes alerts take, and whether receivers can be reached."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from chainwatch.commands.common import FAILED, accessing, refusals, settings_of
from chainwatch.commands.options import Duration, as_json


@click.group()
def routes() -> None:
    """Show which of the configured routes alerts take."""


@routes.command("test")
@click.argument("labels", nargs=-1, metavar="LABEL=VALUE…")
@as_json
@click.pass_obj
def routes_test(config: Path, labels: tuple[str, ...], as_json: bool) -> None:
    """Draw the tree of routes and mark those that an alert with these labels takes."""
    from chainwatch.commands.show import alerts as show
    from chainwatch.operations import routing

    wrong = [word for word in labels if not word.partition("=")[1]]
    if wrong:
        raise click.UsageError(f"{wrong[0]!r} is not LABEL=VALUE")
    given = dict(word.partition("=")[::2] for word in labels)
    with refusals():
        found = routing.trace_routes(settings_of(config), given)
    show.routes(found, as_json)


@click.group()
def receivers() -> None:
    """Test whether receivers of notifications can be reached."""


@receivers.command("test")
@click.argument("name")
@click.option(
    "--within", type=Duration(), default="30s", show_default=True, help="How long to wait for the delivery."
)
@as_json
@click.pass_obj
def receivers_test(config: Path, name: str, within: float, as_json: bool) -> None:
    """Send a sample, marked as a test, through the real queue, and report whether it was delivered."""
    from chainwatch.commands.show import people as show
    from chainwatch.operations import receiver_test

    with accessing(config) as access:
        sending = receiver_test.send_sample(access.database, access.context.settings, name, within)
        outcome = asyncio.run(sending)
    show.sample(outcome, as_json)
    if not outcome.delivered:
        sys.exit(FAILED)
