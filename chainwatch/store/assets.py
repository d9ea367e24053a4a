"""What the contracts of assets said when they were asked for their symbol and decimals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import sqlalchemy as sa

from chainwatch.store import bulk
from chainwatch.store.tables import assets

AssetId: TypeAlias = tuple[str, bytes]
"""An asset: its network, and its address there (20 bytes)."""


class StoredAsset(NamedTuple):
    """One asset's answers; None for one that cannot be used. ``asked_at``: Unix seconds by this machine's clock."""

    network: str
    address: bytes
    symbol: str | None
    decimals: int | None
    asked_at: float


def load(connection: sa.Connection, ids: Iterable[AssetId]) -> dict[AssetId, StoredAsset]:
    """Return what is stored of the assets ``ids``."""
    wanted = set(ids)
    addresses = sorted({address for _, address in wanted})
    rows = bulk.select_in(connection, assets, StoredAsset._fields, "address", addresses)
    found = [
        StoredAsset(network, bytes(address), symbol, decimals, asked_at)
        for network, address, symbol, decimals, asked_at in rows
    ]
    return {(one.network, one.address): one for one in found if (one.network, one.address) in wanted}


def save(connection: sa.Connection, answers: Sequence[StoredAsset]) -> None:
    """Store ``answers``, in place of what the same assets said before."""
    bulk.upsert(connection, assets, StoredAsset._fields, answers)


def prune(connection: sa.Connection, before: float) -> None:
    """Delete what was asked before ``before`` (Unix seconds)."""
    connection.execute(sa.delete(assets).where(assets.c.asked_at < before))
