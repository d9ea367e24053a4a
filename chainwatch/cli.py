"""The command line: the commands of `chainwatch.commands` under one name, with errors as a person can mend them.

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
    alerts,
    incidents,
    networks,
    oncall,
    queue,
    replaying,
    routes,
    running,
    setup,
    silences,
    transfers,
)
from chainwatch.commands.common import BAD_USAGE, FAILED
from chainwatch.garbage import collect_seldom
from chainwatch.printable import clean

COMMANDS: tuple[click.Command, ...] = (
    running.run,
    running.demo,
    setup.init,
    setup.check,
    setup.completion,
    replaying.replay,
    networks.rewind,
    networks.audit,
    transfers.status,
    transfers.transfers,
    transfers.report,
    alerts.alerts,
    silences.silences,
    silences.cooldowns,
    routes.routes,
    routes.receivers,
    oncall.oncall,
    incidents.incidents,
    incidents.incident,
    incidents.stats,
    queue.queue,
)


class _Commands(click.Group):
    """Turns the errors that a person can mend into one message and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            told = _told(error, ctx.invoked_subcommand)
            if told is None:
                raise
            message, code = told
            click.echo(message, err=True)
            sys.exit(code)


def _told(error: Exception, command: str | None) -> tuple[str, int] | None:
    """What to say of an error that a person can mend, and the exit code; None for a defect.

    Imports late: most commands end without errors.
    """
    from chainwatch.config import ConfigError

    if isinstance(error, ConfigError):
        return str(error), BAD_USAGE

    from chainwatch.chain.errors import ChainError
    from chainwatch.replay import ReplayError
    from chainwatch.store.errors import StoreError

    if isinstance(error, ReplayError):
        return f"{command}: {error}", BAD_USAGE
    # a node or a database may say anything
    return (f"{command}: {clean(str(error))}", FAILED) if isinstance(error, ChainError | StoreError) else None


@click.group(
    cls=_Commands,
    commands=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "-c",
    "--config",
    "config",
    type=click.Path(path_type=Path),
    default="config.toml",
    envvar="CHAINWATCH_CONFIG",
    show_default=True,
    show_envvar=True,
    help="The configuration file.",
)
@click.version_option(__version__, prog_name="chainwatch")
@click.pass_context
def main(context: click.Context, config: Path) -> None:
    """Watch cross-chain transfers and tell the right people when one is late, lost or wrong."""
    context.obj = config
    collect_seldom()
    # What is left at the end goes with the process: Python would first look through it for cycles, for a tenth of a second.
    atexit.register(gc.freeze)
