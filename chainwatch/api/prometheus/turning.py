"""Requests that take long, each when it is its client's turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from chainwatch.api.identity import IDENTITY
from chainwatch.api.prometheus.answers import Refused
from chainwatch.api.prometheus.budget import WITHIN, Budget
from chainwatch.api.prometheus.client_turns import ClientTurns, TooMany

LOADED_WITHIN = 10.0
"""Seconds for which a request waits until the samples from before the start are there."""

T = TypeVar("T")


async def in_turn(
    request: web.Request, turns: ClientTurns, work: Callable[[Budget], T], seconds: float = WITHIN
) -> T:
    """Return what ``work`` returns, in a thread, within ``seconds``, the wait for the turn included.

    Raises ``Refused`` where the turn does not come in time, and what ``work`` raises; also while the samples from before
    the start are not loaded: a result without them would be wrong, and look as if series had ended.
    """
    budget = Budget(seconds, lambda: request.transport is not None and not turns.closed)
    identity = request[IDENTITY]
    client = identity.name if identity.has_token else request.remote or ""
    try:
        async with asyncio.timeout(min(LOADED_WITHIN, budget.left)):
            await turns.loaded.wait()
    except TimeoutError:
        raise Refused("unavailable", "samples are being loaded since the start: try again") from None
    try:
        async with asyncio.timeout(budget.left):
            await turns.wait(client)
    except TimeoutError:
        raise Refused("timeout", "query timed out in query queue") from None
    except TooMany:
        raise Refused("unavailable", "too many queries of this client wait already") from None
    return await turns.run(client, lambda: work(budget))
