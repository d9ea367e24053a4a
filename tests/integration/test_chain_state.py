"""State at a named block from real anvil nodes, and from nodes that spoil their answers in every way."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any
from unittest.mock import patch

import pytest

from chainwatch.chain import member
from chainwatch.chain.errors import NotThere, RpcError
from chainwatch.chain.history import header_at
from chainwatch.chain.intake import INTAKE
from chainwatch.chain.pool import Pool
from chainwatch.chain.state import Balance, Code, ContractCall, Outcome, Read, Reverted, Storage, read_state
from chainwatch.model import Header
from chainwatch.support.counters import CALLS
from tests.fakenode import FakeChain, FakeNode
from tests.fakenode.spoiling import SpoilingNode
from tests.support.anvil import Anvil
from tests.support.examples import any_seed
from tests.support.fuzzing import OFTEN
from tests.support.observing import network_settings, open_pool
from tests.support.protocols.artifacts import multicall3

COUNTER, BROKEN, GREEDY, LOUD, NOBODY = (bytes([value] * 20) for value in (0xC1, 0xC2, 0xC3, 0xC4, 0xC5))

CODES = {
    COUNTER: "3615600a576000355f555b60005460005260206000f3",  # puts its input, if any, at slot 0; returns slot 0
    BROKEN: "63deadbeef600052600460" + "1cfd",  # reverts with deadbeef
    GREEDY: "5b600056",  # jumps back for ever
    LOUD: "620100006000f3",  # returns 64 kB of zeros
}
HUGE, HUGE_CODE = bytes([0xC6] * 20), "0x621000006000f3"  # returns 1 MB of zeros


@pytest.fixture
def node(anvil_factory: Callable[..., Anvil]) -> Anvil:
    return with_contracts(anvil_factory(chain_id=1))


def with_contracts(node: Anvil) -> Anvil:
    for address, code in CODES.items():
        node.rpc("anvil_setCode", "0x" + address.hex(), "0x" + code)
    return node


def count(node: Anvil, value: int, wei: int) -> None:
    """Mines a block after which the counter holds ``value``, and ``wei`` more than before."""
    (sender, *_) = node.rpc("eth_accounts")
    word = f"0x{value:064x}"
    node.rpc(
        "eth_sendTransaction", {"from": sender, "to": "0x" + COUNTER.hex(), "input": word, "value": hex(wei)}
    )


READS: list[Read] = [
    ContractCall(COUNTER, b""),
    ContractCall(BROKEN, b"\x12\x34\x56\x78"),
    Storage(COUNTER, 0),
    Balance(COUNTER),
    Code(COUNTER),
    Code(NOBODY),
    ContractCall(NOBODY, b"\x12"),
]


def outcomes(value: int) -> list[Outcome]:
    word = value.to_bytes(32, "big")
    reverted = Reverted(bytes.fromhex("deadbeef"), "")
    return [word, reverted, word, value, bytes.fromhex(CODES[COUNTER]), b"", b""]


async def block(pool: Pool, number: int) -> Header:
    return await header_at(pool, number)


@pytest.mark.anvil
async def test_old_and_new_blocks_have_each_their_own_state(node: Anvil) -> None:
    for value in range(1, 6):
        count(node, value * 10, 10)
    async with open_pool(network_settings(node.http_url)) as pool:
        for number in (1, 3, 5):
            assert await read_state(pool, await block(pool, number), READS) == outcomes(number * 10)
        assert pool.endpoints[0].errors == 0


@pytest.mark.anvil
async def test_contracts_that_spin_or_return_much_stop_no_other_read(node: Anvil) -> None:
    count(node, 7, 7)
    async with open_pool(network_settings(node.http_url)) as pool:
        begun = time.monotonic()
        got = await read_state(
            pool,
            await block(pool, 1),
            [ContractCall(GREEDY, b""), ContractCall(LOUD, b""), *READS],
        )
        assert isinstance(got[0], Reverted)
        assert (got[0].data, got[1], got[2:]) == (b"", bytes(65536), outcomes(7))
        assert time.monotonic() - begun < 30
        assert pool.endpoints[0].errors == 0


@pytest.mark.anvil
async def test_a_block_that_was_reorged_away_is_not_there_and_its_successor_is(node: Anvil) -> None:
    for value in range(1, 6):
        count(node, value, 1)
    async with open_pool(network_settings(node.http_url)) as pool:
        gone = await block(pool, 5)
        node.reorg(2)
        with pytest.raises(NotThere):
            await read_state(pool, gone, READS)
        now = await block(pool, 5)
        assert now.hash != gone.hash
        got = await read_state(pool, now, READS)
        assert got == outcomes(await counter(pool, now))
        assert pool.endpoints[0].state == "ok"


async def counter(pool: Pool, at: Header) -> int:
    (word,) = await read_state(pool, at, [Storage(COUNTER, 0)])
    assert isinstance(word, bytes)
    return int.from_bytes(word, "big")


@pytest.mark.anvil
async def test_an_endpoint_that_lags_or_dies_is_replaced_by_another(
    anvil_factory: Callable[..., Any],
) -> None:
    first, second = (with_contracts(anvil_factory(chain_id=1)) for _ in range(2))
    count(second, 3, 3)
    async with open_pool(network_settings(first.http_url, second.http_url)) as pool:
        await pool.all_tried()
        newest = await pool.ask_another(lambda endpoint: endpoint.head(), than=pool._members[0].endpoint)
        assert newest is not None
        assert await read_state(pool, newest, READS) == outcomes(3)
        first.kill()
        assert await read_state(pool, newest, READS) == outcomes(3)


# --- Multicall3

MULTICALL = "0xcA11bde05977b3631167028862bE2a173976CA11"
RICH = bytes([0xC5] * 20)
SMALL = [COUNTER, RICH, *(bytes([0xD0, n] * 10) for n in range(40))]


def deploy_multicall(node: Anvil) -> None:
    node.rpc("anvil_setCode", MULTICALL, "0x" + multicall3().hex())
    node.mine()


def calls_of(pool: Pool) -> Counter[str]:
    found: Counter[str] = Counter()
    for (network, method, _), number in CALLS.items():
        if network == pool.network.name:
            found[method] += number
    return found


async def counted(pool: Pool, at: Header, reads: list[Read]) -> tuple[list[Outcome], dict[str, int]]:
    """The outcomes, and how many calls of each method that took."""
    before = calls_of(pool)
    got = await read_state(pool, at, reads)
    return got, dict(calls_of(pool) - before)


@pytest.mark.anvil
async def test_all_calls_and_balances_of_a_block_are_one_call(node: Anvil) -> None:
    count(node, 7, 70)
    deploy_multicall(node)
    reads: list[Read] = [r for address in SMALL for r in (ContractCall(address, b""), Balance(address))]
    reads += [Storage(COUNTER, 0), Code(COUNTER)]
    async with open_pool(network_settings(node.http_url)) as pool:
        newest = await block(pool, 2)
        got, asked = await counted(pool, newest, reads)
        assert asked == {"eth_call": 1, "eth_getStorageAt": 1, "eth_getCode": 1}
        alone = network_settings(node.http_url).model_copy(update={"multicall": ""})
        async with open_pool(alone) as other:
            assert await read_state(other, newest, reads) == got
        assert got[:2] == [(7).to_bytes(32), 70]


@pytest.mark.anvil
async def test_a_call_that_fails_spins_or_returns_much_harms_only_itself_and_is_made_alone_then(
    node: Anvil,
) -> None:
    count(node, 7, 7)
    deploy_multicall(node)
    node.rpc("anvil_setCode", "0x" + HUGE.hex(), HUGE_CODE)
    node.mine()
    reads: list[Read] = [Balance(address) for address in SMALL]
    reads[3:3] = [ContractCall(BROKEN, b""), ContractCall(GREEDY, b""), ContractCall(COUNTER, b"")]
    async with open_pool(network_settings(node.http_url)) as pool:
        newest = await block(pool, 3)
        for some, most in ((reads, 3), ([*reads, ContractCall(HUGE, b"")], 4)):
            for _ in range(2):
                got, asked = await counted(pool, newest, some)
                assert got[3] == Reverted(bytes.fromhex("deadbeef"), "")
                assert got[4] == Reverted(b"", "")
                assert got[5] == (7).to_bytes(32)
                assert [one for i, one in enumerate(got[:44]) if i not in (3, 4, 5)] == [7, *[0] * 40]
            assert asked["eth_call"] <= most
            assert asked.get("eth_getBalance", 0) == 0
        assert got[-1] == bytes(1 << 20)


THRIFTY, WASTEFUL = bytes([0xC7] * 20), bytes([0xC8] * 20)
GUARDED = {
    # whether a call of the other contract succeeds: that one takes nearly a million gas, or all there is
    THRIFTY: "6000" * 5 + "73" + "ca" * 20 + "5af160005260206000f3",
    WASTEFUL: "6000" * 5 + "73" + "c3" * 20 + "5af160005260206000f3",
    bytes([0xCA] * 20): "619470" + "5b600190" + "0380" + "600357" + "00",
}


@pytest.mark.anvil
@pytest.mark.parametrize("burner", [GREEDY, WASTEFUL], ids=["fails", "returns"])
@pytest.mark.parametrize("fork", ["prague", "petersburg"], ids=["now", "without BLAKE2F"])
async def test_what_burns_the_gas_of_all_does_not_change_what_another_call_returns(
    anvil_factory: Callable[..., Anvil], burner: bytes, fork: str
) -> None:
    """The other catches that it was out of gas, and returns 0."""
    node = anvil_factory(chain_id=1, arguments=["--hardfork", fork])
    deploy_multicall(node)
    for address, code in {**GUARDED, GREEDY: CODES[GREEDY]}.items():
        node.rpc("anvil_setCode", "0x" + address.hex(), "0x" + code)
    node.mine()
    reads: list[Read] = [ContractCall(burner, b""), Balance(RICH), ContractCall(THRIFTY, b"")]
    async with open_pool(network_settings(node.http_url)) as pool:
        newest = await block(pool, 2)
        for _ in range(3):
            got = await read_state(pool, newest, reads)
            assert got[2] == (1).to_bytes(32)
        got, asked = await counted(pool, newest, reads[1:])
        assert got == [0, (1).to_bytes(32)]
        assert asked == {"eth_call": 1}


@pytest.mark.anvil
async def test_without_the_contract_and_before_it_was_deployed_reads_are_made_alone(node: Anvil) -> None:
    count(node, 7, 7)
    reads: list[Read] = [Balance(COUNTER), ContractCall(COUNTER, b"")]
    async with open_pool(network_settings(node.http_url)) as pool:
        for _ in range(3):
            got, asked = await counted(pool, await block(pool, 1), reads)
            assert got == [7, (7).to_bytes(32)]
        assert asked["eth_getBalance"] == 1
    node.mine()  # what is set belongs to the newest block
    deploy_multicall(node)
    async with open_pool(network_settings(node.http_url)) as pool:
        for number, balances in ((3, 0), (1, 1), (3, 0)):
            got, asked = await counted(pool, await block(pool, number), reads)
            assert got == [7, (7).to_bytes(32)]
            assert asked.get("eth_getBalance", 0) == balances


SECONDS = 6.0
"""The time for each of the two seeds."""


@pytest.mark.parametrize("seed", [2, any_seed()], ids=["fixed", "random"])
async def test_spoilt_answers_make_no_value_up(seed: int) -> None:
    print(f"seed {seed}")
    dice, end = Random(seed), time.monotonic() + SECONDS
    spoilt = 0
    while time.monotonic() < end:
        spoilt += await spoil_reads(Random(dice.randrange(2**32)))
    assert spoilt > 0
    assert INTAKE.held == 0


async def spoil_reads(dice: Random) -> int:
    chain = FakeChain()
    chain.mine(count=10)
    reads: list[Read] = [
        *(ContractCall(COUNTER, bytes([n])) for n in range(3)),
        ContractCall(BROKEN, bytes.fromhex("08c379a0")),
        *(Storage(COUNTER, 2), Balance(NOBODY), Code(COUNTER)),
    ]
    async with SpoilingNode(chain, dice, 0.0) as broken, FakeNode(chain) as honest:
        broken.batches, broken.state_by_hash = dice.random() < 0.8, dice.random() < 0.8
        with patch.multiple(member, **OFTEN):
            async with open_pool(
                network_settings(broken.http_url, honest.http_url, request_timeout="1s")
            ) as pool:
                await pool.all_tried()
                at = await header_at(pool, 9)
                right = await read_state(pool, at, reads)
                broken.rate = dice.choice((0.3, 1.0))
                for _ in range(10):
                    some = dice.sample(range(len(reads)), dice.randint(1, len(reads)))
                    got = await read_state(pool, at, [reads[i] for i in some], patience=5.0)
                    assert_no_lie(reads, right, some, got)
                    count_before = broken.spoilt
                alone = network_settings(broken.http_url, request_timeout="1s")
                broken.rate = 0.0
                async with open_pool(alone) as pool_alone:
                    broken.rate = 0.7
                    for _ in range(5):
                        try:
                            got = await read_state(pool_alone, at, reads)
                        except RpcError:
                            continue
                        assert_no_lie(reads, right, list(range(len(reads))), got)
        return max(broken.spoilt, count_before)


def assert_no_lie(reads: list[Read], right: list[Outcome], some: list[int], got: list[Outcome]) -> None:
    """Bytes of any length may be what a contract returned, so of calls and code the kind alone can be judged."""
    assert len(got) == len(some)
    for index, outcome in zip(some, got, strict=True):
        if isinstance(reads[index], Balance) and isinstance(outcome, int):
            assert outcome == right[index]
        elif not isinstance(outcome, bytes | int):
            assert type(outcome).__name__ in ("Reverted", "Unread")
        else:
            assert isinstance(outcome, type(right[index])) or isinstance(right[index], Reverted)
