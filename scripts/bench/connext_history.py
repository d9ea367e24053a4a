"""A made-up history of Connext on two networks: any number of logs of three event types, for the benchmarks.

Most transfers are executed and reconciled in time; some late, some never.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

from eth_abi.abi import encode

from chainwatch.chain.decode.abi import load_abi
from chainwatch.demo.bridge import EXECUTE_ARGS, TRANSFER_INFO
from chainwatch.model import RawLog
from chainwatch.support.keccak import keccak256
from scripts.bench.recorded_node import Recording, block_hash
from tests.support.connext import flow

ROOT = Path(__file__).parents[2]
ABI = ROOT / "abi/connext.json"
GENESIS = 1_680_000_000
PERIOD = 12.0
FIRST_BLOCK = 16_000_000
EXECUTE_WITHIN, RECONCILE_WITHIN = 1800, 5400
LATE, NEVER = 0.005, 0.005
"""Shares of the steps that come late, and that never come."""
OPENED = 0.7
"""Transfers open in this part of the range, so that their steps find room in the rest."""


class Network(NamedTuple):
    """A network with Connext on it."""

    name: str
    chain_id: int
    domain: int
    address: str


NETWORKS = (
    Network("ethereum", 1, 6648936, "0x8898B472C54c31894e3B9bb83cEA802a5d0e63C6"),
    Network("optimism", 10, 1869640809, "0x8f7492DE823025b4CfaAB1D34c58963F2af5DEDA"),
)


class _Emission(NamedTuple):
    network: int
    at: float
    topics: tuple[bytes, ...]
    data: bytes


def record(logs: int, blocks: int, seed: int) -> dict[str, Recording]:
    """``logs`` logs in all, spread over ``blocks`` blocks of which each network has half; by network."""
    chance = random.Random(seed)
    length = blocks // 2 * PERIOD
    emissions: list[_Emission] = []
    number = 0
    while len(emissions) < logs:
        emissions += _transfer(chance, number, length)
        number += 1
    del emissions[logs:]
    emissions.sort(key=lambda e: e.at)
    found: dict[str, list[RawLog]] = {network.name: [] for network in NETWORKS}
    for emission in emissions:
        _append(found[NETWORKS[emission.network].name], emission, blocks // 2)
    return {
        network.name: Recording(
            network.chain_id,
            GENESIS - int(FIRST_BLOCK * PERIOD),
            PERIOD,
            FIRST_BLOCK + blocks // 2 - 1,
            found[network.name],
        )
        for network in NETWORKS
    }


def config(urls: dict[str, str]) -> str:
    """The configuration that watches the history at ``urls``, by network."""
    networks = "\n".join(
        f'[networks.{n.name}]\nchain_id = {n.chain_id}\ndomain = {n.domain}\nrpc = ["{urls[n.name]}"]\n'
        f"start_block = {FIRST_BLOCK}"
        for n in NETWORKS
    )
    addresses = ", ".join(f'{n.name} = "{n.address}"' for n in NETWORKS)
    return f"""
{networks}

[contracts.connext]
abi = "{ABI}"
address = {{ {addresses} }}
{flow(f"{EXECUTE_WITHIN}s", f"{RECONCILE_WITHIN}s")}
"""


def _transfer(chance: random.Random, number: int, length: float) -> list[_Emission]:
    """The logs of one transfer, in the order of their times."""
    origin = chance.randrange(2)
    there = NETWORKS[1 - origin]
    id, person, amount = chance.randbytes(32), chance.randbytes(20), chance.randrange(10**15, 10**21)
    opened = chance.uniform(0, length * OPENED)
    body = keccak256(id)
    emissions = [
        _Emission(
            origin,
            opened,
            (_XCALLED, id, number.to_bytes(32, "big"), body),
            _fill(_XCALLED_DATA[origin], person, amount, number),
        )
    ]
    executed = _delay(chance, EXECUTE_WITHIN)
    if executed is not None:
        topics = (_EXECUTED, id, _word(person), _word(bytes.fromhex(there.address[2:])))
        data = _fill(_EXECUTED_DATA[origin], person, amount, number)
        emissions.append(_Emission(1 - origin, min(opened + executed, length - 1), topics, data))
    reconciled = _delay(chance, RECONCILE_WITHIN)
    if reconciled is not None:
        domain = NETWORKS[origin].domain.to_bytes(32, "big")
        topics = (_RECONCILED, id, domain, _word(bytes.fromhex(there.address[2:])))
        data = _fill(_RECONCILED_DATA, person, amount, number)
        emissions.append(_Emission(1 - origin, min(opened + reconciled, length - 1), topics, data))
    return emissions


def _delay(chance: random.Random, within: int) -> float | None:
    """Seconds until a step; None for never."""
    kind = chance.random()
    if kind < NEVER:
        return None
    return within * (chance.uniform(1.1, 1.3) if kind < NEVER + LATE else chance.uniform(0.05, 0.9))


def _append(logs: list[RawLog], emission: _Emission, blocks: int) -> None:
    network = NETWORKS[emission.network]
    number = FIRST_BLOCK + min(int(emission.at // PERIOD), blocks - 1)
    index = logs[-1].log_index + 1 if logs and logs[-1].block_number == number else 0
    logs.append(
        RawLog(
            number,
            block_hash(network.chain_id, number),
            GENESIS + int((number - FIRST_BLOCK) * PERIOD),
            index,
            keccak256(emission.topics[1] + emission.topics[0]),
            bytes.fromhex(network.address[2:]),
            emission.topics,
            emission.data,
        )
    )


# Logs are made by filling in templates: encoding each of them would take minutes.

_PERSON, _AMOUNT, _NONCE = b"\x11" * 20, b"\x22" * 32, b"\x33" * 32


def _fill(template: bytes, person: bytes, amount: int, nonce: int) -> bytes:
    return (
        template.replace(_PERSON, person)
        .replace(_AMOUNT, amount.to_bytes(32, "big"))
        .replace(_NONCE, nonce.to_bytes(32, "big"))
    )


def _word(address: bytes) -> bytes:
    return address.rjust(32, b"\0")


def _info(origin: int) -> tuple[object, ...]:
    here, there = NETWORKS[origin], NETWORKS[1 - origin]
    amount, nonce = int.from_bytes(_AMOUNT, "big"), int.from_bytes(_NONCE, "big")
    person = "0x" + _PERSON.hex()
    domains = (here.domain, there.domain, here.domain)
    return (*domains, person, person, False, b"", 300, person, amount, amount, nonce, b"\x44" * 32)


def _topic(event: str) -> bytes:
    return keccak256(load_abi(ABI).event(event).signature.encode())


_XCALLED, _EXECUTED, _RECONCILED = map(_topic, ("XCalled", "Executed", "Reconciled"))
_ASSET = "0x" + "55" * 20
_XCALLED_DATA = [
    encode(
        [TRANSFER_INFO, "address", "uint256", "address", "bytes"],
        [_info(origin), _ASSET, int.from_bytes(_AMOUNT, "big"), _ASSET, b"\x66" * 297],
    )
    for origin in (0, 1)
]
_EXECUTED_DATA = [
    encode(
        [EXECUTE_ARGS, "address", "uint256", "address"],
        [(_info(origin), [_ASSET], [b"\x77" * 65], _ASSET, b""), _ASSET, 10**18, _ASSET],
    )
    for origin in (0, 1)
]
_RECONCILED_DATA = encode(
    ["address[]", "uint256", "address"], [[_ASSET], int.from_bytes(_AMOUNT, "big"), _ASSET]
)
