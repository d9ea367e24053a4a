"""Exact fractions, where expressions may have them: ``/`` never rounds, and ``10**decimals`` may read the decimals."""

from __future__ import annotations

from collections.abc import Sequence

from chainwatch.checker.syntax import Token
from chainwatch.checker.terms import MAX_BITS, Term, TermBuilder

_COST = 5.0
"""Microseconds to divide the largest integers as a fraction."""
_EXPONENT, _EXPONENT_MAX = "uint8", 255


class ExactTerms(TermBuilder):
    """Terms of which ``/`` is an exact fraction, and ``**`` takes a constant and an exponent that is read and small.

    ``compared`` are its comparisons of two integers with their operators; ``is_plain`` whether these are joined by nothing
    but ``and``.
    """

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.compared: list[tuple[Term, str, Term]] = []
        self.is_plain = True

    def comparison(self, operands: Sequence[Term], operators: Sequence[Token]) -> Term:
        """See `TermBuilder.comparison`."""
        made = super().comparison(operands, operators)
        for left, right, token in zip(operands, operands[1:], operators, strict=False):
            if left.kind == right.kind == "integer" and token.text != "!=":
                self.compared.append((left, token.text, right))
        return made

    def logic(self, word: str, operands: Sequence[Term]) -> Term:
        """See `TermBuilder.logic`."""
        self.is_plain = self.is_plain and word == "and"
        return super().logic(word, operands)

    def negation(self, operand: Term, start: int) -> Term:
        """See `TermBuilder.negation`."""
        self.is_plain = False
        return super().negation(operand, start)

    def arithmetic(self, token: Token, left: Term, right: Term) -> Term:
        """See `TermBuilder.arithmetic`."""
        if token.text == "/":
            return self._divide(token, left, right)
        if token.text == "**" and left.value is not None and right.type == _EXPONENT and right.value is None:
            bits = self._bounded(token, max(1, left.bits) * _EXPONENT_MAX)
            return self.made(f"({left.code} ** {right.code})", "int", [left, right], bits, cost=_COST)
        return super().arithmetic(token, left, right)

    def _divide(self, token: Token, left: Term, right: Term) -> Term:
        for term in (left, right):
            self.require_integer(term, token.text)
        if right.value == 0:
            raise self.error(right.start, "division by zero")
        bits = self._bounded(token, left.bits + right.bits)
        return self.made(f"ratio({left.code}, {right.code})", "int", [left, right], bits, cost=_COST)

    def _bounded(self, token: Token, bits: int) -> int:
        if bits > MAX_BITS:
            raise self.error(token.column, f"the result can have {bits} bits", f"the largest has {MAX_BITS}")
        return bits
