"""Judges invariants by their rows: evaluates checks whose values are read, raises and ends alerts, drops old rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from chainwatch.alert_model import REORG
from chainwatch.checker.expression import EvaluationError
from chainwatch.checker.invariants import judge as rules
from chainwatch.checker.invariants.extractor import INVARIANTS
from chainwatch.checker.invariants.invariant import Invariant, Values, gather
from chainwatch.checker.invariants.judge import UNREAD, VIOLATED, Checked, Condition, Standing
from chainwatch.invariants import stored_values
from chainwatch.invariants.kept_accepted import KeptAccepted
from chainwatch.invariants.kept_checks import KeptChecks
from chainwatch.invariants.kept_transfers import KeptTransfers
from chainwatch.invariants.raising import HOLDS, READ, end, raise_alert
from chainwatch.invariants.standing import held_before, needed, standing_of, still_broken
from chainwatch.invariants.superfluous import KEPT, read_for_alone, superfluous
from chainwatch.pipeline.checker import CONFIG_CHANGED
from chainwatch.pipeline.unit_of_work import Work
from chainwatch.store import invariant_breaches, invariants
from chainwatch.store.invariant_breaches import Breach
from chainwatch.store.invariants import Check, Place, RaisedAlert, Reading

ERROR_MAX = 300
SPARE = 8
"""Checks beyond those that are kept, from which on superfluous ones are dropped."""


class Judging(NamedTuple):
    """An invariant to be judged; ``reason`` is why its alerts end, if not by a newer check.

    ``again``: judge what was judged already too.
    """

    invariant: Invariant
    reason: str
    again: bool = False


class Kept(NamedTuple):
    """What is kept in memory of all invariants between transactions."""

    checks: KeptChecks
    transfers: KeptTransfers
    accepted: KeptAccepted


def judge(
    work: Work,
    judged: Mapping[str, Judging],
    kept: Kept,
    fresh: Mapping[Place, Reading],
    reorg_window: Callable[[str], int],
    waiting: dict[str, float],
    now: float,
) -> None:
    """Judge invariants, by name, by what is stored of them now. ``fresh`` is what this transaction has stored.

    ``reorg_window`` gives how many blocks of a network a reorg may reach. ``waiting`` is since when (the clock's value) an
    invariant has a check without an answer and got none; it is changed. ``now`` is the clock's value.
    """
    connection, checks = work.connection, kept.checks
    raised = invariants.raised_of(connection, list(judged))
    stored = {name: checks.of(name) for name in judged}
    readings = _readings_for(connection, judged, stored, fresh)
    saved: list[tuple[str, Check]] = []
    dropped: list[tuple[str, Check]] = []
    unread: list[Place] = []
    for name, one in judged.items():
        before = stored[name]
        if one.invariant.reads_stored:
            _add_stored(connection, one, before, kept, readings)
        after = _evaluated(one, before, readings)
        after = checks.undecided.keep_back(work, one.invariant, before, after, now)
        changed = [(old, new) for old, new in zip(before, after, strict=True) if new is not old]
        saved += [(name, new) for old, new in changed if new != old]
        standing = standing_of(after)
        is_answered = any(old.holds is None and new.holds is not None for old, new in changed)
        if is_answered or standing.unread_since is None:
            waiting.pop(name, None)
        waited = 0.0 if standing.unread_since is None else now - waiting.setdefault(name, now)
        known = raised.get(name, {})
        for some in _one_by_one(before, after, is_raised=bool(known)):
            _apply(work, one, known, standing_of(some), some, waited=0.0)
            known = invariants.raised(connection, name)
        if known or standing.broken_since is not None or standing.unread_since is not None:
            _apply(work, one, known, standing, after, waited)
        if len(after) > KEPT + SPARE:
            last = {check.network: work.checkpoints[check.network].last.number for check in after}
            final = {network: number - reorg_window(network) for network, number in last.items()}
            gone = superfluous(one.invariant, after, needed(after, standing), final, checks.of_history)
            dropped += [(name, check) for check in gone]
            unread += read_for_alone(name, gone, after)
    checks.save(connection, saved)
    if checks.stores_all:
        checks.forget(dropped)
    else:
        checks.drop(connection, dropped)
        invariants.drop_readings(connection, unread)


def _readings_for(
    connection: sa.Connection,
    judged: Mapping[str, Judging],
    stored: Mapping[str, Sequence[Check]],
    fresh: Mapping[Place, Reading],
) -> dict[Place, Reading]:
    """Return what was read for the ``stored`` checks that are to be evaluated: ``fresh``, and what that lacks."""
    wanted = {
        place
        for name, one in judged.items()
        for check in (stored[name] if one.invariant.reads_previous else _to_be_evaluated(one, stored[name]))
        for place in check.places(name)
    }
    return {**fresh, **invariants.readings_at(connection, wanted - fresh.keys())}


def _one_by_one(
    before: Sequence[Check], after: Sequence[Check], *, is_raised: bool
) -> Iterator[Sequence[Check]]:
    """Yield the checks as they are after each new answer but the last, where several came at once and not all are alike.

    Checks of several networks are answered together where one of these is read late: a short breach is one nevertheless.
    """
    answered = [
        index
        for index, (old, new) in enumerate(zip(before, after, strict=True))
        if old.holds is None and new.holds is not None
    ]
    if is_raised or len({after[index].holds for index in answered}) > 1:
        for index in answered[:-1]:
            yield [*after[: index + 1], *before[index + 1 :]]


def _add_stored(
    connection: sa.Connection,
    judging: Judging,
    checks: Sequence[Check],
    kept: Kept,
    readings: dict[Place, Reading],
) -> None:
    """Add values of flows and of the past to what was read for the ``checks`` that are to be evaluated."""
    invariant = judging.invariant
    for check in _to_be_evaluated(judging, checks):
        reading = stored_values.with_stored(
            connection, invariant, check, readings, kept.transfers, kept.accepted
        )
        if reading is not None:
            readings[reading.name, reading.network, reading.block] = reading


def _to_be_evaluated(judging: Judging, checks: Sequence[Check]) -> list[Check]:
    return [
        check
        for check in checks
        if (judging.again or (check.holds is None and check.error is None)) and check.positions
    ]


def _evaluated(judging: Judging, checks: Sequence[Check], readings: Mapping[Place, Reading]) -> list[Check]:
    """Return ``checks`` with their answers; one after a check that is answered late is answered anew if it reads that."""
    open_ = {id(check) for check in _to_be_evaluated(judging, checks)}
    if not judging.invariant.reads_previous:
        return [
            _evaluate(judging.invariant, check, None, readings) if id(check) in open_ else check
            for check in checks
        ]
    found: list[Check] = []
    previous: Check | None = None
    is_late = False
    for check in checks:
        after = check
        is_first = previous is None and check.holds is not None  # the one before was dropped
        reads_late = is_late and bool(check.positions)
        if (id(check) in open_ and not is_first) or reads_late:
            after = _evaluate(judging.invariant, check, previous, readings)
        found.append(after)
        if after.holds is not None:
            previous, is_late = after, after is not check
    return found


def _evaluate(
    invariant: Invariant, check: Check, previous: Check | None, readings: Mapping[Place, Reading]
) -> Check:
    """Return ``check`` with its answer, as far as its values are read."""
    values = _values(invariant, check, readings)
    if values is None or isinstance(values, str):
        return check._replace(holds=None, error=values)
    before: Values | str | None = None
    if previous is not None and invariant.reads_previous:
        before = _values(invariant, previous, readings)
    try:
        holds = invariant.holds(values, None if isinstance(before, str) else before)
    except EvaluationError as error:
        return check._replace(holds=None, error=str(error)[:ERROR_MAX])
    return check._replace(holds=holds, error=None)


def _values(invariant: Invariant, check: Check, readings: Mapping[Place, Reading]) -> Values | str | None:
    """Return the values of a check; why they cannot be read; None while they are not."""
    contents: dict[str, Values] = {}
    for place in check.places(invariant.name):
        reading = readings.get(place)
        if reading is None or reading.is_wanted:
            return None
        if reading.content is None:
            return f"{reading.network}: {reading.error}"
        contents[reading.network] = reading.content
    try:
        return gather(invariant, contents, check.network)
    except KeyError as error:
        return f"there is no value {error.args[0]} yet"


def _apply(
    work: Work,
    judging: Judging,
    raised: Mapping[str, RaisedAlert],
    standing: Standing,
    checks: Sequence[Check],
    waited: float,
) -> None:
    """Raise what holds now and was not raised, and end what was raised and holds no more.

    While nothing newer was read, a violation that fires goes on firing: nothing is known, except that its block is gone.
    """
    holding = _holding(work, judging.invariant, standing, waited)
    if not judging.reason and (broken := still_broken(raised.get(VIOLATED), standing, checks)) is not None:
        holding[VIOLATED] = broken  # whatever `for` is now
    for name, alert in raised.items():
        if name not in holding:
            _end_if_known(work, alert, standing, judging.reason)
    for name, since in holding.items():
        before = raised.get(name)
        labels = rules.labels_of(name, judging.invariant)
        if before is not None and dict(before.labels) != labels:
            assert standing.newest is not None
            end(work, before, standing.newest.timestamp, CONFIG_CHANGED)
        elif before is not None and (name == UNREAD or before.starts_at == since.timestamp):
            continue
        condition = _condition(work, judging.invariant, name, since, standing, checks)
        place, annotations = (judging.invariant.name, name, since.network, since.block), condition.annotations
        held = held_before(checks, since) if name == VIOLATED else None
        if held is not None:
            held = held._replace(network=since.network, block=held.blocks[since.network])
            annotations = rules.with_held(dict(annotations), held.network, held.block, held.timestamp)
        alert = RaisedAlert(*place, condition.labels, annotations, since.timestamp)
        raise_alert(work, alert)
        if name == VIOLATED:
            if before is not None:
                _move_breach(work, before, since, held)
            _note_breach(work, alert, judging.invariant, held)


def _holding(work: Work, invariant: Invariant, standing: Standing, waited: float) -> dict[str, Checked]:
    """Return the conditions that hold, each with the check since which it does."""
    found = {}
    if rules.is_violated(invariant, standing) and standing.broken_since is not None:
        found[VIOLATED] = standing.broken_since
    seen = max(work.seen.get(network, 0) for network in invariant.networks)
    if rules.is_unread(standing, seen, waited) and standing.unread_since is not None:
        found[UNREAD] = standing.unread_since
    return found


def _end_if_known(work: Work, alert: RaisedAlert, standing: Standing, reason: str) -> None:
    """End an alert whose condition holds no more, unless that only means that nothing was read."""
    latest = standing.latest
    if latest is None and (alert.condition == UNREAD or reason != REORG):
        return  # it was made anew, and not read since
    if alert.condition == UNREAD and latest is not None and latest.timestamp < alert.starts_at:
        return  # blocks are gone, and nothing was read
    at = work.chain_time if reason or latest is None else latest.timestamp
    end(work, alert, at, reason or (READ if alert.condition == UNREAD else HOLDS))


def _condition(
    work: Work,
    invariant: Invariant,
    name: str,
    since: Checked,
    standing: Standing,
    checks: Sequence[Check],
) -> Condition:
    if name == UNREAD:
        assert standing.newest is not None
        newest = standing.newest
        if newest.error is None:
            newest = newest._replace(error=_failure(work.connection, invariant, checks))
        return rules.unread(invariant, since, newest)
    check = next(one for one in checks if (one.network, one.block) == (since.network, since.block))
    readings = invariants.readings_at(work.connection, check.places(invariant.name))
    values = _values(invariant, check, readings)
    return rules.violated(
        invariant, since, check.positions or {}, values if isinstance(values, Mapping) else {}
    )


def _failure(connection: sa.Connection, invariant: Invariant, checks: Sequence[Check]) -> str | None:
    """Return why the newest of ``checks`` that failed is still to be read."""
    places = {place for check in checks if check.holds is None for place in check.places(invariant.name)}
    readings = sorted(invariants.readings_at(connection, places).values(), key=lambda one: one.timestamp)
    return next((f"{one.network}: {one.error}" for one in reversed(readings) if one.error), None)


def _move_breach(work: Work, before: RaisedAlert, since: Checked, held: Check | None) -> None:
    """Note that what fires, of the breach of ``before``, is broken ``since`` another check, after it ``held``."""
    place = (before.name, before.network, before.block)
    if (
        held is None and since.timestamp > before.starts_at
    ):  # its checks began anew: nothing denies the earlier ones
        invariant_breaches.end(work.connection, place, since.timestamp, CONFIG_CHANGED, is_over=True)
    else:  # an answer that came late has shown it
        invariant_breaches.drop(work.connection, *place)


def _note_breach(work: Work, alert: RaisedAlert, invariant: Invariant, held: Check | None) -> None:
    """Store a breach; blocks between the last check at which the invariant ``held`` and the breach are searched later."""
    breach = Breach(
        alert.name,
        alert.network,
        alert.block,
        alert.starts_at,
        alert.annotations.get("values", ""),
        alert.labels,
        alert.annotations,
        None if held is None else held.block,
        None if held is None else held.timestamp,
        is_searched=not invariant.is_searchable or (held is not None and held.block == alert.block - 1),
    )
    invariant_breaches.save(work.connection, breach)
    if not breach.is_searched:
        work.wanted.add((INVARIANTS, alert.network))
