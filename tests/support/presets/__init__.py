"""The protocols that presets are proven with."""

from tests.support.presets import (
    across,
    arbitrum,
    axelar_gmp,
    cbridge,
    cctp_v1,
    cctp_v2,
    debridge,
    hyperlane,
    layerzero,
    polygon_pos,
    wormhole_token_bridge,
    zksync_era,
)

PROTOCOLS = [
    across.PROTOCOL,
    across.BEFORE_THE_UPGRADE,
    cctp_v1.PROTOCOL,
    cctp_v2.PROTOCOL,
    wormhole_token_bridge.PROTOCOL,
    axelar_gmp.CALLS,
    axelar_gmp.CALLS_WITH_TOKEN,
    debridge.PROTOCOL,
    cbridge.PROTOCOL,
    arbitrum.FROM_ETHEREUM,
    arbitrum.TO_ETHEREUM,
    zksync_era.PROTOCOL,
    polygon_pos.PROTOCOL,
    layerzero.OFT,
    layerzero.ENDPOINT,
    hyperlane.PROTOCOL,
]
