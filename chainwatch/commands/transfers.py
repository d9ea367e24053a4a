"""The commands that show networks, transfers, and how long transfers took."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from chainwatch.commands.common import accessing, doubt, print_more
from chainwatch.commands.options import Moment, as_json, paged
from chainwatch.model import TRANSFER_STATUSES


@click.command()
@as_json
@click.pass_obj
def status(config: Path, as_json: bool) -> None:
    """Show networks, transfers, alerts and queues."""
    from chainwatch.commands.show import watching as show
    from chainwatch.operations import queries

    with accessing(config) as access:
        found = access.read(queries.status)
    show.status(found, as_json)


@click.command()
@click.option("--flow", help="Only transfers of this flow.")
@click.option(
    "--status",
    "statuses",
    type=click.Choice(TRANSFER_STATUSES),
    multiple=True,
    help="Only transfers with this status (repeatable).",
)
@click.option(
    "--key",
    help="Only transfers whose key begins with this, or as an alert shortens it: 0x3c1e02a9b7…c4d9e1; or with a step in "
    "the transaction of this hash.",
)
@click.option(
    "--address",
    help="Only transfers with this address among the arguments of their events, or that sent or received a transaction of "
    "theirs (which is known where a flow reads it).",
)
@click.option("--origin", help="Only transfers from this network.")
@click.option("--destination", help="Only transfers to this network.")
@click.option(
    "--since", type=Moment(), help="Opened at this time or later: a date, a time, or 24h ago as 24h."
)
@click.option("--until", type=Moment(), help="Opened before this time.")
@paged()
@as_json
@click.pass_obj
def transfers(config: Path, /, as_json: bool, **wanted: Any) -> None:
    """List transfers with their steps and deadlines."""
    from chainwatch.commands.show import watching as show
    from chainwatch.operations import queries

    with accessing(config) as access:
        settings = access.context.settings
        doubt("flow", wanted["flow"], settings.flows)
        doubt("network", wanted["origin"], settings.networks)
        doubt("network", wanted["destination"], settings.networks)
        page = access.read(queries.list_transfers, **wanted)
    show.transfers(page.rows, as_json)
    print_more(page)


@click.group()
def report() -> None:
    """Report on the transfers seen."""


@report.command("latency")
@click.option("--flow", help="Only transfers of this flow.")
@click.option("--since", type=Moment(), help="Opened at this time or later.")
@click.option("--until", type=Moment(), help="Opened before this time.")
@as_json
@click.pass_obj
def report_latency(
    config: Path, flow: str | None, since: int | None, until: int | None, as_json: bool
) -> None:
    """Show how long each step took, per route: count, median, 90th and 99th percentile, longest, overdue."""
    from chainwatch.commands.show import watching as show
    from chainwatch.operations import queries

    with accessing(config) as access:
        doubt("flow", flow, access.context.settings.flows)
        found = access.read(queries.latency, flow=flow, since=since, until=until)
    show.latency(found, as_json)
