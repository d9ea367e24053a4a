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
from chainwatch.config import ConfigError

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
            code = _exit_code(error)
            if code is None:
                raise
            prefix = "" if isinstance(error, ConfigError) else f"{ctx.invoked_subcommand}: "
            click.echo(f"{prefix}{error}", err=True)
            sys.exit(code)


def _exit_code(error: Exception) -> int | None:
    """The exit code for what a person can mend, None for a defect. Imports late: most commands have no errors."""
    from chainwatch.chain.errors import ChainError
    from chainwatch.replay import ReplayError
    from chainwatch.store.errors import StoreError

    if isinstance(error, ConfigError | ReplayError):
        return BAD_USAGE
    return FAILED if isinstance(error, ChainError | StoreError) else None


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
    # What is left at the end goes with the process: Python would first look through it for cycles, for a tenth of a second.
    atexit.register(gc.freeze)
