"""Presets, as `init` writes them, over the bridges' own contracts on three networks: what is found is what happened."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from tests.support.anvil import Anvil
from tests.support.missing import missing
from tests.support.presets import messaging_plays, transfer_plays
from tests.support.presets.deployed import Alert, Chains, Played, configured
from tests.support.process import Chainwatch
from tests.support.protocols.artifacts import ArtifactError
from tests.support.protocols.chain import HOUR, Chain, advance

pytestmark = pytest.mark.anvil

DAY = 24 * HOUR
CHAIN_IDS = {"ethereum": 1, "arbitrum": 42_161, "base": 8_453}


@pytest.fixture
def chains(anvil_factory: Callable[..., Anvil]) -> Chains:
    began = str(int(time.time()) - 3 * DAY)
    nodes = {
        name: anvil_factory(chain_id=number, arguments=["--timestamp", began])
        for name, number in CHAIN_IDS.items()
    }
    return {name: Chain.at(node, account) for account, (name, node) in enumerate(nodes.items())}


@pytest.mark.parametrize(
    ("preset", "play"),
    [
        ("cctp-v1", transfer_plays.play_cctp_v1),
        ("cctp-v2", transfer_plays.play_cctp_v2),
        ("wormhole-token-bridge", transfer_plays.play_wormhole),
        ("axelar-gmp", transfer_plays.play_axelar),
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
    transfers = await watch.read("transfers", *(["--flow", played.flow] if played.flow else []))
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
