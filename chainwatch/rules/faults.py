"""Errors that nobody foresaw, in the log: the first of a kind with its traceback, and each rule once with each kind.

Ten thousand rules may meet the same one at each evaluation, and a traceback takes milliseconds to be written.
"""

from __future__ import annotations

from typing import TypeAlias

import structlog

TRACED_MAX = 100
"""The most kinds of errors whose traceback is logged."""

Kind: TypeAlias = tuple[type[Exception], str, int]
"""The class of an error, and the file and line that raised it."""

_log = structlog.get_logger(__name__)
_traced: set[Kind] = set()


class Faults:
    """The errors of the rules of one group."""

    def __init__(self) -> None:
        self._known: set[tuple[str, Kind]] = set()

    def log(self, message: str, error: Exception, **names: str) -> None:
        """Log an error with the names of what it is about, unless it was logged for these before."""
        kind = _kind(error)
        key = repr(names), kind
        if key in self._known:
            return
        self._known.add(key)
        is_first = kind not in _traced and len(_traced) < TRACED_MAX
        if is_first:
            _traced.add(kind)
        _log.error(
            message,
            **names,
            error=f"{type(error).__name__}: {error}"[:500],
            exc_info=error if is_first else None,
        )


def _kind(error: Exception) -> Kind:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (
        type(error),
        "" if trace is None else trace.tb_frame.f_code.co_filename,
        0 if trace is None else trace.tb_lineno,
    )
