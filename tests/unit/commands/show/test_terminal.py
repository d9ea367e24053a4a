"""How tables look: in a terminal, in a pipe."""

import io

import pytest

from chainwatch.commands.show.terminal import table

KEY = "0x" + "ab" * 32 + "/" + "9" * 78


def test_a_narrow_terminal_folds_long_keys_and_cuts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.delenv("NO_COLOR", raising=False)
    table(("key",), [(KEY,)])
    assert KEY in "".join(line.strip() for line in terminal.getvalue().splitlines())
    assert "…" not in terminal.getvalue()


def test_what_is_unknown_is_a_dash_and_flags_are_words(capsys: pytest.CaptureFixture[str]) -> None:
    table(("a", "b", "c", "d"), [(None, True, False, 1)])
    assert capsys.readouterr().out.splitlines()[-2].split() == ["–", "yes", "no", "1"]
