"""The commands about who may call the HTTP server, and what was done through it."""

from __future__ import annotations

from pathlib import Path

import click

from chainwatch.commands.common import accessing, print_more
from chainwatch.commands.options import as_json, by, paged


@click.group()
def token() -> None:
    """Make, list and remove tokens of the HTTP server.

    Without any token, programs on this machine may do everything. With one, every request needs one.
    """


@token.command("add")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["viewer", "operator", "admin"]),
    default="viewer",
    show_default=True,
    help="viewer reads, operator also acts, admin also reloads and creates channels.",
)
@by
@click.pass_obj
def token_add(config: Path, name: str, role: str, actor: str) -> None:
    """Make a token and print it. It cannot be shown again."""
    from chainwatch.operations import access as tokens

    with accessing(config) as access:
        made = access.write(tokens.add_token, name, role, actor)
    click.echo(made.token)


@token.command("list")
@as_json
@click.pass_obj
def token_list(config: Path, as_json: bool) -> None:
    """List tokens, without their texts."""
    from chainwatch.commands.show import access as show
    from chainwatch.operations import access as tokens

    with accessing(config) as access:
        found = access.read(tokens.list_tokens)
    show.tokens(found, as_json)


@token.command("remove")
@click.argument("name")
@by
@click.pass_obj
def token_remove(config: Path, name: str, actor: str) -> None:
    """Remove a token. A running chainwatch refuses it within 5 seconds."""
    from chainwatch.operations import access as tokens

    with accessing(config) as access:
        access.write(tokens.remove_token, name, actor)
    click.echo(f"{name} removed")


@click.command("audit-log")
@paged()
@as_json
@click.pass_obj
def audit_log(config: Path, limit: int, after: str | None, as_json: bool) -> None:
    """List what was changed through the HTTP server, and by whom."""
    from chainwatch.commands.show import access as show
    from chainwatch.operations import access as tokens

    with accessing(config) as access:
        page = access.read(tokens.list_audit, limit=limit, after=after)
    show.audit(page.rows, as_json)
    print_more(page)
