"""After a change of the configuration: changes what is stored to what a replay of the stored logs with the new one finds.

What may count other events now is made again from the stored logs; all that changed is judged again. This is done in
transactions of bounded size, before anything new is read, and resumes where it was interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import msgspec
import sqlalchemy as sa

from chainwatch.checker.extractor import undecodable
from chainwatch.config import Settings
from chainwatch.model import Event, Signal, StoredLog, UndecodedLog
from chainwatch.pipeline.checker import CONFIG_CHANGED, Checker, Page, Prints
from chainwatch.pipeline.pipeline import Alerts, Pipeline
from chainwatch.store import blocks, schema, watched
from chainwatch.store.alerting import alerts
from chainwatch.store.errors import StoreError

JUDGED_BY = "judged_by"
"""The property for the fingerprints of the configuration by which what is stored was judged."""
UNDER_WAY = "recomputing"
"""The property for the progress of a recomputation; missing when there is nothing to do."""

LOGS_AT_ONCE = 4_000
TRANSFERS_AT_ONCE = 2_000

_BY_CHECKER = ("forget", "judge")
"""The stages that each checker goes through by itself."""

ReadAgain: TypeAlias = Callable[[str, StoredLog], Event | UndecodedLog | None]
"""Reads a stored log of a network again by the present configuration."""


def fingerprints(checkers: Iterable[Checker], settings: Settings) -> Prints:
    """Return what each thing that is configured for ``checkers`` compiles to."""
    return {name: prints for checker in checkers for name, prints in checker.fingerprints(settings).items()}


def check_done(connection: sa.Connection) -> None:
    """Raise ``StoreError`` while a recomputation is not finished: nothing else may be judged until it is."""
    if schema.get_property(connection, UNDER_WAY) is not None:
        raise StoreError(
            "a changed configuration is being applied, by `chainwatch run`: try again once its log says that it is running"
        )


class _Progress(msgspec.Struct):
    """How far a recomputation has come: towards the fingerprints ``target``, up to the id ``after`` in ``stage``."""

    target: Prints
    remade: list[str]
    """The names of what is made again from the logs."""
    judged: list[str]
    """The names of what is judged again, those made again among them."""
    stage: str = "forget"
    after: int = 0
    checker: int = 0
    """Which checker the stage is at."""
    met: list[dict[str, str]] = []
    """The labels of the alerts about events that cannot be decoded or judged now."""


class Recomputation:
    """Brings the database of ``pipeline`` to ``target``: call `step` until it returns False, before anything is read."""

    def __init__(
        self,
        pipeline: Pipeline,
        read_again: ReadAgain,
        alerting: Alerts,
        target: Prints,
        retention: float = math.inf,
    ) -> None:
        """``retention``: seconds after which logs are deleted."""
        self._pipeline = pipeline
        self._read_again = read_again
        self._alerting = alerting
        self._target = target
        self._retention = retention
        self._checkers = pipeline.checkers

    def step(self, connection: sa.Connection, now: float) -> bool:
        """Do a bounded part, inside the transaction of ``connection``; return whether there is more to do."""
        progress = self._progress(connection, now)
        if progress is None:
            return False
        last = self._STAGES[progress.stage](self, connection, progress, now)
        if last is not None:
            progress.after = last
        elif progress.stage in _BY_CHECKER and progress.checker + 1 < len(self._checkers):
            progress.checker, progress.after = progress.checker + 1, 0
        elif (stages := list(self._STAGES))[-1] != progress.stage:
            progress.stage = stages[stages.index(progress.stage) + 1]
            progress.checker, progress.after = 0, 0
        else:
            schema.set_property(connection, JUDGED_BY, _json(self._target))
            schema.drop_property(connection, UNDER_WAY)
            return False
        schema.set_property(connection, UNDER_WAY, _json(progress))
        return True

    def _progress(self, connection: sa.Connection, now: float) -> _Progress | None:
        """Return the stored progress, or a new one where the target has changed; None when there is nothing to do."""
        stored = schema.get_property(connection, UNDER_WAY)
        before = None if stored is None else msgspec.json.decode(stored, type=_Progress)
        if before is not None and before.target == self._target:
            return before
        known = schema.get_property(connection, JUDGED_BY)
        judged_by = msgspec.json.decode(known or "{}", type=Prints)
        if before is None and known is not None and judged_by == self._target:
            return None
        names = {*judged_by, *self._target}
        if not known:
            names |= {name for checker in self._checkers for name in checker.stored_names(connection)}
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

    # --- the stages: each returns the last id done, None once there are no more ---------------------------

    def _forget(self, connection: sa.Connection, progress: _Progress, _now: float) -> int | None:
        """Forget the events of what is made again."""
        page = Page(progress.remade, progress.after, TRANSFERS_AT_ONCE)
        return self._checkers[progress.checker].forget_events(connection, page)

    def _extract(self, connection: sa.Connection, progress: _Progress, now: float) -> int | None:
        """Find the events of what is made again in the stored logs, and those that cannot be decoded or judged."""
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
        signals: list[Signal] = []
        for checker, extracted in self._pipeline.extract_stored(events, watched.load(connection)):
            self._pipeline.store_unjudged(connection, checker, extracted.found, progress.remade)
            signals += extracted.signals
        self._raise_unjudged(connection, progress, [*signals, *map(undecodable, undecoded)], now)
        return last

    def _judge(self, connection: sa.Connection, progress: _Progress, now: float) -> int | None:
        page = Page(progress.judged, progress.after, TRANSFERS_AT_ONCE)
        return self._pipeline.judge_again(connection, self._checkers[progress.checker], page, now)

    def _end_unjudged(self, connection: sa.Connection, progress: _Progress, now: float) -> None:
        """End the alerts about events that can be decoded and judged now, or are not watched any more."""
        over = [
            a.signal(int(now), CONFIG_CHANGED)
            for a in alerts.firing(connection)
            if a.source == "event" and a.labels not in progress.met
        ]
        self._alerting.apply(connection, over, now)

    _STAGES: Mapping[str, Callable[[Any, sa.Connection, _Progress, float], int | None]] = {
        "forget": _forget,
        "extract": _extract,
        "judge": _judge,
        "end": _end_unjudged,
    }

    def _raise_unjudged(
        self, connection: sa.Connection, progress: _Progress, raised: Iterable[Signal], now: float
    ) -> None:
        """Raise the alerts about events that cannot be decoded or judged, unless they fire already."""
        new: dict[str, Signal] = {}
        for signal in raised:
            if signal.labels not in progress.met:
                new.setdefault(_json(signal.labels), signal)
        if not new:
            return
        progress.met += [dict(signal.labels) for signal in new.values()]
        firing = [a.labels for a in alerts.firing(connection) if a.source == "event"]
        self._alerting.apply(connection, [s for s in new.values() if s.labels not in firing], now)


def _json(value: object) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()
