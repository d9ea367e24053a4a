"""Which texts are names of metrics and of labels.

The classic names are those of the text format 0.0.4 and of remote write 1.0. Since Prometheus 3 a name may be any text that
is not empty, where a format has a way to write it: within quotes in the text format, and in remote write 2.0.
"""

from __future__ import annotations

import re

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


def quoted(text: str) -> str:
    """Return ``text`` as a message shows it: on one line, between quotes, cut short."""
    return f'"{clean(text[:_SHOWN_MAX])}{"…" if len(text) > _SHOWN_MAX else ""}"'


_SHOWN_MAX = 80
