"""What people do about alerts: take them on, give them back, end them, silence them, and set cooldowns.

Written into the running process's database, which takes notice by itself within a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from chainwatch.alert_model import Acknowledgement, Alert, Silence, StoredCooldown, Transition
from chainwatch.alerting.engine import cooldowns as cooling
from chainwatch.alerting.engine import upkeep
from chainwatch.alerting.policy.muting import Cooldown
from chainwatch.checker.transfer import resolved_by_hand
from chainwatch.grammar import matchers as matching
from chainwatch.operations.alert_context import AlertLook, alert_view
from chainwatch.store import transfers
from chainwatch.store.alerting import acknowledgements, alerts, history, incidents, limits, silences

BY_HAND = "by hand"
ENDED_SHOWN_FOR = 7 * 86_400.0
"""Seconds for which ended silences are listed on request."""


def unknown(look: AlertLook, ids: Sequence[int]) -> list[int]:
    """Those of ``ids`` that no alert has."""
    with look.database.reading() as connection:
        return sorted(set(ids) - alerts.by_id(connection, ids).keys())


def acknowledge(look: AlertLook, ids: Sequence[int], actor: str, note: str, until: float | None) -> list[int]:
    """Let firing alerts be ``actor``'s; the ids of those that were not firing."""
    with look.database.transaction() as connection:
        found = _firing(connection, ids)
        rises = incidents.rises(connection, [a.id for a in found])
        taken = [
            Acknowledgement(a.id, actor, look.now, note, until, rises.get(a.id, a.severity), look.now)
            for a in found
        ]
        acknowledgements.save(connection, taken)
        _record(connection, look, [a.id for a in found], "acknowledged", actor, note)
    return sorted(set(ids) - {a.id for a in found})


def give_back(look: AlertLook, ids: Sequence[int], actor: str) -> list[int]:
    """Let alerts be nobody's again; the ids of those that were nobody's."""
    with look.database.transaction() as connection:
        taken = acknowledgements.of(connection, ids)
        upkeep.drop_acknowledgements(
            connection, look.manager.group_manager, dict.fromkeys(taken, BY_HAND), actor, look.now
        )
    return sorted(set(ids) - taken.keys())


def resolve(look: AlertLook, ids: Sequence[int], actor: str, note: str) -> list[int]:
    """End alerts by hand, also pending ones; the ids of those that had ended or are not known."""
    reason = f"{BY_HAND}: {note}" if note else BY_HAND
    with look.database.transaction() as connection:
        found = [a for a in alerts.by_id(connection, sorted(set(ids))).values() if a.state != "resolved"]
        upkeep.resolve_now(connection, look.manager.group_manager, found, reason, look.now)
        _note_in_transfers(connection, found, int(look.now))
        _record(connection, look, [a.id for a in found], "resolved", actor, note)
    return sorted(set(ids) - {a.id for a in found})


def _note_in_transfers(connection: sa.Connection, ended: Sequence[Alert], now: int) -> None:
    """Let the transfers that raised these alerts know that a person has ended them: judged again, they stay ended."""
    by_label: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for alert in ended:
        if alert.source == "transfer":
            label = alert.labels["flow"], alert.labels["transfer"]
            by_label.setdefault(label, []).append(alert.labels)
    changed = [
        (before, resolved_by_hand(before, by_label[label], now))
        for label, before in transfers.labelled(connection, by_label).items()
    ]
    transfers.save(connection, changed)


# --- silences -------------------------------------------------------------------------------------------


def add_silence(look: AlertLook, silence: Silence) -> int:
    """Add a silence; its id."""
    with look.database.transaction() as connection:
        return silences.add(connection, silence)


def list_silences(look: AlertLook, ended: bool) -> list[dict[str, Any]]:
    """The silences that have not ended, newest first; with ``ended`` those of the last week too."""
    with look.database.reading() as connection:
        found = silences.select(connection, look.now - (ENDED_SHOWN_FOR if ended else 0.0))
        hidden = {s.id: len(_hidden(connection, s.match)) for s in found if s.is_active(look.now)}
    return [
        {
            "id": s.id,
            "state": "pending" if look.now < s.starts_at else "active" if s.is_active(look.now) else "ended",
            "matchers": matching.written(matching.recall(s.match)),
            "starts_at": int(s.starts_at),
            "ends_at": int(s.ends_at),
            "during": list(s.during),
            "author": s.author,
            "comment": s.comment,
            "hides": hidden.get(s.id, 0),
        }
        for s in found
    ]


def expire_silences(look: AlertLook, ids: Sequence[int]) -> int:
    """End silences now; how many had not ended."""
    with look.database.transaction() as connection:
        return silences.expire(connection, ids, look.now)


def preview(look: AlertLook, match: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The firing alerts that a silence with these matchers would hide."""
    with look.database.reading() as connection:
        return [alert_view(alert) for alert in _hidden(connection, match)]


# --- cooldowns ------------------------------------------------------------------------------------------


def set_cooldown(
    look: AlertLook, match: Mapping[str, Sequence[str]], by: Sequence[str], seconds: float, author: str
) -> int:
    """Set a cooldown, which comes before all others; its id. 0 ``seconds`` lifts those after it.

    What was told within its time counts.
    """
    with look.database.transaction() as connection:
        cooling.remember(connection, Cooldown(matching.build(match), tuple(by), seconds), look.now)
        return limits.add_cooldown(connection, StoredCooldown(0, match, tuple(by), seconds, author, look.now))


def remove_cooldowns(look: AlertLook, ids: Sequence[int]) -> int:
    """Take cooldowns back; how many there were."""
    with look.database.transaction() as connection:
        return limits.remove_cooldowns(connection, ids)


def list_cooldowns(look: AlertLook) -> list[dict[str, Any]]:
    """Those set while running, then the configured ones, in the order in which they count."""
    with look.database.reading() as connection:
        stored = limits.stored_cooldowns(connection)
    rows: list[dict[str, Any]] = [
        {
            "id": one.id,
            "matchers": matching.written(matching.recall(one.match)),
            "by": list(one.by),
            "within": one.seconds,
            "author": one.author,
        }
        for one in stored
    ]
    rows += [
        {
            "id": None,
            "matchers": matching.written(matching.build(one.match)),
            "by": list(one.by),
            "within": one.within,
            "author": "the configuration",
        }
        for one in look.settings.cooldowns
    ]
    return rows


def _firing(connection: sa.Connection, ids: Sequence[int]) -> list[Alert]:
    return [a for a in alerts.by_id(connection, sorted(set(ids))).values() if a.state == "firing"]


def _hidden(connection: sa.Connection, match: Mapping[str, Sequence[str]]) -> list[Alert]:
    matchers = matching.recall(match)
    return [alert for alert in alerts.firing(connection) if matching.takes(matchers, alert.labels)]


def _record(
    connection: sa.Connection, look: AlertLook, ids: Sequence[int], kind: str, actor: str, note: str
) -> None:
    history.record(connection, [Transition(i, look.now, kind, BY_HAND, actor, note) for i in ids])
