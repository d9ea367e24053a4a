"""A preset started while messages are under way: their openings lie before the first block, and are looked up."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.anvil import Anvil
from tests.support.missing import missing
from tests.support.presets.deployed import Chains, configured
from tests.support.process import Chainwatch
from tests.support.protocols import hyperlane
from tests.support.protocols.artifacts import ArtifactError
from tests.support.protocols.chain import HOUR, Chain, advance
from tests.support.protocols.hyperlane import Hyperlane

pytestmark = pytest.mark.anvil


async def test_a_message_sent_before_the_first_block_is_found_with_its_sibling_and_a_forged_one_is_not(
    anvil_factory: Callable[..., Anvil], tmp_path: Path
) -> None:
    began = str(int(time.time()) - 6 * HOUR)
    nodes = {"ethereum": 1, "arbitrum": 42_161}
    chains: Chains = {
        name: Chain.at(anvil_factory(chain_id=number, arguments=["--timestamp", began]), account)
        for account, (name, number) in enumerate(nodes.items())
    }
    both = ethereum, arbitrum = chains["ethereum"], chains["arbitrum"]
    try:
        bridge = Hyperlane(both)
    except ArtifactError as error:
        missing("a protocol's contracts", str(error))
    (message,) = hyperlane.messages_in(bridge.dispatch(ethereum, arbitrum, b"under way"))
    pass_time(both)
    first = int(ethereum.anvil.rpc("eth_blockNumber"), 16)
    bridge.process(message)
    forged = message._replace(nonce=99)
    bridge.process(forged)
    pass_time(both)

    mailboxes = {name: bridge.sites[chain.chain_id].mailbox for name, chain in chains.items()}
    config = configured("hyperlane", tmp_path, chains, {"mailbox": mailboxes})
    watch = Chainwatch(tmp_path, config.replace("start_block = 0", f"start_block = {first}", 1))
    await watch.read("replay", "--database", f"sqlite:///{tmp_path / 'chainwatch.db'}")
    transfers = await watch.read("transfers")
    assert {transfer["key"]: transfer["status"] for transfer in transfers} == {
        f"0x{message.id.hex()}": "complete",
        f"0x{forged.id.hex()}": "orphan",
    }


def pass_time(chains: tuple[Chain, ...]) -> None:
    advance(chains, HOUR)
    for chain in chains:
        chain.anvil.mine(5)
