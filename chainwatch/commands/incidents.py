"""The commands about incidents and statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from chainwatch.commands.common import accessing, myself, print_more
from chainwatch.commands.options import Id, Moment, as_json, paged


@click.command()
@click.option("--open", "is_open", is_flag=True, help="Only those with firing alerts.")
@click.option(
    "--since", type=Moment(), help="Opened at this time or later: a date, a time, or 24h ago as 24h."
)
@click.option("--until", type=Moment(), help="Opened before this time.")
@paged()
@as_json
@click.pass_obj
def incidents(config: Path, /, as_json: bool, **wanted: Any) -> None:
    """List incidents: groups of alerts, each from the first start to the last resolution."""
    from chainwatch.commands.show import people as show
    from chainwatch.operations import incidents as operations

    with accessing(config) as access:
        page = access.read(operations.list_incidents, **wanted)
    show.incidents(page.rows, as_json)
    print_more(page)


@click.command()
@click.argument("incident_id", metavar="ID", type=Id())
@click.option("--note", help="Add this note to its timeline.")
@click.option("--author", help="The note's author. Default: the user's name.")
@as_json
@click.pass_obj
def incident(config: Path, incident_id: int, note: str | None, author: str | None, as_json: bool) -> None:
    """Print an incident with its timeline as Markdown, for the review afterwards."""
    from chainwatch.commands.show import people as show
    from chainwatch.operations import incidents as operations

    with accessing(config) as access:
        if note:
            access.write(operations.add_note, incident_id, author or myself(), note)
        found = access.read(operations.show_incident, incident_id)
    show.incident(found, as_json)


@click.command()
@click.option("--since", type=Moment(), default="7d", show_default=True, help="Start of the window.")
@click.option("--until", type=Moment(), help="End of the window. Default: now.")
@as_json
@click.pass_obj
def stats(config: Path, since: int, until: int | None, as_json: bool) -> None:
    """Show statistics of a window: totals, times to acknowledge and resolve, deliveries, noise, trend."""
    from chainwatch.commands.show import people as show
    from chainwatch.operations import reports

    with accessing(config) as access:
        found = access.read(reports.window_statistics, since, until)
    show.statistics(found, as_json)
