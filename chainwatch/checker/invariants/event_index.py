"""The events that count for a measure, in their order, so that what is taken of a window needs not each of them. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from math import inf
from typing import Any

from chainwatch.checker.invariants.event_facts import EventMeasure


class EventIndex:
    """The events of one network for the measure ``wanted``."""

    def __init__(self, wanted: EventMeasure) -> None:
        self._wanted = wanted
        self._places: list[tuple[float, float, float]] = []
        """Their timestamps, blocks and log indexes, ascending."""
        self._values: list[Any] = []
        self._sums: list[int] = [0]
        """The sum of the values before each of them, as far as it is known: added up where it is asked for."""

    def add(self, timestamp: int, block: int, log_index: int, args: Mapping[str, Any]) -> None:
        """Add an event with what is kept of it, if it counts; one that is known stays as it is."""
        wanted = self._wanted
        if wanted.where is not None and wanted.where not in args:
            return
        if wanted.argument is not None and wanted.argument not in args:
            return
        place = (timestamp, block, log_index)
        at = bisect_left(self._places, place)
        if at < len(self._places) and self._places[at] == place:
            return
        self._places.insert(at, place)
        self._values.insert(at, 1 if wanted.argument is None else args[wanted.argument])
        del self._sums[at + 1 :]

    def forget_before(self, since: float) -> None:
        """Drop the events until ``since`` (chain time)."""
        gone = bisect_right(self._places, (since, inf, inf))
        self._sum_up()
        del self._places[:gone], self._values[:gone], self._sums[:gone]

    def measure(self, timestamp: int, block: int) -> Any:
        """Return what is taken of the events up to ``block``, whose time is ``timestamp``; None for the last of none."""
        first = bisect_right(self._places, (timestamp - self._wanted.within, inf, inf))
        end = bisect_right(self._places, (timestamp, block, inf))
        if self._wanted.take == "last":
            return self._values[end - 1] if end > first else None
        self._sum_up()
        return self._sums[max(first, end)] - self._sums[first]

    def _sum_up(self) -> None:
        if self._wanted.take == "last":
            return
        for value in self._values[len(self._sums) - 1 :]:
            self._sums.append(self._sums[-1] + value)
