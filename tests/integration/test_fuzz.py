"""A network is read on through a node that spoils its answers in every way (S1, S8, S10); see `tests.support.fuzzing`.

The budget is small here; `scripts/fuzz` goes on for as long as one likes.
"""

from __future__ import annotations

import time
from random import Random

import pytest

from tests.support.examples import any_seed
from tests.support.fuzzing import play_round

SECONDS = 12.0
"""The time for each of the two seeds."""

FIXED = 2


@pytest.mark.parametrize("seed", [FIXED, any_seed()], ids=["fixed", "random"])
async def test_spoilt_answers_stop_lose_and_invent_nothing(seed: int) -> None:
    print(f"seed {seed}: scripts/fuzz --seed {seed} plays the same rounds")
    dice, end = Random(seed), time.monotonic() + SECONDS
    spoilt = 0
    while time.monotonic() < end:
        number = dice.randrange(2**32)
        try:
            spoilt += (await play_round(number)).spoilt
        except AssertionError as error:
            raise AssertionError(f"scripts/fuzz --round {number}: {error}") from error
    assert spoilt > 0
