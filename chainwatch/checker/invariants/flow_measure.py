"""What invariants read of a flow's transfers at a moment: how much is under way, how many, for how long. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from chainwatch.checker.flow import AMOUNT, ASSET, EXCLUDED, Flow, expected_network
from chainwatch.checker.step_events import by_step, openings_of
from chainwatch.model import EXCLUDED as LEFT_OUT
from chainwatch.model import Occurrence, Transfer

Assets: TypeAlias = Mapping[tuple[str, bytes], int]
"""By the network and address (20 bytes) of an asset, by what its amounts are multiplied."""


class Moment(NamedTuple):
    """A moment of chain time (seconds); of networks that are named, the last block that belongs to it."""

    timestamp: int
    blocks: Mapping[str, int]

    def has(self, event: Occurrence) -> bool:
        """Return whether ``event`` had happened."""
        return event.timestamp <= self.timestamp and event.block <= self.blocks.get(
            event.network, event.block
        )


@dataclass(frozen=True, eq=False)
class FlowMeasure:
    """What is taken of the transfers of ``flow``.

    ``take``: the ``amount`` or the ``count`` that is under way, the ``age`` of the oldest in seconds, or a ``latency``: the
    percentile ``percent`` of the seconds that those took which ended in the ``within`` seconds before.
    """

    flow: Flow
    take: Literal["amount", "count", "age", "latency"]
    origins: frozenset[str]
    destinations: frozenset[str]
    """Networks from and to which transfers count; empty for all."""
    until: tuple[str, ...]
    """The steps without which a transfer is under way."""
    assets: Assets | None = None
    """The assets that count; None for any."""
    percent: int = 0
    within: int = 0


class Counted(NamedTuple):
    """A transfer that counts: its opening, the event that ends it once that is known, and its amount."""

    opening: Occurrence
    ended: Occurrence | None
    amount: int


def count(wanted: FlowMeasure, transfer: Transfer) -> Counted | None:
    """Return a transfer of the flow as it counts; None where it does not, such as an end that nothing opens, or too late."""
    if transfer.status in (LEFT_OUT, "untracked"):
        return None
    events = by_step(transfer)
    openings = openings_of(wanted.flow, events)
    if not openings or EXCLUDED in openings[0].facts or not _is_on_route(wanted, transfer):
        return None
    if wanted.assets is not None and _asset(wanted, transfer) is None:
        return None
    amount = _amount(wanted, transfer) if wanted.take == "amount" else 0
    return Counted(openings[0], _ended(wanted, openings[0], events), amount)


def percentile(ascending: list[int], percent: int) -> int:
    """Return the nearest-rank percentile; 0 of nothing."""
    return ascending[-(-len(ascending) * percent // 100) - 1] if ascending else 0


def _is_on_route(wanted: FlowMeasure, transfer: Transfer) -> bool:
    return (not wanted.origins or transfer.origin in wanted.origins) and (
        not wanted.destinations or transfer.destination in wanted.destinations
    )


def _ended(
    wanted: FlowMeasure, opening: Occurrence, events: Mapping[str, list[Occurrence]]
) -> Occurrence | None:
    """Return the event with which the last of the steps was done; None while one is missing."""
    last: Occurrence | None = None
    for name in wanted.until:
        network = expected_network(wanted.flow.steps[name], opening)
        if network not in wanted.flow.steps[name].networks:
            continue  # it cannot be seen there
        earliest = opening.timestamp - wanted.flow.clock_skew
        first = next(
            (e for e in events.get(name, ()) if e.network == network and e.timestamp >= earliest), None
        )
        if first is None:
            return None
        last = first if last is None or first.timestamp > last.timestamp else last
    return last


def _asset(wanted: FlowMeasure, transfer: Transfer) -> tuple[str, bytes] | None:
    """Return the first asset that ``transfer`` names, if it counts."""
    event = next((one for one in transfer.occurrences if ASSET in one.facts), None)
    address = None if event is None else _address(event.facts[ASSET])
    if event is None or address is None or wanted.assets is None:
        return None
    return (event.network, address) if (event.network, address) in wanted.assets else None


def _address(asset: Any) -> bytes | None:
    """Return the address that ``asset`` is, as text, as 20 bytes, or padded to 32; None for anything else."""
    if isinstance(asset, str):
        return bytes.fromhex(asset[2:]) if _ADDRESS.fullmatch(asset) else None
    if isinstance(asset, bytes) and (len(asset) == 20 or (len(asset) == 32 and not any(asset[:12]))):
        return asset[-20:]
    return None


def _amount(wanted: FlowMeasure, transfer: Transfer) -> int:
    """Return the first amount that ``transfer`` names, which is mostly its opening's."""
    amounts = (one.facts[AMOUNT] for one in transfer.occurrences if AMOUNT in one.facts)
    amount = next((one for one in amounts if isinstance(one, int)), 0)
    asset = _asset(wanted, transfer)
    return amount if asset is None or wanted.assets is None else amount * wanted.assets[asset]


_ADDRESS = re.compile("0x[0-9a-fA-F]{40}")
