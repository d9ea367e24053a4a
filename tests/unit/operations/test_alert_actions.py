"""What people do about alerts of transfers stays done, however often those are judged again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chainwatch.checker.flow import Flow
from chainwatch.config import read_dict
from chainwatch.model import AbiEvent, AbiParam, Event
from chainwatch.operations import alert_actions, queries
from chainwatch.operations.context import Access, Context
from chainwatch.plan import make_plan
from chainwatch.store.alerting import alerts
from chainwatch.store.database import Database
from tests.support.flows import EVENTS, NAMES, NETWORKS, decode, event, flow
from tests.support.pipelines import flow_pipeline, judge_transfers_again
from tests.support.runs import batch
from tests.unit.test_plan import CONFIG

NOW = 1_800_000_000.0
TWICE = [
    event("alpha", "Sent", 1000),
    *(event("beta", "Filled", at) for at in (1010, 1020)),
    event("beta", "Settled", 1030),
]


@pytest.fixture
def access(tmp_path: Path) -> Iterator[Access]:
    with closing(Database.open(f"sqlite:///{tmp_path / 'x.db'}", durable=False)) as database:
        with database.reading() as connection:
            context = Context.of(make_plan(read_dict(CONFIG)), connection)
        yield Access(database, context, lambda: NOW)


def read(access: Access, compiled: Flow, until: int, *events: Event) -> None:
    pipeline = flow_pipeline([compiled], NETWORKS, decode, access.context.engine)
    with access.database.transaction() as connection:
        for name in NAMES:
            here = [e for e in events if e.network == name]
            pipeline.process(connection, [batch(name, until, *here)], NOW)


def judge_again(access: Access, compiled: Flow) -> None:
    with access.database.transaction() as connection:
        pipeline = flow_pipeline([compiled], NETWORKS, decode, access.context.engine)
        judge_transfers_again(pipeline, connection, 0, 10, NOW)


def firing(access: Access) -> list[tuple[int, str]]:
    with access.database.reading() as connection:
        return [(a.id, a.name) for a in alerts.firing(connection)]


def counts(access: Access) -> dict[str, int]:
    return {name: count for name, count in access.read(queries.status).transfers.items() if count}


def listed(access: Access, status: str) -> list[str]:
    return [t.key for t in access.read(queries.list_transfers, statuses=[status]).rows]


def test_what_was_resolved_by_hand_does_not_fire_again_when_its_transfer_is_judged_again(
    access: Access,
) -> None:
    read(access, flow(), 2000, *TWICE)
    [(number, name)] = firing(access)
    assert (name, counts(access), listed(access, "disputed")) == ("TransferRepeated", {"disputed": 1}, ["7"])

    assert access.write(alert_actions.resolve, [number], "ann", "both were refunds").done == [number]

    assert (firing(access), counts(access), listed(access, "resolved")) == ([], {"resolved": 1}, ["7"])
    judge_again(access, flow(orphan_grace="20s"))
    judge_again(access, flow(fill={"severity": "P0"}))
    read(access, flow(), 3000)
    assert (firing(access), counts(access)) == ([], {"resolved": 1})


def test_a_third_payout_begins_what_was_resolved_anew(access: Access) -> None:
    read(access, flow(), 2000, *TWICE)
    access.write(alert_actions.resolve, [number for number, _ in firing(access)], "ann", "")

    read(access, flow(), 3000, event("beta", "Filled", 2500))

    assert [name for _, name in firing(access)] == ["TransferRepeated"]
    assert counts(access) == {"disputed": 1}


def test_what_was_resolved_stays_so_where_alerts_cut_a_long_key_short(access: Access) -> None:
    named = {
        name: AbiEvent(name, (AbiParam("id", "string"), *abi.inputs[1:])) for name, abi in EVENTS.items()
    }
    keys = [f"{'k' * 3000}\0{end}" for end in ("one", "two")]
    compiled = flow(events=named)
    happened = [
        event(e.network, e.name, e.log.timestamp, log_index=n, events=named, id=key)
        for n, key in enumerate(keys)
        for e in TWICE
    ]
    read(access, compiled, 2000, *happened)
    [(first, _), (second, _)] = firing(access)

    assert access.write(alert_actions.resolve, [first], "ann", "refunds").done == [first]

    assert counts(access) == {"disputed": 1, "resolved": 1}
    judge_again(access, compiled)
    assert firing(access) == [(second, "TransferRepeated")]


def test_what_was_resolved_stays_so_where_alerts_cut_a_long_assertion_short(access: Access) -> None:
    compiled = flow(fill={"assert": " and ".join(["amount == opening.amount"] * 60)})
    wrong = [
        event("alpha", "Sent", 1000),
        event("beta", "Filled", 1010, amount=3),
        event("beta", "Settled", 1030),
    ]
    read(access, compiled, 2000, *wrong)

    access.write(alert_actions.resolve, [number for number, _ in firing(access)], "ann", "")

    assert counts(access) == {"resolved": 1}
    judge_again(access, compiled)
    assert firing(access) == []


def test_what_was_resolved_stays_so_when_its_block_is_replaced_by_one_without_it_for_a_while(
    access: Access,
) -> None:
    payout = event("beta", "Filled", 1010)
    read(access, flow(), 2000, payout)
    access.write(alert_actions.resolve, [number for number, _ in firing(access)], "ann", "")
    pipeline = flow_pipeline([flow()], NETWORKS, decode, access.context.engine)

    for again in (
        batch("beta", 1015, ancestor=1000, first=1001),
        batch("beta", 2010, later(payout), first=1016),
    ):
        with access.database.transaction() as connection:
            pipeline.process(connection, [again], NOW)

    assert (firing(access), counts(access), listed(access, "resolved")) == ([], {"resolved": 1}, ["7"])


def later(made: Event) -> Event:
    """The same transaction in a later block."""
    return made._replace(log=made.log._replace(block_number=1020, timestamp=1020))


def test_a_late_step_reports_nothing_more_of_what_was_resolved(access: Access) -> None:
    read(access, flow(), 1500, event("alpha", "Sent", 1000), event("beta", "Settled", 1030))
    [(number, name)] = firing(access)
    access.write(alert_actions.resolve, [number], "ann", "they were called")
    with access.database.reading() as connection:
        before = alerts.by_id(connection, [number, number + 1])

    read(access, flow(), 2000, event("beta", "Filled", 1600))

    with access.database.reading() as connection:
        assert (name, alerts.by_id(connection, [number, number + 1])) == ("TransferOverdue", before)
    assert counts(access) == {"complete": 1}
