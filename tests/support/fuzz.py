"""``scripts/fuzz``: rounds of `tests.support.fuzzing` for some time, each with its seed; ends with 1 when one failed."""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import time
from random import Random, SystemRandom

from tests.support.fuzzing import play_round

KIB = 1024
GROWN = 200
"""MiB by which the process may grow after the first rounds, nodes and all."""
WARM_UP = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long; 60 by default")
    parser.add_argument(
        "--seed", type=int, help="of the rounds' seeds; by default a random one, which is printed"
    )
    parser.add_argument("--round", type=int, help="play only the round with this seed, as a failure names it")
    given = parser.parse_args()
    if given.round is not None:
        print(asyncio.run(play_round(given.round)))
        return 0
    seed = SystemRandom().randrange(2**32) if given.seed is None else given.seed
    print(f"--seed {seed}", flush=True)
    return _play(Random(seed), time.monotonic() + given.seconds)


def _play(dice: Random, end: float) -> int:
    failed = rounds = spoilt = 0
    slowest, begun_with = 0.0, 0.0
    while time.monotonic() < end:
        number = dice.randrange(2**32)
        try:
            played = asyncio.run(play_round(number))
        except AssertionError as error:
            failed += 1
            print(f"--round {number} failed: {error}", flush=True)
        else:
            spoilt += played.spoilt
            slowest = max(slowest, played.slowest)
        rounds += 1
        if rounds == WARM_UP:
            begun_with = _peak()
    grown = _peak() - begun_with if rounds > WARM_UP else 0.0
    print(
        f"{rounds} rounds, {failed} failed, {spoilt} answers spoilt; slowest block {slowest:.2f} s; "
        f"memory grew by {grown:.0f} MiB"
    )
    return 1 if failed or grown > GROWN else 0


def _peak() -> float:
    """The most memory that this process ever had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB


if __name__ == "__main__":
    sys.exit(main())
