"""The command that replays past blocks."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from chainwatch.commands.common import FAILED, FOUND_ALERTS, plan_of
from chainwatch.commands.options import Severity, as_json
from chainwatch.model import BLOCKS, SEVERITIES
from chainwatch.replay.reader.process import started

if TYPE_CHECKING:
    from chainwatch.plan import Plan
    from chainwatch.replay.replay import Rules

T = TypeVar("T")


class Sampling(click.ParamType[int]):
    """Converts ``every=N`` to a number of blocks."""

    name = "every=N"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int:
        """See ``click.ParamType``."""
        key, _, number = str(value).partition("=")
        if key != "every" or not number.isdecimal() or not 1 <= int(number) < BLOCKS:
            self.fail("expected every=N, a number of blocks such as every=100", parameter, context)
        return int(number)


@click.command()
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
    "--database", metavar="URL", help="Keep the results in this new database. Default: a temporary one."
)
@click.option("--resume", is_flag=True, help="Continue the interrupted replay in --database.")
@click.option(
    "--samples",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Samples for rules, in OpenMetrics or the text format, each with its time (repeatable).",
)
@click.option(
    "--invariants",
    "sample_every",
    type=Sampling(),
    metavar="every=N",
    help="Check invariants every N blocks. Default: at blocks with events, and at 100 or more of each network.",
)
@click.option("--notify", is_flag=True, help="Really send the alerts to their receivers.")
@click.option(
    "--fail-on",
    type=Severity(),
    help=f"Exit with code {FOUND_ALERTS} when an alert of this severity or higher was found.",
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
    samples: tuple[Path, ...],
    sample_every: int | None,
    notify: bool,
    fail_on: str | None,
    as_json: bool,
) -> None:
    """Apply the configuration to past blocks and report the alerts that would have been raised."""
    if resume and database is None:
        raise click.UsageError("--resume needs the --database of the interrupted replay")
    with started() as reader:  # first of all, so that both processes import at the same time
        from chainwatch.commands.show import watching as show
        from chainwatch.replay import session

        plan = plan_of(config)
        wanted = session.Wanted(only, start, end, resume, notify, sample_every)
        rules = _rules(plan, samples)

        def run(url: str, *, durable: bool) -> dict[str, Any]:
            return asyncio.run(session.replay(plan, wanted, url, reader, rules, durable=durable))

        if database is not None:
            report = run(_url(database), durable=True)
        else:
            report = _in_temporary_database(lambda url: run(url, durable=False))
    show.replay(report, as_json)
    severe = SEVERITIES[: SEVERITIES.index(fail_on) + 1] if fail_on else ()
    if any(alert["labels"]["severity"] in severe for alert in report["alerts"]):
        sys.exit(FOUND_ALERTS)


def _rules(plan: Plan, samples: tuple[Path, ...]) -> Rules | None:
    """Return what evaluates the configuration's rules, where it has any. Imports late: few replays have rules."""
    if not plan.rule_groups:
        if samples:
            raise click.UsageError("--samples needs rules: the configuration has none")
        return None
    from chainwatch.rule_engine.replaying import read_samples, rules_over_history

    return rules_over_history(plan, read_samples(samples))


def _in_temporary_database(work: Callable[[str], T]) -> T:
    """Run ``work`` on a database that is deleted afterwards, unless interrupted: then `--resume` can continue it."""
    folder = Path(tempfile.mkdtemp(prefix="chainwatch-replay-"))
    file = folder / "replay.db"
    try:
        result = work(_url(str(file)))
    except KeyboardInterrupt:
        click.echo(f"interrupted; continue with: chainwatch replay --resume --database {file}", err=True)
        sys.exit(FAILED)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    return result


def _url(text: str) -> str:
    """Return a database URL, or a file's path as one."""
    return text if "://" in text else f"sqlite:///{Path(text).absolute()}"
