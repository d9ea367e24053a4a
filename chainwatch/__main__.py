"""The command ``chainwatch``, and ``python -m chainwatch``."""

import signal
import sys


def main() -> None:
    """Run the command; SIGHUP, by default the end of a process, is left to ``run`` from the first moment."""
    if "run" in sys.argv[1:]:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from chainwatch.cli import main as command

    command(prog_name="chainwatch")


if __name__ == "__main__":
    main()
