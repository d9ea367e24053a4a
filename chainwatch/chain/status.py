"""A network as an operator sees it."""

from __future__ import annotations

from typing import NamedTuple

from chainwatch.chain.member import EndpointStatus
from chainwatch.model import Header


class NetworkStatus(NamedTuple):
    """``state``: starting, catching up, live, blind (no answer), stalled (the head is old, or below what was read) or
    halted.

    ``head`` is the newest block known, ``checkpoint`` the last that was read, ``lag_blocks`` the number of blocks still
    to be read. ``last_answer_at`` is wall time and ``seen_until`` chain time, in seconds. ``last_error`` is the present
    error, without secrets; None when there is none. ``disputed``: why a block cannot be read, or what is disputed about
    it; None when nothing is. ``transport`` is websocket or polling. ``behind_since``: since when (Unix seconds) the head
    is below the checkpoint; None when it is not.
    """

    name: str
    chain_id: int
    state: str
    head: Header | None
    checkpoint: Header | None
    seen_until: int
    lag_blocks: int
    last_answer_at: float | None
    last_error: str | None
    disputed: str | None
    transport: str
    endpoints: tuple[EndpointStatus, ...]
    behind_since: float | None = None

    def moved(self, seconds: float) -> NetworkStatus:
        """The same with its times by a clock that is so many seconds ahead."""
        return self._replace(
            last_answer_at=None if self.last_answer_at is None else self.last_answer_at + seconds,
            behind_since=None if self.behind_since is None else self.behind_since + seconds,
        )
