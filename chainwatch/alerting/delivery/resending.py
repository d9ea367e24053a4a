"""Sends again what fires, for channels that forget it otherwise; beside the queue, which has sent it before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NoReturn, Protocol, runtime_checkable

import sqlalchemy as sa
import structlog

from chainwatch.alerting.delivery.notification import Notification, load
from chainwatch.presentation.presenter import RAW, Presenter
from chainwatch.store.alerting import alert_groups
from chainwatch.store.alerting.outbox import Payload, QueuedNotification
from chainwatch.store.database import Database
from chainwatch.support.supervise import failure_of

_log = structlog.get_logger("chainwatch.resending")


@runtime_checkable
class Resending(Protocol):
    """A provider whose channel has to be sent firing alerts again and again, every ``resend_every`` seconds."""

    resend_every: float

    async def resend(self, load: Callable[[], Awaitable[Notification]]) -> None:
        """Send what ``load`` returns. Between that and the end of this call nothing else may be sent."""
        ...


async def keep_resending(
    database: Database,
    receiver: str,
    provider: Resending,
    external_url: str,
    presenter: Presenter = RAW,
) -> NoReturn:
    """Let ``provider`` send again what fires and its receiver was notified of, for ever. Failures are logged."""

    async def read() -> Notification:
        return await database.read(lambda c: _firing(c, receiver, external_url, presenter))

    while True:
        await asyncio.sleep(provider.resend_every)
        error = await failure_of(partial(provider.resend, read))
        if error is not None:
            _log.warning("firing alerts were not sent again", receiver=receiver, error=str(error))


def _firing(
    connection: sa.Connection, receiver: str, external_url: str, presenter: Presenter
) -> Notification:
    """Return all firing alerts that ``receiver`` was notified of."""
    ids = alert_groups.notified_firing(connection, receiver)
    queued = QueuedNotification(
        id=0,
        receiver=receiver,
        key="",
        payload=Payload({}, tuple(ids), ()),
        status="pending",
        attempts=0,
        next_attempt_at=0.0,
        created_at=0.0,
        queued_at=0.0,
        idempotency_key="",
    )
    return load(connection, queued, external_url, presenter)
