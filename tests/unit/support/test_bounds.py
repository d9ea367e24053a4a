"""Texts of any size, cut."""

import pytest

from chainwatch.support.bounds import LABEL_MAX, beginning, cut


@pytest.mark.parametrize("char", ["x", "é", "€", "\U0001f600", "\ud800"])
def test_a_text_that_is_cut_fits_and_ends_with_a_whole_character(char: str) -> None:
    for length in range(LABEL_MAX // 4 - 1, LABEL_MAX + 5):
        given = char * length
        got = cut(given, LABEL_MAX)
        if len(given.encode(errors="surrogatepass")) <= LABEL_MAX:
            assert got == given
        else:
            assert len(got.encode(errors="surrogatepass")) <= LABEL_MAX
            kept = beginning(got)
            assert kept is not None
            assert given.startswith(kept)
            assert cut(got, LABEL_MAX) == got


def test_texts_that_differ_at_their_end_only_stay_different() -> None:
    whole = "x" * 99_000
    assert len({cut(whole + end, LABEL_MAX) for end in ("", "a", "b", "ab")}) == 4


@pytest.mark.parametrize("text", ["", "0x12", "x…#12", "x…#" + "g" * 32])
def test_what_was_not_cut_is_not_taken_for_it(text: str) -> None:
    assert beginning(text) is None
