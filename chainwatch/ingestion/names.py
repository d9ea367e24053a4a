"""Which texts are names of metrics and of labels, and which labels a series may have.

The classic names are those of the text format 0.0.4 and of remote write 1.0. Since Prometheus 3 a name may be any text that
is not empty, where a format has a way to write it: within quotes in the text format, and in remote write 2.0.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from chainwatch.promql.series import NAME, Labels
from chainwatch.support.printable import clean

METRIC_NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL_NAME = "[a-zA-Z_][a-zA-Z0-9_]*"

_METRIC = re.compile(METRIC_NAME)
_LABEL = re.compile(LABEL_NAME)


def metric_problem(name: str, *, is_classic: bool = True) -> str | None:
    """Return why ``name`` cannot be a metric's; None where it can."""
    if not name:
        return "a series without a name: give __name__"
    if is_classic and not _METRIC.fullmatch(name):
        return f"{quoted(name)} is no metric name: use letters, digits, _ and :, no digit first"
    return None


def label_problem(name: str, *, is_classic: bool = True) -> str | None:
    """Return why ``name`` cannot be a label's; None where it can."""
    if not name:
        return "a label without a name"
    if is_classic and not _LABEL.fullmatch(name):
        return f"{quoted(name)} is no label name: use letters, digits and _, no digit first"
    return None


def checked_labels(pairs: Sequence[tuple[str, str]], *, is_classic: bool = True) -> Labels:
    """Return the labels of a series, its name among them, in any order. Raises ``ValueError`` with the reason."""
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, times in counts.items() if times > 1)
        raise ValueError(f"the label {quoted(twice)} is given twice")
    problem = metric_problem(found.get(NAME, ""), is_classic=is_classic)
    for name, value in pairs:
        problem = problem or label_problem(name, is_classic=is_classic)
        if "\0" in name or "\0" in value:
            problem = problem or f"the label {quoted(name)} holds the character NUL: leave it out"
    if problem is not None:
        raise ValueError(problem)
    return Labels(found)


def quoted(text: str) -> str:
    """Return ``text`` as a message shows it: on one line, between quotes, cut short."""
    return f'"{clean(text[:_SHOWN_MAX])}{"…" if len(text) > _SHOWN_MAX else ""}"'


_SHOWN_MAX = 80
