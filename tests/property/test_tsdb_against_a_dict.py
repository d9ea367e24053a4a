"""The database of samples against a plain dict: whatever is appended, kept, forgotten, evaluated or put back."""

from __future__ import annotations

import random
from array import array
from bisect import bisect_right
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from chainwatch.promql.evaluation import Evaluation
from chainwatch.promql.parser import parse
from chainwatch.promql.series import STALE, Labels, is_stale
from chainwatch.promql.syntax import Matcher, RangeSelector
from chainwatch.tsdb.model import SET_BACK, TsdbLimits
from chainwatch.tsdb.tsdb import Tsdb

MINUTE = 60_000
NAMES = [Labels({"__name__": name, "x": str(n)}) for name in "ab" for n in range(3)]


class Model:
    """What a database should hold: all samples of the windows."""

    def __init__(self, window: int, long: int) -> None:
        self.window, self.long = window, long
        self.samples: dict[Labels, dict[int, float]] = {}

    def window_of(self, labels: Labels) -> int:
        return self.long if labels["__name__"] == "b" else self.window

    def set_back(self, labels: Labels, times: Sequence[int], now: int) -> None:
        """Forget what is far ahead of a sample of now."""
        known = self.samples.get(labels, {})
        if now in times and max(known, default=0) > now + SET_BACK:
            self.samples[labels] = {time: value for time, value in known.items() if time <= now}
            if not self.samples[labels]:
                del self.samples[labels]

    def append(self, labels: Labels, time: int, value: float, now: int) -> str:
        known = self.samples.get(labels, {})
        last = max(known, default=-1)
        if time > now + 10 * MINUTE:
            return "in the future"
        if time <= now - self.window_of(labels):
            return "too old"
        if time < last:
            return "out of order"
        if time == last:
            same = known[time] == value or (
                value != value and known[time] != known[time] and is_stale(value) == is_stale(known[time])
            )
            return "accepted" if same else "duplicate"
        self.samples.setdefault(labels, {})[time] = value
        return "accepted"

    def expire(self, now: int) -> None:
        for labels, known in list(self.samples.items()):
            if max(known) <= now - self.window_of(labels):
                del self.samples[labels]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1_000, 15_000, 5 * MINUTE]), st.booleans())
def test_as_a_dict(seed: int, step: int, odd: bool) -> None:
    chance = random.Random(seed)
    model, tsdb = Model(30 * MINUTE, 3 * 60 * MINUTE), Tsdb(TsdbLimits(window=30 * MINUTE))
    tsdb.keep([((Matcher("__name__", "=", "b"),), 3 * 60 * MINUTE)])
    now = 1_700_000_000_000
    for _ in range(120):
        now += chance.choice([0, 1, step, step, step * 3])
        batch = []
        expected: dict[str, int] = {}
        for labels in chance.sample(NAMES, chance.randrange(1, 6)):
            start = now + chance.choice([0, 0, 0, -step, -MINUTE, -40 * MINUTE, 20 * MINUTE])
            times = sorted(start + n * step // 10 for n in range(chance.choice([1, 1, 1, 5, 40])))
            values = [value_of(chance, odd) for _ in times]
            batch.append((labels, times, values))
            model.set_back(labels, times, now)
            for time, value in zip(times, values, strict=True):
                outcome = model.append(labels, time, value, now)
                expected[outcome] = expected.get(outcome, 0) + 1
        result = tsdb.append(batch, now)
        assert result.accepted == expected.pop("accepted", 0)
        assert dict(result.refused) == expected
        if chance.random() < 0.2:
            tsdb.expire(now)
            model.expire(now)
            assert len(tsdb) == len(model.samples)
            assert tsdb.bytes == sum(series.bytes for series in tsdb.select(()))
        compare(model, tsdb, now, chance)


def value_of(chance: random.Random, odd: bool) -> float:
    if odd and chance.random() < 0.1:
        return chance.choice([STALE, float("nan"), float("inf"), 0.1 + 0.2, -0.0])
    return float(chance.randrange(1000))


def compare(model: Model, tsdb: Tsdb, now: int, chance: random.Random) -> None:
    """Compare one range of all series, bit for bit."""
    name = chance.choice("ab")
    length = chance.choice([MINUTE, 10 * MINUTE, 29 * MINUTE])
    at = now - chance.choice([0, 0, MINUTE])
    node = parse(f"{name}[{length}ms]").root
    assert isinstance(node, RangeSelector)
    got = {
        labels: (list(window.times), array("d", window.values).tobytes())
        for labels, window, _ in Evaluation(tsdb, at, at).windows(node, at)
    }
    expected = {}
    for labels, samples in model.samples.items():
        times = sorted(samples)
        times = times[bisect_right(times, at - length) : bisect_right(times, at)]
        kept = [time for time in times if not is_stale(samples[time])]
        if labels["__name__"] == name and kept:
            expected[labels] = kept, array("d", [samples[time] for time in kept]).tobytes()
    assert got == expected
