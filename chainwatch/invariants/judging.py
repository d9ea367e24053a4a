"""Judges invariants by their rows: evaluates checks whose values are read, raises and ends alerts, drops old rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from chainwatch.checker.expression import EvaluationError
from chainwatch.checker.invariants import judge as rules
from chainwatch.checker.invariants.invariant import EventMeasure, Invariant, Values, gather
from chainwatch.checker.invariants.judge import UNREAD, VIOLATED, Checked, Condition, Standing
from chainwatch.model import Signal
from chainwatch.pipeline.unit_of_work import Work
from chainwatch.store import invariants
from chainwatch.store.invariants import Check, RaisedAlert

HOLDS, READ = "holds again", "read again"
"""Why alerts of invariants end."""

ERROR_MAX = 300


def measure(
    connection: sa.Connection, invariant: Invariant, network: str, timestamp: int, block: int
) -> dict[str, Any]:
    """Return the values of stored events up to ``block`` of ``network``, whose time is ``timestamp``."""
    found: dict[str, Any] = {}
    for value in invariant.on(network):
        if (events := value.events) is not None:
            since = timestamp - events.within
            counted = invariants.events_between(connection, network, events.kind, since, timestamp, block)
            if (taken := _take(events, counted)) is not None:
                found[value.name] = taken
    return found


def _take(events: EventMeasure, counted: Sequence[Mapping[str, int]]) -> int | None:
    """Return what is taken of events; None for the last of none."""
    if events.argument is None:
        return len(counted)
    numbers = [args[events.argument] for args in counted if events.argument in args]
    if events.take == "sum":
        return sum(numbers)
    return numbers[-1] if numbers else None


def measure_again(connection: sa.Connection, invariant: Invariant, networks: Collection[str]) -> None:
    """Replace the values of events in what was read of ``networks``."""
    for network in networks:
        for reading in invariants.readings(connection, invariant.name, network):
            if reading.content is not None:
                content = {
                    **reading.content,
                    **measure(connection, invariant, network, reading.timestamp, reading.block),
                }
                invariants.replace_content(connection, reading._replace(content=content))


def judge(
    work: Work, invariant: Invariant, reason: str, kept: Callable[[str], int], *, again: bool = False
) -> None:
    """Judge ``invariant`` by what is stored of it now; ``reason`` is why its alerts end, if not by a newer check.

    ``kept`` gives how many blocks of a network are kept. ``again``: judge what was judged already too.
    """
    connection, name = work.connection, invariant.name
    checks = invariants.checks(connection, name)
    judged = _evaluated(connection, invariant, checks, again=again or invariant.reads_previous)
    standing = rules.fold(_checked(check) for check in judged)
    conditions = _conditions(connection, invariant, standing, judged)
    _apply(work, invariant, conditions, standing, reason)
    _prune(connection, name, judged, standing, work, kept)


def _evaluated(
    connection: sa.Connection, invariant: Invariant, checks: Sequence[Check], *, again: bool
) -> list[Check]:
    found: list[Check] = []
    previous: Check | None = None
    for check in checks:
        if check.positions and (again or (check.holds is None and check.error is None)):
            after = _evaluate(connection, invariant, check, previous)
            if after != check:
                invariants.save_check(connection, invariant.name, after)
                check = after
        found.append(check)
        if check.holds is not None:
            previous = check
    return found


def _evaluate(connection: sa.Connection, invariant: Invariant, check: Check, previous: Check | None) -> Check:
    """Return ``check`` with its answer, as far as its values are read."""
    values = _values(connection, invariant, check)
    if values is None or isinstance(values, str):
        return check._replace(holds=None, error=values)
    before: Values | str | None = None
    if previous is not None and invariant.reads_previous:
        before = _values(connection, invariant, previous)
    try:
        holds = invariant.holds(values, None if isinstance(before, str) else before)
    except EvaluationError as error:
        return check._replace(holds=None, error=str(error)[:ERROR_MAX])
    return check._replace(holds=holds, error=None)


def _values(connection: sa.Connection, invariant: Invariant, check: Check) -> Values | str | None:
    """Return the values of a check; why they cannot be read; None while they are not."""
    contents: dict[str, Values] = {}
    for network, block in (check.positions or {}).items():
        reading = invariants.reading(connection, invariant.name, network, block)
        if reading is None or reading.is_wanted:
            return None
        if reading.content is None:
            return f"{network}: {reading.error}"
        contents[network] = reading.content
    try:
        return gather(invariant, contents)
    except KeyError as error:
        return f"there is no value {error.args[0]} yet"


def _conditions(
    connection: sa.Connection, invariant: Invariant, standing: Standing, checks: Sequence[Check]
) -> dict[str, Condition]:
    found: dict[str, Condition] = {}
    if rules.is_violated(invariant, standing):
        broken = standing.broken_since
        assert broken is not None
        check = next(one for one in checks if (one.network, one.block) == (broken.network, broken.block))
        values = _values(connection, invariant, check)
        read: Values = values if isinstance(values, Mapping) else {}
        found[VIOLATED] = rules.violated(invariant, broken, check.positions or {}, read)
    if rules.is_unread(standing):
        assert standing.unread_since is not None
        assert standing.newest is not None
        found[UNREAD] = rules.unread(invariant, standing.unread_since, standing.newest)
    return found


def _apply(
    work: Work,
    invariant: Invariant,
    conditions: Mapping[str, Condition],
    standing: Standing,
    reason: str,
) -> None:
    """Raise what holds now and was not raised, and end what was raised and holds no more.

    While nothing newer was read, a violation that fires goes on firing: nothing is known, except that its block is gone.
    """
    raised = invariants.raised(work.connection, invariant.name)
    for name, alert in raised.items():
        condition = conditions.get(name)
        if condition is None:
            latest = standing.latest
            if latest is None and (name == UNREAD or reason != "reorg"):
                continue  # it was made anew, and not read since
            if name == UNREAD and latest is not None and latest.timestamp < alert.starts_at:
                continue  # blocks are gone, and nothing was read
            at = work.chain_time if reason or latest is None else latest.timestamp
            end(work, alert, at, reason or (READ if name == UNREAD else HOLDS))
        elif dict(condition.labels) != alert.labels:
            end(work, alert, condition.check.timestamp, "configuration changed")
    for name, condition in conditions.items():
        before = raised.get(name)
        check = condition.check
        if before is None or dict(condition.labels) != before.labels or check.timestamp != before.starts_at:
            place = (invariant.name, name, check.network, check.block)
            raise_alert(work, RaisedAlert(*place, condition.labels, condition.annotations, check.timestamp))


def raise_alert(work: Work, alert: RaisedAlert) -> None:
    """Store and signal that ``alert`` fires."""
    invariants.save_raised(work.connection, alert)
    work.signals.append(Signal(alert.labels, alert.starts_at, alert.annotations, source="invariant"))


def end(work: Work, alert: RaisedAlert, at: int, reason: str) -> None:
    """Signal that ``alert`` has ended ``at`` (chain time)."""
    invariants.drop_raised(work.connection, alert)
    ends_at = max(alert.starts_at, at)
    work.signals.append(
        Signal(alert.labels, alert.starts_at, alert.annotations, ends_at, reason, source="invariant")
    )


def end_all(work: Work, name: str, reason: str) -> None:
    """End all alerts of the invariant ``name``."""
    for alert in invariants.raised(work.connection, name).values():
        end(work, alert, max(work.chain_time, work.latest_seen), reason)


def _prune(
    connection: sa.Connection,
    name: str,
    checks: Sequence[Check],
    standing: Standing,
    work: Work,
    kept: Callable[[str], int],
) -> None:
    """Drop checks that no reorg reaches, but for those by which the invariant stands; and what was read for them alone."""
    needed = {
        (one.network, one.block)
        for one in (standing.latest, standing.broken_since, standing.unread_since)
        if one is not None
    }
    final = {n: c.last.number - kept(n) for n, c in work.checkpoints.items() if _is_known(c.network, checks)}
    old = [one for one in checks if one.block < final.get(one.network, 0)]
    dropped = [one for one in old if (one.network, one.block) not in needed]
    if not dropped:
        return
    invariants.drop_checks(connection, name, dropped)
    left = [one for one in checks if one not in dropped]
    for network in {network for one in checks for network in one.positions or {}}:
        first = min(
            [one.positions[network] for one in left if one.positions and network in one.positions], default=0
        )
        invariants.drop_readings(connection, name, network, first)


def _is_known(network: str, checks: Sequence[Check]) -> bool:
    return any(one.network == network for one in checks)


def _checked(check: Check) -> Checked:
    return Checked(check.network, check.block, check.timestamp, check.holds, check.error)
