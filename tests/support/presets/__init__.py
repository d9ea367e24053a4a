"""The protocols that presets are proven with."""

from tests.support.presets import across

PROTOCOLS = [
    across.PROTOCOL,
]
