"""A mined block as JSON-RPC shows it: camelCase names, quantities and data as 0x-hex."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Block", "from_eth_tester"]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Block:
    """One block with everything a client may ask of it; `header` lists its transactions by hash."""

    number: int
    hash: str
    header: Json
    transactions: tuple[Json, ...]
    receipts: tuple[Json, ...]

    @property
    def logs(self) -> list[Json]:
        """Its logs in order, as mined (`removed` is false)."""
        return [log for receipt in self.receipts for log in receipt["logs"]]


def from_eth_tester(block: Mapping[str, Any], receipts: Sequence[Mapping[str, Any]]) -> Block:
    """Translate what eth-tester's backend gives for a mined block and for its transactions' receipts."""
    bloom = _data(block["logs_bloom"].to_bytes(256, "big"))
    transactions = tuple(_transaction(sent) for sent in block["transactions"])
    block_hash, timestamp = _data(block["hash"]), hex(block["timestamp"])
    header: Json = {
        "number": hex(block["number"]),
        "hash": block_hash,
        "parentHash": _data(block["parent_hash"]),
        "sha3Uncles": _data(block["sha3_uncles"]),
        "miner": _data(block["coinbase"]),
        "stateRoot": _data(block["state_root"]),
        "transactionsRoot": _data(block["transactions_root"]),
        "receiptsRoot": _data(block["receipts_root"]),
        "logsBloom": bloom,
        "difficulty": hex(block["difficulty"]),
        "gasLimit": hex(block["gas_limit"]),
        "gasUsed": hex(block["gas_used"]),
        "timestamp": timestamp,
        "extraData": "0x",  # eth-tester pads the empty bytes of its headers to 32
        "mixHash": _data(block["mix_hash"]),
        "nonce": _data(block["nonce"]),
        "baseFeePerGas": hex(block["base_fee_per_gas"]),
        "withdrawalsRoot": _data(block["withdrawals_root"]),
        "blobGasUsed": hex(block["blob_gas_used"]),
        "excessBlobGas": hex(block["excess_blob_gas"]),
        "parentBeaconBlockRoot": _data(block["parent_beacon_block_root"]),
        "requestsHash": _data(block["requests_hash"]),
        "size": hex(block["size"]),
        "uncles": [],
        "withdrawals": [],
        "transactions": [sent["hash"] for sent in transactions],
    }
    shown = tuple(_receipt(receipt, bloom, timestamp) for receipt in receipts)
    return Block(block["number"], block_hash, header, transactions, shown)


def _transaction(sent: Mapping[str, Any]) -> Json:
    return {
        "type": hex(sent["type"]),
        "chainId": hex(sent["chain_id"]),
        "hash": _data(sent["hash"]),
        "nonce": hex(sent["nonce"]),
        "blockHash": _data(sent["block_hash"]),
        "blockNumber": hex(sent["block_number"]),
        "transactionIndex": hex(sent["transaction_index"]),
        "from": _data(sent["from"]),
        "to": _data(sent["to"]) if sent["to"] else None,
        "value": hex(sent["value"]),
        "gas": hex(sent["gas"]),
        "gasPrice": hex(sent["gas_price"]),
        "maxFeePerGas": hex(sent["max_fee_per_gas"]),
        "maxPriorityFeePerGas": hex(sent["max_priority_fee_per_gas"]),
        "input": _data(sent["data"]),
        "accessList": [],
        "v": hex(sent["v"]),
        "yParity": hex(sent["y_parity"]),
        "r": hex(sent["r"]),
        "s": hex(sent["s"]),
    }


def _receipt(receipt: Mapping[str, Any], bloom: str, timestamp: str) -> Json:
    created = receipt["contract_address"]
    return {
        "type": hex(receipt["type"]),
        "status": hex(receipt["status"]),
        "transactionHash": _data(receipt["transaction_hash"]),
        "transactionIndex": hex(receipt["transaction_index"]),
        "blockHash": _data(receipt["block_hash"]),
        "blockNumber": hex(receipt["block_number"]),
        "from": _data(receipt["from"]),
        "to": _data(receipt["to"]) if receipt["to"] else None,
        "contractAddress": _data(created) if created else None,
        "cumulativeGasUsed": hex(receipt["cumulative_gas_used"]),
        "gasUsed": hex(receipt["gas_used"]),
        "effectiveGasPrice": hex(receipt["effective_gas_price"]),
        "logsBloom": bloom,  # the block's own: a block here holds one transaction
        "logs": [_log(log, timestamp) for log in receipt["logs"]],
    }


def _log(log: Mapping[str, Any], timestamp: str) -> Json:
    return {
        "address": _data(log["address"]),
        "topics": [_data(topic) for topic in log["topics"]],
        "data": _data(log["data"]),
        "blockNumber": hex(log["block_number"]),
        "blockHash": _data(log["block_hash"]),
        "blockTimestamp": timestamp,
        "transactionHash": _data(log["transaction_hash"]),
        "transactionIndex": hex(log["transaction_index"]),
        "logIndex": hex(log["log_index"]),
        "removed": False,
    }


def _data(raw: bytes) -> str:
    return "0x" + raw.hex()
