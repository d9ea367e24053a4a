"""After a change of the configuration: what is stored becomes what a replay with the new one over the stored logs finds.

Flows whose events may mean something else now have their transfers made again from the stored logs; all that changed are
judged again. It goes in transactions of bounded size, before anything new is read, and goes on where it was interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import sqlalchemy as sa

from chainwatch.checker.flow import extract, index_steps, undecodable
from chainwatch.config import Settings
from chainwatch.model import Event, Signal, StoredLog, UndecodedLog
from chainwatch.pipeline.pipeline import CONFIG_CHANGED, Alerts, Pipeline
from chainwatch.store import blocks, schema, transfers, watched
from chainwatch.store.alerting import alerts
from chainwatch.store.errors import StoreError

JUDGED_BY = "judged_by"
"""The property that tells by which flows, as they were configured then, the stored transfers were judged."""
UNDER_WAY = "recomputing"
"""The property that tells how far this has come; missing when there is nothing to do."""

LOGS_AT_ONCE = 4_000
TRANSFERS_AT_ONCE = 2_000

VERSION = 1
"""Raise it when the same configuration makes other transfers of the same logs than before: all are made again then."""

_JUDGING = {"orphan_grace", "orphan_severity", "repeat", "runbook_url"}
_JUDGING_STEP = {"within", "severity", "repeat"}
"""What of a flow says how its events are judged, but not which they are."""

ReadAgain: TypeAlias = Callable[[str, StoredLog], Event | UndecodedLog | None]
"""What a stored log of a network is, as it would be read now."""
Prints: TypeAlias = dict[str, tuple[str, str]]
"""Flow → what tells apart which events it counts, and all of it."""


def fingerprints(settings: Settings) -> Prints:
    """What each configured flow, with the ABI files, addresses and networks that it uses, compiles to."""
    networks = {name: (network.chain_id, network.attributes) for name, network in settings.networks.items()}
    abis = {name: Path(contract.abi).read_bytes() for name, contract in settings.contracts.items()}
    found: Prints = {}
    for name, flow in settings.flows.items():
        whole = flow.model_dump()
        used = {flow.contract, flow.opens.contract, *(step.contract for step in flow.expects)} - {None}
        contracts = {
            c: (settings.contracts[c].address, abis[c]) for c in sorted(filter(None, used)) if c in abis
        }
        rest = {
            **{key: value for key, value in whole.items() if key not in _JUDGING},
            "expects": [
                {key: value for key, value in step.items() if key not in _JUDGING_STEP}
                for step in whole["expects"]
            ],
        }
        found[name] = (
            fingerprint([VERSION, rest, contracts, networks]),
            fingerprint([VERSION, whole, contracts, networks]),
        )
    return found


def fingerprint(settings: object) -> str:
    """The same text for the same settings, in whichever order."""
    encoded = msgspec.json.encode(settings, enc_hook=lambda model: model.model_dump(), order="deterministic")
    return sha256(encoded).hexdigest()


def check_done(connection: sa.Connection) -> None:
    """Raise ``StoreError`` while a changed configuration is only partly taken up: nothing may be judged until it is."""
    if schema.get_property(connection, UNDER_WAY) is not None:
        raise StoreError(
            "a changed configuration is being taken up; that goes on in `chainwatch run`: try again once its log says that "
            "it is running"
        )


class _Progress(msgspec.Struct):
    """How far a recomputation has come: ``target`` is what it leads to, ``after`` the last id done in ``stage``."""

    target: Prints
    remade: list[str]
    """The flows whose transfers are made again."""
    judged: list[str]
    """The flows whose transfers are judged again."""
    stage: str = "forget"
    after: int = 0
    met: list[dict[str, str]] = []
    """The labels of the alerts about what makes no sense now."""


class Recomputation:
    """Brings the database of ``pipeline`` to ``target``: call `step` until it returns False, before anything is read.

    ``read_again`` makes what it is now of a stored log.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        read_again: ReadAgain,
        alert_manager: Alerts,
        target: Prints,
        retention: float = math.inf,
    ) -> None:
        """``retention``: seconds after which logs are deleted."""
        self._pipeline = pipeline
        self._read_again = read_again
        self._alerts = alert_manager
        self._target = target
        self._retention = retention
        self._steps = index_steps(pipeline.flows.values())

    def step(self, connection: sa.Connection, now: float) -> bool:
        """Do a bounded part of what is to be done, inside the transaction of ``connection``; whether there is more."""
        progress = self._progress(connection, now)
        if progress is None:
            return False
        last = self._STAGES[progress.stage](self, connection, progress, now)
        if last is not None:
            progress.after = last
        elif (stages := list(self._STAGES))[-1] != progress.stage:
            progress.stage, progress.after = stages[stages.index(progress.stage) + 1], 0
        else:
            schema.set_property(connection, JUDGED_BY, _json(self._target))
            schema.drop_property(connection, UNDER_WAY)
            return False
        schema.set_property(connection, UNDER_WAY, _json(progress))
        return True

    def _progress(self, connection: sa.Connection, now: float) -> _Progress | None:
        """What is under way, begun anew where the target has changed; None when there is nothing to do."""
        stored = schema.get_property(connection, UNDER_WAY)
        before = None if stored is None else msgspec.json.decode(stored, type=_Progress)
        if before is not None and before.target == self._target:
            return before
        known = schema.get_property(connection, JUDGED_BY)
        judged_by = msgspec.json.decode(known or "{}", type=Prints)
        if before is None and known is not None and judged_by == self._target:
            return None
        names = {*judged_by, *self._target, *([] if known else transfers.flow_names(connection))}
        remade, judged = set[str](), set[str]()
        for name in names:
            old, new = judged_by.get(name, ("", "")), self._target.get(name, ("", ""))
            if old[0] != new[0] or not new[0]:
                remade.add(name)
            if old[1] != new[1] or not new[1]:
                judged.add(name)
        if before is not None:
            remade |= set(before.remade)
            judged |= set(before.judged)
        if known is None and self._retention < now:
            watched.assume_pruned(connection, int(now - self._retention))
        if remade:
            watched.begin_after_pruned(connection)
        return _Progress(self._target, sorted(remade), sorted(remade | judged))

    # --- the stages: each returns the last id that it has done, None once there are no more ---------------

    def _forget(self, connection: sa.Connection, progress: _Progress, _now: float) -> int | None:
        """Forget the events of transfers that are made again."""
        some = transfers.page(connection, progress.after, TRANSFERS_AT_ONCE, progress.remade)
        transfers.forget_events(connection, some)
        return some[-1].id if some else None

    def _extract(self, connection: sa.Connection, progress: _Progress, now: float) -> int | None:
        """Find the events of transfers in the stored logs, and what makes no sense."""
        last: int | None = None
        events: list[Event] = []
        undecoded: list[UndecodedLog] = []
        changed: list[tuple[str, str | None, int]] = []
        for number, network, log in blocks.logs_after(connection, progress.after, LOGS_AT_ONCE):
            last = number
            found = self._read_again(network, log)
            if isinstance(found, Event):
                events.append(found)
            elif found is not None:
                undecoded.append(found)
            if found is not None:
                error = found.error if isinstance(found, UndecodedLog) else None
                if (found.contract, error) != (log.contract, log.error):
                    changed.append((found.contract, error, number))
        blocks.relabel(connection, changed)
        extracted = extract(self._steps, events)
        occurrences = {k: some for k, some in extracted.occurrences.items() if k[0] in progress.remade}
        self._pipeline.add_unjudged(connection, occurrences)
        self._raise_troubles(connection, progress, [*extracted.troubles, *map(undecodable, undecoded)], now)
        return last

    def _judge(self, connection: sa.Connection, progress: _Progress, now: float) -> int | None:
        return self._pipeline.judge_again(
            connection, progress.after, TRANSFERS_AT_ONCE, now, flows=progress.judged
        )

    def _end_puzzles(self, connection: sa.Connection, progress: _Progress, now: float) -> None:
        """End the alerts about what makes sense now, or is not looked at any more."""
        over = [
            a.signal(int(now), CONFIG_CHANGED)
            for a in alerts.firing(connection)
            if a.source == "event" and a.labels not in progress.met
        ]
        self._alerts.apply(connection, over, now)

    _STAGES: Mapping[str, Callable[[Any, sa.Connection, _Progress, float], int | None]] = {
        "forget": _forget,
        "extract": _extract,
        "judge": _judge,
        "end": _end_puzzles,
    }

    def _raise_troubles(
        self, connection: sa.Connection, progress: _Progress, troubles: Iterable[Signal], now: float
    ) -> None:
        """Raise what makes no sense now, unless it fires already."""
        new: dict[str, Signal] = {}
        for signal in troubles:
            if signal.labels not in progress.met:
                new.setdefault(_json(signal.labels), signal)
        if not new:
            return
        progress.met += [dict(signal.labels) for signal in new.values()]
        firing = [a.labels for a in alerts.firing(connection) if a.source == "event"]
        self._alerts.apply(connection, [s for s in new.values() if s.labels not in firing], now)


def _json(value: object) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()
