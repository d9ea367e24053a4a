"""Templates: what they may say, and that none can take long, whatever its source and its values."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.grammar.templates import OUTPUT_MAX, Template, TemplateError
from tests.support.effort import effort_within

LABELS = {"host": "db-1", "items": "not a method", "flow": "bridge"}
HASH = "0x" + "ab" * 32


def rendered(source: str, **values: Any) -> str:
    return Template(source).render(values)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ $value }} on {{ $labels.host }}", "3 on db-1"),
        ("{{ value }} on {{ labels['host'] }}", "3 on db-1"),
        ("costs $value", "costs $value"),
        ("{{ labels.nothing.at_all }}", ""),
        ("{{ labels.nothing | default('none') }}", "none"),
        ("{{ labels.items }}", "not a method"),
        ("{% for k, v in labels | items %}{{ loop.index }}{{ k }} {% endfor %}", "1flow 2host 3items "),
        ("{{ 1234567 | amount(6, 'USDC') }}", "1.234567 USDC"),
        ("{{ '1234567' | amount(3) }}", "1,234.567"),
        ("{{ hash | short }}", "0xabab…abab"),
        ("{{ hash | link('ethereum') }}", f"https://e.example/tx/{HASH}"),
        ("{{ hash | link('nowhere') }}", HASH),
        ("{{ 7500 | duration }}", "2h 5m"),
        ("{{ 1700000000 | time('Europe/Berlin', '%H:%M %Z') }}", "23:13 CET"),
        ("{{ 9e300 | time }}", "9e+300"),
        ("{{ quoted | json }}", '"\\"\\n"'),
        ("{% if value > 2 %}many{% else %}few{% endif %}", "many"),
        ("{{ 'a,b' | replace(',', ';') | upper }}", "A;B"),
        ("{{ [1, 2] | join('-') }} {{ 'long text' | truncate(5) }}", "1-2 long…"),
    ],
)
def test_a_template_says_what_its_values_are(source: str, expected: str) -> None:
    values = {
        "value": 3,
        "labels": LABELS,
        "hash": HASH,
        "quoted": '"\n',
        "explorers": {"ethereum": "https://e.example"},
    }
    assert rendered(source, **values) == expected


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ labels.host", "line 1: unexpected"),
        ("one\n{% if x %}", "line 2: "),
        ("{{ 'x' | shout }}", "no filter 'shout'; there are amount, "),
        ("{{ x is odd }}", "no test 'odd'"),
        ("{{ range(10) }}", "call is not available"),
        ("{% set x = 1 %}", "assign is not available"),
        ("{% macro f() %}{% endmacro %}", "macro is not available"),
        ("{% include 'other' %}", "include is not available"),
        ("{{ 10 ** 9 }}", "pow is not available"),
        ("{% for a in x recursive %}{% endfor %}", "never be recursive"),
        ("{% for a in x %}" * 3 + "{% endfor %}" * 3, "loops may be nested 2 times"),
        ("{{ " + "1 + " * 3000 + "1 }}", "too many expressions"),
        ("{{ " + "(" * 4000 + "1" + ")" * 4000 + " }}", "nested more than 50 times"),
        ("x" * 20_000, "longer than 16,384"),
    ],
)
def test_what_cannot_be_bounded_is_refused_with_the_reason(source: str, reason: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(source)
    assert reason in str(caught.value)


def test_a_long_chain_of_operators_does_not_end_the_process_where_the_recursion_limit_is_raised() -> None:
    for operator in ("-", "not ", "1 if "):
        code = f"""
import sys
from chainwatch.grammar.templates import Template, TemplateError
sys.setrecursionlimit(100_000)
try:
    Template("{{{{ " + {operator!r} * 3000 + "1 }}}}")
except TemplateError:
    print("refused")
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 1000000000 }}",
        "{{ '%0999999999d' % 1 }}",
        "{{ 1 / 0 }}",
        "{{ text | int }}",
        "{{ text | replace('x', text) }}",
        "{{ 1 | time('UTC', '%999999999Y') }}",
        "{{ 1 | time('../../etc/passwd') }}",
        "{{ 1 | amount(99999999) }}",
        "{{ [] | first }}",
        "{% for c in text %}{{ c }}{% endfor %}",
    ],
)
def test_what_fails_on_its_values_is_an_error_with_a_text_and_takes_no_time(source: str) -> None:
    template = Template(source)
    with effort_within(1), pytest.raises(TemplateError):
        template.render({"text": "x" * 60_000})


@pytest.mark.parametrize(
    "inner",
    ["{{ many | json }}", "{{ many | join('-') | replace('q', 'y') }}", "{% if many | json %}{% endif %}"],
)
def test_loops_with_costly_filters_in_them_end_soon(inner: str) -> None:
    template = Template("{% for a in many %}{% for b in many %}" + inner + "{% endfor %}{% endfor %}")
    with effort_within(10), pytest.raises(TemplateError, match="takes too long"):
        template.render({"many": [{"x": "x" * 4_000}] * 200}, 10**9)
    assert Template("{{ many | json }}").render({"many": [1]}) == "[1]", "each rendering has its own"


def test_a_result_is_cut() -> None:
    result = rendered(
        "{% for a in many %}{% for b in many %}{{ a }}{% endfor %}{% endfor %}", many=["x" * 60_000] * 9
    )
    assert len(result) == OUTPUT_MAX + 1
    assert result.endswith("…")


def test_nothing_of_python_can_be_reached() -> None:
    for path in (
        "''.__class__",
        "labels.__class__.__mro__",
        "labels.get",
        "self.__init__",
        "loop.__class__",
        "[].append",
    ):
        assert rendered(f"{{{{ {path} }}}}", labels=LABELS) == ""


def test_templates_are_equal_if_their_sources_are() -> None:
    assert Template("{{ a }}") == Template("{{ a }}") != Template("{{ b }}")


WORDS = "{{ }} {% %} {# #} for in endfor if endif is raw x labels . | ( ) [ ] ' json time amount first * - ~ 1 9 $value"
PIECES = st.sampled_from(WORDS.split(" "))


@given(st.lists(PIECES, max_size=40).map(" ".join), st.text(max_size=50))
def test_any_source_on_any_values_gives_a_text_or_a_typed_error(source: str, value: str) -> None:
    values = {"x": [value, {"a": value}], "labels": {value: value}, "value": value}
    with contextlib.suppress(TemplateError):
        assert isinstance(Template(source).render(values), str)
