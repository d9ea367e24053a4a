"""An anvil node as the contracts' users see it: deploy, call and send by function signature, receipts with raw logs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, cast

from eth_abi.abi import decode, encode
from eth_abi.grammar import TupleType, parse
from eth_utils.crypto import keccak

from tests.support.anvil import Anvil, AnvilError
from tests.support.protocols.artifacts import own_bytecodes
from tests.support.waiting import PATIENCE

TRANSFER = "Transfer(address,address,uint256)"
HOUR = 3_600

GAS = 15_000_000


class Reverted(Exception):
    """A transaction failed; the message is the node's reason."""


@dataclass(frozen=True)
class Log:
    """One log of a receipt: addresses in lower case, `index` within the block."""

    address: str
    topics: tuple[bytes, ...]
    data: bytes
    index: int

    def decode_data(self, types: str) -> tuple[Any, ...]:
        """The values that are not indexed, by their types as a tuple, as in "(uint32,bytes)"."""
        return decode(_components(types), self.data)


@dataclass(frozen=True)
class Receipt:
    """A mined transaction: its hash, block, the block's time in Unix seconds, and logs in chain order."""

    transaction_hash: str
    block_number: int
    timestamp: int
    logs: tuple[Log, ...]

    def events(self, signature: str) -> list[Log]:
        """The logs of an event, as in "Transfer(address,address,uint256)", whatever contract emitted them."""
        topic = keccak(text=signature)
        return [log for log in self.logs if log.topics[:1] == (topic,)]

    def event(self, signature: str) -> Log:
        """The only log of an event; raises ValueError if there are none or several."""
        (found,) = self.events(signature)
        return found

    def place(self, signature: str) -> str:
        """Block and log index of the only log of an event, as ``BLOCK:LOG``, in a block with no other transaction."""
        return f"{self.block_number}:{self.logs.index(self.event(signature))}"

    def order(self, *signatures: str) -> list[str]:
        """The names of those of its events that are asked for, in chain order."""
        names = {keccak(text=signature): signature.partition("(")[0] for signature in signatures}
        return [names[log.topics[0]] for log in self.logs if log.topics and log.topics[0] in names]


@dataclass(frozen=True)
class Chain:
    """A node and the account on it that sends everything."""

    anvil: Anvil
    account: str

    @classmethod
    def at(cls, anvil: Anvil, account: int = 0) -> Self:
        """Takes one of the node's own accounts; with others than on other chains, contracts' addresses differ, too."""
        return cls(anvil, anvil.rpc("eth_accounts")[account])

    @property
    def chain_id(self) -> int:
        return self.anvil.chain_id

    def deploy(self, code: bytes, types: str = "()", *arguments: object) -> str:
        """Deploys creation code with its constructor's arguments: the address, in lower case."""
        sent = self._submit({"input": "0x" + (code + encode(_components(types), arguments)).hex()})
        return str(self._mined(sent, "deploy")["contractAddress"]).lower()

    def deploy_at(self, address: str, code: bytes, types: str = "()", *arguments: object) -> None:
        """Deploys creation code at an address of choice, such as the one on the real network."""
        creation = "0x" + (code + encode(_components(types), arguments)).hex()
        self.anvil.rpc("anvil_setCode", address, creation)
        call = {"from": self.account, "to": address, "gas": hex(GAS)}
        runs = self.anvil.rpc("eth_call", call, "latest")  # a constructor returns the code to keep
        self._mined(self._submit({"to": address}), "deploy_at")
        self.anvil.rpc("anvil_setCode", address, runs)

    def send(self, to: str, function: str, *arguments: object, value: int = 0) -> Receipt:
        """Calls a function in a transaction that pays `value` wei; raises Reverted."""
        return self.receipt(self.submit(to, function, *arguments, value=value), function)

    def send_together(self, calls: Sequence[tuple[str, bytes]]) -> Receipt:
        """Makes several calls, as (address, call data), in one transaction: of a contract that is deployed for it."""
        contract = self.deploy(own_bytecodes()["Batch"])
        return self.send(contract, "run((address,bytes)[])", calls)

    def submit(self, to: str, function: str, *arguments: object, value: int = 0) -> str:
        """Calls a function in a transaction that need not be mined yet: its hash."""
        transaction = {"to": to, "input": "0x" + call_data(function, *arguments).hex(), "value": hex(value)}
        return self._submit(transaction)

    def receipt(self, transaction_hash: str, function: str = "the transaction") -> Receipt:
        """A transaction's receipt, once it is mined; raises Reverted, naming the function."""
        receipt = self._mined(transaction_hash, function)
        block = self.anvil.block(int(receipt["blockNumber"], 16))
        return Receipt(
            receipt["transactionHash"],
            int(block["number"], 16),
            int(block["timestamp"], 16),
            tuple(_log(log) for log in receipt["logs"]),
        )

    def call(self, to: str, function: str, returns: str, *arguments: object) -> Any:
        """The value of type `returns` that a function answers to a call."""
        answer = self.anvil.rpc(
            "eth_call", {"to": to, "input": "0x" + call_data(function, *arguments).hex()}, "latest"
        )
        return decode([returns], bytes.fromhex(answer[2:]))[0]

    def events(self, signature: str) -> list[Log]:
        """All logs of an event on the whole chain, whatever contract emitted them."""
        topic = "0x" + keccak(text=signature).hex()
        return [_log(log) for log in self.anvil.rpc("eth_getLogs", {"fromBlock": "0x0", "topics": [topic]})]

    def _submit(self, transaction: dict[str, str]) -> str:
        sent = {"from": self.account, "gas": hex(GAS), **transaction}
        return str(self.anvil.rpc("eth_sendTransaction", sent))

    def _mined(self, transaction_hash: str, what: str) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE
        while (receipt := self.anvil.rpc("eth_getTransactionReceipt", transaction_hash)) is None:
            if time.monotonic() > until:
                raise TimeoutError(f"{what} was not mined on chain {self.chain_id} within {PATIENCE:g} s")
            time.sleep(0.002)
        if receipt["status"] != "0x1":
            raise Reverted(f"{what} on chain {self.chain_id}: {self._reason(transaction_hash)}")
        return cast("dict[str, Any]", receipt)

    def _reason(self, transaction_hash: str) -> str:
        sent = self.anvil.rpc("eth_getTransactionByHash", transaction_hash)
        again = {field: sent[field] for field in ("from", "to", "input", "value", "gas")}
        try:
            self.anvil.rpc("eth_call", again, "latest")
        except AnvilError as error:
            return str(error)
        return "for a reason that a second call does not show"


class Chains(NamedTuple):
    """Three networks, with the chain ids of real ones."""

    ethereum: Chain
    arbitrum: Chain
    base: Chain


def advance(chains: Sequence[Chain], seconds: int) -> None:
    """Sets the clocks of all nodes to the same time, so much later than the latest block of any of them.

    The nodes' own clocks may differ by a second, as each counts from its start.
    """
    latest = max(int(chain.anvil.block()["timestamp"], 16) for chain in chains)
    for chain in chains:
        chain.anvil.rpc("anvil_setTime", latest + seconds)


def word(address: str) -> bytes:
    """An address as bytes32, left-padded, as most bridges write addresses of other networks."""
    return bytes.fromhex(address[2:]).rjust(32, b"\0")


def address_of(padded: bytes) -> str:
    """The address, in lower case, in the last 20 bytes of a bytes32."""
    return "0x" + padded[-20:].hex()


def number(big_endian: bytes) -> int:
    """The unsigned integer in a topic or a part of a payload."""
    return int.from_bytes(big_endian)


def call_data(function: str, *arguments: object) -> bytes:
    """The input of a call, by the function's signature, as in "transfer(address,uint256)"."""
    types = _components(function[function.index("(") :])
    return keccak(text=function)[:4] + encode(types, arguments)


def _components(types: str) -> list[str]:
    """The types in "(a,b,…)"; eth_abi's grammar has no empty tuple."""
    if types == "()":
        return []
    parsed = parse(types)
    assert isinstance(parsed, TupleType)
    return [component.to_type_str() for component in parsed.components]


def _log(log: dict[str, Any]) -> Log:
    topics = tuple(bytes.fromhex(topic[2:]) for topic in log["topics"])
    return Log(log["address"].lower(), topics, bytes.fromhex(log["data"][2:]), int(log["logIndex"], 16))
