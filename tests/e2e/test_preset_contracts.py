"""Presets, as `init` writes them, over the bridges' own contracts on three networks: what is found is what happened."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.anvil import Anvil
from tests.support.missing import missing
from tests.support.presets import messaging_plays
from tests.support.presets.deployed import Alert, Chains, Played, configured
from tests.support.process import Chainwatch
from tests.support.protocols import cctp, wormhole
from tests.support.protocols.artifacts import ArtifactError
from tests.support.protocols.cctp import Cctp
from tests.support.protocols.chain import HOUR, Chain, advance
from tests.support.protocols.wormhole import Wormhole

pytestmark = pytest.mark.anvil

DAY = 24 * HOUR
CHAIN_IDS = {"ethereum": 1, "arbitrum": 42_161, "base": 8_453}
NETWORKS = tuple(CHAIN_IDS)


@pytest.fixture
def chains(anvil_factory: Callable[..., Anvil]) -> Chains:
    began = str(int(time.time()) - 3 * DAY)
    nodes = {
        name: anvil_factory(chain_id=number, arguments=["--timestamp", began])
        for name, number in CHAIN_IDS.items()
    }
    return {name: Chain.at(node, account) for account, (name, node) in enumerate(nodes.items())}


def play_cctp_v1(chains: Chains) -> Played:
    domains = (0, 3, 6)
    bridge = Cctp(1, dict(zip(domains, chains.values(), strict=True)))
    bridge.relay(bridge.deposit(0, 3, 1_000))
    bridge.relay(bridge.deposit(6, 3, 1_500))
    late = bridge.deposit(3, 6, 2_000)
    bridge.deposit(6, 0, 3_000)
    (sent,) = cctp.messages_in(late)
    bridge.receive(replace(sent, nonce=(77).to_bytes(8)))
    advance(tuple(chains.values()), 3 * HOUR)
    bridge.relay(late)
    sites = dict(zip(NETWORKS, bridge.sites.values(), strict=True))
    return Played(
        addresses={
            "cctp-v1-messenger": {name: site.messenger for name, site in sites.items()},
            "cctp-v1-transmitter": {name: site.transmitter for name, site in sites.items()},
        },
        statuses={
            "0/0": "complete",
            "6/0": "complete",
            "3/0": "complete",
            "6/1": "overdue",
            "3/77": "orphan",
        },
        alerts={
            Alert("TransferOverdue", "3/0", ended=True),
            Alert("TransferOverdue", "6/1", ended=False),
            Alert("TransferOrphan", "3/77", ended=False),
        },
    )


def play_wormhole(chains: Chains) -> Played:
    numbers = (2, 23, 30)
    bridge = Wormhole(dict(zip(numbers, chains.values(), strict=True)))
    sites = dict(zip(NETWORKS, bridge.sites.values(), strict=True))

    def send(origin: int, destination: int, amount: int) -> tuple[str, wormhole.Message]:
        """Sends; the transfer's key, and its message."""
        (message,) = wormhole.messages_in(origin, bridge.transfer(origin, destination, amount))
        return f"{origin}/0x{message.emitter.hex()}/{message.sequence}", message

    in_time, message = send(2, 23, 10**18)
    bridge.redeem(message)
    other_way, message = send(30, 23, 2 * 10**18)
    bridge.redeem(message)
    late, late_message = send(23, 30, 3 * 10**18)
    never, _ = send(30, 2, 4 * 10**18)
    forged = replace(late_message, sequence=777)
    bridge.redeem(forged)
    advance(tuple(chains.values()), 26 * HOUR)
    bridge.redeem(late_message)
    orphan = f"23/0x{forged.emitter.hex()}/777"
    return Played(
        addresses={
            "wormhole-core": {name: site.core for name, site in sites.items()},
            "wormhole-token-bridge": {name: site.bridge for name, site in sites.items()},
        },
        statuses={
            in_time: "complete",
            other_way: "complete",
            late: "complete",
            never: "overdue",
            orphan: "orphan",
        },
        alerts={
            Alert("TransferOverdue", late, ended=True),
            Alert("TransferOverdue", never, ended=False),
            Alert("TransferOrphan", orphan, ended=False),
        },
    )


@pytest.mark.parametrize(
    ("preset", "play"),
    [
        ("cctp-v1", play_cctp_v1),
        ("wormhole-token-bridge", play_wormhole),
        ("layerzero-oft", messaging_plays.play_oft),
        ("layerzero-endpoint", messaging_plays.play_endpoint),
        ("stargate-v2", messaging_plays.play_stargate),
        ("hyperlane", messaging_plays.play_hyperlane),
    ],
)
async def test_what_happened_is_found(
    preset: str, play: Callable[[Chains], Played], chains: Chains, tmp_path: Path
) -> None:
    try:
        played = play(chains)
    except ArtifactError as error:
        missing("a protocol's contracts", str(error))
    advance(tuple(chains.values()), HOUR)
    for chain in chains.values():
        chain.anvil.mine(3)
    watch = Chainwatch(tmp_path, configured(preset, tmp_path, chains, played.addresses))
    found = await watch.read("replay", "--database", f"sqlite:///{tmp_path / 'chainwatch.db'}")
    transfers = await watch.read("transfers")
    assert {transfer["key"]: transfer["status"] for transfer in transfers} == played.statuses
    steps = {alert.step for alert in played.alerts} - {""}
    assert alerts_in(found, steps) == played.alerts
    assert len(found["alerts"]) == len(played.alerts)


def alerts_in(found: Any, steps: Collection[str]) -> set[Alert]:
    """The alerts, with their step where it is one of ``steps``."""
    found_alerts = set()
    for alert in found["alerts"]:
        labels = alert["labels"]
        step = labels["step"] if labels["step"] in steps else ""
        ended = alert["ends_at"] is not None
        found_alerts.add(Alert(labels["alertname"], labels["transfer"], ended, step))
    return found_alerts
