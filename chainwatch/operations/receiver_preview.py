"""``chainwatch receivers preview``: what a receiver's messages look like, without sending any."""

from __future__ import annotations

from typing import Any

import msgspec

from chainwatch.alerting.delivery.notification import Notification, NotifiedAlert, templated
from chainwatch.alerting.policy.lifecycle import fingerprint
from chainwatch.alerting.providers import Transport, build_provider
from chainwatch.config import Settings
from chainwatch.operations.checks import check_known
from chainwatch.presentation.presenter import Presenter, Shown
from chainwatch.presentation.preview_page import page

TX_HASH = "0x" + "5e" * 32
LATE = 600
"""Seconds by which the sample transfer is late."""


class Preview(msgspec.Struct, frozen=True):
    """A message as it would be sent. ``message``: in the channel's own form; ``html``: a page that shows it to people."""

    receiver: str
    provider: str
    message: Any
    html: str


def preview(
    settings: Settings, receiver: str, severity: str, now: float, *, resolved: bool = False
) -> Preview:
    """Return the first message to ``receiver`` about a transfer that is late ``now`` (Unix seconds), by its templates.

    Raises ``NotFound``.
    """
    check_known("receiver", receiver, settings.receivers)
    table = settings.receivers[receiver]
    notification = sample(settings, receiver, severity, int(now), resolved=resolved)
    rendered = build_provider(table, Transport()).render(notification, None)
    message = _plain(rendered)
    return Preview(receiver, table.provider, message, page(receiver, table.provider, message))


def sample(settings: Settings, receiver: str, severity: str, now: int, *, resolved: bool) -> Notification:
    """Return a notification about a late transfer between two of the configured networks."""
    origin, destination = [*settings.networks, "ethereum", "optimism"][:2]
    labels = {
        "alertname": "TransferOverdue",
        "severity": severity,
        "flow": next(iter(settings.flows), "bridge"),
        "transfer": "0x" + "7a" * 32,
        "origin": origin,
        "destination": destination,
    }
    annotations = {
        "summary": f"{labels['flow']}: a transfer from {origin} is overdue on {destination}",
        "description": "This is a preview. Nothing is wrong.",
        "amount": "1234500000",
        "send_tx": TX_HASH,
        "late_by": str(LATE),
    }
    presenter = Presenter.of(settings)
    link = presenter.transaction_url(origin, TX_HASH)
    alert = NotifiedAlert(
        status="resolved" if resolved else "firing",
        fingerprint=fingerprint(labels),
        labels=labels,
        annotations=annotations,
        starts_at=now - LATE,
        ends_at=now if resolved else None,
        reason="in time" if resolved else "",
        link=f"{settings.external_url.rstrip('/')}/alerts/1" if settings.external_url else "",
        shown={
            "amount": Shown("1,234.5 USDC"),
            "send_tx": Shown(network=origin, links={TX_HASH: link} if link else {}),
        },
    )
    notification = Notification(
        receiver=receiver,
        group_key="{}/preview",
        group_labels={"alertname": labels["alertname"]},
        alerts=(alert,),
        idempotency_key="preview",
        external_url=settings.external_url or "",
    )
    template = presenter.template(receiver, "")
    return notification if template is None else templated(notification, template, presenter.explorers)


def _plain(rendered: Any) -> Any:
    """Return a provider's message as JSON holds it: every provider has a form of its own."""
    if isinstance(rendered, bytes):
        return _decoded(rendered)
    if isinstance(rendered, tuple) and hasattr(rendered, "_asdict"):
        return {name: _plain(value) for name, value in rendered._asdict().items()}
    if isinstance(rendered, dict):
        return {str(name): _plain(value) for name, value in rendered.items()}
    if isinstance(rendered, list | tuple):
        return [_plain(value) for value in rendered]
    return msgspec.to_builtins(rendered, enc_hook=str)


def _decoded(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        return content.decode(errors="replace")
