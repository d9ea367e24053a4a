"""Networks, transfers, alerts, and how long the steps of transfers took."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.flows.transfer_stats import Tally
from chainwatch.model import SEVERITIES, SEVERITY_NAMES, TRANSFER_STATUSES, Checkpoint, to_hex
from chainwatch.operations.checks import check_moments
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Invalid
from chainwatch.operations.paging import Cursors, Page, check_limit
from chainwatch.operations.views import AlertView, TransferView, alert_views, transfer_assets, transfer_view
from chainwatch.store import blocks
from chainwatch.store import transfers as stored_transfers
from chainwatch.store.alerting import alerts as stored_alerts
from chainwatch.store.alerting import outbox
from chainwatch.store.blocks import NetworkState

STOPPED_AFTER = 15.0
"""Seconds without a report of the running process after which its networks are shown as stopped."""
TRANSFER_CURSORS = Cursors("transfers", 1)
ALERT_CURSORS = Cursors("alerts", 2)


class BlockView(msgspec.Struct, frozen=True):
    """One block."""

    number: int
    hash: str
    timestamp: float


class NetworkView(msgspec.Struct, frozen=True):
    """One network. ``checkpoint``: the last block read; ``head``: the newest block's number; ``seen_until``: chain time."""

    name: str
    chain_id: int
    checkpoint: BlockView | None
    head: int | None
    lag_blocks: int | None
    seen_until: float | None
    state: str
    error: str | None


class AlertCounts(msgspec.Struct, frozen=True):
    """How many alerts fire, by severity, and how many resolved ones are stored."""

    firing: dict[str, int]
    resolved: int


class QueueDepth(msgspec.Struct):
    """How many notifications of one receiver have which status."""

    receiver: str
    pending: int = 0
    delivered: int = 0
    dead: int = 0
    dropped: int = 0


class StatusView(msgspec.Struct, frozen=True):
    """Everything at a glance. ``transfers``: how many have which status."""

    networks: list[NetworkView]
    transfers: dict[str, int]
    alerts: AlertCounts
    queues: list[QueueDepth]
    undecoded_logs: int


class LatencyRow(msgspec.Struct, frozen=True):
    """How long one step took on one route, in seconds of chain time; ``overdue``: how many were late or are missing."""

    flow: str
    origin: str
    destination: str
    step: str
    count: int
    p50: int | None
    p90: int | None
    p99: int | None
    max: int | None
    overdue: int


def status(connection: sa.Connection, context: Context, now: float) -> StatusView:
    """Return networks, counts of transfers and alerts, depths of queues."""
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
    queues = {name: QueueDepth(name) for name in context.receivers}
    for depth in outbox.depths(connection):
        setattr(queues.setdefault(depth.receiver, QueueDepth(depth.receiver)), depth.status, depth.number)
    return StatusView(
        networks=network_views(connection, context, now),
        transfers=by_status,
        alerts=AlertCounts(firing, resolved),
        queues=list(queues.values()),
        undecoded_logs=blocks.undecoded_count(connection),
    )


def network_views(connection: sa.Connection, context: Context, now: float) -> list[NetworkView]:
    """Return every configured network, as the running process knows it."""
    checkpoints = blocks.checkpoints(connection)
    states = blocks.states(connection)
    return [
        _network(name, settings.chain_id, checkpoints.get(name), states.get(name), now)
        for name, settings in context.settings.networks.items()
    ]


def list_transfers(
    connection: sa.Connection,
    context: Context,
    now: float,
    *,
    flow: str | None = None,
    statuses: Sequence[str] = (),
    key: str | None = None,
    address: str | None = None,
    origin: str | None = None,
    destination: str | None = None,
    since: float | None = None,
    until: float | None = None,
    limit: int = 100,
    after: str | None = None,
) -> Page[TransferView]:
    """Return transfers, newest first, opened from ``since`` until just before ``until`` (chain time).

    ``key``: a whole key, its beginning, as alerts shorten it, or the hash of a transaction with one of its steps.
    ``address``: one that is an argument of their events, or sent or received the transaction of one where a flow reads
    it; of transfers that have changed some seconds ago. ``after``: a cursor. Raises ``Invalid``.
    """
    check_moments(since=since, until=until)
    for name in statuses:
        if name not in TRANSFER_STATUSES:
            raise Invalid(f"status: {name!r} is none of {', '.join(TRANSFER_STATUSES)}")
    (before_id,) = TRANSFER_CURSORS.parse(after) or (None,)
    wanted = stored_transfers.Filter(
        flow=flow,
        statuses=tuple(statuses),
        key=key,
        address=None if address is None else parse_address(address),
        origin=origin,
        destination=destination,
        opened_from=since,
        opened_before=until,
        before_id=before_id,
    )
    found = list(stored_transfers.select(connection, wanted, check_limit(limit) + 1))
    seen, presenter = _seen(connection), context.presenter
    assets = presenter.assets(transfer_assets(found), connection)
    return TRANSFER_CURSORS.page(
        found,
        limit,
        lambda t: [t.id],
        lambda t: transfer_view(context.flows.get(t.flow), t, seen, presenter, assets),
    )


def list_alerts(
    connection: sa.Connection,
    context: Context,
    now: float,
    *,
    firing: bool = False,
    name: str | None = None,
    severities: Sequence[str] = (),
    since: float | None = None,
    until: float | None = None,
    limit: int = 100,
    after: str | None = None,
) -> Page[AlertView]:
    """Return alerts, newest first, that started from ``since`` until ``until`` (chain time, both inclusive).

    ``severities``: as ``P1`` or ``high``. ``after``: a cursor. Raises ``Invalid``.
    """
    check_moments(since=since, until=until)
    found = stored_alerts.list_alerts(
        connection,
        state="firing" if firing else None,
        name=name,
        severities=[parse_severity(one) for one in severities],
        since=since,
        until=until,
        before=ALERT_CURSORS.parse(after),
        limit=check_limit(limit) + 1,
    )
    views = dict(zip((a.id for a in found), alert_views(found, context.presenter, connection), strict=True))
    return ALERT_CURSORS.page(
        found, limit, lambda a: [stored_alerts.milliseconds(a.starts_at), a.id], lambda a: views[a.id]
    )


def parse_address(text: str) -> bytes:
    """Return the 20 bytes of an address as hexadecimal. Raises ``Invalid``."""
    if not _ADDRESS.fullmatch(text):
        raise Invalid(f"address: {text[:100]!r} is not an address: expected 0x and 40 hexadecimal digits")
    return bytes.fromhex(text[2:])


_ADDRESS = re.compile("0x[0-9a-fA-F]{40}")


def parse_severity(name: str) -> str:
    """Return ``P1`` or ``high`` as ``P1``. Raises ``Invalid``."""
    try:
        return SEVERITY_NAMES[name.lower()]
    except KeyError:
        raise Invalid(f"severity {name!r} is none of {', '.join(SEVERITY_NAMES)}") from None


def latency(
    connection: sa.Connection,
    context: Context,
    now: float,
    *,
    flow: str | None = None,
    since: float | None = None,
    until: float | None = None,
) -> list[LatencyRow]:
    """Return how long each step took, by route, over the transfers opened from ``since`` until just before ``until``.

    Raises ``Invalid``.
    """
    check_moments(since=since, until=until)
    tally = Tally(context.flows)
    wanted = stored_transfers.Filter(flow=flow, opened_from=since, opened_before=until)
    tally.add(stored_transfers.select(connection, wanted))
    return [LatencyRow(**row) for row in tally.latency(_seen(connection))]


def _network(
    name: str, chain_id: int, checkpoint: Checkpoint | None, state: NetworkState | None, now: float
) -> NetworkView:
    last = checkpoint.last if checkpoint else None
    head = state.head if state else None
    running = state if state is not None and now - state.updated_at <= STOPPED_AFTER else None
    return NetworkView(
        name=name,
        chain_id=chain_id,
        checkpoint=BlockView(last.number, to_hex(last.hash), last.timestamp) if last else None,
        head=head,
        lag_blocks=max(0, head - last.number) if last and head is not None else None,
        seen_until=checkpoint.seen_until if checkpoint else None,
        state=running.state if running else "stopped",
        error=running.error if running else None,
    )


def _seen(connection: sa.Connection) -> Mapping[str, int]:
    return {name: c.seen_until for name, c in blocks.checkpoints(connection).items()}
