"""How much work something may be: processor time, whatever else the machine does meanwhile, however slow it is."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

REFERENCE = 0.007
"""Seconds of processor time that `_work` takes on the machine for which the tests state their bounds."""


@contextmanager
def effort_within(seconds: float) -> Iterator[None]:
    """Fail if the block takes this process more processor time than ``seconds`` on the reference machine."""
    began = time.process_time()
    yield
    spent = time.process_time() - began
    if spent >= seconds:
        at_most = seconds * _slowness()
        assert spent < at_most, f"{spent:.3f} s of processor time instead of {at_most:.3f} s at most"


def _slowness() -> float:
    began = time.process_time()
    _work()
    return max(1.0, (time.process_time() - began) / REFERENCE)


def _work() -> int:
    table = {}
    for number in range(60_000):
        table[str(number % 1000)] = number * number
    return sum(table.values())
