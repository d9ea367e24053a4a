"""`chainwatch top` in a pseudo-terminal: what it draws, its keys, and how it ends."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chainwatch.operations import alert_details
from chainwatch.operations.context import Access, open_access
from tests.support.operating import raise_alert
from tests.support.waiting import PATIENCE

CONFIG = """
[store]
url = "sqlite:///chainwatch.db"

[receivers.ops]
provider = "console"

[[routes]]
receivers = ["ops"]
"""
ALTERNATE, NORMAL = "\x1b[?1049h", "\x1b[?1049l"


class Terminal:
    """A pseudo-terminal in which a command runs; `drawn` is all that it has written."""

    def __init__(self, master: int, slave: int, process: subprocess.Popen[bytes]) -> None:
        self.master, self.slave, self.process = master, slave, process
        self.drawn = ""

    def until(self, text: str) -> str:
        """What was drawn since the last such call, up to `text` and all that came with it."""
        end, since = time.monotonic() + PATIENCE, len(self.drawn)
        while text not in self.drawn[since:]:
            ready, _, _ = select.select([self.master], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"{text!r} was not drawn: {self.drawn[since:]!r}"
            self.drawn += os.read(self.master, 65_536).decode("utf-8", "replace")
        return self.drawn[since:]

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def close(self) -> None:
        if self.master >= 0:
            os.close(self.master)
        self.master = -1

    @property
    def mode(self) -> list[Any]:
        return termios.tcgetattr(self.slave)

    def ended(self) -> int:
        """The exit code; the terminal shows again what it showed before, in its former mode."""
        if NORMAL not in self.drawn:
            self.until(NORMAL)
        return self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("top")
    (folder / "config.toml").write_text(CONFIG)
    with opened(folder) as access:
        for name in ("TransferLate", "TransferOrphan\x1b[2J"):
            raise_alert(access, name)
    return folder


@contextmanager
def opened(folder: Path) -> Iterator[Access]:
    with open_access(folder / "config.toml", {}, create=True) as access:
        yield access


@contextmanager
def running(folder: Path, columns: int = 120, rows: int = 30, **environ: str) -> Iterator[Terminal]:
    master, slave = os.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "chainwatch", "top", "--by", "anna"],
        cwd=folder,
        env={**kept, "TERM": "xterm-256color", **environ},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    terminal = Terminal(master, slave, process)
    try:
        yield terminal
    finally:
        process.kill()
        process.wait()
        terminal.close()
        os.close(slave)


def test_people_see_acknowledge_and_quit(folder: Path) -> None:
    with running(folder) as terminal:
        before = terminal.mode
        drawn = terminal.until("quit")
        assert ALTERNATE in drawn
        assert "2 P1 firing, 2 not acknowledged" in drawn
        assert "\x1b[2J" not in drawn.partition("quit")[0].partition("TransferOrphan")[2]
        assert not terminal.mode[3] & termios.ECHO
        terminal.press("\x1b[B")
        terminal.press("a")
        assert "1 not acknowledged" in terminal.until("acknowledged by anna")
        terminal.press("s")
        terminal.until("Press y")
        terminal.press("n")
        terminal.press("q")
        assert terminal.ended() == 0
        assert terminal.mode == before
    with opened(folder) as access:
        taken = [access.read(alert_details.show, number).acknowledged for number in (1, 2)]
        assert [one.by for one in taken if one] == ["anna"]


def test_it_follows_what_happens_and_the_window_s_size(folder: Path) -> None:
    with running(folder, columns=60, rows=12) as terminal:
        assert "about" not in terminal.until("quit")
        terminal.resize(130, 40)
        terminal.until("about")
        with opened(folder) as access:
            raise_alert(access, "Newest", "P0")
        terminal.until("Newest")
        terminal.resize(1, 1)
        terminal.resize(130, 40)
        terminal.until("Newest")


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGINT", "SIGTERM", "SIGHUP"])
def test_it_ends_cleanly(folder: Path, how: str) -> None:
    with running(folder) as terminal:
        before = terminal.mode
        terminal.until("quit")
        if how == "Ctrl-C":
            terminal.press("\x03")
        else:
            terminal.process.send_signal(getattr(signal, how))
        assert terminal.ended() == 0
        assert "Traceback" not in terminal.drawn
        assert terminal.mode == before


def test_without_colour_nothing_is_lost(folder: Path) -> None:
    with running(folder, NO_COLOR="1") as terminal:
        drawn = terminal.until("quit")
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", drawn)
        assert "▶ " in drawn


def test_it_ends_with_its_terminal(folder: Path) -> None:
    with running(folder) as terminal:
        terminal.until("quit")
        terminal.close()
        assert terminal.process.wait(PATIENCE) == 0


def test_without_a_terminal_it_says_what_else_there_is(folder: Path) -> None:
    line = [sys.executable, "-m", "chainwatch", "top"]
    done = subprocess.run(line, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 2
    assert "chainwatch status" in done.stderr
    with running(folder, TERM="dumb") as terminal:
        terminal.until("chainwatch status")
        assert terminal.process.wait(PATIENCE) == 2
