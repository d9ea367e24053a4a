"""Signals, routes, a clock that stands still, and a way to wait for what other tasks do."""

import asyncio
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from chainwatch.alert_model import Silence
from chainwatch.alerting.delivery.notification import Notification, NotifiedAlert, load
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.policy.policies import Policies
from chainwatch.alerting.providers import Capabilities, DeliveryError, Receipt, Server
from chainwatch.config import RouteSettings, from_dict
from chainwatch.model import Signal, Source
from chainwatch.store.alerting import alerts, history, outbox, silences

T0 = 1_700_000_000
NOW = float(T0)
TICK = 15.0


def fires(
    transfer: str = "0x01",
    *,
    at: int = T0,
    name: str = "TransferOverdue",
    source: Source = "transfer",
    **labels: str,
) -> Signal:
    """A condition that is now true."""
    summary = {"summary": f"{transfer} is late"}
    return Signal(_labels(name, transfer, labels), at, summary, source=source)


def ends(
    transfer: str = "0x01",
    *,
    at: int = T0,
    until: int = T0 + 60,
    name: str = "TransferOverdue",
    reason: str = "late",
    source: Source = "transfer",
    **labels: str,
) -> Signal:
    """A condition that is true no more."""
    return Signal(
        _labels(name, transfer, labels), at, {"summary": f"{transfer} was late"}, until, reason, source
    )


def _labels(name: str, transfer: str, more: dict[str, str]) -> dict[str, str]:
    return {"alertname": name, "transfer": transfer, "severity": "P1", **more}


def route(*receivers: str, **settings: Any) -> RouteSettings:
    """A route, by default at once and to one group per alert name."""
    return RouteSettings.model_validate(
        {"receivers": list(receivers or ("ops",)), "group_wait": "0s", **settings}
    )


def queued_for(connection: sa.Connection, receiver: str = "ops") -> list[list[tuple[str, str]]]:
    """The (status, transfer) of each notification of a receiver, in the order in which they were queued."""
    queued = outbox.list_notifications(connection, receiver=receiver, limit=10_000)
    return [[(a.status, a.labels["transfer"]) for a in load(connection, q).alerts] for q in reversed(queued)]


def notification(*alerts: NotifiedAlert, **fields: Any) -> Notification:
    """A notification with one firing alert unless others are given."""
    alerts = alerts or (notified(),)
    return Notification(
        **{
            "receiver": "ops",
            "group_key": '{}/{}:{alertname="TransferOverdue"}',
            "group_labels": {"alertname": alerts[0].labels["alertname"]},
            "alerts": alerts,
            "idempotency_key": "0" * 32,
            **fields,
        }
    )


def notified(**fields: Any) -> NotifiedAlert:
    """An overdue transfer."""
    return NotifiedAlert(
        **{
            "status": "firing",
            "fingerprint": "00112233aabbccdd",
            "labels": {"alertname": "TransferOverdue", "transfer": "0x01", "severity": "P1"},
            "annotations": {"summary": "execute is late", "amount": "12 ETH"},
            "starts_at": T0,
            **fields,
        }
    )


class ManualClock:
    """Stands still until it may go on."""

    def __init__(self, now: float = T0) -> None:
        self._now = now
        self._waiting: dict[asyncio.Event, float] = {}

    def now(self) -> float:
        return self._now

    async def wait(self, event: asyncio.Event, until: float) -> None:
        come = asyncio.Event()
        if until <= self._now:
            come.set()
        self._waiting[come] = until
        tasks = [asyncio.create_task(event.wait()), asyncio.create_task(come.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._waiting[come]
            for task in tasks:
                task.cancel()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        for come, until in self._waiting.items():
            if until <= self._now:
                come.set()

    def advance_to_alarm(self) -> None:
        """Let time pass to the earliest moment that anybody waits for, if anybody does."""
        if self._waiting:
            self.advance(max(0.0, min(self._waiting.values()) - self._now))


class ScriptedProvider:
    """Takes messages, or fails as the script says; ``on_hold`` keeps them under way."""

    server: Server | None = None

    def __init__(self, script: Sequence[BaseException | None] = (), concurrency: int = 4) -> None:
        self.capabilities = Capabilities(concurrency=concurrency)
        self.script = list(script)
        self.usual: DeliveryError | None = None
        self.attempts: list[Notification] = []
        self.taken: list[Notification] = []
        self.on_hold: dict[str, asyncio.Event] = {}

    def render(self, notification: Notification, previous: Receipt | None) -> Notification:
        return notification

    async def send(self, message: Notification) -> Receipt:
        self.attempts.append(message)
        gate = self.on_hold.get(message.alerts[0].labels["transfer"])
        if gate is not None:
            await gate.wait()
        error = self.script.pop(0) if self.script else self.usual
        if error is not None:
            raise error
        self.taken.append(message)
        return Receipt()

    @property
    def taken_transfers(self) -> list[tuple[str, str]]:
        return [(a.status, a.labels["transfer"]) for n in self.taken for a in n.alerts]


def manager(*routes: RouteSettings, **config: Any) -> AlertEngine:
    """An engine with ``routes`` to the receiver "ops", and with the policies of ``config``."""
    settings = from_dict(
        {
            "networks": {"n": {"chain_id": 1, "rpc": ["http://127.0.0.1:1"]}},
            "receivers": {"ops": {"provider": "console", **config.pop("receiver", {})}},
            "routes": [{"receivers": ["ops"]}],
            **config,
        }
    )
    return AlertEngine(routes or (route(),), {"ops": True}, 0, Policies.of(settings))


def silence(connection: sa.Connection, start: float, end: float, **more: Any) -> int:
    """Add a silence from ``start`` to ``end`` (seconds after NOW); its id."""
    match = more.pop("match", {"alertname": ["TransferOverdue"]})
    return silences.add(connection, Silence(match, NOW + start, NOW + end, "ann", "testing", NOW, **more))


def kinds(connection: sa.Connection) -> list[str]:
    """The kinds of the transitions of the only alert."""
    (alert,) = alerts.list_alerts(connection)
    return [one.kind for one in history.of(connection, alert)]


def severities(connection: sa.Connection) -> list[tuple[str, str]]:
    """The (status, severity) of every alert in the queued notifications, in the order of these."""
    queued = outbox.list_notifications(connection, limit=100)
    return [(a.status, a.severity) for q in reversed(queued) for a in load(connection, q).alerts]
