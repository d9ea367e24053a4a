"""Durations as people write them."""

from __future__ import annotations

import pytest

from chainwatch.grammar.durations import format_duration, parse_duration, span


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90.0),
        ("30m", 1800.0),
        ("3h", 10_800.0),
        ("7d", 604_800.0),
        ("2w", 1_209_600.0),
        ("500ms", 0.5),
        ("1h30m", 5400.0),
        ("1d2h3m4s5ms", 93_784.005),
        ("1.5h", 5400.0),
        ("0s", 0.0),
        (" 5s ", 5.0),
        ("PT5M", 300.0),
        ("P1D", 86_400.0),
        ("P1W", 604_800.0),
        ("P1DT12H", 129_600.0),
        ("PT1.5S", 1.5),
    ],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "s", "90", "1.5", "90 s", "30M", "m30", "30m1h", "1h1h", "-5s", "P", "PT", "P1Y", "P1M", "P1DT", "pt5m",
     "1e3s", "٣s", "5s\n5s", "inf", "9999999w", ".5s", "5.s"],
)  # fmt: skip
def test_anything_else_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="duration") as caught:
        parse_duration(text)
    assert not text or len(text) < 3 or text not in str(caught.value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (0.2, "200ms"), (90.0, "1m30s"), (5400.0, "1h30m"), (7_776_000.0, "90d")],
)
def test_a_duration_is_written_in_the_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "said"), [(-5, "0s"), (0, "0s"), (61, "1m 1s"), (7500, "2h 5m"), (90_061, "1d 1h")]
)
def test_spans_have_their_two_largest_units(seconds: int, said: str) -> None:
    assert span(seconds) == said
