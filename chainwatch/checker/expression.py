"""The condition language of ``where`` and ``assert``: exact on uint256 and int256, checked once, safe.

A condition is text such as ``params.bridgedAmt >= 10**15 and asset != opening.asset``. It is checked against
the event's ABI and compiled to one Python function. It cannot reach Python's objects, call anything but the
five functions of the language, or compute a number above ``terms.MAX_BITS``. The user's page is
``docs/conditions.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from chainwatch.checker.parser import Parser, Read
from chainwatch.checker.path import EvaluationError, Path, compile_path
from chainwatch.checker.syntax import ConditionError
from chainwatch.checker.terms import FUNCTIONS
from chainwatch.model import AbiEvent, Event

__all__ = ["Condition", "ConditionError", "EvaluationError", "Path", "compile_condition", "compile_path"]

_NO_FACTS: Mapping[str, Any] = {}


def compile_condition(source: str, event: AbiEvent, opening: AbiEvent | None = None) -> Condition:
    """Check ``source`` against ``event`` and compile it.

    With ``opening`` (for ``assert``), ``opening.…`` reads the opening event. Raises `ConditionError` that
    points at the place in the source.
    """
    parser = Parser(source, event, opening)
    code = parser.condition().code
    reads = parser.reads
    names: dict[str, Any] = {f"k{index}": value for index, value in enumerate(parser.build.constants)}
    return Condition(
        source,
        tuple(read.path for read in reads if not read.opening),
        tuple(read.path for read in reads if read.opening),
        _function("event, opening", code, [_from_event(read) for read in reads], names),
        _function("own, opening", code, [_from_facts(read) for read in reads], names),
        tuple(reads),
    )


class Condition:
    """A compiled condition. ``paths`` are read from its own event, ``opening_paths`` from the opening one."""

    __slots__ = ("_on_event", "_on_facts", "_reads", "opening_paths", "paths", "source")

    def __init__(
        self,
        source: str,
        paths: tuple[Path, ...],
        opening_paths: tuple[Path, ...],
        on_event: Callable[[Event, Mapping[str, Any]], bool],
        on_facts: Callable[[Mapping[str, Any], Mapping[str, Any]], bool],
        reads: tuple[Read, ...],
    ) -> None:
        self.source = source
        self.paths = paths
        self.opening_paths = opening_paths
        self._on_event = on_event
        self._on_facts = on_facts
        self._reads = reads

    @property
    def reads_anything(self) -> bool:
        """Whether its value can depend on the event, on where it was seen, or on the opening event."""
        return bool(self._reads)

    def __repr__(self) -> str:
        return f"Condition({self.source!r})"

    def evaluate(self, event: Event) -> bool:
        """Return whether the condition holds for ``event``, alone (as ``where`` asks).

        Raises `EvaluationError` when a value it needs is not there: an element past an array's end, a
        division by zero, anything of the opening event.
        """
        try:
            return self._on_event(event, _NO_FACTS)
        except (LookupError, ZeroDivisionError, ValueError) as error:
            raise self._unanswered(error) from error

    def evaluate_facts(self, own: Mapping[str, Any], opening: Mapping[str, Any]) -> bool:
        """Return whether the condition holds for two events whose facts were kept by path (as ``assert`` asks).

        Raises `EvaluationError` as `evaluate` does, and for a fact that is missing.
        """
        try:
            return self._on_facts(own, opening)
        except (LookupError, ZeroDivisionError, ValueError) as error:
            raise self._unanswered(error) from error

    def facts(self, event: Event) -> dict[str, Any]:
        """Return what this condition reads from its own event, by path; elements that are not there are left out."""
        return self._collect(event, opening=False)

    def opening_facts(self, event: Event) -> dict[str, Any]:
        """Return what this condition reads from the opening event, by path without ``opening.``."""
        return self._collect(event, opening=True)

    def _collect(self, event: Event, *, opening: bool) -> dict[str, Any]:
        found = {}
        for read in self._reads:
            if read.opening == opening:
                try:
                    found[read.path.text] = read.get(event)
                except EvaluationError:
                    continue  # evaluating says so, if the condition really comes to need it
        return found

    def _unanswered(self, error: Exception) -> EvaluationError:
        match error:
            case KeyError():
                reason = f"there is no value for {error.args[0]}"
            case IndexError():
                reason = "an array has no element there"
            case ZeroDivisionError():
                reason = "division by zero"
            case _:
                reason = str(error)
        return EvaluationError(f"cannot evaluate `{self.source}`: {reason}")


def _from_event(read: Read) -> str:
    """Return Python code that reads it from ``event``; facts of an opening event are never at hand there."""
    if read.opening:
        return f"opening[{'opening.' + read.path.text!r}]"
    if read.attribute:
        return f"event.{read.attribute}"
    return "event.args" + "".join(f"[{step!r}]" for step in read.path.steps)


def _from_facts(read: Read) -> str:
    """Return Python code that reads it from the facts kept."""
    return f"{'opening' if read.opening else 'own'}[{read.path.text!r}]"


def _function(parameters: str, code: str, reads: list[str], names: Mapping[str, Any]) -> Callable[..., bool]:
    """Return the Python function of ``code`` with its fields ``p0``, ``p1``, … replaced by what reads them."""
    body = re.sub(r"\bp([0-9]+)\b", lambda match: reads[int(match[1])], code)
    scope = {"__builtins__": {}, **FUNCTIONS, **names}
    # The text is ours: operators, numbered constants, and names that both tokenizer and ABI let through.
    function: Callable[..., bool] = eval(f"lambda {parameters}: {body}", scope)  # noqa: S307
    return function
