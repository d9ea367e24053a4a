"""What stands beside amounts, transactions and addresses, and what never does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch.alert_model import Alert
from chainwatch.config import from_dict
from chainwatch.model import Source
from chainwatch.presentation.presenter import Asset, Presenter, Shown, asset_id, published
from chainwatch.store import assets
from chainwatch.store.assets import StoredAsset

TOKEN, OTHER = "0x" + "11" * 20, "0x" + "22" * 20
TX = "0x" + "ab" * 32
EXPLORER = "https://explorer.example.org"


def presenter(**more: Any) -> Presenter:
    network = {"chain_id": 1, "rpc": ["http://a.example"], "explorer": EXPLORER + "/"}
    currency = {"symbol": "ETH"}
    return Presenter.of(
        from_dict(
            {"networks": {"alpha": network | {"currency": currency}, "beta": network | {"chain_id": 2}}}
            | more
        )
    )


def alert(annotations: Mapping[str, str], source: Source = "transfer", **labels: str) -> Alert:
    labels = {"alertname": "TransferOverdue", "severity": "P1", **labels}
    return Alert(1, "f", labels, annotations, 0.0, 0.0, source=source)


def amount(raw: str, asset: str = TOKEN, network: str = "alpha") -> dict[str, str]:
    return {"amount": raw, "amount_network": network, "asset": asset, "asset_network": network}


def said(connection: sa.Connection, symbol: str | None, decimals: int | None, network: str = "alpha") -> None:
    assets.save(connection, [StoredAsset(network, b"\x11" * 20, symbol, decimals, 1.0)])


def shown(one: Alert, by: Presenter, connection: sa.Connection | None = None) -> dict[str, str]:
    (beside,) = by.show([one], connection)
    return published(one.annotations, beside)


def test_an_asset_that_answered_is_shown_in_its_units(connection: sa.Connection) -> None:
    said(connection, "USDC", 6)
    assert shown(alert(amount("42000000")), presenter(), connection)["amount_formatted"] == "42 USDC"


def test_the_answer_of_another_network_does_not_count(connection: sa.Connection) -> None:
    said(connection, "USDC", 6, "beta")
    assert "amount_formatted" not in shown(alert(amount("42000000")), presenter(), connection)


@pytest.mark.parametrize(("symbol", "decimals"), [(None, 6), ("USDC", None), (None, None)])
def test_an_asset_with_half_an_answer_is_shown_raw(
    connection: sa.Connection, symbol: str | None, decimals: int | None
) -> None:
    said(connection, symbol, decimals)
    seen = shown(alert(amount("42000000")), presenter(), connection)
    assert seen["amount"] == "42000000"
    assert "amount_formatted" not in seen


def test_what_is_configured_counts_instead_of_the_answer(connection: sa.Connection) -> None:
    said(connection, "FAKE", 6)
    by = presenter(assets={"REAL": {"decimals": 2, "address": {"alpha": TOKEN}}})
    assert shown(alert(amount("42000000")), by, connection)["amount_formatted"] == "420,000 REAL"
    assert not by.is_asked(("alpha", b"\x11" * 20))


def test_a_symbol_alone_can_be_configured(connection: sa.Connection) -> None:
    by = presenter(assets={"usdc-old": {"symbol": "USDC.e", "address": TOKEN}})
    assert by.is_asked(("alpha", b"\x11" * 20))
    assert by.assets([("alpha", b"\x11" * 20)], connection) == {}
    said(connection, "USDC", 6)
    assert by.assets([("alpha", b"\x11" * 20)], connection) == {("alpha", b"\x11" * 20): Asset("USDC.e", 6)}


@pytest.mark.parametrize(
    "native", ["0x" + "00" * 20, "0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE", "0x" + "00" * 32]
)
def test_the_native_asset_is_the_networks_currency_and_never_asked(native: str) -> None:
    seen = shown(alert(amount(str(15 * 10**17), native)), presenter())
    assert seen["amount_formatted"] == "1.5 ETH"
    assert "amount_formatted" not in shown(alert(amount("1", native, "beta")), presenter())
    assert (found := asset_id("beta", native)) is not None
    assert not presenter().is_asked(found)


def test_an_amount_whose_asset_another_event_named_is_shown_raw(connection: sa.Connection) -> None:
    said(connection, "USDC", 6)
    one = alert({"amount": "42000000", "asset": TOKEN, "asset_network": "alpha"})
    assert "amount_formatted" not in shown(one, presenter(), connection)


def test_transactions_and_addresses_link_to_the_explorer_of_their_network() -> None:
    seen = shown(alert({"send_tx": TX, "send_tx_network": "alpha", **amount("1")}), presenter())
    assert seen["send_tx_url"] == f"{EXPLORER}/tx/{TX}"
    assert seen["asset_url"] == f"{EXPLORER}/address/{TOKEN}"


def test_several_transactions_have_a_link_each() -> None:
    both = f"{TX}, 0x{'cd' * 32}"
    (beside,) = presenter().show([alert({"tx_hashes": both, "tx_hashes_network": "beta"})])
    assert beside["tx_hashes"].links == {one: f"{EXPLORER}/tx/{one}" for one in both.split(", ")}


def test_a_log_that_does_not_decode_links_by_its_label() -> None:
    one = alert({"tx_hash": TX, "description": TX + " "}, "event", alertname="LogUndecodable", network="beta")
    assert shown(one, presenter())["tx_hash_url"] == f"{EXPLORER}/tx/{TX}"


@pytest.mark.parametrize(
    "hostile", [TX + "/../..", TX.replace("ab", "zz", 1), "javascript:x", f"[{TX}](x)", TX[:-1], ""]
)
def test_no_other_text_becomes_a_link(hostile: str) -> None:
    (beside,) = presenter().show([alert({"send_tx": hostile, "send_tx_network": "alpha"})])
    assert beside["send_tx"] == Shown(network="alpha")


def test_texts_of_other_programs_stay_as_they_are() -> None:
    one = alert({"send_tx": TX, "send_tx_network": "alpha", **amount("1")}, "external")
    assert presenter().show([one]) == [{}]


def test_without_an_explorer_nothing_links() -> None:
    assert Presenter().transaction_url("alpha", TX) is None
    assert Presenter().address_url("alpha", TOKEN) is None


@pytest.mark.parametrize("text", ["", "0x", "7", "0x" + "g" * 40, "0x1" + "0" * 23 + "11" * 20, TX])
def test_what_is_no_address_is_no_asset(text: str) -> None:
    assert asset_id("alpha", text) is None
