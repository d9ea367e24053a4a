"""One in-process EVM: it takes transactions and returns blocks, in the form of a node's answers."""

from chainwatch.demo.block import Block, from_eth_tester

__all__ = ["Evm", "EvmError"]

# With explicit gas and fees the machine need not estimate, which is five times faster.
TRANSACTION_GAS = 5_000_000
MAX_FEE = 10_000_000_000
PRIORITY_FEE = 1_000_000_000


class EvmError(Exception):
    """A read-only call reverted; the message says why."""


class Evm:
    """A py-evm chain driven through eth-tester. Every method computes for milliseconds and never waits.

    A block gets the timestamp asked for (Unix seconds), or its parent's plus one where that is later, because
    the machine insists on strictly rising timestamps. Not safe to use from two threads at once.
    """

    def __init__(self, chain_id: int, genesis_timestamp: int) -> None:
        from eth_tester import PyEVMBackend  # takes a second

        genesis = PyEVMBackend.generate_genesis_params(overrides={"timestamp": genesis_timestamp})
        self._backend = PyEVMBackend(genesis_parameters=genesis)
        # The backend makes a chain class of its own per instance: the id is set for this chain alone.
        type(self._backend.chain).chain_id = chain_id
        self._sender: bytes = self._backend.get_accounts()[0]

    def head(self) -> Block:
        """Return the last mined block."""
        shown = self._backend.get_block_by_number("latest", full_transaction=True)
        receipts = [self._backend.get_transaction_receipt(sent["hash"]) for sent in shown["transactions"]]
        return from_eth_tester(shown, receipts)

    def mine(self, timestamp: int) -> Block:
        """Mine an empty block."""
        self._set_time(timestamp)
        self._backend.mine_blocks(1)
        return self.head()

    def transact(self, timestamp: int, data: bytes, to: str | None = None) -> Block:
        """Send one transaction from the funded account (no `to`: creates a contract) and mine its block.

        A transaction that reverts is mined as well: its receipt's status is 0x0.
        """
        self._set_time(timestamp)
        self._backend.send_transaction(
            {
                "from": self._sender,
                "to": b"" if to is None else _raw(to),
                "data": data,
                "gas": TRANSACTION_GAS,
                "max_fee_per_gas": MAX_FEE,
                "max_priority_fee_per_gas": PRIORITY_FEE,
            }
        )
        self._backend.mine_blocks(1)
        return self.head()

    def revert(self, block_hash: str) -> None:
        """Make an earlier block the head again, and forget the blocks after it."""
        self._backend.revert_to_snapshot(_raw(block_hash))

    def call(self, to: str, data: bytes, number: int) -> bytes:
        """Return what a call from the funded account returns on the state after block `number`.

        Raises EvmError when it reverts.
        """
        from eth_tester.exceptions import TransactionFailed

        try:
            return bytes(self._backend.call({"from": self._sender, "to": _raw(to), "data": data}, number))
        except TransactionFailed as error:
            raise EvmError(f"execution reverted: {error}") from error

    def balance(self, address: str, number: int) -> int:
        """Return the balance in wei after block `number`."""
        return int(self._backend.get_balance(_raw(address), number))

    def code(self, address: str, number: int) -> bytes:
        """Return the runtime code after block `number`; empty where there is no contract."""
        return bytes(self._backend.get_code(_raw(address), number))

    def _set_time(self, timestamp: int) -> None:
        chain = self._backend.chain
        chain.set_header_timestamp(max(timestamp, chain.get_canonical_head().timestamp + 1))


def _raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
