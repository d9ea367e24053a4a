"""The protocols that presets are proven with."""

from tests.support.presets import across, layerzero

PROTOCOLS = [
    across.PROTOCOL,
    layerzero.OFT,
    layerzero.ENDPOINT,
]
