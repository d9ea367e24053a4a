"""The shape of a preset, and what presets are made of: tables of addresses, text of contracts and flows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import permutations
from typing import Any

Networks = Sequence[str]
"""Names of networks, in the order in which they were chosen."""
Value = int | str
Addresses = Mapping[str, str | list[str]]
"""Network → address, or list of addresses."""


@dataclass(frozen=True)
class About:
    """What a user must know of a preset: printed above its flow by `init`, and on the page of presets."""

    sees: str
    """What the flow follows, from which event to which."""
    blind: str
    """What the flow cannot see, and what that means for its alerts."""
    orphans: str
    """What an orphan of this protocol is, and how long a step waits for its opening; empty where no transfer is followed."""
    source: str
    """Where the events, addresses and numbers are from, and which of them were checked against nothing."""


UNSEARCHED = (
    "For the first seven days of watching such a step is `unopened` instead, forged or not: no part of the key is indexed, "
    'so that older openings cannot be asked for. With `lookback = "0s"` in the flow it is reported at once, as are '
    "messages that were under way when watching began."
)
"""What `orphans` adds where the opening event has no part of the key among its indexed arguments."""


@dataclass(frozen=True)
class Preset:
    """A protocol: the ABI files it needs, its networks, and the text of its contracts and flows."""

    name: str
    title: str
    about: About
    abis: tuple[str, ...]
    """Names of files in ``abi/``, without the ending."""
    networks: tuple[str, ...]
    """The networks with known contract addresses, the main ones first."""
    contracts: Callable[[Networks], str]
    """The `[contracts.NAME]` tables, as TOML, for the networks chosen."""
    flows: Callable[[Networks], str]
    """The `[flows.NAME]` tables, as TOML, for the networks chosen; none for a preset that follows no transfers."""
    hub: str = ""
    """The network on which every transfer starts or ends; it must be among those chosen."""
    attributes: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    """Network → free attributes by which the protocol's events name it."""
    invariants: Callable[[Networks], str] = lambda _networks: ""
    """The `[invariants.NAME]` tables, as TOML, for the networks chosen."""
    fewest_networks: int = 2
    """How many networks a configuration needs."""
    most_networks: int = 0
    """How many networks a configuration may have; 0 for any number."""
    own_contract: str = ""
    """The contract whose addresses only the user knows, as its table is called; its ABI is the first of ``abis``.

    Several addresses on one network are allowed.
    """

    def explanation(self) -> tuple[str, ...]:
        """Return what a user must know before the first alert, as paragraphs."""
        about = self.about
        texts = (f"Sees: {about.sees}", f"Does not see: {about.blind}", f"Orphans: {about.orphans}")
        return texts if about.orphans else texts[:2]


@dataclass(frozen=True)
class Table:
    """The addresses and numbers of a protocol: a file in ``tables/``."""

    source: str
    """The package, with version, and the files that the values were taken from."""
    networks: Mapping[str, Mapping[str, Any]]
    """Network → column → value; networks lack columns that they have no value for."""

    def column(self, name: str) -> Addresses:
        """Return network → address of ``name``, for the networks that have one."""
        return {network: row[name] for network, row in self.networks.items() if name in row}

    def attributes(self, *names: str) -> dict[str, dict[str, Value]]:
        """Return network → the columns ``names`` as free attributes."""
        return {network: {name: row[name] for name in names} for network, row in self.networks.items()}


def load_table(name: str) -> Table:
    """Return the table in the file ``tables/NAME.json``: `{"source": …, "networks": {NAME: {COLUMN: VALUE}}}`."""
    found = json.loads(files(__package__).joinpath("tables", f"{name}.json").read_text(encoding="utf-8"))
    return Table(found["source"], found["networks"])


def address_table(name: str, abi: str, addresses: Addresses, networks: Iterable[str]) -> str:
    """Return a ``[contracts.NAME]`` table, with the addresses on those of ``networks`` that have one."""
    lines = [f"{network} = {_toml(addresses[network])}" for network in networks if network in addresses]
    return (
        f'[contracts.{name}]\nabi = "abi/{abi}.json"\n\n[contracts.{name}.address]\n'
        + "\n".join(lines)
        + "\n"
    )


def invariant_table(name: str, kind: str, **keys: object) -> str:
    """Return a ``[invariants.NAME]`` table of a kind with ``keys``, its parameters among them."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"kind": kind, **keys}.items()]
    return f"\n[invariants.{name}]\n" + "\n".join(lines) + "\n"


PAIRS_NETWORKS = 10
"""The most networks of which `pairs` returns any: of more there would be hundreds of tables."""


def pairs(networks: Networks) -> list[tuple[str, str]]:
    """Return each network with each other one: what must hold there of a contract on the other."""
    return list(permutations(networks, 2)) if len(networks) <= PAIRS_NETWORKS else []


def _toml(addresses: str | list[str]) -> str:
    return json.dumps(addresses[0] if isinstance(addresses, list) and len(addresses) == 1 else addresses)
