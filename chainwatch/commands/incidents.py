"""The commands about incidents and statistics."""

from __future__ import annotations

import time
from pathlib import Path

import click

from chainwatch.commands.common import looking_at, myself
from chainwatch.commands.options import Id, Moment, as_json, at_most


@click.command()
@click.option("--open", "is_open", is_flag=True, help="Only those with firing alerts.")
@click.option(
    "--since", type=Moment(), help="Opened at this time or later: a date, a time, or 24h ago as 24h."
)
@click.option("--until", type=Moment(), help="Opened before this time.")
@at_most
@as_json
@click.pass_obj
def incidents(
    config: Path, is_open: bool, since: int | None, until: int | None, limit: int, as_json: bool
) -> None:
    """List incidents: groups of alerts, each from the first start to the last resolution."""
    from chainwatch.commands.show import people as show
    from chainwatch.operations import reports

    with looking_at(config) as look:
        found = reports.list_incidents(look, is_open=is_open, since=since, until=until, limit=limit)
        show.incidents(found, as_json)


@click.command()
@click.argument("incident_id", metavar="ID", type=Id())
@click.option("--note", help="Add this note to its timeline.")
@click.option("--author", help="The note's author. Default: the user's name.")
@as_json
@click.pass_obj
def incident(config: Path, incident_id: int, note: str | None, author: str | None, as_json: bool) -> None:
    """Print an incident with its timeline as Markdown, for the review afterwards."""
    from chainwatch.commands.show import people as show
    from chainwatch.operations import reports

    with looking_at(config) as look:
        if note:
            reports.add_note(look, incident_id, author or myself(), note)
        show.incident(reports.incident(look, incident_id), as_json)


@click.command()
@click.option("--since", type=Moment(), default="7d", show_default=True, help="Start of the window.")
@click.option("--until", type=Moment(), help="End of the window. Default: now.")
@as_json
@click.pass_obj
def stats(config: Path, since: int, until: int | None, as_json: bool) -> None:
    """Statistics over a window: totals, times to acknowledge and resolve, deliveries, noise, trend."""
    from chainwatch.commands.show import people as show
    from chainwatch.operations import reports

    with looking_at(config) as look:
        end = int(time.time()) if until is None else until
        if end <= since:
            raise click.UsageError("the window ends before it begins: --until must be later than --since")
        show.statistics(reports.statistics_of(look, since, end), as_json)
