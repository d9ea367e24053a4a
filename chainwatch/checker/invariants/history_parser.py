"""The language of invariants: that of conditions, with exact fractions and with values as they were earlier.

``previous.x`` is a value at the check before, ``has_changed(x)`` whether it is another one now, and ``delta(x, "1h")`` by
how much it has grown in that time. ``accepted.x`` is the value that was accepted last, ``is_accepted(x)`` whether it is the
same now. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chainwatch.checker.exact import ExactTerms
from chainwatch.checker.parser import Parser
from chainwatch.checker.path import Path
from chainwatch.checker.scope import Read
from chainwatch.checker.syntax import Token
from chainwatch.checker.terms import Term
from chainwatch.config.invariant_values import ACCEPTED, PREVIOUS
from chainwatch.grammar.durations import parse_duration

DELTA, HAS_CHANGED, IS_ACCEPTED = "delta", "has_changed", "is_accepted"
WINDOW_MAX = 366 * 86_400
"""Seconds over which a change may be measured."""
_EARLIER = "@"
"""Begins the name of the values as they were some seconds earlier."""
KEPT_ACCEPTED = f"{_EARLIER}{ACCEPTED}"
"""The name, beside the values of a check, of those that were accepted last before it."""


class NotYet(Exception):
    """A condition reads values of the past that are not known yet."""


def earlier(window: int) -> str:
    """Return the name among a condition's arguments of the values as they were ``window`` seconds earlier."""
    return f"{_EARLIER}{window}"


def is_earlier(name: str) -> bool:
    """Return whether ``name`` is that of values as they were earlier."""
    return name.startswith(_EARLIER)


def window_of(path: Path) -> int | None:
    """Return how many seconds earlier the value at ``path`` is read; None for one of now or of the check before."""
    name = str(path.steps[0])
    return int(name.removeprefix(_EARLIER)) if is_earlier(name) else None


class HistoryParser(Parser):
    """Reads the condition of an invariant."""

    builder = ExactTerms

    def _called(self, name: Token, arguments: Sequence[Term]) -> Term:
        if name.text == HAS_CHANGED:
            return self._compared(name, arguments, PREVIOUS, "({0} != {1})")
        if name.text == IS_ACCEPTED:
            return self._compared(name, arguments, ACCEPTED, "same({0}, {1})")
        if name.text == DELTA:
            return self._delta(name, arguments)
        return super()._called(name, arguments)

    def _compared(self, name: Token, arguments: Sequence[Term], time: str, code: str) -> Term:
        """Return the comparison by ``code`` of a value, a whole array too, with the one of ``time``."""
        if len(arguments) != 1:
            raise self.build.error(
                name.column, f"{name.text} takes one value", f"such as {name.text}(owners)"
            )
        now = arguments[0]
        before = self._at(self._own_path(now, name), time)
        return self._whole(name, self.build.made(code.format(now.code, before), "bool", [now]))

    def _delta(self, name: Token, arguments: Sequence[Term]) -> Term:
        if len(arguments) != 2 or arguments[1].kind != "string" or arguments[1].literal is None:
            hint = f'such as {name.text}(funds, "1h")'
            raise self.build.error(name.column, f"{name.text} takes a value and a time in quotes", hint)
        now, window = arguments
        self.build.require_integer(now, name.text)
        try:
            seconds = parse_duration(window.literal or "")
        except ValueError as error:
            raise self.build.error(window.start, f"expected {error}") from error
        if not 1 <= seconds <= WINDOW_MAX or seconds != int(seconds):
            raise self.build.error(window.start, "a time of whole seconds, up to a year")
        before = self._at(self._own_path(now, name), earlier(int(seconds)))
        return self._whole(name, self.build.made(f"({now.code} - {before})", "int", [now], now.bits + 1))

    def _whole(self, name: Token, term: Term) -> Term:
        return replace(term, start=name.column, end=self.cursor.end)

    def _own_path(self, term: Term, name: Token) -> Path:
        """Return the path that ``term`` is, to a value of now; raises ``ConditionError`` for whatever else."""
        read = next((one for index, one in enumerate(self.reads) if term.code == f"p{index}"), None)
        if read is None or read.path is None or read.path.steps[0] in (PREVIOUS, ACCEPTED):
            what = f"{name.text} takes a value as it was read, not {self.build.text(term)}"
            raise self.build.error(term.start, what, "name the value, or one of its fields or elements")
        return read.path

    def _at(self, path: Path, time: str) -> str:
        """Return the code of the value at ``path`` as it was at ``time``."""
        there = replace(path, text=f"{time}.{path.text}", steps=(time, *path.steps))
        code = "event.args" + "".join(f"[{step!r}]" for step in there.steps)
        return f"p{self._index_of(Read(there.text, False, there, code))}"
