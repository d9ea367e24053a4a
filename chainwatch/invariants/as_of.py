"""Whether what is kept in memory between transactions is what the database has."""

from __future__ import annotations

import secrets

import sqlalchemy as sa

from chainwatch.store import schema


class AsOf:
    """A random number in the database, the property ``name``, says as of which transaction something is kept.

    It is another one after a transaction that was undone, or after a change by somebody else, who drops the property. A
    transaction that began and did not `commit` has changed it, too.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._last: str | None = None
        self._now: str | None = None

    def begin(self, connection: sa.Connection) -> bool:
        """Begin a transaction; return whether what is kept is valid."""
        self._now, self._last = self._last, None
        if self._now is not None and schema.get_property(connection, self._name) != self._now:
            self._now = None
        return self._now is not None

    def change(self) -> None:
        """Note that what is kept has changed with this transaction."""
        self._now = None

    def commit(self, connection: sa.Connection) -> str:
        """Have it kept after this transaction, once it is committed; return the number that stands for it."""
        if self._now is None:
            self._now = secrets.token_hex(8)
            schema.set_property(connection, self._name, self._now)
        self._last = self._now
        return self._now

    def stored(self, connection: sa.Connection) -> str | None:
        """Return the number of the transaction that committed last, as ``connection`` sees it; in any thread."""
        return schema.get_property(connection, self._name)
