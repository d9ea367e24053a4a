"""Notifications that are sent in parts, of which a channel refuses some."""

from collections.abc import Awaitable, Callable

import pytest

from chainwatch.alerting.delivery.retry import REFUSALS
from chainwatch.alerting.providers import DeliveryError
from chainwatch.alerting.providers.parts import REFUSALS_MAX, TakenParts

PARTS = {f"part {i}": i for i in range(60)}


def _refusing(refused: Callable[[int], bool], tried: list[int]) -> Callable[[int], Awaitable[None]]:
    async def send(part: int) -> None:
        tried.append(part)
        if refused(part):
            raise DeliveryError("no", permanent=True)

    return send


async def test_parts_that_are_refused_for_good_never_keep_all_others_from_being_tried() -> None:
    taken, tried = TakenParts(), list[int]()
    for _ in range(REFUSALS):
        with pytest.raises(DeliveryError):
            await taken.send("key", PARTS, _refusing(lambda part: part < 25, tried))
    assert set(tried) == set(PARTS.values())
    assert sorted(part for part in tried if part >= 25) == list(range(25, 60))
    assert len(taken.of("key")) == 35


async def test_a_channel_that_refuses_everything_is_asked_a_few_times_only() -> None:
    taken, tried = TakenParts(), list[int]()
    for _ in range(REFUSALS):
        with pytest.raises(DeliveryError):
            await taken.send("key", PARTS, _refusing(lambda _: True, tried))
    assert len(tried) == REFUSALS * REFUSALS_MAX
