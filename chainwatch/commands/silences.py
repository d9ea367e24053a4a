"""The commands that suppress notifications for a while: silences and cooldowns."""

from __future__ import annotations

from pathlib import Path

import click

from chainwatch.commands.common import accessing, print_changed, print_more
from chainwatch.commands.options import Duration, Moment, as_json, by, ids, paged

matchers = click.argument("matchers", nargs=-1, required=True, metavar="LABEL=VALUE…")


@click.group()
def silences() -> None:
    """Suppress notifications about matching alerts for a while.

    The alerts are still recorded. Alerts that still fire when a silence ends are sent then.
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
    """Silence the alerts that every matcher matches: LABEL=VALUE, or with !=, =~ or !~ in place of =."""
    from chainwatch.operations import silencing
    from chainwatch.operations.checks import parse_match

    if seconds is not None and until is not None:
        raise click.UsageError("give --for or --until, not both")
    with accessing(config) as access:
        silence = access.write(
            silencing.add_silence,
            parse_match(matchers),
            actor,
            comment,
            starts_at=start,
            ends_at=until,
            lasts=seconds,
            during=during,
            warn_before=warn,
        )
    click.echo(f"silence {silence.id} mutes {silence.hides} alerts")


@silences.command("list")
@click.option("--ended", is_flag=True, help="Also those that ended within the last week.")
@paged()
@as_json
@click.pass_obj
def silences_list(config: Path, ended: bool, limit: int, after: str | None, as_json: bool) -> None:
    """List silences, and how many firing alerts each matches."""
    from chainwatch.commands.show import alerts as show
    from chainwatch.operations import silencing

    with accessing(config) as access:
        page = access.read(silencing.list_silences, ended=ended, limit=limit, after=after)
    show.silences(page.rows, as_json)
    print_more(page)


@silences.command("expire")
@ids
@click.pass_obj
def silences_expire(config: Path, ids: tuple[int, ...]) -> None:
    """End silences now; muted alerts that still fire are sent."""
    from chainwatch.operations import silencing

    with accessing(config) as access:
        changed = access.write(silencing.expire_silences, ids)
    print_changed(changed, "expired", conflicting="ended before", kind="silence", listed_by="silences list")


@silences.command("preview")
@matchers
@as_json
@click.pass_obj
def silences_preview(config: Path, matchers: tuple[str, ...], as_json: bool) -> None:
    """Show the firing alerts that a silence would mute."""
    from chainwatch.commands.show import watching as show
    from chainwatch.operations import silencing
    from chainwatch.operations.checks import parse_match

    with accessing(config) as access:
        found = access.read(silencing.preview, parse_match(matchers))
    show.alerts(found, as_json)


@click.group()
def cooldowns() -> None:
    """Limit how often a receiver is notified about one condition.

    A cooldown is the minimum time between two such notifications. Cooldowns set by command take precedence over the
    configured ones, and survive a restart.
    """


@cooldowns.command("list")
@as_json
@click.pass_obj
def cooldowns_list(config: Path, as_json: bool) -> None:
    """List cooldowns in order of precedence."""
    from chainwatch.commands.show import alerts as show
    from chainwatch.operations import cooldowns as operations

    with accessing(config) as access:
        found = access.read(operations.list_cooldowns)
    show.cooldowns(found, as_json)


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
    from chainwatch.operations import cooldowns as operations
    from chainwatch.operations.checks import parse_match

    with accessing(config) as access:
        cooldown = access.write(operations.set_cooldown, parse_match(matchers), within, labels, actor)
    click.echo(f"cooldown {cooldown.id} set")


@cooldowns.command("remove")
@ids
@click.pass_obj
def cooldowns_remove(config: Path, ids: tuple[int, ...]) -> None:
    """Remove cooldowns that were set by command."""
    from chainwatch.operations import cooldowns as operations

    with accessing(config) as access:
        changed = access.write(operations.remove_cooldowns, ids)
    print_changed(
        changed, "removed", conflicting="", kind="cooldown set by command", listed_by="cooldowns list"
    )
