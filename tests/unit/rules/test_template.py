"""Go templates in rules: what Go prints, what an error becomes, and that nothing takes long."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwatch.promql.queries import Sample
from chainwatch.promql.series import Labels
from chainwatch.rules.template import OUTPUT_MAX, Template, TemplateError, Values, expand
from tests.support.effort import effort_within

_SAMPLES = [
    Sample(Labels({"__name__": "up", "job": "b"}), 1.0),
    Sample(Labels({"__name__": "up", "job": "a"}), 2.5),
]


def _expand(source: str, value: float = 7.0) -> str:
    return expand(
        source,
        Values(Labels({"job": "x", "host": "h:80"}), value, {"region": "eu"}, query=lambda _: _SAMPLES),
    )


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("plain { text }", "plain { text }"),
        ("{{ $labels.job }} {{ .Labels.job }} {{ $.Value }} [{{ $labels.none }}]", "x x 7 []"),
        ('{{ $value | printf "%.1f" }}%', "7.0%"),
        ('{{ range query "up" }}{{ .Labels.job }}{{ .Value }} {{ end }}', "b1 a2.5 "),
        (
            '{{ range query "up" | sortByLabel "job" }}{{ . | label "job" }}{{ . | value }} {{ end }}',
            "a2.5 b1 ",
        ),
        ('{{ range $i, $s := query "up" }}{{ if $i }}, {{ end }}{{ $s.Labels.job }}{{ end }}', "b, a"),
        ('{{ range query "up" }}{{ if eq .Labels.job "a" }}{{ break }}{{ end }}{{ .Value }}{{ end }}', "1"),
        ("{{ with $labels.none }}yes{{ else }}no{{ end }}", "no"),
        ("{{ with $x := $labels.job }}{{ $x }}{{ end }}", "x"),
        ("{{ if and (gt $value 5.0) (lt $value 10.0) }}in{{ else if true }}?{{ end }}", "in"),
        ('{{ if not (match "^y" $labels.job) }}a{{ end }}', "a"),
        ('{{ (index (query "up") 1).Value }}', "2.5"),
        ('{{ printf "%s has %d of %v" $labels.job 3 1.5 }}', "x has 3 of 1.5"),
        (
            '{{ printf "%d" 1.5 }} {{ printf "%s" }} {{ printf "x" 1 }}',
            "%!d(float64=1.5) %!s(MISSING) x%!(EXTRA int=1)",
        ),
        ('{{ printf "%05.1f|%+.2f|%x|%t|%%" 3.14159 2.0 255 true }}', "003.1|+2.00|ff|true|%"),
        ('{{ printf "%+v|% .2f|%x|%T|%G" 1.5 1.5 "job" 1.5 1e21 }}', "1.5| 1.50|6a6f62|float64|1E+21"),
        ('{{ slice "abcdef" 1 3 }}{{ slice "é" 2 }}{{ len (slice (query "up") 1) }}', "bc1"),
        ("{{ html \"<a href='x'>&\" }}", "&lt;a href=&#39;x&#39;&gt;&amp;"),
        ('{{ toUpper "straße" }}', "STRAßE"),
        (
            "{{ humanize 0.0 }} {{ humanize 1234567.0 }} {{ humanize 0.00012 }} {{ humanize -1e30 }}",
            "0 1.235M 120u -1e+06Y",
        ),
        (
            "{{ humanize1024 1048576.0 }} {{ humanizeDuration 61 }} {{ humanizeDuration -3661 }}",
            "1Mi 1m 1s -1h 1m 1s",
        ),
        ("{{ humanizePercentage 0.5 }} {{ humanizeTimestamp 0 }}", "50% 1970-01-01 00:00:00 +0000 UTC"),
        ('{{ "a-b" | toUpper }} {{ "AB" | toLower }} {{ title "ab cd" }}', "A-B ab Ab Cd"),
        (
            '{{ stripPort $labels.host }} {{ stripDomain "a.b.c" }} {{ stripDomain "10.0.0.1:80" }}',
            "h a 10.0.0.1:80",
        ),
        ('{{ reReplaceAll "(x+)" "<$1>" "axxb" }} {{ parseDuration "1h30m" }}', "a<xx>b 5400"),
        ('{{ reReplaceAll "(a)" "<$0000009>" "ba" }}', "b<>"),
        ('{{ reReplaceAll "a*" "-" "baac" }} {{ reReplaceAll "é*" "-" "日éé" }}', "-b-c- -日-"),
        (
            "{{ toTime 1.0005 }} {{ humanizeTimestamp 0.1234 }}",
            "1970-01-01 00:00:01 +0000 UTC 1970-01-01 00:00:00.123 +0000 UTC",
        ),
        ('{{ define "t" }}<{{ .arg0 }}{{ .arg1 }}>{{ end }}{{ template "t" (args 1 "b") }}', "<1b>"),
        ('{{ define "t" }}{{ . }}{{ end }}{{ tmpl "t" 5 }}', "5"),
        ("{{ $externalLabels.region }}{{ .ExternalURL }}", "eu"),
        ("a {{- /* c */ -}} b{{- 1 -}} c", "ab1c"),
        ("{{ $labels }}", "map[host:h:80 job:x]"),
        ("{{ nil | print }}", "<no value>"),
        ('{{ match "a.b" "a\\nb" }} {{ match "a.b" "axb" }}', "false true"),
    ],
)
def test_prints_what_go_prints(source: str, text: str) -> None:
    assert _expand(source) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (0.0, "0"),
        (-0.5, "-0.5"),
        (1e6, "1e+06"),
        (1e-5, "1e-05"),
    ],
)
def test_prints_numbers_as_go_does(value: float, text: str) -> None:
    assert _expand("{{ $value }}", value) == text


def test_compares_nan_as_go_does() -> None:
    assert _expand(
        "{{ gt $value 1.0 }} {{ ge $value 1.0 }} {{ lt $value 1.0 }} {{ le $value 1.0 }}", math.nan
    ) == ("true true false false")


@pytest.mark.parametrize(
    "source",
    [
        "{{ humanize $labels.job }}",
        "{{ .Nope }}",
        "{{ $labels.job.x }}",
        '{{ first (query "up" | sortByLabel 5 5) }}',
        "{{ eq $value 7 }}",
        '{{ index $labels }}{{ index (query "up") 9 }}',
        '{{ slice "abc" 2 1 }}',
        '{{ slice "abc" 0 4 }}',
        '{{ slice 5 }}{{ slice "abc" "a" }}',
        '{{ reReplaceAll "(" "" "" }}',
        '{{ template "none" }}',
        '{{ define "t" }}{{ template "t" }}{{ end }}{{ template "t" }}',
        "{{ break }}",
        "{{ range 5 }}{{ end }}",
        "{{ $value 5 }}",
        "{{ printf 5 }}",
        "{{ toUpper 5 }}",
        "{{ humanizeTimestamp 1e300 }}",
        '{{ parseDuration "x" }}',
        '{{ printf "%d" ' + "9" * 5000 + " }}",
        "{{ 0xffffffffffffffffff }}",
    ],
)
def test_an_error_becomes_text(source: str) -> None:
    text = _expand(source)
    assert text.startswith("<error expanding template: ")
    assert text.endswith(">")


@pytest.mark.parametrize(
    "source",
    [
        "{{ ",
        "{{ end }}",
        "{{ if }}",
        "{{ if 1 }}",
        "{{ else }}",
        "{{ $x }}",
        "{{ f 1 }}",
        '{{ "a }}',
        "{{ ( }}",
        "{{ 1 | }}",
        "{{ if 1 }}" * 100,
        "{{ " + "(" * 100,
        "x" * 70000,
        "{{ /* }}",
        "{{ range }}{{ end }}",
        "{{ template x }}",
    ],
)
def test_refuses_what_is_no_template(source: str) -> None:
    with pytest.raises(TemplateError):
        Template(source)


def test_nothing_takes_long_or_grows_without_bound() -> None:
    with effort_within(5):
        loop = '{{ range query "up" }}'
        assert _expand(loop * 20 + "x" + "{{ end }}" * 20).startswith(
            "<error expanding template: takes more than"
        )
        doubled = '{{ $x := "ab" }}' + '{{ $x = printf "%s%s" $x $x }}' * 100 + "{{ $x }}"
        assert "a text is longer than" in _expand(doubled)
        for text in (
            '{{ range query "up" }}' * 9 + '{{ reReplaceAll "a" "b" $labels.long }}' + "{{ end }}" * 9,
            '{{ range query "many" }}{{ $x := query "many" | sortByLabel "job" }}{{ end }}',
            '{{ range query "many" }}{{ $x := print $labels.long $labels.long }}{{ end }}',
        ):
            values = Values(
                {"long": "a" * 30_000}, 1.0, query=lambda text: _SAMPLES * (5_000 if text == "many" else 1)
            )
            assert "takes more than 100,000 steps" in expand(text, values)
        assert "too long" in _expand(f'{{{{ reReplaceAll "" "{"x" * 9000}" "{"y" * 9000}" }}}}')
        assert "more than 100 operands" in _expand("{{ print " + "1 " * 200 + "}}")
        wide = '{{ printf "%999999d" 1 }}' * 1000
        assert len(_expand(wide)) == OUTPUT_MAX


_PIECES = [
    "{{",
    "}}",
    "{{-",
    "-}}",
    "if",
    "range",
    "with",
    "end",
    "else",
    "$value",
    "$labels",
    ".x",
    ".",
    "query",
    "1",
    "2.5",
]
_PIECES += [
    '"a"',
    "`b`",
    "|",
    "(",
    ")",
    ":=",
    "=",
    ",",
    "printf",
    "humanize",
    "index",
    "first",
    "$x",
    "define",
    "template",
]


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40) | st.lists(st.sampled_from(_PIECES), max_size=15).map(" ".join))
def test_any_text_gives_text(source: str) -> None:
    assert isinstance(_expand(source), str)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(_PIECES[9:]), min_size=1, max_size=6).map(" ".join), st.floats())
def test_any_action_gives_text(action: str, value: float) -> None:
    assert isinstance(_expand("{{ " + action + " }}", value), str)
