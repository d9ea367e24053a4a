"""Free ports of the loopback interface."""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

LOWEST, HIGHEST = 18_000, 32_000
"""Below the ports that systems give to connections: one of those could be taken before the test's server has it."""

_any = random.SystemRandom()  # tests seed the usual one, each worker of pytest-xdist with the same
_given: set[int] = set()
_locks = (Path(tempfile.gettempdir()) / f"chainwatch-test-ports-{os.geteuid()}").open("ab")


def free_port() -> int:
    """A TCP port that nobody listens on, and that no other test gets as long as this process lives.

    Many a test listens only later, stops its server for a while, or wants a port where nobody answers.
    """
    while True:
        port = _any.randint(LOWEST, HIGHEST)
        if _take(port) and _is_free(port):
            return port


def _take(port: int) -> bool:
    """Lock the port's byte of a file that all test processes share; false where it is taken."""
    if port in _given:  # a process does not lock itself out
        return False
    try:
        fcntl.lockf(_locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _given.add(port)
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
