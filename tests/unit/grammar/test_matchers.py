"""Matchers, from tables."""

import pytest

from chainwatch.grammar import matchers as matching
from tests.support.effort import effort_within

LABELS = {"alertname": "TransferOverdue", "severity": "P1", "flow": "connext"}


@pytest.mark.parametrize(
    ("match", "taken"),
    [
        ({}, True),
        ({"flow": ["connext"]}, True),
        ({"flow": ["across", "connext"]}, True),
        ({"flow": ["across"]}, False),
        ({"flow": ["!=across"]}, True),
        ({"flow": ["!=across", "!=connext"]}, False),
        ({"alertname": ["=~Transfer.*"]}, True),
        ({"alertname": ["=~Transfer"]}, False),
        ({"alertname": ["!~Network.*"]}, True),
        ({"alertname": ["!~Transfer.*"]}, False),
        ({"alertname": ["=~Transfer.*", "!=TransferOverdue"]}, False),
        ({"severity": ["high"]}, True),
        ({"severity": ["!=high"]}, False),
        ({"missing": [""]}, True),
        ({"missing": ["!="]}, False),
        ({"flow": ["=connext"]}, True),
        ({"flow": ["==~x"]}, False),
    ],
)
def test_what_a_match_takes(match: dict[str, list[str]], taken: bool) -> None:
    assert matching.takes(matching.build(match), LABELS) is taken


def test_a_value_may_begin_like_an_operator() -> None:
    assert matching.takes(matching.build({"flow": ["==~x"]}), {"flow": "=~x"})


def test_what_is_no_regular_expression_is_refused() -> None:
    with pytest.raises(ValueError, match="not a regular expression"):
        matching.build({"flow": ["=~("]})


def test_commands_write_matchers_as_alertmanager_does() -> None:
    words = ["alertname=~Transfer.*", "flow!=test", "severity=P1", "x==~y"]
    match = matching.parse(words)
    assert match == {"alertname": ["=~Transfer.*"], "flow": ["!=test"], "severity": ["P1"], "x": ["==~y"]}
    assert (
        matching.written(matching.build(match))
        == '{alertname=~"Transfer.*",flow!="test",severity="P1",x="=~y"}'
    )


@pytest.mark.parametrize("word", ["alertname", "=x", "a b=c"])
def test_what_is_no_matcher_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="LABEL=VALUE"):
        matching.parse([word])


HOSTILE = ["a" * 99_000, "alpha" * 20_000, "alpha beta " * 9_000, "\ud800" * 50_000, "\x00\n" * 50_000]


@pytest.mark.parametrize("pattern", ["(a+)+b", ".*alpha.*beta.*gamma", "(a|a)*c", "(.*)*x", "([a-z ]+)+!"])
def test_no_pattern_takes_long_whatever_stands_in_a_label(pattern: str) -> None:
    matchers = matching.build({"transfer": ["=~" + pattern]})
    with effort_within(1):
        for value in HOSTILE:
            assert not matching.takes(matchers, {"transfer": value})


@pytest.mark.parametrize(
    ("pattern", "position"),
    [
        ("ab(", 3),
        ("(?=x)", 0),
        (r"a\1", 1),
        ("x[z-a]", 2),
        ("x**", 1),
        ("a{1001}", 1),
        ("é(?<!x)", 1),
        ("x\ud800(", 1),
    ],
)
def test_an_error_names_the_pattern_and_the_position(pattern: str, position: int) -> None:
    with pytest.raises(ValueError, match=f"at position {position}\\b") as raised:
        matching.build({"flow": ["!~" + pattern]})
    assert repr(pattern) in str(raised.value)


def test_a_pattern_is_for_the_whole_value() -> None:
    matchers = matching.build({"x": ["=~a|b"]})
    assert not any(matching.takes(matchers, {"x": value}) for value in ("ab", "a\n", "xa", "bx", "\na"))
    assert matching.takes(matchers, {"x": "a"})


def test_text_that_is_no_unicode_is_matched_too() -> None:
    assert matching.takes(matching.build({"x": ["=~a.b"]}), {"x": "a\ud800b"})


@pytest.mark.parametrize("test", ["=~(?=x).*", "!~(?=x).*"])
def test_a_stored_pattern_that_is_none_any_more_takes_nothing(test: str) -> None:
    matchers = matching.recall({"flow": [test]})
    assert not matching.takes(matchers, LABELS)
    assert "(?=x)" in matching.written(matchers)
