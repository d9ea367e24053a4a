"""The commands about who is on call."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chainwatch.commands.common import looking_at, myself, naming, settings_of
from chainwatch.commands.options import Duration, Id, Moment, as_json, default_to

if TYPE_CHECKING:
    from chainwatch.operations.rota import Rota


@click.group()
def oncall() -> None:
    """Who is on call by the schedules of the configuration, now and next, and who stands in."""


@oncall.command("now")
@click.argument("schedules", nargs=-1)
@click.option("--at", type=Moment(ahead=True), help="Then instead: a date, a time, or 2h from now as 2h.")
@as_json
@click.pass_obj
def oncall_now(config: Path, schedules: tuple[str, ...], at: int | None, as_json: bool) -> None:
    """Show who is on call, by schedule."""
    from chainwatch.commands.show import people as show
    from chainwatch.operations import rota

    moment = time.time() if at is None else at
    with naming():
        found = rota.now(_rota(config, moment), schedules, moment)
    show.shifts(found, as_json)


@oncall.command("next")
@click.argument("schedules", nargs=-1)
@click.option("--number", type=click.IntRange(1, 100), default=5, show_default=True, help="So many handoffs.")
@click.option("--at", type=Moment(ahead=True), help="After this time instead of now.")
@as_json
@click.pass_obj
def oncall_next(config: Path, schedules: tuple[str, ...], number: int, at: int | None, as_json: bool) -> None:
    """Show the next handoffs, and the gaps between them."""
    from chainwatch.commands.show import people as show
    from chainwatch.operations import rota

    moment = time.time() if at is None else at
    with naming():
        found = rota.upcoming(_rota(config, moment), schedules, moment, number)
    show.shifts(found, as_json)


def _rota(config: Path, at: float) -> Rota:
    """The schedules, whether or not there is a database."""
    from chainwatch.operations import rota

    found = rota.configured(settings_of(config), at)
    if not found.knows_overrides:
        click.echo(
            "there is no database that can be read: overrides, if there are any, do not count", err=True
        )
    return found


@oncall.group("override", invoke_without_command=True)
@as_json
@click.pass_context
def oncall_override(context: click.Context, as_json: bool) -> None:
    """List who stands in for whom (as without a command), `add` to it or `remove` from it."""
    if context.invoked_subcommand is None:
        _list_overrides(context.obj, as_json)
    else:
        default_to(context, {"as_json": as_json})


@oncall_override.command("list")
@as_json
@click.pass_obj
def override_list(config: Path, as_json: bool) -> None:
    """List who stands in for whom."""
    _list_overrides(config, as_json)


def _list_overrides(config: Path, as_json: bool) -> None:
    from chainwatch.commands.show import people as show
    from chainwatch.operations import rota

    with looking_at(config) as look:
        show.overrides(rota.overrides(look), as_json)


@oncall_override.command("add")
@click.argument("schedule")
@click.argument("person")
@click.option("--from", "start", type=Moment(ahead=True), help="Default: now.")
@click.option(
    "--until", type=Moment(ahead=True), help="The end: a time, or 2h from now as 2h; or give --for."
)
@click.option("--for", "seconds", type=Duration(), help="How long, such as 8h.")
@click.option("--author", help="Who says so. Default: the user's name.")
@click.pass_obj
def override_add(
    config: Path,
    schedule: str,
    person: str,
    start: int | None,
    until: int | None,
    seconds: float | None,
    author: str | None,
) -> None:
    """Put PERSON on call by SCHEDULE for a time, whatever the layers say."""
    from chainwatch.operations import rota

    if (until is None) == (seconds is None):
        raise click.UsageError("give the end with --until, or the length with --for")
    with looking_at(config) as look:
        begins = int(look.now) if start is None else start
        ends = begins + int(seconds) if seconds is not None else until
        assert ends is not None
        added = rota.override(look, schedule, person, begins, ends, author or myself())
    click.echo(f"override {added}: {person} is on call by {schedule}")


@oncall_override.command("remove")
@click.argument("override_id", metavar="ID", type=Id())
@click.pass_obj
def override_remove(config: Path, override_id: int) -> None:
    """Take an override back."""
    from chainwatch.operations import rota

    with looking_at(config) as look:
        rota.remove(look, override_id)
    click.echo(f"override {override_id} is taken back")
