"""The protocols that presets are proven with."""

from tests.support.presets import across, layerzero

PROTOCOLS = [
    across.PROTOCOL,
    across.BEFORE_THE_UPGRADE,
    layerzero.OFT,
    layerzero.ENDPOINT,
]
