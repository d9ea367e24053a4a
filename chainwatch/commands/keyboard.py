"""Keys of a terminal, one at a time and without their echo, for as long as a command takes it over."""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

UP, DOWN = "up", "down"
_SEQUENCES = {b"\x1b[A": UP, b"\x1bOA": UP, b"\x1b[B": DOWN, b"\x1bOB": DOWN}
_KEYS = re.compile(rb"\x1b[\[O][0-9;]*[A-Za-z~]|.", re.DOTALL)
_READ_MAX = 1_024
_LFLAG, _CC = 3, 6
"""Places in what ``termios.tcgetattr`` returns."""


class Keyboard:
    """The keys that were pressed. ``is_over``: by Ctrl-C, SIGTERM, or the end of the terminal."""

    def __init__(self, terminal: int, woken: int) -> None:
        self.is_over = False
        self._terminal = terminal
        self._woken = woken

    def wait(self, seconds: float) -> list[str]:
        """Return the keys of the next ``seconds``; earlier once there are some, a signal comes or the window has changed."""
        ready, _, _ = select.select([self._terminal, self._woken], [], [], seconds)
        if self._woken in ready:
            os.read(self._woken, _READ_MAX)
        if self._terminal not in ready:
            return []
        try:
            read = os.read(self._terminal, _READ_MAX)
        except OSError:  # the terminal is gone
            read = b""
        self.is_over = self.is_over or not read
        return [_SEQUENCES.get(key, key.decode("latin-1")) for key in _KEYS.findall(read)]

    def end(self, _number: int, _frame: FrameType | None) -> None:
        """Note a signal to end."""
        self.is_over = True


@contextmanager
def taken_over() -> Iterator[Keyboard]:
    """Take the terminal at standard input; it, and the signals, are as before at the end of the block."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    attributes = termios.tcgetattr(terminal)
    attributes[_LFLAG] &= ~(termios.ICANON | termios.ECHO)
    attributes[_CC][termios.VSUSP] = b"\0"  # Ctrl-Z would leave the screen half drawn
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    keyboard = Keyboard(terminal, woken)
    earlier = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    handlers = {
        number: signal.signal(number, handler)
        for number, handler in (
            (signal.SIGINT, keyboard.end),
            (signal.SIGTERM, keyboard.end),
            (signal.SIGHUP, keyboard.end),
            (signal.SIGWINCH, lambda *_: None),  # what waits is woken, and draws again
        )
    }
    try:
        termios.tcsetattr(terminal, termios.TCSADRAIN, attributes)
        yield keyboard
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(earlier)
        os.close(woken)
        os.close(wake)
        with suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
