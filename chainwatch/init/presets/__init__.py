"""The protocols that `chainwatch init` knows: their contracts, their networks, and their flows.

A preset's ABI files lie beside this module as ``NAME.json``; the repository's ``abi/`` holds the same files.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from chainwatch.init.presets import across, connext, nomad, op_stack
from chainwatch.init.presets.preset import KNOWN_NETWORKS, KnownNetwork, Preset

PRESETS: Mapping[str, Preset] = {
    preset.name: preset for preset in (connext.PRESET, across.PRESET, op_stack.PRESET, nomad.PRESET)
}

__all__ = ["KNOWN_NETWORKS", "PRESETS", "KnownNetwork", "Preset", "abi_text"]


def abi_text(name: str) -> str:
    """Return the JSON of the ABI ``name`` that some preset needs."""
    return files(__package__).joinpath(f"{name}.json").read_text(encoding="utf-8")
