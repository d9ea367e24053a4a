"""What must hold of every block as a whole: where watched accounts send transactions, and that no ETH comes from nothing.

After Monitorism's `transaction_monitor` and `conservation_monitor`. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from chainwatch.support.keccak import checksum_address

SENDERS, CONSERVED = "senders", "conserved"
"""The heuristics of the kinds that are checked so."""
FEE_VAULTS = tuple(
    bytes.fromhex(f"42000000000000000000000000000000000000{number}") for number in ("11", "19", "1a", "1b")
)
"""Where OP-stack networks collect fees: of the sequencer, the base fee, for the L1, of the operator. Nothing elsewhere."""


class SenderCheck(NamedTuple):
    """Transactions of ``senders`` must go to ``targets``, or dispute games of the factory ``games``, with ``most`` wei."""

    network: str
    senders: frozenset[bytes]
    targets: frozenset[bytes]
    games: bytes | None
    most: int | None


class ConservedCheck(NamedTuple):
    """The accounts that a block of ``network`` touches must not have more than before, but for what is brought in."""

    network: str


BlockCheck = SenderCheck | ConservedCheck


def block_check(heuristic: str, network: str, params: Mapping[str, Any]) -> BlockCheck | None:
    """Return the check that a kind becomes with these parameters; None for one that looks up events."""
    if heuristic == CONSERVED:
        return ConservedCheck(network)
    if heuristic != SENDERS:
        return None
    games = params.get("games")
    return SenderCheck(
        network,
        frozenset(map(_address, params["senders"])),
        frozenset(map(_address, params.get("targets", ()))),
        None if games is None else _address(games),
        params.get("most"),
    )


def sender_fault(check: SenderCheck, to: bytes | None, value: int, *, is_game: bool) -> str:
    """Return what is wrong with a transaction of a watched sender; empty where nothing is."""
    amount = f" with {ether(value)} ETH" if value else ""
    if to is None:
        return f"it created a contract{amount}"
    target = checksum_address(to)
    if to not in check.targets and not is_game:
        return f"it went to {target}{amount}, which is none of its targets"
    if check.most is not None and value > check.most:
        return f"it sent {ether(value)} ETH to {target}, more than {ether(check.most)}"
    return ""


def conserved_fault(before: int, after: int, brought: int) -> str:
    """Return what is wrong with the sums of the balances of all touched accounts, in wei; empty where nothing is."""
    created = after - before - brought
    if created <= 0:
        return ""
    deposits = f", beside {ether(brought)} ETH of deposits," if brought else ""
    return f"at least {ether(created)} ETH came from nothing{deposits} in this block"


def ether(wei: int) -> str:
    """Return an amount of ETH as text, exact."""
    whole, rest = divmod(wei, 10**18)
    return f"{whole}.{rest:018}".rstrip("0").rstrip(".")


def _address(text: str) -> bytes:
    return bytes.fromhex(text[2:])
