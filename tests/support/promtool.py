"""Queries evaluated by Debian's promtool (2.42), over samples that are given as text."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from chainwatch.promql.notation import parse_labels
from chainwatch.promql.series import Labels
from tests.support.missing import missing

Result = dict[Labels, float] | None
"""Values by labels; None for an error."""


def evaluate_with_promtool(
    folder: Path, tests: Iterable[tuple[Mapping[str, str], list[str]]], at: str
) -> dict[str, Result]:
    """Return what promtool gets ``at`` such a time for each query that has a result, over the series given with it.

    Samples are a minute apart.
    """
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool", "Debian's package prometheus has it")
    written = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [{"expr": text, "eval_time": at, "exp_samples": []} for text in queries],
        }
        for series, queries in tests
    ]
    file = folder / "test.yml"
    file.write_text(json.dumps({"tests": written}))
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    found: dict[str, Result] = {}
    for block in re.split(r"\n    (?=expr:)", done.stdout + done.stderr)[1:]:
        heading = re.match(r'expr: ("(?:[^"\\]|\\.)*"), time: [^,]*,', block)
        assert heading is not None, block
        got = block.partition("got: ")[2]
        samples = re.findall(r'(\{(?:[^{}"]|"[^"]*")*\}) (\S+?)(?:,|\n|$)', got)
        found[json.loads(heading[1])] = (
            {parse_labels(labels): float(value) for labels, value in samples} if got else None
        )
    return found


def same(ours: Result, theirs: Result) -> bool:
    """Return whether two results are the same but for rounding."""
    if ours is None or theirs is None:
        return ours is theirs
    return ours.keys() == theirs.keys() and all(
        math.isclose(value, other, rel_tol=1e-9, abs_tol=1e-12) or (value != value and other != other)
        for value, other in ((value, theirs[labels]) for labels, value in ours.items())
    )
