"""The commands about invariants."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from shlex import quote

import click

from chainwatch.commands.common import FAILED, accessing, can_ask, plan_of, print_more, refusals
from chainwatch.commands.options import Block, Moment, as_json, by, paged
from chainwatch.support.printable import clean


@click.group()
def invariants() -> None:
    """Show or test invariants: conditions on values of the chains that must hold at every block."""


@invariants.command("list")
@click.option("--state", help="Only invariants in this state, such as violated, unread or empty.")
@paged("as configured")
@as_json
@click.pass_obj
def invariants_list(config: Path, state: str | None, limit: int, after: str | None, as_json: bool) -> None:
    """List invariants: how each stands, and at which block it was checked last."""
    from chainwatch.commands.show import invariants as show
    from chainwatch.operations.invariants import list_invariants

    with accessing(config) as access:
        page = access.read(list_invariants, state=state, limit=limit, after=after)
    show.invariants(page.rows, as_json)
    print_more(page)


@invariants.command("show")
@click.argument("name")
@as_json
@click.pass_obj
def invariants_show(config: Path, name: str, as_json: bool) -> None:
    """Show the invariant NAME with its last checks and what they read."""
    from chainwatch.commands.show import invariants as show
    from chainwatch.operations.invariants import show_invariant

    with accessing(config, not_found=FAILED) as access:
        found = access.read(show_invariant, name=name)
    show.invariant(found, as_json)


@invariants.command("accept")
@click.argument("name")
@click.option(
    "--values",
    metavar="VALUES",
    help="Accept these values only, as `invariants show` prints them. Default: show what was read last, and ask.",
)
@by
@as_json
@click.pass_obj
def invariants_accept(config: Path, name: str, values: str | None, actor: str, as_json: bool) -> None:
    """Accept the values that the invariant NAME read last, so that it compares with these from now on."""
    from chainwatch.commands.show import invariants as show
    from chainwatch.operations.accepted_values import accept_values, find_values_to_accept

    with accessing(config, not_found=FAILED) as access:
        if values is None:
            values = access.read(find_values_to_accept, name=name)
            _ask_for_acceptance(name, clean(values))
        found = access.write(accept_values, name=name, author=actor, values=values)
    show.accepted(found, as_json)


def _ask_for_acceptance(name: str, values: str) -> None:
    """Ask the person at the terminal whether ``values`` are right; end the command where they are not."""
    if not can_ask():
        raise click.UsageError(f"nobody can be asked: add --values {quote(values)} if these are right")
    click.confirm(f"{name} has read {values}: accept that?", abort=True, err=True)


@invariants.command("history")
@click.argument("name")
@click.option("--since", type=Moment(), help="Only what lasted or was read at this chain time or later.")
@as_json
@click.pass_obj
def invariants_history(config: Path, name: str, since: float | None, as_json: bool) -> None:
    """Show when the invariant NAME did not hold, and how its values changed at its last checks."""
    from chainwatch.commands.show import invariants as show
    from chainwatch.operations.invariant_history import invariant_history

    with accessing(config, not_found=FAILED) as access:
        found = access.read(invariant_history, name=name, since=since)
    show.history(found, as_json)


@invariants.command("kinds")
@click.argument("name", required=False)
@as_json
def invariants_kinds(name: str | None, as_json: bool) -> None:
    """List the kinds of invariants, or show the kind NAME with its parameters and an example."""
    from chainwatch.commands.show import kinds as show
    from chainwatch.operations.kinds import list_kinds, show_kind

    if name is None:
        show.kinds(list_kinds(), as_json)
        return
    with refusals(not_found=FAILED):
        found = show_kind(name)
    show.kind(found, as_json)


@invariants.command("test")
@click.argument("name")
@click.option("--at", type=Block, help="The block to read. Default: each network's head.")
@as_json
@click.pass_obj
def invariants_test(config: Path, name: str, at: int | None, as_json: bool) -> None:
    """Read the values of the invariant NAME now, and say whether it holds; exit with 1 unless it does."""
    from chainwatch.commands.show import invariants as show
    from chainwatch.operations.invariant_testing import read_now

    plan = plan_of(config)
    with refusals(not_found=FAILED):
        found = asyncio.run(read_now(plan, name, at))
    show.test(found, as_json)
    if not found.holds:
        sys.exit(FAILED)
