"""One transfer whole: its events across networks in order, what is awaited, its alerts, and who was notified of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Alert
from chainwatch.alerting.policy.lifecycle import fingerprint
from chainwatch.chain.decode.abi import AbiError
from chainwatch.chain.decode.decoder import DecodeError, EventDecoder
from chainwatch.checker.flow import Flow
from chainwatch.checker.step_views import step_views
from chainwatch.model import Occurrence, Transfer, to_hex
from chainwatch.operations.context import Context
from chainwatch.operations.errors import NotFound
from chainwatch.operations.transaction_logs import as_text
from chainwatch.operations.views import (
    AlertView,
    StepView,
    alert_views,
    network_name,
    step_view,
    transfer_assets,
)
from chainwatch.presentation.presenter import Asset
from chainwatch.store import blocks, emitted_logs
from chainwatch.store import transfers as stored_transfers
from chainwatch.store.alerting import alerts, past_notifications
from chainwatch.store.alerting.outbox import QueuedNotification
from chainwatch.store.assets import AssetId
from chainwatch.store.emitted_logs import EmittedLog
from chainwatch.support.bounds import cut_labels


class EventView(StepView, frozen=True, kw_only=True):
    """An event of a transfer. ``after``: seconds since it was opened; ``due_at``: by when it had to come, chain time.

    ``contract`` is the configured contract's name, ``address`` the one that emitted it, ``event`` its signature, ``args``
    its values as text by name; ``sender`` and ``recipient`` are those of its transaction. All but the first and third are
    None where the log is not stored any more, or does not decode.
    """

    step: str
    log_index: int
    after: float | None
    due_at: float | None
    contract: str | None
    address: str | None
    address_url: str | None
    event: str | None
    args: Mapping[str, Any] | None
    sender: str | None
    recipient: str | None


class AwaitedView(msgspec.Struct, frozen=True):
    """A step that was not seen. ``late_by``: seconds of chain time by which it is overdue, 0 where it is not, or not known
    because the network is not seen so far (``seen_until``).
    """

    step: str
    network: str
    due_at: float
    seen_until: float | None
    late_by: float


class NotifiedView(msgspec.Struct, frozen=True):
    """A notification about alerts of the transfer. ``says``: these were ``firing`` or ``resolved`` in it, or both."""

    id: int
    receiver: str
    alerts: Sequence[int]
    says: str
    status: str
    created_at: float
    finished_at: float | None
    last_error: str | None


class TransferDetails(msgspec.Struct, frozen=True):
    """One transfer. ``took``: seconds from its opening to its newest step, where that is complete. Times are chain time,
    those of notifications this machine's.
    """

    flow: str
    key: str
    status: str
    origin: str | None
    destination: str | None
    opened_at: float | None
    took: float | None
    events: Sequence[EventView]
    awaited: Sequence[AwaitedView]
    alerts: Sequence[AlertView]
    notifications: Sequence[NotifiedView]


def show_transfer(
    connection: sa.Connection, context: Context, now: float, flow: str, key: str
) -> TransferDetails:
    """Return the transfer of ``flow`` with this whole key, or as a label of its alerts has it. Raises ``NotFound``."""
    transfer = stored_transfers.labelled(connection, [(flow, key)]).get((flow, key))
    if transfer is None:
        raise NotFound(
            f"flow {flow!r} has no transfer with the key {key[:200]!r}; `chainwatch transfers` lists them"
        )
    configured = context.flows.get(transfer.flow)
    about = _alerts(connection, transfer)
    opened_at, newest = transfer.opened_at, max((o.timestamp for o in transfer.occurrences), default=None)
    is_complete = transfer.status == "complete" and opened_at is not None and newest is not None
    return TransferDetails(
        flow=transfer.flow,
        key=transfer.key,
        status=transfer.status,
        origin=network_name(transfer.origin),
        destination=network_name(transfer.destination),
        opened_at=opened_at,
        took=(newest or 0) - (opened_at or 0) if is_complete else None,
        events=_events(connection, context, configured, transfer),
        awaited=_awaited(connection, configured, transfer),
        alerts=alert_views(about, context.presenter, connection),
        notifications=_notified(connection, about),
    )


def _events(
    connection: sa.Connection, context: Context, flow: Flow | None, transfer: Transfer
) -> list[EventView]:
    presenter = context.presenter
    assets = presenter.assets(transfer_assets([transfer]), connection)
    logs = emitted_logs.load(connection, transfer.occurrences)
    due = {_place(v.event): v.due_at for v in (step_views(flow, transfer) if flow else []) if v.event}
    ordered = sorted(transfer.occurrences, key=lambda o: (o.timestamp, o.network, o.block, o.log_index))
    return [
        _event(
            context,
            flow,
            transfer,
            one,
            due.get(_place(one)),
            logs.get((one.network, one.block, one.log_index)),
            assets,
        )
        for one in ordered
    ]


def _place(one: Occurrence) -> tuple[str, str, int, int, int]:
    return one.step, one.network, one.block, one.log_index, one.item


def _event(
    context: Context,
    flow: Flow | None,
    transfer: Transfer,
    one: Occurrence,
    due_at: int | None,
    log: EmittedLog | None,
    assets: Mapping[AssetId, Asset],
) -> EventView:
    presenter = context.presenter
    is_opening = flow is not None and one.step == flow.opening.name
    late_by = 0 if is_opening else None if due_at is None else max(0, one.timestamp - due_at)
    step = next((s for s in flow.all_steps if s.name == one.step), None) if flow else None
    address = to_hex(log.address) if log else None
    args = None
    if log is not None and step is not None:
        try:
            args = as_text(EventDecoder(step.event).decode_raw(log.topics, log.data))
        except (DecodeError, AbiError):  # another form of the event, or another one since
            args = None
    return EventView(
        **msgspec.structs.asdict(step_view(one, late_by, presenter, assets)),
        step=one.step,
        log_index=one.log_index,
        after=None if transfer.opened_at is None else one.timestamp - transfer.opened_at,
        due_at=due_at,
        contract=step.contract if step else None,
        address=address,
        address_url=presenter.address_url(one.network, address) if address else None,
        event=step.event.signature if step else None,
        args=args,
        sender=to_hex(log.sender) if log and log.sender else None,
        recipient=to_hex(log.recipient) if log and log.recipient else None,
    )


def _awaited(connection: sa.Connection, flow: Flow | None, transfer: Transfer) -> list[AwaitedView]:
    seen = {name: one.seen_until for name, one in blocks.checkpoints(connection).items()}
    return [
        AwaitedView(
            one.step.name,
            one.network,
            one.due_at,
            seen.get(one.network),
            max(0, seen.get(one.network, 0) - one.due_at),
        )
        for one in (step_views(flow, transfer) if flow else [])
        if one.event is None
    ]


def _alerts(connection: sa.Connection, transfer: Transfer) -> list[Alert]:
    """Return the newest alert of each condition that the transfer raised, oldest first."""
    prints = [fingerprint(cut_labels(raised.labels)) for raised in transfer.raised.values()]
    return sorted(alerts.newest(connection, prints).values(), key=lambda alert: alert.id)


def _notified(connection: sa.Connection, about: Sequence[Alert]) -> list[NotifiedView]:
    if not about:
        return []
    ids = {alert.id for alert in about}
    found = past_notifications.about(connection, sorted(ids), min(alert.raised_at for alert in about), None)
    return [_notification(one, ids) for one in found]


def _notification(one: QueuedNotification, ids: set[int]) -> NotifiedView:
    said = (("firing", one.payload.firing), ("resolved", one.payload.resolved))
    return NotifiedView(
        id=one.id,
        receiver=one.receiver,
        alerts=sorted(ids.intersection((*one.payload.firing, *one.payload.resolved))),
        says=" and ".join(word for word, some in said if ids.intersection(some)),
        status=one.status,
        created_at=one.created_at,
        finished_at=one.finished_at,
        last_error=one.last_error,
    )
