"""The commands about alerts: see them, take them on, end them, silence them, and learn who was told and why."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chainwatch.config import matching
from chainwatch.options import Duration, Moment, Severity

if TYPE_CHECKING:
    from chainwatch.looking import Look

FAILED = 1

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
by = click.option("--by", "actor", default=lambda: _myself(), show_default="you", help="Who does it.")
note = click.option("--note", default="", help="Why, for those who read it later.")
alert_ids = click.argument("ids", type=int, nargs=-1, required=True)
matchers = click.argument("matchers", nargs=-1, required=True, metavar="LABEL=VALUE…")


def register(main: click.Group) -> None:
    """Add the commands to ``main``."""
    for command in (alerts, silences, cooldowns, routes):
        main.add_command(command)


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
            click.option(
                "--limit",
                type=click.IntRange(1),
                default=100,
                show_default=True,
                help="At most so many, newest first.",
            ),
            as_json,
        ]
    ):
        command = option(command)
    return command


# --- alerts ---------------------------------------------------------------------------------------------


@click.group(invoke_without_command=True)
@_wanted
@click.pass_context
def alerts(context: click.Context, /, **wanted: Any) -> None:
    """Alerts, firing and past: list them (as without a command), take them on, end them, have them explained."""
    if context.invoked_subcommand is None:
        _list(context.obj, **wanted)


@alerts.command("list")
@_wanted
@click.pass_obj
def alerts_list(config: Path, /, **wanted: Any) -> None:
    """List alerts, firing and past."""
    _list(config, **wanted)


def _list(config: Path, /, limit: int, as_json: bool, **wanted: Any) -> None:
    from chainwatch import looking, show

    with _looking(config) as look:
        show.alerts(looking.alerts(look, limit, **wanted), as_json)


@alerts.command("show")
@click.argument("alert_id", metavar="ID", type=int)
@as_json
@click.pass_obj
def alerts_show(config: Path, alert_id: int, as_json: bool) -> None:
    """Show everything about one alert."""
    from chainwatch import explaining, show_alerts

    with _looking(config) as look:
        show_alerts.alert(_known(explaining.show(look, alert_id), alert_id), as_json)


@alerts.command("history")
@click.argument("alert_id", metavar="ID", type=int)
@as_json
@click.pass_obj
def alerts_history(config: Path, alert_id: int, as_json: bool) -> None:
    """Show what happened to an alert: when, why, and who did it."""
    from chainwatch import explaining, show_alerts

    with _looking(config) as look:
        show_alerts.history(_known(explaining.history_of(look, alert_id), alert_id), as_json)


@alerts.command("explain")
@click.argument("alert_id", metavar="ID", type=int)
@as_json
@click.pass_obj
def alerts_explain(config: Path, alert_id: int, as_json: bool) -> None:
    """Show for every receiver whether it was told of an alert, and why or why not."""
    from chainwatch import explaining, show_alerts

    with _looking(config) as look:
        show_alerts.explanation(_known(explaining.explain(look, alert_id), alert_id), as_json)


@alerts.command("ack")
@alert_ids
@by
@note
@click.option("--for", "seconds", type=Duration(), help="It lapses after this time. Default: with the alert.")
@click.pass_obj
def alerts_ack(config: Path, ids: tuple[int, ...], actor: str, note: str, seconds: float | None) -> None:
    """Take alerts on: they are not told again, and escalate no further."""
    from chainwatch import attending

    with _looking(config) as look:
        until = None if seconds is None else look.now + seconds
        left = attending.acknowledge(look, ids, actor, note, until)
    _report("acknowledged", ids, left, "not firing")


@alerts.command("unack")
@alert_ids
@by
@click.pass_obj
def alerts_unack(config: Path, ids: tuple[int, ...], actor: str) -> None:
    """Give alerts back: they are told again."""
    from chainwatch import attending

    with _looking(config) as look:
        left = attending.give_back(look, ids, actor)
    _report("given back", ids, left, "not acknowledged")


@alerts.command("resolve")
@alert_ids
@by
@note
@click.pass_obj
def alerts_resolve(config: Path, ids: tuple[int, ...], actor: str, note: str) -> None:
    """End alerts by hand; a condition that begins anew raises them anew."""
    from chainwatch import attending

    with _looking(config) as look:
        left = attending.resolve(look, ids, actor, note)
    _report("resolved", ids, left, "not firing")


# --- silences -------------------------------------------------------------------------------------------


@click.group()
def silences() -> None:
    """Silences: what is recorded and told to nobody for a while."""


@silences.command("add")
@matchers
@click.option("--for", "seconds", type=Duration(), help="How long. Default: 2h, unless --until is given.")
@click.option("--start", type=Moment(), help="From then on. Default: now.")
@click.option("--until", type=Moment(), help="Until then.")
@click.option("--during", multiple=True, metavar="NAME", help="Only within this interval (repeatable).")
@click.option(
    "--warn",
    type=Duration(),
    default="10m",
    show_default=True,
    help="Warn so long before its end; 0s: never.",
)
@click.option("--comment", default="", help="Why.")
@by
@click.pass_obj
def silences_add(
    config: Path,
    matchers: tuple[str, ...],
    seconds: float | None,
    start: int | None,
    until: int | None,
    during: tuple[str, ...],
    warn: float,
    comment: str,
    actor: str,
) -> None:
    """Tell nobody of alerts that all of LABEL=VALUE, !=, =~ and !~ match."""
    from chainwatch import attending
    from chainwatch.store.silences import Silence

    if seconds is not None and until is not None:
        raise click.UsageError("give --for or --until, not both")
    match = _match(matchers)
    with _looking(config) as look:
        unknown = [name for name in during if name not in look.plan.settings.intervals]
        if unknown:
            raise click.BadParameter(f"no interval is called {unknown[0]!r}", param_hint="--during")
        begin = look.now if start is None else float(start)
        end = float(until) if until is not None else begin + (seconds or 7200.0)
        if end <= max(begin, look.now):
            raise click.UsageError("a silence must end after its start, and not in the past")
        silence = Silence(match, begin, end, actor, comment, look.now, during, warn)
        click.echo(
            f"silence {attending.add_silence(look, silence)} hides {len(attending.preview(look, match))} alerts"
        )


@silences.command("list")
@click.option("--ended", is_flag=True, help="Also those that ended within the last week.")
@as_json
@click.pass_obj
def silences_list(config: Path, ended: bool, as_json: bool) -> None:
    """List silences, and how many firing alerts each matches."""
    from chainwatch import attending, show_alerts

    with _looking(config) as look:
        show_alerts.silences(attending.list_silences(look, ended), as_json)


@silences.command("expire")
@alert_ids
@click.pass_obj
def silences_expire(config: Path, ids: tuple[int, ...]) -> None:
    """End silences now; what they hid and still fires is told."""
    from chainwatch import attending

    with _looking(config) as look:
        click.echo(f"{attending.expire_silences(look, ids)} expired")


@silences.command("preview")
@matchers
@as_json
@click.pass_obj
def silences_preview(config: Path, matchers: tuple[str, ...], as_json: bool) -> None:
    """Show the firing alerts that a silence would hide."""
    from chainwatch import attending, show

    with _looking(config) as look:
        show.alerts(attending.preview(look, _match(matchers)), as_json)


# --- cooldowns and routes -------------------------------------------------------------------------------


@click.group()
def cooldowns() -> None:
    """Cooldowns: how long a condition is not told again."""


@cooldowns.command("list")
@as_json
@click.pass_obj
def cooldowns_list(config: Path, as_json: bool) -> None:
    """List cooldowns in the order in which they count."""
    from chainwatch import attending, show_alerts

    with _looking(config) as look:
        show_alerts.cooldowns(attending.list_cooldowns(look), as_json)


@cooldowns.command("set")
@matchers
@click.option("--within", type=Duration(), required=True, help="The time; 0s lifts configured cooldowns.")
@click.option(
    "--label", "labels", multiple=True, help="A label that makes conditions the same. Default: all labels."
)
@by
@click.pass_obj
def cooldowns_set(
    config: Path, matchers: tuple[str, ...], within: float, labels: tuple[str, ...], actor: str
) -> None:
    """Set a cooldown, which counts before all others, without a restart."""
    from chainwatch import attending

    with _looking(config) as look:
        made = attending.set_cooldown(look, _match(matchers), labels or ("...",), within, actor)
        click.echo(f"cooldown {made} set")


@cooldowns.command("remove")
@alert_ids
@click.pass_obj
def cooldowns_remove(config: Path, ids: tuple[int, ...]) -> None:
    """Take cooldowns back that were set while running."""
    from chainwatch import attending

    with _looking(config) as look:
        click.echo(f"{attending.remove_cooldowns(look, ids)} removed")


@click.group()
def routes() -> None:
    """Routes: which alerts go where."""


@routes.command("test")
@click.argument("labels", nargs=-1, metavar="LABEL=VALUE…")
@as_json
@click.pass_obj
def routes_test(config: Path, labels: tuple[str, ...], as_json: bool) -> None:
    """Draw the tree of routes and the way that an alert with these labels takes."""
    from chainwatch import explaining, show_alerts
    from chainwatch.alerting.lifecycle import normal_labels

    given = dict(word.partition("=")[::2] for word in labels)
    try:
        wanted = normal_labels({"severity": "P2", "alertname": "Test", **given}) if given else {}
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    with _looking(config) as look:
        show_alerts.routes(explaining.routes(look, wanted), as_json)


def _match(words: Sequence[str]) -> dict[str, list[str]]:
    try:
        return matching.parse(words)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _known(found: Any, alert_id: int) -> Any:
    if found is None:
        click.echo(f"no alert has the id {alert_id}; `chainwatch alerts` lists them", err=True)
        sys.exit(FAILED)
    return found


def _report(done: str, ids: Sequence[int], left: Sequence[int], why: str) -> None:
    """Say how many it was done to; exit code 1 where it was done to none."""
    click.echo(f"{len(set(ids)) - len(left)} {done}")
    if left:
        click.echo(f"{why}: {', '.join(map(str, left))}", err=True)
    if len(left) == len(set(ids)):
        sys.exit(FAILED)


def _myself() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user, as in some containers
        return "somebody"


def _looking(config: Path) -> AbstractContextManager[Look]:
    from chainwatch.looking import look

    return look(config, os.environ, watches=False)
