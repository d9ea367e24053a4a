"""The commands about who is on call."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chainwatch.commands.common import accessing, myself, refusals, settings_of
from chainwatch.commands.options import Duration, Id, Moment, as_json, default_to

if TYPE_CHECKING:
    from chainwatch.operations.rota import Rota


@click.group()
def oncall() -> None:
    """Show who is on call now and next, and override the schedules."""


@oncall.command("now")
@click.argument("schedules", nargs=-1)
@click.option(
    "--at", type=Moment(ahead=True), help="At this time instead of now: a date, a time, or 2h from now as 2h."
)
@as_json
@click.pass_obj
def oncall_now(config: Path, schedules: tuple[str, ...], at: int | None, as_json: bool) -> None:
    """Show who is on call, by schedule."""
    from chainwatch.commands.show import people as show
    from chainwatch.operations import rota

    moment = time.time() if at is None else at
    with refusals():
        found = rota.shifts_at(_rota(config, moment), schedules, moment)
    show.shifts(found, as_json)


@oncall.command("next")
@click.argument("schedules", nargs=-1)
@click.option(
    "--number", type=click.IntRange(1, 100), default=5, show_default=True, help="Number of handoffs to show."
)
@click.option("--at", type=Moment(ahead=True), help="After this time instead of now.")
@as_json
@click.pass_obj
def oncall_next(config: Path, schedules: tuple[str, ...], number: int, at: int | None, as_json: bool) -> None:
    """Show the next handoffs, and the gaps between them."""
    from chainwatch.commands.show import people as show
    from chainwatch.operations import rota

    moment = time.time() if at is None else at
    with refusals():
        found = rota.handoffs_after(_rota(config, moment), schedules, moment, number)
    show.shifts(found, as_json)


def _rota(config: Path, at: float) -> Rota:
    """Return the schedules, with overrides if there is a readable database."""
    from chainwatch.operations import rota

    found = rota.configured(settings_of(config), at)
    if not found.knows_overrides:
        click.echo("no readable database: overrides, if any, are ignored", err=True)
    return found


@oncall.group("override", invoke_without_command=True)
@as_json
@click.pass_context
def oncall_override(context: click.Context, as_json: bool) -> None:
    """List on-call overrides (the default), add or remove them."""
    if context.invoked_subcommand is None:
        _list_overrides(context.obj, as_json)
    else:
        default_to(context, {"as_json": as_json})


@oncall_override.command("list")
@as_json
@click.pass_obj
def override_list(config: Path, as_json: bool) -> None:
    """List on-call overrides."""
    _list_overrides(config, as_json)


def _list_overrides(config: Path, as_json: bool) -> None:
    from chainwatch.commands.show import people as show
    from chainwatch.operations import rota

    with accessing(config) as access:
        found = access.read(rota.list_overrides)
    show.overrides(found, as_json)


@oncall_override.command("add")
@click.argument("schedule")
@click.argument("person")
@click.option("--from", "start", type=Moment(ahead=True), help="Start of the override. Default: now.")
@click.option(
    "--until",
    type=Moment(ahead=True),
    help="End of the override: a time, or 2h from now as 2h; or give --for.",
)
@click.option("--for", "seconds", type=Duration(), help="Length of the override, such as 8h.")
@click.option("--author", help="The override's author. Default: the user's name.")
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
    """Put PERSON on call in SCHEDULE for a time, overriding its layers."""
    from chainwatch.operations import rota

    if (until is None) == (seconds is None):
        raise click.UsageError("give either --until (the end) or --for (the length)")
    with accessing(config) as access:
        added = access.write(
            rota.add_override,
            schedule,
            person,
            author or myself(),
            starts_at=start,
            ends_at=until,
            lasts=seconds,
        )
    click.echo(f"override {added.id}: {person} is on call in {schedule}")


@oncall_override.command("remove")
@click.argument("override_id", metavar="ID", type=Id())
@click.pass_obj
def override_remove(config: Path, override_id: int) -> None:
    """Remove an override."""
    from chainwatch.operations import rota

    with accessing(config) as access:
        access.write(rota.remove_override, override_id)
    click.echo(f"override {override_id} removed")
