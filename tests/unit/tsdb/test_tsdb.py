"""The database of samples: what is accepted, what is refused and why, what is found, what is forgotten."""

from __future__ import annotations

import random
import sys
import threading
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.promql.evaluation import Evaluation
from chainwatch.promql.parser import parse
from chainwatch.promql.queries import Vector, evaluate
from chainwatch.promql.series import STALE, Labels, Metadata
from chainwatch.promql.syntax import Matcher, RangeSelector, Selector, walk
from chainwatch.tsdb.model import HOUR, Batch, TsdbLimits
from chainwatch.tsdb.room import Sender
from chainwatch.tsdb.stored import StoredSeries
from chainwatch.tsdb.tsdb import Tsdb
from tests.support.effort import effort_within
from tests.support.waiting import PATIENCE

NOW = 1_700_000_000_000


def labels(name: str, **others: str) -> Labels:
    return Labels({"__name__": name, **others})


def series_of(name: str, number: int, at: int = NOW) -> Batch:
    return [(labels(name, n=str(n)), [at], [1.0]) for n in range(number)]


def matchers(text: str) -> tuple[Matcher, ...]:
    node = parse(text).root
    assert isinstance(node, Selector)
    return node.matchers


def ask(tsdb: Tsdb, text: str, at: int = NOW) -> dict[Labels, float]:
    result = evaluate(parse(text), tsdb, at)
    assert isinstance(result, Vector)
    return dict(result.samples)


def test_what_was_appended_is_evaluated() -> None:
    tsdb = Tsdb()
    batch = [(labels("a", x=str(n)), [NOW - 60_000, NOW], [1.0, 1.0 + n]) for n in range(3)]
    result = tsdb.append(batch, NOW)
    assert (result.accepted, result.refused) == (6, {})
    assert set(result.changed) == {labels("a", x=str(n)) for n in range(3)}
    assert ask(tsdb, "a > 1") == {labels("a", x="1"): 2, labels("a", x="2"): 3}
    assert ask(tsdb, 'sum(increase(a{x=~"1|2"}[2m]))') == {Labels(): pytest.approx(5)}


@pytest.mark.parametrize(
    ("time", "value", "reason"),
    [
        (NOW - 1, 1.0, "out of order"),
        (NOW, 2.0, "duplicate"),
        (NOW, STALE, "duplicate"),
        (NOW - HOUR, 1.0, "too old"),
        (-(10**30), 1.0, "too old"),
        (NOW + 600_001, 1.0, "in the future"),
        (10**30, 1.0, "in the future"),
    ],
)
def test_bad_samples_are_refused_with_the_reason_and_harm_nothing(
    time: int, value: float, reason: str
) -> None:
    tsdb = Tsdb()
    tsdb.append([(labels("a"), [NOW], [1.0])], NOW)
    result = tsdb.append([(labels("a"), [time], [value]), (labels("b"), [NOW], [1.0])], NOW)
    assert (result.accepted, result.refused, result.examples) == (1, {reason: 1}, {reason: labels("a")})
    assert result.changed == [labels("b")]
    assert ask(tsdb, "a") == {labels("a"): 1}


def test_after_the_clock_was_set_back_samples_of_now_take_the_place_of_later_ones() -> None:
    tsdb, a, b, ahead = Tsdb(), labels("a"), labels("b"), NOW + 240_000
    tsdb.append([(a, [NOW, ahead], [1.0, 2.0]), (b, [ahead], [1.0])], ahead)
    others = tsdb.append([(b, [NOW + 5], [3.0])], NOW + 6)  # by the clock of another machine
    assert others.refused == {"out of order": 1}
    assert not tsdb.append([(a, [NOW + 7], [3.0]), (b, [NOW + 7], [4.0])], NOW + 7).refused
    found = {series.labels: [list(part) for part in series.samples] for series in tsdb.select(())}
    assert found == {a: [[NOW, NOW + 7], [1.0, 3.0]], b: [[NOW + 7], [4.0]]}


def test_the_same_sample_again_is_accepted_and_changes_nothing() -> None:
    tsdb = Tsdb()
    for value in (1.0, float("nan"), float("inf")):
        batch = [(labels("a", v=str(value)), [NOW], [value])]
        tsdb.append(batch, NOW)
        result = tsdb.append(batch, NOW)
        assert (result.accepted, result.refused, result.changed) == (1, {}, [])


def test_series_beyond_the_limit_are_refused() -> None:
    tsdb = Tsdb(TsdbLimits(series=2))
    result = tsdb.append([(labels("a", x=str(n)), [NOW - 1, NOW], [1.0, 2.0]) for n in range(3)], NOW)
    assert (result.accepted, result.refused) == (4, {"too many series": 2})
    assert len(tsdb) == 2


def test_series_without_samples_for_their_window_are_forgotten_and_found_no_more() -> None:
    tsdb = Tsdb()
    long = matchers('a{x="long"}')
    tsdb.keep([(long, 3 * HOUR), (matchers("b"), 60_000)])
    tsdb.append([(labels("a", x="long"), [NOW], [1.0]), (labels("a", x="short"), [NOW], [1.0])], NOW)
    every = matchers("a")
    assert len(tsdb.select(every)) == 2
    assert len(tsdb.expire(NOW + HOUR - 1)) == 0
    assert len(tsdb.expire(NOW + HOUR)) == 1
    assert [series.labels for series in tsdb.select(every)] == [labels("a", x="long")]
    assert len(tsdb.expire(NOW + 3 * HOUR)) == 1
    assert list(tsdb.select(every)) == []
    assert tsdb.series([every], 0, 2 * NOW) == []


def test_a_new_series_is_found_by_a_selection_that_is_known() -> None:
    tsdb = Tsdb()
    named, any_name = matchers("a"), matchers('{x="1"}')
    assert list(tsdb.select(named)) == list(tsdb.select(any_name)) == []
    tsdb.append([(labels("a", x="1"), [NOW], [1.0])], NOW)
    assert len(tsdb.select(named)) == len(tsdb.select(any_name)) == 1


def test_names_and_values_of_labels_by_time() -> None:
    tsdb = Tsdb()
    tsdb.append([(labels("a", x="1", y="2"), [NOW - 60_000], [1.0]), (labels("b", x="3"), [NOW], [1.0])], NOW)
    both = [matchers("a"), matchers("b")]
    assert tsdb.label_names(both, 0, NOW) == ["__name__", "x", "y"]
    assert tsdb.label_names(both, NOW - 1, NOW) == ["__name__", "x"]
    assert tsdb.label_values("x", both, 0, NOW) == ["1", "3"]
    assert tsdb.label_values("y", both, 0, NOW) == ["2"]
    assert tsdb.series([matchers("a")], 0, NOW) == [labels("a", x="1", y="2")]


def test_a_series_is_listed_where_it_has_a_sample_between_the_bounds() -> None:
    chance, tsdb = random.Random(4), Tsdb()
    times = sorted(NOW - HOUR + 1 + some for some in chance.sample(range(HOUR), 600))
    times = [time for time in times if not NOW - HOUR // 2 < time < NOW - HOUR // 3]
    for time in times:
        tsdb.append([(labels("a"), [time], [1.0])], time)
    every = [matchers("a")]
    for _ in range(1_000):
        start = NOW - chance.randrange(-1_000, HOUR + 1_000)
        end = start + chance.choice((0, 500, 5_000, HOUR // 5))
        has_some = any(start <= time <= end for time in times)
        assert bool(tsdb.series(every, start, end)) is has_some
    for time in chance.sample(times, 50):
        assert tsdb.series(every, time, time)


def test_series_with_many_samples_are_listed_as_quickly_as_others() -> None:
    week, tsdb = 7 * 24 * HOUR, Tsdb(TsdbLimits(window=8 * 24 * HOUR))
    times = list(range(NOW - week, NOW, 15_000))
    tsdb.append([(labels("a", x=str(n)), times, [float(n)] * len(times)) for n in range(30)], NOW)
    with effort_within(0.02):
        assert len(tsdb.series([matchers("a")], -NOW, 2 * NOW)) == 30
        assert len(tsdb.series([matchers("a")], NOW - week // 2, NOW - week // 3)) == 30


def test_metadata() -> None:
    tsdb = Tsdb()
    tsdb.set_metadata("a", Metadata("counter", "Things.", ""))
    tsdb.set_metadata("b", Metadata("gauge"))
    assert tsdb.metadata("a") == {"a": Metadata("counter", "Things.", "")}
    assert tsdb.metadata("c") == {}
    assert list(tsdb.metadata()) == ["a", "b"]
    assert list(tsdb.metadata(limit=1)) == ["a"]


def test_listeners_get_the_series_that_grew() -> None:
    tsdb = Tsdb()
    grown: list[list[Labels]] = []
    tsdb.listen(lambda changed: grown.append(list(changed)))
    tsdb.append([(labels("a"), [NOW], [1.0])], NOW)
    tsdb.append([(labels("a"), [NOW], [1.0])], NOW)
    assert grown == [[labels("a")]]


def test_who_reads_sees_a_batch_whole_or_not_at_all() -> None:
    tsdb = Tsdb()
    names = [labels("a", x=str(n)) for n in range(500)]
    tsdb.append([(one, [NOW], [0.0]) for one in names], NOW)
    done = threading.Event()

    def write() -> None:
        turn = 0
        while not done.is_set():
            turn += 1
            tsdb.append([(one, [NOW + turn], [float(turn)]) for one in names], NOW)

    thread = threading.Thread(target=write)
    thread.start()
    found = []
    for _ in range(10):
        with tsdb.reading():
            found.append(ask(tsdb, "count(count_values('v', a))", NOW + 100_000))
    done.set()
    thread.join()
    assert found == [{Labels(): 1}] * 10


def test_what_is_appended_while_entries_are_taken_is_taken_the_next_time() -> None:
    tsdb = Tsdb(journal=True)
    appending = threading.Thread(target=tsdb.append, args=([(labels("x"), [NOW], [1.0])], NOW))
    with tsdb.reading():
        appending.start()
        appending.join(0.01)
        taken = len(tsdb.take_entries().times)  # while the append waits for the reader
    appending.join()
    assert taken + len(tsdb.take_entries().times) == 1


def test_a_slow_reader_holds_up_nobody_for_long() -> None:
    tsdb = Tsdb()
    with tsdb.reading():
        assert tsdb.append([(labels("a"), [NOW], [1.0])], NOW).accepted == 1
    assert ask(tsdb, "a") == {labels("a"): 1}


@pytest.mark.slow
def test_a_snapshot_sees_each_batch_whole_however_long_it_is_read() -> None:
    tsdb = Tsdb()
    names = [labels("a", x=str(n)) for n in range(50)]
    query = parse("count(count_values('v', a)) + 0 * count(a)")
    selections = [node.matchers for node in walk(query.root) if isinstance(node, Selector)]
    done = threading.Event()

    def write() -> None:
        turn = 0
        while not done.is_set():
            turn += 1
            tsdb.append([(one, [NOW + turn], [float(turn)]) for one in names], NOW)

    tsdb.append([(one, [NOW - 1], [0.0]) for one in names], NOW)
    thread = threading.Thread(target=write)
    thread.start()
    snapshots = []
    wrong = []
    for _ in range(30):
        snapshots.append(tsdb.snapshot(selections, 100, lambda: None))
        for snapshot in snapshots[-3:]:
            result = evaluate(query, snapshot, NOW + 500_000)
            assert isinstance(result, Vector)
            wrong += [sample.value for sample in result.samples if sample.value != 1]
    done.set()
    thread.join()
    assert not wrong


def test_a_snapshot_stays_as_it_was() -> None:
    tsdb = Tsdb()
    tsdb.append([(labels("a", x="1"), [NOW], [1.0])], NOW)
    query = parse("a")
    selector = query.root
    assert isinstance(selector, Selector)
    snapshot = tsdb.snapshot([selector.matchers], 100, lambda: None)
    for turn in range(1, 300):  # more than fit into a chunk
        tsdb.append([(labels("a", x=x), [NOW + turn], [2.0]) for x in "12"], NOW)
    tsdb.expire(NOW + 24 * HOUR)
    result = evaluate(query, snapshot, NOW + 1000)
    assert isinstance(result, Vector)
    assert dict(result.samples) == {labels("a", x="1"): 1}


def test_selections_of_a_snapshot_are_bounded() -> None:
    tsdb = Tsdb()
    tsdb.append([(labels("a", x=str(n)), [NOW], [1.0]) for n in range(10)], NOW)
    selection = matchers("a")
    assert len(tsdb.snapshot([selection], 3, lambda: None).select(selection)) == 4


def test_a_slow_pattern_holds_up_no_append(monkeypatch: pytest.MonkeyPatch) -> None:
    tsdb = Tsdb()
    tsdb.append([(labels("a"), [NOW], [1.0])], NOW)
    begun, go_on = threading.Event(), threading.Event()

    def slow(matcher: Matcher, value: str) -> bool:
        begun.set()
        return go_on.wait(2 * PATIENCE)

    chosen = matchers('{__name__=~"a.*"}')
    monkeypatch.setattr(Matcher, "takes", slow)
    thread = threading.Thread(target=tsdb.select, args=(chosen,))
    thread.start()
    assert begun.wait(PATIENCE)
    taken = threading.Thread(target=tsdb.append, args=([(labels("a"), [NOW + 1], [1.0])], NOW))
    taken.start()
    taken.join(PATIENCE)
    held_up = taken.is_alive()
    go_on.set()
    taken.join()
    thread.join()
    assert not held_up


def test_what_is_put_back_is_kept_until_it_is_known_for_how_long() -> None:
    first = Tsdb()
    first.keep([(matchers("a"), 9 * HOUR)])
    times = [NOW + n * 60_000 for n in range(500)]
    for time in times:
        first.append([(labels("a"), [time], [1.0])], time)
    second, now = Tsdb(), times[-1]
    second.restore(first.select(()))
    for n in range(300):
        second.append([(labels("a"), [now + n + 1], [1.0])], now + n + 1)
    assert second.expire(now + 8 * HOUR) == []
    assert len(second.select(matchers("a"))[0].reaching(0)[0]) == 800
    second.keep([(matchers("a"), 9 * HOUR)])
    assert second.expire(now + 8 * HOUR) == []
    second.keep([])
    assert len(second.expire(now + 8 * HOUR)) == 1


def test_other_limits_hold_from_now_on() -> None:
    tsdb = Tsdb()
    tsdb.keep([(matchers("a"), 40 * 60_000)])
    tsdb.append([(labels(name), [NOW], [1.0]) for name in "ab"], NOW)
    tsdb.limit(TsdbLimits(series=2, window=60_000))
    assert tsdb.append([(labels("c"), [NOW], [1.0])], NOW).refused == {"too many series": 1}
    assert [series.labels for series in tsdb.expire(NOW + 60_000)] == [labels("b")]
    assert len(tsdb.expire(NOW + 40 * 60_000)) == 1


def test_memory_is_bounded() -> None:
    tsdb = Tsdb(TsdbLimits(bytes=200_000, window=1000 * HOUR))
    chance = random.Random(1)
    now = NOW
    for _ in range(2000):
        now += 15_000
        tsdb.append([(labels("a", x=str(n)), [now], [chance.random()]) for n in range(20)], now)
    assert tsdb.bytes <= 210_000
    assert len(tsdb) == 20
    newest = [series.reaching(0)[0][-1] for series in tsdb.select(matchers("a"))]
    assert newest == [now] * 20


def test_where_memory_is_full_there_are_no_new_series() -> None:
    tsdb = Tsdb(TsdbLimits(bytes=3_500))
    result = tsdb.append([(labels("a", x=str(n)), [NOW], [1.0]) for n in range(5)], NOW)
    assert (result.accepted, result.refused) == (3, {"memory is full": 2})


def test_nobody_fills_more_than_their_share() -> None:
    tsdb = Tsdb(TsdbLimits(series=10, bytes=1_000_000))
    much, little = Sender("much", 0.9, 0.5), Sender("little", 0.9, 0.5)
    assert tsdb.append(series_of("a", 8), NOW, much).accepted == 5
    assert tsdb.append(series_of("b", 8), NOW, little).refused == {"too many series": 4}
    assert tsdb.append(series_of("c", 8), NOW).accepted == 1


def test_what_was_restored_counts_for_who_adds_to_it() -> None:
    tsdb = Tsdb(TsdbLimits(series=10))
    sender = Sender("one", 0.9, 0.5)
    restored = [StoredSeries(one, HOUR) for one, _, _ in series_of("a", 4)]
    for one in restored:
        one.append(NOW, 1.0)
    tsdb.restore(restored)
    tsdb.append(series_of("a", 4, NOW + 1), NOW, sender)
    assert tsdb.append(series_of("b", 4), NOW, sender).accepted == 1
    assert tsdb.append(series_of("c", 4), NOW, Sender("two", 0.9, 0.5)).accepted == 4


@given(
    st.lists(st.tuples(st.sampled_from(["one", "two"]), st.integers(0, 3), st.integers(1, 200)), max_size=12)
)
def test_what_is_counted_is_what_there_is(appends: list[tuple[str, int, int]]) -> None:
    tsdb = Tsdb()
    for name, number, samples in appends:
        times = range(NOW + 1, NOW + 1 + samples)
        tsdb.append([(labels("m", n=str(number)), times, [1.5] * samples)], NOW, Sender(name))
    assert tsdb.bytes == sum(one.bytes for one in tsdb.select(matchers("m")))
    tsdb.expire(NOW + 2 * HOUR)
    assert set(tsdb.room.bytes.values()) | set(tsdb.room.series.values()) <= {0}


def test_a_series_holds_no_more_samples_than_the_limit() -> None:
    tsdb = Tsdb(TsdbLimits(samples_per_series=1_000, window=1000 * HOUR))
    tsdb.append([(labels("a"), [NOW + n for n in range(5_000)], [1.0] * 5_000)], NOW + 5_000)
    (series,) = tsdb.select(matchers("a"))
    assert 800 <= len(series.reaching(0)[0]) <= 1_000


def test_labels_are_bounded() -> None:
    tsdb = Tsdb(TsdbLimits(labels=5, label_characters=20))
    many = labels("a", **{f"l{n}": "x" for n in range(5)})
    result = tsdb.append([(many, [NOW], [1.0]), (labels("a", x="y" * 21), [NOW], [1.0])], NOW)
    assert result.refused == {"too many labels": 1, "label too long": 1}
    assert (len(tsdb), tsdb.bytes) == (0, 0)


def test_series_that_come_and_go_leave_nothing_behind() -> None:
    tsdb = Tsdb()
    every = matchers('{x=~".+"}')
    for turn in range(50):
        now = NOW + turn * 2 * HOUR
        tsdb.append([(labels(f"m{turn}", x=f"{turn}-{n}"), [now], [1.0]) for n in range(20)], now)
        tsdb.select(every)
        tsdb.expire(now)
    assert len(tsdb) == 20
    assert len(tsdb.label_values("x", [every], 0, 2 * NOW)) == 20
    assert tsdb.bytes == sum(series.bytes for series in tsdb.select(every))


def test_a_reader_without_a_lock_never_sees_a_gap() -> None:
    """It reads at each line of the writer: while chunks are closed and forgotten, what it sees has no holes."""
    tsdb = Tsdb(TsdbLimits(window=600))
    one = labels("a")
    tsdb.append([(one, [NOW], [0.0])], NOW)
    node = parse("a[500ms]").root
    assert isinstance(node, RangeSelector)
    reads = 0

    def read_at_each_line(frame: FrameType, event: str, _: object) -> Any:
        nonlocal reads
        if event == "line" and "chainwatch/tsdb/" in frame.f_code.co_filename:
            (series,) = tsdb.select(node.selector.matchers)
            at = series.newest
            ((_, window, _),) = Evaluation(tsdb, at, at).windows(node, at)
            assert list(window.times) == list(range(max(NOW, at - 499), at + 1))
            assert [NOW + int(value) for value in window.values] == list(window.times)
            reads += 1
        return read_at_each_line

    before = sys.gettrace()
    try:
        for n in range(1, 1_000):
            if n % 12 in (0, 11):  # at some of which chunks are closed
                sys.settrace(read_at_each_line)
            tsdb.append([(one, [NOW + n], [float(n)])], NOW + n)
            sys.settrace(before)
    finally:
        sys.settrace(before)
    assert reads > 500
