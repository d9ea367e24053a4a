"""What values are compared with, kept in memory: those that were read first, and those that somebody accepted since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
import structlog

from chainwatch.checker.invariants.invariant import Invariant, Values
from chainwatch.checker.invariants.judge import VIOLATED, shown
from chainwatch.invariants.as_of import AsOf
from chainwatch.store import accepted_values, invariants
from chainwatch.store.accepted_values import AS_OF, BY_NOBODY, Accepted
from chainwatch.store.invariants import Check
from chainwatch.support.keccak import keccak256

_NOTHING = (bytes(32), keccak256(b""), "0x" + "00" * 20)
"""What is read where there is nothing: a slot of storage, the hash of code, an address."""

_log = structlog.get_logger(__name__)


class KeptAccepted:
    """The accepted values of all invariants. Every transaction of the pipeline is to `begin`, as in `KeptTransfers`."""

    def __init__(self) -> None:
        self._as_of = AsOf(AS_OF)
        self._kept: dict[str, list[Accepted]] | None = None
        self._is_used = False
        self._known: set[tuple[str, str, int, float]] | None = None
        self._known_before: set[tuple[str, str, int, float]] | None = None

    def begin(self, connection: sa.Connection) -> None:
        """Begin a transaction, before anything is changed."""
        if (self._kept or self._is_used) and not self._as_of.begin(connection):
            self._kept = None
            self._known = self._known_before  # the transaction that asked last may have been undone

    def accepted_since(self, connection: sa.Connection) -> set[str]:
        """Return the invariants for which somebody has accepted values since this was asked last.

        At first, those whose alert still fires: the accepted values may not have been seen before a restart.
        """
        if self._kept is not None and self._known is not None:
            return set()
        by_people = {
            (one.name, one.network, one.block, one.accepted_at)
            for some in self._loaded(connection).values()
            for one in some
            if one.author != BY_NOBODY
        }
        self._known_before = known = self._known
        self._known = by_people
        names = {name for name, *_ in by_people - (known or set())}
        if known is not None or not names:
            return names
        raised = invariants.raised_of(connection, sorted(names))
        return {name for name in names if VIOLATED in raised.get(name, {})}

    def values_for(
        self, connection: sa.Connection, invariant: Invariant, check: Check, values: Values
    ) -> Mapping[str, Any] | None:
        """Return with which values those of ``check`` are compared; None where these are earlier than all.

        Where nothing was read before, they are kept as what was read first. Those that somebody accepted later are right,
        too: a reorg may take the block of which they were accepted.
        """
        kept = self._loaded(connection)
        reads = invariant.reads_hash
        known = [one for one in kept.get(invariant.name, ()) if one.reads == reads]
        at = (check.timestamp, check.network, check.block)
        if known:
            before = [one for one in known if _place(one) <= at]
            later = [one for one in known[len(before) :] if one.author != BY_NOBODY]
            for one in later:
                if all(values.get(name) == value for name, value in one.content.items()):
                    return one.content
            return _still_counted(invariant, check, before[-1]) if before else None
        content = {one.name: values[one.name] for one in invariant.values}
        if nothing := [name for name, value in content.items() if value in _NOTHING]:
            _log.warning(
                "an invariant takes for right what was read first, which is nothing: is its address right?",
                invariant=invariant.name,
                values=nothing,
            )
        if others := kept.get(invariant.name):
            was = others[-1].content
            if changed := [name for name, value in content.items() if name in was and was[name] != value]:
                _log.warning(
                    "an invariant reads other values than before, and takes for right what it read first of these",
                    invariant=invariant.name,
                    was=shown({name: was[name] for name in changed}),
                    now=shown({name: content[name] for name in changed}),
                )
        place = (invariant.name, check.network, check.block, check.timestamp)
        first = Accepted(*place, reads, content, BY_NOBODY, float(check.timestamp))
        self.forget(connection, [invariant.name])
        accepted_values.save(connection, first)
        self._as_of.change()
        kept[invariant.name] = [first]
        return content

    def forget(self, connection: sa.Connection, names: Iterable[str]) -> None:
        """Delete what is accepted for ``names``."""
        kept = self._loaded(connection)
        if gone := [name for name in names if kept.pop(name, None) is not None]:
            accepted_values.forget(connection, gone)
            self._is_used = True
            self._as_of.change()

    def roll_back(
        self, connection: sa.Connection, network: str, block: int, since: int | None, names: Iterable[str]
    ) -> None:
        """Delete what was read first in blocks of ``network`` after ``block``.

        Of ``names``, which read other networks too, that is all that was read first after the time ``since``, if known.
        """
        accepted_values.roll_back(connection, network, block)
        self._as_of.change()
        self._kept = None
        for name in names:
            first = self._loaded(connection).get(name, [])
            if since is not None and len(first) == 1 and first[0].timestamp > since and not first[0].author:
                self.forget(connection, [name])

    def commit(self, connection: sa.Connection) -> None:
        """Have them kept after this transaction, once it is committed."""
        if self._kept or self._is_used:
            self._as_of.commit(connection)

    def _loaded(self, connection: sa.Connection) -> dict[str, list[Accepted]]:
        if self._kept is None:
            self._kept = accepted_values.load(connection)
        return self._kept


def _place(accepted: Accepted) -> tuple[int, str, int]:
    return accepted.timestamp, accepted.network, accepted.block


def _still_counted(invariant: Invariant, check: Check, accepted: Accepted) -> Mapping[str, Any]:
    """Return what is accepted, without events of which each counts by itself, once none of these counts any more.

    Otherwise as many later ones would be taken for those that were accepted.
    """
    age = check.timestamp - accepted.timestamp
    gone = [
        one.name
        for one in invariant.values
        if one.trigger is not None and one.events is not None
        if one.events.take == "count" and age >= one.events.within
    ]
    return {**accepted.content, **dict.fromkeys(gone, 0)} if gone else accepted.content
