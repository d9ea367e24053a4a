"""The commands: they read options, call what does the work, and show what it returns.

Exit codes: 0 fine, 1 failed, 2 bad usage or configuration, 3 ``replay --fail-on`` found alerts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from chainwatch import __version__, alert_commands, people_commands
from chainwatch.config import ConfigError
from chainwatch.model import SEVERITIES, TRANSFER_STATUSES, to_hex
from chainwatch.options import Duration, Moment, Severity
from chainwatch.spelling import did_you_mean

if TYPE_CHECKING:
    from chainwatch.looking import Look
    from chainwatch.plan import Plan

FAILED, BAD_USAGE, FOUND_ALERTS = 1, 2, 3

Id = click.IntRange(1, 2**63 - 1)
Block = click.IntRange(0, 2**32 - 1)

T = TypeVar("T")


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
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
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


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
"""The option that every command with a table has."""

at_most = click.option(
    "--limit",
    type=click.IntRange(1, 10**9),
    default=100,
    show_default=True,
    help="At most so many, newest first.",
)
"""The option of those whose table may be long."""


@main.command()
@click.pass_obj
def run(config: Path) -> None:
    """Follow every network and deliver alerts until stopped."""
    from chainwatch import app
    from chainwatch.store.claim import claimed
    from chainwatch.store.database import Database

    plan = _plan(config)
    url = plan.settings.store.url.get_secret_value()
    with claimed(url), contextlib.closing(Database.open(url)) as database:
        _run_until_stopped(lambda stop: app.run(plan, database, stop))


@main.command()
@click.argument("network")
@click.argument("block", type=Block)
@click.pass_obj
def rewind(config: Path, network: str, block: int) -> None:
    """Forget what was read of NETWORK after BLOCK, so that `run` reads it again from there."""
    from chainwatch import rewinding
    from chainwatch.store.claim import claimed
    from chainwatch.store.database import Database

    plan = _plan(config)
    if network not in plan.watches:
        raise click.BadParameter(did_you_mean(network, plan.watches), param_hint="NETWORK")
    url = plan.settings.store.url.get_secret_value()
    with claimed(url), contextlib.closing(Database.open(url, create=False)) as database:
        header = _run(rewinding.rewind(plan, database, network, block))
    click.echo(f"{network} goes on after block {header.number}, {to_hex(header.hash)}")


@main.command()
@click.argument("network")
@click.option("--from", "first", type=Block, help="The first block. Default: the first that was read.")
@click.option("--to", "last", type=Block, help="The last block. Default: the last that was read.")
@click.option("--repair", is_flag=True, help="Put right what differs, with all that follows from it.")
@as_json
@click.pass_obj
def audit(
    config: Path, network: str, first: int | None, last: int | None, repair: bool, as_json: bool
) -> None:
    """Read blocks of NETWORK again, through another endpoint if there is one, and compare with what is stored."""
    from chainwatch import auditing, show
    from chainwatch.store.claim import claimed
    from chainwatch.store.database import Database

    plan = _plan(config)
    if network not in plan.watches:
        raise click.BadParameter(did_you_mean(network, plan.watches), param_hint="NETWORK")
    url = plan.settings.store.url.get_secret_value()
    with (
        claimed(url) if repair else contextlib.nullcontext(),
        contextlib.closing(Database.open(url, create=False)) as database,
    ):
        found = _run(auditing.audit(plan, database, network, first, last))
        if repair and found.differences:
            auditing.repair(plan, database, found)
    show.audit(found, repair, as_json)
    if found.differences:
        sys.exit(FAILED)


@main.command()
@click.option("--online", is_flag=True, help="Also ask every endpoint for its chain id, head and log range.")
@as_json
@click.pass_obj
def check(config: Path, online: bool, as_json: bool) -> None:
    """Check the configuration: every mistake at once."""
    from chainwatch import online as endpoints
    from chainwatch import rota, show

    plan = _plan(config)
    found = _run(endpoints.check(plan)) if online else []
    show.check(plan, found, rota.gaps_ahead(plan.settings, time.time()), as_json)
    if any(not endpoint["ok"] for endpoint in found):
        sys.exit(FAILED)


@main.command()
@click.option("--network", "only", multiple=True, metavar="NAME", help="Only this network (repeatable).")
@click.option(
    "--from",
    "start",
    multiple=True,
    metavar="[NETWORK=]WHEN",
    help="Block number, date, ISO time or Unix seconds to begin at. Default: the network's start_block.",
)
@click.option(
    "--to",
    "end",
    multiple=True,
    metavar="[NETWORK=]WHEN",
    help="Where to end, inclusive; a date means its end. Default: the head.",
)
@click.option(
    "--database", metavar="URL", help="Keep what is found in this fresh database. Default: a temporary one."
)
@click.option("--resume", is_flag=True, help="Go on with the interrupted replay in --database.")
@click.option("--notify", is_flag=True, help="Really send the alerts to their receivers.")
@click.option(
    "--fail-on", type=Severity(), help=f"Exit with {FOUND_ALERTS} when an alert this severe was found."
)
@as_json
@click.pass_obj
def replay(
    config: Path,
    only: tuple[str, ...],
    start: tuple[str, ...],
    end: tuple[str, ...],
    database: str | None,
    resume: bool,
    notify: bool,
    fail_on: str | None,
    as_json: bool,
) -> None:
    """Run the blocks of the past through the configuration and report what would have been raised."""
    from chainwatch import replay_run, show

    if resume and database is None:
        raise click.UsageError("--resume needs the --database of the interrupted replay")
    plan = _plan(config)
    wanted = replay_run.Wanted(only, start, end, resume, notify)
    if database is not None:
        report = _run(replay_run.replay(plan, wanted, _url(database), durable=True))
    else:
        report = _in_temporary_database(lambda url: _run(replay_run.replay(plan, wanted, url, durable=False)))
    show.replay(report, as_json)
    severe = SEVERITIES[: SEVERITIES.index(fail_on) + 1] if fail_on else ()
    if any(alert["labels"]["severity"] in severe for alert in report["alerts"]):
        sys.exit(FOUND_ALERTS)


@main.command()
@as_json
@click.pass_obj
def status(config: Path, as_json: bool) -> None:
    """Show networks, transfers, alerts and queues."""
    from chainwatch import looking, show

    with _looking(config) as look:
        show.status(looking.status(look), as_json)


@main.command()
@click.option("--flow", help="Only transfers of this flow.")
@click.option(
    "--status",
    "statuses",
    type=click.Choice(TRANSFER_STATUSES),
    multiple=True,
    help="Only these (repeatable).",
)
@click.option("--key", help="Only the transfer with this key.")
@click.option("--origin", help="Only transfers from this network.")
@click.option("--destination", help="Only transfers to this network.")
@click.option(
    "--since", type=Moment(), help="Opened at this time or later: a date, a time, or 24h ago as 24h."
)
@click.option("--until", type=Moment(), help="Opened before this time.")
@at_most
@as_json
@click.pass_obj
def transfers(config: Path, /, limit: int, as_json: bool, **wanted: Any) -> None:
    """List transfers with their steps and deadlines."""
    from chainwatch import looking, show

    with _looking(config) as look:
        show.transfers(looking.transfers(look, limit, **wanted), as_json)


@main.group()
def queue() -> None:
    """Look at the queues of notifications, try again, or drop."""


@queue.command("list")
@click.option("--receiver", help="Only this receiver's.")
@click.option("--status", type=click.Choice(["pending", "delivered", "dead", "dropped"]), help="Only these.")
@at_most
@as_json
@click.pass_obj
def queue_list(config: Path, receiver: str | None, status: Any, limit: int, as_json: bool) -> None:
    """List notifications with their attempts and last error."""
    from chainwatch import looking, show

    with _looking(config) as look:
        show.queue(looking.queue(look, receiver, status, limit), as_json)


@queue.command("retry")
@click.argument("ids", type=Id, nargs=-1)
@click.option("--receiver", help="All dead and waiting notifications of this receiver.")
@click.pass_obj
def queue_retry(config: Path, ids: tuple[int, ...], receiver: str | None) -> None:
    """Try notifications again now: by id, or all of a receiver."""
    from chainwatch import looking

    if bool(ids) == (receiver is not None):
        raise click.UsageError("name notification ids, or a receiver with --receiver")
    with _looking(config) as look:
        click.echo(f"{looking.retry(look, ids, receiver)} to be tried again")


@queue.command("drop")
@click.argument("ids", type=Id, nargs=-1, required=True)
@click.pass_obj
def queue_drop(config: Path, ids: tuple[int, ...]) -> None:
    """Give notifications up for good; they stay visible as dropped."""
    from chainwatch import looking

    with _looking(config) as look:
        click.echo(f"{looking.drop(look, ids)} dropped")


@main.group()
def report() -> None:
    """Statistics over what was seen."""


@report.command("latency")
@click.option("--flow", help="Only transfers of this flow.")
@click.option("--since", type=Moment(), help="Opened at this time or later.")
@click.option("--until", type=Moment(), help="Opened before this time.")
@as_json
@click.pass_obj
def report_latency(
    config: Path, flow: str | None, since: int | None, until: int | None, as_json: bool
) -> None:
    """How long each step took, per route: count, median, 90th and 99th percentile, longest, overdue."""
    from chainwatch import looking, show

    with _looking(config) as look:
        show.latency(looking.latency(look, flow, since, until), as_json)


@main.command()
@click.option("--for", "seconds", type=Duration(), default="60s", show_default=True, help="How long.")
def demo(seconds: float) -> None:
    """Watch two embedded chains on which transfers complete, get stuck, are orphaned and reorganised."""
    from chainwatch.demo.run import run_demo

    with tempfile.TemporaryDirectory(prefix="chainwatch-demo-") as folder:
        _run_until_stopped(lambda stop: run_demo(Path(folder), seconds, stop))


@main.command()
@click.option("--preset", default="", help="connext, across, op-stack, nomad, or own for another contract.")
@click.option(
    "--network", "networks", multiple=True, metavar="NAME[=CHAIN_ID]", help="A network (repeatable)."
)
@click.option("--rpc", multiple=True, metavar="NETWORK=URL|VARIABLE", help="An endpoint (repeatable).")
@click.option(
    "--receiver",
    "receivers",
    multiple=True,
    metavar="PROVIDER[=URL|VARIABLE]",
    help="Who is told (repeatable).",
)
@click.option("--store", default="", metavar="URL|VARIABLE", help="The database.")
@click.option("--abi", default="", help="With --preset own: the ABI file.")
@click.option(
    "--address",
    multiple=True,
    metavar="NETWORK=0x…",
    help="With --preset own: where the contract is (repeatable).",
)
@click.option(
    "--opens", default="", metavar="EVENT", help="With --preset own: the event that opens a transfer."
)
@click.option("--expects", default="", metavar="EVENT", help="With --preset own: the event that must follow.")
@click.option("--key", default="", help="With --preset own: the argument that both events share.")
@click.option(
    "--destination", default="", help="With --preset own: the argument that names the other network."
)
@click.option("--within", default="", help="With --preset own: the time the transfer may take, such as 30m.")
@click.option("--yes", is_flag=True, help="Ask nothing: take the default for what is not given.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@click.pass_obj
def init(config: Path, /, yes: bool, force: bool, **given: Any) -> None:
    """Write a commented configuration from a few answers."""
    from chainwatch import init as wizard

    try:
        answers = wizard.ask(
            wizard.Given(**given),
            wizard.defaults if yes or given["preset"] or not sys.stdin.isatty() else _prompt,
        )
        created = wizard.create(answers, config, force)
    except wizard.InitError as error:
        raise click.UsageError(str(error)) from error
    for file in (created.config, *created.abis_written):
        click.echo(f"written: {file}")
    for file in created.abis_kept:
        click.echo(f"kept as it was: {file}")
    if created.variables:
        click.echo(f"set before the start: {', '.join(created.variables)}")
    click.echo(f"then: chainwatch --config {created.config} check --online")


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for a shell: eval "$(chainwatch completion bash)"."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(main, {}, "chainwatch", "_CHAINWATCH_COMPLETE").source())


def _plan(config: Path) -> Plan:
    """What the configuration plans; log lines go to standard error from now on, as it says."""
    from chainwatch import logs
    from chainwatch.plan import load_plan

    plan = load_plan(config, os.environ)
    logs.configure(plan.settings.log, logs.secrets_in(plan.settings))
    return plan


def _run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def _run_until_stopped(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run ``work`` with an event that SIGTERM and Ctrl-C set."""

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await work(stop)

    asyncio.run(run())


def _prompt(question: str, default: str) -> str:
    answer: str = click.prompt(question, default=default, show_default=bool(default))
    return answer


def _looking(config: Path) -> contextlib.AbstractContextManager[Look]:
    from chainwatch.looking import look

    return look(config, os.environ)


def _in_temporary_database(work: Callable[[str], T]) -> T:
    """Run ``work`` on a database that goes with it, unless it is interrupted: then it can be gone on with."""
    folder = Path(tempfile.mkdtemp(prefix="chainwatch-replay-"))
    file = folder / "replay.db"
    try:
        result = work(_url(str(file)))
    except KeyboardInterrupt:
        click.echo(f"interrupted; go on with: chainwatch replay --resume --database {file}", err=True)
        sys.exit(FAILED)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    return result


def _url(text: str) -> str:
    """A database URL, or a file's path as one."""
    return text if "://" in text else f"sqlite:///{Path(text).absolute()}"


alert_commands.register(main)
people_commands.register(main)
