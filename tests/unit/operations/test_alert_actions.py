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
from chainwatch.operations.queries import Look
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
def look(tmp_path: Path) -> Iterator[Look]:
    with closing(Database.open(f"sqlite:///{tmp_path / 'x.db'}", durable=False)) as database:
        yield Look(make_plan(read_dict(CONFIG)), database, NOW)


def read(look: Look, compiled: Flow, until: int, *events: Event) -> None:
    pipeline = flow_pipeline([compiled], NETWORKS, decode, look.manager)
    with look.database.transaction() as connection:
        for name in NAMES:
            here = [e for e in events if e.network == name]
            pipeline.process(connection, [batch(name, until, *here)], NOW)


def judge_again(look: Look, compiled: Flow) -> None:
    with look.database.transaction() as connection:
        judge_transfers_again(
            flow_pipeline([compiled], NETWORKS, decode, look.manager), connection, 0, 10, NOW
        )


def firing(look: Look) -> list[tuple[int, str]]:
    with look.database.reading() as connection:
        return [(a.id, a.name) for a in alerts.firing(connection)]


def counts(look: Look) -> dict[str, int]:
    return {name: count for name, count in queries.status(look)["transfers"].items() if count}


def listed(look: Look, status: str) -> list[str]:
    nothing = dict.fromkeys(("flow", "key", "origin", "destination", "since", "until"))
    return [t["key"] for t in queries.transfers(look, 10, statuses=[status], **nothing)]


def test_what_was_resolved_by_hand_does_not_fire_again_when_its_transfer_is_judged_again(look: Look) -> None:
    read(look, flow(), 2000, *TWICE)
    [(number, name)] = firing(look)
    assert (name, counts(look), listed(look, "disputed")) == ("TransferRepeated", {"disputed": 1}, ["7"])

    assert alert_actions.resolve(look, [number], "ann", "both were refunds") == []

    assert (firing(look), counts(look), listed(look, "resolved")) == ([], {"resolved": 1}, ["7"])
    judge_again(look, flow(orphan_grace="20s"))
    judge_again(look, flow(fill={"severity": "P0"}))
    read(look, flow(), 3000)
    assert (firing(look), counts(look)) == ([], {"resolved": 1})


def test_a_third_payout_begins_what_was_resolved_anew(look: Look) -> None:
    read(look, flow(), 2000, *TWICE)
    alert_actions.resolve(look, [number for number, _ in firing(look)], "ann", "")

    read(look, flow(), 3000, event("beta", "Filled", 2500))

    assert [name for _, name in firing(look)] == ["TransferRepeated"]
    assert counts(look) == {"disputed": 1}


def test_what_was_resolved_stays_so_where_alerts_cut_a_long_key_short(look: Look) -> None:
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
    read(look, compiled, 2000, *happened)
    [(first, _), (second, _)] = firing(look)

    assert alert_actions.resolve(look, [first], "ann", "refunds") == []

    assert counts(look) == {"disputed": 1, "resolved": 1}
    judge_again(look, compiled)
    assert firing(look) == [(second, "TransferRepeated")]


def test_what_was_resolved_stays_so_where_alerts_cut_a_long_assertion_short(look: Look) -> None:
    compiled = flow(fill={"assert": " and ".join(["amount == opening.amount"] * 60)})
    wrong = [
        event("alpha", "Sent", 1000),
        event("beta", "Filled", 1010, amount=3),
        event("beta", "Settled", 1030),
    ]
    read(look, compiled, 2000, *wrong)

    alert_actions.resolve(look, [number for number, _ in firing(look)], "ann", "")

    assert counts(look) == {"resolved": 1}
    judge_again(look, compiled)
    assert firing(look) == []


def test_what_was_resolved_stays_so_when_its_block_is_replaced_by_one_without_it_for_a_while(
    look: Look,
) -> None:
    payout = event("beta", "Filled", 1010)
    read(look, flow(), 2000, payout)
    alert_actions.resolve(look, [number for number, _ in firing(look)], "ann", "")
    pipeline = flow_pipeline([flow()], NETWORKS, decode, look.manager)

    for again in (
        batch("beta", 1015, ancestor=1000, first=1001),
        batch("beta", 2010, later(payout), first=1016),
    ):
        with look.database.transaction() as connection:
            pipeline.process(connection, [again], NOW)

    assert (firing(look), counts(look), listed(look, "resolved")) == ([], {"resolved": 1}, ["7"])


def later(made: Event) -> Event:
    """The same transaction in a later block."""
    return made._replace(log=made.log._replace(block_number=1020, timestamp=1020))


def test_a_late_step_reports_nothing_more_of_what_was_resolved(look: Look) -> None:
    read(look, flow(), 1500, event("alpha", "Sent", 1000), event("beta", "Settled", 1030))
    [(number, name)] = firing(look)
    alert_actions.resolve(look, [number], "ann", "they were called")
    with look.database.reading() as connection:
        before = alerts.by_id(connection, [number, number + 1])

    read(look, flow(), 2000, event("beta", "Filled", 1600))

    with look.database.reading() as connection:
        assert (name, alerts.by_id(connection, [number, number + 1])) == ("TransferOverdue", before)
    assert counts(look) == {"complete": 1}
