"""The commands that suppress notifications for a while: silences and cooldowns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from chainwatch.alert_model import Silence
from chainwatch.commands.common import known_as, looking_at, print_done
from chainwatch.commands.options import Duration, Moment, as_json, by, ids

USUAL = 7200.0
"""Seconds that a silence lasts by default."""

matchers = click.argument("matchers", nargs=-1, required=True, metavar="LABEL=VALUE…")


@click.group()
def silences() -> None:
    """Silences: suppress notifications about matching alerts for a while.

    The alerts are still recorded. Those that still fire when a silence ends are sent then.
    """


@silences.command("add")
@matchers
@click.option(
    "--for", "seconds", type=Duration(), help="Length of the silence. Default: 2h, unless --until is given."
)
@click.option("--start", type=Moment(ahead=True), help="Start of the silence. Default: now.")
@click.option("--until", type=Moment(ahead=True), help="End of the silence: a time, or 2h from now as 2h.")
@click.option(
    "--during", multiple=True, metavar="NAME", help="Only within this configured interval (repeatable)."
)
@click.option(
    "--warn",
    type=Duration(),
    default="10m",
    show_default=True,
    help="How long before its end to warn; 0s: never.",
)
@click.option("--comment", default="", help="The reason.")
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
    """Silence alerts that all of LABEL=VALUE, !=, =~ and !~ match."""
    from chainwatch.operations import alert_actions

    if seconds is not None and until is not None:
        raise click.UsageError("give --for or --until, not both")
    match = _match(matchers)
    with looking_at(config) as look:
        for name in during:
            known_as("interval", name, look.plan.settings.intervals)
        begin = look.now if start is None else float(start)
        end = float(until) if until is not None else begin + (USUAL if seconds is None else seconds)
        if end <= max(begin, look.now):
            raise click.UsageError(
                "a silence must end after its start and in the future: see --for and --until"
            )
        silence = Silence(match, begin, end, actor, comment, look.now, during, warn)
        click.echo(
            f"silence {alert_actions.add_silence(look, silence)} mutes {len(alert_actions.preview(look, match))} alerts"
        )


@silences.command("list")
@click.option("--ended", is_flag=True, help="Also those that ended within the last week.")
@as_json
@click.pass_obj
def silences_list(config: Path, ended: bool, as_json: bool) -> None:
    """List silences, and how many firing alerts each matches."""
    from chainwatch.commands.show import alerts as show
    from chainwatch.operations import alert_actions

    with looking_at(config) as look:
        show.silences(alert_actions.list_silences(look, ended), as_json)


@silences.command("expire")
@ids
@click.pass_obj
def silences_expire(config: Path, ids: tuple[int, ...]) -> None:
    """End silences now; muted alerts that still fire are sent."""
    from chainwatch.operations import alert_actions

    with looking_at(config) as look:
        print_done(
            alert_actions.expire_silences(look, ids),
            "expired",
            "no active or future silence has such an ID; `chainwatch silences list` lists them",
        )


@silences.command("preview")
@matchers
@as_json
@click.pass_obj
def silences_preview(config: Path, matchers: tuple[str, ...], as_json: bool) -> None:
    """Show the firing alerts that a silence would mute."""
    from chainwatch.commands.show import watching as show
    from chainwatch.operations import alert_actions

    with looking_at(config) as look:
        show.alerts(alert_actions.preview(look, _match(matchers)), as_json)


@click.group()
def cooldowns() -> None:
    """Cooldowns: the minimum time between two notifications of a receiver about one condition.

    Those set by command take precedence over the configured ones, and survive a restart.
    """


@cooldowns.command("list")
@as_json
@click.pass_obj
def cooldowns_list(config: Path, as_json: bool) -> None:
    """List cooldowns in order of precedence."""
    from chainwatch.commands.show import alerts as show
    from chainwatch.operations import alert_actions

    with looking_at(config) as look:
        show.cooldowns(alert_actions.list_cooldowns(look), as_json)


@cooldowns.command("set")
@matchers
@click.option(
    "--within", type=Duration(), required=True, help="The minimum time; 0s lifts configured cooldowns."
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    help="A label that identifies a condition (repeatable). Default: all labels.",
)
@by
@click.pass_obj
def cooldowns_set(
    config: Path, matchers: tuple[str, ...], within: float, labels: tuple[str, ...], actor: str
) -> None:
    """Set a cooldown that takes precedence over all others, without a restart."""
    from chainwatch.operations import alert_actions

    with looking_at(config) as look:
        made = alert_actions.set_cooldown(look, _match(matchers), labels or ("...",), within, actor)
        click.echo(f"cooldown {made} set")


@cooldowns.command("remove")
@ids
@click.pass_obj
def cooldowns_remove(config: Path, ids: tuple[int, ...]) -> None:
    """Remove cooldowns that were set by command."""
    from chainwatch.operations import alert_actions

    with looking_at(config) as look:
        print_done(
            alert_actions.remove_cooldowns(look, ids),
            "removed",
            "no cooldown set by command has such an ID; `chainwatch cooldowns list` lists them",
        )


def _match(words: Sequence[str]) -> dict[str, list[str]]:
    from chainwatch.grammar import matchers as matching

    try:
        return matching.parse(words)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
