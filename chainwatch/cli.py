"""The command line: the commands of `chainwatch.commands` under one name, and errors as messages with a remedy.

Exit codes: 0 fine, 1 failed, 2 bad usage or configuration, 3 ``replay --fail-on`` found alerts.
"""

from __future__ import annotations

import atexit
import gc
import sys
from pathlib import Path
from typing import Any

import click

from chainwatch import __version__
from chainwatch.commands import (
    access,
    alerts,
    flows,
    incidents,
    invariants,
    networks,
    oncall,
    queue,
    replaying,
    routes,
    rules,
    running,
    setup,
    silences,
    top,
    transfers,
)
from chainwatch.commands.common import BAD_USAGE, FAILED
from chainwatch.support.garbage import collect_seldom
from chainwatch.support.printable import clean

COMMANDS: tuple[click.Command, ...] = (
    running.run,
    running.demo,
    setup.init,
    setup.check,
    setup.completion,
    flows.flows,
    replaying.replay,
    networks.rewind,
    networks.audit,
    transfers.status,
    top.top,
    transfers.transfers,
    transfers.report,
    alerts.alerts,
    invariants.invariants,
    silences.silences,
    silences.cooldowns,
    routes.routes,
    routes.receivers,
    rules.rules,
    oncall.oncall,
    incidents.incidents,
    incidents.incident,
    incidents.stats,
    queue.queue,
    access.token,
    access.audit_log,
)


class _Commands(click.Group):
    """Turns errors that are no defects into one message and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            known = _known_error(error, ctx.invoked_subcommand)
            if known is None:
                raise
            message, code = known
            click.echo(message, err=True)
            sys.exit(code)


def _known_error(error: Exception, command: str | None) -> tuple[str, int] | None:
    """Return the message and exit code for an error that an operator can fix; None for a defect.

    Imports late: most commands end without errors.
    """
    from chainwatch.config import ConfigError

    if isinstance(error, ConfigError):
        return str(error), BAD_USAGE

    from chainwatch.chain.errors import ChainError
    from chainwatch.replay.errors import ReplayError
    from chainwatch.store.errors import StoreError

    if isinstance(error, ReplayError):
        return f"{command}: {error}", BAD_USAGE
    # the text of a node or a database may contain anything
    return (f"{command}: {clean(str(error))}", FAILED) if isinstance(error, ChainError | StoreError) else None


def _use_config(context: click.Context, _: click.Parameter, config: Path | None) -> None:
    """Put the file's path into the context, where commands find it; the last option given wins."""
    if config is not None:
        context.obj = config


def _takes_config(command: click.Command) -> click.Command:
    """Add ``--config`` to ``command`` and its subcommands, so that it may be given before and after them."""
    command.params.append(
        click.Option(
            ["-c", "--config"],
            type=click.Path(path_type=Path),
            expose_value=False,
            callback=_use_config,
            help="The configuration file.",
        )
    )
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            _takes_config(subcommand)
        _take_json(command)
    return command


def _take_json(group: click.Group) -> None:
    """Let ``--json`` be given before a subcommand too."""
    if not any(parameter.name == "as_json" for parameter in group.params):
        group.params.append(
            click.Option(["--json"], is_flag=True, expose_value=False, callback=_use_json, help=_JSON_HELP)
        )


def _use_json(context: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    if is_wanted and isinstance(context.command, click.Group):
        context.default_map = {**(context.default_map or {}), **_json_everywhere(context.command)}


_JSON_HELP = "Print JSON for machines, where the command can."


@click.group(
    cls=_Commands,
    commands=[_takes_config(command) for command in COMMANDS],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    default="config.toml",
    envvar="CHAINWATCH_CONFIG",
    show_default=True,
    show_envvar=True,
    expose_value=False,
    callback=_use_config,
    help="The configuration file.",
)
@click.option("--json", "as_json", is_flag=True, help=_JSON_HELP)
@click.version_option(__version__, prog_name="chainwatch")
@click.pass_context
def main(context: click.Context, as_json: bool) -> None:
    """Watch cross-chain transfers and notify the right people when one is late, lost or wrong."""
    if as_json:
        context.default_map = _json_everywhere(main)
    collect_seldom()
    # Skip the search for cycles at exit, which takes a tenth of a second: the process ends anyway.
    atexit.register(gc.freeze)


def _json_everywhere(group: click.Group) -> dict[str, Any]:
    """Return click's map of defaults that turns on ``--json`` in every command below ``group``."""
    return {
        name: {"as_json": True, **(_json_everywhere(command) if isinstance(command, click.Group) else {})}
        for name, command in group.commands.items()
    }
