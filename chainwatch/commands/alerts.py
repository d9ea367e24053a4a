"""The commands about alerts: list, acknowledge, resolve, and explain who was notified and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from chainwatch.commands.common import FAILED, accessing, print_changed, print_more
from chainwatch.commands.options import Duration, Id, Moment, Severity, as_json, by, default_to, ids, paged

note = click.option("--note", default="", help="A reason, recorded in the history.")


def _wanted(command: Any) -> Any:
    """Return the options by which alerts are chosen."""
    for option in reversed(
        [
            click.option("--firing", is_flag=True, help="Only those that fire now."),
            click.option("--name", help="Only alerts of this name, such as TransferOverdue."),
            click.option(
                "--severity",
                "severities",
                type=Severity(),
                multiple=True,
                help="Only this severity (repeatable).",
            ),
            click.option("--since", type=Moment(), help="Started at this chain time or later."),
            click.option("--until", type=Moment(), help="Started by this chain time."),
            paged(),
            as_json,
        ]
    ):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@_wanted
@click.pass_context
def alerts(context: click.Context, /, **wanted: Any) -> None:
    """List alerts, firing and past (the default), acknowledge, resolve and explain them."""
    if context.invoked_subcommand is None:
        _list(context.obj, **wanted)
    else:
        default_to(context, wanted)


@alerts.command("list")
@_wanted
@click.pass_obj
def alerts_list(config: Path, /, **wanted: Any) -> None:
    """List alerts, firing and past."""
    _list(config, **wanted)


def _list(config: Path, /, as_json: bool, **wanted: Any) -> None:
    from chainwatch.commands.show import watching as show
    from chainwatch.operations import queries

    with accessing(config) as access:
        page = access.read(queries.list_alerts, **wanted)
    show.alerts(page.rows, as_json)
    print_more(page)


@alerts.command("show")
@click.argument("alert_id", metavar="ID", type=Id())
@as_json
@click.pass_obj
def alerts_show(config: Path, alert_id: int, as_json: bool) -> None:
    """Show everything about one alert."""
    from chainwatch.commands.show import alerts as show
    from chainwatch.operations import alert_details

    with accessing(config, not_found=FAILED) as access:
        found = access.read(alert_details.show, alert_id)
    show.alert(found, as_json)


@alerts.command("history")
@click.argument("alert_id", metavar="ID", type=Id())
@paged("oldest first")
@as_json
@click.pass_obj
def alerts_history(config: Path, alert_id: int, limit: int, after: str | None, as_json: bool) -> None:
    """Show an alert's history: what happened, when, why, and by whom."""
    from chainwatch.commands.show import alerts as show
    from chainwatch.operations import alert_details

    with accessing(config, not_found=FAILED) as access:
        page = access.read(alert_details.list_history, alert_id, limit=limit, after=after)
    show.history(page.rows, as_json)
    print_more(page)


@alerts.command("explain")
@click.argument("alert_id", metavar="ID", type=Id())
@as_json
@click.pass_obj
def alerts_explain(config: Path, alert_id: int, as_json: bool) -> None:
    """Show for every receiver whether it was notified of an alert, and why or why not."""
    from chainwatch.commands.show import alerts as show
    from chainwatch.operations import explanations

    with accessing(config, not_found=FAILED) as access:
        found = access.read(explanations.explain, alert_id)
    show.explanation(found, as_json)


@alerts.command("ack")
@ids
@by
@note
@click.option(
    "--for",
    "seconds",
    type=Duration(),
    help="Let it lapse after this time. Default: when the alert is resolved.",
)
@click.pass_obj
def alerts_ack(config: Path, ids: tuple[int, ...], actor: str, note: str, seconds: float | None) -> None:
    """Acknowledge alerts: they are not repeated and escalate no further."""
    from chainwatch.operations import alert_actions

    with accessing(config) as access:
        changed = access.write(alert_actions.acknowledge, ids, actor, note, lasts=seconds)
    print_changed(changed, "acknowledged", conflicting="not firing", kind="alert", listed_by="alerts")


@alerts.command("unack")
@ids
@by
@click.pass_obj
def alerts_unack(config: Path, ids: tuple[int, ...], actor: str) -> None:
    """Drop acknowledgements: the alerts are sent again."""
    from chainwatch.operations import alert_actions

    with accessing(config) as access:
        changed = access.write(alert_actions.unacknowledge, ids, actor)
    print_changed(changed, "unacknowledged", conflicting="not acknowledged", kind="alert", listed_by="alerts")


@alerts.command("resolve")
@ids
@by
@note
@click.pass_obj
def alerts_resolve(config: Path, ids: tuple[int, ...], actor: str, note: str) -> None:
    """Resolve alerts by hand; they are raised again only when their condition ends and begins again."""
    from chainwatch.operations import alert_actions

    with accessing(config) as access:
        changed = access.write(alert_actions.resolve, ids, actor, note)
    print_changed(changed, "resolved", conflicting="not firing", kind="alert", listed_by="alerts")
