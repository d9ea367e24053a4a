"""Exact fractions, where expressions may have them: ``/`` never rounds, and ``10**decimals`` may read the decimals."""

from __future__ import annotations

from chainwatch.checker.syntax import Token
from chainwatch.checker.terms import MAX_BITS, Term, TermBuilder

_COST = 5.0
"""Microseconds to divide the largest integers as a fraction."""
_EXPONENT, _EXPONENT_MAX = "uint8", 255


class ExactTerms(TermBuilder):
    """Terms of which ``/`` is an exact fraction, and ``**`` takes a constant and an exponent that is read and small."""

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
