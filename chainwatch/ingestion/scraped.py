"""What a scrape makes of a target's answer: its series with the target's labels, and those that have ended.

Source: https://prometheus.io/docs/prometheus/latest/configuration/configuration/#scrape_config and
https://prometheus.io/docs/concepts/jobs_instances/.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from chainwatch.ingestion.model import IngestionError, SeriesSamples
from chainwatch.ingestion.text import Exposition
from chainwatch.promql.series import NAME, STALE, Labels

EXPORTED = "exported_"
_KNOWN_MIN = 1_000


@dataclass(frozen=True)
class SeriesLimits:
    """What series of one answer may have: labels, and characters of their names and values."""

    labels: int
    name_length: int
    value_length: int

    def check(self, labels: Labels) -> None:
        """Raise ``IngestionError`` for a series that has more."""
        if len(labels) > self.labels:
            raise IngestionError(f"{_short(labels)}: {len(labels)} labels, the limit is {self.labels}")
        for name, value in labels.pairs:
            if len(name) > self.name_length:
                raise IngestionError(
                    f"{_short(labels)}: a label's name has {len(name)} characters, the limit is {self.name_length}"
                )
            if len(value) > self.value_length:
                raise IngestionError(
                    f"{_short(labels)}: a label's value has {len(value)} characters, the limit is {self.value_length}"
                )


@dataclass
class TargetSeries:
    """The series of one target. ``labels`` are the target's: ``job``, ``instance`` and further ones."""

    labels: Labels
    limits: SeriesLimits
    honors_labels: bool = False
    honors_timestamps: bool = True
    live: set[Labels] = field(default_factory=set, init=False)
    """The series of the newest answer, which end once they are in none."""
    _known: dict[Labels, Labels] = field(default_factory=dict, init=False)

    def take(self, exposition: Exposition, now: int) -> tuple[list[SeriesSamples], int]:
        """Return the samples of an answer at ``now`` (Unix ms), with the ends of what is gone, and how many series are new.

        Of samples of the same series the first counts. Raises ``IngestionError`` for a series beyond the limits.
        """
        found: dict[tuple[Labels, int], float] = {}
        live: set[Labels] = set()
        for labels, value, time in exposition.samples:
            series = self._labelled(labels)
            if time is None or not self.honors_timestamps:
                live.add(series)
                time = now
            found.setdefault((series, time), value)
        if len(self._known) > 2 * len(exposition.samples) + _KNOWN_MIN:  # most are of earlier answers
            self._known.clear()
        ended = self.live - live
        added = len(live - self.live)
        self.live = live
        samples: list[SeriesSamples] = [
            (series, (time,), (value,))
            for (series, time), value in sorted(found.items(), key=lambda one: one[0][1])
        ]
        return [*samples, *_ends(ended, now)], added

    def fail(self, now: int) -> list[SeriesSamples]:
        """Return the ends of all series, after a scrape that failed."""
        ended, self.live = self.live, set()
        return _ends(ended, now)

    def report(self, values: Mapping[str, float], now: int) -> list[SeriesSamples]:
        """Return samples about the scrape itself, such as ``up``."""
        return [(self.labels.put({NAME: name}), (now,), (value,)) for name, value in values.items()]

    def _labelled(self, labels: Labels) -> Labels:
        known = self._known.get(labels)
        if known is None:
            self.limits.check(labels)
            known = self._with_target(labels)
            self._known[labels] = known
        return known

    def _with_target(self, labels: Labels) -> Labels:
        if self.honors_labels:
            return Labels({**self.labels, **labels})
        own = dict(labels)
        for name in self.labels:
            if name in own:
                exported = EXPORTED + name
                while exported in own:
                    exported = EXPORTED + exported
                own[exported] = own.pop(name)
        return Labels({**own, **self.labels})


def _ends(series: Iterable[Labels], now: int) -> list[SeriesSamples]:
    return [(labels, (now,), (STALE,)) for labels in series]


def _short(labels: Labels) -> str:
    return labels.get(NAME)[:100]
