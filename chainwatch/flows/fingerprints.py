"""Fingerprints of configured flows, by which a change of the configuration is noticed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chainwatch.config import Settings
from chainwatch.pipeline.checker import Prints, fingerprint

VERSION = 1
"""Raise it when the same configuration makes other transfers of the same logs than before: all are made again then."""

_SINCE: Mapping[str, object] = {
    "match": "key",
    "alias": None,
    "by": None,
    "each": None,
    "covers": None,
    "with_": {},
    "call": None,
    "orphan": "alert",
}
"""Keys that flows did not always have, by their defaults: with these a flow is what it was before."""


def fingerprints(settings: Settings) -> Prints:
    """Return what each configured flow, with the ABI files, addresses and networks that it uses, compiles to."""
    networks = {name: (network.chain_id, network.attributes) for name, network in settings.networks.items()}
    abis = {name: Path(contract.abi).read_bytes() for name, contract in settings.contracts.items()}
    found: Prints = {}
    for name, flow in settings.flows.items():
        contracts = {c: (settings.contracts[c].address, abis[c]) for c in sorted(flow.contracts) if c in abis}
        rest, whole = _stated_in_all(flow.counting()), _stated_in_all(flow.model_dump())
        found[name] = (
            fingerprint([VERSION, rest, contracts, networks]),
            fingerprint([VERSION, whole, contracts, networks]),
        )
    return found


def _stated_in_all(dumped: Mapping[str, Any]) -> dict[str, Any]:
    return _stated(dumped) | {
        "opens": _stated(dumped["opens"]),
        "expects": [_stated(step) for step in dumped["expects"]],
    }


def _stated(dumped: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in dumped.items() if key not in _SINCE or value != _SINCE[key]}
