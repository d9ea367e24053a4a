"""The commands that test delivery: which routes alerts take, and whether receivers can be reached."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import click

from chainwatch.commands.common import FAILED, accessing, refusals, settings_of
from chainwatch.commands.options import Duration, as_json


@click.group()
def routes() -> None:
    """Show which routes alerts take."""


@routes.command("test")
@click.argument("labels", nargs=-1, metavar="LABEL=VALUE…")
@as_json
@click.pass_obj
def routes_test(config: Path, labels: tuple[str, ...], as_json: bool) -> None:
    """Draw the tree of routes and mark those that an alert with these labels takes."""
    from chainwatch.commands.show import alerts as show
    from chainwatch.operations import routing
    from chainwatch.operations.created import extended_by_database

    wrong = [word for word in labels if not word.partition("=")[1]]
    if wrong:
        raise click.UsageError(f"{wrong[0]!r} is not LABEL=VALUE")
    given = dict(word.partition("=")[::2] for word in labels)
    with refusals():
        found = routing.trace_routes(extended_by_database(settings_of(config)).settings, given)
    show.routes(found, as_json)


severity = click.option(
    "--severity",
    type=click.Choice(["P0", "P1", "P2", "P3"]),
    default="P3",
    show_default=True,
    help="The sample's severity.",
)
resolved = click.option("--resolved", is_flag=True, help="A sample that is over, instead of one that fires.")


@click.group()
def receivers() -> None:
    """List receivers, test whether they can be reached, and see what their messages look like."""


@receivers.command("list")
@as_json
@click.pass_obj
def receivers_list(config: Path, as_json: bool) -> None:
    """List the receivers of the configuration, and those that were created through the HTTP server."""
    from chainwatch.commands.show import people as show
    from chainwatch.operations.configured import receivers_of
    from chainwatch.operations.created import extended_by_database

    extended = extended_by_database(settings_of(config))
    show.receivers(receivers_of(extended, extended.settings.receivers), as_json)


@receivers.command("test")
@click.argument("name")
@click.option(
    "--within", type=Duration(), default="30s", show_default=True, help="How long to wait for the delivery."
)
@severity
@resolved
@as_json
@click.pass_obj
def receivers_test(
    config: Path, name: str, within: float, severity: str, resolved: bool, as_json: bool
) -> None:
    """Send a sample, marked as a test, through the real queue, and report whether it was delivered.

    A sample that fires stays open at channels that keep a state, such as PagerDuty: send it again with --resolved.
    """
    from chainwatch.commands.show import people as show
    from chainwatch.operations import receiver_test

    with accessing(config, create=True) as access:  # receivers are tried before the first run
        sending = receiver_test.send_sample(
            access.database, access.context.settings, name, within, severity, resolved=resolved
        )
        outcome = asyncio.run(sending)
    show.sample(outcome, as_json)
    if not outcome.delivered:
        sys.exit(FAILED)


@receivers.command("preview")
@click.argument("name")
@severity
@resolved
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page that shows the message."
)
@click.pass_obj
def receivers_preview(config: Path, name: str, severity: str, resolved: bool, html: Path | None) -> None:
    """Print the message that a receiver would get about a late transfer, as JSON. Nothing is sent."""
    from chainwatch.commands.show.terminal import print_json
    from chainwatch.operations.created import extended_by_database
    from chainwatch.operations.receiver_preview import preview

    with refusals():
        shown = preview(
            extended_by_database(settings_of(config)).settings, name, severity, time.time(), resolved=resolved
        )
    if html is None:
        print_json(shown.message)
        return
    try:
        html.write_text(shown.html, encoding="utf-8", errors="replace")
    except OSError as error:
        raise click.ClickException(f"{html} cannot be written: {error.strerror}") from None
    click.echo(f"written: {html}")
