"""The commands about people: who is on call, what woke them, what it took, and whether they can be reached."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chainwatch.options import Duration, Moment
from chainwatch.spelling import did_you_mean

if TYPE_CHECKING:
    from chainwatch.looking import Look

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
FAILED = 1


def register(main: click.Group) -> None:
    """Add the commands to ``main``."""
    for command in (oncall, incidents, incident, stats, receivers):
        main.add_command(command)


@click.group()
def oncall() -> None:
    """Who is on call, now and next, and who stands in."""


@oncall.command("now")
@click.argument("schedules", nargs=-1)
@click.option("--at", type=Moment(), help="Then instead: a date, a time, or Unix seconds.")
@as_json
@click.pass_obj
def oncall_now(config: Path, schedules: tuple[str, ...], at: int | None, as_json: bool) -> None:
    """Show who is on call, by schedule."""
    from chainwatch import rota, show_people

    with _looking(config) as look:
        show_people.shifts(rota.now(look, schedules, look.now if at is None else at), as_json)


@oncall.command("next")
@click.argument("schedules", nargs=-1)
@click.option("--number", type=click.IntRange(1, 100), default=5, show_default=True, help="So many handoffs.")
@click.option("--at", type=Moment(), help="After this time instead of now.")
@as_json
@click.pass_obj
def oncall_next(config: Path, schedules: tuple[str, ...], number: int, at: int | None, as_json: bool) -> None:
    """Show the next handoffs, and the gaps between them."""
    from chainwatch import rota, show_people

    with _looking(config) as look:
        show_people.shifts(rota.upcoming(look, schedules, look.now if at is None else at, number), as_json)


@oncall.group("override", invoke_without_command=True)
@as_json
@click.pass_context
def oncall_override(context: click.Context, as_json: bool) -> None:
    """List who stands in for whom; `add` and `remove` change it."""
    from chainwatch import rota, show_people

    if context.invoked_subcommand is None:
        with _looking(context.obj) as look:
            show_people.overrides(rota.overrides(look), as_json)


@oncall_override.command("add")
@click.argument("schedule")
@click.argument("person")
@click.option("--from", "start", type=Moment(), help="Default: now.")
@click.option("--until", type=Moment(), help="The end; or give --for.")
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
    from chainwatch import rota

    if (until is None) == (seconds is None):
        raise click.UsageError("give the end with --until, or the length with --for")
    with _looking(config) as look:
        begins = int(look.now) if start is None else start
        ends = begins + int(seconds) if seconds is not None else until
        assert ends is not None
        added = rota.override(look, schedule, person, begins, ends, author or _user())
    click.echo(f"override {added}: {person} is on call by {schedule}")


@oncall_override.command("remove")
@click.argument("override_id", metavar="ID", type=int)
@click.pass_obj
def override_remove(config: Path, override_id: int) -> None:
    """Take an override back."""
    from chainwatch import rota

    with _looking(config) as look:
        rota.remove(look, override_id)
    click.echo(f"override {override_id} is taken back")


@click.command()
@click.option("--open", "is_open", is_flag=True, help="Only those in which something fires.")
@click.option(
    "--since", type=Moment(), help="Opened at this time or later: a date, a time, or 24h ago as 24h."
)
@click.option("--until", type=Moment(), help="Opened before this time.")
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many, newest first."
)
@as_json
@click.pass_obj
def incidents(
    config: Path, is_open: bool, since: int | None, until: int | None, limit: int, as_json: bool
) -> None:
    """List incidents: groups of alerts, each from its first start to its last end."""
    from chainwatch import reviewing, show_people

    with _looking(config) as look:
        found = reviewing.list_incidents(look, is_open=is_open, since=since, until=until, limit=limit)
        show_people.incidents(found, as_json)


@click.command()
@click.argument("incident_id", metavar="ID", type=int)
@click.option("--note", help="Put this note into its timeline.")
@click.option("--author", help="Whose note. Default: the user's name.")
@as_json
@click.pass_obj
def incident(config: Path, incident_id: int, note: str | None, author: str | None, as_json: bool) -> None:
    """Print an incident with its timeline as Markdown, for the review after it."""
    from chainwatch import reviewing, show_people

    with _looking(config) as look:
        if note:
            reviewing.add_note(look, incident_id, author or _user(), note)
        show_people.incident(reviewing.incident(look, incident_id), as_json)


@click.command()
@click.option("--since", type=Moment(), default="7d", show_default=True, help="Where the window begins.")
@click.option("--until", type=Moment(), help="Where it ends. Default: now.")
@as_json
@click.pass_obj
def stats(config: Path, since: int, until: int | None, as_json: bool) -> None:
    """Statistics over a window: totals, times to acknowledge and resolve, deliveries, noise, trend."""
    from chainwatch import reviewing, show_people

    with _looking(config) as look:
        end = int(time.time()) if until is None else until
        if end <= since:
            raise click.UsageError("the window ends before it begins")
        show_people.statistics(reviewing.statistics_of(look, since, end), as_json)


@click.group()
def receivers() -> None:
    """The receivers of notifications."""


@receivers.command("test")
@click.argument("name")
@click.option("--within", type=Duration(), default="30s", show_default=True, help="How long to wait for it.")
@as_json
@click.pass_obj
def receivers_test(config: Path, name: str, within: float, as_json: bool) -> None:
    """Send a sample that is marked as one through the real queue, and tell whether it was taken."""
    from chainwatch import sampling, show_people

    with _looking(config) as look:
        known = look.plan.settings.receivers
        if name not in known:
            raise click.BadParameter(did_you_mean(name, known), param_hint="NAME")
        outcome = asyncio.run(sampling.send_sample(look, name, within))
    show_people.sample(outcome, as_json)
    if not outcome["delivered"]:
        sys.exit(FAILED)


@contextmanager
def _looking(config: Path) -> Iterator[Look]:
    """The configuration and its database; what people name wrongly is their usage."""
    from chainwatch.looking import look
    from chainwatch.reviewing import NoIncident
    from chainwatch.rota import NoSuchName

    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(look(config, os.environ))
        try:
            yield opened
        except (NoIncident, NoSuchName) as error:
            raise click.UsageError(str(error)) from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "somebody"
