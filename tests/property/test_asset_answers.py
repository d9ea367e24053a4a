"""Whatever a contract answers for its symbol and decimals is a symbol and a number that can be shown, or nothing."""

from __future__ import annotations

from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.alerting.providers.text import markdown
from chainwatch.chain.erc20 import parse_decimals, parse_symbol
from chainwatch.support.asset_units import DECIMALS_MAX, SYMBOL_MAX, in_units, is_symbol
from chainwatch.support.printable import clean

WORD = st.binary(min_size=32, max_size=32) | st.integers(0, 2**256 - 1).map(lambda n: n.to_bytes(32, "big"))
ANY = (
    st.binary(max_size=300)
    | st.lists(WORD | st.just((32).to_bytes(32, "big")), max_size=6).map(b"".join)
    | st.text().map(lambda text: encode(["string"], [text]))
)


@given(ANY)
def test_whatever_is_answered_is_a_symbol_that_can_be_shown_or_none(returned: bytes) -> None:
    symbol = parse_symbol(returned)
    assert symbol is None or (is_symbol(symbol) and len(symbol) <= SYMBOL_MAX and clean(symbol) == symbol)


@given(ANY)
def test_whatever_is_answered_are_decimals_that_can_be_shown_or_none(returned: bytes) -> None:
    decimals = parse_decimals(returned)
    assert decimals is None or 0 <= decimals <= DECIMALS_MAX


@given(ANY, st.integers(0, 2**256 - 1), st.integers(0, DECIMALS_MAX))
def test_an_amount_beside_any_symbol_is_one_line_without_markup(
    returned: bytes, amount: int, decimals: int
) -> None:
    symbol = parse_symbol(returned)
    if symbol is not None:
        shown = in_units(amount, symbol, decimals)
        assert clean(shown) == shown
        assert "@" not in markdown(shown)
        assert "](" not in markdown(shown).replace("\\]", "")


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=SYMBOL_MAX))
def test_a_plain_symbol_is_read_as_string_and_as_bytes32(symbol: str) -> None:
    assert parse_symbol(encode(["string"], [symbol])) == symbol
    assert parse_symbol(symbol.encode().ljust(32, b"\0")) == symbol


@given(st.integers(0, 2**256 - 1))
def test_decimals_that_fit_are_read_and_others_are_none(number: int) -> None:
    assert parse_decimals(encode(["uint256"], [number])) == (number if number <= DECIMALS_MAX else None)


def test_a_megabyte_is_no_symbol() -> None:
    assert parse_symbol(encode(["string"], ["X" * 1_000_000])) is None
    assert parse_symbol(b"X" * 1_000_000) is None
