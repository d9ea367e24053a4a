"""The answers from which `chainwatch init` writes a configuration, and the error for an unusable one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from chainwatch.config.receivers import PROVIDERS, settings_model
from chainwatch.init.presets import PRESETS
from chainwatch.init.proposal import ProposedFlow

OWN = "own"
"""The preset's name for a contract that no preset knows."""
CHOICES = (*PRESETS, OWN)
DEFAULT_STORE = "sqlite:///chainwatch.db"
CHAIN_ID = "chain_id"
"""How events identify networks by default."""

NUMBER = re.compile("0|[1-9][0-9]{0,17}")
VARIABLE = re.compile("[A-Z_][A-Z0-9_]*")
"""The name of an environment variable, which may be given in place of a URL."""


@cache
def providers() -> dict[str, str]:
    """Return the providers that need at most a URL → the variable for it, which their settings give as an example."""
    found = {}
    for name in PROVIDERS:
        fields = settings_model(name).model_fields
        needed = {key for key, field in fields.items() if field.is_required()} - {"name", "provider"}
        examples = (fields["url"].examples or [""]) if "url" in fields else []
        if needed == {"url"} or (not needed and any(examples)):
            found[name] = str(examples[0]).strip("${}") or f"{name.upper()}_URL"
        elif not needed:
            found[name] = ""
    return found


class InitError(ValueError):
    """An answer that cannot be used; the message says what was expected, and names the flag that gives it."""


@dataclass(frozen=True)
class ChosenNetwork:
    """A chosen network. ``rpc`` holds URLs and names of environment variables."""

    name: str
    chain_id: int
    rpc: tuple[str, ...]


@dataclass(frozen=True)
class ChosenReceiver:
    """A chosen receiver. ``url`` is a URL or the name of an environment variable; empty for the console."""

    provider: str
    url: str = ""


@dataclass(frozen=True)
class OwnFlow:
    """A flow of one contract that no preset knows: two events that share a key."""

    abi: str
    address: tuple[tuple[str, str], ...]
    opens: str
    expects: str
    key: str
    network_by: str
    named: tuple[tuple[str, str], ...]
    """Network → its name in events; empty where events use the chain id."""
    destination: str
    origin: str
    """The later event's argument that names the origin; empty where it has none."""
    within: str


@dataclass(frozen=True)
class ChosenTransaction:
    """One side of a transfer: its network, and the transaction's hash, or a file that holds its receipt."""

    network: str
    tx_hash: str = ""
    file: str = ""


@dataclass(frozen=True)
class OwnTransfer:
    """A transfer from whose transactions a flow is to be proposed: first the one that sent it, then the one that paid."""

    transactions: tuple[ChosenTransaction, ChosenTransaction]
    abis: tuple[str, ...]
    addresses: tuple[tuple[tuple[str, str], str], ...] = ()
    """(Contract, network) → address, for networks on which none of the transactions was; an empty contract is any."""
    network_by: str = ""
    named: tuple[tuple[str, str], ...] = ()
    within: str = ""


@dataclass(frozen=True)
class Answers:
    """Everything that a configuration is written from.

    With the preset `OWN`, either ``own`` is set, or ``transfer``, of which ``proposal`` is made.
    """

    preset: str
    networks: tuple[ChosenNetwork, ...]
    receivers: tuple[ChosenReceiver, ...] = (ChosenReceiver("console"),)
    store: str = DEFAULT_STORE
    own: OwnFlow | None = None
    address: tuple[tuple[str, str], ...] = ()
    """(Network, address) of the preset's `own_contract`, several times for several; empty where it has none."""
    transfer: OwnTransfer | None = None
    proposal: ProposedFlow | None = None
