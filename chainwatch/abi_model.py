"""The nouns of contract ABIs: events, functions, their parameters, and paths to values in them."""

from __future__ import annotations

from functools import cached_property
from typing import TypeAlias

import msgspec


class AbiParam(msgspec.Struct, frozen=True):
    """One parameter of an event or a tuple component, as the contract ABI specification has it.

    ``type`` is the ABI type string (``uint256``, ``tuple[]``, …); ``components`` is empty unless it is a tuple.
    """

    name: str
    type: str
    indexed: bool = False
    components: tuple[AbiParam, ...] = ()

    @property
    def canonical_type(self) -> str:
        """The type as signatures have it: tuples expanded to ``(a,b)``."""
        if not self.type.startswith("tuple"):
            return self.type
        inner = ",".join(c.canonical_type for c in self.components)
        return f"({inner}){self.type[len('tuple') :]}"


class AbiEvent(msgspec.Struct, frozen=True, dict=True):
    """One event of a contract ABI."""

    name: str
    inputs: tuple[AbiParam, ...]
    anonymous: bool = False

    @cached_property
    def signature(self) -> str:
        """``Name(type,type,…)``, the text whose Keccak-256 is the first topic."""
        return f"{self.name}({','.join(p.canonical_type for p in self.inputs)})"

    def extended(self, more: tuple[AbiParam, ...]) -> AbiEvent:
        """Return it with ``more`` values to read, which a log does not have: its signature stays."""
        event = AbiEvent(self.name, self.inputs + more, self.anonymous)
        event.__dict__["signature"] = self.signature
        return event


class AbiFunction(msgspec.Struct, frozen=True, dict=True):
    """One function of a contract ABI, without what it returns."""

    name: str
    inputs: tuple[AbiParam, ...]

    @cached_property
    def signature(self) -> str:
        """``name(type,type,…)``, the text whose Keccak-256 begins with the selector."""
        return f"{self.name}({','.join(p.canonical_type for p in self.inputs)})"


FieldPath: TypeAlias = tuple[str | int, ...]
"""The path to a value in an event: names of fields, and indexes into arrays."""
