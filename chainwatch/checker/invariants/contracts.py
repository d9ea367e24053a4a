"""What the compiler of invariants asks about the rest of the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from chainwatch.checker.flow import Flow
from chainwatch.config.invariant_values import ValueSettings
from chainwatch.model import AbiEvent, AbiFunction, AbiParam


class Contracts(Protocol):
    """What is known of contracts, flows and assets. Its methods raise ``LookupError``."""

    def addresses(self, contract: str, network: str) -> Sequence[str]:
        """Return the checksummed addresses of ``contract`` on ``network``."""

    def view(self, contract: str | None, named: str) -> tuple[AbiFunction, tuple[AbiParam, ...]]:
        """Return a function, and what it returns."""

    def event(self, contract: str, named: str) -> AbiEvent:
        """Return an event of ``contract``."""

    def value(self, named: str) -> ValueSettings:
        """Return a value of another invariant, by ``NAME.VALUE``: not one that is a value of another in turn."""

    def flow(self, name: str) -> Flow:
        """Return a compiled flow."""

    def unit(self, network: str, address: bytes | None) -> tuple[str, int] | None:
        """Return symbol and decimals, as configured, of the asset at ``address``: None for the network's currency."""

    def asset(self, name: str) -> tuple[Sequence[tuple[str, bytes]], int | None]:
        """Return where a configured asset is, as networks and addresses (20 bytes), and its decimals if they are known."""


def lookup_text(error: LookupError) -> str:
    """Return what a method of `Contracts` has to say."""
    return str(error.args[0]) if error.args else "it cannot be found"
