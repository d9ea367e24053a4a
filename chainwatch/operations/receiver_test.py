"""``chainwatch receivers test``: a sample that is marked as one, through the real queue and provider."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import sqlalchemy as sa

from chainwatch.alert_model import Alert
from chainwatch.alerting.delivery.notification import load
from chainwatch.alerting.policy.lifecycle import fingerprint
from chainwatch.alerting.providers import DeliveryError, Transport, build_provider
from chainwatch.config import ReceiverSettings
from chainwatch.operations.queries import Look
from chainwatch.store.alerting import alerts, outbox
from chainwatch.store.alerting.alert_tables import alerts as table
from chainwatch.store.alerting.outbox import QueuedNotification
from chainwatch.store.claim import claimed
from chainwatch.store.errors import StoreError

NAME = "ReceiverTest"
POLL = 0.1
SECONDS = 1.0


async def send_sample(look: Look, receiver: str, within: float) -> dict[str, Any]:
    """Have ``receiver`` take a sample within so many seconds, and tell what came of it.

    The running process delivers it where there is one, else this one does. Nothing is left of it but its notification.
    """
    settings = look.plan.settings.receivers[receiver]
    began = time.time()
    with look.database.transaction() as connection:
        alert_id = _store_alert(connection, receiver, began)
        key = f"test/{alert_id}/{began}"
        outbox.enqueue(
            connection, [(receiver, key, outbox.Payload({"alertname": NAME}, (alert_id,), ()))], began
        )
    try:
        by_itself = await _deliver_unless_running(look, settings, key)
        queued = await _outcome(look, receiver, key, 0.0 if by_itself else within)
    finally:
        with look.database.transaction() as connection:
            outbox.drop(connection, time.time(), ids=[_find(connection, receiver, key).id])
            connection.execute(sa.delete(table).where(table.c.id == alert_id))
    delivered = queued.status == "delivered"
    return {
        "receiver": receiver,
        "provider": settings.provider,
        "delivered": delivered,
        "by": "this command" if by_itself else "the running process",
        "seconds": round((queued.finished_at or time.time()) - began, 3),
        "attempts": queued.attempts,
        "error": None if delivered else queued.last_error or f"not delivered within {within:g} seconds",
    }


def _store_alert(connection: sa.Connection, receiver: str, now: float) -> int:
    """Ids below zero never meet those of the running process."""
    lowest = connection.execute(sa.select(sa.func.min(table.c.id))).scalar() or 0
    labels = {"alertname": NAME, "receiver": receiver, "severity": "P3"}
    sample = Alert(
        id=min(lowest, 0) - 1,
        fingerprint=fingerprint(labels),
        labels=labels,
        annotations={
            "summary": "This is a test. Nothing is wrong.",
            "description": f"Sent by `chainwatch receivers test {receiver}`.",
        },
        starts_at=int(now),
        raised_at=now,
        state="resolved",
        audience="quiet",
        ends_at=int(now),
        reason="test",
        resolved_at=now,
        source="process",
    )
    alerts.insert(connection, [sample])
    return sample.id


async def _deliver_unless_running(look: Look, settings: ReceiverSettings, key: str) -> bool:
    """Deliver the sample here, once, unless another process has the database; whether that was so."""
    try:
        with claimed(look.plan.settings.store.url.get_secret_value()):
            await _deliver(look, settings, key)
    except StoreError:
        return False
    return True


async def _deliver(look: Look, settings: ReceiverSettings, key: str) -> None:
    with look.database.reading() as connection:
        queued = _find(connection, settings.name, key)
        notification = load(connection, queued, look.plan.settings.external_url or "")
    error: DeliveryError | None = None
    async with Transport() as transport:
        provider = build_provider(settings, transport)
        try:
            await provider.send(provider.render(notification, None))
        except DeliveryError as refused:
            error = refused
    with look.database.transaction() as connection:
        if error is None:
            outbox.mark_delivered(connection, [(queued.id, time.time())])
        else:
            outbox.mark_failed(connection, queued, str(error), time.time())


async def _outcome(look: Look, receiver: str, key: str, within: float) -> QueuedNotification:
    """The sample's notification once it has been tried, or the time is up."""
    until = time.monotonic() + within
    while True:
        with look.database.reading() as connection:
            queued = _find(connection, receiver, key)
        if queued.status != "pending" or queued.last_error is not None or time.monotonic() >= until:
            return queued
        await asyncio.sleep(POLL)


def _find(connection: sa.Connection, receiver: str, key: str) -> QueuedNotification:
    found = outbox.list_notifications(connection, receiver=receiver, limit=1000)
    return next(queued for queued in found if queued.key == key)
