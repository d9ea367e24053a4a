"""Matchers, from tables."""

import pytest

from chainwatch.config import matching

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
