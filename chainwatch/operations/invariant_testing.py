"""A test of an invariant: its values, read now or at a block of the past."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import msgspec

from chainwatch.chain.errors import ChainError, NodeError, NotThere
from chainwatch.chain.history import header_at
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.state import Unread
from chainwatch.chain.transport import open_session
from chainwatch.checker.expression import EvaluationError
from chainwatch.checker.invariants.compiler import compile_invariant
from chainwatch.checker.invariants.invariant import Invariant, gather, of_block
from chainwatch.checker.invariants.judge import shown
from chainwatch.invariants.definitions import listed
from chainwatch.invariants.listing import elements_of, family_of, listing_of
from chainwatch.invariants.reads import answered, read_outcomes
from chainwatch.model import Header
from chainwatch.operations.errors import Invalid, NotFound, OperationError
from chainwatch.operations.invariants import no_such_invariant
from chainwatch.plan import Plan

PATIENCE = 10.0
"""Seconds for which a network is asked for its head."""


class InvariantTest(msgspec.Struct, frozen=True):
    """What an invariant reads now: ``holds`` is None where there is no answer, which ``error`` explains.

    What is counted of stored events or transfers is not among ``values``.
    """

    name: str
    blocks: Mapping[str, int]
    values: str
    holds: bool | None
    error: str | None


async def read_now(plan: Plan, name: str, at: int | None = None) -> InvariantTest:
    """Read what the configured invariant ``name`` reads now, or ``at`` a block where it reads one network only.

    Raises ``NotFound`` and ``Invalid``. What cannot be read is in the result.
    """
    blocks: dict[str, int] = {}
    contents: dict[str, Mapping[str, Any]] = {}
    async with open_session() as session, AsyncExitStack() as stack:
        reader = _Reader(plan, session, stack, at)
        try:
            async with asyncio.timeout(3 * PATIENCE):
                invariant = await _find(plan, name, reader)
                counted = _counted(name, invariant, at)
                for network in invariant.networks:
                    header = await reader.block(network)
                    blocks[network] = header.number
                    contents[network] = await reader.read(invariant, header, network)
            if counted:
                read = ", ".join(filter(None, map(shown, contents.values())))
                return InvariantTest(name, blocks, read, None, counted)
            values = gather(invariant, contents, invariant.networks[0])
            return InvariantTest(name, blocks, shown(values), invariant.holds(values, None), None)
        except OperationError:  # a `ValueError` too, but about what was asked for
            raise
        except (ChainError, EvaluationError, TimeoutError, ValueError) as error:
            read = ", ".join(shown(content) for content in contents.values())
            return InvariantTest(name, blocks, read, None, str(error) or "no endpoint answers in time")


def _counted(name: str, invariant: Invariant, at: int | None) -> str:
    """Return why there is no answer where some of its values are counted of what is stored; raise where all are."""
    if at is not None and len(invariant.networks) > 1:
        raise Invalid(f"--at takes a block of one network; {name} reads {', '.join(invariant.networks)}")
    counted = [v.name for v in invariant.values if v.events is not None or v.flow is not None]
    if len(counted) == len(invariant.values):
        raise Invalid(
            f"{name} counts what is stored: `chainwatch invariants show {name}` has its last checks"
        )
    if not counted:
        return ""
    return f"{', '.join(counted)}: counted of what is stored: `chainwatch invariants show {name}` has its last checks"


async def _find(plan: Plan, name: str, reader: _Reader) -> Invariant:
    """Return the invariant; of an element that a contract lists, after its list was read."""
    known = {
        one.name: one
        for one in plan.invariants.invariants
        if one.element is None or not one.element.is_sample
    }
    if name in plan.settings.look_ups:
        raise Invalid(
            f"{name} looks up what events claim: `chainwatch invariants show {name}` says how it stands"
        )
    if name in known:
        return known[name]
    lists = known.get(listing_of(name))
    if lists is None or lists.element is None or name == family_of(name):
        if lists is not None:
            raise NotFound(
                f"{name} is made for each element of a list that a contract keeps: "
                f"`chainwatch invariants test '{lists.name}'` reads the list"
            )
        raise NotFound(no_such_invariant(name, known))
    content: dict[str, Any] = {}
    for network in lists.networks:
        content |= await reader.read(lists, await reader.block(network), network)
    made = {
        settings.name: (settings, element)
        for settings, element in listed(lists.element, elements_of(content))[0]
    }
    if name not in made:
        raise NotFound(no_such_invariant(name, made))
    settings, element = made[name]
    return compile_invariant(settings, plan.settings.networks, plan.invariants.contracts, element)


class _Reader:
    """Reads networks at their heads, or ``at`` a block."""

    def __init__(
        self, plan: Plan, session: aiohttp.ClientSession, stack: AsyncExitStack, at: int | None
    ) -> None:
        self._networks = plan.settings.networks
        self._session = session
        self._stack = stack
        self._at = at
        self._known: dict[str, tuple[Pool, Header]] = {}

    async def block(self, network: str) -> Header:
        """Return the block that is read. Raises ``ChainError``, and ``ValueError`` for one that is not there yet."""
        if network not in self._known:
            pool = await self._stack.enter_async_context(Pool(self._networks[network], self._session))
            header = head = await pool.ask(Endpoint.head, PATIENCE)
            if self._at is not None and self._at > head.number:
                raise ValueError(f"{network}: there is no block {self._at} yet: the newest is {head.number}")
            if self._at is not None and self._at < head.number:
                header = await header_at(pool, self._at)
            self._known[network] = pool, header
        return self._known[network][1]

    async def read(self, invariant: Invariant, header: Header, network: str) -> dict[str, Any]:
        """Return the values of one network. Raises ``ChainError``, and ``ValueError`` for one that cannot be read."""
        pool, _ = self._known[network]
        values = [value for value in invariant.on(network) if network in value.reads]
        try:
            outcomes = await read_outcomes(pool, header, [value.reads[network] for value in values])
        except NotThere as error:
            raise ValueError(self._pruned(network, header, error)) from error
        content: dict[str, Any] = of_block(invariant, header, network)
        for value, outcome in zip(values, outcomes, strict=True):
            if isinstance(outcome, Unread) and isinstance(outcome.error, NodeError) and self._at is not None:
                raise ValueError(self._pruned(network, header, outcome.error))
            try:
                content[value.name] = value.parse(answered(outcome))
            except ValueError as error:
                raise ValueError(f"{network}: {value.name}: {error}") from error
        return content

    @staticmethod
    def _pruned(network: str, header: Header, error: ChainError) -> str:
        return (
            f"{network}: no endpoint gives the state of block {header.number}: {error}. Most nodes keep that of some 128 "
            f"blocks; older ones take an archive node in networks.{network}.rpc"
        )
