"""The checks of all invariants as they are stored, kept in memory between transactions: most change by one check a block."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from chainwatch.invariants.undecided import Undecided
from chainwatch.store import invariants, schema
from chainwatch.store.invariants import CHECKS_AS_OF, Check


class KeptChecks:
    """Checks by invariant, in the order of their times; what changes is stored at once.

    A random number in the database says as of which transaction they are kept: another one there, as after a
    transaction that was undone, or a change by somebody else, has them loaded again.
    """

    def __init__(self, *, stores_all: bool = False, of_history: bool = False) -> None:
        """``stores_all``: those that are superfluous stay stored, with what was read for them.

        ``of_history``: checks are made at blocks of any age, and read after all blocks are.
        """
        self.stores_all = stores_all
        self.of_history = of_history
        self._as_of: str | None = None
        self._checks: dict[str, list[Check]] = {}
        self.undecided = Undecided()

    def load(self, connection: sa.Connection) -> bool:
        """Make them those that are stored, at the beginning of a transaction; return whether they had to be loaded."""
        stored = schema.get_property(connection, CHECKS_AS_OF)
        is_stale = stored is None or stored != self._as_of
        if is_stale:
            self._checks = invariants.all_checks(connection)
        self._as_of = None
        return is_stale

    def commit(self, connection: sa.Connection) -> None:
        """Have them kept after this transaction, once it is committed."""
        self._as_of = secrets.token_hex(8)
        schema.set_property(connection, CHECKS_AS_OF, self._as_of)

    def of(self, name: str) -> list[Check]:
        """Return the checks of ``name``; they must not be changed."""
        return self._checks.get(name, [])

    def unanswered(self) -> list[str]:
        """Return the names of the invariants whose last check has no answer yet."""
        return [name for name, checks in self._checks.items() if checks and checks[-1].holds is None]

    def add(self, connection: sa.Connection, added: Iterable[tuple[str, Check]]) -> None:
        """Store new checks, by their invariants; those that are stored stay as they are."""
        new = []
        for name, check in added:
            some = self._checks.setdefault(name, [])
            if some and _order(check) <= _order(some[-1]):
                if any(check[:2] == one[:2] for one in some):
                    continue
                some.append(check)
                some.sort(key=_order)
            else:
                some.append(check)
            new.append((name, check))
        invariants.add_checks(connection, new)

    def save(self, connection: sa.Connection, saved: Sequence[tuple[str, Check]]) -> None:
        """Store what became of checks that are stored, by their invariants."""
        for name, check in saved:
            some = self._checks[name]
            some[next(i for i in range(len(some) - 1, -1, -1) if some[i][:2] == check[:2])] = check
        invariants.save_checks(connection, saved)

    def drop(self, connection: sa.Connection, dropped: Sequence[tuple[str, Check]]) -> None:
        """Delete checks, by their invariants."""
        self.forget(dropped)
        invariants.drop_checks(connection, dropped)

    def forget(self, dropped: Sequence[tuple[str, Check]]) -> None:
        """Keep checks in memory no more, by their invariants; they stay stored."""
        gone: dict[str, set[tuple[str, int]]] = {}
        for name, check in dropped:
            gone.setdefault(name, set()).add(check[:2])
        for name, places in gone.items():
            self._checks[name] = [one for one in self.of(name) if one[:2] not in places]


def _order(check: Check) -> tuple[int, str, int]:
    return check.timestamp, check.network, check.block
