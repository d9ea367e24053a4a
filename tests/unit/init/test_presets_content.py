"""Payouts that are not what was sent, and openings seen twice: what presets compare, on the logs of their protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.presets import arbitrum, cbridge, cctp_v1, cctp_v2, debridge, polygon_pos
from tests.support.presets.protocol import OTHER, Alerted, Protocol, Route, Transaction, identity, word
from tests.support.presets.world import BEGIN, LONG, World, watched

ROUTE = Route("ethereum", "base")
OUT = Route("arbitrum", "ethereum")
IN = Route("ethereum", "polygon")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[[Protocol], World]]:
    """Opens the networks of a protocol."""
    with ExitStack() as stack:
        yield lambda protocol: stack.enter_context(watched(protocol, tmp_path))


def with_values(transaction: Transaction, changes: dict[int, Any]) -> Transaction:
    """``transaction`` with other values of its last event, by position."""
    *others, log = transaction.logs
    values = [changes.get(position, value) for position, value in enumerate(log.values)]
    return transaction._replace(logs=[*others, log._replace(values=values)])


def other_receiver(order: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*order[:8], bytes.fromhex(OTHER[2:]), *order[9:])


@pytest.mark.parametrize(
    ("protocol", "step", "opening", "payout"),
    [
        pytest.param(
            cctp_v1.PROTOCOL,
            "mint",
            cctp_v1.deposited(ROUTE, 1),
            cctp_v1.received(ROUTE, 1, 2 * cctp_v1.AMOUNT),
            id="cctp-v1: amount",
        ),
        pytest.param(
            cctp_v2.PROTOCOL,
            "mint",
            cctp_v2.deposited(ROUTE, 1),
            cctp_v2.minted(ROUTE, 1, 0, identity(ROUTE, 1), extra=1),
            id="cctp-v2: amount",
        ),
        pytest.param(
            cctp_v2.PROTOCOL,
            "mint",
            cctp_v2.deposited(ROUTE, 1),
            cctp_v2.minted(ROUTE, 1, cctp_v2.FEE + 1, identity(ROUTE, 1)),
            id="cctp-v2: a fee above the highest",
        ),
        pytest.param(
            cctp_v2.PROTOCOL,
            "mint",
            cctp_v2.deposited(ROUTE, 1),
            cctp_v2.minted(ROUTE, 1, 0, identity(ROUTE, 1), recipient=OTHER),
            id="cctp-v2: recipient",
        ),
        pytest.param(
            debridge.PROTOCOL,
            "fulfil",
            debridge.created(ROUTE, 1),
            with_values(
                debridge.fulfilled(ROUTE, 1),
                {0: other_receiver(debridge.created(ROUTE, 1).logs[0].values[0])},
            ),
            id="debridge: receiver",
        ),
        pytest.param(
            cbridge.PROTOCOL,
            "relay",
            cbridge.sent(ROUTE, 1),
            with_values(cbridge.relayed(ROUTE, 1), {2: OTHER}),
            id="cbridge: receiver",
        ),
        pytest.param(
            arbitrum.TO_ETHEREUM,
            "execute",
            arbitrum.sent(OUT, 1),
            with_values(arbitrum.executed(OUT, 1), {1: OTHER}),
            id="arbitrum: sender",
        ),
        pytest.param(
            polygon_pos.PROTOCOL,
            "commit",
            polygon_pos.synced(IN, 1),
            with_values(polygon_pos.committed(IN, 1), {1: False}),
            id="polygon-pos: refused by the receiver",
        ),
    ],
)
def test_a_payout_of_something_else_is_a_mismatch(
    protocol: Protocol,
    step: str,
    opening: Transaction,
    payout: Transaction,
    world: Callable[[Protocol], World],
) -> None:
    seen = world(protocol)
    seen.run(opening, BEGIN)
    seen.run(payout, BEGIN + 100)
    seen.see(BEGIN + 200)
    assert seen.alerted() == [Alerted("TransferMismatch", step)]
    assert set(seen.statuses().values()) == {"disputed"}


def test_a_deposit_whose_recipient_was_replaced_is_complete(world: Callable[[Protocol], World]) -> None:
    """``replaceDepositForBurn`` emits the deposit again, with the same nonce."""
    seen = world(cctp_v1.PROTOCOL)
    seen.run(cctp_v1.deposited(ROUTE, 1), BEGIN)
    seen.run(with_values(cctp_v1.deposited(ROUTE, 1), {4: word(OTHER)}), BEGIN + 60)
    seen.run(cctp_v1.received(ROUTE, 1), BEGIN + 900)
    seen.see(BEGIN + LONG)
    assert (seen.alerted(), set(seen.statuses().values())) == ([], {"complete"})
