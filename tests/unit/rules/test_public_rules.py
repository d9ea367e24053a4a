"""Rules of public collections: each is read, and gives what promtool gives, over series made of the rule itself.

``CHAINWATCH_RULES`` names a folder with more of them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chainwatch.promql.notation import parse_labels, parse_values
from chainwatch.promql.parser import Query
from chainwatch.promql.queries import Scalar, Vector, evaluate
from chainwatch.promql.series import Labels, MemorySource
from chainwatch.rules.evaluation import PreparedGroup, evaluate_group
from chainwatch.rules.files import read_rule_file
from chainwatch.rules.presets import PREFIX, PRESETS, rule_file
from tests.support.promtool import Result, evaluate_with_promtool, same
from tests.support.rule_series import series_for

_DATA = Path(__file__).parents[2] / "data" / "rules" / "public"
_MORE = os.environ.get("CHAINWATCH_RULES")
_FILES = sorted([*_DATA.glob("*.yml"), *(Path(_MORE).rglob("*.y*ml") if _MORE else ())])
_MINUTES = 60
_AT = (_MINUTES - 1) * 60_000 + 30_000


def _ours(query: Query, series: dict[str, str]) -> Result:
    try:
        result = evaluate(query, _source(series), _AT)
    except ValueError:
        return None
    assert isinstance(result, Vector | Scalar)
    return dict(result.samples) if isinstance(result, Vector) else {Labels(): result.value}


def _source(series: dict[str, str]) -> MemorySource:
    source = MemorySource()
    for name, values in series.items():
        labels = parse_labels(name)
        for index, value in enumerate(parse_values(values)):
            assert value is not None
            source.append(labels, index * 60_000, value)
    return source


@pytest.mark.slow
@pytest.mark.parametrize("text", [*_FILES, *PRESETS], ids=lambda text: getattr(text, "name", text))
def test_gives_what_promtool_gives(text: Path | str, tmp_path: Path) -> None:
    groups = read_rule_file(text.read_text() if isinstance(text, Path) else rule_file(PREFIX + text))
    queries = [rule.query for group in groups for rule in group.rules]
    tests = [(series_for(query.root, _MINUTES), query) for query in queries]
    theirs = evaluate_with_promtool(
        tmp_path, [(series, [query.text]) for series, query in tests], f"{_MINUTES - 1}m30s"
    )
    ours = {query.text: _ours(query, series) for series, query in tests}
    wrong = {
        text: (got, theirs.get(text, {})) for text, got in ours.items() if not same(got, theirs.get(text, {}))
    }
    assert wrong == {}
    assert any(ours.values())


@pytest.mark.parametrize("file", _FILES, ids=lambda file: file.name)
def test_each_rule_is_evaluated_with_its_templates(file: Path) -> None:
    for group in read_rule_file(file.read_text()):
        series = {
            name: values
            for rule in group.rules
            for name, values in series_for(rule.query.root, _MINUTES).items()
        }
        prepared = PreparedGroup(group)
        results = list(evaluate_group(prepared, prepared.first_state, _source(series), _AT))
        texts = [
            text
            for result in results
            for alert in result.state.alerts.values()
            for text in alert.annotations.values()
        ]
        assert [text for text in texts if "error expanding" in text] == []
