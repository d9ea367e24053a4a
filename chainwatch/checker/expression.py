"""The language of ``where``, ``assert`` and computed values: exact on uint256 and int256, checked once, safe.

An expression is text such as ``params.bridgedAmt >= 10**15 and asset != opening.asset`` or ``uint(payload[9:13])``. It is
checked against the event's ABI and compiled to one Python function. It cannot reach Python's objects, call anything but the
functions of the language, compute a number above ``terms.MAX_BITS``, make a value above ``values.MAX_SIZE``, or take
longer than ``terms.MAX_COST``. The user's page is ``docs/conditions.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from chainwatch.checker import calldata
from chainwatch.checker.parser import ContractAddresses, NetworkAttributes, Parser
from chainwatch.checker.path import EvaluationError, Path, compile_path
from chainwatch.checker.scope import Read, Scope
from chainwatch.checker.syntax import ConditionError
from chainwatch.checker.terms import bits_of, bytes_length, describe
from chainwatch.checker.values import RUNTIME
from chainwatch.model import AbiEvent, Event

__all__ = [
    "Condition",
    "ConditionError",
    "EvaluationError",
    "Path",
    "Scope",
    "Value",
    "compile_condition",
    "compile_path",
    "compile_value",
]

MAX_STORED_BITS = 263
"""Of an integer among the facts of an event: those of the sum or difference of some uint256, but not of a product."""

_NO_FACTS: Mapping[str, Any] = {}
_NO_ANSWER = (LookupError, ArithmeticError, ValueError)


def compile_condition(
    source: str,
    event: AbiEvent | Scope,
    opening: AbiEvent | Scope | None = None,
    networks: NetworkAttributes = {},  # noqa: B006  # never changed
    contracts: ContractAddresses = {},  # noqa: B006  # never changed
) -> Condition:
    """Check ``source`` against ``event``, perhaps with its siblings, and compile it.

    With ``opening`` (for ``assert``), ``opening.…`` reads the opening event. ``networks`` are the attributes that
    ``network.…`` reads, by the networks on which the events are watched; ``contracts`` are those whose address
    ``contract(…)`` gives. Raises `ConditionError` that points at the place in the source.
    """
    scopes = _scope(event), None if opening is None else _scope(opening)
    return condition_of(source, Parser(source, *scopes, networks, contracts))


def condition_of(source: str, parser: Parser) -> Condition:
    """Return the condition that ``parser`` reads; raises `ConditionError`."""
    return Condition(source, parser.condition().code, _Code(parser))


def function_of(parser: Parser, code: str) -> Callable[[Event], Any]:
    """Return the function of an event that ``code`` of terms of ``parser`` is; it raises whatever its operators do."""
    compute = _Code(parser).on_event(code)
    return lambda event: compute(event, _NO_FACTS)


def compile_value(
    source: str,
    event: AbiEvent | Scope,
    networks: NetworkAttributes,
    contracts: ContractAddresses = {},  # noqa: B006  # never changed
) -> Value:
    """Check ``source``, a path or an expression of any one value of ``event``, and compile it; raises `ConditionError`."""
    scope = _scope(event)
    event = scope.event
    first = re.match(r"\s*([A-Za-z_$][A-Za-z0-9_$]*)(?:[\s\w$.\]]|\[\s*-?)*$", source)
    if first and any(param.name == first[1] for param in event.inputs):
        path = compile_path(source, event)
        bits, length = bits_of(path.type), bytes_length(path.type)
        return Value(path.text, path.type, path.note, (path,), path, path.reader(), bits, length)
    parser = Parser(source, scope, None, networks, contracts)
    term = parser.value()
    if not parser.reads:
        raise ConditionError(
            "this is the same for every event", source, term.start, "name one of its arguments"
        )
    if term.kind in ("array", "tuple", "list"):
        raise ConditionError(
            f"{source} is {describe(term.type)}; a single value is needed", source, term.start, term.note
        )
    if term.bits > MAX_STORED_BITS:
        what = f"this can have {term.bits} bits, the largest that is stored has {MAX_STORED_BITS}"
        raise ConditionError(what, source, term.start, "uint(…) checks that it fits into 256")
    compute = _Code(parser).on_event(term.code)

    def read(event: Event) -> Any:
        try:
            return compute(event, _NO_FACTS)
        except _NO_ANSWER as error:
            raise _unanswered(source, error) from error

    paths = tuple(read.path for read in parser.reads if read.path is not None)
    return Value(
        source, term.type, term.note, paths, None, read, term.bits, term.length or bytes_length(term.type)
    )


class Value:
    """A compiled value: its text, its ABI type (``int`` for an integer of no stated width), what it reads.

    ``path`` is the plain path that it is; None for a computed one. ``note`` is what an error about the type should add.
    ``read`` gives the value of an event; it raises `EvaluationError`. ``bits`` bounds the size of an integer; ``length`` is
    how many bytes it always has, 0 where that is not known.
    """

    __slots__ = ("bits", "length", "note", "path", "paths", "read", "text", "type")

    def __init__(
        self,
        text: str,
        abi_type: str,
        note: str,
        paths: tuple[Path, ...],
        path: Path | None,
        read: Callable[[Event], Any],
        bits: int,
        length: int,
    ) -> None:
        self.text = text
        self.type = abi_type
        self.note = note
        self.paths = paths
        self.path = path
        self.read = read
        self.bits = bits
        self.length = length


class Condition:
    """A compiled condition. ``paths`` are read from its own event and siblings, ``opening_paths`` from the opening one."""

    __slots__ = ("_on_event", "_on_facts", "_opening", "_own", "opening_paths", "paths", "source")

    def __init__(self, source: str, code: str, compiled: _Code) -> None:
        self.source = source
        self.paths = tuple(r.path for r in compiled.reads if r.path is not None and not r.opening)
        self.opening_paths = tuple(r.path for r in compiled.reads if r.path is not None and r.opening)
        self._on_event = compiled.on_event(code)
        self._on_facts = compiled.on_facts(code)
        self._own, self._opening = compiled.facts(code)

    @property
    def reads_anything(self) -> bool:
        """Whether its value can depend on the event, on where it was seen, or on the opening event."""
        return bool(self.paths or self.opening_paths)

    def __repr__(self) -> str:
        return f"Condition({self.source!r})"

    def evaluate(self, event: Event) -> bool:
        """Return whether the condition holds for ``event``, alone (as ``where`` asks).

        Raises `EvaluationError` when a value it needs is not there: an element past an array's end, a
        division by zero, anything of the opening event.
        """
        try:
            return self._on_event(event, _NO_FACTS)  # type: ignore[no-any-return]  # a condition is a boolean
        except _NO_ANSWER as error:
            raise _unanswered(self.source, error) from error

    def evaluate_facts(self, own: Mapping[str, Any], opening: Mapping[str, Any]) -> bool:
        """Return whether the condition holds for two events whose facts were kept by name (as ``assert`` asks).

        Raises `EvaluationError` as `evaluate` does, and for a fact that is missing.
        """
        try:
            return self._on_facts(own, opening)  # type: ignore[no-any-return]
        except _NO_ANSWER as error:
            raise _unanswered(self.source, error) from error

    def facts(self, event: Event) -> dict[str, Any]:
        """Return what this condition reads from its own event, by path or expression; what is not there is left out."""
        return _collect(self._own, event)

    def opening_facts(self, event: Event) -> dict[str, Any]:
        """Return what this condition reads from the opening event, by path without ``opening.``, or by expression."""
        return _collect(self._opening, event)


_Getters = tuple[tuple[str, Callable[[Event], Any]], ...]
"""By the names of facts, what reads them from an event."""


class _Code:
    """Makes Python functions of the code of one source: its terms know the values that they read as ``p0``, ``p1``, …."""

    def __init__(self, parser: Parser) -> None:
        self.reads: tuple[Read, ...] = tuple(parser.reads)
        constants = {f"k{index}": value for index, value in enumerate(parser.build.constants)}
        self._scope: dict[str, Any] = {"__builtins__": {}, **RUNTIME, **calldata.RUNTIME, **constants}

    def on_event(self, code: str) -> Callable[[Event, Mapping[str, Any]], Any]:
        """Return the function of an event; values of an opening event are never at hand there."""
        return self._function("event, opening", self._expanded(code, missing_opening=True))

    def on_facts(self, code: str) -> Callable[[Mapping[str, Any], Mapping[str, Any]], Any]:
        """Return the function of the facts kept of an event and of its opening one."""
        return self._function("own, opening", _PLACEHOLDER.sub(lambda m: self._from_facts(m[1]), code))

    def facts(self, code: str) -> tuple[_Getters, _Getters]:
        """Return the facts that ``code`` needs, of its own event and of the opening one."""
        needed = [self.reads[n] for n in sorted({int(number) for number in _PLACEHOLDER.findall(code)})]
        getters = [
            (
                read,
                self._function("event", self._expanded(f"p{self.reads.index(read)}", missing_opening=False)),
            )
            for read in needed
        ]
        own = tuple((read.text, get) for read, get in getters if not read.opening)
        return own, tuple((read.text, get) for read, get in getters if read.opening)

    def _expanded(self, code: str, *, missing_opening: bool) -> str:
        def value(match: re.Match[str]) -> str:
            read = self.reads[int(match[1])]
            if read.opening and missing_opening:
                return f"opening[{_named('opening.', read)!r}]"
            if read.path is not None:
                return read.code  # an argument may be called p0
            return self._expanded(read.code, missing_opening=missing_opening)

        return _PLACEHOLDER.sub(value, code)

    def _from_facts(self, number: str) -> str:
        read = self.reads[int(number)]
        return f"{'opening' if read.opening else 'own'}[{read.text!r}]"

    def _function(self, parameters: str, code: str) -> Callable[..., Any]:
        # The text is ours: operators, numbered constants, and names that both tokenizer and ABI let through.
        function: Callable[..., Any] = eval(f"lambda {parameters}: {code}", self._scope)  # noqa: S307
        return function


def _scope(event: AbiEvent | Scope) -> Scope:
    return event if isinstance(event, Scope) else Scope(event)


_PLACEHOLDER = re.compile(r"\bp([0-9]+)\b")


def _named(prefix: str, read: Read) -> str:
    return f"{prefix}{read.text}" if read.path is not None else read.text


def _collect(getters: _Getters, event: Event) -> dict[str, Any]:
    found = {}
    for name, get in getters:
        try:
            found[name] = get(event)
        except _NO_ANSWER:
            continue  # evaluating says so, if the condition really comes to need it
    return found


def _unanswered(source: str, error: Exception) -> EvaluationError:
    match error:
        case KeyError():
            reason = f"there is no value for {error.args[0]}"
        case IndexError():
            reason = "an array has no element there"
        case ZeroDivisionError():
            reason = "division by zero"
        case _:
            reason = str(error)
    return EvaluationError(f"cannot evaluate `{source}`: {reason}")
