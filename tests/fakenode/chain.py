"""An invented chain: blocks with logs, forks on demand, answers in the shape of Ethereum's execution API."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chainwatch.support.keccak import keccak256

GENESIS_TIME = 1_700_000_000


class UnknownBlock(Exception):
    """A question about a block that the chain does not have."""


class Reverted(Exception):
    """A call that reverts, with the data of its error."""


REVERTS = "0x08c379a0"
MULTICALL = "0xca11bde05977b3631167028862be2a173976ca11"


@dataclass(frozen=True)
class FakeLog:
    """A log before it is in a block."""

    address: bytes
    topics: Sequence[bytes] = ()
    data: bytes = b""


@dataclass
class FakeBlock:
    number: int
    hash: str
    parent_hash: str
    timestamp: int
    logs: list[dict[str, Any]] = field(default_factory=list)
    bloom: str | None = None
    """In place of the one that its logs make."""

    def to_json(self) -> dict[str, Any]:
        return {
            "number": hex(self.number),
            "hash": self.hash,
            "parentHash": self.parent_hash,
            "timestamp": hex(self.timestamp),
            "logsBloom": self.bloom or _bloom(self.logs),
            "transactions": [log["transactionHash"] for log in self.logs if not log.get("pseudo")],
        }


class FakeChain:
    """Blocks ``0``..`head`; ``block_time`` seconds apart. ``stamped``: whether logs carry `blockTimestamp`."""

    def __init__(
        self, chain_id: int = 1, block_time: int = 1, stamped: bool = True, start: int = GENESIS_TIME
    ) -> None:
        self.chain_id = chain_id
        self.block_time = block_time
        self.stamped = stamped
        self._forks = 0
        self.calls: dict[str, dict[str, Any] | None] = {}
        """By transaction hash, what its transaction has beside what every one has; None where nobody knows it."""
        self.balances: dict[str, int] = {}
        """By address, at every block; of others they are invented."""
        self.has_multicall = False
        self.blocks: list[FakeBlock] = [FakeBlock(0, _hash(chain_id, 0, 0), "0x" + "00" * 32, start)]

    @property
    def head(self) -> FakeBlock:
        return self.blocks[-1]

    def mine(self, *logs: FakeLog, count: int = 1) -> FakeBlock:
        """Appends ``count`` blocks, the last with ``logs``."""
        for _ in range(count):
            number = len(self.blocks)
            parent = self.head
            name = _hash(self.chain_id, number, self._forks)
            self.blocks.append(FakeBlock(number, name, parent.hash, parent.timestamp + self.block_time))
        block = self.head
        for index, log in enumerate(logs):
            entry = {
                "address": "0x" + log.address.hex(),
                "topics": ["0x" + topic.hex() for topic in log.topics],
                "data": "0x" + log.data.hex(),
                "blockNumber": hex(block.number),
                "blockHash": block.hash,
                "transactionHash": _hash(block.hash, index),
                "transactionIndex": hex(index),
                "logIndex": hex(index),
                "removed": False,
            }
            if self.stamped:
                entry["blockTimestamp"] = hex(block.timestamp)
            block.logs.append(entry)
        return block

    def rewind(self, depth: int) -> None:
        """Takes the last ``depth`` blocks away; blocks mined from now on have other hashes."""
        del self.blocks[len(self.blocks) - depth :]
        self._forks += 1

    def reorg(self, depth: int) -> None:
        """Replaces the last ``depth`` blocks by as many empty ones."""
        self.rewind(depth)
        self.mine(count=depth)

    def clone(self) -> FakeChain:
        """The same chain as another node has it, to be changed by itself."""
        return copy.deepcopy(self)

    # --- answers ---

    def block(self, named: str, lag: int = 0) -> dict[str, Any] | None:
        """`eth_getBlockByNumber` of a node that is ``lag`` blocks behind."""
        head = len(self.blocks) - 1 - lag
        number = head if named in ("latest", "pending") else int(named, 16)
        return self.blocks[number].to_json() if 0 <= number <= head else None

    def block_by_hash(self, name: str, lag: int = 0) -> dict[str, Any] | None:
        """`eth_getBlockByHash`."""
        known = self.blocks[: len(self.blocks) - lag]
        return next((block.to_json() for block in reversed(known) if block.hash == name), None)

    def logs(self, query: dict[str, Any], lag: int = 0) -> list[dict[str, Any]]:
        """`eth_getLogs`. Raises `UnknownBlock` for a block hash that is not in the chain."""
        known = self.blocks[: len(self.blocks) - lag]
        if "blockHash" in query:
            blocks = [block for block in known if block.hash == query["blockHash"]]
            if not blocks:
                raise UnknownBlock(query["blockHash"])
        else:
            blocks = known[int(query["fromBlock"], 16) : int(query["toBlock"], 16) + 1]
        return [log for block in blocks for log in block.logs if _matches(log, query)]

    def state(self, method: str, params: list[Any], lag: int = 0) -> str:
        """`eth_call`, `eth_getBalance`, `eth_getStorageAt`, `eth_getCode`: by question and block.

        Raises `UnknownBlock`, and `Reverted` for a call whose data begins with `REVERTS`.
        """
        known, at = self.blocks[: len(self.blocks) - lag], params[-1]
        name = at["blockHash"] if isinstance(at, dict) else None
        block = next((b for b in known if name == b.hash or (name is None and at == hex(b.number))), None)
        if block is None:
            raise UnknownBlock(at)
        if method == "eth_call":
            return "0x" + self._called(block, params[0]["to"], params[0]["data"]).hex()
        if method == "eth_getBalance":
            return hex(self._balance(block, params[0]))
        return _hash(block.hash, method, params[0], *params[1:-1])

    def _balance(self, block: FakeBlock, address: str) -> int:
        if (known := self.balances.get(address)) is not None:
            return known
        return int(_hash(block.hash, "eth_getBalance", address), 16)

    def _called(self, block: FakeBlock, to: str, data: str) -> bytes:
        if data.startswith(REVERTS):
            raise Reverted(data)
        if self.has_multicall and to == MULTICALL:
            return _aggregated(bytes.fromhex(data[10:]), lambda *call: self._called_inside(block, *call))
        return bytes.fromhex(_hash(block.hash, "eth_call", to + data)[2:])

    def _called_inside(self, block: FakeBlock, to: str, data: str) -> bytes | None:
        if to == MULTICALL and data.startswith("0x4d2301cc"):  # getEthBalance(address)
            return self._balance(block, "0x" + data[-40:]).to_bytes(32)
        try:
            return self._called(block, to, data)
        except Reverted:
            return None

    def receipt(self, transaction: str) -> dict[str, Any] | None:
        """`eth_getTransactionReceipt`."""
        logs = [log for block in self.blocks for log in block.logs if log["transactionHash"] == transaction]
        return {"transactionIndex": "0x0", "logs": logs} if logs else None

    def transaction(self, name: str, lag: int = 0) -> dict[str, Any] | None:
        """`eth_getTransactionByHash`."""
        known = self.blocks[: len(self.blocks) - lag]
        block = next((b for b in known for log in b.logs if log["transactionHash"] == name), None)
        if block is None or self.calls.get(name, {}) is None:
            return None
        plain = {"from": "0x" + "11" * 20, "to": "0x" + "22" * 20, "value": "0x7", "input": name[:10]}
        where = {"hash": name, "blockHash": block.hash, "blockNumber": hex(block.number)}
        return plain | where | (self.calls.get(name) or {})

    def transaction_at(self, block_hash: str, index: str, lag: int = 0) -> dict[str, Any] | None:
        """`eth_getTransactionByBlockHashAndIndex`."""
        block = self.block_by_hash(block_hash, lag)
        names = block["transactions"] if block else []
        return self.transaction(names[int(index, 16)], lag) if int(index, 16) < len(names) else None

    def receipts(self, named: str) -> list[dict[str, Any]]:
        """`eth_getBlockReceipts`: one receipt with all logs."""
        return [{"transactionIndex": "0x0", "logs": self.blocks[int(named, 16)].logs}]


def _aggregated(arguments: bytes, call: Callable[[str, str], bytes | None]) -> bytes:
    """What Multicall3's `aggregate3` returns for calls of which ``call`` gives the results, None for a failed one."""

    def word(at: int) -> int:
        return int.from_bytes(arguments[at : at + 32])

    heads, parts = [], b""
    count = word(32)
    for index in range(count):
        at = 64 + word(64 + 32 * index)
        start, size = at + word(at + 64) + 32, word(at + word(at + 64))
        to, data = arguments[at + 12 : at + 32], arguments[start : start + size]
        returned = call("0x" + to.hex(), "0x" + data.hex())
        heads.append((32 * count + len(parts)).to_bytes(32))
        body = returned or b""
        parts += b"".join(n.to_bytes(32) for n in (returned is not None, 64, len(body)))
        parts += body + bytes(-len(body) % 32)
    return b"".join(((32).to_bytes(32), count.to_bytes(32), *heads, parts))


def _matches(log: dict[str, Any], query: dict[str, Any]) -> bool:
    addresses = query.get("address") or [log["address"]]
    if log["address"] not in ([addresses] if isinstance(addresses, str) else addresses):
        return False
    topics = query.get("topics") or []
    return len(log["topics"]) >= len(topics) and all(
        wanted is None or topic == wanted or topic in wanted
        for topic, wanted in zip(log["topics"], topics, strict=False)
    )


def _bloom(logs: list[dict[str, Any]]) -> str:
    """The bloom of ``logs`` (Yellow Paper, 4.4.1)."""
    bloom = 0
    for value in {value for log in logs for value in (log["address"], *log["topics"])}:
        digest = keccak256(bytes.fromhex(value[2:]))
        for index in (0, 2, 4):
            bloom |= 1 << (int.from_bytes(digest[index : index + 2], "big") % 2048)
    return f"0x{bloom:0512x}"


def _hash(*parts: object) -> str:
    return "0x" + hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()
