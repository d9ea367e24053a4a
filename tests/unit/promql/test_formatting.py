"""Queries as they are laid out: as Prometheus does it, and meaning the same."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from chainwatch.promql.errors import ParseError
from chainwatch.promql.formatting import format_duration, format_query
from chainwatch.promql.parser import parse
from chainwatch.promql.syntax import Node, Selector, children
from chainwatch.rules.files import read_rule_file

DATA = Path(__file__).parents[2] / "data" / "promqltest"
PRESETS = Path(__file__).parents[3] / "chainwatch" / "rules" / "presets"


def normal(node: Node) -> str:
    """Return what a tree means: matchers in one order, and no places in the text."""
    below = [normal(one) for one in children(node)]
    if isinstance(node, Selector):
        return repr((sorted(map(repr, node.matchers)), node.offset, node.at))
    rest = re.sub("Selector\\(.*\\)|starts?=[^)]*", "", repr(node))
    return repr((type(node).__name__, rest, below))


@pytest.mark.parametrize(
    ("query", "formatted"),
    [
        ("foo/bar", "foo / bar"),
        (
            "sum(rate(requests_total{job='api',code=~\"5..\"}[5m]))by(job)",
            'sum by (job) (rate(requests_total{code=~"5..",job="api"}[5m]))',
        ),
        ("-a^b", "-a ^ b"),
        ("(-2)^3", "(-2) ^ 3"),
        ("(-a)^b", "(-a) ^ b"),
        ("(a+b)*c-(d-e)", "(a + b) * c - (d - e)"),
        ("(a^b)^c^d", "(a ^ b) ^ c ^ d"),
        ("(a or b) and c", "(a or b) and c"),
        ("a offset -5m @ 5", "a @ 5.000 offset -5m"),
        ("rate(x[90s] @ start() offset 1d1h)", "rate(x[1m30s] @ start() offset 1d1h)"),
        ("max_over_time((a+b)[1w:5m] offset 8d)", "max_over_time((a + b)[1w:5m] offset 8d)"),
        ("max_over_time((-a)[1h:])", "max_over_time((-a)[1h:])"),
        ("a+on()group_left(x)b", "a + on () group_left (x) b"),
        ("a>bool ignoring(x,y)b", "a > bool ignoring (x, y) b"),
        ("topk without()(5,a)", "topk without () (5, a)"),
        ('{"a b","c d"!="\\n"}', '{"c d"!="\\n",__name__="a b"}'),
        ("1e21*0.00001*1500000", "1e+21 * 1e-05 * 1.5e+06"),
        ("a{z='1',b!='2'}", 'a{b!="2",z="1"}'),
        ("(NaN)+(-inf)", "NaN + -Inf"),
        ("-(-a)", "--a"),
        ("a+fill_left(NaN)fill_right(NaN)b", "a + fill (NaN) b"),
        ("info(a,{})", "info(a)"),
        ("info(a,{b='c',__name__='target_info'})", 'info(a, {__name__="target_info",b="c"})'),
        ("info(a,{__name__=~'.+_info'})", 'info(a, {__name__=~".+_info"})'),
        ("m[ 2*5m ]", "m[10m]"),
        ("m[MAX(2*step(),1m)]", "m[max_of(2 * step(), 1m)]"),
        ("m[step()+1+range()/1.5:STEP()-1.0005]", "m[step() + 1s + range() / 1.5:step() - 1.0005]"),
        ("m[-(step()-(5+range()))*2]", "m[-(step() - (5s + range())) * 2]"),
        ("m[(step()^2)^step()^2%1m]", "m[(step() ^ 2) ^ step() ^ 2 % 1m]"),
        ("m[(-step())^2]", "m[(-step()) ^ 2]"),
        ("m[1m--5*(-4-step())]", "m[1m - -5 * (-4s - step())]"),
        ("m offset-step()", "m offset -step()"),
        ("(m offset (step()*2))*3", "m offset +(step() * 2) * 3"),
        ("-m offset -(1m-step())^2", "-m offset -(1m - step()) ^ 2"),
        (
            "max_over_time(m[1h:step()] offset - min_of(1,step()))",
            "max_over_time(m[1h:step()] offset -min_of(1s, step()))",
        ),
    ],
)
def test_one_line(query: str, formatted: str) -> None:
    assert format_query(parse(query)) == formatted
    assert normal(parse(formatted).root) == normal(parse(query).root) or "NaN" in formatted


def test_long_queries_have_several_lines() -> None:
    name = "a_metric_with_a_rather_long_name"
    inner = f'rate({name}_bucket{{code=~"5..",job="a"}}[5m])'
    query = f"-(sum without (code) (histogram_quantile(0.99, {inner})) / {name}_total)"
    assert format_query(parse(query)).splitlines() == [
        "-(",
        "    sum without (code) (",
        f"      histogram_quantile(0.99, {inner})",
        "    )",
        "  /",
        f"    {name}_total",
        ")",
    ]


def test_labels_of_a_long_call_of_info_have_no_name_before_them() -> None:
    inner = f"rate({'a' * 90}[5m])"
    assert format_query(parse(f"info({inner}, {{b='c'}})")).splitlines() == [
        "info(",
        f"  {inner},",
        '  {__name__="target_info",b="c"}',
        ")",
    ]


def test_what_is_laid_out_means_the_same_and_stays_as_it_is() -> None:
    texts = [
        one
        for path in DATA.glob("*.test")
        for one in re.findall(r"^eval[^\n]*? at \S+ (.*)$", path.read_text(), re.M)
    ]
    texts += [
        rule.query
        for path in PRESETS.glob("*.yml")
        if "{{" not in path.read_text()
        for group in read_rule_file(path.read_text())
        for rule in group.rules
    ]
    for text in texts:
        try:
            query = parse(text)
        except ParseError:
            continue
        formatted = format_query(query)
        again = parse(formatted)
        assert normal(again.root) == normal(query.root) or "NaN" in formatted, text
        assert format_query(again) == formatted
    assert len(texts) > 400


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0s"),
        (15_000, "15s"),
        (90_000, "1m30s"),
        (604_800_000, "1w"),
        (8 * 86_400_000, "8d"),
        (31_536_000_000, "1y"),
        (1_500, "1s500ms"),
    ],
)
def test_lengths_of_time(milliseconds: int, text: str) -> None:
    assert format_duration(milliseconds) == text
    assert math.isclose(parse(f"a[{text}]").root.range if milliseconds else 0, milliseconds)  # type: ignore[union-attr]
