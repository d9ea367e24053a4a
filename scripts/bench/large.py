"""A database with a million transfers and a hundred thousand alerts, made by raw inserts in about a minute."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from chainwatch.checker.flow import AMOUNT, ASSET, Flow
from chainwatch.flows.transfer_index import prepare
from chainwatch.model import Checkpoint, Header, Occurrence, Transfer
from chainwatch.store import blocks
from chainwatch.store import transfers as stored
from chainwatch.store.alerting import alert_tables, escalation_tables, outbox
from chainwatch.store.blocks import NetworkState
from chainwatch.store.database import Database
from chainwatch.store.tables import transfers
from tests.support import connext

PLACES = ("ethereum", "optimism", "arbitrum", "base")
RECEIVERS = ("ops", "pager", "mail")
ROWS_AT_ONCE = 20_000
MEMBERS = 5
"""Alerts of one incident."""
LASTS = 90 * 86_400
"""Seconds over which everything happened."""
STATUSES = ("complete",) * 970 + ("overdue",) * 5 + ("open",) * 10 + ("orphan",) * 10 + ("disputed",) * 5

CONFIG = """
[store]
url = "{url}"
[api]
listen = "127.0.0.1:{port}"
{networks}
[contracts.connext]
abi = "{abi}"
address = "{address}"

{flow}
[receivers.ops]
provider = "console"
[receivers.pager]
provider = "console"
[receivers.mail]
provider = "console"

[[routes]]
receivers = ["ops", "pager", "mail"]
group_by = ["alertname", "origin", "destination"]
"""
NETWORK = """
[networks.{name}]
chain_id = {chain_id}
domain = {chain_id}
rpc = ["http://127.0.0.1:1"]
explorer = "https://explorer.example/{name}"
"""


def config(url: str, port: int, abi: Path) -> str:
    """The configuration that the database belongs to."""
    networks = "".join(NETWORK.format(name=name, chain_id=i) for i, name in enumerate(PLACES, 1))
    return CONFIG.format(
        url=url,
        port=port,
        abi=abi,
        networks=networks,
        address=connext.ETHEREUM.address,
        flow=connext.flow("3h", "2d"),
    )


def fill(database: Database, transfers_number: int, alerts_number: int) -> None:
    """Fill a fresh database."""
    now = int(time.time())
    rand = random.Random(1)
    with database.transaction() as connection:
        for place in PLACES:
            last = Header(90_000_000, rand.randbytes(32), rand.randbytes(32), now)
            number = blocks.network_ids(connection, [place])[place]
            checkpoint = Checkpoint(place, last, 5, now - LASTS, now)
            blocks.add_network(connection, number, PLACES.index(place) + 1, checkpoint)
            blocks.save_checkpoint(connection, checkpoint, [last], 256)
            blocks.save_states(connection, [NetworkState(place, "live", 90_000_000, now, None, time.time())])
    _fill_transfers(database, transfers_number, now, rand)
    with database.transaction() as connection:
        _fill_alerts(connection, alerts_number, now, rand)
        _fill_notifications(connection, alerts_number, now, rand)
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("ANALYZE")


def index(database: Database, flows: Mapping[str, Flow]) -> None:
    """Index the transfers, as the running process does after each change."""
    while True:
        with database.transaction() as connection:
            update = prepare(connection, flows, ROWS_AT_ONCE)
            if update is None:
                return
            update.save(connection)


def transfer(number: int, opened_at: int, rand: random.Random) -> Transfer:
    """One transfer, of most of which all steps were seen."""
    key, status = "0x" + rand.randbytes(32).hex(), rand.choice(STATUSES)
    origin, destination = rand.sample(PLACES, 2)
    facts = {AMOUNT: rand.randrange(10**16, 10**21), ASSET: "0x" + "a0" * 20}

    def seen(step: str, place: str, after: int) -> Occurrence:
        return Occurrence(step, place, 1000 + number, 3, opened_at + after, rand.randbytes(32), facts)

    steps = [seen("xcall", origin, 0)]
    if status in ("complete", "disputed"):
        steps += [
            seen("execute", destination, rand.randrange(60, 900)),
            seen("reconcile", destination, rand.randrange(3600, 40_000)),
        ]
    deadlines = {"execute": (destination, opened_at + 10_800)} if status == "open" else {}
    return Transfer(
        "connext", key, number, status, origin, destination, opened_at, tuple(steps), deadlines=deadlines
    )


def _fill_transfers(database: Database, number: int, now: int, rand: random.Random) -> None:
    for start in range(0, number, ROWS_AT_ONCE):
        numbers = range(start + 1, min(number, start + ROWS_AT_ONCE) + 1)
        some = [transfer(i, now - LASTS + LASTS * i // number, rand) for i in numbers]
        with database.transaction() as connection:
            stored.save(connection, [(Transfer(t.flow, t.key), t) for t in some])


def _fill_alerts(connection: sa.Connection, number: int, now: int, rand: random.Random) -> None:
    alerts, incidents = alert_tables.alerts, escalation_tables.incidents
    names = ("TransferOverdue", "TransferMismatch", "TransferOrphan", "NetworkBlind")
    columns = tuple(alerts.c.keys())

    def rows() -> Iterator[tuple[Any, ...]]:
        for i in range(1, number + 1):
            at = now - LASTS + LASTS * i // number
            name, severity = rand.choice(names), rand.choice(("P0", "P1", "P2", "P3"))
            is_firing = i > number - 500
            labels = {
                "alertname": name,
                "severity": severity,
                "flow": "connext",
                "transfer": f"0x{i:064x}",
                "origin": rand.choice(PLACES),
                "destination": rand.choice(PLACES),
            }
            annotations = {"summary": f"Transfer {i} is late", "description": "The payout has not come. " * 5}
            yield (
                i,
                f"{i:016x}",
                name,
                severity,
                "firing" if is_firing else "resolved",
                "routed",
                json.dumps(labels),
                json.dumps(annotations),
                at * 1000,
                None if is_firing else at * 1000 + 600_000,
                "" if is_firing else "late",
                float(at),
                None if is_firing else at + 600.0,
                "transfer",
            )

    _insert(connection, alerts, columns, list(rows()))
    groups = range(1, number // MEMBERS + 1)
    start = [now - LASTS + LASTS * (i * MEMBERS) // number for i in groups]
    open_from = (number - 500) // MEMBERS
    _insert(
        connection,
        incidents,
        ("id", "key", "route", "labels", "opened_at", "ended_at"),
        [
            (
                i,
                f"{{}}:{{group={i % 400}}}",
                "0",
                '{"alertname":"TransferOverdue"}',
                float(at),
                None if i > open_from else at + 900.0,
            )
            for i, at in zip(groups, start, strict=True)
        ],
    )
    members = [(i, (i - 1) * MEMBERS + m + 1) for i in groups for m in range(MEMBERS)]
    _insert(connection, escalation_tables.incident_alerts, ("incident_id", "alert_id"), members)
    kinds = ("pending", "acknowledged", "held", "released")
    transitions = [
        (i, now - LASTS + LASTS * i / number + k, kind, "policy", "chainwatch", "", None)
        for i in range(1, number + 1)
        for k, kind in enumerate(kinds)
    ]
    _insert(
        connection,
        alert_tables.alert_transitions,
        ("alert_id", "at", "kind", "cause", "actor", "note", "receiver"),
        transitions,
    )


def _fill_notifications(connection: sa.Connection, alerts_number: int, now: int, rand: random.Random) -> None:
    """A notification that it fires, and one that it ended, of each incident for each receiver."""
    rows = []
    groups = alerts_number // MEMBERS
    for i in range(1, groups + 1):
        ids = tuple(range((i - 1) * MEMBERS + 1, i * MEMBERS + 1))
        at = now - LASTS + LASTS * (i * MEMBERS) / alerts_number
        for receiver in RECEIVERS:
            for said, (firing, resolved) in enumerate(((ids, ()), ((), ids))):
                is_new = i > groups - 20 and said
                status = "pending" if is_new else rand.choice(("delivered",) * 99 + ("dead",))
                payload = outbox.encode_payload(
                    outbox.Payload({"alertname": "TransferOverdue"}, firing, resolved)
                )
                queued = at + said * 600
                times = (queued, queued, queued, None if is_new else queued + 1)
                group = f"{{}}:{{group={i % 400}}}"
                rows.append((receiver, group, payload, status, 1, *times, None, rand.randbytes(16).hex()))
    columns = ("receiver", "key", "payload", "status", "attempts", "next_attempt_at", "created_at")
    _insert(
        connection,
        alert_tables.notifications,
        (*columns, "queued_at", "finished_at", "last_error", "idempotency_key"),
        rows,
    )


def _insert(
    connection: sa.Connection, table: sa.Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    statement = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join([mark] * len(columns))})"
    for start in range(0, len(rows), ROWS_AT_ONCE):
        connection.exec_driver_sql(statement, list(rows[start : start + ROWS_AT_ONCE]))


def fill_if_empty(database: Database, transfers_number: int, alerts_number: int) -> str:
    """Fill the database unless it was, and return the key of one of its transfers."""
    query = sa.select(transfers.c.key).where(transfers.c.id == transfers_number // 2)
    with database.reading() as connection:
        key = connection.execute(query).scalar()
    if key is None:
        fill(database, transfers_number, alerts_number)
        with database.reading() as connection:
            key = connection.execute(query).scalar()
    return str(key)
