"""Exact fractions, where expressions may have them: ``/`` never rounds, and ``10**decimals`` may read the decimals."""

from __future__ import annotations

from chainwatch.checker.syntax import Token
from chainwatch.checker.terms import MAX_BITS, Term, TermBuilder

_COST = 5.0
"""Microseconds to divide the largest integers as a fraction."""
_EXPONENT, _EXPONENT_MAX = "uint8", 255


def divide(build: TermBuilder, token: Token, left: Term, right: Term) -> Term:
    """Return ``left / right`` as an exact fraction; raises `ConditionError` where that is not possible."""
    for term in (left, right):
        build.require_integer(term, token.text)
    if right.value == 0:
        raise build.error(right.start, "division by zero")
    bits = _bounded(build, token, left.bits + right.bits)
    return build.made(f"ratio({left.code}, {right.code})", "int", [left, right], bits, cost=_COST)


def is_power(base: Term, exponent: Term) -> bool:
    """Return whether `power` applies: to a constant, and an exponent that is read and small."""
    return base.value is not None and exponent.type == _EXPONENT and exponent.value is None


def power(build: TermBuilder, token: Token, base: Term, exponent: Term) -> Term:
    """Return ``base ** exponent``; raises `ConditionError` where the result may be too large."""
    bits = _bounded(build, token, max(1, base.bits) * _EXPONENT_MAX)
    return build.made(f"({base.code} ** {exponent.code})", "int", [base, exponent], bits, cost=_COST)


def _bounded(build: TermBuilder, token: Token, bits: int) -> int:
    if bits > MAX_BITS:
        raise build.error(token.column, f"the result can have {bits} bits", f"the largest has {MAX_BITS}")
    return bits
