"""Chainwatch's own metrics as series: all of them every few seconds, what invariants read soon after it has changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version

import sqlalchemy as sa
import structlog
from prometheus_client.core import Metric

from chainwatch.ingestion.model import SeriesSamples
from chainwatch.monitor.companions import Running
from chainwatch.operations.context import Context, Contexts
from chainwatch.operations.invariant_values import invariant_values
from chainwatch.operations.measures import measure
from chainwatch.promql.series import NAME, STALE, Labels, Metadata
from chainwatch.rule_engine.families import families, families_of_invariants
from chainwatch.rule_engine.intake import OWN, Intake, next_time
from chainwatch.store.errors import StoreError

JOB, PREFIX = "chainwatch", "chainwatch_"
SEEN_AGE = f"{PREFIX}network_seen_age_seconds"
CHANGES_EVERY = 2.0
"""Seconds between two looks for values that have changed, at least."""
SHARE = 50
"""A reading is repeated after so many times as long as it took, so that all of them take two percent of a core at most."""
SEEN_WITHIN = 600.0
"""Seconds within which a network was seen that is not behind."""
BUILDS = {"chainwatch": version("chainwatch")}

_log = structlog.get_logger(__name__)

Reading = Callable[[sa.Connection, Context, float], Iterable[Metric]]


def is_own(labels: Labels) -> bool:
    """Return whether a series is a metric of chainwatch's own."""
    return labels.get("job") == JOB and labels.get(NAME).startswith(PREFIX)


class OwnMetrics:
    """Samples the metrics of one monitor."""

    def __init__(self, running: Running, intake: Intake) -> None:
        self._database = running.database
        self._contexts = Contexts(running.plan)
        self._clock = running.alerting.clock
        self._every = running.plan.settings.evaluation.sample_every
        self._intake = intake
        self._labels: dict[tuple[str, tuple[tuple[str, str], ...]], Labels] = {}
        self._last: dict[Labels, float] = {}
        """The newest value of each series that has not ended."""
        self._time = 0
        self._all_at = 0
        """The time of the newest sampling of all metrics; 0 before the first."""

    async def sample(self) -> None:
        """Take samples again and again, until cancelled."""
        while True:
            began = time.monotonic()
            commits = self._database.commits  # before it is read: what is committed meanwhile is read again
            took = await self._take(_all)
            rest = max(self._every, SHARE * took)
            while (left := began + rest - time.monotonic()) > 0:
                await asyncio.sleep(min(left, max(CHANGES_EVERY, SHARE * took)))
                if commits != self._database.commits:
                    commits = self._database.commits
                    took = await self._take(_of_invariants)

    async def _take(self, reading: Reading) -> float:
        """Add samples of what ``reading`` returns; return the seconds that it took to be read."""
        began = time.monotonic()
        try:
            metrics = await self._database.read(lambda c: self._read(c, reading))
        except StoreError as error:
            _log.warning("chainwatch's own metrics were not read", reason=str(error))
            return 0.0
        took = time.monotonic() - began
        await self._intake.run(OWN, lambda: self._append(metrics, is_all=reading is _all))
        return took

    def _read(self, connection: sa.Connection, reading: Reading) -> list[Metric]:
        return list(reading(connection, self._contexts.on(connection), self._clock()))

    def _append(self, metrics: list[Metric], *, is_all: bool) -> None:
        """Append the values of ``metrics``: all of them, or those that have changed, and the ends of what is gone."""
        values = {
            self._labelled(sample.name, sample.labels): float(sample.value)
            for metric in metrics
            for sample in metric.samples
        }
        names = None if is_all else {metric.name for metric in metrics}
        gone = [
            labels
            for labels in self._last
            if labels not in values and (names is None or labels[NAME] in names)
        ]
        if not is_all:
            values = {labels: value for labels, value in values.items() if self._last.get(labels) != value}
        now = self._time = next_time(self._clock, self._time)
        begun = self._begun(metrics) if is_all and 0 < self._all_at < now else set()
        batch: list[SeriesSamples] = [
            (labels, (self._all_at, now), (0.0, value)) if labels in begun else (labels, (now,), (value,))
            for labels, value in values.items()
        ]
        batch += [(labels, (now,), (STALE,)) for labels in gone]
        if batch:
            self._intake.append(OWN, batch, now)
        self._last |= values
        for labels in gone:
            del self._last[labels]
        if is_all:
            self._all_at = now
        self._intake.describe(dict(map(_metadata, metrics)))

    def _begun(self, metrics: list[Metric]) -> set[Labels]:
        """Return the series of counters that have begun since the last sampling of all, when they were 0.

        ``increase`` would not know of what they count first, such as a route's first transfer. A route from a network
        that was behind is left out: what is counted is of its past.
        """
        grown = (
            self._labelled(sample.name, sample.labels)
            for metric in metrics
            if metric.type in ("counter", "histogram")
            for sample in metric.samples
        )
        return {
            labels
            for labels in grown
            if labels not in self._last and not self._was_behind(labels.get("origin"))
        }

    def _was_behind(self, network: str) -> bool:
        """Return whether a network, if one is named, had not been seen lately at the last sampling."""
        if not network:
            return False
        age = self._last.get(self._labelled(SEEN_AGE, {"network": network}))
        return age is None or age > SEEN_WITHIN

    def _labelled(self, name: str, labels: dict[str, str]) -> Labels:
        key = (name, tuple(labels.items()))
        known = self._labels.get(key)
        if known is None:
            if (
                len(self._labels) > 2 * len(self._last) + _LABELS_MAX
            ):  # most of them are of series that are gone
                self._labels.clear()
            known = self._labels[key] = Labels({**labels, NAME: name, "job": JOB})
        return known


def _all(connection: sa.Connection, context: Context, now: float) -> Iterable[Metric]:
    return families(measure(connection, context, now), BUILDS)


def _of_invariants(connection: sa.Connection, context: Context, now: float) -> Iterable[Metric]:
    return families_of_invariants(invariant_values(connection, context))


def _metadata(metric: Metric) -> tuple[str, Metadata]:
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    return name, Metadata(metric.type, metric.documentation)


_LABELS_MAX = 10_000
