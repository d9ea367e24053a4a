"""The header window is pure: made-up headers in, decisions out."""

from __future__ import annotations

from chainwatch.chain.headers import HeaderWindow, common_ancestor, links
from chainwatch.model import Header


def header(number: int, fork: int = 0, parent_fork: int | None = None) -> Header:
    parent = fork if parent_fork is None else parent_fork
    return Header(
        number, bytes([fork, number]), bytes([parent, number - 1]) if number else b"", 1000 + number
    )


def test_the_window_keeps_the_newest_headers_only() -> None:
    window = HeaderWindow(3, [header(n) for n in range(10)])
    assert [h.number for h in window.newest_first(99)] == [9, 8, 7]
    assert (window.newest, window.oldest, len(window)) == (header(9), header(7), 3)
    assert window.at(8) == header(8)
    assert window.at(6) is None


def test_a_window_with_gaps_keeps_what_is_near_its_newest_block() -> None:
    window = HeaderWindow(100, [header(5), header(90), header(91)])
    window.extend([header(120)])
    assert [h.number for h in window.newest_first(99)] == [91, 90]


def test_rewinding_drops_what_is_above_the_ancestor() -> None:
    window = HeaderWindow(10, [header(n) for n in range(10)])
    window.rewind(header(6))
    window.extend([header(7, fork=1, parent_fork=0)])
    assert [h.hash for h in window.newest_first(99)][:2] == [b"\x01\x07", b"\x00\x06"]


def test_headers_link_when_each_names_the_one_before_as_its_parent() -> None:
    assert links(None, [])
    assert links(None, [header(4)])
    assert links(header(3), [header(4), header(5)])
    assert links(header(3), [header(4, fork=1, parent_fork=0), header(5, fork=1)])


def test_headers_do_not_link_over_a_fork_a_gap_or_a_repetition() -> None:
    assert not links(header(3), [header(4, fork=1)])
    assert not links(None, [header(4), header(5, fork=1)])
    assert not links(header(3), [header(5)])
    assert not links(None, [header(4), header(4)])


def test_the_common_ancestor_is_the_newest_block_of_both() -> None:
    ours = [header(n) for n in range(3, 8)]
    theirs = [header(3), header(4), *(header(n, fork=1) for n in range(5, 9))]
    assert common_ancestor(ours, theirs) == header(4)
    assert common_ancestor(ours, [header(n, fork=1) for n in range(3, 8)]) is None
