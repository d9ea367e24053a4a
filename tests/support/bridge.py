"""A year of a made-up bridge in the manner of Across: deposits on one network, fills (partial ones, too) on another.

Made from a seed, together with what a monitor must find in it: `Expected` comes from the list of deposits and fills
alone, by another way than chainwatch's.
"""

import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from eth_abi.abi import encode

from chainwatch.model import RawLog
from chainwatch.support.keccak import keccak256
from scripts.bench.recorded_node import Recording, block_hash

BEGIN = 1_680_000_000
DAY, HOUR = 86_400, 3_600
WITHIN, GRACE, LOOKBACK = HOUR, 600, 7 * DAY
ELSEWHERE = 137
"""A chain that is not configured."""
ADDRESS = "0x4D9079Bb4165aeb4084c526a32695dCfd2F77381"


class Network(NamedTuple):
    """Where the bridge lives: block ``n`` was made ``n * period`` seconds after ``genesis``."""

    name: str
    chain_id: int
    period: int
    start: int

    @property
    def genesis(self) -> int:
        return BEGIN - self.start * self.period

    def block_at(self, when: float) -> int:
        """The first block made at ``when`` or later."""
        return -int((self.genesis - when) // self.period)

    def timestamp(self, block: int) -> int:
        return self.genesis + block * self.period


ALPHA, BETA = Network("alpha", 1, 12, 17_000_000), Network("beta", 10, 2, 80_000_000)
NETWORKS = (ALPHA, BETA)


class Action(NamedTuple):
    """A deposit (on ``network``, which is ``origin``) or a fill of the transfer (origin's chain id, ``number``)."""

    kind: str
    network: Network
    block: int
    origin: int
    destination: int
    number: int
    amount: int

    @property
    def at(self) -> int:
        return self.network.timestamp(self.block)

    @property
    def key(self) -> str:
        return f"{self.origin}/{self.number}"


@dataclass
class Expected:
    """What is to be found, by the transfers' keys; ``late`` with the seconds of lateness."""

    statuses: Counter[str] = field(default_factory=Counter)
    late: dict[str, int] = field(default_factory=dict)
    never: set[str] = field(default_factory=set)
    orphans: set[str] = field(default_factory=set)
    repeated: set[str] = field(default_factory=set)


def history(seed: int, transfers: int, length: int = 365 * DAY) -> list[Action]:
    """What happened from a few days before `BEGIN` until ``length`` seconds after it, in no order."""
    chance = random.Random(seed)
    actions: list[Action] = []
    for number in range(transfers):
        origin, there = chance.sample(NETWORKS, 2)
        destination = ELSEWHERE if chance.random() < 0.03 else there.chain_id
        opened = BEGIN + chance.uniform(-3 * DAY, length)
        if chance.random() < 0.08:
            opened = BEGIN + chance.uniform(-6 * HOUR, 6 * HOUR)
        amount = chance.randrange(1, 2**256)
        transfer = (origin.chain_id, destination, number, amount)
        if chance.random() >= 0.03:
            actions.append(Action("deposit", origin, origin.block_at(opened), *transfer))
        if destination != ELSEWHERE:
            fills = [there.block_at(opened + delay) for delay in _delays(chance)]
            actions += [Action("fill", there, block, *transfer) for block in fills]
    return [a for a in actions if a.at <= BEGIN + length]


def _delays(chance: random.Random) -> list[float]:
    """Seconds after the deposit at which it is filled."""
    kind = chance.random()
    if kind < 0.05:
        return []
    if kind < 0.08:
        return [chance.uniform(-60, 0)]  # by its network's clock it came first
    first = chance.uniform(HOUR - 30, DAY) if kind < 0.18 else chance.uniform(30, HOUR - 60)
    return [first + 3_000 * part for part in range(chance.choice((1, 1, 1, 1, 1, 1, 1, 1, 2, 3)))]


def expect(
    actions: Iterable[Action],
    watched: Mapping[Network, tuple[int, int]],
    lookback: int = LOOKBACK,
    *,
    searchable: bool = True,
    repeat: bool = True,
) -> Expected:
    """What is to be found when of each network the blocks from the first to the last of ``watched`` are read."""
    expected = Expected()
    begin = {n.chain_id: n.timestamp(first) for n, (first, _) in watched.items()}
    end = {n.chain_id: n.timestamp(last) for n, (_, last) in watched.items()}
    for key, some in groupby(sorted(actions, key=lambda a: a.key), lambda a: a.key):
        mine = sorted(some, key=lambda a: a.at)
        inside = [a for a in mine if watched[a.network][0] <= a.block <= watched[a.network][1]]
        deposits = [a for a in inside if a.kind == "deposit"]
        fills = [a for a in inside if a.kind == "fill"]
        if not inside:
            continue
        origin = inside[0].origin
        if not deposits:
            first = fills[0].at
            searched = lookback > 0 and first <= begin[origin] + lookback
            if end[origin] <= first + GRACE:
                expected.statuses["open"] += 1
                continue
            if searched and not searchable:
                expected.statuses["unopened"] += 1
                continue
            before = [
                a for a in mine if a.kind == "deposit" and begin[origin] - lookback <= a.at < begin[origin]
            ]
            deposits = before if searched else []
        if repeat and len(fills) > 1:
            expected.repeated.add(key)
        if not deposits:
            expected.statuses["orphan"] += 1
            expected.orphans.add(key)
            continue
        deposit = deposits[0]
        due = deposit.at + WITHIN
        if deposit.destination == ELSEWHERE:
            expected.statuses["untracked"] += 1
        elif fills:
            expected.statuses["disputed" if key in expected.repeated else "complete"] += 1
            if fills[0].at > due:
                expected.late[key] = fills[0].at - due
        elif end[deposit.destination] > due:
            expected.statuses["overdue"] += 1
            expected.never.add(key)
        else:
            expected.statuses["open"] += 1
    return expected


def found(report: Mapping[str, object]) -> Expected:
    """What a replay's report says, in the same shape."""
    alerts, transfers = report["alerts"], report["transfers"]
    assert isinstance(alerts, list)
    assert isinstance(transfers, dict)
    result = Expected(Counter(transfers.get("bridge", {})))
    for alert in alerts:
        key, ends_at = alert["labels"]["transfer"], alert["ends_at"]
        kinds = {"TransferOrphan": result.orphans, "TransferRepeated": result.repeated}
        if alert["labels"]["alertname"] != "TransferOverdue":
            some = kinds[alert["labels"]["alertname"]]
        elif ends_at is None:
            some = result.never
        else:
            assert key not in result.late
            result.late[key] = ends_at - alert["starts_at"]
            continue
        assert key not in some, "the same alert twice"
        some.add(key)
    return result


# --- as a node has it, and as chainwatch is configured to watch it ------------------------------------------


def recordings(actions: Sequence[Action], length: int = 365 * DAY) -> dict[str, Recording]:
    """Each network's chain, which ends ``length`` seconds after `BEGIN`."""
    return {
        network.name: Recording(
            network.chain_id,
            network.genesis,
            network.period,
            network.block_at(BEGIN + length),
            _logs([a for a in actions if a.network is network]),
        )
        for network in NETWORKS
    }


def write_abi(folder: Path, *, searchable: bool = True) -> None:
    """``bridge.json`` in ``folder``; ``searchable``: whether the deposit's number is an indexed argument."""
    abi = [
        _event("Deposited", originChainId="", destinationChainId="", number=searchable, amount=""),
        _event("Filled", originChainId=True, number=True, amount="", destinationChainId=""),
    ]
    (folder / "bridge.json").write_text(json.dumps(abi))


def config(urls: Mapping[str, str], *, network: str = "", flow: str = "", rest: str = "") -> str:
    """A configuration of the bridge; ``network`` and ``flow`` are lines to put into each network and the flow."""
    networks = "\n".join(
        f'[networks.{n.name}]\nchain_id = {n.chain_id}\nrpc = ["{urls[n.name]}"]\nstart_block = {n.start}\n{network}'
        for n in NETWORKS
    )
    return f"""
{networks}

[contracts.bridge]
abi = "bridge.json"
address = "{ADDRESS}"

[flows.bridge]
contract = "bridge"
key = ["originChainId", "number"]
{flow}

[flows.bridge.opens]
step = "deposit"
event = "Deposited"
origin = "originChainId"
destination = "destinationChainId"
amount = "amount"

[[flows.bridge.expects]]
step = "fill"
event = "Filled"
origin = "originChainId"
within = "{WITHIN}s"

{rest}
"""


def with_searchable_numbers(logs: Sequence[RawLog], *, searchable: bool) -> list[RawLog]:
    """``logs`` as a contract emits them whose deposits do not index their number."""
    if searchable:
        return list(logs)
    plain = []
    for log in logs:
        if log.topics[0] == DEPOSITED:
            words = [log.data[i : i + 32] for i in range(0, len(log.data), 32)]
            log = log._replace(topics=log.topics[:1], data=b"".join([*words[:2], log.topics[1], *words[2:]]))
        plain.append(log)
    return plain


DEPOSITED = keccak256(b"Deposited(uint256,uint256,uint32,uint256)")
FILLED = keccak256(b"Filled(uint256,uint32,uint256,uint256)")


def _logs(actions: Sequence[Action]) -> list[RawLog]:
    logs: list[RawLog] = []
    for action in sorted(actions, key=lambda a: a.block):
        same_block = bool(logs) and logs[-1].block_number == action.block
        number = encode(["uint32"], [action.number])
        if action.kind == "deposit":
            topics: tuple[bytes, ...] = (DEPOSITED, number)
            values = [action.origin, action.destination, action.amount]
        else:
            topics = (FILLED, encode(["uint256"], [action.origin]), number)
            values = [action.amount, action.network.chain_id]
        index = logs[-1].log_index + 1 if same_block else 0
        chain_id, block = action.network.chain_id, action.block
        logs.append(
            RawLog(
                block,
                block_hash(chain_id, block),
                action.at,
                index,
                keccak256(f"{chain_id} {block} {index}".encode()),
                bytes.fromhex(ADDRESS[2:]),
                topics,
                encode(["uint256"] * len(values), values),
            )
        )
    return logs


def _event(name: str, **arguments: bool | str) -> dict[str, object]:
    inputs = [
        {"name": argument, "type": "uint32" if argument == "number" else "uint256", "indexed": bool(indexed)}
        for argument, indexed in arguments.items()
    ]
    return {"type": "event", "name": name, "anonymous": False, "inputs": inputs}
