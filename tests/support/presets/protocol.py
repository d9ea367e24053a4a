"""What a preset is proven with: the logs of its protocol's transfers, encoded from the published signatures.

A signature is written as ``Name(type,type*,…)``, a ``*`` behind each indexed argument, tuples as ``(a,b)``. Signatures
are from the protocol's source or package, never from the ABI files of the preset: those are what is tested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from eth_abi.abi import encode

from chainwatch.support.keccak import keccak256

MINUTE, HOUR, DAY = 60, 3600, 86_400
USER = "0x" + "11" * 20
OTHER = "0x" + "22" * 20
TOKEN = "0x" + "33" * 20


class Route(NamedTuple):
    """From one network to another."""

    origin: str
    destination: str


class Emitted(NamedTuple):
    """What a contract emits: its name in the configuration, the event's signature, all arguments in order.

    ``which`` is the position among the contract's addresses on the network, where it has several.
    """

    contract: str
    signature: str
    values: Sequence[Any]
    which: int = 0


class Transaction(NamedTuple):
    """The logs of one transaction on one network; ``tx_hash`` where the protocol's events name it."""

    network: str
    logs: Sequence[Emitted]
    tx_hash: bytes | None = None


class Step(NamedTuple):
    """A step that must follow: its name, how long after the opening it usually comes (seconds), its deadline (seconds)."""

    name: str
    after: int
    within: int
    transaction: Callable[[Route, int], Transaction]


class Alerted(NamedTuple):
    """An alert as expected."""

    name: str
    step: str
    state: str = "firing"


@dataclass(frozen=True)
class Protocol:
    """A preset's protocol. Its functions take a route and the number of a transfer on it."""

    preset: str
    routes: Sequence[Route]
    """All directions between the networks of the test: three of them for a mesh."""
    opens: Callable[[Route, int], Transaction]
    steps: Sequence[Step]
    key: Callable[[Route, int], str]
    """The transfer's key as stored."""
    flow: str = ""
    """The flow whose transfers they are, where others see the same events."""
    own_addresses: Sequence[str] = ()
    """The addresses of the preset's `own_contract` on every network, where it has one."""
    on_repeat: Sequence[Alerted] | None = None
    """The alerts when the last step comes twice; by default `TransferRepeated` for it. Empty where it may."""
    on_orphan: Sequence[Alerted] | None = None
    """The alerts when only the steps come; by default `TransferOrphan` for each of them."""
    orphan_severity: str = "P0"
    ignored: Callable[[Route, int], Sequence[Transaction]] = lambda _route, _n: ()
    """Transactions of the same contracts that are no transfers of the flow, and must raise nothing."""

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks of all routes."""
        return tuple(dict.fromkeys(name for route in self.routes for name in route))

    @property
    def last(self) -> Step:
        """The step that pays out."""
        return self.steps[-1]


def mesh(*networks: str) -> tuple[Route, ...]:
    """Every direction between ``networks``."""
    return tuple(Route(a, b) for a in networks for b in networks if a != b)


def encode_log(signature: str, values: Sequence[Any]) -> tuple[tuple[bytes, ...], bytes]:
    """The topics and data of the event ``signature`` with ``values``, by eth_abi."""
    types = split_types(signature)
    assert len(types) == len(values), signature
    pairs = list(zip(types, values, strict=True))
    topics = [keccak256(signature.replace("*", "").encode())]
    topics += [_topic(kind[:-1], value) for kind, value in pairs if kind.endswith("*")]
    plain = [(kind, value) for kind, value in pairs if not kind.endswith("*")]
    return tuple(topics), encode([kind for kind, _ in plain], [value for _, value in plain])


def split_types(signature: str) -> list[str]:
    """The types of the arguments, with their ``*``."""
    inner = signature[signature.index("(") + 1 : -1]
    types, depth, begin = [], 0, 0
    for position, letter in enumerate(inner):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            types.append(inner[begin:position])
            begin = position + 1
    return [*types, inner[begin:]] if inner else []


def identity(route: Route, n: int) -> bytes:
    """32 bytes that no other transfer has."""
    return keccak256(f"{route.origin} {route.destination} {n}".encode())


def word(address: str) -> bytes:
    """An address as bytes32."""
    return bytes(12) + bytes.fromhex(address[2:])


def _topic(kind: str, value: Any) -> bytes:
    """An indexed argument in a log; of a dynamic value only the hash."""
    if kind in ("bytes", "string"):
        return keccak256(value.encode() if isinstance(value, str) else value)
    return encode([kind], [value])
