"""What matchers take of many alerts together is what they take of each."""

from __future__ import annotations

import itertools

from chainwatch.alerting.policy.label_index import LabelIndex, positions
from chainwatch.grammar import matchers
from chainwatch.model import SENT_SEVERITY

VALUES = (
    "",
    "a",
    "A",
    "ab",
    "a.b",
    "b",
    "é",
    "éa",
    "aé",
    "a\U0001f6a8",
    "\U0010ffff",
    "z" * 100,
    "\x7f",
    "~",
    "a\nb",
)
PATTERNS = (
    *(
        "a",
        "a.*",
        ".*",
        ".+a?",
        "(?i)a.*",
        "^(a|b)$",
        "é.*",
        "aé|b",
        "[^a].*",
        "z{90,}",
        "a?",
        "(?s)a.b",
        "\\x7f",
    ),
    *("\\PL", "a[^b]*", "", "(?i:É)a", "z+", "a\U0001f6a8", "(broken"),
)


def test_each_pattern_takes_the_same_of_many_as_of_each() -> None:
    labels = [{"x": value} for value in VALUES] + [{}]
    index = LabelIndex(labels)
    for pattern, operator in itertools.product(PATTERNS, matchers.OPERATORS):
        tests = matchers.recall_tests([("x", operator, pattern)])
        expected = [at for at, one in enumerate(labels) if matchers.takes(tests, one)]
        assert list(positions(index.taken(tests))) == expected, (pattern, operator)
    for one, other in itertools.product(PATTERNS, VALUES):
        both = matchers.recall({"x": ["=~" + one, "=" + other, "!=a"]})
        expected = [at for at, given in enumerate(labels) if matchers.takes(both, given)]
        assert list(positions(index.taken(both))) == expected, (one, other)


def test_the_severity_that_was_sent_is_the_own_one_where_it_was_not_another() -> None:
    labels = [
        {"severity": "P0", SENT_SEVERITY: "page"},
        {"severity": "P2", SENT_SEVERITY: ""},
        {"severity": "P0"},
    ]
    index = LabelIndex(labels)
    for value, expected in (("page", [0]), ("", [1]), ("P0", [2]), ("P2", [])):
        assert list(positions(index.taken(matchers.recall_tests([("severity", "=", value)])))) == expected
    assert list(positions(index.taken(matchers.recall({"severity": ["critical"]})))) == [0, 2]
