"""Reading blocks for invariants from endpoints that fail: what is read, what is tried again and when, what is given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from chainwatch.chain.errors import ChainError, NotThere
from chainwatch.chain.pool import Pool
from chainwatch.checker.invariants.invariant import Invariant
from chainwatch.invariants import live_reads, reads, retries
from chainwatch.invariants.live_reads import LiveReads
from chainwatch.invariants.reads import WantedBlock
from chainwatch.invariants.retries import Retries
from chainwatch.model import Header
from chainwatch.store.invariants import Reading
from tests.fakenode import FakeChain, FakeNode
from tests.support.observing import network_settings, open_pool
from tests.support.waiting import PATIENCE
from tests.unit.invariants.test_checker import FLOOR, SAFE, plan_of

REFUSED = {"code": -32000, "message": "internal error"}
SLOT: dict[str, Any] = {
    "values": {"slot": {"network": "alpha", "address": SAFE, "storage": 1}},
    "assert": "uint(slot) >= 0",
}
INVARIANTS: dict[str, Invariant] = {
    one.name: one for one in plan_of(floor=FLOOR, slot=SLOT).invariants.invariants
}


class Reader:
    """Reads blocks of a fake chain by a clock of its own; ``read`` says of which blocks each invariant was read."""

    def __init__(self, pool: Pool, chain: FakeChain, node: FakeNode, *, is_live: bool = True) -> None:
        self._pool, self._chain, self.node = pool, chain, node
        self.now = 0.0
        self._read = LiveReads(Retries(lambda: self.now)).read if is_live else reads.read_history
        self.wanted: dict[tuple[str, int], Reading] = {}

    async def read(self, *numbers: int, is_old: bool = False) -> tuple[list[tuple[str, int]], str]:
        """What was read of the blocks that are wanted, these among them, and the error in the end."""
        for number in numbers:
            for name in INVARIANTS:
                block = self._chain.blocks[number]
                self.wanted[name, number] = Reading(
                    name, "alpha", number, bytes.fromhex(block.hash[2:]), block.timestamp
                )
        found, failed = [], ""
        try:
            async for result in self._read(self._pool, INVARIANTS, self._blocks(is_old)):
                for one in result.readings:
                    self.wanted[one.name, one.block] = one
                    if not one.is_wanted:
                        found.append((one.name, one.block))
        except ChainError as error:
            failed = str(error)
        return found, failed

    def _blocks(self, is_old: bool) -> Sequence[WantedBlock]:
        open_ = [one for one in self.wanted.values() if one.is_wanted]
        return [
            WantedBlock(Header(number, some[0].hash, b"", some[0].timestamp), tuple(some), is_old)
            for number in sorted({one.block for one in open_})
            if (some := [one for one in open_ if one.block == number])
        ]


@pytest.fixture
async def of_history(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Reader]:
    monkeypatch.setattr(reads, "STATE_PATIENCE", 0.02)
    chain = FakeChain()
    chain.mine(count=20)
    async with (
        FakeNode(chain) as node,
        open_pool(network_settings(node.http_url, name="alpha", multicall="")) as pool,
    ):
        yield Reader(pool, chain, node, is_live=False)


async def test_a_replay_gives_up_what_no_endpoint_has_even_of_new_blocks(of_history: Reader) -> None:
    """As a range of the past may end at any block."""
    for method in ("eth_getBalance", "eth_getStorageAt"):
        of_history.node.fail(method, "error", {"code": -32000, "message": "missing trie node"}, times=None)
    found, failed = await of_history.read(5)
    assert (found, failed) == ([("floor", 5), ("slot", 5)], "")
    assert "missing trie node" in str(of_history.wanted["floor", 5].error)


def give_up_after(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a read may take at first: what is not to hang must be answered within."""
    for module in (retries, live_reads):
        monkeypatch.setattr(module, "FIRST_TIMEOUT", seconds)


@pytest.fixture
async def reader(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Reader]:
    give_up_after(PATIENCE, monkeypatch)
    monkeypatch.setattr(live_reads, "GRACE", PATIENCE)
    monkeypatch.setattr(live_reads, "PATIENCE", 0.02)
    chain = FakeChain()
    chain.mine(count=20)
    async with FakeNode(chain) as node:
        settings = network_settings(node.http_url, name="alpha", multicall="")
        async with open_pool(settings) as pool:
            yield Reader(pool, chain, node)


async def test_a_block_that_no_endpoint_answers_for_is_read_again_after_a_while(reader: Reader) -> None:
    fault = reader.node.fail("*", "error", REFUSED, times=None)
    found, failed = await reader.read(5)
    assert found == []
    assert "internal error" in failed
    assert "internal error" in str(reader.wanted["floor", 5].error)
    reader.node.faults.remove(fault)
    assert (await reader.read())[0] == []  # not yet
    reader.now += retries.FIRST_WAIT
    assert await reader.read() == ([("floor", 5), ("slot", 5)], "")
    assert reader.wanted["floor", 5].error is None


async def test_once_the_network_answers_again_all_that_is_left_is_read(reader: Reader) -> None:
    fault = reader.node.fail("*", "error", REFUSED, times=None)
    for number in (5, 6, 7):
        assert (await reader.read(number))[0] == []
    reader.node.faults.remove(fault)
    assert (await reader.read(8))[0] == [("floor", 8), ("slot", 8)]
    assert len((await reader.read())[0]) == 6


async def test_new_blocks_wait_for_none_that_could_not_be_read(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a node that has the state of its newest block only, once a busy machine was late."""
    asked: list[int] = []
    real = reads.read_group

    async def read_group(pool: Pool, known: Any, block: WantedBlock, patience: float) -> reads.GroupRead:
        asked.append(block.header.number)
        if block.header.number < 20:
            raise NotThere("alpha", "missing trie node")
        return await real(pool, known, block, patience)

    monkeypatch.setattr(live_reads, "read_group", read_group)
    await reader.read(*range(2, 20))
    asked.clear()
    for passes in (1, 2, 3):
        reader.now += retries.LONGEST_WAIT
        await reader.read()
        assert len(asked) == passes * reads.BLOCKS_AT_ONCE
    assert {*asked} == {*range(2, 20)}  # each in its turn
    reader.now += retries.LONGEST_WAIT
    asked.clear()
    assert (await reader.read(20))[0] == [("floor", 20), ("slot", 20)]
    assert asked[0] == 20
    assert len(asked) == 1 + reads.BLOCKS_AT_ONCE


async def test_a_read_that_fails_holds_no_other_up(reader: Reader) -> None:
    reader.node.fail("eth_getStorageAt", "error", REFUSED, times=None)
    found, failed = await reader.read(5, 6)
    assert found == [("floor", 5), ("floor", 6)]
    assert "internal error" in failed
    reader.node.faults.clear()
    reader.now += retries.FIRST_WAIT
    assert (await reader.read())[0] == [("slot", 6)]  # the newest first
    assert await reader.read() == ([("slot", 5)], "")


@pytest.mark.parametrize("is_live", [True, False])
async def test_a_value_that_cannot_be_parsed_for_any_reason_hides_no_other(
    reader: Reader, of_history: Reader, monkeypatch: pytest.MonkeyPatch, is_live: bool
) -> None:
    def parse(_: bytes | int) -> int:
        raise OverflowError("any")

    slot = INVARIANTS["slot"]
    value = replace(slot.values[0], parse=parse)
    monkeypatch.setitem(INVARIANTS, "slot", replace(slot, values=(value,)))
    some = reader if is_live else of_history
    found, failed = await some.read(5)
    assert (found, failed) == ([("floor", 5), ("slot", 5)], "")
    assert some.wanted["slot", 5].content is None
    assert some.wanted["slot", 5].error == "slot: cannot be read (OverflowError)"


async def test_a_read_that_hangs_delays_another_once(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    give_up_after(2.5, monkeypatch)
    reader.node.fail("eth_getStorageAt", "hang", times=None)
    found, failed = await reader.read(5)
    assert found == [("floor", 5)]
    assert "no complete answer" in failed
    asked = reader.node.asked["eth_getBalance"]
    for number in (6, 7, 8):
        assert (await reader.read(number))[0] == [("floor", number)]
    assert reader.node.asked["eth_getBalance"] == asked + 3  # none was cut off and asked for again


async def test_what_was_slow_is_read_beside_others_again_once_it_is_not(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up_after(2.5, monkeypatch)
    fault = reader.node.fail("eth_getStorageAt", "hang", times=None)
    assert (await reader.read(5))[0] == [("floor", 5)]
    give_up_after(PATIENCE, monkeypatch)
    reader.node.faults.remove(fault)
    monkeypatch.setattr(live_reads, "SLOW", PATIENCE)  # what a loaded machine takes
    found: list[tuple[str, int]] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < 3:
            await asyncio.sleep(0.05)
            reader.now += retries.LONGEST_WAIT
            found += (await reader.read(*([] if ("floor", 6) in found else [6])))[0]
    assert sorted(found) == [("floor", 6), ("slot", 5), ("slot", 6)]
    posts = reader.node.posts
    assert (await reader.read(7))[0] == [("floor", 7), ("slot", 7)]
    assert reader.node.posts == posts + 1


async def test_nothing_is_read_apart_where_all_is_slow(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint or this machine is slow then, and more requests would make that worse."""
    give_up_after(2.5, monkeypatch)
    monkeypatch.setattr(live_reads, "SLOW", 0.0)
    reader.node.fail("eth_getStorageAt", "hang", times=1)
    assert sorted((await reader.read(5))[0]) == [("floor", 5), ("slot", 5)]
    give_up_after(PATIENCE, monkeypatch)
    posts = reader.node.posts
    assert sorted((await reader.read(6))[0]) == [("floor", 6), ("slot", 6)]
    assert reader.node.posts == posts + 1


async def test_what_was_slow_is_read_beside_others_again_though_the_endpoint_stays_slow(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up_after(2.5, monkeypatch)
    fault = reader.node.fail("eth_getStorageAt", "hang", times=None)
    assert (await reader.read(5))[0] == [("floor", 5)]
    give_up_after(PATIENCE, monkeypatch)
    reader.node.faults.remove(fault)
    reader.node.fail("*", "late", 0.3, times=None)
    monkeypatch.setattr(live_reads, "SLOW", 0.1)
    async with asyncio.timeout(PATIENCE):
        for number in range(6, 20):
            reader.now += retries.LONGEST_WAIT
            posts = reader.node.posts
            found, _ = await reader.read(number)
            if {("floor", number), ("slot", number)} <= {*found} and reader.node.posts == posts + 1:
                break
        else:
            pytest.fail("it is read apart for ever")


async def test_only_endpoints_that_answer_give_an_old_block_up(reader: Reader) -> None:
    fault = reader.node.fail("*", "status", 503, times=None)
    assert (await reader.read(5, is_old=True))[0] == []
    reader.node.faults.remove(fault)
    for method in ("eth_getBalance", "eth_getStorageAt"):
        reader.node.fail(method, "error", {"code": -32000, "message": "missing trie node"}, times=None)
    reader.now += retries.FIRST_WAIT
    found: list[tuple[str, int]] = []
    async with asyncio.timeout(PATIENCE):
        while not found:  # the endpoint is usable again after a moment
            await asyncio.sleep(0.05)
            reader.now += retries.LONGEST_WAIT
            found, _ = await reader.read(is_old=True)
    assert found == [("floor", 5), ("slot", 5)]
    assert "archive" in str(reader.wanted["floor", 5].error)


async def test_many_readings_come_in_parts(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "STORED_AT_ONCE", 1)
    assert await reader.read(*range(2, 20)) == (
        [(name, number) for number in range(2, 20) for name in INVARIANTS],
        "",
    )
