"""Conditions are exact on 256-bit integers, and no text whatever hangs the compiler or gets past it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwatch.checker.expression import ConditionError, EvaluationError, compile_condition
from chainwatch.model import AbiEvent, AbiParam, Event, RawLog
from tests.support.effort import effort_within

SLOWEST_SECONDS = 1.0
"""Far above what the largest source takes, far below a hang."""

EVENT = AbiEvent(
    "E",
    (
        AbiParam("a", "uint256"),
        AbiParam("b", "int256"),
        AbiParam("data", "bytes"),
        AbiParam("to", "address"),
        AbiParam("list", "uint256[]"),
        AbiParam("t", "tuple", components=(AbiParam("x", "uint256"),)),
    ),
)


def event_of(args: dict[str, Any]) -> Event:
    return Event("net", "c", "E", "", args, RawLog(1, b"", 2, 0, b"", b"", (), b""))


edges = st.sampled_from([0, 1, 2, 2**53, 2**63, 2**64, 2**128, 2**255, 2**256 - 1])
unsigned = edges | st.integers(0, 2**256 - 1)
signed = edges.filter(lambda n: n < 2**255) | st.integers(-(2**255), 2**255 - 1)


def binary(operands: st.SearchStrategy[str], operators: list[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda left, operator, right, wrap: (
            f"({left} {operator} {right})" if wrap else f"{left} {operator} {right}"
        ),
        operands,
        st.sampled_from(operators),
        operands,
        st.booleans(),
    )


powers = st.builds(lambda base, exponent: f"{base}**{exponent}", st.integers(0, 10), st.integers(0, 77))
numbers = st.recursive(
    st.sampled_from(["a", "b"]) | unsigned.map(str) | unsigned.map(hex) | powers,
    lambda inner: (
        binary(inner, ["+", "-", "*", "//", "%"])
        | inner.map(lambda text: f"-{text}")
        | inner.map(lambda text: f"abs({text})")
        | st.builds("min({}, {})".format, inner, inner)
        | st.builds("max({}, {})".format, inner, inner)
    ),
    max_leaves=6,
)
comparisons = binary(numbers, ["==", "!=", "<", "<=", ">", ">="]) | st.builds(
    "{} {} ({}, {})".format, numbers, st.sampled_from(["in", "not in"]), numbers, numbers
)
booleans = st.recursive(
    comparisons | st.builds("{} < {} <= {}".format, numbers, numbers, numbers),
    lambda inner: (
        st.builds("({}) and ({})".format, inner, inner)
        | st.builds("({}) or ({})".format, inner, inner)
        | inner.map(lambda text: f"not ({text})")
    ),
    max_leaves=4,
)


@settings(max_examples=400, deadline=None)
@given(source=booleans, a=unsigned, b=signed)
def test_every_condition_on_integers_means_what_python_means(source: str, a: int, b: int) -> None:
    try:
        expected: bool | None = eval(source, {"a": a, "b": b})
    except ZeroDivisionError:
        expected = None
    try:
        condition = compile_condition(source, EVENT)
    except ConditionError as error:
        refusal = error.message
    else:
        assert answer(lambda: condition.evaluate(event_of({"a": a, "b": b}))) is expected
        assert answer(lambda: condition.evaluate_facts({"a": a, "b": b}, {})) is expected
        return
    assert refusal == "division by zero" or refusal.endswith("bits")


def answer(question: Callable[[], bool]) -> bool | None:
    """None where the condition has no answer."""
    try:
        return question()
    except EvaluationError:
        return None


@settings(max_examples=200, deadline=None)
@given(a=unsigned, b=unsigned)
def test_comparisons_of_uint256_are_exact_to_the_last_unit(a: int, b: int) -> None:
    event = event_of({"a": a, "b": 0})
    assert compile_condition(f"a >= {b}", EVENT).evaluate(event) is (a >= b)
    assert compile_condition(f"a * 10**18 == {a * 10**18}", EVENT).evaluate(event)
    assert not compile_condition(f"a * 10**18 == {a * 10**18 + 1}", EVENT).evaluate(event)


WORDS = [
    *(
        "a",
        "b",
        "data",
        "to",
        "list",
        "t",
        "t.x",
        "list[0]",
        "opening",
        "network",
        "block.number",
        "__class__",
    ),
    *(
        "and",
        "or",
        "not",
        "in",
        "is",
        "if",
        "else",
        "lambda",
        "for",
        "true",
        "False",
        "None",
        "import",
        "len",
    ),
    *(
        "max",
        "sum",
        "abs",
        "print",
        "eval",
        "+",
        "-",
        "*",
        "**",
        "//",
        "/",
        "%",
        "==",
        "!=",
        "<",
        ">=",
        "(",
        ")",
    ),
    *(
        "[",
        "]",
        ",",
        ".",
        "=",
        ":=",
        "{",
        "}",
        "'x'",
        '"0x"',
        "'",
        "1",
        "0",
        "10",
        "9" * 40,
        "0xff",
        "1e9",
        "\\",
    ),
    *("0x" + "ab" * 20, "0x" + "cd" * 32, "\n", "\x00", "é", "٣", "p0", "k0", "event", "own", "f'{a}'"),
]


def assert_ends_quickly_and_politely(source: str) -> None:
    with effort_within(SLOWEST_SECONDS):
        refusal = None
        try:
            condition = compile_condition(source, EVENT)
        except ConditionError as error:
            refusal = error
        else:
            args = {"a": 2**256 - 1, "b": -1, "data": b"", "to": "", "list": [1], "t": {"x": 1}}
            answer(lambda: condition.evaluate(event_of(args)))
    if refusal is not None:
        assert 0 <= refusal.column <= len(source)
        assert str(refusal).startswith(refusal.message)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join))
def test_any_sequence_of_words_is_accepted_or_refused_and_nothing_else(source: str) -> None:
    assert_ends_quickly_and_politely(source)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_accepted_or_refused_and_nothing_else(source: str) -> None:
    assert_ends_quickly_and_politely(source)


@pytest.mark.parametrize(
    "source",
    [
        "().__class__",
        "a.__class__ == a",
        "().__class__.__bases__[0].__subclasses__()",
        "t.x.__class__.__mro__[1] == a",
        "'{0.__class__}'.format(a) == 'x'",
        "__import__('os').system('true') == 0",
        "eval('1') == 1",
        "print(a) == a",
        "len.__self__ == a",
        "event.args == a",
        "own == a",
        "k0 == 1",
        "p0 == 1",
        "f'{a}' == 'x'",
        "b'x' == data",
        "(lambda: a)() == a",
        "[x for x in list] == list",
        "{x: 1 for x in list} == a",
        "(x := a) == a",
        "a if a else b",
        "await a == b",
        "*list == a",
        "...",
        "None == a",
        "a; b",
        "a == 1  # comment",
        "a == 1\\\n",
        "1) or (1 == 1",
        "a == 1 or 1 == 1) or (1 == 1",
    ],
)
def test_attacks_and_foreign_python_are_refused(source: str) -> None:
    with pytest.raises(ConditionError):
        compile_condition(source, EVENT)


@pytest.mark.parametrize(
    "source",
    [
        "9**9**9 > 1",
        "9**9**9**9 > 1",
        "a**a > 1",
        "2**a > 1",
        "(2**1000)**1000 > 1",
        "'a'*10**9 == 'b'",
        "[1]*10**9 == list",
        "a in [1]*10**9",
        "1 << 10**9 > 1",
        "*".join(["a"] * 9) + " > 1",
        "*".join(["(2**1000)"] * 100) + " > 1",
        "9" * 5_000 + " > 1",
        "0x" + "f" * 9_000 + " + 1 > 1",
        "(" * 5_000 + "1" + ")" * 5_000,
        "(" * 2_000 + "a == 1" + ")" * 2_000,
        "[" * 3_000,
        "not " * 2_000 + "true",
        "not(" * 2_000 + "true" + ")" * 1_000,
        "2" + "**2" * 3_000 + " > 1",
        "abs(" * 2_000 + "a" + ")" * 2_000 + " > 1",
        "a > 1" + " + a" * 2_000,
        "-" * 9_000 + "a > 1",
        "a" + "[0]" * 3_000 + " > 1",
        "a > 1 " * 10_000,
        "a > 1" + " " * 10_000,
        "list[" + "9" * 5_000 + "] > 1",
    ],
    ids=range(26),
)
def test_what_would_hang_or_eat_memory_is_refused_quickly(source: str) -> None:
    with effort_within(SLOWEST_SECONDS), pytest.raises(ConditionError):
        compile_condition(source, EVENT)


@pytest.mark.parametrize(
    "source",
    [
        "a > 1" + " or a > 1" * 1_000,
        "a in [" + "1, " * 3_000 + "2]",
        "1" + " < 1" * 2_000,
        "+".join(["1"] * 4_000) + " > 1",
        "(" * 38 + "a > 1" + ")" * 38,
        "a" + " + a" * 38 + " > 1",
    ],
    ids=range(6),
)
def test_the_largest_conditions_allowed_still_compile_quickly(source: str) -> None:
    with effort_within(SLOWEST_SECONDS):
        compile_condition(source, EVENT).evaluate(event_of({"a": 5}))
