"""Silences: whether one is in effect, what it matches, and which alerts are silenced. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chainwatch.alert_model import Silence
from chainwatch.alerting.policy.intervals import Interval, inside
from chainwatch.alerting.policy.label_index import LabelIndex, positions
from chainwatch.grammar import matchers
from chainwatch.grammar.matchers import Matchers


def first_silences(
    alerts: Mapping[int, Mapping[str, str]],
    silences: Sequence[Silence],
    intervals: Mapping[str, Interval],
    now: float,
) -> dict[int, Silence]:
    """Return by id the first of ``silences`` that silences each of ``alerts`` (id → labels) now."""
    found: dict[int, Silence] = {}
    if not silences:
        return found
    ids, index = list(alerts), LabelIndex(list(alerts.values()))
    for silence in silences:
        if is_in_effect(silence, intervals, now):
            for at in positions(index.taken(silence_matchers(silence))):
                found.setdefault(ids[at], silence)
    return found


def silence_matchers(silence: Silence) -> Matchers:
    """Return what an alert must pass for ``silence`` to suppress it."""
    return matchers.recall_tests(silence.tests) if silence.tests else matchers.recall(silence.match)


def is_in_effect(silence: Silence, intervals: Mapping[str, Interval], now: float) -> bool:
    """Return whether ``now`` lies between a silence's start and end, and within its intervals where it has any."""
    if not silence.is_active(now):
        return False
    return not silence.during or inside(intervals, silence.during, now) is not None
