"""``scripts/fuzz-properties``: all properties in rounds, each with other examples; ends with 1 when one failed.

A round is the run of pytest that is printed with it: its seed chooses the examples. What fails is tried again by
Hypothesis in every later run of that test on this machine, until it passes.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from random import SystemRandom

from tests.support.examples import FRESH

PROPERTIES = ("-m", "hypothesis", "tests/unit", "tests/property")
AT_ONCE = ("-n", "4", "--dist", "worksteal")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--seconds", type=float, default=600.0, help="how long; 600 by default, one round at least"
    )
    parser.add_argument("--seed", type=int, help="of the first round, the next has the next; by default any")
    parser.add_argument(
        "pytest", nargs="*", help="what to run instead of all properties, with any arguments after --"
    )
    given = parser.parse_args()
    seed = SystemRandom().randrange(2**32) if given.seed is None else given.seed
    end = time.monotonic() + given.seconds
    rounds, failed = 0, []
    while not rounds or time.monotonic() < end:
        if not _play(seed + rounds, given.pytest or [*AT_ONCE, *PROPERTIES]):
            failed.append(seed + rounds)
        rounds += 1
    print(f"{rounds} rounds, {len(failed)} failed" + "".join(f"\n--seed {one} --seconds 0" for one in failed))
    return 1 if failed else 0


def _play(seed: int, chosen: list[str]) -> bool:
    arguments = ["-q", f"--hypothesis-profile={FRESH}", f"--hypothesis-seed={seed}", *chosen]
    print(f"--seed {seed}: pytest {shlex.join(arguments)}", flush=True)
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], env=environment).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
