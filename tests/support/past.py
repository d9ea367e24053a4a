"""A past made of chosen blocks, taken through the true pipeline, as logs that a node would give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from eth_abi.abi import encode

from chainwatch.alert_model import Alert
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.chain.decode.abi import load_abi
from chainwatch.model import AbiParam, Batch, Event, Header, RawLog, Searched, Seen, Transfer
from chainwatch.plan import Plan
from chainwatch.store import transfers
from chainwatch.store.alerting import alerts
from chainwatch.store.database import Database
from chainwatch.support.keccak import keccak256
from tests.support.pipelines import flow_pipeline

FIRST_BLOCK = 1_000
BEGIN = 1_700_000_000
"""The chain time of every network's first watched block."""

Values = Mapping[str, Any]


class EncodedLog(NamedTuple):
    """The address, topics and data of a log."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


class Past:
    """Networks whose blocks are delivered one at a time. Times are seconds after `BEGIN`."""

    def __init__(self, plan: Plan, database: Database) -> None:
        self._plan = plan
        self._database = database
        settings = plan.settings
        manager = AlertEngine(settings.routes, dict.fromkeys(settings.receivers, True), 0)
        self._pipeline = flow_pipeline(plan.flows, settings.networks, plan.decode, manager)
        self._heights = dict.fromkeys(settings.networks, FIRST_BLOCK)
        for network in settings.networks:
            self._notify(Batch(network, FIRST_BLOCK, self._header(network, 0), first_timestamp=BEGIN))

    def emit(self, network: str, contract: str, event: str, values: Values, at: int) -> None:
        """A block at ``at`` in which ``contract`` emits ``event``."""
        self.include(network, [self._log(network, contract, event, values)], at)

    def include(
        self, network: str, logs: Sequence[EncodedLog], at: int, transaction: bytes | None = None
    ) -> None:
        """A block at ``at`` with one transaction, whose hash may be given, that emits ``logs``; all are watched."""
        self._heights[network] += 1
        header = self._header(network, at)
        tx_hash = transaction or keccak256(header.hash)
        position = (header.number, header.hash, header.timestamp)
        raw = [RawLog(*position, index, tx_hash, *log) for index, log in enumerate(logs)]
        decoded = [self._plan.watches[network].decode(log) for log in raw]
        events = tuple(event for event in decoded if isinstance(event, Event))
        assert len(events) == len(logs), decoded
        self._notify(Batch(network, header.number, header, events))

    def see(self, until: int) -> None:
        """Every network has been seen until ``until``."""
        for network in self._heights:
            self._notify(Seen(network, BEGIN + until))

    def look_back_in_vain(self) -> None:
        """The openings that are looked for in earlier blocks are not there."""
        for transfer in self.transfers():
            self._notify(Searched(transfer.flow, (transfer.key,), ()))

    def transfers(self) -> list[Transfer]:
        """All transfers, in the order in which they were first seen."""
        with self._database.reading() as connection:
            return list(transfers.select(connection, transfers.Filter()))[::-1]

    def statuses(self) -> dict[str, str]:
        """Key → status."""
        return {transfer.key: transfer.status for transfer in self.transfers()}

    def alerts(self) -> list[Alert]:
        """All alerts, by the chain time of their start."""
        with self._database.reading() as connection:
            return alerts.list_alerts(connection)[::-1]

    def raised(self) -> list[tuple[str, str, str]]:
        """Name, step and state of every alert."""
        return [(alert.name, alert.labels["step"], alert.state) for alert in self.alerts()]

    def _notify(self, item: Batch | Seen | Searched) -> None:
        with self._database.transaction() as connection:
            self._pipeline.process(connection, [item], BEGIN)

    def _header(self, network: str, at: int) -> Header:
        number = self._heights[network]
        name = f"{network} {number}".encode()
        return Header(number, keccak256(name), keccak256(f"{network} {number - 1}".encode()), BEGIN + at)

    def _log(self, network: str, contract: str, event: str, values: Values) -> EncodedLog:
        settings = self._plan.settings.contracts[contract]
        abi = load_abi(settings.abi).event(event)
        topics = [keccak256(abi.signature.encode())]
        topics += [_topic(p, values[p.name]) for p in abi.inputs if p.indexed]
        plain = [p for p in abi.inputs if not p.indexed]
        data = encode([p.canonical_type for p in plain], [_plain(p, values[p.name]) for p in plain])
        (address,) = settings.addresses_on(network)
        return EncodedLog(bytes.fromhex(address[2:]), tuple(topics), data)


P = TypeVar("P", bound=Past)


@contextmanager
def past(plan: Plan, folder: Path, kind: type[P] = Past) -> Iterator[P]:  # type: ignore[assignment]
    """A past that is forgotten at the end."""
    database = Database.open(f"sqlite:///{folder / 'past.db'}", durable=False)
    try:
        yield kind(plan, database)
    finally:
        database.close()


def _topic(param: AbiParam, value: Any) -> bytes:
    """An indexed argument in a log; of a dynamic value only the hash."""
    if param.type in ("bytes", "string"):
        return keccak256(value)
    return encode([param.type], [value])


def _plain(param: AbiParam, value: Any) -> Any:
    """A value as eth_abi takes it: tuples as tuples."""
    if param.components:
        return tuple(_plain(component, value[component.name]) for component in param.components)
    return value
