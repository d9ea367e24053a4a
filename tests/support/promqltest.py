"""Runs files of Prometheus' PromQL test suite; ``tests/data/promqltest/README.md`` describes their format."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from chainwatch.promql.arithmetic import DATE_PARTS
from chainwatch.promql.errors import ParseError, PromqlError, Unsupported
from chainwatch.promql.evaluation import Evaluation
from chainwatch.promql.lexer import parse_duration, unquote
from chainwatch.promql.notation import parse_labels, parse_series, parse_values
from chainwatch.promql.notes import Notes
from chainwatch.promql.parser import Query, parse
from chainwatch.promql.queries import (
    Matrix,
    Scalar,
    String,
    Vector,
    evaluate,
    evaluate_range,
    evaluate_range_with,
    evaluate_with,
)
from chainwatch.promql.series import NAME, Labels, MemorySource, Series
from chainwatch.promql.syntax import (
    Aggregation,
    Binary,
    Call,
    Negation,
    Node,
    RangeSelector,
    Selector,
    Subquery,
    walk,
)

_EVAL = re.compile(
    r"eval(?P<mode>_fail|_warn|_info|_ordered)?\s+(?:instant\s+at\s+(?P<at>\S+)|"
    r"range\s+from\s+(?P<start>\S+)\s+to\s+(?P<end>\S+)\s+step\s+(?P<step>\S+))\s+(?P<query>.*)",
    re.DOTALL,
)
_BARE = re.compile(r"[+-]?(?:[0-9.][0-9.eE+x_-]*|(?i:inf|nan))(?=\s|$)")
_FAILURE = re.compile(
    r"(?:expect fail msg:|expected_fail_message )\s*(?P<text>.*)|"
    r"(?:expect fail regex:|expected_fail_regexp )\s*(?P<regexp>.*)"
)
_KINDS: tuple[tuple[Literal["warning", "info"], str], ...] = (("warning", "warn"), ("info", "info"))
_HISTOGRAM = re.compile(r"\{\{.*?\}\}(?:[+-]\{\{.*?\}\})?(?:x([0-9]+))?")
_START_TIMES = re.compile(r"(?P<series>[^@]*)@st\s")
_OF_QUERY = frozenset({"start", "end", "step", "range"})
_UNSAFE_AT = frozenset({*DATE_PARTS, *_OF_QUERY, "predict_linear", "time", "timestamp"})


@dataclass
class Outcome:
    passed: int = 0
    of_native_histograms: int = 0
    refused: int = 0
    """By name, as docs/rules.md says."""
    failures: list[str] = field(default_factory=list)


@dataclass
class _Eval:
    line: int
    match: re.Match[str]
    lines: list[str]

    @property
    def expects(self) -> list[str]:
        return [line.removeprefix("expect ") for line in self.lines if line.startswith("expect ")]

    @property
    def results(self) -> list[str]:
        return [line for line in self.lines if not line.startswith("expect")]

    @property
    def fails(self) -> bool:
        return bool(self.wants("fail"))

    def wants(self, name: str) -> list[str]:
        """Return what else stands in lines such as ``expect fail``; the older forms count as well."""
        found = [line.removeprefix(name).strip() for line in self.expects if line.split()[0] == name]
        return found or ([""] if self.match["mode"] == f"_{name}" else [])

    @property
    def failure(self) -> str:
        """The pattern of the text with which the evaluation must fail."""
        for line in self.lines:
            if found := _FAILURE.fullmatch(line):
                return found["regexp"] or re.escape(found["text"])
        return ".*"

    @property
    def ordered(self) -> bool:
        return self.match["mode"] == "_ordered" or "ordered" in self.expects


def run_file(path: Path) -> Outcome:
    """Run all commands of a file."""
    outcome = Outcome()
    source, native = MemorySource(), MemorySource()
    for line, command, lines in _commands(path.read_text()):
        if command == "clear":
            source, native = MemorySource(), MemorySource()
        elif command.startswith("load"):
            _load(source, native, _time(command.split()[-1]), lines, with_nhcb="nhcb" in command)
        elif found := _EVAL.fullmatch(command):
            _run(_Eval(line, found, lines), source, native, outcome)
        else:
            outcome.failures.append(f"line {line}: unknown command {command!r}")
    return outcome


def _commands(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """Yield the line, the command, which may be indented as well, and what is indented below it."""
    current: tuple[int, str, list[str]] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        content = line.strip()
        if content.startswith("#"):
            continue
        if not content:
            continue
        if line[0] in " \t" and current and not _EVAL.match(content):
            current[2].append(content)
        else:
            if current:
                yield current
            current = number, content, []
    if current:
        yield current


def _load(
    source: MemorySource, native: MemorySource, step: int, lines: list[str], *, with_nhcb: bool
) -> None:
    """Add the samples to ``source``; the series that are, or have, more than floats also to ``native``."""
    for line in lines:
        if found := _START_TIMES.match(line):
            if found["series"]:
                native.add(Series(parse_labels(found["series"])))
            continue
        plain = _HISTOGRAM.sub(lambda found: f"_x{int(found[1]) + 1}" if found[1] else "_", line)
        labels, values = parse_series(plain)
        for index, value in enumerate(values):
            if value is not None:
                source.append(labels, index * step, value)
        if plain != line:
            native.add(Series(labels))
        name, _, rest = labels.get(NAME).rpartition("_")
        if with_nhcb and rest in ("bucket", "sum", "count"):
            native.add(Series(labels.put({NAME: name, "le": ""})))


def _time(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    text = text.lstrip("-")
    try:
        return sign * parse_duration(text)
    except ValueError:
        return sign * round(float(text) * 1000)


def _run(case: _Eval, source: MemorySource, native: MemorySource, outcome: Outcome) -> None:
    text = case.match["query"]
    refused = False
    try:
        problem = _problem(case, text, source, with_notes=not _touches(text, native))
    except ParseError as error:
        refused = isinstance(error, Unsupported)
        problem = None if case.fails else f"{type(error).__name__}: {error}"
    except PromqlError as error:
        is_wanted = case.fails and re.search(case.failure, str(error))
        problem = None if is_wanted else f"{type(error).__name__}: {error}"
    except (IndexError, StopIteration) as error:
        problem = f"the expectation has another form: {error!r}"
    if problem is None:
        outcome.passed += 1
    elif refused:
        outcome.refused += 1
    elif any("{{" in line or "{count:" in line for line in case.lines) or _touches(text, native):
        outcome.of_native_histograms += 1
    else:
        outcome.failures.append(f"line {case.line}: {case.match[0]}: {problem}")


def _touches(text: str, native: MemorySource) -> bool:
    try:
        root = parse(text).root
    except ParseError:
        return False
    return any(native.select(node.matchers) for node in walk(root) if isinstance(node, Selector))


def _problem(case: _Eval, text: str, source: MemorySource, *, with_notes: bool) -> str | None:
    """Return why the evaluation does not give what is expected."""
    query = parse(text)
    notes = Notes()
    if case.match["at"] is None:
        start, end, step = (_time(case.match[name]) for name in ("start", "end", "step"))
        matrix = evaluate_range_with(Evaluation(source, start, end, notes=notes), query, start, end, step)
        if case.fails:
            return "did not fail"
        expected = _expected_matrix(case.results, start, step)
        return _compare_matrix(expected, matrix) or (
            _compare_notes(case, notes, text) if with_notes else None
        )
    at = _time(case.match["at"])
    result = evaluate_with(Evaluation(source, at, at, notes=notes), query, at)
    if case.fails:
        return "did not fail"
    problem = _compare_instant(case, result) or (_compare_notes(case, notes, text) if with_notes else None)
    if problem is not None or isinstance(result, String | Matrix):
        return problem
    for moment in (-10 * at, 0, at // 5, at, 10 * at) if at else (-1000, 0, 1000):
        pinned = _pinned(query, at)
        if pinned and (problem := _compare_instant(case, evaluate(pinned, source, moment))):
            return f"with @ {at}, at {moment}: {problem}"
    if not case.ordered and not _calls(query, _OF_QUERY):
        return _compare_middle(case, evaluate_range(query, source, at - 60_000, at + 60_000, 60_000), at)
    return None


def _compare_notes(case: _Eval, notes: Notes, text: str) -> str | None:
    """Return which note is missing, or is there but must not be."""
    for kind, name in _KINDS:
        shown = notes.shown(kind, text)
        wanted = case.wants(name)
        for message in wanted:
            form, _, given = message.partition(":")
            pattern = given.strip() if form == "regex" else re.escape(given.strip())
            if not any(re.search(pattern, one) for one in shown):
                return f"noted {shown}"
        if (wanted and not shown) or (shown and case.wants(f"no_{name}")):
            return f"noted {shown}"
    return None


def _compare_instant(case: _Eval, result: Vector | Scalar | String | Matrix) -> str | None:
    if isinstance(result, String):
        wanted = next((line[7:] for line in case.expects if line.startswith("string ")), None)
        return (
            None
            if wanted is not None and unquote(wanted.strip()) == result.value
            else f"got text {result.value!r}"
        )
    if isinstance(result, Matrix):
        shape = next(line.split() for line in case.expects if line.startswith("range vector"))
        return _compare_matrix(_expected_matrix(case.results, _time(shape[3]), _time(shape[7])), result)
    if isinstance(result, Scalar):
        return None if _equal(float(case.results[0]), result.value) else f"got {result.value}"
    expected = []
    for line in case.results:
        labels, values = parse_series("{} " + line if _BARE.fullmatch(line) else line)
        expected.append((labels, values[0]))
    if case.ordered and [labels for labels, _ in expected] != [sample.labels for sample in result.samples]:
        return f"got in this order {result.samples}"
    got = {sample.labels: sample.value for sample in result.samples}
    wrong = {
        labels: value
        for labels, value in expected
        if labels not in got or not _equal(value or 0.0, got[labels])
    }
    return f"got {got}" if wrong or len(got) != len(expected) else None


def _compare_middle(case: _Eval, matrix: Matrix, at: int) -> str | None:
    got = {
        series.labels: value
        for series in matrix.series
        for time, value in zip(series.times, series.values, strict=True)
        if time == at
    }
    expected = {}
    for line in case.results:
        if _BARE.fullmatch(line):
            expected[Labels()] = float(line)
        else:
            labels, values = parse_series(line)
            expected[labels] = values[0] or 0.0
    same = expected.keys() == got.keys() and all(
        _equal(value, got[labels]) for labels, value in expected.items()
    )
    return None if same else f"in a range: got {got}"


def _expected_matrix(lines: list[str], start: int, step: int) -> dict[Labels, dict[int, float]]:
    expected = {}
    for line in lines:
        labels, values = (Labels(), parse_values(line)) if _BARE.match(line) else parse_series(line)
        expected[labels] = {
            start + index * step: value for index, value in enumerate(values) if value is not None
        }
    return expected


def _compare_matrix(expected: dict[Labels, dict[int, float]], matrix: Matrix) -> str | None:
    got = {series.labels: dict(zip(series.times, series.values, strict=True)) for series in matrix.series}
    if expected.keys() != got.keys():
        return f"got {got}"
    for labels, points in expected.items():
        if points.keys() != got[labels].keys() or not all(
            _equal(points[at], got[labels][at]) for at in points
        ):
            return f"got {labels} {got[labels]}"
    return None


def _equal(left: float, right: float) -> bool:
    if left != left or right != right:
        return left != left and right != right
    if left == right:
        return True
    if math.isinf(left) or math.isinf(right):
        return False
    if left == 0 or right == 0:
        return abs(left - right) < 1e-6 * sys.float_info.min
    return abs(left / 2 - right / 2) < 1e-6 * (abs(left) / 2 + abs(right) / 2)


def _calls(query: Query, functions: frozenset[str]) -> bool:
    return any(isinstance(node, Call) and node.function in functions for node in walk(query.root))


def _pinned(query: Query, at: int) -> Query | None:
    """Return the query with ``@ at`` at all selectors, if its result then depends on no other time."""
    if _calls(query, _UNSAFE_AT):
        return None
    return replace(query, root=_with_at(query.root, at))


def _with_at(node: Node, at: int) -> Node:
    match node:
        case Selector():
            return node if node.at is not None else replace(node, at=at)
        case RangeSelector(selector=selector):
            return node if selector.at is not None else replace(node, selector=replace(selector, at=at))
        case Subquery():
            return node if node.at is not None else replace(node, at=at)
        case Negation():
            return replace(node, expression=_with_at(node.expression, at))
        case Binary():
            return replace(node, left=_with_at(node.left, at), right=_with_at(node.right, at))
        case Aggregation():
            parameter = None if node.parameter is None else _with_at(node.parameter, at)
            return replace(node, expression=_with_at(node.expression, at), parameter=parameter)
        case Call():
            return replace(node, arguments=tuple(_with_at(argument, at) for argument in node.arguments))
        case _:
            return node
