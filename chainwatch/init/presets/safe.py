"""Safe multisigs (1.3 and newer): who may act for one, and what runs with its funds."""

from __future__ import annotations

from chainwatch.init.presets.networks import KNOWN_NETWORKS
from chainwatch.init.presets.preset import About, Networks, Preset, invariant_table

KINDS = {
    "owners": ("safe_owners", ("AddedOwner", "RemovedOwner")),
    "threshold": ("safe_threshold", ("ChangedThreshold",)),
    "modules": ("safe_modules", ("EnabledModule", "DisabledModule")),
    "guard": ("safe_guard", ("ChangedGuard",)),
    "fallback": ("safe_fallback", ("ChangedFallbackHandler",)),
    "code": ("safe_singleton", ()),
}
"""What nobody should change unnoticed: the kind that watches it, and the events that tell of a change."""


def _invariants(networks: Networks) -> str:
    tables = []
    for network in networks:
        safe = {"network": network, "safe": "safe", "every": "1m"}
        for name, (kind, events) in KINDS.items():
            also = {"events": events} if events else {}
            tables.append(invariant_table(f"safe-{network}-{name}", kind, **safe, **also))
    return "".join(tables)


PRESET = Preset(
    name="safe",
    title="Safe multisigs",
    about=About(
        sees="changes of the owners, the number of signatures, modules, guard, fallback handler and code of one Safe on "
        "each network, as state once a minute and at each event of such a change.",
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
