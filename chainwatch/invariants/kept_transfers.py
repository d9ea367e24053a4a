"""What transfers count as in values of flows, kept in memory: only those that a transaction changes are read again."""

from __future__ import annotations

import secrets
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from chainwatch.checker.invariants.flow_index import FlowIndex
from chainwatch.checker.invariants.flow_measure import FlowMeasure, Moment, count
from chainwatch.store import schema, transfer_index, transfers

AS_OF = "invariant_transfers_as_of"
SLACK = 1_800
"""Seconds for which transfers are kept beyond what a measure reads: a check may be of an earlier moment than the last."""


class KeptTransfers:
    """The transfers of each measure that was taken.

    Every transaction of the pipeline is to `begin`; one that does not `commit`, or is undone, has all loaded again. A random
    number in the database says as of which transaction they are kept.
    """

    def __init__(self) -> None:
        self._as_of: str | None = None
        self._begun: str | None = None
        self._after = 0
        self._kept: WeakKeyDictionary[FlowMeasure, tuple[int, FlowIndex]] = WeakKeyDictionary()
        """By measure, the chain time after which transfers are known, and these."""

    def begin(self, connection: sa.Connection) -> None:
        """Begin a transaction, before anything is changed."""
        self._begun, self._as_of = self._as_of, None
        if not self._kept:
            return
        if self._begun is None or schema.get_property(connection, AS_OF) != self._begun:
            self._kept.clear()
        else:
            self._after = transfer_index.last_change(connection)

    def update(self, connection: sa.Connection) -> None:
        """Take over what this transaction has changed, once that is all."""
        if not self._kept:
            return
        changed = transfer_index.changed_since(connection, self._after)
        if not changed:
            return
        self._begun = None
        now = {one.id: one for one in transfers.load_ids(connection, changed)}
        for wanted, (_, index) in self._kept.items():
            for number in changed:
                one = now.get(number)
                is_of_flow = one is not None and one.flow == wanted.flow.name
                index.put(number, count(wanted, one) if one is not None and is_of_flow else None)

    def measure(self, connection: sa.Connection, wanted: FlowMeasure, moment: Moment) -> int:
        """Return what is taken of transfers at ``moment``."""
        since = moment.timestamp - wanted.within
        kept = self._kept.get(wanted)
        if kept is None or since < kept[0]:
            kept = since - SLACK, FlowIndex(wanted)
            for alive in transfers.alive_since(connection, wanted.flow.name, kept[0]):
                kept[1].put(alive.id, count(wanted, alive))
            self._begun = None
        elif since > kept[0] + 2 * SLACK:
            kept = since - SLACK, kept[1]
            kept[1].forget_before(kept[0])
        self._kept[wanted] = kept
        return kept[1].measure(moment)

    def commit(self, connection: sa.Connection) -> None:
        """Have them kept after this transaction, once it is committed."""
        if self._kept and self._begun is None:
            self._begun = secrets.token_hex(8)
            schema.set_property(connection, AS_OF, self._begun)
        self._as_of = self._begun
