"""By how much the two sides of a comparison differ, in units of their asset where that is known. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from chainwatch.checker.exact import ExactTerms
from chainwatch.checker.expression import function_of
from chainwatch.checker.invariants.history_parser import HistoryParser, NotYet
from chainwatch.checker.terms import Term
from chainwatch.model import Event
from chainwatch.support.asset_units import in_units

PLACES = 18
"""Decimals that are shown of a fraction."""


class Unit(NamedTuple):
    """What amounts are counted in: the symbol and the decimals of a whole unit."""

    symbol: str
    decimals: int


@dataclass(frozen=True)
class Comparison:
    """A comparison of two integers: their texts, their difference, and the unit of both."""

    left: str
    right: str
    compare: Callable[[Event], bool]
    subtract: Callable[[Event], Any]
    """Returns left - right: an integer or a fraction. Raises whatever operators do."""
    unit: Unit | None

    def describe(self, event: Event) -> str:
        """Return by how much the sides differ; empty where the comparison holds, or there is no answer."""
        try:
            difference = 0 if self.compare(event) else self.subtract(event)
        except (LookupError, ArithmeticError, ValueError, TypeError, AttributeError, NotYet):
            return ""
        if not difference:
            return ""
        than = "less" if difference < 0 else "more"
        return f"{self.left} is {_shown(abs(difference), self.unit)} {than} than {self.right}"


def comparisons(parser: HistoryParser, source: str, units: Mapping[str, Unit | None]) -> list[Comparison]:
    """Return the comparisons of ``source``, which ``parser`` has read; none where more than ``and`` joins them.

    ``units`` are those of the values, by name.
    """
    build = parser.build
    if not isinstance(build, ExactTerms) or not build.is_plain:
        return []
    return [
        Comparison(
            source[left.start : left.end],
            source[right.start : right.end],
            function_of(parser, f"({left.code}) {operator} ({right.code})"),
            function_of(parser, f"({left.code}) - ({right.code})"),
            _common(parser, (left, right), units),
        )
        for left, operator, right in build.compared
    ]


def _common(parser: HistoryParser, terms: Iterable[Term], units: Mapping[str, Unit | None]) -> Unit | None:
    """Return the unit of all values that ``terms`` read; None where there is not one."""
    code = " ".join(term.code for term in terms)
    found: set[Unit | None] = set()
    while numbers := {int(number) for number in re.findall(r"\bp([0-9]+)\b", code)}:
        code = ""
        for read in (parser.reads[number] for number in sorted(numbers)):
            if read.path is None:
                code += f" {read.code}"
            else:
                found.add(units.get(str(next((s for s in read.path.steps if s in units), ""))))
    return found.pop() if len(found) == 1 else None


def _shown(amount: int | Fraction, unit: Unit | None) -> str:
    if isinstance(amount, Fraction) and amount.denominator != 1:
        digits = round(amount * 10**PLACES)
        whole, rest = divmod(digits, 10**PLACES)
        return f"{whole}.{rest:0{PLACES}d}".rstrip("0").rstrip(".")
    return str(int(amount)) if unit is None else in_units(int(amount), unit.symbol, unit.decimals)
