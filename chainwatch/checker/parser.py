"""The grammar of conditions: source text to one typed `Term` and the values it reads."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

from chainwatch.checker.path import Path, Step, parse_steps, resolve
from chainwatch.checker.syntax import ConditionError, Cursor
from chainwatch.checker.terms import MAX_DEPTH, Term, TermBuilder
from chainwatch.model import AbiEvent, AbiParam, Event

OPENING = "opening"
"""The prefix under which an ``assert`` reads the opening event."""

_PLACE = (
    AbiParam("block", "tuple", components=(AbiParam("number", "uint256"), AbiParam("timestamp", "uint256"))),
    AbiParam("network", "string"),
)
"""What is known of an event beside its arguments, which win where the names meet."""

_PLACE_ATTRIBUTES = {
    "block.number": "log.block_number",
    "block.timestamp": "log.timestamp",
    "network": "network",
}
"""The same as attributes of `chainwatch.model.Event`."""

_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")

_HINTS = {
    "is": "write `==`",
    "if": "join conditions by `and`, `or`, `not`",
    "AND": "write `and`",
    "OR": "write `or`",
}


@dataclass(frozen=True)
class Read:
    """One value that a condition reads, from the args or from where the event was seen (``attribute``)."""

    path: Path
    opening: bool
    attribute: str | None

    def get(self, event: Event) -> Any:
        """Return the value in ``event``; raises `EvaluationError`."""
        if self.attribute:
            return operator.attrgetter(self.attribute)(event)
        return self.path.get(event.args)


class Parser:
    """Reads a condition by the precedence of Python's operators; ``reads`` are the values it needs."""

    def __init__(self, source: str, event: AbiEvent, opening: AbiEvent | None) -> None:
        self.cursor = Cursor(source)
        self.build = TermBuilder(source)
        self.reads: list[Read] = []
        self._source = source
        self._event = event
        self._opening = opening
        self._nesting = 0

    def condition(self) -> Term:
        """Return the whole source as one boolean; raises `ConditionError`."""
        term = self._either()
        if self.cursor.token.kind != "end":
            raise self._unexpected("an operator")
        self.build.require_boolean(term, "a condition")
        return term

    def _either(self) -> Term:
        self._enter()
        operands = [self._both()]
        while self.cursor.accept("or"):
            operands.append(self._both())
        self._nesting -= 1
        return operands[0] if len(operands) == 1 else self.build.logic("or", operands)

    def _both(self) -> Term:
        operands = [self._negation()]
        while self.cursor.accept("and"):
            operands.append(self._negation())
        return operands[0] if len(operands) == 1 else self.build.logic("and", operands)

    def _negation(self) -> Term:
        words = []
        while word := self.cursor.accept("not"):
            words.append(word)
        term = self._comparison()
        for word in reversed(words):
            term = self.build.negation(term, word.column)
        return term

    def _comparison(self) -> Term:
        operands = [self._sum()]
        operators = []
        while operator_token := self.cursor.accept(*_COMPARISONS):
            operators.append(operator_token)
            operands.append(self._sum())
        if self.cursor.at("in", "not"):
            return self._membership(operands)
        return self.build.comparison(operands, operators) if operators else operands[0]

    def _membership(self, operands: list[Term]) -> Term:
        word = self.cursor.take()
        if word.text == "not":
            self.cursor.expect("name", "in", "`in` after `not`")
        if len(operands) > 1:
            message = "`in` cannot stand in a row with other comparisons"
            raise self.cursor.error(word.column, message, "join the two by `and`")
        right = self._sum()
        return self.build.membership(operands[0], right, negated=word.text == "not", column=word.column)

    def _sum(self) -> Term:
        term = self._product()
        while token := self.cursor.accept("+", "-"):
            term = self.build.arithmetic(token, term, self._product())
        return term

    def _product(self) -> Term:
        term = self._signed()
        while token := self.cursor.accept("*", "//", "%", "/"):
            term = self.build.arithmetic(token, term, self._signed())
        return term

    def _signed(self) -> Term:
        signs = []
        while sign := self.cursor.accept("-", "+"):
            signs.append(sign)
        term = self._power()
        for sign in reversed(signs):
            term = self.build.signed(term, sign)
        return term

    def _power(self) -> Term:
        base = self._atom()
        if self.cursor.at(".", "["):
            message = "only the event's arguments have fields and elements"
            raise self.cursor.error(self.cursor.token.column, message)
        token = self.cursor.accept("**")
        if token is None:
            return base
        self._enter()
        exponent = self._signed()
        self._nesting -= 1
        return self.build.arithmetic(token, base, exponent)

    def _atom(self) -> Term:
        token = self.cursor.token
        if token.kind in ("number", "hex"):
            return self.build.integer(self.cursor.take())
        if token.kind == "string":
            return self.build.string(self.cursor.take())
        if self.cursor.at("true", "false", "True", "False"):
            return self.build.boolean(self.cursor.take())
        if self.cursor.at("(", "["):
            return self._group()
        if token.kind == "name" and token.text not in ("and", "or", "not", "in"):
            return self._field_or_call()
        raise self._unexpected("a value")

    def _group(self) -> Term:
        bracket = self.cursor.take()
        items, commas = self._items(")" if bracket.text == "(" else "]")
        if bracket.text == "(" and not commas and items:
            return items[0]
        if not items:
            raise self.cursor.error(bracket.column, "an empty list")
        return self.build.listing(items, bracket.column, self.cursor.end)

    def _items(self, closing: str) -> tuple[list[Term], int]:
        """Return the terms up to the ``closing`` bracket, which is taken, and how many commas there were."""
        items: list[Term] = []
        commas = 0
        while not self.cursor.at(closing):
            items.append(self._either())
            if not self.cursor.accept(","):
                break
            commas += 1
        self.cursor.expect("operator", closing, f"an operator or `{closing}`")
        return items, commas

    def _field_or_call(self) -> Term:
        start = self.cursor.token
        steps = parse_steps(self.cursor)
        if self.cursor.at("("):
            if len(steps) > 1:
                raise self.cursor.error(steps[-1].column, "values have no methods")
            self.cursor.take()
            arguments, _ = self._items(")")
            return self.build.call(start, arguments, self.cursor.end)
        index = self._read(steps)
        return self.build.field(index, self.reads[index].path, start.column, self.cursor.end)

    def _read(self, steps: list[Step]) -> int:
        """Return the number under which the condition reads the value at ``steps``."""
        event, opening = self._event, False
        if steps[0].key == OPENING and self._opening is not None:
            event, opening = self._opening, True
            steps = self._within_opening(steps)
        named = {param.name for param in event.inputs}
        if steps[0].key == OPENING and OPENING not in named:
            hint = "`opening` belongs to an `assert`"
            raise self.cursor.error(steps[0].column, "there is no opening event here", hint)
        fields = event.inputs + tuple(param for param in _PLACE if param.name not in named)
        owner = f"{OPENING} ({event.name})" if opening else event.name
        path = resolve(self._source, steps, fields, owner)
        attribute = None if steps[0].key in named else _PLACE_ATTRIBUTES.get(path.text)
        read = Read(path, opening, attribute)
        if read not in self.reads:
            self.reads.append(read)
        return self.reads.index(read)

    def _within_opening(self, steps: list[Step]) -> list[Step]:
        reserved = f"`{OPENING}` is the opening event in an `assert`"
        if any(field.name == OPENING for field in self._event.inputs):
            reserved += f"; the argument {OPENING} of {self._event.name} cannot be read here"
        if len(steps) == 1 or isinstance(steps[1].key, int):
            raise self.cursor.error(steps[0].column, f"name a field of {OPENING}", reserved)
        return steps[1:]

    def _enter(self) -> None:
        self._nesting += 1
        if self._nesting > MAX_DEPTH:
            message = f"more than {MAX_DEPTH} operations inside one another"
            raise self.cursor.error(self.cursor.token.column, message, "split the condition")

    def _unexpected(self, wanted: str) -> ConditionError:
        token = self.cursor.token
        message = f"expected {wanted}, not {self.cursor.shown()}"
        return self.cursor.error(token.column, message, _HINTS.get(token.text, ""))
