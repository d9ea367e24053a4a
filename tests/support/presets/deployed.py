"""A preset's configuration, as `init` writes it, for contracts that a test has deployed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from chainwatch.init.presets import PRESETS
from chainwatch.init.questions import Given, ask
from chainwatch.init.wizard import create
from tests.support.protocols.chain import Chain


class Alert(NamedTuple):
    """An alert, the transfer's key, whether it ended, and its step where the flow has several."""

    name: str
    transfer: str
    ended: bool
    step: str = ""


class Played(NamedTuple):
    """The addresses of a protocol's contracts by network, and what is to be found of what was done with them."""

    addresses: Mapping[str, Mapping[str, str]]
    statuses: Mapping[str, str]
    alerts: set[Alert]
    flow: str = ""
    """The flow that they are in, where others see the same events."""


Chains = dict[str, Chain]


def configured(
    preset: str, folder: Path, chains: Mapping[str, Chain], addresses: Mapping[str, Mapping[str, str]]
) -> str:
    """The text of the configuration for ``chains`` by network, read from their first blocks.

    ``addresses`` are those of every contract by network. The ABI files are written into ``folder``.
    """
    own = PRESETS[preset].own_contract
    given = Given(
        preset=preset,
        address=[f"{network}={address}" for network, address in addresses.get(own, {}).items()],
        networks=list(chains),
        rpc=[f"{network}={chain.anvil.http_url}" for network, chain in chains.items()],
        store=f"sqlite:///{folder / 'chainwatch.db'}",
    )
    text = create(ask(given), folder / "written.toml").config.read_text()
    return "\n".join(_lines(text.replace("#start_block = 0", "start_block = 0"), addresses))


def _lines(text: str, addresses: Mapping[str, Mapping[str, str]]) -> list[str]:
    lines, contract = [], ""
    for line in text.splitlines():
        if line.startswith("["):
            found = re.fullmatch(r"\[contracts\.(.*)\.address]", line)
            contract = found[1] if found else ""
        elif contract and " = " in line and not line.startswith("#"):
            network = line.partition(" = ")[0]
            line = f'{network} = "{addresses[contract][network]}"'
        lines.append(line)
    return lines
