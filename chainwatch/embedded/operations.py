"""Operators' actions and queries, as methods of the library's ``AlertManager``: the same operations as the commands'.

An alert is named by its ID, or by its fingerprint, which stands for the newest alert that has it. Times are Unix seconds,
lengths of time seconds. Results are what the commands print with ``--json``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa

from chainwatch.operations import (
    alert_actions,
    alert_details,
    explanations,
    incidents,
    reports,
    rota,
    silencing,
)
from chainwatch.operations.context import Access, Context
from chainwatch.operations.errors import NotFound
from chainwatch.operations.paging import Page
from chainwatch.operations.views import Changed, builtins

P = ParamSpec("P")
T = TypeVar("T")


class Rows(list[T]):
    """A page of a list. ``next``: what to give as ``after`` for the next page; None at the list's end."""

    def __init__(self, page: Page[T]) -> None:
        super().__init__(page.rows)
        self.next = page.next


class Operations(ABC):
    """Methods that run operations through ``_access``."""

    @abstractmethod
    def _access(self) -> Access:
        """Return the database, with the configuration in use."""

    # --- alerts -------------------------------------------------------------------------------------------

    def acknowledge(self, alert: int | str, by: str, note: str = "", until: float | None = None) -> bool:
        """Acknowledge a firing alert until ``until`` (default: until it is resolved); False where it does not fire.

        Raises ``ValueError`` for an ``until`` that is over.
        """
        return self._change(alert, alert_actions.acknowledge, by, note, until=until)

    def unacknowledge(self, alert: int | str, by: str = "") -> bool:
        """Drop an acknowledgement, so that the alert is sent again; False where there is none."""
        return self._change(alert, alert_actions.unacknowledge, by)

    def show(self, alert: int | str) -> dict[str, Any] | None:
        """Return one alert, how often it was raised again, and its acknowledgement; None where there is no such alert."""
        found: dict[str, Any] | None = self._about(alert, alert_details.show)
        return found

    def history(
        self, alert: int | str, limit: int = 1_000, after: str | None = None
    ) -> Rows[dict[str, Any]] | None:
        """Return what happened to an alert, oldest first; None where there is no such alert.

        ``after``: ``next`` of the page before. Raises ``ValueError``.
        """
        page = self._about(alert, alert_details.list_history, limit=limit, after=after)
        return None if page is None else Rows(Page(**page))

    def explain(self, alert: int | str) -> dict[str, Any] | None:
        """Return for every receiver whether it was notified of an alert, and why or why not; None for an unknown alert."""
        found: dict[str, Any] | None = self._about(alert, explanations.explain)
        return found

    def get_alert_stats(self) -> dict[str, Any]:
        """Return how many alerts are stored, and how long people and alerts took, in seconds from the starts of alerts.

        ``total``, ``by_state``, ``by_severity``, ``by_type`` (the label ``alertname``): numbers. ``acknowledged``,
        ``mean_time_to_acknowledge``, ``resolved``, ``mean_time_to_resolve``: of all, and for each type and severity in the
        list ``by_type_and_severity``; a mean is None where there is nothing to take it of. ``notifications``: by status.
        """
        found: dict[str, Any] = builtins(self._access().read(reports.alert_totals))
        return found

    # --- silences -----------------------------------------------------------------------------------------

    def add_silence(
        self,
        match: Mapping[str, str | Sequence[str]],
        ends_at: float,
        *,
        starts_at: float | None = None,
        author: str = "",
        comment: str = "",
    ) -> int:
        """Silence alerts that ``match`` matches (as in a route) from ``starts_at`` (default: now) until ``ends_at``.

        Returns the silence's number. Silenced alerts that still fire when the silence ends are sent then. Raises
        ``ValueError`` for no label at all, an invalid pattern, or an end that is not after the start and in the future.
        """
        added = self._access().write(
            silencing.add_silence, match, author, comment, starts_at=starts_at, ends_at=ends_at
        )
        return added.id

    def silences(
        self, *, ended: bool = False, limit: int = 100, after: str | None = None
    ) -> Rows[dict[str, Any]]:
        """Return silences, newest first; with ``ended`` those that ended within a week too.

        ``after``: ``next`` of the page before. Raises ``ValueError``.
        """
        return self._rows(silencing.list_silences, ended=ended, limit=limit, after=after)

    def end_silence(self, number: int) -> bool:
        """End a silence now; False where it has ended before, or there is none."""
        return bool(self._access().write(silencing.expire_silences, [number]).done)

    # --- incidents ----------------------------------------------------------------------------------------

    def incidents(
        self,
        *,
        is_open: bool = False,
        since: float | None = None,
        until: float | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Rows[dict[str, Any]]:
        """Return incidents, newest first, opened from ``since`` until just before ``until``; ``is_open``: only open ones.

        ``after``: ``next`` of the page before. Raises ``ValueError``.
        """
        return self._rows(
            incidents.list_incidents, is_open=is_open, since=since, until=until, limit=limit, after=after
        )

    def incident(self, number: int) -> dict[str, Any]:
        """Return one incident with its alerts and its timeline. Raises ``LookupError``."""
        found: dict[str, Any] = builtins(self._access().read(incidents.show_incident, number))
        return found

    def add_note(self, incident: int, author: str, text: str) -> None:
        """Add a person's note to an incident's timeline. Raises ``LookupError``, and ``ValueError`` for an empty note."""
        self._access().write(incidents.add_note, incident, author, text)

    # --- people -------------------------------------------------------------------------------------------

    def on_call(self, *schedules: str, at: float | None = None) -> list[dict[str, Any]]:
        """Return who is on call at ``at`` (default: now), in all schedules or those named. Raises ``LookupError``."""
        found: list[dict[str, Any]] = builtins(self._access().read(rota.on_call, schedules, at))
        return found

    def next_on_call(self, *schedules: str, at: float | None = None, number: int = 5) -> list[dict[str, Any]]:
        """Return the next ``number`` handoffs, 1 to 100, of each schedule. Raises ``LookupError`` and ``ValueError``."""
        found: list[dict[str, Any]] = builtins(self._access().read(rota.next_on_call, schedules, at, number))
        return found

    def add_override(
        self, schedule: str, person: str, starts_at: float, ends_at: float, author: str = ""
    ) -> int:
        """Put ``person`` on call for a time, overriding the schedule's layers; the override's number.

        Raises ``LookupError``, and ``ValueError`` for an end that is not after the start.
        """
        added = self._access().write(
            rota.add_override, schedule, person, author, starts_at=starts_at, ends_at=ends_at
        )
        return added.id

    def remove_override(self, number: int) -> None:
        """Remove an override. Raises ``LookupError``."""
        self._access().write(rota.remove_override, number)

    # --- running operations ---------------------------------------------------------------------------------

    def _rows(
        self,
        operation: Callable[Concatenate[sa.Connection, Context, float, P], Page[Any]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Rows[dict[str, Any]]:
        page = self._access().read(operation, *args, **kwargs)
        return Rows(Page(builtins(page.rows), page.next))

    def _about(self, alert: int | str, operation: Callable[..., Any], **more: Any) -> Any:
        """Return the operation's result about ``alert``; None where there is no such alert."""
        access = self._access()
        try:
            return builtins(access.read(operation, self._id(access, alert), **more))
        except NotFound:
            return None

    def _change(self, alert: int | str, operation: Callable[..., Changed], *args: Any, **more: Any) -> bool:
        """Return whether the operation changed ``alert``."""
        access = self._access()
        try:
            return bool(access.write(operation, [self._id(access, alert)], *args, **more).done)
        except NotFound:
            return False

    @staticmethod
    def _id(access: Access, alert: int | str) -> int:
        return alert if isinstance(alert, int) else access.read(alert_details.newest, alert)
