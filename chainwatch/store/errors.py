"""Errors of the database, in words that say how to fix it."""

from __future__ import annotations

import re

from sqlalchemy.exc import SQLAlchemyError


class StoreError(Exception):
    """The database refused: the message says why and what to do.

    ``transient``: the same call may go through later.
    """

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class NewerSchema(StoreError):
    """The database was written by a newer chainwatch."""


class OlderSchema(StoreError):
    """The database was written by an older chainwatch, and is not to be changed now."""


class NoDatabase(StoreError):
    """There is no database, because chainwatch has not run yet."""

    def __init__(self, why: str) -> None:
        super().__init__(f"no database yet: {why}; `chainwatch run` makes it, or name another in [store] url")


_MEANINGS: tuple[tuple[str, str, bool], ...] = (
    ("database is locked", "another process holds the database; stop it or wait", True),
    ("disk is full", "the disk is full; make room, chainwatch then continues by itself", True),
    ("no space left", "the disk is full; make room, chainwatch then continues by itself", True),
    (
        "readonly database",
        "the database file or its folder is read-only for this user; fix its permissions",
        True,
    ),
    (
        "read-only transaction",
        "the PostgreSQL server is read-only (a standby?); point [store] url at the primary",
        True,
    ),
    (
        "unable to open database file",
        "the database file cannot be opened; check its path and permissions",
        False,
    ),
    ("not a database", "the file is not an SQLite database; name another file in [store] url", False),
    ("malformed", "the SQLite file is damaged; restore it from a backup", False),
    ("disk i/o error", "the disk gave an I/O error", True),
    ("password authentication failed", "PostgreSQL refused the user or password in [store] url", False),
    (
        r'(database|role) ".*" does not exist',
        "PostgreSQL knows no such database or role; create it first",
        False,
    ),
    ("connection refused", "the PostgreSQL server does not answer at the address in [store] url", True),
    ("connection failed", "the PostgreSQL server does not answer at the address in [store] url", True),
    ("server closed the connection", "the PostgreSQL server closed the connection", True),
    ("terminating connection", "the PostgreSQL server closed the connection", True),
    ("the connection is closed", "the PostgreSQL server closed the connection", True),
    ("connection timeout", "the PostgreSQL server did not answer in time", True),
)


def explain(error: SQLAlchemyError, doing: str) -> StoreError:
    """Return the database's error as a ``StoreError``; statements and parameters are left out (they may hold secrets)."""
    cause = str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()
    text = cause[0] if cause else type(error).__name__
    lowered = text.lower()
    for words, meaning, transient in _MEANINGS:
        if re.search(words, lowered):
            return StoreError(f"cannot {doing}: {meaning} ({text})", transient=transient)
    return StoreError(f"cannot {doing}: {text}")
