"""Tests of receivers: a sample, marked as one, through the real queue and provider."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Alert
from chainwatch.alerting.delivery.attempt import attempt
from chainwatch.alerting.delivery.notification import load
from chainwatch.alerting.policy.lifecycle import fingerprint
from chainwatch.alerting.providers import DeliveryError, Transport, build_provider
from chainwatch.config import Settings
from chainwatch.operations.checks import check_known, check_seconds
from chainwatch.operations.context import Context
from chainwatch.operations.queries import parse_severity
from chainwatch.presentation.presenter import Presenter
from chainwatch.store.alerting import alerts, outbox
from chainwatch.store.alerting.outbox import QueuedNotification
from chainwatch.store.claim import claimed
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError

NAME = "ReceiverTest"
POLL = 0.1
"""Seconds between two reads of the queue."""


class SampleOutcome(msgspec.Struct, frozen=True):
    """What became of a sample. ``by``: which process sent it; ``seconds``: until it was delivered, or given up."""

    receiver: str
    provider: str
    delivered: bool
    by: str
    seconds: float
    attempts: int
    error: str | None


class Sample(msgspec.Struct, frozen=True):
    """A sample in the queue of ``receiver``: its notification's ID and key, and its alert's ID."""

    receiver: str
    notification_id: int
    key: str
    alert_id: int
    queued_at: float


def queue_sample(
    connection: sa.Connection,
    context: Context,
    now: float,
    receiver: str,
    severity: str = "P3",
    *,
    resolved: bool = False,
) -> Sample:
    """Queue a sample for ``receiver``; the running process sends it. Raises ``NotFound`` and ``Invalid``."""
    check_known("receiver", receiver, context.receivers)
    key, alert_id = _enqueue(connection, receiver, parse_severity(severity), now, resolved=resolved)
    return Sample(receiver, _find(connection, receiver, key).id, key, alert_id, now)


def is_tried(connection: sa.Connection, context: Context, now: float, sample: Sample) -> bool:
    """Return whether ``sample`` was delivered, given up, or has failed once."""
    queued = _find(connection, sample.receiver, sample.key)
    return queued.status != "pending" or queued.last_error is not None


def end_sample(connection: sa.Connection, context: Context, now: float, sample: Sample) -> SampleOutcome:
    """Return what became of ``sample``, and leave of it its notification alone, as delivered or dropped."""
    queued = _find(connection, sample.receiver, sample.key)
    outbox.drop(connection, now, ids=[queued.id])
    alerts.delete_sample(connection, sample.alert_id)
    seconds = (queued.finished_at or now) - sample.queued_at
    return _outcome(context.settings, queued, "the running process", seconds, waited=round(seconds))


async def send_sample(
    database: Database,
    settings: Settings,
    receiver: str,
    within: float,
    severity: str = "P3",
    *,
    resolved: bool = False,
) -> SampleOutcome:
    """Send a sample to ``receiver``, and wait at most ``within`` seconds until it is delivered.

    ``resolved``: as one that is over, which ends at the channel what an earlier sample of the same ``severity`` began. The
    running process sends it, or this one where none runs. Of the sample only its notification is kept, as delivered or
    dropped. Raises ``NotFound`` and ``Invalid``.
    """
    check_known("receiver", receiver, settings.receivers)
    check_seconds("within", within)
    began = time.time()
    key, alert_id = await database.write(
        lambda connection: _enqueue(connection, receiver, severity, began, resolved=resolved)
    )
    try:
        is_ours = await _deliver_unless_running(database, settings, receiver, key)
        queued = await _tried(database, receiver, key, 0.0 if is_ours else within)
    finally:
        await database.write(lambda connection: _clean_up(connection, receiver, key, alert_id))
    seconds = (queued.finished_at or time.time()) - began
    by = "this command" if is_ours else "the running process"
    return _outcome(settings, queued, by, seconds, waited=within)


def _outcome(
    settings: Settings, queued: QueuedNotification, by: str, seconds: float, *, waited: float
) -> SampleOutcome:
    configured = settings.receivers.get(queued.receiver)
    delivered = queued.status == "delivered"
    return SampleOutcome(
        receiver=queued.receiver,
        provider=configured.provider if configured else "",
        delivered=delivered,
        by=by,
        seconds=seconds,
        attempts=queued.attempts,
        error=None if delivered else queued.last_error or f"not delivered within {waited:g} seconds",
    )


def _enqueue(
    connection: sa.Connection, receiver: str, severity: str, now: float, *, resolved: bool
) -> tuple[str, int]:
    """Return the sample's key and its alert's ID."""
    alert_id = _store_alert(connection, receiver, severity, now)
    key = f"test/{alert_id}/{now}"
    payload = outbox.Payload(
        {"alertname": NAME}, () if resolved else (alert_id,), (alert_id,) if resolved else ()
    )
    outbox.enqueue(connection, [(receiver, key, payload)], now)
    return key, alert_id


def _store_alert(connection: sa.Connection, receiver: str, severity: str, now: float) -> int:
    """Return the ID of a resolved alert that no route takes."""
    labels = {"alertname": NAME, "receiver": receiver, "severity": severity}
    sample = Alert(
        id=alerts.next_sample_id(connection),
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


def _clean_up(connection: sa.Connection, receiver: str, key: str, alert_id: int) -> None:
    outbox.drop(connection, time.time(), ids=[_find(connection, receiver, key).id])
    alerts.delete_sample(connection, alert_id)


async def _deliver_unless_running(database: Database, settings: Settings, receiver: str, key: str) -> bool:
    """Deliver the sample here, once, unless another process runs on the database; return whether none did."""
    with ExitStack() as claim:
        try:
            url = settings.store.url.get_secret_value()
            await asyncio.to_thread(claim.enter_context, claimed(url))
        except StoreError:
            return False
        await _deliver(database, settings, receiver, key)
    return True


async def _deliver(database: Database, settings: Settings, receiver: str, key: str) -> None:
    queued = await database.read(lambda connection: _find(connection, receiver, key))
    external_url, presenter = settings.external_url or "", Presenter.of(settings)
    notification = await database.read(lambda c: load(c, queued, external_url, presenter))
    async with Transport() as transport:
        outcome = await attempt(build_provider(settings.receivers[receiver], transport), notification, None)

    def settle(connection: sa.Connection) -> None:
        if isinstance(outcome, DeliveryError):
            outbox.mark_failed(connection, queued, str(outcome), time.time())
        else:
            outbox.mark_delivered(connection, [(queued.id, time.time())])

    await database.write(settle)


async def _tried(database: Database, receiver: str, key: str, within: float) -> QueuedNotification:
    """Return the sample's notification once it was tried, or once ``within`` seconds are over."""
    until = time.monotonic() + within
    while True:
        queued = await database.read(lambda connection: _find(connection, receiver, key))
        if queued.status != "pending" or queued.last_error is not None or time.monotonic() >= until:
            return queued
        await asyncio.sleep(POLL)


def _find(connection: sa.Connection, receiver: str, key: str) -> QueuedNotification:
    found = outbox.list_notifications(connection, receiver=receiver, limit=1000)
    return next(queued for queued in found if queued.key == key)
