"""S2: `kill -9` at any moment, and again: the end is that of a process that was never killed."""

import asyncio
import os
import random
from typing import Any

import pytest

from chainwatch.demo.bridge import Transfer
from tests.support.examples import any_seed
from tests.support.process import Chainwatch
from tests.support.world import World

pytestmark = pytest.mark.anvil

KILLS = int(os.environ.get("CHAINWATCH_TEST_KILLS", "6"))
LONGEST_LIFE = 2.5
"""Seconds; a start takes one of them."""
PAUSE = 0.25


async def test_killed_at_random_moments_it_ends_as_if_never_killed(world: World) -> None:
    seed = any_seed()
    print(f"seed {seed}")  # shown when the test fails
    lives = random.Random(seed)
    calm, killed = world.configure(within="2s"), world.configure(within="2s")
    for watch in (calm, killed):  # what has ended before there is a database is not reported
        watch.start()
        await world.until_running(watch=watch)
    killed.kill()
    story = asyncio.create_task(run_stories(world))
    for _ in range(KILLS):
        killed.start()
        await asyncio.sleep(lives.uniform(0.3, LONGEST_LIFE))
        killed.kill()
    killed.start()
    story.cancel()
    ending = await last_story(world)

    for watch in (calm, killed):
        await world.until("transfers", "--key", ending, holds=is_overdue, watch=watch)
        await world.until_all_notified(watch)
    for of in (transfers, alerts):
        assert_same(await of(killed), await of(calm))
    assert_same(delivered(world, killed), delivered(world, calm))
    assert len(delivered(world, calm)) >= KILLS


async def run_stories(world: World) -> None:
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


async def transfers(watch: Chainwatch) -> dict[str, Any]:
    return {t["key"]: t for t in await watch.read("transfers", "--limit", "10000")}


async def alerts(watch: Chainwatch) -> dict[str, Any]:
    """The alerts about transfers, without when this process learnt of them."""
    found = await watch.read("alerts", "--limit", "10000")
    facts = ("state", "reason", "ends_at", "audience", "annotations")
    return {
        " ".join([*alert["labels"].values(), str(alert["starts_at"])]): [alert[fact] for fact in facts]
        for alert in found
        if "transfer" in alert["labels"]
    }


def delivered(world: World, watch: Chainwatch) -> dict[str, list[str]]:
    """The notifications of each alert, in order."""
    notified: dict[str, list[str]] = {}
    for alert in world.notified_by(watch):
        notified.setdefault(alert.fingerprint, []).append(alert.status)
    return notified


def assert_same(killed: dict[str, Any], calm: dict[str, Any]) -> None:
    for key in killed.keys() | calm.keys():
        assert killed.get(key) == calm.get(key), f"{key}: killed {killed.get(key)}, calm {calm.get(key)}"
