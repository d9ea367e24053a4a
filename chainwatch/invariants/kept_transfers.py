"""What transfers count as in values of flows, kept in memory: only those that a transaction changes are read again."""

from __future__ import annotations

from collections.abc import Collection
from weakref import WeakKeyDictionary

import msgspec
import sqlalchemy as sa

from chainwatch.checker.invariants.extractor import INVARIANTS
from chainwatch.checker.invariants.flow_index import FlowIndex
from chainwatch.checker.invariants.flow_measure import FlowMeasure, Moment, count
from chainwatch.invariants.as_of import AsOf
from chainwatch.store import transfer_index, transfers

AT_ONCE = 1_000
"""Transfers that are loaded within the transaction that needs them; more are loaded aside, as observers wait for it."""
SLACK = 1_800
"""Seconds for which transfers are kept beyond what a measure reads: a check may be of an earlier moment than the last."""


class TransfersLoaded(msgspec.Struct, frozen=True):
    """Transfers were loaded aside, for which checks wait."""

    @property
    def checker(self) -> str:
        """See ``chainwatch.model.ReadResult``."""
        return INVARIANTS


class _Load:
    """The transfers after the chain time ``since``, while they are loaded on behalf of a check on ``network``."""

    def __init__(self, network: str, since: int) -> None:
        self.network = network
        self.since = since
        self.changed: set[int] = set()
        """The ids of those that transactions have changed meanwhile."""
        self.loaded: FlowIndex | None = None
        self.commits: set[str] = set()
        """The transactions that have committed since it is wanted: only what they left may be loaded."""


class KeptTransfers:
    """The transfers of each measure that was taken.

    Every transaction of the pipeline is to `begin`; one that does not `commit`, or is undone, has all loaded again.
    """

    def __init__(self, *, loads_aside: bool = False) -> None:
        """``loads_aside``: many transfers are loaded by `load`, in another thread; what needs them waits meanwhile."""
        self._loads_aside = loads_aside
        self._as_of = AsOf("invariant_transfers_as_of")
        self._after = 0
        self._kept: WeakKeyDictionary[FlowMeasure, tuple[int, FlowIndex]] = WeakKeyDictionary()
        """By measure, the chain time after which transfers are known, and these."""
        self._loads: dict[FlowMeasure, _Load] = {}

    def begin(self, connection: sa.Connection) -> None:
        """Begin a transaction, before anything is changed."""
        if not (self._kept or self._loads):
            return
        if self._as_of.begin(connection):
            self._after = transfer_index.last_change(connection)
        else:
            self._kept.clear()
            self._loads = {}

    def update(self, connection: sa.Connection) -> None:
        """Take over what this transaction has changed, once that is all, and what was loaded aside."""
        if not (self._kept or self._loads):
            return
        changed = transfer_index.changed_since(connection, self._after)
        if changed:
            self._as_of.change()
            for wanted, (_, index) in self._kept.items():
                _put(connection, wanted, index, changed)
        for wanted, load in list(self._loads.items()):
            load.changed |= changed
            if load.loaded is not None:
                self._as_of.change()
                del self._loads[wanted]
                _put(connection, wanted, load.loaded, load.changed)
                self._kept[wanted] = load.since, load.loaded

    @property
    def loading(self) -> set[str]:
        """The networks whose reads are to `load` something."""
        return {load.network for load in list(self._loads.values()) if load.loaded is None}

    def load(self, connection: sa.Connection, network: str) -> bool:
        """Load transfers on behalf of checks on ``network``, in any thread; return whether there were any to be loaded.

        The next transaction takes them over.
        """
        wanted_here = [
            (wanted, load)
            for wanted, load in list(self._loads.items())
            if load.network == network and load.loaded is None
        ]
        if not wanted_here:
            return False
        stored, found = self._as_of.stored(connection), False
        for wanted, load in wanted_here:
            if stored in load.commits:
                load.loaded, found = _loaded(connection, wanted, load.since), True
        return found

    def measure(
        self, connection: sa.Connection, wanted: FlowMeasure, moment: Moment, network: str
    ) -> int | None:
        """Return what is taken of transfers at ``moment``, for a check on ``network``; None while they are loaded aside."""
        since = moment.timestamp - wanted.within
        kept = self._kept.get(wanted)
        if kept is None or since < kept[0]:
            begin = since - SLACK
            if wanted in self._loads and self._loads[wanted].since <= since:
                return None
            self._as_of.change()
            is_much = self._loads_aside and transfers.has_alive_since(
                connection, wanted.flow.name, begin, AT_ONCE
            )
            if is_much:
                self._loads[wanted] = _Load(network, begin)
                return None
            kept = begin, _loaded(connection, wanted, begin)
        elif since > kept[0] + 2 * SLACK:
            kept = since - SLACK, kept[1]
            kept[1].forget_before(kept[0])
        self._kept[wanted] = kept
        return kept[1].measure(moment)

    def commit(self, connection: sa.Connection) -> None:
        """Have them kept after this transaction, once it is committed."""
        if self._kept or self._loads:
            committed = self._as_of.commit(connection)
            for load in self._loads.values():
                load.commits.add(committed)


def _loaded(connection: sa.Connection, wanted: FlowMeasure, since: int) -> FlowIndex:
    index = FlowIndex(wanted)
    for alive in transfers.alive_since(connection, wanted.flow.name, since):
        index.put(alive.id, count(wanted, alive))
    return index


def _put(connection: sa.Connection, wanted: FlowMeasure, index: FlowIndex, changed: Collection[int]) -> None:
    """Have the transfers ``changed`` count in ``index`` as they are now."""
    now = {one.id: one for one in transfers.load_ids(connection, changed)}
    for number in changed:
        one = now.get(number)
        is_of_flow = one is not None and one.flow == wanted.flow.name
        index.put(number, count(wanted, one) if one is not None and is_of_flow else None)
