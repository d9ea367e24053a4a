"""The transfers that count for a measure, by when they began and ended, so that a moment needs few of them. Pure."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator

from chainwatch.checker.invariants.flow_measure import Counted, FlowMeasure, Moment, percentile
from chainwatch.model import Occurrence


class FlowIndex:
    """Transfers by id, for the measure ``wanted``.

    A transfer is under way from the first of its two ends that was seen to the second: one that ended before it opened, as
    clocks of networks differ, is so, too. Blocks of one network have ascending timestamps, so that ``blocks`` of a moment
    decides only about events of its very second.
    """

    def __init__(self, wanted: FlowMeasure) -> None:
        self.wanted = wanted
        self._transfers: dict[int, Counted] = {}
        self._times: list[int] = []
        """When anything begins or ends, ascending."""
        self._at: dict[int, set[int]] = {}
        """The ids of what begins or ends at each of them."""
        self._change: dict[int, int] = {}
        """By how much what is under way changes at each of them: an amount or a count."""
        self._total = 0
        """What is under way after the last of them."""

    def put(self, number: int, transfer: Counted | None) -> None:
        """Have ``transfer`` count, in place of what had the id ``number``; None for nothing."""
        before = self._transfers.pop(number, None)
        if before is not None:
            self._move(before, -1)
            for timestamp in _times(before):
                here = self._at[timestamp]
                here.discard(number)
                if not here:
                    del self._at[timestamp], self._change[timestamp]
                    del self._times[bisect_right(self._times, timestamp) - 1]
        if transfer is not None:
            self._transfers[number] = transfer
            for timestamp in _times(transfer):
                if timestamp not in self._at:
                    insort(self._times, timestamp)
                    self._at[timestamp], self._change[timestamp] = set(), 0
                self._at[timestamp].add(number)
            self._move(transfer, 1)

    def forget_before(self, since: int) -> None:
        """Drop the transfers that both began and ended until ``since``: no later moment has them."""
        gone = {
            number
            for timestamp in self._times[: bisect_right(self._times, since)]
            for number in self._at[timestamp]
            if (one := self._transfers[number]).ended is not None and max(_times(one)) <= since
        }
        for number in gone:
            self.put(number, None)

    def measure(self, moment: Moment) -> int:
        """Return what is taken at ``moment``."""
        match self.wanted.take:
            case "latency":
                took = [max(0, e.timestamp - o.timestamp) for o, e in self._ended_within(moment)]
                return percentile(sorted(took), self.wanted.percent)
            case "age":
                return self._oldest_age(moment)
            case _:
                return self._under_way(moment)

    def _under_way(self, moment: Moment) -> int:
        found = self._total
        for timestamp in reversed(self._times):
            if timestamp < moment.timestamp:
                break
            found -= self._change[timestamp]
        for number in self._at.get(moment.timestamp, ()):
            one = self._transfers[number]
            was = (one.opening.timestamp < moment.timestamp) != (
                one.ended is not None and one.ended.timestamp < moment.timestamp
            )  # before that second
            found += (_is_under_way(one, moment) - was) * self._weight(one)
        return found

    def _oldest_age(self, moment: Moment) -> int:
        for timestamp in self._times:
            for number in self._at[timestamp]:
                one = self._transfers[number]
                if one.opening.timestamp == timestamp and _is_under_way(one, moment):
                    return moment.timestamp - timestamp
        return 0

    def _ended_within(self, moment: Moment) -> Iterator[tuple[Occurrence, Occurrence]]:
        first = bisect_right(self._times, moment.timestamp - self.wanted.within)
        for timestamp in self._times[first : bisect_right(self._times, moment.timestamp)]:
            for number in self._at[timestamp]:
                opening, ended, _ = self._transfers[number]
                if ended is not None and ended.timestamp == timestamp and moment.has(ended):
                    yield opening, ended

    def _move(self, one: Counted, sign: int) -> None:
        """Add (``sign`` 1) or take away (-1) what ``one`` changes."""
        weight = sign * self._weight(one)
        if one.ended is None:
            self._change[one.opening.timestamp] += weight
            self._total += weight
        else:
            self._change[min(_times(one))] += weight
            self._change[max(_times(one))] -= weight

    def _weight(self, one: Counted) -> int:
        return one.amount if self.wanted.take == "amount" else 1


def _times(one: Counted) -> set[int]:
    """Return when ``one`` began and, if it did, ended."""
    return {one.opening.timestamp} if one.ended is None else {one.opening.timestamp, one.ended.timestamp}


def _is_under_way(one: Counted, moment: Moment) -> bool:
    return moment.has(one.opening) != (one.ended is not None and moment.has(one.ended))
