"""What a replay reports of amounts follows from the blocks and the configuration alone (S7)."""

from __future__ import annotations

import msgspec
import pytest
import sqlalchemy as sa

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.policy.policies import Policies
from chainwatch.config import RouteSettings, from_dict
from chainwatch.model import Signal
from chainwatch.presentation.presenter import Presenter
from chainwatch.replay.report import alerts_fired
from chainwatch.store import assets
from chainwatch.store.assets import StoredAsset
from tests.support.storing import transaction_on

NOW = 1_700_000_000
TOKEN = "0x" + "11" * 20
OVERDUE = Signal(
    {"alertname": "TransferOverdue", "severity": "P1"},
    NOW,
    {"amount": "42000000", "amount_network": "alpha", "asset": TOKEN, "asset_network": "alpha"},
    source="transfer",
)


def reported(connection: sa.Connection, **config: object) -> bytes:
    settings = from_dict({"networks": {"alpha": {"chain_id": 1, "rpc": ["http://a.example"]}}} | config)
    found = alerts_fired(connection, Policies.of(settings), Presenter.of(settings), NOW + 1)
    return msgspec.json.encode(found)


@pytest.mark.parametrize(
    ("config", "shown"), [({}, False), ({"assets": {"USDC": {"decimals": 6, "address": TOKEN}}}, True)]
)
def test_the_same_bytes_whatever_assets_have_said(
    database_url: str, config: dict[str, object], shown: bool
) -> None:
    with transaction_on(database_url) as connection:
        routes = [RouteSettings.model_validate({"receivers": ["ops"]})]
        AlertEngine(routes, {"ops": True}, 0).apply(connection, [OVERDUE], NOW)
        before = reported(connection, **config)
        assets.save(connection, [StoredAsset("alpha", b"\x11" * 20, "OTHER", 3, NOW)])
        assert reported(connection, **config) == before
        assert (b'"amount_formatted":"42 USDC"' in before) is shown
        assert b"OTHER" not in before
