"""A notification as providers render it: the alerts of one group as they are stored when it is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Alert, State, sent_labels
from chainwatch.alerting.delivery import acknowledged_by
from chainwatch.presentation.message_template import Custom, MessageTemplate
from chainwatch.presentation.presenter import RAW, Presenter, Shown, alert_page, published
from chainwatch.store.alerting import alerts as stored
from chainwatch.store.alerting import incidents
from chainwatch.store.alerting.outbox import Kind, QueuedNotification

TEMPLATED_MAX = 100
"""Alerts of one notification whose templates are rendered: no channel shows more. The others keep the default."""
SENTENCE_MAX = 4_096
"""Characters of a label or annotation that templates get."""

LAST_TIME = 253_402_300_799
"""The last second that RFC 3339 and the calendars of providers can write, in Unix seconds."""


class NotifiedAlert(msgspec.Struct, frozen=True):
    """One alert of a notification, as firing or as resolved.

    Times are Unix seconds of the chain; ``ends_at`` is None of a firing one. ``reason``: why it resolved. ``link``: its
    page, or empty. ``is_over``: it is firing here, and resolved in the same notification. ``shown``: by the name of an
    annotation what is shown beside it. ``custom``: what a template made of it.
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
    shown: Mapping[str, Shown] = {}
    custom: Custom = Custom()

    @property
    def name(self) -> str:
        """The label ``alertname``."""
        return self.labels["alertname"]

    @property
    def severity(self) -> str:
        """``P0`` … ``P3``."""
        return self.labels["severity"]

    @property
    def published(self) -> dict[str, str]:
        """The annotations as machines get them, with what is shown beside."""
        return published(self.annotations, self.shown)


class Notification(msgspec.Struct, frozen=True):
    """What one receiver is notified of about one group.

    ``idempotency_key`` is the same at every attempt. ``external_url``: the base of links, or empty. ``note``: a line that
    precedes the alerts, or empty.
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
        """The alerts that are firing and not over."""
        return tuple(alert for alert in self.alerts if alert.status == "firing" and not alert.is_over)

    @property
    def resolved(self) -> tuple[NotifiedAlert, ...]:
        """The resolved alerts."""
        return tuple(alert for alert in self.alerts if alert.status == "resolved")

    @property
    def common_labels(self) -> dict[str, str]:
        """The labels that all alerts share, as they were sent."""
        return _common(sent_labels(alert.labels) for alert in self.alerts)

    @property
    def common_annotations(self) -> dict[str, str]:
        """The annotations that all alerts share, as machines get them."""
        return _common(alert.published for alert in self.alerts)


def load(
    connection: sa.Connection, queued: QueuedNotification, external_url: str = "", presenter: Presenter = RAW
) -> Notification:
    """Return the same as ``load_all``, for one."""
    return load_all(connection, [queued], external_url, presenter)[0]


def load_all(
    connection: sa.Connection,
    queued: Sequence[QueuedNotification],
    external_url: str = "",
    presenter: Presenter = RAW,
) -> list[Notification]:
    """Return each of ``queued`` with its alerts and acknowledgements as stored now, without alerts that are gone.

    ``presenter`` says what is shown beside amounts, transactions and addresses.
    """
    ids = {i for one in queued for i in (*one.payload.firing, *one.payload.resolved)}
    known = stored.by_id(connection, sorted(ids))
    acknowledged = acknowledged_by.acknowledged_now(connection)
    added: dict[int, dict[str, str]] = {
        i: {"acknowledged_by": acknowledged[i].actor} for i in acknowledged.keys() & ids
    }
    for alert_id, escalated_to in incidents.rises(connection, list(known)).items():
        added.setdefault(alert_id, {})["escalated_to"] = escalated_to
    for alert_id in added.keys() & known.keys():
        alert = known[alert_id]
        annotations = {**alert.annotations, **added[alert_id]}
        known[alert_id] = msgspec.structs.replace(alert, annotations=annotations)
    shown = dict(zip(known, presenter.show(known.values(), connection), strict=True))
    notifications = [
        _notification(
            one, known, shown, external_url, acknowledged_by.note(connection, one, known, acknowledged)
        )
        for one in queued
    ]
    templates = [presenter.template(one.receiver, one.payload.template) for one in queued]
    return [
        one if template is None else templated(one, template, presenter.explorers)
        for one, template in zip(notifications, templates, strict=True)
    ]


def templated(
    notification: Notification, template: MessageTemplate, explorers: Mapping[str, str]
) -> Notification:
    """Return ``notification`` with what ``template`` makes of its alerts.

    Where that fails the default stays, with a note: a template never loses an alert.
    """
    common = {**template_values(notification), "explorers": explorers}
    described = common["alerts"]
    alerts = list(notification.alerts)
    try:
        for i, values in enumerate(described):
            alerts[i] = msgspec.structs.replace(alerts[i], custom=template.render({**common, **values}))
    except ValueError as error:
        failed = f"The template {template.name} failed, so these are chainwatch's own words: {error}."
        return msgspec.structs.replace(notification, note=" ".join(filter(None, (notification.note, failed))))
    return msgspec.structs.replace(notification, alerts=tuple(alerts))


def template_values(notification: Notification) -> dict[str, Any]:
    """Return the values that templates get of a notification; ``alerts`` are those of its first ``TEMPLATED_MAX``."""
    return {
        "alerts": [_described(alert) for alert in notification.alerts[:TEMPLATED_MAX]],
        "status": notification.status,
        "labels": _on_one_line(notification.common_labels),
        "annotations": _on_one_line(notification.common_annotations),
        "group_labels": notification.group_labels,
        "receiver": notification.receiver,
        "external_url": notification.external_url,
        "externalURL": notification.external_url,
        "note": notification.note,
    }


def _described(alert: NotifiedAlert) -> dict[str, Any]:
    """Return the values that templates get of an alert. No text has more than one line: lines are the template's own."""
    annotations, labels = _on_one_line(alert.published), _on_one_line(alert.labels)
    return {
        "status": alert.status,
        "severity": alert.severity,
        "name": alert.name,
        "labels": labels,
        "annotations": annotations,
        "value": annotations.get("value", ""),
        "transfer": {**labels, **annotations} if "flow" in labels else {},
        "starts_at": alert.starts_at,
        "ends_at": alert.ends_at,
        "reason": alert.reason,
        "link": alert.link,
        "fingerprint": alert.fingerprint,
    }


def _on_one_line(pairs: Mapping[str, str]) -> dict[str, str]:
    return {name: " ".join(text[:SENTENCE_MAX].split()) for name, text in pairs.items()}


def _notification(
    queued: QueuedNotification,
    known: Mapping[int, Alert],
    shown: Mapping[int, Mapping[str, Shown]],
    external_url: str,
    note: str,
) -> Notification:
    payload = queued.payload
    ended = set(payload.resolved)
    lines: list[tuple[int, State]] = [(i, "firing") for i in payload.firing]
    lines += [(i, "resolved") for i in payload.resolved]
    if payload.folded:
        lines.sort()  # in the order of events: later episodes of a condition have higher ids
    notified = [
        _notified_alert(known[i], shown[i], status, external_url, is_over=status == "firing" and i in ended)
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


def _notified_alert(
    alert: Alert, shown: Mapping[str, Shown], status: State, external_url: str, is_over: bool
) -> NotifiedAlert:
    resolved = status == "resolved"
    return NotifiedAlert(
        status=status,
        fingerprint=alert.fingerprint,
        labels=alert.labels,
        annotations=alert.annotations,
        starts_at=alert.starts_at,
        ends_at=alert.ends_at if resolved else None,
        reason=alert.reason if resolved else "",
        link=alert_page(external_url, alert.id),
        is_over=is_over,
        shown=shown,
    )


def _common(all_pairs: Iterable[Mapping[str, str]]) -> dict[str, str]:
    common: dict[str, str] | None = None
    for pairs in all_pairs:
        common = dict(pairs) if common is None else {k: v for k, v in common.items() if pairs.get(k) == v}
    return common or {}
