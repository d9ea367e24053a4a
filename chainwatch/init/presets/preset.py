"""What a preset is, and the networks that presets know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class KnownNetwork:
    """A network whose chain id and pace need not be asked for."""

    chain_id: int
    block_time: str
    stall_after: str = ""
    """Where 20 block times would be too hasty."""


KNOWN_NETWORKS: Mapping[str, KnownNetwork] = {
    "ethereum": KnownNetwork(1, "12s"),
    "optimism": KnownNetwork(10, "2s"),
    "bnb": KnownNetwork(56, "750ms", "1m"),
    "gnosis": KnownNetwork(100, "5s"),
    "polygon": KnownNetwork(137, "2s"),
    "moonbeam": KnownNetwork(1284, "6s"),
    "base": KnownNetwork(8453, "2s"),
    "arbitrum": KnownNetwork(42161, "250ms", "2m"),
    "avalanche": KnownNetwork(43114, "2s", "5m"),
    "linea": KnownNetwork(59144, "2s", "5m"),
}


@dataclass(frozen=True)
class Preset:
    """A protocol: the ABI files it needs, the networks it knows, and how its contracts and flows are written."""

    name: str
    title: str
    abis: tuple[str, ...]
    networks: tuple[str, ...]
    """Those whose contract addresses are known; at least two make a configuration."""
    write: Callable[[Sequence[str]], str]
    """Contracts and flows, as TOML, for the networks chosen."""
    hub: str = ""
    """The network that every transfer starts from or ends at, and so must be among the chosen."""
    attributes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Network → free attributes by which the protocol's events name it."""


def address_table(name: str, abi: str, addresses: Mapping[str, str], networks: Iterable[str]) -> str:
    """A ``[contracts.NAME]`` table, with the addresses on those of ``networks`` that have one."""
    lines = [f'{network} = "{addresses[network]}"' for network in networks if network in addresses]
    return (
        f'[contracts.{name}]\nabi = "abi/{abi}.json"\n\n[contracts.{name}.address]\n'
        + "\n".join(lines)
        + "\n"
    )
