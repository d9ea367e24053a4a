"""Free ports of the loopback interface."""

import random
import socket

LOWEST, HIGHEST = 18_000, 32_000
"""Below the ports that systems give to connections: one of those could be taken before the test's server has it."""

_any = random.SystemRandom()  # tests seed the usual one, each worker of pytest-xdist with the same


def free_port() -> int:
    """A TCP port that nobody listens on at this moment."""
    while True:
        port = _any.randint(LOWEST, HIGHEST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
