"""Transfers of equal keys, in every order in which two networks' events can be seen: their number is right, each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

import pytest

from tests.support.presets import axelar_gmp, cctp_v2
from tests.support.presets.protocol import Alerted, Protocol, Route, Transaction, identity
from tests.support.presets.world import BEGIN, LONG, watched

ROUTE = Route("ethereum", "base")
Timed = tuple[int, Transaction]


def interleaved(one: Sequence[Timed], other: Sequence[Timed]) -> Iterator[list[Timed]]:
    """Every order in which both can be seen, each in its own order."""
    length = len(one) + len(other)
    for places in combinations(range(length), len(one)):
        first, second = iter(one), iter(other)
        yield [next(first) if place in places else next(second) for place in range(length)]


def equal_deposits(mints: int) -> tuple[list[Timed], list[Timed]]:
    """Two deposits that differ in nothing but their finality, and mints, of which the fast one comes first."""
    finalized, fast = cctp_v2.deposited(ROUTE, 1), cctp_v2.deposited(ROUTE, 1, finality=cctp_v2.FAST)
    opened = [(0, finalized), (10, fast)]
    nonces = (identity(ROUTE, 500 + n) for n in range(mints))
    fees = [cctp_v2.FEE // 2, 0, 0]
    paid = [(30 + 100 * n, cctp_v2.minted(ROUTE, 1, fees[n], nonce)) for n, nonce in enumerate(nonces)]
    return opened, paid


def equal_calls(approvals: int) -> tuple[list[Timed], list[Timed]]:
    """Two equal calls in one transaction; then approvals under ids of their own, and executions in another order."""
    opening = axelar_gmp.called(ROUTE, 1)
    opened = [(0, opening._replace(logs=list(opening.logs) * 2))]
    approved = [(600 + n, axelar_gmp.approved(ROUTE, 1, 500 + n)) for n in range(approvals)]
    executed = [(700 + n, axelar_gmp.executed(ROUTE, 500 + n)) for n in reversed(range(approvals))]
    return opened, sorted([*approved, *executed], key=lambda timed: timed[0])


CASES = [
    pytest.param(cctp_v2.PROTOCOL, equal_deposits, "mint", id="cctp-v2"),
    pytest.param(axelar_gmp.CALLS, equal_calls, "approve", id="axelar-gmp"),
]
Case = Callable[[int], tuple[list[Timed], list[Timed]]]


def seen(protocol: Protocol, folder: Path, order: Sequence[Timed]) -> tuple[list[str], list[Alerted]]:
    """The statuses of all transfers, and the alerts, once everything was seen."""
    folder.mkdir()
    with watched(protocol, folder) as world:
        for at, transaction in order:
            world.run(transaction, BEGIN + at)
        world.see(BEGIN + LONG)
        return sorted(world.statuses().values()), world.alerted()


@pytest.mark.slow
@pytest.mark.parametrize(("protocol", "case", "step"), CASES)
def test_as_many_payouts_as_openings_are_complete(
    protocol: Protocol, case: Case, step: str, tmp_path: Path
) -> None:
    for number, order in enumerate(interleaved(*case(2))):
        assert seen(protocol, tmp_path / str(number), order) == (["complete"] * 2, [])


@pytest.mark.slow
@pytest.mark.parametrize(("protocol", "case", "step"), CASES)
def test_one_payout_too_many_is_an_orphan(protocol: Protocol, case: Case, step: str, tmp_path: Path) -> None:
    for number, order in enumerate(interleaved(*case(3))):
        statuses, alerts = seen(protocol, tmp_path / str(number), order)
        assert statuses == ["complete"] * 2 + ["orphan"]
        assert alerts == [Alerted("TransferOrphan", step)]


@pytest.mark.parametrize(("protocol", "case", "step"), CASES)
def test_one_payout_too_few_is_overdue(protocol: Protocol, case: Case, step: str, tmp_path: Path) -> None:
    for number, order in enumerate(interleaved(*case(1))):
        statuses, alerts = seen(protocol, tmp_path / str(number), order)
        assert statuses == ["complete", "overdue"]
        assert {alert.name for alert in alerts} == {"TransferOverdue"}
        assert step in {alert.step for alert in alerts}


@pytest.mark.slow
def test_a_mint_on_its_way_when_watching_begins_shifts_no_later_pair(tmp_path: Path) -> None:
    opened, paid = equal_deposits(2)
    early = (-3_600, cctp_v2.minted(ROUTE, 1, 0, identity(ROUTE, 499)))
    for number, order in enumerate(interleaved(opened, [early, *paid])):
        statuses, alerts = seen(cctp_v2.PROTOCOL, tmp_path / str(number), order)
        assert statuses == ["complete"] * 2 + ["orphan"]
        assert alerts == [Alerted("TransferOrphan", "mint")]
