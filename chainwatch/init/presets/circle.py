"""What both versions of Circle's CCTP have in common."""

from __future__ import annotations

from chainwatch.init.presets.preset import Networks, invariant_table

THRESHOLD = "function signatureThreshold() view returns (uint256)"
ATTESTERS = "function getNumEnabledAttesters() view returns (uint256)"
MANAGER = "function attesterManager() view returns (address)"


def circle_invariants(transmitter: str, networks: Networks) -> str:
    """Return what must hold of the transmitter on each of ``networks``: that it runs, and whose signatures it takes."""
    return "".join(
        invariant_table(
            f"{transmitter}-{network}-{name}", kind, network=network, contract=transmitter, every="1m", **keys
        )
        for network in networks
        for name, kind, keys in (
            ("paused", "paused", {"events": ["Pause"]}),
            (
                "threshold",
                "constant",
                {"call": THRESHOLD, "severity": "P0", "events": ["SignatureThresholdUpdated"]},
            ),
            (
                "attesters",
                "constant",
                {"call": ATTESTERS, "severity": "P0", "events": ["AttesterEnabled", "AttesterDisabled"]},
            ),
            (
                "manager",
                "constant",
                {"call": MANAGER, "severity": "P0", "events": ["AttesterManagerUpdated"]},
            ),
        )
    )
