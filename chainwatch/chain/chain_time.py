"""The time according to the chains: a host's clock may be wrong, and it alone must not make anything late. Pure.

A block that has just arrived proves that its timestamp is past; so does the ``Date`` of an HTTP answer. Both advance
with the monotonic clock. Sources are trusted in this order: heads of networks that keep pace with the monotonic clock,
the dates of answers, a single new head, the host's clock. One source alone is not trusted where another agrees with the
host's clock.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

TOLERANCE = 10.0
"""Seconds by which the clock may be off, besides the time that a head takes to arrive, before it counts as wrong."""

KEPT = 600.0
KEPT_MAX = 64
"""Seconds for which a sighting counts, and the most sightings that are kept of one source."""

ALONE_AFTER = 15.0
"""Seconds after the start until the host's clock is trusted where there is no other source of the time."""

AGREE = 2
"""How many more sources must agree than disagree before a time later than the host's clock is trusted."""

PACE_AFTER = 5.0
PACE_SLACK = 5.0
"""Seconds that two heads must be apart, and by which they may be off, to show that a chain keeps pace with real time."""


class Moment(NamedTuple):
    """One moment on the host's clock (Unix seconds) and on the monotonic one."""

    wall: float
    monotonic: float


class _Source:
    """The times that one network or endpoint gave. Each sighting is a lower bound of Unix time minus monotonic time."""

    def __init__(self, slack: float) -> None:
        self.slack = slack
        self.bound = 0.0
        """The highest lower bound."""
        self.keeps_pace = False
        """Whether the last sightings advanced as the monotonic clock did; those of a network being caught up with do not."""
        self._sightings: deque[tuple[float, float]] = deque(maxlen=KEPT_MAX)

    def add(self, timestamp: float, at: float) -> None:
        """Note a sighting. The time is asked for far more often than this, so what follows from it is kept."""
        if self._sightings and at - self._sightings[-1][0] < 1.0:
            first_at, offset = self._sightings[-1]
            self._sightings[-1] = (first_at, max(offset, timestamp - at))
        else:
            self._sightings.append((at, timestamp - at))
        while at - self._sightings[0][0] > KEPT and len(self._sightings) > 1:
            self._sightings.popleft()
        self.bound = max(offset for _, offset in self._sightings)
        self.keeps_pace = self._has_kept_pace()

    def _has_kept_pace(self) -> bool:
        last_at, last = self._sightings[-1]
        early = [offset for at, offset in self._sightings if last_at - at >= PACE_AFTER]
        return bool(early) and abs(last - early[-1]) <= PACE_SLACK + self.slack


class ChainTime:
    """The time as far as the chains prove it. ``clock`` gives Unix seconds, ``monotonic`` seconds."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        alone_after: float = ALONE_AFTER,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._alone_from = monotonic() + alone_after
        self._heads: dict[str, _Source] = {}
        self._dates: dict[str, _Source] = {}
        self._trusted: _Source | None = None
        self._is_settled = True
        """Whether ``_trusted`` is what the sightings so far say."""

    def moment(self) -> Moment:
        """Return this moment."""
        return Moment(self._clock(), self._monotonic())

    def saw_head(self, network: str, timestamp: int, slack: float) -> None:
        """Note a block that has just arrived; ``slack``: seconds for which it may have existed before it was asked for."""
        source = self._heads.setdefault(network, _Source(slack))
        source.slack = slack
        source.add(timestamp, self._monotonic())
        self._is_settled = False

    def saw_date(self, endpoint: str, date: float) -> None:
        """Note that an answer has just arrived that was made at ``date`` (Unix seconds) by the endpoint's clock."""
        self._dates.setdefault(endpoint, _Source(1.0)).add(date, self._monotonic())
        self._is_settled = False

    def proven(self, moment: Moment) -> float:
        """Return the time at ``moment`` (Unix seconds), never later than the sightings prove; 0 where there is none yet."""
        paced = self._paced().values()
        known = paced or self._dates.values() or self._heads.values()
        latest = max((source.bound for source in known), default=None)
        if latest is None:
            return moment.wall if moment.monotonic >= self._alone_from else 0.0
        time = min(self._corrected(moment), moment.monotonic + latest)
        return time if self._is_witnessed(time - moment.monotonic) else min(time, moment.wall)

    def now(self) -> float:
        """Return the time now (Unix seconds): the clock's, corrected where it is known to be wrong."""
        return self._corrected(self.moment())

    def refutes(self, network: str, timestamp: float) -> bool:
        """Return whether this clock and most other networks say that a block made at ``timestamp`` is later than now.

        The networks other than ``network`` count whose heads keep pace; where there are none, nothing is refuted: this
        clock may be the wrong one. But just after the start, when nothing can be known yet, the clock alone refutes.
        """
        monotonic = self._monotonic()
        if monotonic < self._alone_from:
            return self._clock() < timestamp
        others = [source for name, source in self._paced().items() if name != network]
        later = sum(source.bound + monotonic + TOLERANCE < timestamp for source in others)
        return self._clock() < timestamp and 2 * later > len(others)

    def error_of(self, wall: float) -> float | None:
        """Return the seconds by which a clock that shows ``wall`` now is ahead (negative: behind).

        0 where it is right enough, None while that is unknown.
        """
        return self._error(Moment(wall, self._monotonic()))

    def _corrected(self, moment: Moment) -> float:
        return moment.wall - (self._error(moment) or 0.0)

    def _error(self, moment: Moment) -> float | None:
        if not self._is_settled:
            self._trusted, self._is_settled = self._most_trusted(), True
        source = self._trusted
        if source is None:
            return None
        ahead = moment.wall - (moment.monotonic + source.bound)
        if -TOLERANCE <= ahead <= TOLERANCE + source.slack:
            return 0.0
        is_alone = self._number_that_say(source.bound) < AGREE
        return 0.0 if is_alone and self._number_that_say(moment.wall - moment.monotonic) else ahead

    def _most_trusted(self) -> _Source | None:
        """Return the source by which the clock is corrected; None while none is trusted."""
        paced = self._paced().values()
        return (
            self._agreed(paced) or self._agreed(self._dates.values(), least=1) or self._agreed(paced, least=1)
        )

    def _is_witnessed(self, offset: float) -> bool:
        """Return whether enough sources, against others and the host's clock, put Unix time at monotonic + ``offset``."""
        agree = self._number_that_say(offset)
        return agree - (len(self._heads) + len(self._dates) - agree) >= AGREE

    def _number_that_say(self, offset: float) -> int:
        """Return how many sources say that Unix time is ``offset`` + monotonic."""
        sources = (*self._heads.values(), *self._dates.values())
        return sum(abs(source.bound - offset) <= TOLERANCE + source.slack for source in sources)

    def _paced(self) -> Mapping[str, _Source]:
        return {name: source for name, source in self._heads.items() if source.keeps_pace}

    def _agreed(self, sources: Iterable[_Source], least: int = 2) -> _Source | None:
        """Return the median one, if most of ``sources``, and at least ``least``, agree with it."""
        several = sorted(sources, key=lambda source: source.bound)
        if not several:
            return None
        middle = statistics.median_low(source.bound for source in several)
        near = [s for s in several if abs(s.bound - middle) <= TOLERANCE + s.slack]
        if len(near) < least or 2 * len(near) <= len(several):
            return None
        return next(source for source in several if source.bound == middle)
