"""What the flags of `chainwatch init` give, and who is asked for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

T = TypeVar("T")


class Prompt(Protocol):
    """Asks a question that has a default answer."""

    def __call__(self, question: str, default: str, parse: Callable[[str], T], /) -> T:
        """Return the answer as parsed by ``parse``; where that raises `InitError`, ask again or let it propagate."""


@dataclass(frozen=True)
class Given:
    """The values of the flags; empty where a flag was not given."""

    preset: str = ""
    networks: Sequence[str] = ()
    """``NAME``, or ``NAME=CHAIN_ID`` for a network that is not known."""
    rpc: Sequence[str] = ()
    """``NETWORK=URL`` or ``NETWORK=VARIABLE``; several for one network fail over in this order."""
    receivers: Sequence[str] = ()
    """``PROVIDER``, ``PROVIDER=VARIABLE`` or ``PROVIDER=URL``."""
    store: str = ""
    abi: Sequence[str] = ()
    address: Sequence[str] = ()
    """``NETWORK=0x…``"""
    opens: str = ""
    expects: str = ""
    key: str = ""
    network_by: str = ""
    named: Sequence[str] = ()
    """``NETWORK=VALUE``: the network's name in events, where that is not its chain id."""
    destination: str = ""
    origin: str = ""
    within: str = ""
    transactions: Sequence[str] = ()
    """``NETWORK=HASH`` of a transaction that sent, then of the one that paid out, of one transfer."""
    receipts: Sequence[str] = ()
    """``NETWORK=FILE``: the same as the transactions' receipts."""
