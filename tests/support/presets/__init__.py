"""The protocols that presets are proven with."""

from tests.support.presets import (
    across,
    arbitrum,
    cbridge,
    ccip,
    cctp_v1,
    debridge,
    hyperlane,
    layerzero,
    polygon_pos,
    stargate,
    wormhole_token_bridge,
    zksync_era,
)

PROTOCOLS = [
    across.PROTOCOL,
    across.BEFORE_THE_UPGRADE,
    cctp_v1.PROTOCOL,
    wormhole_token_bridge.PROTOCOL,
    debridge.PROTOCOL,
    cbridge.PROTOCOL,
    arbitrum.FROM_ETHEREUM,
    arbitrum.TO_ETHEREUM,
    zksync_era.PROTOCOL,
    polygon_pos.PROTOCOL,
    layerzero.OFT,
    layerzero.ENDPOINT,
    stargate.PROTOCOL,
    hyperlane.PROTOCOL,
    ccip.PROTOCOL,
    ccip.LANE,
]
