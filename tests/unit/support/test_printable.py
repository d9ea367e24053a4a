"""Text from outside, on one line and with nothing hidden in it."""

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.support.printable import clean, json_clean

HIDING = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


@pytest.mark.slow
def test_no_character_that_is_not_seen_or_ends_a_line_gets_through() -> None:
    for first in range(0, sys.maxunicode + 1, 256):
        shown = clean("".join(map(chr, range(first, first + 256))))
        assert not any(unicodedata.category(one) in HIDING for one in shown), hex(first)
        assert len(f"a{shown}b".splitlines()) == 1, hex(first)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a\n P0  FIRING x", r"a\n P0  FIRING x"),
        ("\x1b[2J\x9b1m\r\t\0", r"\x1b[2J\x9b1m\r\t\x00"),
        ("\u200b\u200f\u061c\u2028\u2029\u202e", r"\u200b\u200f\u061c\u2028\u2029\u202e"),
        ("\ufeff\U000e0041\ufe0f\U000e0100", r"\ufeff\U000e0041\ufe0f\U000e0100"),
        ("\u3164\u2800\u115f", r"\u3164\u2800\u115f"),
        ("\ud800", r"\ud800"),
        ("1\u00a0000\u3000€ Ünïcode 漢字 🔥", "1 000 € Ünïcode 漢字 🔥"),
    ],
)
def test_what_is_hidden_is_shown_as_an_escape(given: str, shown: str) -> None:
    assert clean(given) == shown
    assert clean(shown) == shown


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_says_the_same_and_hides_nothing(value: object) -> None:
    written = json_clean(json.dumps(value, indent=2, ensure_ascii=False))
    assert json.loads(written) == value
    assert not any(unicodedata.category(one) in HIDING and one != "\n" for one in written)


def test_json_keeps_half_a_surrogate_pair_as_an_escape() -> None:
    written = json_clean(json.dumps("\ud800\x9b\U000e0041", ensure_ascii=False))
    assert written == r'"\ud800\u009b\udb40\udc41"'
