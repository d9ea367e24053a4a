"""A notification as the providers see it: the alerts of one group with what is said of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Alert, State
from chainwatch.alerting.delivery import acknowledged_by
from chainwatch.store.alerting import alerts as stored
from chainwatch.store.alerting import incidents
from chainwatch.store.alerting.outbox import Kind, Queued

LAST_TIME = 253_402_300_799
"""The last second that RFC 3339 and the calendars of providers can write, in Unix seconds."""


class NotifiedAlert(msgspec.Struct, frozen=True):
    """One alert and what is said of it; ``ends_at`` (chain time) is None while it is told as firing.

    ``is_over``: it is told as firing, and the same message tells its end.
    """

    status: State
    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: float
    ends_at: float | None = None
    reason: str = ""
    link: str = ""
    is_over: bool = False

    @property
    def name(self) -> str:
        """The label ``alertname``."""
        return self.labels["alertname"]

    @property
    def severity(self) -> str:
        """``P0`` … ``P3``."""
        return self.labels["severity"]


class Notification(msgspec.Struct, frozen=True):
    """One message for one receiver. ``idempotency_key`` stays the same however often it is sent.

    ``note``: a line to be put first.
    """

    receiver: str
    group_key: str
    group_labels: Mapping[str, str]
    alerts: tuple[NotifiedAlert, ...]
    idempotency_key: str
    external_url: str = ""
    kind: Kind = ""
    note: str = ""

    @property
    def status(self) -> State:
        """``firing`` while any of its alerts is."""
        return "firing" if self.firing else "resolved"

    @property
    def firing(self) -> tuple[NotifiedAlert, ...]:
        """The alerts that fire, by what this message tells."""
        return tuple(alert for alert in self.alerts if alert.status == "firing" and not alert.is_over)

    @property
    def resolved(self) -> tuple[NotifiedAlert, ...]:
        """The alerts told as resolved."""
        return tuple(alert for alert in self.alerts if alert.status == "resolved")

    @property
    def common_labels(self) -> dict[str, str]:
        """The labels that all alerts share."""
        return _common(alert.labels for alert in self.alerts)

    @property
    def common_annotations(self) -> dict[str, str]:
        """The annotations that all alerts share."""
        return _common(alert.annotations for alert in self.alerts)


def load(connection: sa.Connection, queued: Queued, external_url: str = "") -> Notification:
    """What ``queued`` says, with its alerts, and whose they are, as stored now; what is stored no more is left out."""
    return load_all(connection, [queued], external_url)[0]


def load_all(
    connection: sa.Connection, queued: Sequence[Queued], external_url: str = ""
) -> list[Notification]:
    """What each of ``queued`` says, as ``load`` has it."""
    ids = {i for one in queued for i in (*one.payload.firing, *one.payload.resolved)}
    known = stored.by_id(connection, sorted(ids))
    taken = acknowledged_by.taken_now(connection)
    said: dict[int, dict[str, str]] = {i: {"acknowledged_by": taken[i].actor} for i in taken.keys() & ids}
    for alert_id, escalated_to in incidents.rises(connection, list(known)).items():
        said.setdefault(alert_id, {})["escalated_to"] = escalated_to
    for alert_id in said.keys() & known.keys():
        alert = known[alert_id]
        annotations = {**alert.annotations, **said[alert_id]}
        known[alert_id] = msgspec.structs.replace(alert, annotations=annotations)
    return [
        _notification(one, known, external_url, acknowledged_by.note(connection, one, known, taken))
        for one in queued
    ]


def _notification(queued: Queued, known: Mapping[int, Alert], external_url: str, note: str) -> Notification:
    payload = queued.payload
    ended = set(payload.resolved)
    lines: list[tuple[int, State]] = [(i, "firing") for i in payload.firing]
    lines += [(i, "resolved") for i in payload.resolved]
    if payload.folded:
        lines.sort()  # as it happened: later episodes of a condition have higher ids
    notified = [
        _notified_alert(known[i], status, external_url, is_over=status == "firing" and i in ended)
        for i, status in lines
        if i in known
    ]
    return Notification(
        receiver=queued.receiver,
        group_key=queued.key,
        group_labels=payload.labels,
        alerts=tuple(notified),
        idempotency_key=queued.idempotency_key,
        external_url=external_url,
        kind=payload.kind,
        note=note,
    )


def _notified_alert(alert: Alert, status: State, external_url: str, is_over: bool) -> NotifiedAlert:
    resolved = status == "resolved"
    return NotifiedAlert(
        status=status,
        fingerprint=alert.fingerprint,
        labels=alert.labels,
        annotations=alert.annotations,
        starts_at=alert.starts_at,
        ends_at=alert.ends_at if resolved else None,
        reason=alert.reason if resolved else "",
        link=f"{external_url.rstrip('/')}/alerts/{alert.id}" if external_url else "",
        is_over=is_over,
    )


def _common(all_pairs: Iterable[Mapping[str, str]]) -> dict[str, str]:
    common: dict[str, str] | None = None
    for pairs in all_pairs:
        common = dict(pairs) if common is None else {k: v for k, v in common.items() if pairs.get(k) == v}
    return common or {}
