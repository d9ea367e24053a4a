"""``check --online``: each endpoint's chain id, head, range of logs and contracts; whether each receiver answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import aiohttp
import msgspec

from chainwatch.alerting.providers import DeliveryError, Provider, Transport, build_provider
from chainwatch.alerting.providers.provider import Reachable
from chainwatch.chain.errors import RangeTooWide, RpcError, Unavailable, WrongChain
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.state import Code, read_state
from chainwatch.chain.transport import endpoint_name, open_session
from chainwatch.config import NetworkSettings, ReceiverSettings
from chainwatch.model import Header, to_hex
from chainwatch.plan import Plan

RANGE = 1_000
"""Blocks of logs that each endpoint is asked for."""
PATIENCE = 10.0
"""Seconds for which an endpoint is tried."""


class EndpointCheck(msgspec.Struct):
    """How an endpoint answered: ``head`` is a block number, ``log_range`` how many blocks of logs it gives at once.

    ``problem`` is None where all is well.
    """

    network: str
    endpoint: str
    ok: bool = True
    chain_id: int | None = None
    head: int | None = None
    log_range: int | None = None
    problem: str | None = None


class ReceiverCheck(msgspec.Struct, frozen=True):
    """Whether a receiver can be reached; ``problem`` is None where it can."""

    receiver: str
    provider: str
    ok: bool
    problem: str | None


async def check(plan: Plan) -> tuple[list[EndpointCheck], list[ReceiverCheck]]:
    """Return the results of `check_endpoints` and `check_receivers`, which run at the same time."""
    endpoints, receivers = await asyncio.gather(check_endpoints(plan), check_receivers(plan))
    return endpoints, receivers


async def check_endpoints(plan: Plan) -> list[EndpointCheck]:
    """Return how each configured endpoint answers."""
    async with open_session() as session:
        questions = [
            _endpoint(plan, network, index, session)
            for network in plan.settings.networks.values()
            for index in range(len(network.rpc))
        ]
        return list(await asyncio.gather(*questions))


async def check_receivers(plan: Plan) -> list[ReceiverCheck]:
    """Return whether each receiver that has a server can be reached, without sending anything to it."""
    async with Transport() as transport:
        questions = [
            _receiver(settings, reach)
            for settings in plan.settings.receivers.values()
            if (reach := _reach(build_provider(settings, transport), transport)) is not None
        ]
        return list(await asyncio.gather(*questions))


def _reach(provider: Provider[Any], transport: Transport) -> Callable[[], Awaitable[None]] | None:
    """Return what raises ``DeliveryError`` unless the channel answers; None for a channel without a server."""
    if isinstance(provider, Reachable):
        return provider.reach
    if provider.server is None:
        return None
    return partial(transport.reach, provider.server, who="the receiver", within=PATIENCE)


async def _receiver(settings: ReceiverSettings, reach: Callable[[], Awaitable[None]]) -> ReceiverCheck:
    problem: str | None = None
    try:
        async with asyncio.timeout(PATIENCE):
            await reach()
    except TimeoutError:
        problem = f"the receiver did not answer within {PATIENCE:g} seconds"
    except DeliveryError as error:
        problem = str(error)
    return ReceiverCheck(settings.name, settings.provider, problem is None, problem)


async def _endpoint(
    plan: Plan, network: NetworkSettings, index: int, session: aiohttp.ClientSession
) -> EndpointCheck:
    """Ask one endpoint alone, through a pool of its own."""
    url = network.rpc[index]
    pool = Pool(network.model_copy(update={"rpc": [url]}), session)
    found = EndpointCheck(network.name, endpoint_name(network.name, index, url))
    try:
        async with pool:
            head = await pool.ask(Endpoint.head, PATIENCE)
            found.chain_id, found.head = network.chain_id, head.number
            found.log_range = await _log_range(plan, network.name, pool, head.number)
            found.problem = await _missing_contracts(plan, network.name, pool, head)
    except (WrongChain, Unavailable) as error:
        found.problem = pool.endpoints[0].last_error or str(error)
        if isinstance(error, WrongChain):
            found.chain_id = next(iter(error.found.values()))
    except RpcError as error:
        found.problem = error.what
    found.ok = found.problem is None
    return found


async def _missing_contracts(plan: Plan, network: str, pool: Pool, head: Header) -> str | None:
    """Return which contracts have no code at their addresses; None where all have, or where the endpoint cannot say."""
    watch = plan.watches.get(network)
    contracts = () if watch is None else watch.contracts
    try:
        codes = await read_state(pool, head, [Code(contract.address) for contract in contracts])
    except RpcError:
        return None
    missing = [
        f"{contract.name} at {to_hex(contract.address)}"
        for contract, code in zip(contracts, codes, strict=True)
        if code == b""
    ]
    return f"no contract has been deployed here: {', '.join(missing)}" if missing else None


async def _log_range(plan: Plan, network: str, pool: Pool, head: int) -> int | None:
    """Return how many blocks of logs the endpoint gives at once, up to ``RANGE``; None when nothing is watched there."""
    watch = plan.watches.get(network)
    if watch is None:
        return None
    blocks = min(RANGE, head + 1)
    while True:
        first = head - blocks + 1
        try:
            await pool.ask(lambda endpoint: endpoint.logs(watch.filter, first, head), PATIENCE)  # noqa: B023
        except RangeTooWide:
            if blocks == 1:
                raise
            blocks //= 2
        else:
            return blocks
