"""The networks of a protocol, watched with the configuration that `init` writes for its preset."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chainwatch.init.questions import Given, ask
from chainwatch.init.wizard import create
from chainwatch.model import Transfer
from chainwatch.plan import Plan, load_plan
from tests.support.past import EncodedLog, Past, past
from tests.support.presets.protocol import DAY, Alerted, Emitted, Protocol, Step, Transaction, encode_log

BEGIN = 100 * DAY
"""Far enough from the first watched block that no opening may lie before it."""
LONG = 60 * DAY
"""Longer than any deadline."""


class World(Past):
    """A past of the protocol's own logs."""

    protocol: Protocol

    def run(self, transaction: Transaction, at: int) -> None:
        logs = [self._encoded(transaction.network, log) for log in transaction.logs]
        self.include(transaction.network, logs, at, transaction.tx_hash)

    def open(self, n: int, at: int = BEGIN) -> None:
        """Open the transfer ``n`` of every route."""
        for route in self.protocol.routes:
            self.run(self.protocol.opens(route, n), at)

    def follow(self, *numbers: int, at: int = BEGIN) -> None:
        """All steps of these transfers of every route, each so long after ``at`` as it usually takes."""
        for step in sorted(self.protocol.steps, key=lambda step: step.after):
            self.step(step, *numbers, at=at + step.after)

    def step(self, step: Step, *numbers: int, at: int) -> None:
        for n in numbers:
            for route in self.protocol.routes:
                self.run(step.transaction(route, n), at)

    def judged(self) -> dict[str, str]:
        """Key → status of the transfers between the networks watched."""
        return {key: status for key, status in self.statuses().items() if status != "untracked"}

    def transfers(self) -> list[Transfer]:
        """Those of the protocol's flow."""
        flow = self.protocol.flow
        return [transfer for transfer in super().transfers() if flow in ("", transfer.flow)]

    def alerted(self) -> list[Alerted]:
        return sorted(Alerted(*raised) for raised in self.raised())

    def _encoded(self, network: str, log: Emitted) -> EncodedLog:
        address = self._plan.settings.contracts[log.contract].addresses_on(network)[log.which]
        return EncodedLog(bytes.fromhex(address[2:]), *encode_log(log.signature, log.values))


def written(protocol: Protocol, folder: Path) -> Plan:
    """The plan of the preset's configuration, written without a question."""
    addresses = [f"{name}={address}" for name in protocol.networks for address in protocol.own_addresses]
    given = Given(preset=protocol.preset, networks=protocol.networks, address=addresses)
    done = create(ask(given), folder / "chainwatch.toml")
    return load_plan(done.config, dict.fromkeys(done.variables, "https://node.example"))


@contextmanager
def watched(protocol: Protocol, folder: Path) -> Iterator[World]:
    """The networks of ``protocol`` before anything was emitted."""
    with past(written(protocol, folder), folder, World) as world:
        world.protocol = protocol
        yield world
