"""A test of an invariant: its values, read now or at a block of the past."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from chainwatch.chain.errors import ChainError
from chainwatch.chain.history import header_at
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.transport import open_session
from chainwatch.checker.expression import EvaluationError
from chainwatch.checker.invariants.invariant import Invariant, gather, of_block
from chainwatch.checker.invariants.judge import shown
from chainwatch.invariants.reads import answered, read_outcomes
from chainwatch.model import Header
from chainwatch.operations.checks import no_such
from chainwatch.operations.errors import Invalid, NotFound
from chainwatch.plan import Plan

PATIENCE = 10.0
"""Seconds for which a network is asked for its head."""


class InvariantTest(msgspec.Struct, frozen=True):
    """What an invariant reads now: ``holds`` is None where there is no answer, which ``error`` explains."""

    name: str
    blocks: Mapping[str, int]
    values: str
    holds: bool | None
    error: str | None


async def read_now(plan: Plan, name: str, at: int | None = None) -> InvariantTest:
    """Read what the configured invariant ``name`` reads now, or ``at`` a block where it reads one network only."""
    invariant = next((one for one in plan.invariants.invariants if one.name == name), None)
    if name in plan.settings.look_ups:
        raise Invalid(
            f"{name} looks up what events claim: `chainwatch invariants show {name}` says how it stands"
        )
    if invariant is None:
        known = [one.name for one in plan.invariants.invariants]
        raise NotFound(no_such("invariant", name, known))
    if at is not None and len(invariant.networks) > 1:
        raise Invalid(f"--at takes a block of one network; {name} reads {', '.join(invariant.networks)}")
    if any(value.events is not None or value.flow is not None for value in invariant.values):
        raise Invalid(
            f"{name} counts what is stored: `chainwatch invariants show {name}` has its last checks"
        )
    blocks: dict[str, int] = {}
    contents: dict[str, Mapping[str, Any]] = {}
    try:
        async with asyncio.timeout(3 * PATIENCE), open_session() as session:
            for network in invariant.networks:
                async with Pool(plan.settings.networks[network], session) as pool:
                    header = await (pool.ask(Endpoint.head, PATIENCE) if at is None else header_at(pool, at))
                    blocks[network] = header.number
                    contents[network] = await _read(pool, invariant, header)
        values = gather(invariant, contents, invariant.networks[0])
        return InvariantTest(name, blocks, shown(values), invariant.holds(values, None), None)
    except (ChainError, EvaluationError, TimeoutError, ValueError) as error:
        read = ", ".join(shown(content) for content in contents.values())
        return InvariantTest(name, blocks, read, None, str(error) or "no endpoint answers in time")


async def _read(pool: Pool, invariant: Invariant, header: Header) -> dict[str, Any]:
    """Return the values of one network. Raises ``ValueError`` for one that cannot be read."""
    network = pool.network.name
    values = [value for value in invariant.on(network) if network in value.reads]
    outcomes = await read_outcomes(pool, header, [value.reads[network] for value in values])
    content: dict[str, Any] = of_block(invariant, header, network)
    for value, outcome in zip(values, outcomes, strict=True):
        try:
            content[value.name] = value.parse(answered(outcome))
        except ValueError as error:
            raise ValueError(f"{network}: {value.name}: {error}") from error
    return content
