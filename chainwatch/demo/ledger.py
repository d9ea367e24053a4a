"""The blocks that a demo chain has mined: the canonical ones, in memory, by number, hash and transaction."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chainwatch.demo.block import Block

__all__ = ["Ledger", "LogFilter"]


class LogFilter:
    """A filter of logs: any of the addresses, and at each topic position any of the values (None: all)."""

    def __init__(self, addresses: frozenset[str] | None, topics: tuple[frozenset[str] | None, ...]) -> None:
        self._addresses = addresses
        self._topics = topics

    def matches(self, log: Mapping[str, Any]) -> bool:
        """Return whether a log, with lower-case hex as in a Block, passes."""
        if self._addresses is not None and log["address"] not in self._addresses:
            return False
        if len(log["topics"]) < len(self._topics):
            return False
        return all(
            wanted is None or topic in wanted
            for wanted, topic in zip(self._topics, log["topics"], strict=False)
        )


class Ledger:
    """The canonical chain from genesis to head."""

    def __init__(self, genesis: Block) -> None:
        self._blocks = [genesis]
        self._by_hash = {genesis.hash: genesis}
        self._by_transaction: dict[str, tuple[Block, int]] = {}

    @property
    def head(self) -> Block:
        """The last block."""
        return self._blocks[-1]

    def by_number(self, number: int) -> Block | None:
        """Return the canonical block of that height, or None beyond the head."""
        return self._blocks[number] if number < len(self._blocks) else None

    def by_hash(self, block_hash: str) -> Block | None:
        """Return the canonical block with that hash; orphaned blocks are forgotten."""
        return self._by_hash.get(block_hash)

    def by_transaction(self, transaction_hash: str) -> tuple[Block, int] | None:
        """Return the block that holds a transaction, and the transaction's place in it."""
        return self._by_transaction.get(transaction_hash)

    def range(self, first: int, last: int) -> Sequence[Block]:
        """Return the blocks from `first` to `last`, both included."""
        return self._blocks[first : last + 1]

    def ancestor(self, depth: int) -> Block:
        """Return the block `depth` below the head; raises ValueError where that is below genesis."""
        if not 0 < depth < len(self._blocks):
            raise ValueError(f"depth {depth} is not between 1 and the head's height, {self.head.number}")
        return self._blocks[-1 - depth]

    def extend(self, blocks: Iterable[Block]) -> None:
        """Add the next blocks."""
        for block in blocks:
            self._blocks.append(block)
            self._by_hash[block.hash] = block
            for position, sent in enumerate(block.transactions):
                self._by_transaction[sent["hash"]] = (block, position)

    def replace(self, depth: int, blocks: Iterable[Block]) -> list[Block]:
        """Replace the last `depth` blocks by others, and return them, oldest first."""
        orphans = self._blocks[-depth:]
        del self._blocks[-depth:]
        for block in orphans:
            del self._by_hash[block.hash]
            for sent in block.transactions:
                del self._by_transaction[sent["hash"]]
        self.extend(blocks)
        return orphans
