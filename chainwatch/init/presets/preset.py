"""The shape of a preset, and the networks that presets know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class KnownNetwork:
    """A network whose chain id and block time are known, so that `init` need not ask for them."""

    chain_id: int
    block_time: str
    stall_after: str = ""
    """Set where the default, 20 block times, would raise false alarms."""


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
    """A protocol: the ABI files it needs, its networks, and a function that writes its contracts and flows."""

    name: str
    title: str
    abis: tuple[str, ...]
    networks: tuple[str, ...]
    """The networks with known contract addresses; a configuration needs at least two."""
    write: Callable[[Sequence[str]], str]
    """Contracts and flows, as TOML, for the networks chosen."""
    hub: str = ""
    """The network on which every transfer starts or ends; it must be among those chosen."""
    attributes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Network → free attributes by which the protocol's events name it."""


def address_table(name: str, abi: str, addresses: Mapping[str, str], networks: Iterable[str]) -> str:
    """Return a ``[contracts.NAME]`` table, with the addresses on those of ``networks`` that have one."""
    lines = [f'{network} = "{addresses[network]}"' for network in networks if network in addresses]
    return (
        f'[contracts.{name}]\nabi = "abi/{abi}.json"\n\n[contracts.{name}.address]\n'
        + "\n".join(lines)
        + "\n"
    )
