"""The delays of ``[[lifecycle]]``: how long a condition must hold before its alert fires, and be gone before it ends.

A condition that begins and ends again and again flaps: its alert goes on firing until the condition has been steady.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import REORG, Alert, Timer, Transition
from chainwatch.alerting.policy.policies import AT_ONCE, Policies
from chainwatch.config import format_duration
from chainwatch.model import Signal
from chainwatch.store.alerting import history

FLAPPING = "flapping"
"""The annotation of an alert that goes on firing because its condition flaps."""
STEADY = "steady again"


class Hysteresis:
    """The delays of the signals of one transaction at ``now``. ``known``: the newest alerts by fingerprint."""

    def __init__(
        self,
        connection: sa.Connection,
        policies: Policies,
        known: Mapping[str, Alert],
        signals: Sequence[Signal],
        prints: Sequence[str],
        now: float,
    ) -> None:
        self._connection = connection
        self._policies = policies
        self._now = now
        active = [alert.id for alert in known.values() if alert.state != "resolved"]
        self._timers = history.timers_of(connection, active) if active else {}
        ending = [
            print_
            for signal, print_ in zip(signals, prints, strict=True)
            if signal.ends_at is not None and print_ in known and _may_flap(known[print_], signal)
        ]
        since = now - policies.flapping_within
        self._changes = history.changes_since(connection, ending, since) if ending else {}
        self._new: dict[str, Timer] = {}
        self._stopped: set[int] = set()
        self._repeats: dict[int, int] = {}
        self._happened: list[tuple[str, Transition]] = []
        self.flapping: set[str] = set()
        """The fingerprints of the alerts that began to flap."""
        self.returned: set[int] = set()
        """The ids of the alerts that flap and whose condition began again."""

    def delay(self, before: Alert | None, signal: Signal, after: Alert) -> Alert:
        """Return ``after``, which ``signal`` makes of ``before``, or what the alert is until its delay is over."""
        begins = after.id == 0
        if begins and after.state == "firing":
            return self._begins(after)
        if before is None or begins:
            return after
        if signal.ends_at is None:
            return self._still_holds(before, after)
        if before.state == "pending":
            self._stop(before)
            return after
        if before.state == "firing":
            return self._ends(before, signal, after)
        return after

    def save(self, known: Mapping[str, Alert]) -> None:
        """Write the timers and the history; ``known`` has the alerts with their ids, by fingerprint."""
        history.stop_timers(self._connection, sorted(self._stopped))
        timers = [msgspec.structs.replace(t, alert_id=known[print_].id) for print_, t in self._new.items()]
        history.set_timers(self._connection, timers)
        history.count_repeats(self._connection, self._repeats, self._now)
        history.record(
            self._connection,
            [msgspec.structs.replace(t, alert_id=known[print_].id) for print_, t in self._happened],
        )

    def _begins(self, alert: Alert) -> Alert:
        wait = self._policies.lifecycle_of(alert.labels).fire_after if self._policies.lifecycles else 0.0
        if wait <= 0:
            return alert
        self._new[alert.fingerprint] = Timer(0, "fire", self._now + wait)
        self._note(alert, "pending", f"must hold for {format_duration(wait)}")
        return msgspec.structs.replace(alert, state="pending")

    def _still_holds(self, before: Alert, after: Alert) -> Alert:
        if before.id:
            self._repeats[before.id] = self._repeats.get(before.id, 0) + 1
        if before.state == "firing":
            if self._timer_of(before) is not None:  # it went on firing, so it is still the same episode
                self._stop(before)
                if FLAPPING in before.annotations:
                    self.returned.add(before.id)
                starts_at = min(before.starts_at, after.starts_at)
                after = msgspec.structs.replace(after, starts_at=starts_at)
            flapping = before.annotations.get(FLAPPING)
            if flapping and after is not before:
                after = msgspec.structs.replace(after, annotations={**after.annotations, FLAPPING: flapping})
        return before if after == before else after

    def _ends(self, before: Alert, signal: Signal, after: Alert) -> Alert:
        policies = self._policies
        lifecycle = policies.lifecycle_of(before.labels) if policies.lifecycles else AT_ONCE
        flaps = _may_flap(before, signal) and (
            FLAPPING in before.annotations
            # this end is one more; what began and ended within this transaction is not counted
            or self._changes.get(before.fingerprint, 0) + 1 >= policies.flapping_changes
        )
        wait = max(lifecycle.keep_firing_for, policies.flapping_within if flaps else 0.0)
        if wait <= 0 or before.id == 0:
            return after
        reason = STEADY if flaps else signal.reason
        known = self._timer_of(before)
        due_at = known.due_at if known is not None and not flaps else self._now + wait
        self._new[before.fingerprint] = Timer(before.id, "end", due_at, signal.ends_at, reason)
        self._stopped.discard(before.id)
        kept = msgspec.structs.replace(before, annotations=after.annotations)
        if not flaps:
            return before if kept == before else kept
        within = format_duration(policies.flapping_within)
        said = before.annotations.get(FLAPPING) or (
            f"{policies.flapping_changes} changes within {within}: it goes on firing until it has been steady for {within}"
        )
        if FLAPPING not in before.annotations:
            self._note(before, FLAPPING, said)
            self.flapping.add(before.fingerprint)
        return msgspec.structs.replace(kept, annotations={**kept.annotations, FLAPPING: said})

    def _timer_of(self, alert: Alert) -> Timer | None:
        if alert.fingerprint in self._new:
            return self._new[alert.fingerprint]
        return None if alert.id in self._stopped else self._timers.get(alert.id)

    def _stop(self, alert: Alert) -> None:
        self._new.pop(alert.fingerprint, None)
        self._stopped.add(alert.id)

    def _note(self, alert: Alert, kind: str, note: str) -> None:
        self._happened.append((alert.fingerprint, Transition(alert.id, self._now, kind, note)))


def _may_flap(alert: Alert, end: Signal) -> bool:
    """Return whether ``end`` may be one of an alert that flaps: not of a transfer's, nor where a reorg took the block back.

    These are facts of the chain.
    """
    return alert.source != "transfer" and end.reason != REORG
