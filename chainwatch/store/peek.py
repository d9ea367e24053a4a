"""Reads from a database that may not exist: creates nothing, migrates nothing, waits for nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from chainwatch.store import drivers, schema
from chainwatch.store.database import parse_url
from chainwatch.store.errors import StoreError

T = TypeVar("T")


def peek(url: str, read: Callable[[sa.Connection], T]) -> T | None:
    """Return the result of ``read``; None if there is no database, one of another version, or one that cannot be read."""
    try:
        parsed = parse_url(url)
    except StoreError:
        return None
    if parsed.get_backend_name() == "sqlite" and not Path(str(parsed.database)).exists():
        return None
    try:
        engine = drivers.new_engine(parsed, writer=False, pooled=False)
    except StoreError:
        return None
    try:
        with engine.connect() as connection:
            return read(connection) if schema.current_version(connection) == schema.HEAD else None
    except (SQLAlchemyError, StoreError):
        return None
    finally:
        engine.dispose()
