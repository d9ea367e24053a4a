"""What operators do about alerts and ask, as methods of the library's ``AlertManager``: the operations of the commands.

An alert is named by its id, or by its fingerprint, which stands for the newest alert that has it. Times are Unix seconds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from chainwatch.operations import (
    alert_actions as attending,
)
from chainwatch.operations import (
    explanations as explaining,
)
from chainwatch.operations import (
    reports as reviewing,
)
from chainwatch.operations import (
    rota,
)
from chainwatch.operations.alert_context import AlertLook
from chainwatch.store.alerting import alerts


class Operations(ABC):
    """Methods over whatever ``_look`` gives. What they return is what the commands print with ``--json``."""

    @abstractmethod
    def _look(self) -> AlertLook:
        """Alerts, configuration and the clock's value, as they are now."""

    # --- alerts -------------------------------------------------------------------------------------------

    def acknowledge(self, alert: int | str, by: str, note: str = "", until: float | None = None) -> bool:
        """Let a firing alert be ``by``'s until ``until`` (default: until it ends); False where it does not fire."""
        look, found = self._find(alert)
        return bool(found) and not attending.acknowledge(look, found, by, note, until)

    def unacknowledge(self, alert: int | str, by: str = "") -> bool:
        """Let an alert be nobody's again, so that it is told again; False where it was nobody's."""
        look, found = self._find(alert)
        return bool(found) and not attending.give_back(look, found, by)

    def show(self, alert: int | str) -> dict[str, Any] | None:
        """One alert, how often it was raised again, and whose it is; None where there is none."""
        look, found = self._find(alert)
        return explaining.show(look, found[0]) if found else None

    def history(self, alert: int | str) -> list[dict[str, Any]] | None:
        """Everything that happened to an alert, oldest first; None where there is none."""
        look, found = self._find(alert)
        return explaining.history_of(look, found[0]) if found else None

    def explain(self, alert: int | str) -> dict[str, Any] | None:
        """For every receiver whether it was told of an alert, and why or why not; None where there is none."""
        look, found = self._find(alert)
        return explaining.explain(look, found[0]) if found else None

    def get_alert_stats(self) -> dict[str, Any]:
        """How many alerts are kept, and how long people and alerts took, in seconds from the starts of alerts.

        ``total``, ``by_state``, ``by_severity``, ``by_type`` (the label ``alertname``): numbers. ``acknowledged``,
        ``mean_time_to_acknowledge``, ``resolved``, ``mean_time_to_resolve``: of all, and for each type and severity in the
        list ``by_type_and_severity``; a mean is None where there is nothing to take it of. ``notifications``: by status.
        """
        return reviewing.alerts_kept(self._look())

    # --- incidents ----------------------------------------------------------------------------------------

    def incidents(
        self, *, is_open: bool = False, since: int | None = None, until: int | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Incidents, newest first, opened from ``since`` until just before ``until``; ``is_open``: no ended ones."""
        return reviewing.list_incidents(self._look(), is_open=is_open, since=since, until=until, limit=limit)

    def incident(self, number: int) -> dict[str, Any]:
        """One incident with its alerts and its timeline. Raises ``LookupError``."""
        return reviewing.incident(self._look(), number)

    def add_note(self, incident: int, author: str, text: str) -> None:
        """Put a person's note into an incident's timeline. Raises ``LookupError``."""
        reviewing.add_note(self._look(), incident, author, text)

    # --- people -------------------------------------------------------------------------------------------

    def on_call(self, *schedules: str, at: float | None = None) -> list[dict[str, Any]]:
        """Who is on call at ``at`` (default: now), by all schedules or those named. Raises ``LookupError``."""
        look = self._look()
        moment = look.now if at is None else at
        return rota.now(rota.stored(look, moment), schedules, moment)

    def next_on_call(self, *schedules: str, at: float | None = None, number: int = 5) -> list[dict[str, Any]]:
        """The next ``number`` handoffs of each schedule. Raises ``LookupError``."""
        look = self._look()
        moment = look.now if at is None else at
        return rota.upcoming(rota.stored(look, moment), schedules, moment, number)

    def add_override(
        self, schedule: str, person: str, starts_at: float, ends_at: float, author: str = ""
    ) -> int:
        """Put ``person`` on call for a time, whatever the schedule says; the override's id. Raises ``LookupError``."""
        return rota.override(self._look(), schedule, person, int(starts_at), int(ends_at), author)

    def remove_override(self, number: int) -> None:
        """Take an override back. Raises ``LookupError``."""
        rota.remove(self._look(), number)

    def _find(self, alert: int | str) -> tuple[AlertLook, Sequence[int]]:
        """The id of the alert; none where there is no such alert."""
        look = self._look()
        with look.database.reading() as connection:
            if isinstance(alert, int):
                return look, list(alerts.by_id(connection, [alert]))
            newest = alerts.newest(connection, [alert]).get(alert)
        return look, [] if newest is None else [newest.id]
