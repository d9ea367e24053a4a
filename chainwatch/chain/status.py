"""A network and its endpoints as an operator sees them."""

from __future__ import annotations

from typing import NamedTuple

from chainwatch.model import Header


class EndpointStatus(NamedTuple):
    """An endpoint as an operator sees it.

    ``state``: ok, degraded (over 10 % errors), frozen (slow, its head is old, or a call hung: asked last), down (frozen
    for five minutes, or it does not answer and is not asked), or refused (another chain). ``questions`` and ``errors``
    count reads. ``max_rps``: the calls a second that are allowed now. ``latency`` and ``last_answer_at`` are in seconds;
    the texts hold no secrets.
    """

    name: str
    state: str
    kind: str
    questions: int
    errors: int
    error_ratio: float
    latency: float | None
    last_answer_at: float | None
    last_error: str | None
    max_block_range: int | None
    max_rps: float | None = None


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
        """Return the same with its times by a clock that is so many seconds ahead."""
        return self._replace(
            last_answer_at=None if self.last_answer_at is None else self.last_answer_at + seconds,
            behind_since=None if self.behind_since is None else self.behind_since + seconds,
        )
