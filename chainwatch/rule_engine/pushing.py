"""Pushed groups while chainwatch runs: each push becomes samples at once, and each group fresh samples every 15 seconds.

So a group's series are what Prometheus has of a Pushgateway that it scrapes: they go on until the group is deleted, and what
a push leaves out ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

import structlog

from chainwatch.ingestion import metric_families
from chainwatch.ingestion.model import IngestionError
from chainwatch.ingestion.push_groups import Group
from chainwatch.ingestion.text import OPENMETRICS, Exposition, parse_exposition
from chainwatch.promql.series import STALE, Labels
from chainwatch.rule_engine.intake import PUSH, Intake, next_time
from chainwatch.store import push_groups
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.tsdb.model import Appended

REPEAT_EVERY = 15.0
"""Seconds between two samples of a group that nobody pushes to."""
GROUPS_MAX = 10_000
SERIES_MAX = 200_000
"""The most groups, and series of all of them."""
SAMPLES_MAX = 50_000
"""The most samples of one push."""

_log = structlog.get_logger(__name__)


class TooMuchPushed(IngestionError):
    """Groups, or series of them, beyond what is kept."""


class _Change(NamedTuple):
    """What became of the samples of a change, and what is done once it is stored."""

    appended: Appended
    stored: Awaitable[None]


class PushGroups:
    """The groups of one monitor's database. ``clock`` gives Unix seconds."""

    def __init__(self, database: Database, intake: Intake, clock: Callable[[], float]) -> None:
        self._database = database
        self._intake = intake
        self._clock = clock
        self._groups: dict[Labels, Group] | None = None
        self._series = 0
        self._changing = asyncio.Lock()
        self._last = 0
        """The time (Unix ms) of the newest samples."""

    async def push(self, labels: Labels, body: bytes, *, content_type: str, replaces_all: bool) -> Appended:
        """Take a push to the group of ``labels``; return what became of its samples once they are stored.

        By its ``content_type`` the body is OpenMetrics, protobuf, or else the text format.

        Raises ``IngestionError`` for a body that cannot be taken, which is noted in the group, and ``StoreError``.
        """
        exposition = await self._intake.run(PUSH, partial(_parsed, body, content_type), len(body))
        async with self._changing:
            groups = await self._loaded()
            before = groups.get(labels) or Group(labels)
            now = self._clock()
            try:
                pushed = partial(before.pushed, exposition, now, replaces_all=replaces_all)
                after = await self._intake.run(PUSH, pushed)
                self._check_size(before, after)
            except IngestionError:
                if labels in groups:
                    await self._change(before, before.failed(now))
                raise
            change = await self._change(before, after)
        await change.stored
        return change.appended

    async def delete(self, labels: Labels) -> None:
        """Delete the group of ``labels``, if there is one; its series end. Raises ``StoreError``."""
        async with self._changing:
            group = (await self._loaded()).get(labels)
            change = None if group is None else await self._change(group, None)
        if change is not None:
            await change.stored

    async def repeat(self) -> None:
        """Add fresh samples of all groups again and again, until cancelled."""
        while True:
            try:
                async with self._changing:
                    groups = list((await self._loaded()).values())
                    if groups:
                        await self._append(partial(_values, groups))
            except StoreError as error:
                _log.warning("pushed groups are not read", reason=str(error))
            await asyncio.sleep(REPEAT_EVERY)

    def _check_size(self, before: Group, after: Group) -> None:
        """Raise ``TooMuchPushed`` for a group, or series, beyond what is kept."""
        assert self._groups is not None
        if before.labels not in self._groups and len(self._groups) >= GROUPS_MAX:
            raise TooMuchPushed(f"there are {GROUPS_MAX} groups of pushed metrics: delete some")
        if self._series + after.size - before.size > SERIES_MAX:
            raise TooMuchPushed(f"all groups of pushed metrics have {SERIES_MAX} series at most: delete some")

    async def _change(self, before: Group, after: Group | None) -> _Change:
        """Add the samples of what a group is now, with the ends of series that it has no more, and begin to store it."""
        labels = before.labels
        assert self._groups is not None  # whoever calls this has loaded them
        if after is None:
            self._groups.pop(labels)
        else:
            self._groups[labels] = after
            self._intake.describe(after.metadata())
        self._series += (0 if after is None else after.size) - before.size
        writing = self._database.hand_over(
            lambda c: push_groups.delete(c, labels) if after is None else push_groups.save(c, after)
        )
        appended = await self._append(lambda: _changes(before, after))

        async def store() -> None:
            await asyncio.gather(asyncio.wrap_future(writing), self._intake.stored())

        return _Change(appended, asyncio.ensure_future(store()))

    async def _append(self, values: Callable[[], Mapping[Labels, float]]) -> Appended:
        """Add what ``values`` returns, which is called where samples are appended, as it may be much."""
        now = self._last = next_time(self._clock, self._last)

        def append() -> Appended:
            batch = [(labels, (now,), (value,)) for labels, value in values().items()]
            return self._intake.append(PUSH, batch, now)

        return await self._intake.run(PUSH, append)

    async def _loaded(self) -> dict[Labels, Group]:
        """Return all groups. Raises ``StoreError``."""
        if self._groups is None:
            stored = await self._database.read(push_groups.load)
            self._groups = {group.labels: group for group in stored}
            self._series = sum(group.size for group in stored)
            for group in stored:
                self._intake.describe(group.metadata())
        return self._groups


def _parsed(body: bytes, content_type: str) -> Exposition:
    if content_type == metric_families.CONTENT_TYPE:
        return metric_families.parse_families(body, SAMPLES_MAX)
    return parse_exposition(body, is_openmetrics=content_type == OPENMETRICS, samples_max=SAMPLES_MAX)


def _values(groups: Iterable[Group]) -> dict[Labels, float]:
    return {labels: value for group in groups for labels, value in group.values().items()}


def _changes(before: Group, after: Group | None) -> dict[Labels, float]:
    """Return the values of a group, and the ends of series that it has no more."""
    values = {} if after is None else after.values()
    ended = dict.fromkeys(before.values().keys() - values.keys(), STALE) if before.pushed_at else {}
    return values | ended
