"""One replay as the command runs it: opens pools and database, resolves the ranges, shows the progress."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from chainwatch.chain.pool import Pool
from chainwatch.chain.transport import open_session
from chainwatch.plan import Plan
from chainwatch.replay.bounds import parse_when, resolve_ranges
from chainwatch.replay.errors import ReplayError
from chainwatch.replay.reader.process import Reader, is_worthwhile
from chainwatch.replay.replay import Progress, Replay, Rules
from chainwatch.store.blocks import new_ids
from chainwatch.store.database import Database, parse_url
from chainwatch.support.spelling import did_you_mean


class Wanted(NamedTuple):
    """The options of the command: networks (none: all), ``[NETWORK=]WHEN`` to begin and to end.

    ``resume``: go on with an interrupted replay; ``notify``: really send; ``sample_every``: check invariants at each so many
    blocks.
    """

    networks: Sequence[str]
    start: Sequence[str]
    end: Sequence[str]
    resume: bool = False
    notify: bool = False
    sample_every: int | None = None


async def replay(
    plan: Plan,
    wanted: Wanted,
    database: str,
    reader: Reader | None = None,
    rules: Rules | None = None,
    *,
    durable: bool,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Replay into ``database`` (a URL) and return the report; ``reader`` reads long ranges, ``rules`` evaluates rules.

    Raises ``ReplayError``, ``ChainError``, ``StoreError``.
    """
    networks = _networks(plan, wanted.networks, may_be_none=rules is not None)
    start = _by_network(wanted.start, networks, "--from", end_of_day=False)
    end = _by_network(wanted.end, networks, "--to", end_of_day=True)
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_session())
        pools = {
            name: await stack.enter_async_context(Pool(plan.settings.networks[name], session))
            for name in networks
        }
        ranges = None if wanted.resume else await resolve_ranges(plan, pools, start, end)
        if reader is not None and ranges is not None and is_worthwhile(ranges):
            packed = parse_url(database).get_backend_name() == "postgresql"
            ids = new_ids([r.network for r in ranges], {}) if packed else None
            await reader.begin(plan, ranges, ids)  # it reads while the database is being made
        opened = stack.enter_context(contextlib.closing(Database.open(database, durable=durable)))
        every = wanted.sample_every
        work = Replay(plan, opened, pools, reader, notify=wanted.notify, rules=rules, sample_every=every)
        if ranges is None:
            work.resume()
        else:
            work.begin(ranges)
        with _bar(show_progress) as progress:
            await work.run(progress)
            return await work.report()


def _networks(plan: Plan, wanted: Sequence[str], *, may_be_none: bool) -> list[str]:
    for name in wanted:
        if name not in plan.watches:
            raise ReplayError(
                f"no contract of any flow is on a network {name!r}; {did_you_mean(name, plan.watches)}"
            )
    networks = list(dict.fromkeys(wanted)) or list(plan.watches)
    if not networks and not may_be_none:
        raise ReplayError("the configuration watches nothing: it has no flow whose contract is on a network")
    return networks


def _by_network(
    texts: Sequence[str], networks: Sequence[str], option: str, *, end_of_day: bool
) -> dict[str, int | datetime]:
    """Parse ``["2023-04-01", "optimism=53024543"]`` into a block or time for each network; the later option wins."""
    found: dict[str, int | datetime] = {}
    for text in texts:
        name, given, when = text.rpartition("=")
        if given and name not in networks:
            raise ReplayError(
                f"{option} {text}: there is no network {name!r}; {did_you_mean(name, networks)}"
            )
        try:
            moment = parse_when(when)
        except ValueError as error:
            raise ReplayError(
                f"{option} {text}: expected a block number, a date (2023-04-05), a time (2023-04-05T08:11Z) or Unix seconds"
            ) from error
        if end_of_day and _is_date(when):
            assert isinstance(moment, datetime)
            moment += timedelta(days=1) - timedelta(seconds=1)
        found |= dict.fromkeys([name] if given else networks, moment)
    return found


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return not text.isdigit()


@contextlib.contextmanager
def _bar(show: bool) -> Iterator[Callable[[Progress], None]]:
    """Show a progress bar on standard error: blocks done, events a second, time left."""
    if not (show and sys.stderr.isatty()):
        yield lambda _progress: None
        return

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("replay"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("blocks · {task.fields[events]:,} events · {task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("replay", total=None, events=0, rate=0.0)

        def update(progress: Progress) -> None:
            rate = progress.events / max(time.monotonic() - started, 0.001)
            bar.update(task, completed=progress.blocks, total=progress.of, events=progress.events, rate=rate)

        yield update
