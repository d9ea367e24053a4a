"""Safe multisigs (1.3 and newer): who may act for one, and what runs with its funds."""

from __future__ import annotations

from chainwatch.init.presets.networks import KNOWN_NETWORKS
from chainwatch.init.presets.preset import About, Networks, Preset, invariant_table

CHANGES = ("AddedOwner", "RemovedOwner", "EnabledModule", "ChangedGuard", "ChangedFallbackHandler")
"""Events of changes that nobody should make unnoticed."""


def _invariants(networks: Networks) -> str:
    tables = []
    for network in networks:
        safe = {"network": network, "safe": "safe", "every": "1m"}
        tables += [
            invariant_table(f"safe-{network}-owners", "safe_owners", **safe),
            invariant_table(f"safe-{network}-threshold", "safe_threshold", **safe),
            invariant_table(f"safe-{network}-code", "safe_singleton", **safe),
            invariant_table(f"safe-{network}-guard", "safe_guard", **safe),
            invariant_table(f"safe-{network}-modules", "safe_modules", **safe),
        ]
        tables += [
            invariant_table(
                f"safe-{network}-{event}",
                "events",
                network=network,
                contract="safe",
                event=event,
                most=0,
                severity="P0",
            )
            for event in CHANGES
        ]
    return "".join(tables)


PRESET = Preset(
    name="safe",
    title="Safe multisigs",
    about=About(
        sees="changes of the owners, the number of signatures, modules, guard, fallback handler and code of one Safe on "
        "each network, as state once a minute and by their events.",
        blind="what the Safe executes, and several Safes on one network: copy the tables for another contract. Without "
        "`owners` (the kind `safe_owners`), which owners there should be.",
        orphans="",
        source="the Safe contracts 1.3.0, 1.4.1 and 1.5.0; what 1.4.1 indexes and 1.3.0 does not is read in both forms.",
    ),
    abis=("safe",),
    networks=tuple(KNOWN_NETWORKS),
    contracts=lambda _networks: "",
    flows=lambda _networks: "",
    invariants=_invariants,
    fewest_networks=1,
    own_contract="safe",
)
