"""What operations return of alerts and transfers, and how every result becomes JSON.

In results every time is Unix seconds, every length of time seconds; both may have a fraction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Alert
from chainwatch.checker.finding import shown
from chainwatch.checker.flow import AMOUNT, ASSET, UNKNOWN_NETWORK, Flow
from chainwatch.checker.step_views import step_views
from chainwatch.model import Occurrence, Transfer, to_hex
from chainwatch.presentation.presenter import RAW, Asset, Presenter, amount_in, asset_id, published
from chainwatch.store.assets import AssetId


class AlertView(msgspec.Struct, frozen=True):
    """One alert. ``starts_at`` and ``ends_at`` are chain time; ``raised_at`` and ``resolved_at`` this machine's."""

    id: int
    fingerprint: str
    state: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: float
    ends_at: float | None
    reason: str
    raised_at: float
    resolved_at: float | None
    audience: str

    @property
    def name(self) -> str:
        """The label ``alertname``."""
        return self.labels["alertname"]

    @property
    def severity(self) -> str:
        """``P0`` … ``P3``."""
        return self.labels["severity"]


class StepView(msgspec.Struct, frozen=True):
    """A step that was seen. ``late_by``: seconds, 0 in time, None where nothing says when it was due.

    ``amount`` is raw and all digits, ``amount_formatted`` in units of ``asset`` where these are known.
    """

    network: str
    block: int
    timestamp: float
    tx_hash: str
    late_by: float | None
    amount: str | None = None
    asset: str | None = None
    amount_formatted: str | None = None
    tx_url: str | None = None


class DeadlineView(msgspec.Struct, frozen=True):
    """By when a step must be seen. ``state``: ``open``, ``met``, ``late`` or ``overdue``."""

    step: str
    due_at: float
    state: str


class TransferView(msgspec.Struct, frozen=True):
    """One transfer with its steps by name and its deadlines. Times are chain time."""

    flow: str
    key: str
    status: str
    origin: str | None
    destination: str | None
    opened_at: float | None
    steps: Mapping[str, StepView]
    deadlines: Sequence[DeadlineView]


class Changed(msgspec.Struct, frozen=True):
    """What became of the IDs given to an operation that changes several rows.

    ``done``: changed. ``conflicting``: not in a state that permits it. ``not_found``: no row has the ID.
    """

    done: list[int]
    conflicting: list[int] = []
    not_found: list[int] = []


def alert_views(
    alerts: Sequence[Alert], presenter: Presenter, connection: sa.Connection | None = None
) -> list[AlertView]:
    """Return ``alerts``, with amounts and links as ``presenter`` shows them."""
    return [
        _alert_view(alert, published(alert.annotations, beside))
        for alert, beside in zip(alerts, presenter.show(alerts, connection), strict=True)
    ]


def _alert_view(alert: Alert, annotations: dict[str, str]) -> AlertView:
    return AlertView(
        id=alert.id,
        fingerprint=alert.fingerprint,
        state=alert.state,
        labels=dict(alert.labels),
        annotations=annotations,
        starts_at=alert.starts_at,
        ends_at=alert.ends_at,
        reason=alert.reason,
        raised_at=alert.raised_at,
        resolved_at=alert.resolved_at,
        audience=alert.audience,
    )


def transfer_assets(transfers: Iterable[Transfer]) -> set[AssetId]:
    """Return the assets that the events of ``transfers`` name."""
    return {found for t in transfers for o in t.occurrences if (found := asset_of(o)) is not None}


def transfer_view(
    flow: Flow | None,
    transfer: Transfer,
    seen: Mapping[str, int],
    presenter: Presenter = RAW,
    assets: Mapping[AssetId, Asset] = MappingProxyType({}),
) -> TransferView:
    """Return one transfer. ``flow`` is None where it is no longer configured; ``seen``: network → seen until.

    ``assets``: those whose amounts can be shown in units.
    """

    def view_of(occurrence: Occurrence, late_by: int | None) -> StepView:
        return step_view(occurrence, late_by, presenter, assets)

    views = step_views(flow, transfer) if flow else []
    steps: dict[str, StepView] = {}
    for occurrence in transfer.occurrences:
        steps.setdefault(
            occurrence.step,
            view_of(occurrence, 0 if views and flow and occurrence.step == flow.opening.name else None),
        )
    deadlines = []
    for view in views:
        if view.event is not None:
            late_by = max(0, view.event.timestamp - view.due_at)
            steps[view.step.name] = view_of(view.event, late_by)
            state = "late" if late_by else "met"
        else:
            state = "overdue" if seen.get(view.network, 0) > view.due_at else "open"
        deadlines.append(DeadlineView(view.step.name, view.due_at, state))
    return TransferView(
        flow=transfer.flow,
        key=transfer.key,
        status=transfer.status,
        origin=network_name(transfer.origin),
        destination=network_name(transfer.destination),
        opened_at=transfer.opened_at,
        steps=steps,
        deadlines=deadlines,
    )


def step_view(
    occurrence: Occurrence, late_by: int | None, presenter: Presenter, assets: Mapping[AssetId, Asset]
) -> StepView:
    """Return a step that was seen."""
    tx_hash, facts, asset = to_hex(occurrence.tx_hash), occurrence.facts, asset_of(occurrence)
    amount = shown(facts[AMOUNT]) if AMOUNT in facts else None
    return StepView(
        occurrence.network,
        occurrence.block,
        occurrence.timestamp,
        tx_hash,
        late_by,
        amount,
        shown(facts[ASSET]) if ASSET in facts else None,
        amount_in(assets.get(asset), amount) or None if asset is not None and amount is not None else None,
        presenter.transaction_url(occurrence.network, tx_hash),
    )


def changed(ids: Sequence[int], known: Mapping[int, bool]) -> Changed:
    """Return what became of IDs. ``known``: ID → whether its row was changed, for every row that exists."""
    wanted = sorted(set(ids))
    return Changed(
        done=[one for one in wanted if known.get(one)],
        conflicting=[one for one in wanted if known.get(one) is False],
        not_found=[one for one in wanted if one not in known],
    )


def builtins(result: Any) -> Any:
    """Return a result as JSON has it: dicts, lists and plain values; times to the millisecond, whole ones as integers."""
    return _rounded(msgspec.to_builtins(result))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        short = round(value, 3)
        return int(short) if short.is_integer() else short
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value


def asset_of(occurrence: Occurrence) -> AssetId | None:
    """Return the asset that an event names, if it names one."""
    asset = occurrence.facts.get(ASSET)
    return None if asset is None else asset_id(occurrence.network, shown(asset))


def network_name(name: str | None) -> str | None:
    """Return a transfer's network as people are shown it: also one that is not configured; None where none is known."""
    return name.removeprefix(UNKNOWN_NETWORK) if name else None
