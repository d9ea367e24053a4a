"""S2: `kill -9` at any moment, and again: the end is that of a process that was never killed."""

import asyncio
import os
import random
from typing import Any

import pytest

from chainwatch.demo.bridge import Transfer
from tests.support.process import Chainwatch
from tests.support.world import World

pytestmark = pytest.mark.anvil

KILLS = int(os.environ.get("CHAINWATCH_TEST_KILLS", "6"))
LONGEST_LIFE = 2.5
"""Seconds; a start takes one of them."""
PAUSE = 0.25


async def test_killed_at_random_moments_it_ends_as_if_never_killed(world: World) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # shown when the test fails
    lives = random.Random(seed)
    calm, killed = world.configure(within="2s"), world.configure(within="2s")
    calm.start()
    story = asyncio.create_task(tell_stories(world))
    for _ in range(KILLS):
        killed.start()
        await asyncio.sleep(lives.uniform(0.3, LONGEST_LIFE))
        killed.kill()
    killed.start()
    story.cancel()
    ending = await last_story(world)

    for watch in (calm, killed):
        await world.until("transfers", "--key", ending, holds=is_overdue, watch=watch)
        await world.until_all_is_told(watch)
    for one, other in zip(await state(killed), await state(calm), strict=True):
        assert differences(one, other) == {}
    assert differences(delivered(world, killed), delivered(world, calm)) == {}
    assert len(delivered(world, calm)) >= KILLS


async def tell_stories(world: World) -> None:
    """Transfers without end: complete ones, late ones, ones whose payout is undone by a reorg, ones left open."""
    late: list[Transfer] = []
    while True:
        fast, slow, undone, left = world.open(), world.open(), world.open(), world.open()
        world.execute(fast, fast=True)
        world.reconcile(slow)
        await asyncio.sleep(PAUSE)
        world.reconcile(fast, fast=True)
        world.execute(slow)
        world.execute(undone)
        await asyncio.sleep(PAUSE)
        world.optimism.reorg(1)
        world.optimism.set_clock()
        late.append(left)
        if len(late) > 5:
            transfer = late.pop(0)
            world.execute(transfer)
            await asyncio.sleep(PAUSE)
            world.reconcile(transfer)


async def last_story(world: World) -> str:
    """The key of one more transfer that stays open."""
    return f"0x{world.open().id.hex()}"


def is_overdue(transfers: list[dict[str, Any]]) -> bool:
    return [transfer["status"] for transfer in transfers] == ["overdue"]


async def state(watch: Chainwatch) -> tuple[dict[str, Any], dict[str, Any]]:
    """Transfers and their alerts as the commands show them, without when this process learnt of them."""
    transfers = await watch.read("transfers", "--limit", "10000")
    alerts = await watch.read("alerts", "--limit", "10000")
    chain_facts = ("labels", "state", "annotations", "starts_at", "ends_at", "reason", "audience")
    return (
        {transfer["key"]: transfer for transfer in transfers},
        {
            f"{alert['fingerprint']} {alert['starts_at']}": {fact: alert[fact] for fact in chain_facts}
            for alert in alerts
            if "transfer" in alert["labels"]  # the others are about the process
        },
    )


def delivered(world: World, watch: Chainwatch) -> dict[str, list[str]]:
    """What was told of each alert, in order."""
    told: dict[str, list[str]] = {}
    for alert in world.told_by(watch):
        told.setdefault(alert.fingerprint, []).append(alert.status)
    return told


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {k: (one.get(k), other.get(k)) for k in one.keys() | other.keys() if one.get(k) != other.get(k)}
