"""Durations come back as they were written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chainwatch.grammar.durations import LONGEST, format_duration, parse_duration


@given(st.integers(0, LONGEST * 1000))
def test_a_written_duration_is_read_as_the_same_seconds(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.text())
def test_any_text_is_a_duration_in_range_or_refused(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert 0 <= seconds <= LONGEST
