"""Files with unit tests of rules, in promtool's format.

It is described at prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules. Times are in milliseconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from chainwatch.promql.errors import ParseError
from chainwatch.promql.notation import parse_labels, parse_values
from chainwatch.promql.parser import Query
from chainwatch.promql.series import Labels
from chainwatch.rules.fields import Fields, Problem
from chainwatch.rules.files import RuleFileError, read_query, read_tables
from chainwatch.rules.yaml_tree import Mapping, Place, Scalar

_FILE_KEYS = frozenset({"rule_files", "evaluation_interval", "group_eval_order", "fuzzy_compare", "tests"})
_IGNORE_ANNOTATIONS = "ignore_annotations"
_TEST_KEYS = frozenset(
    {
        "name",
        "interval",
        "start_timestamp",
        "input_series",
        "alert_rule_test",
        "promql_expr_test",
        "external_labels",
        "external_url",
        _IGNORE_ANNOTATIONS,
    }
)
_SERIES_KEYS = frozenset({"series", "values"})
_ALERT_KEYS = frozenset({"eval_time", "alertname", "exp_alerts", _IGNORE_ANNOTATIONS})
_EXPECTED_ALERT_KEYS = frozenset({"exp_labels", "exp_annotations"})
_QUERY_KEYS = frozenset({"expr", "eval_time", "exp_samples"})
_SAMPLE_KEYS = frozenset({"labels", "value", "histogram"})
_DEFAULT_INTERVAL = 60_000
_SECONDS = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?")


@dataclass(frozen=True)
class ExpectedAlert:
    labels: dict[str, str]
    annotations: dict[str, str]


@dataclass(frozen=True)
class AlertTest:
    """The alerts named ``alert`` that fire ``at`` after the test's start; without annotations, by labels alone."""

    at: int
    alert: str
    expected: tuple[ExpectedAlert, ...]
    annotations: bool = True


@dataclass(frozen=True)
class QueryTest:
    """The result of a query at ``at``, counted from the test's start."""

    at: int
    query: Query
    expected: tuple[tuple[Labels, float], ...]


@dataclass(frozen=True)
class UnitTest:
    """``series`` begin at ``start`` (Unix milliseconds), with a value every ``interval``; None is no sample.

    A test with ``problems`` cannot be run.
    """

    name: str
    line: int
    interval: int
    start: int
    series: tuple[tuple[Labels, list[float | None]], ...]
    alerts: tuple[AlertTest, ...]
    queries: tuple[QueryTest, ...]
    external_labels: dict[str, str] = field(default_factory=dict)
    external_url: str = ""
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class UnitFile:
    """``rule_files`` are patterns, relative to the file; ``group_order`` names groups that are evaluated in this order."""

    rule_files: tuple[str, ...]
    interval: int
    group_order: tuple[str, ...]
    fuzzy: bool
    tests: tuple[UnitTest, ...]


def read_unit_file(text: str) -> UnitFile:
    """Return the unit tests of a file. Raises ``RuleFileError``; a problem within a test is of that one alone."""
    problems: list[Problem] = []
    tables = read_tables(text, problems)
    fields = Fields(
        tables[0] if tables else Mapping(Place(1, 1)), "a file of unit tests", _FILE_KEYS, problems
    )
    file = UnitFile(
        tuple(_texts(fields, "rule_files")),
        fields.duration("evaluation_interval") or _DEFAULT_INTERVAL,
        tuple(_texts(fields, "group_eval_order")),
        fields.flag("fuzzy_compare"),
        tuple(_read_test(test) for test in fields.tables("tests", "a test", _TEST_KEYS)),
    )
    if len(set(file.group_order)) < len(file.group_order):
        fields.complain("a group name is repeated in the evaluation order", fields.place("group_eval_order"))
    if problems:
        raise RuleFileError(problems)
    return file


def _texts(fields: Fields, key: str) -> list[str]:
    found = []
    for node in fields.items(key):
        if isinstance(node, Scalar):
            found.append(node.text)
        else:
            fields.complain(f"{key} must be a list of texts", node.place)
    return found


def _read_test(fields: Fields) -> UnitTest:
    problems = fields.problems = []
    annotations = not fields.flag(_IGNORE_ANNOTATIONS)
    return UnitTest(
        fields.text("name"),
        fields.table.place.line,
        fields.duration("interval") or _DEFAULT_INTERVAL,
        _start(fields),
        tuple(_read_series(one) for one in fields.tables("input_series", "an input series", _SERIES_KEYS)),
        tuple(
            _read_alert(one, annotations)
            for one in fields.tables("alert_rule_test", "an alert's test", _ALERT_KEYS)
        ),
        tuple(
            read
            for one in fields.tables("promql_expr_test", "a query's test", _QUERY_KEYS)
            if (read := _read_query_test(one)) is not None
        ),
        fields.texts("external_labels"),
        fields.text("external_url"),
        tuple(problems),
    )


def _start(fields: Fields) -> int:
    """Return the start in Unix milliseconds: RFC 3339, or Unix seconds."""
    text = fields.text("start_timestamp")
    if not text:
        return 0
    if _SECONDS.fullmatch(text):
        return round(float(text) * 1000)
    try:
        moment = datetime.fromisoformat(text)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        fields.complain(f"start_timestamp: {text[:40]!r} is no time", fields.place("start_timestamp"))
        return 0


def _read_series(fields: Fields) -> tuple[Labels, list[float | None]]:
    labels, values = Labels(), []
    try:
        labels = parse_labels(fields.text("series"))
    except ParseError as error:
        fields.complain(f"invalid series: {error.reason}", fields.place("series"))
    try:
        values = parse_values(fields.text("values"))
    except ParseError as error:
        fields.complain(f"invalid values: {error.reason}", fields.place("values"))
    return labels, values


def _read_alert(fields: Fields, annotations: bool) -> AlertTest:
    name = fields.text("alertname")
    if not name:
        fields.complain("an item under alert_rule_test misses required attribute alertname")
    expected = tuple(
        ExpectedAlert(one.texts("exp_labels"), one.texts("exp_annotations"))
        for one in fields.tables("exp_alerts", "an expected alert", _EXPECTED_ALERT_KEYS)
    )
    annotations = annotations and not fields.flag(_IGNORE_ANNOTATIONS)
    return AlertTest(fields.duration("eval_time") or 0, name, expected, annotations)


def _read_query_test(fields: Fields) -> QueryTest | None:
    query = read_query(fields, "expr")
    expected = []
    for sample in fields.tables("exp_samples", "an expected sample", _SAMPLE_KEYS):
        if sample.text("histogram"):
            sample.complain("native histograms are not supported", sample.place("histogram"))
        try:
            labels = parse_labels(text) if (text := sample.text("labels")) else Labels()
        except ParseError as error:
            sample.complain(f"labels: {error.reason}", sample.place("labels"))
            continue
        expected.append((labels, sample.number("value") or 0.0))
    return None if query is None else QueryTest(fields.duration("eval_time") or 0, query, tuple(expected))
