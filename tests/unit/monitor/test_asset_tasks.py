"""Which assets are asked for their symbols and decimals, and how often."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from chainwatch.config import from_dict
from chainwatch.model import Occurrence, Transfer
from chainwatch.monitor.asset_tasks import ASKED_AGAIN, FAILED_ASKED_AGAIN, unasked
from chainwatch.presentation.presenter import Presenter
from chainwatch.store import assets, transfers
from chainwatch.store.assets import StoredAsset

NOW = 1_700_000_000.0
TOKEN, ADDRESS = "0x" + "11" * 20, b"\x11" * 20
NETWORKS = {"networks": {"alpha": {"chain_id": 1, "rpc": ["http://a.example"]}}}


def store(connection: sa.Connection, key: str, asset: object) -> None:
    event = Occurrence("send", "alpha", 5, 1, 50, b"t" * 32, {"@amount": 1, "@asset": asset})
    transfers.save(connection, [(Transfer("bridge", key), Transfer("bridge", key, occurrences=(event,)))])


def asked(connection: sa.Connection, now: float = NOW, **config: object) -> set[tuple[str, bytes]]:
    return unasked(connection, Presenter.of(from_dict(NETWORKS | config)), now)


def test_assets_of_transfers_are_asked_once_each(connection: sa.Connection) -> None:
    for key in "123":
        store(connection, key, TOKEN)
    store(connection, "4", b"\x22" * 20)
    store(connection, "5", "0x" + "00" * 20)  # the network's own currency
    store(connection, "6", b"no address")
    store(connection, "7", 7)
    assert asked(connection) == {("alpha", ADDRESS), ("alpha", b"\x22" * 20)}


def test_what_is_configured_is_not_asked(connection: sa.Connection) -> None:
    store(connection, "1", TOKEN)
    assert asked(connection, assets={"X": {"decimals": 6, "address": TOKEN}}) == set()


@pytest.mark.parametrize(
    ("symbol", "decimals", "after"),
    [("USDC", 6, ASKED_AGAIN), (None, None, FAILED_ASKED_AGAIN), ("X", None, FAILED_ASKED_AGAIN)],
)
def test_an_answer_is_asked_for_again_after_long(
    connection: sa.Connection, symbol: str | None, decimals: int | None, after: float
) -> None:
    store(connection, "1", TOKEN)
    assets.save(connection, [StoredAsset("alpha", ADDRESS, symbol, decimals, NOW)])
    assert asked(connection, NOW + after - 1) == set()
    assert asked(connection, NOW + after) == {("alpha", ADDRESS)}
    assert asked(connection, NOW - 1) == {
        ("alpha", ADDRESS)
    }  # asked in the future: the host's clock was set back


def test_answers_are_replaced_and_pruned(connection: sa.Connection) -> None:
    assets.save(connection, [StoredAsset("alpha", ADDRESS, None, None, NOW)])
    again = StoredAsset("alpha", ADDRESS, "POL", 18, NOW + 1)
    assets.save(connection, [again])
    assert assets.load(connection, [("alpha", ADDRESS), ("beta", ADDRESS)]) == {("alpha", ADDRESS): again}
    assets.prune(connection, NOW + 2)
    assert assets.load(connection, [("alpha", ADDRESS)]) == {}
