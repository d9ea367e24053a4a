"""How tables look: in a terminal, in a pipe."""

import io

import click
import pytest

from chainwatch.commands.show.terminal import details, fitted, table

KEY = "0x" + "ab" * 32 + "/" + "9" * 78


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard output from now on: a terminal of 60 columns."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    return terminal


def test_a_list_in_a_narrow_terminal_has_one_line_a_row_and_cuts_the_longest_cells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    narrow = narrow_terminal(monkeypatch)
    table(("id", "state", "key", "summary"), [(n, "overdue", KEY, "late " * 20) for n in range(3)])
    rows = [line for line in click.unstyle(narrow.getvalue()).splitlines() if "overdue" in line]
    assert len(rows) == 3
    assert all(len(line) <= 60 for line in rows)
    assert all(line.count("…") == 2 for line in rows)


def test_details_in_a_narrow_terminal_go_on_in_the_next_line_and_nothing_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    narrow = narrow_terminal(monkeypatch)
    details(("key",), [(KEY,)])
    out = narrow.getvalue()
    assert KEY in "".join(line.strip() for line in out.splitlines())
    assert "…" not in out


def test_details_of_several_columns_that_do_not_fit_become_paragraphs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    narrow = narrow_terminal(monkeypatch)
    why = "it goes only where a route names it, and no route of this configuration does"
    details(
        ("receiver", "notified", "why", "route"),
        [("ops", False, why, ""), ("pager", True, "delivered", "{}")],
    )
    assert [line.rstrip() for line in click.unstyle(narrow.getvalue()).splitlines()] == [
        "",
        " receiver: ops",
        "   notified: no",
        "   why: it goes only where a route names it, and no route of",
        "   this configuration does",
        "",
        " receiver: pager",
        "   notified: yes",
        "   why: delivered",
        "   route: {}",
    ]


def test_a_tab_or_newline_of_a_chain_adds_no_cell_and_no_row(capsys: pytest.CaptureFixture[str]) -> None:
    table(("a", "b"), [("x\ty\nz", 1)])
    assert capsys.readouterr().out == "a\tb\nx\\ty\\nz\t1\n"


def test_a_pipe_gets_whole_cells_between_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    table(("id", "key"), [(1, KEY)])
    assert capsys.readouterr().out == f"id\tkey\n1\t{KEY}\n"


@pytest.mark.parametrize(
    ("widths", "available", "expected"),
    [
        ([5, 5], 10, [5, 5]),
        ([5, 20], 15, [5, 10]),
        ([20, 20], 15, [8, 7]),
        ([3, 30, 10], 20, [3, 8, 9]),
        ([9, 9], 1, [1, 1]),
        ([], 5, []),
    ],
)
def test_the_widest_columns_are_shortened_first(
    widths: list[int], available: int, expected: list[int]
) -> None:
    assert sorted(fitted(widths, available)) == sorted(expected)
    assert sum(fitted(widths, available)) <= max(available, len(widths))


def test_what_is_unknown_is_a_dash_and_flags_are_words(capsys: pytest.CaptureFixture[str]) -> None:
    table(("a", "b", "c", "d"), [(None, True, False, 1)])
    assert capsys.readouterr().out.splitlines()[-1].split() == ["–", "yes", "no", "1"]
