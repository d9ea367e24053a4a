"""Amounts in units of their asset: exact, readable, and never taken for another number."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.support.asset_units import DECIMALS_MAX, SYMBOL_MAX, in_units, is_symbol


@pytest.mark.parametrize(
    ("amount", "decimals", "shown"),
    [
        (42_000_000, 6, "42 X"),
        (42_500_000, 6, "42.5 X"),
        (1, 18, "0.000000000000000001 X"),
        (0, 18, "0 X"),
        (-1_500, 3, "-1.5 X"),
        (1_234_567_890, 0, "1,234,567,890 X"),
        (10**77, 77, "1 X"),
        (
            2**256 - 1,
            18,
            "115,792,089,237,316,195,423,570,985,008,687,907,853,269,984,665,640,564,039,457.584007913129639935 X",
        ),
    ],
)
def test_an_amount_is_exact_without_needless_zeros(amount: int, decimals: int, shown: str) -> None:
    assert in_units(amount, "X", decimals) == shown


@given(st.integers(-(2**255), 2**256 - 1), st.integers(0, DECIMALS_MAX))
def test_every_amount_is_the_same_number(amount: int, decimals: int) -> None:
    number, symbol = in_units(amount, "USDC", decimals).split(" ")
    assert symbol == "USDC"
    assert Fraction(number.replace(",", "")) == Fraction(amount, 10**decimals)
    assert not ("." in number and number.endswith("0"))


@pytest.mark.parametrize("symbol", ["USDC", "USD₮0", "1INCH", "$WIF", "Cake-LP", "USDC.e", "Ξ"])
def test_symbols_that_assets_have_are_taken(symbol: str) -> None:
    assert is_symbol(symbol)


@pytest.mark.parametrize(
    "symbol",
    [
        "",
        "US DC",
        "A\nB",
        "A\u202eB",
        "A\u200bB",
        "X" * (SYMBOL_MAX + 1),
        "a\u0301\u0301",
        "\x1b[31m",
        "\u05d0",
    ],
)
def test_what_hides_stacks_or_turns_text_is_no_symbol(symbol: str) -> None:
    assert not is_symbol(symbol)


def test_a_symbol_of_digits_does_not_lengthen_the_number() -> None:
    assert in_units(42, "000X", 0) == '42 "000X"'
    assert in_units(42, ".5X", 0) == '42 ".5X"'
