"""Silences as lines that people edit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.alert_model import Silence
from chainwatch.grammar import matchers
from chainwatch.operations import silence_editing, silencing
from chainwatch.operations.checks import parse_match
from chainwatch.operations.context import Access
from chainwatch.operations.errors import Conflict, NotFound
from chainwatch.operations.silence_editing import lines_about
from chainwatch.store.alerting import silences
from chainwatch.support.printable import clean
from tests.support.operating import raise_alert
from tests.unit.operations.conftest import T0, Clock


@given(value=st.text(max_size=40), other=st.text(max_size=40))
def test_a_line_takes_exactly_the_value_that_it_is_about_and_hides_nothing(value: str, other: str) -> None:
    (line,) = lines_about({"name": value, "severity": "P1"})
    assert clean(line) == line == line.strip()
    built = matchers.build(parse_match([line]))
    assert matchers.takes(built, {"name": value})
    assert matchers.takes(built, {"name": other}) == (other == value)


def test_a_label_whose_name_cannot_be_written_is_left_out() -> None:
    assert lines_about({"a=b": "c", "d e": "f", "g": "h"}) == ["g=h"]


@pytest.mark.parametrize(
    "line", ["flow=a", "flow!=a", "flow=~a|b", "flow!~a.*", "severity=P1", "flow==a", "flow==~a"]
)
def test_a_silence_is_changed_as_it_was_written(access: Access, clock: Clock, line: str) -> None:
    made = access.write(silencing.add_silence, parse_match([line]), "anna", "why", lasts=3600.0)
    shown = access.read(silence_editing.silence_lines, made.id)
    assert shown.lines == [line]
    clock.now += 60
    match = parse_match([*shown.lines, "name=x"])
    after = access.write(silence_editing.replace_silence, made.id, match, "ben", ends_at=T0 + 7200)
    assert (after.author, after.starts_at, after.ends_at) == ("ben", T0 + 60, T0 + 7200)
    assert [one.id for one in access.read(silencing.list_silences).rows] == [after.id]


def test_what_has_ended_or_never_was_is_not_changed(access: Access) -> None:
    made = access.write(silencing.add_silence, {"a": "b"}, "anna")
    access.write(silencing.expire_silences, [made.id])
    with pytest.raises(Conflict, match="has ended"):
        access.read(silence_editing.silence_lines, made.id)
    with pytest.raises(NotFound, match="no silence 99"):
        access.read(silence_editing.silence_lines, 99)


def test_a_silence_of_alertmanagers_is_shown_as_lines_where_these_mean_the_same(access: Access) -> None:
    def store(*tests: tuple[str, str, str]) -> int:
        silence = Silence({}, T0, T0 + 60, "amtool", "", T0, tests=tests)
        return access.write(lambda connection, *_: silences.add(connection, silence))

    several = store(("flow", "=", "a"), ("name", "!=", "b"), ("name", "!~", "c.*"))
    assert access.read(silence_editing.silence_lines, several).lines == ["flow=a", "name!=b", "name!~c.*"]
    with pytest.raises(Conflict, match="tests one label twice"):
        access.read(silence_editing.silence_lines, store(("a", "=~", "b.*"), ("a", "=~", ".*c")))


def test_what_a_silence_would_hide_is_known_before(access: Access) -> None:
    raise_alert(access, flow="a\u202eb")
    raise_alert(access, flow="ab")
    (hidden,) = access.read(silencing.preview, parse_match(lines_about({"flow": "a\u202eb"})))
    assert hidden.labels["flow"] == "a\u202eb"
