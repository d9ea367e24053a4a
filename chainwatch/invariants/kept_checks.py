"""The checks of all invariants as they are stored, kept in memory between transactions: most change by one check a block."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import sqlalchemy as sa

from chainwatch.invariants.as_of import AsOf
from chainwatch.invariants.undecided import Undecided
from chainwatch.model import Header
from chainwatch.store import due_checks, invariants
from chainwatch.store.due_checks import DueChecks
from chainwatch.store.invariants import CHECKS_AS_OF, Check, Place


class KeptChecks:
    """Checks by invariant, in the order of their times; what changes is stored by `flush` at the latest."""

    def __init__(self, *, stores_all: bool = False, of_history: bool = False) -> None:
        """``stores_all``: those that are superfluous stay stored, with what was read for them.

        ``of_history``: checks are made at blocks of any age, and read after all blocks are.
        """
        self.stores_all = stores_all
        self.of_history = of_history
        self._as_of = AsOf(CHECKS_AS_OF)
        self._checks: dict[str, list[Check]] = {}
        self._due: dict[tuple[str, int], _Due] = {}
        """Checks at blocks that were not read yet, by network and block."""
        self._changed: dict[tuple[str, int], DueChecks] = {}
        """Those that are not stored as they are."""
        self._new: dict[Place, Check] = {}
        """Checks that have no row yet."""
        self._with_errors: set[str] = set()
        self._provisional: set[str] = set()
        """The names of invariants that may have such checks."""
        self.undecided = Undecided()

    def load(self, connection: sa.Connection) -> bool:
        """Make them those that are stored, at the beginning of a transaction; return whether they had to be loaded."""
        is_valid = self._as_of.begin(connection)
        if not is_valid:
            self._checks = invariants.all_checks(connection)
            self._due = {one[:2]: _Due(one) for one in due_checks.load(connection)}
            self._changed, self._new = {}, {}
            self._with_errors, self._provisional = set(), set()
            for name, checks in self._checks.items():
                for check in checks:
                    self._note_kind(name, check)
        self._as_of.change()
        return not is_valid

    def flush(self, connection: sa.Connection) -> None:
        """Store what is not stored yet."""
        invariants.add_checks(connection, [(name, check) for (name, *_), check in self._new.items()])
        due_checks.save(connection, list(self._changed.values()))
        self._changed, self._new = {}, {}

    def commit(self, connection: sa.Connection) -> None:
        """Have them kept after this transaction, once it is committed."""
        self.flush(connection)
        self._as_of.commit(connection)

    def of(self, name: str) -> list[Check]:
        """Return the checks of ``name``; they must not be changed."""
        own = self._checks.get(name, [])
        due = [one.check for one in self._due.values() if name in one.names]
        return sorted([*own, *due], key=_order) if due else own

    def unanswered(self) -> list[str]:
        """Return the names of the invariants whose last check has no answer yet."""
        names = {name for name, checks in self._checks.items() if checks and checks[-1].holds is None}
        return sorted(names.union(*(one.names for one in self._due.values())))

    def failed(self, names: Iterable[str]) -> list[str]:
        """Return those of ``names`` whose newest check has no answer and never will."""
        found = []
        for name in self._with_errors.intersection(names):
            checks = self.of(name)
            if checks and checks[-1].holds is None and checks[-1].error is not None:
                found.append(name)
            elif not any(one.error for one in checks):
                self._with_errors.discard(name)
        return found

    def provisional(self, network: str, names: Iterable[str]) -> list[tuple[str, Check]]:
        """Return the checks of ``names`` at blocks of ``network`` that are not done and give way to newer ones."""
        found = []
        for name in self._provisional.intersection(names):
            checks = [one for one in self.of(name) if one.is_provisional and one.holds is None]
            found += [(name, one) for one in checks if one.network == network]
            if not checks:
                self._provisional.discard(name)
        return found

    # --- checks at blocks that were not read yet

    def add_due(self, network: str, header: Header, names: Iterable[str]) -> None:
        """Add checks at a new block of invariants that read ``network`` only."""
        place = (network, header.number)
        known = self._due.get(place)
        before = set() if known is None else known.names
        due = _Due(DueChecks(network, header.number, header.hash, header.timestamp, before.union(names)))
        self._due[place] = due
        self._changed[place] = due.row

    def take(self, network: str, block: int, hash_: bytes, names: Iterable[str]) -> set[str]:
        """Give the checks of ``names`` that are due at a block rows of their own; return their names."""
        due = self._due.get((network, block))
        if due is None or due.row.hash != hash_:
            return set()
        taken = due.names.intersection(names)
        self._new |= {(name, network, block): due.check for name in taken if self._insert(name, due.check)}
        self._drop_due(due, taken)
        return taken

    def _drop_due(self, due: _Due, names: Collection[str]) -> None:
        place = due.row[:2]
        due.names.difference_update(names)
        self._changed[place] = due.row
        if not due.names:
            del self._due[place]

    # --- checks with rows of their own

    def add(self, connection: sa.Connection, added: Iterable[tuple[str, Check]]) -> None:
        """Store new checks, by their invariants; those that are stored stay as they are."""
        new = [(name, check) for name, check in added if self._insert(name, check)]
        for name, check in new:
            self._note_kind(name, check)
        invariants.add_checks(connection, new)

    def _note_kind(self, name: str, check: Check) -> None:
        if check.error is not None:
            self._with_errors.add(name)
        if check.is_provisional and check.holds is None:
            self._provisional.add(name)

    def _insert(self, name: str, check: Check) -> bool:
        """Insert ``check`` in its order; return false where there is one at its block."""
        some = self._checks.setdefault(name, [])
        if not some or _order(check) > _order(some[-1]):
            some.append(check)
            return True
        if any(check[:2] == one[:2] for one in some):
            return False
        some.append(check)
        some.sort(key=_order)
        return True

    def save(self, connection: sa.Connection, saved: Iterable[tuple[str, Check]]) -> None:
        """Store what became of checks that are stored, by their invariants."""
        stored = []
        for name, check in saved:
            some = self._checks[name]
            some[next(i for i in range(len(some) - 1, -1, -1) if some[i][:2] == check[:2])] = check
            self._note_kind(name, check)
            place = (name, check.network, check.block)
            if place in self._new:
                self._new[place] = check
            else:
                stored.append((name, check))
        invariants.save_checks(connection, stored)

    def drop(self, connection: sa.Connection, dropped: Sequence[tuple[str, Check]]) -> None:
        """Delete checks, by their invariants."""
        self.forget(dropped)
        stored = []
        for name, check in dropped:
            due = self._due.get(check[:2])
            if due is not None and name in due.names:
                self._drop_due(due, [name])
            elif self._new.pop((name, *check[:2]), None) is None:
                stored.append((name, check))
        invariants.drop_checks(connection, stored)

    def forget(self, dropped: Iterable[tuple[str, Check]]) -> None:
        """Keep checks in memory no more, by their invariants; they stay stored."""
        gone: dict[str, set[tuple[str, int]]] = {}
        for name, check in dropped:
            gone.setdefault(name, set()).add(check[:2])
        for name, places in gone.items():
            self._checks[name] = [one for one in self._checks.get(name, []) if one[:2] not in places]


class _Due:
    """Checks that are due at one block; ``names`` may change, and ``row`` with them."""

    def __init__(self, row: DueChecks) -> None:
        self.names = set(row.names)
        self.row = row._replace(names=self.names)
        self.check = Check(row.network, row.block, row.timestamp, positions={row.network: row.block})
        """Each of the checks: they differ by their invariants only."""


def _order(check: Check) -> tuple[int, str, int]:
    return check.timestamp, check.network, check.block
