"""One running chainwatch per database: two would read, check and notify everything twice."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from chainwatch.store.database import parse_url
from chainwatch.store.errors import StoreError, explain
from chainwatch.support.private_files import touch_private

ADVISORY_LOCK = 0x636861696E77
"""The key of PostgreSQL's advisory lock: "chainw"."""


@contextmanager
def claimed(url: str) -> Iterator[None]:
    """Claim the database at ``url`` for this process while the context lasts.

    Raises ``StoreError`` when another process has claimed it; a claim ends with its process.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        with _file_lock(Path(f"{parsed.database}.lock")):
            yield
    else:
        with _advisory_lock(parsed):
            yield


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    try:
        touch_private(path)  # whoever may read it could lock it
        file = path.open("a")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; fix the folder's permissions") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(_taken(f"{path} is locked")) from error
        yield


@contextmanager
def _advisory_lock(url: sa.URL) -> Iterator[None]:
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            if not connection.execute(sa.select(sa.func.pg_try_advisory_lock(ADVISORY_LOCK))).scalar():
                raise StoreError(_taken("its advisory lock is held"))
            yield
    except sa.exc.SQLAlchemyError as error:
        raise explain(error, "claim the database") from error
    finally:
        engine.dispose()


def _taken(how: str) -> str:
    return (
        f"another chainwatch runs on this database ({how}); stop it, or name another database in [store] url"
    )
