"""A small bridge for tests of flows: its events without a chain, its flow with any changes, alerts that only remember.

``Sent`` opens a transfer on its origin, ``Filled`` and ``Settled`` follow on its destination. All three name the
transfer by ``id`` and their networks by chain id: alpha is 1, beta 2, gamma 3. ``Terms`` is a sibling of any of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from chainwatch.checker.compiler import compile_flow
from chainwatch.checker.flow import Flow
from chainwatch.config import FlowSettings, NetworkSettings
from chainwatch.model import AbiEvent, AbiParam, Event, Header, RawLog, Signal, StoredLog

NAMES = ("alpha", "beta", "gamma")
CHAIN_IDS = {name: index + 1 for index, name in enumerate(NAMES)}
NETWORKS = {
    name: NetworkSettings.model_validate(
        {"name": name, "chain_id": CHAIN_IDS[name], "rpc": ["http://node"], "domain": 1000 + CHAIN_IDS[name]}
    )
    for name in NAMES
}

EVENTS = {
    "Sent": AbiEvent(
        "Sent",
        (
            AbiParam("id", "uint256", indexed=True),
            AbiParam("from", "uint256"),
            AbiParam("to", "uint256"),
            AbiParam("amount", "uint256"),
            AbiParam("parts", "uint256[]"),
        ),
    ),
    "Filled": AbiEvent(
        "Filled",
        (
            AbiParam("id", "uint256", indexed=True),
            AbiParam("from", "uint256"),
            AbiParam("amount", "uint256"),
        ),
    ),
    "Settled": AbiEvent(
        "Settled",
        (
            AbiParam("id", "uint256", indexed=True),
            AbiParam("from", "uint256"),
            AbiParam("amount", "uint256"),
        ),
    ),
    "Terms": AbiEvent(
        "Terms", (AbiParam("from", "uint256"), AbiParam("to", "uint256"), AbiParam("amount", "uint256"))
    ),
}

_SETTINGS: dict[str, Any] = {
    "name": "bridge",
    "contract": "bridge",
    "key": "id",
    "orphan_grace": "10s",
    "lookback": "0s",
    "opens": {"step": "send", "event": "Sent", "origin": "from", "destination": "to", "amount": "amount"},
    "expects": [
        {"step": "fill", "event": "Filled", "origin": "from", "within": "30s", "severity": "P1"},
        {"step": "settle", "event": "Settled", "origin": "from", "within": "100s", "severity": "P2"},
    ],
}


def flow(
    *,
    opens: Mapping[str, Any] | None = None,
    fill: Mapping[str, Any] | None = None,
    settle: Mapping[str, Any] | None = None,
    events: Mapping[str, AbiEvent] = EVENTS,
    networks: Mapping[str, NetworkSettings] = NETWORKS,
    deployed: Sequence[str] | None = None,
    **changes: Any,
) -> Flow:
    """The bridge's flow; ``opens``, ``fill`` and ``settle`` change keys of its steps (None takes a key away).

    ``deployed`` are the networks that its contract is on: all, unless they are given.
    """

    def changed(table: Mapping[str, Any], by: Mapping[str, Any] | None) -> dict[str, Any]:
        return {k: v for k, v in {**table, **(by or {})}.items() if v is not None}

    def event(_contract: str, name: str) -> AbiEvent:
        if name not in events:
            raise LookupError(f"there is no event {name}")
        return events[name]

    fills, settles = _SETTINGS["expects"]
    settings = _SETTINGS | {
        "opens": changed(_SETTINGS["opens"], opens),
        "expects": [changed(fills, fill), changed(settles, settle)],
    }
    return compile_flow(
        FlowSettings.model_validate(settings | changes),
        networks,
        lambda _contract: list(deployed or networks),
        event,
    )


def event(
    network: str,
    name: str,
    at: int,
    *,
    block: int | None = None,
    log_index: int = 0,
    events: Mapping[str, AbiEvent] = EVENTS,
    **args: Any,
) -> Event:
    """An event at chain time ``at``, in block ``at`` unless said otherwise.

    Arguments left out: ``id`` 7, ``from`` alpha, ``to`` beta, ``amount`` 100. ``from_`` stands for ``from``.
    """
    usual: dict[str, Any] = {"id": 7, "from": 1, "to": 2, "amount": 100, "parts": []}
    given = usual | {k.rstrip("_"): v for k, v in args.items()}
    abi = events[name]
    values = {p.name: given[p.name] for p in abi.inputs if p.name in given}
    number = at if block is None else block
    place = f"{network}/{number}/{log_index}/{name}/{sorted(values.items())}"
    log = RawLog(
        block_number=number,
        block_hash=b"",
        timestamp=at,
        log_index=log_index,
        tx_hash=hashlib.sha256(place.encode()).digest(),
        address=b"\x01" * 20,
        topics=(b"\x02" * 32,),
        data=msgspec.msgpack.encode([name, {k: _text(v) for k, v in values.items()}]),
    )
    return Event(network, "bridge", name, abi.signature, values, log)


def decode(network: str, log: StoredLog) -> Event:
    """The event of a stored log that `event` made."""
    name, values = msgspec.msgpack.decode(log.log.data)
    args = {k: _value(v) for k, v in values.items()}
    return Event(network, log.contract, name, EVENTS[name].signature, args, log.log)


def header(number: int, timestamp: int, fork: int = 0) -> Header:
    """A block header; ``fork`` distinguishes blocks of the same number."""
    return Header(number, _hash(number, fork), _hash(number - 1, fork), timestamp)


class Shown(NamedTuple):
    """The last that was said of an alert."""

    starts_at: float
    ends_at: float | None
    reason: str


class Alerts:
    """Remembers, by labels, what was said last; stands where the alert manager would."""

    def __init__(self) -> None:
        self.last: dict[frozenset[tuple[str, str]], Shown] = {}
        self.signals: list[Signal] = []

    def apply(self, _connection: sa.Connection, signals: Sequence[Signal], _now: float) -> None:
        self.signals += signals
        for signal in signals:
            self.last[frozenset(signal.labels.items())] = Shown(
                signal.starts_at, signal.ends_at, signal.reason
            )

    @property
    def firing(self) -> dict[frozenset[tuple[str, str]], Shown]:
        """The alerts that fire."""
        return {labels: shown for labels, shown in self.last.items() if shown.ends_at is None}

    @property
    def held(self) -> dict[frozenset[tuple[str, str]], Shown]:
        """The alerts that fire, and those that fired and ended on the chain, not because they were wrong."""
        return {k: shown for k, shown in self.last.items() if shown.reason not in ("reorg", "in time")}


def _hash(number: int, fork: int) -> bytes:
    return hashlib.sha256(f"{number}/{fork}".encode()).digest()


def _text(value: Any) -> Any:
    """Integers as text: MessagePack has no uint256."""
    return [str(v) for v in value] if isinstance(value, list) else str(value)


def _value(value: Any) -> Any:
    return [int(v) for v in value] if isinstance(value, list) else int(value)
