"""What ``/metrics`` says of invariants, at each moment of the past: from the checks that a replay has stored."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

from chainwatch.operations.invariant_values import InvariantValues
from chainwatch.promql.series import NAME, Labels
from chainwatch.rule_engine.families import families_of_invariants
from chainwatch.rule_engine.past_transfers import OWN, Sample


class PastInvariants:
    """The series of ``checks``, which come in the order of their times. ``wanted`` says which series are needed."""

    def __init__(self, checks: Iterable[InvariantValues], wanted: Callable[[Labels], bool]) -> None:
        self._checks = iter(checks)
        self._wanted = wanted
        self._current: dict[tuple[str, str], dict[Labels, float]] = {}
        self._next = next(self._checks, None)

    @property
    def next_at(self) -> float:
        """When the next check was (Unix ms); infinity where there is none."""
        if self._next is None or self._next.checked_at is None:
            return math.inf
        return self._next.checked_at * 1000

    def at(self, now: int) -> Iterator[Sample]:
        """Yield the samples at the chain time ``now`` (Unix ms), which is not earlier than the last time."""
        while self.next_at <= now:
            check = self._next
            assert check is not None
            self._current[check.name, check.element] = dict(self._samples(check))
            self._next = next(self._checks, None)
        for samples in self._current.values():
            yield from samples.items()

    def _samples(self, check: InvariantValues) -> Iterator[Sample]:
        for family in families_of_invariants([check]):
            for sample in family.samples:
                labels = Labels({NAME: sample.name, **sample.labels, **OWN})
                if self._wanted(labels):
                    yield labels, float(sample.value)
