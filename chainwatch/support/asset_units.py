"""Amounts in units of their asset, such as ``42 USDC``, and which symbols may stand beside a number. Pure."""

from __future__ import annotations

import unicodedata

from chainwatch.support.printable import clean

SYMBOL_MAX = 32
"""The most characters of a symbol."""
DECIMALS_MAX = 77
"""The most decimals: with more, no uint256 is a whole unit."""

_LEFT_TO_RIGHT = frozenset({"L", "EN", "ES", "ET", "CS", "ON", "BN"})
"""Bidirectional classes that leave the order of the characters around them as it is."""


def is_symbol(text: str) -> bool:
    """Return whether ``text`` can be a symbol: short, without blanks, nothing in it hidden, stacked or written leftwards."""
    return 0 < len(text) <= SYMBOL_MAX and clean(text) == text and all(map(_is_plain, text))


def in_units(amount: int, symbol: str, decimals: int) -> str:
    """Return ``amount``, in the asset's smallest units, as an exact number of whole units: ``1,234.5 USDC``.

    A symbol that could be taken for more digits is in quotes: ``42 "000X"``.
    """
    whole, rest = divmod(abs(amount), 10**decimals)
    fraction = f"{rest:0{decimals}d}".rstrip("0") if rest else ""
    number = f"{'-' if amount < 0 else ''}{whole:,}{'.' if fraction else ''}{fraction}"
    return f"{number} {symbol if symbol[:1].isalpha() else _quoted(symbol)}"


def _quoted(symbol: str) -> str:
    return f'"{symbol}"'


def _is_plain(char: str) -> bool:
    return (
        not char.isspace()
        and unicodedata.category(char)[0] != "M"
        and unicodedata.bidirectional(char) in _LEFT_TO_RIGHT
    )
