"""The protocols that `chainwatch init` knows: their contracts, their networks, and their flows.

A preset is a module with its `PRESET`; its ABI files lie in ``abi/``, its tables of addresses in ``tables/``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files

from chainwatch.chain.decode.abi import Abi, parse_abi
from chainwatch.init.presets import (
    across,
    arbitrum,
    axelar_gmp,
    cbridge,
    ccip,
    ccip_lane,
    cctp_v1,
    cctp_v2,
    connext,
    debridge,
    hyperlane,
    layerzero_endpoint,
    layerzero_oft,
    nomad,
    op_stack,
    polygon_pos,
    safe,
    stargate_v2,
    wormhole_token_bridge,
    zksync_era,
)
from chainwatch.init.presets.networks import KNOWN_NETWORKS, KnownNetwork
from chainwatch.init.presets.preset import Preset, address_table

PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        connext.PRESET,
        across.PRESET,
        op_stack.PRESET,
        nomad.PRESET,
        cctp_v1.PRESET,
        cctp_v2.PRESET,
        wormhole_token_bridge.PRESET,
        axelar_gmp.PRESET,
        debridge.PRESET,
        cbridge.PRESET,
        arbitrum.PRESET,
        zksync_era.PRESET,
        polygon_pos.PRESET,
        layerzero_oft.PRESET,
        layerzero_endpoint.PRESET,
        stargate_v2.PRESET,
        hyperlane.PRESET,
        ccip.PRESET,
        ccip_lane.PRESET,
        safe.PRESET,
    )
}

__all__ = ["KNOWN_NETWORKS", "PRESETS", "KnownNetwork", "Preset", "abi_text", "address_table", "shipped_abis"]


def abi_text(name: str) -> str:
    """Return the JSON of the ABI ``name`` that some preset needs."""
    return files(__package__).joinpath("abi", f"{name}.json").read_text(encoding="utf-8")


def shipped_abis() -> dict[str, Abi]:
    """Return by their names the ABIs of all presets that follow transfers."""
    names = sorted({name for preset in PRESETS.values() if preset.about.orphans for name in preset.abis})
    return {name: parse_abi(json.loads(abi_text(name)), f"{name}.json") for name in names}
