"""What the looking commands read from the running process's database, and the few things they change."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from math import ceil
from pathlib import Path
from typing import Any

from chainwatch.config import read
from chainwatch.flows.transfer_stats import Tally
from chainwatch.model import SEVERITIES, TRANSFER_STATUSES, to_hex
from chainwatch.operations import views
from chainwatch.operations.alert_context import AlertLook, alert_view
from chainwatch.plan import Plan, make_plan
from chainwatch.store import blocks
from chainwatch.store import transfers as stored_transfers
from chainwatch.store.alerting import alerts as stored_alerts
from chainwatch.store.alerting import outbox
from chainwatch.store.database import Database

STOPPED_AFTER = 15.0
"""Seconds without a word from the running process after which its networks are shown as stopped."""


class Look(AlertLook):
    """A plan and the database to look at, with the clock's value (Unix seconds)."""

    def __init__(self, plan: Plan, database: Database, now: float) -> None:
        super().__init__(plan.settings, database, now)
        self.plan = plan
        self.flows = {flow.name: flow for flow in plan.flows}


@contextmanager
def look(config: Path, environ: Mapping[str, str]) -> Iterator[Look]:
    """Open what ``config`` names; nothing is made where nothing is. Raises ``ConfigError`` and ``StoreError``.

    A configuration without networks serves too, as alerts may come from elsewhere.
    """
    plan = make_plan(read(config, environ, watches=False))
    with closing(Database.open(plan.settings.store.url.get_secret_value(), create=False)) as opened:
        yield Look(plan, opened, time.time())


def status(look: Look) -> dict[str, Any]:
    """Networks, counts of transfers and alerts, depths of queues."""
    with look.database.reading() as connection:
        checkpoints = blocks.checkpoints(connection)
        states = blocks.states(connection)
        by_status = dict.fromkeys(TRANSFER_STATUSES, 0)
        for counts in stored_transfers.counts(connection).values():
            for name, count in counts.items():
                by_status[name] += count
        firing = dict.fromkeys(SEVERITIES, 0)
        resolved = 0
        for alerts in stored_alerts.counts(connection):
            if alerts.state == "firing":
                firing[alerts.severity] += alerts.number
            elif alerts.state == "resolved":
                resolved += alerts.number
        depths = outbox.depths(connection)
        undecoded = blocks.undecoded_count(connection)
    queues: dict[str, dict[str, Any]] = {
        name: {"receiver": name, "pending": 0, "delivered": 0, "dead": 0, "dropped": 0}
        for name in look.plan.settings.receivers
    }
    for depth in depths:
        row = queues.setdefault(
            depth.receiver,
            {"receiver": depth.receiver, "pending": 0, "delivered": 0, "dead": 0, "dropped": 0},
        )
        row[depth.status] = depth.number
    return {
        "networks": [
            _network(look, name, settings.chain_id, checkpoints.get(name), states.get(name))
            for name, settings in look.plan.settings.networks.items()
        ],
        "transfers": by_status,
        "alerts": {"firing": firing, "resolved": resolved},
        "queues": list(queues.values()),
        "undecoded_logs": undecoded,
    }


def transfers(
    look: Look,
    limit: int,
    *,
    flow: str | None,
    statuses: Sequence[str],
    key: str | None,
    origin: str | None,
    destination: str | None,
    since: int | None,
    until: int | None,
) -> list[dict[str, Any]]:
    """The transfers wanted, newest first."""
    wanted = stored_transfers.Filter(flow, tuple(statuses), key, origin, destination, since, until)
    with look.database.reading() as connection:
        seen = _seen(connection)
        return [
            views.transfer_view(look.flows.get(t.flow), t, seen)
            for t in stored_transfers.select(connection, wanted, limit)
        ]


def alerts(
    look: Look,
    limit: int,
    *,
    firing: bool,
    name: str | None,
    severities: Sequence[str],
    since: int | None,
    until: int | None,
) -> list[dict[str, Any]]:
    """The alerts wanted, newest first."""
    with look.database.reading() as connection:
        found = stored_alerts.list_alerts(
            connection,
            state="firing" if firing else None,
            name=name,
            severities=severities,
            since=since,
            until=until,
            limit=limit,
        )
    return [alert_view(alert) for alert in found]


def queue(look: Look, receiver: str | None, status: outbox.Status | None, limit: int) -> list[dict[str, Any]]:
    """The notifications wanted, newest first."""
    with look.database.reading() as connection:
        found = outbox.list_notifications(connection, receiver=receiver, status=status, limit=limit)
        next_at = outbox.next_attempts(connection, found)
    return [
        {
            "id": n.id,
            "receiver": n.receiver,
            "group": n.key,
            "status": n.status,
            "attempts": n.attempts,
            "created_at": int(n.created_at),
            # what is due is being tried
            "next_attempt_at": ceil(max(next_at[n.id], look.now) if n.id in next_at else n.next_attempt_at),
            "finished_at": None if n.finished_at is None else int(n.finished_at),
            "last_error": n.last_error,
            "idempotency_key": n.idempotency_key,
        }
        for n in found
    ]


def retry(look: Look, ids: Sequence[int], receiver: str | None) -> int:
    """Have notifications tried again now; how many."""
    with look.database.transaction() as connection:
        return outbox.retry(connection, look.now, ids=ids or None, receiver=receiver)


def drop(look: Look, ids: Sequence[int]) -> int:
    """Give notifications up; how many."""
    with look.database.transaction() as connection:
        return outbox.drop(connection, look.now, ids=ids)


def latency(look: Look, flow: str | None, since: int | None, until: int | None) -> list[dict[str, Any]]:
    """Per route and step how long it took, over the transfers opened in the time range."""
    wanted = stored_transfers.Filter(flow=flow, opened_from=since, opened_before=until)
    with look.database.reading() as connection:
        tally = Tally(look.flows)
        tally.add(stored_transfers.select(connection, wanted))
        return tally.latency(_seen(connection))


def _network(look: Look, name: str, chain_id: int, checkpoint: Any, state: Any) -> dict[str, Any]:
    last = checkpoint.last if checkpoint else None
    head = state.head if state else None
    running = state is not None and look.now - state.updated_at <= STOPPED_AFTER
    return {
        "name": name,
        "chain_id": chain_id,
        "checkpoint": {"number": last.number, "hash": to_hex(last.hash), "timestamp": last.timestamp}
        if last
        else None,
        "head": head,
        "lag_blocks": max(0, head - last.number) if last and head is not None else None,
        "seen_until": checkpoint.seen_until if checkpoint else None,
        "state": state.state if running and state else "stopped",
        "error": state.error if running and state else None,
    }


def _seen(connection: Any) -> dict[str, int]:
    return {name: c.seen_until for name, c in blocks.checkpoints(connection).items()}
