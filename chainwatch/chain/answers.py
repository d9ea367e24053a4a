"""State at a block for those who need all that they ask for: where a part is not answered, nothing is returned."""

from __future__ import annotations

from collections.abc import Sequence

from chainwatch.chain.pool import Pool
from chainwatch.chain.state import ContractCall, Read, Reverted, Unread, Value, read_state
from chainwatch.model import Header


async def read_answers(pool: Pool, block: Header, reads: Sequence[Read]) -> list[Value | Reverted]:
    """Return what was read, or that a call reverts. Raises ``ChainError`` unless all was answered."""
    answers: list[Value | Reverted] = []
    for outcome in await read_state(pool, block, reads):
        if isinstance(outcome, Unread):
            raise outcome.error
        answers.append(outcome)
    return answers


async def call_contracts(pool: Pool, block: Header, *calls: tuple[bytes, bytes]) -> list[bytes]:
    """Return what contracts return to ``calls`` (address, calldata); nothing for one that reverts. Raises ``ChainError``."""
    answers = await read_answers(pool, block, [ContractCall(*call) for call in calls])
    return [one if isinstance(one, bytes) else b"" for one in answers]
