"""What a scrape makes of a target's answer: labels, series that are gone, limits."""

from __future__ import annotations

import pytest

from chainwatch.ingestion.model import IngestionError, SeriesSamples
from chainwatch.ingestion.scraped import SeriesLimits, TargetSeries
from chainwatch.ingestion.text import parse_exposition
from chainwatch.promql.series import Labels, is_stale

TARGET = Labels({"job": "node", "instance": "a:1"})
LIMITS = SeriesLimits(labels=4, name_length=20, value_length=20)


def target(**options: bool) -> TargetSeries:
    return TargetSeries(TARGET, LIMITS, **options)


def plain(samples: list[SeriesSamples]) -> dict[str, tuple[int, float | str]]:
    return {
        repr(labels): (time, "stale" if is_stale(value) else value) for labels, (time,), (value,) in samples
    }


def scrape(series: TargetSeries, text: str, now: int) -> dict[str, tuple[int, float | str]]:
    return plain(series.take(parse_exposition(text.encode()), now)[0])


def test_series_have_the_labels_of_their_target() -> None:
    assert scrape(target(), 'a{x="1"} 1', 5) == {'a{instance="a:1", job="node", x="1"}': (5, 1.0)}


def test_labels_that_collide_are_renamed_or_honoured() -> None:
    assert scrape(target(), 'a{job="own"} 1', 5) == {
        'a{exported_job="own", instance="a:1", job="node"}': (5, 1.0)
    }
    twice = scrape(target(), 'a{job="own",exported_job="b"} 1', 5)
    assert twice == {'a{exported_exported_job="own", exported_job="b", instance="a:1", job="node"}': (5, 1.0)}
    assert scrape(target(honors_labels=True), 'a{job="own"} 1', 5) == {
        'a{instance="a:1", job="own"}': (5, 1.0)
    }


def test_a_series_that_is_gone_ends_once() -> None:
    series = target()
    scrape(series, "a 1\nb 2", 5)
    assert scrape(series, "b 3", 6) == {
        'a{instance="a:1", job="node"}': (6, "stale"),
        'b{instance="a:1", job="node"}': (6, 3.0),
    }
    assert scrape(series, "b 3", 7) == {'b{instance="a:1", job="node"}': (7, 3.0)}
    assert plain(series.fail(8)) == {'b{instance="a:1", job="node"}': (8, "stale")}
    assert plain(series.fail(9)) == {}


def test_how_many_series_are_new_is_counted() -> None:
    series = target()
    assert series.take(parse_exposition(b"a 1\nb 2"), 5)[1] == 2
    assert series.take(parse_exposition(b"b 1\nc 2"), 6)[1] == 1


def test_samples_with_a_time_of_their_own_do_not_end() -> None:
    series = target()
    assert scrape(series, "a 1 4000\na 2 3000", 5) != {}
    assert scrape(series, "b 1", 6) == {'b{instance="a:1", job="node"}': (6, 1.0)}
    assert scrape(target(honors_timestamps=False), "a 1 4000", 5) == {
        'a{instance="a:1", job="node"}': (5, 1.0)
    }


def test_of_samples_of_one_series_the_first_counts() -> None:
    assert scrape(target(), "a 1\na 2", 5) == {'a{instance="a:1", job="node"}': (5, 1.0)}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('a{b="1",c="2",d="3",e="4"} 1', "a: 5 labels, the limit is 4"),
        (f'a{{{"b" * 21}="1"}} 1', "a label's name has 21 characters"),
        (f'a{{b="{"1" * 21}"}} 1', "a label's value has 21 characters"),
    ],
)
def test_series_beyond_the_limits_are_refused(line: str, reason: str) -> None:
    with pytest.raises(IngestionError) as caught:
        scrape(target(), line, 5)
    assert reason in str(caught.value)
