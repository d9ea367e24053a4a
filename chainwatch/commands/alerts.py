"""The commands about alerts: list, acknowledge, resolve, and explain who was notified and why."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chainwatch.commands.common import FAILED, looking_at
from chainwatch.commands.options import Duration, Id, Moment, Severity, as_json, at_most, by, default_to, ids

if TYPE_CHECKING:
    from chainwatch.operations.queries import Look

note = click.option("--note", default="", help="A reason, recorded in the history.")


def _wanted(command: Any) -> Any:
    """The options by which alerts are chosen."""
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
            at_most,
            as_json,
        ]
    ):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@_wanted
@click.pass_context
def alerts(context: click.Context, /, **wanted: Any) -> None:
    """Alerts, firing and past: list (the default), acknowledge, resolve and explain them."""
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


def _list(config: Path, /, limit: int, as_json: bool, **wanted: Any) -> None:
    from chainwatch.commands.show import watching as show
    from chainwatch.operations import queries

    with looking_at(config) as look:
        show.alerts(queries.alerts(look, limit, **wanted), as_json)


@alerts.command("show")
@click.argument("alert_id", metavar="ID", type=Id())
@as_json
@click.pass_obj
def alerts_show(config: Path, alert_id: int, as_json: bool) -> None:
    """Show everything about one alert."""
    from chainwatch.commands.show import alerts as show
    from chainwatch.operations import explanations

    with looking_at(config) as look:
        show.alert(_known(explanations.show(look, alert_id), alert_id), as_json)


@alerts.command("history")
@click.argument("alert_id", metavar="ID", type=Id())
@as_json
@click.pass_obj
def alerts_history(config: Path, alert_id: int, as_json: bool) -> None:
    """Show an alert's history: what happened, when, why, and by whom."""
    from chainwatch.commands.show import alerts as show
    from chainwatch.operations import explanations

    with looking_at(config) as look:
        show.history(_known(explanations.history_of(look, alert_id), alert_id), as_json)


@alerts.command("explain")
@click.argument("alert_id", metavar="ID", type=Id())
@as_json
@click.pass_obj
def alerts_explain(config: Path, alert_id: int, as_json: bool) -> None:
    """Show for every receiver whether it was notified of an alert, and why or why not."""
    from chainwatch.commands.show import alerts as show
    from chainwatch.operations import explanations

    with looking_at(config) as look:
        show.explanation(_known(explanations.explain(look, alert_id), alert_id), as_json)


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

    with looking_at(config) as look:
        until = None if seconds is None else look.now + seconds
        left = alert_actions.acknowledge(look, ids, actor, note, until)
        _report(look, "acknowledged", ids, left, "not firing")


@alerts.command("unack")
@ids
@by
@click.pass_obj
def alerts_unack(config: Path, ids: tuple[int, ...], actor: str) -> None:
    """Drop acknowledgements: the alerts are sent again."""
    from chainwatch.operations import alert_actions

    with looking_at(config) as look:
        left = alert_actions.give_back(look, ids, actor)
        _report(look, "unacknowledged", ids, left, "not acknowledged")


@alerts.command("resolve")
@ids
@by
@note
@click.pass_obj
def alerts_resolve(config: Path, ids: tuple[int, ...], actor: str, note: str) -> None:
    """Resolve alerts by hand; they are raised again only when their condition begins anew."""
    from chainwatch.operations import alert_actions

    with looking_at(config) as look:
        left = alert_actions.resolve(look, ids, actor, note)
        _report(look, "resolved", ids, left, "not firing")


def _known(found: Any, alert_id: int) -> Any:
    if found is None:
        click.echo(f"no alert has the ID {alert_id}; `chainwatch alerts` lists them", err=True)
        sys.exit(FAILED)
    return found


def _report(look: Look, done: str, ids: Sequence[int], left: Sequence[int], why: str) -> None:
    """Print for how many IDs it was done, and why not for those ``left``; exit code 1 if for none."""
    from chainwatch.operations import alert_actions

    unknown = alert_actions.unknown(look, left)
    others = [one for one in left if one not in unknown]
    reasons = [f"{why}: {', '.join(map(str, others))}"] if others else []
    if unknown:
        reasons.append(f"no alert has the ID {', '.join(map(str, unknown))}; `chainwatch alerts` lists them")
    click.echo(f"{len(set(ids)) - len(left)} {done}")
    if left:
        click.echo("; ".join(reasons), err=True)
    if len(left) == len(set(ids)):
        sys.exit(FAILED)
