"""The evaluator on the files of Prometheus' own test suite, each query also pinned with ``@`` and in a range.

Ranges are evaluated time by time, and all times together.
"""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest

from chainwatch.promql import ranges
from tests.support.promqltest import run_file

_FILES = Path(__file__).parents[2] / "data" / "promqltest"


@pytest.mark.parametrize(
    ("name", "passed", "not_ours"),
    [
        ("aggregators", 154, 6),
        ("at_modifier", 78, 0),
        ("literals", 25, 0),
        ("operators", 207, 7),
        ("own", 104, 4),
        ("selectors", 31, 0),
        ("staleness", 17, 0),
        ("subquery", 32, 2),
    ],
)
@pytest.mark.parametrize("together", [False, True])
def test_gives_what_prometheus_gives(name: str, passed: int, not_ours: int, together: bool) -> None:
    with patch.object(ranges, "TIMES_MIN", 1 if together else 1_000_000):
        outcome = run_file(_FILES / f"{name}.test")
    assert outcome.failures == []
    assert (outcome.passed, outcome.of_native_histograms + outcome.refused) == (passed, not_ours)


def test_a_wrong_expectation_fails(tmp_path: Path) -> None:
    file = tmp_path / "wrong.test"
    file.write_text("load 1m\n  m 1 2 3\n\neval instant at 2m m\n  m 4\n\neval instant at 2m m\n  m 3\n")
    outcome = run_file(file)
    assert outcome.passed == 1
    assert len(outcome.failures) == 1
    assert outcome.failures[0].startswith("line 4:")


def test_a_wrong_note_fails(tmp_path: Path) -> None:
    file = tmp_path / "wrong.test"
    file.write_text(
        "load 1m\n  m 1 2 3\n\n"
        "eval instant at 2m rate(m[2m])\n  expect no_info\n  {} 0.016666666666666666\n\n"
        "eval_warn instant at 2m m\n  m 3\n\n"
        "eval instant at 2m rate(m[2m])\n  expect info msg: another\n  {} 0.016666666666666666\n"
    )
    assert len(run_file(file).failures) == 3
