"""What can go wrong with a query."""

from __future__ import annotations


class PromqlError(ValueError):
    """A query that cannot be read or evaluated; the text says why."""


class ParseError(PromqlError):
    """A text that is no query.

    ``line`` and ``column`` say where in the text, both counted from 1; ``reason`` says why, without the place.
    """

    def __init__(self, reason: str, line: int, column: int) -> None:
        super().__init__(f"{line}:{column}: parse error: {reason}")
        self.reason = reason
        self.line = line
        self.column = column


class Unsupported(ParseError):
    """A query that Prometheus understands but this evaluator does not: native histograms, experimental forms."""


class EvaluationError(PromqlError):
    """A query that has no result for these series, such as one with two elements of the same labels."""


class LimitExceeded(EvaluationError):
    """A query that selects or computes more than it may, or takes longer."""


class TimedOut(LimitExceeded):
    """A query that takes longer than it may."""


def quoted(text: str) -> str:
    """Return ``text`` in double quotes, as Prometheus shows it in errors."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
