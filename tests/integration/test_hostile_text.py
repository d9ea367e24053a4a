"""Text that a chain or a sender made up, on its whole way through both databases: nothing halts, nothing is mixed up."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import pytest
import sqlalchemy as sa

from chainwatch.alerting.delivery.notification import load_all
from chainwatch.alerting.engine.intake import rounds, take
from chainwatch.alerting.engine.manager import AlertManager
from chainwatch.alerting.engine.submission import parse
from chainwatch.checker.flow import Flow
from chainwatch.config import NetworkSettings, RouteSettings, from_dict
from chainwatch.model import AbiEvent, AbiParam, Batch, Event, StoredLog
from chainwatch.store import blocks, transfers
from chainwatch.store.alerting import alerts, claims, incidents
from chainwatch.store.database import Database
from chainwatch.support.bounds import LABEL_MAX, cut
from tests.support.flows import EVENTS, NETWORKS, event, flow, header
from tests.support.pipelines import flow_pipeline

LONG = random.Random(7).randbytes(10_000).hex()
"""What no compression makes short enough for an index."""
HOSTILE = {
    "a zero byte": "a\0b",
    "the mark of escapes": "\x1a0\x1a",
    "separators of lines": "\u2028\u2029\x85\r\n",
    "marks of direction": "\u202egnp.exe\u200f\u061c",
    "noncharacters": "\U0010ffff\ufffe",
    "a long one": LONG,
    "a long one of zero bytes": "\0" * 3_000,
}
hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
NOW = 1_700_000_000.0


def as_text(one: AbiEvent) -> AbiEvent:
    """With a key and networks that are strings."""
    kinds = {"id": "string", "from": "string", "to": "string"}
    return AbiEvent(
        one.name, tuple(AbiParam(p.name, kinds.get(p.name, p.type)) for p in one.inputs if p.name != "parts")
    )


TEXTS = {name: as_text(one) for name, one in EVENTS.items()}
NAMED = {
    name: NetworkSettings.model_validate({**network.model_dump(exclude_unset=True), "called": name})
    for name, network in NETWORKS.items()
}
ROUTES = [
    RouteSettings.model_validate(
        {"receivers": ["ops"], "group_by": by, "group_wait": "0s", "continue": True, "match": match}
    )
    for by, match in ((["..."], {}), (["alertname", "source"], {"severity": ["P0", "P1", "P2", "P3"]}))
]
SETTINGS = from_dict(
    {
        "networks": {"n": {"chain_id": 1, "rpc": ["http://127.0.0.1:1"]}},
        "receivers": {"ops": {"provider": "console", "rate_limit": {"P0": 1, "P1": 1, "P2": 1}}},
        "routes": [{"receivers": ["ops"]}],
        "cooldowns": [{"match": {"severity": ["P0", "P1", "P2"]}, "within": "1h"}],
        "inhibit": [{"source": {"alertname": "Nothing"}, "target": {"severity": "P3"}, "equal": ["network"]}],
    }
)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing(Database.open(database_url)) as opened:
        yield opened


def new_manager() -> AlertManager:
    made = AlertManager.of(SETTINGS, 0)
    return AlertManager(ROUTES, {"ops": True}, 0, made.policies)


def text_flow() -> Flow:
    return flow(events=TEXTS, networks=NAMED, network_by="called")


def batch(network: str, until: int, *events: Event) -> Batch:
    return Batch(
        network, 0, header(until, until), events, (), (header(until, until),), None, first_timestamp=0
    )


@hostile
async def test_a_chains_text_as_key_origin_and_destination_halts_nothing_s8(
    database: Database, text: str
) -> None:
    """Its transfer is found again by its events, its alerts are grouped, reported and resolved."""
    texts: dict[str, Event] = {}

    def decode(network: str, log: StoredLog) -> Event:
        return next(e for e in texts.values() if e.log.data == log.log.data)

    pipeline = flow_pipeline([text_flow()], NAMED, decode, new_manager())
    sent = event("alpha", "Sent", 1000, events=TEXTS, id=text, from_="alpha", to=text)
    other = event("alpha", "Sent", 1001, events=TEXTS, id=text + "'", from_=text, to="beta")
    filled = event("beta", "Filled", 1010, events=TEXTS, id=text + "'", from_=text)
    for one in (sent, other, filled):
        texts[str(len(texts))] = one

    for number, item in enumerate(
        [batch("alpha", 1002, sent, other), batch("beta", 1020, filled), batch("beta", 2000)]
    ):
        await database.write(partial(pipeline.process, items=[item], now=NOW + number))

    with database.reading() as connection:
        stored = {t.opened_at: t for t in transfers.select(connection, transfers.Filter())}
        assert stored[1000].destination == f"?{text}"  # a network that nobody knows
        assert len(stored) == 2
        assert len(stored[1001].occurrences) == 2
        found = [*transfers.select(connection, transfers.Filter(key=stored[1000].key))]
        assert stored[1000] in found  # beside the other, whose key begins with its key
        assert blocks.log_count(connection, "alpha", 0) == 2


@hostile
async def test_a_senders_text_as_name_source_and_label_is_grouped_reported_and_resolved(
    database: Database, text: str
) -> None:
    """On every way past what is kept by it: groups, incidents, cooldowns, limits, inhibitions."""
    manager = new_manager()
    sent = [
        {
            "labels": {"alertname": name, "source": text, "severity": severity, "more": text},
            "annotations": {"summary": text, text: text},
        }
        for name in (text, text + "'")
        for severity in ("P2", "P3")
    ]

    def submit(connection: sa.Connection, ends_at: float | None, now: float) -> None:
        ended = [{**one, "ends_at": ends_at} for one in sent] if ends_at else sent
        for different in rounds(parse(ended)):
            manager.take(connection, take(connection, different, now, 300.0), now)

    for again in range(3):
        await database.write(partial(submit, ends_at=None, now=NOW + again))
    with database.reading() as connection:
        found = alerts.list_alerts(connection)
        kept, other = (cut(name, LABEL_MAX) for name in (text, text + "'"))
        assert {(a.name, a.severity) for a in found} == {(n, s) for n in (kept, other) for s in ("P2", "P3")}
        assert {a.labels["more"] for a in found} == {kept}
        assert len(alerts.firing_labels(connection, [kept])) == 2
        notified = load_all(connection, claims.claim(connection, "ops", NOW + 10, 100).found)
        assert {
            labels["source"] for one in notified for labels in [dict(one.group_labels)] if "source" in labels
        }
        opened = incidents.list_incidents(connection, is_open=True, since=None, until=None, limit=100)
        assert incidents.open_with(connection, [one.key for one in opened]).keys() == {o.key for o in opened}

    await database.write(lambda c: submit(c, NOW + 5, NOW + 6))
    await database.write(lambda c: manager.flush(c, NOW + 100))
    with database.reading() as connection:
        assert {a.state for a in alerts.list_alerts(connection)} == {"resolved"}
        ends = load_all(connection, claims.claim(connection, "ops", NOW + 200, 100).found)
        assert ends
        assert not incidents.list_incidents(connection, is_open=True, since=None, until=None, limit=100)


@hostile
async def test_an_endpoints_text_is_shown_as_it_was(database: Database, text: str) -> None:
    state = blocks.NetworkState("alpha", "blind", None, None, f"HTTP 500: {text}", NOW)
    await database.write(lambda c: blocks.save_states(c, [state]))

    with database.reading() as connection:
        assert blocks.states(connection) == {"alpha": state}
