"""The types of alerting: alerts, groups, silences, acknowledgements, incidents.

`chainwatch.model` has those of transfers. Immutable. The engine and the policies decide by these types,
`store/alerting` keeps them as rows; so this module lies beneath both. Times are Unix seconds: chain time in an alert's
``starts_at`` and ``ends_at`` where it is about a chain, this machine's elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from chainwatch.model import RULE, SENT_SEVERITY, Signal, Source

ITSELF = "chainwatch"
"""The actor of changes made by a policy."""
REORG = "reorg"
"""The reason of an alert's end where the block that it was about is gone."""

# --- alerts -------------------------------------------------------------------------------------------

State = Literal["pending", "firing", "resolved"]
Audience = Literal["routed", "unrouted", "quiet"]
"""Whether an alert goes to a receiver, has no route, or is recorded without notifications."""


class Alert(msgspec.Struct, frozen=True):
    """One episode of a condition, from its start to its end. A condition that returns is another alert.

    ``id`` is 0 until it is stored; ``reason`` says why it ended; ``raised_at`` and ``resolved_at`` are when this
    process noticed its start and end.
    """

    id: int
    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: float
    raised_at: float
    state: State = "firing"
    audience: Audience = "routed"
    ends_at: float | None = None
    reason: str = ""
    resolved_at: float | None = None
    source: Source = "external"

    @property
    def name(self) -> str:
        """The label ``alertname``."""
        return self.labels["alertname"]

    @property
    def severity(self) -> str:
        """``P0`` … ``P3``."""
        return self.labels["severity"]

    @property
    def failing_receiver(self) -> str:
        """The receiver that it is about; empty for all other alerts."""
        return self.labels.get("receiver", "") if self.source == "receiver" else ""

    def signal(self, ends_at: float | None = None, reason: str = "") -> Signal:
        """Return the signal that its condition holds or, with ``ends_at`` (not before its start), that it ended."""
        end = None if ends_at is None else max(self.starts_at, ends_at)
        return Signal(self.labels, self.starts_at, self.annotations, end, reason, self.source)


def sent_labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    """Return an alert's labels as its sender or rule wrote them: with that severity, and without empty ones."""
    severity = labels.get(SENT_SEVERITY)
    if severity is None and labels.get("alertname") != "" and RULE not in labels:
        return labels
    sent = {name: value for name, value in labels.items() if value and name not in (SENT_SEVERITY, RULE)}
    if severity:
        sent["severity"] = severity
    elif severity is not None:
        sent.pop("severity", None)
    return sent


class Expiry(msgspec.Struct, frozen=True):
    """The alert with this fingerprint ends at ``expires_at`` unless it is sent again.

    ``timeout``: its sender named no end, so it ends a time-out after it was last sent, which was at ``sent_at``.
    ``generator_url``: where its sender shows it, or empty.
    """

    fingerprint: str
    expires_at: float
    timeout: bool
    sent_at: float = 0.0
    generator_url: str = ""


class Timer(msgspec.Struct, frozen=True):
    """At ``due_at`` the alert fires (``fire``: it is pending) or ends (``end``), with the end and reason given."""

    alert_id: int
    kind: Literal["fire", "end"]
    due_at: float
    ends_at: float | None = None
    reason: str = ""


class Transition(msgspec.Struct, frozen=True):
    """One entry of an alert's history: ``kind`` happened because of ``cause``, done by ``actor``.

    ``receiver`` where it concerns one receiver only.
    """

    alert_id: int
    at: float
    kind: str
    cause: str = ""
    actor: str = ITSELF
    note: str = ""
    receiver: str | None = None


# --- groups -------------------------------------------------------------------------------------------


class Group(msgspec.Struct, frozen=True):
    """Alerts that one receiver is notified of together, by one route. ``flush_at`` is when it is flushed next.

    ``flushed_at`` is the last flush, from which the intervals count; ``sent_at`` when the last notification was queued.
    """

    id: int
    key: str
    receiver: str
    route: str
    labels: Mapping[str, str]
    flush_at: float
    flushed_at: float | None = None
    sent_at: float | None = None


MemberId: TypeAlias = tuple[int, int]
"""A group's id and the id of an alert in it."""


class Member(msgspec.Struct, frozen=True):
    """An alert in a group. ``notified``: the group's receiver was notified that it fires; ``quiet``: it need not be.

    ``suppressed``: a policy prevents its notification now; ``released``: one did until now. ``renotify``: it is to be
    notified once more. ``unseen_for``: seconds that an alert lasted that ended before this process noticed it.
    """

    alert_id: int
    fingerprint: str
    state: State
    notified: bool
    quiet: bool = False
    suppressed: bool = False
    released: bool = False
    renotify: bool = False
    severity: str = ""
    labels_text: str = "{}"
    source: Source = "external"
    unseen_for: float | None = None

    @property
    def labels(self) -> dict[str, str]:
        """The alert's labels, decoded when asked for."""
        return _from_json(self.labels_text)


# --- what prevents notifications ----------------------------------------------------------------------


class Suppression(msgspec.Struct, frozen=True):
    """Why a receiver is not notified of an alert now: ``reason`` in a word or two (``silenced``), ``detail`` by what.

    ``silence_id`` is the silence, where it is one.
    """

    reason: str
    detail: str = ""
    silence_id: int | None = None


class Silence(msgspec.Struct, frozen=True):
    """No notifications from ``starts_at`` until ``ends_at`` for alerts that ``match`` takes, within ``during``.

    ``match`` is label → values as in the configuration; in its place, ``tests`` (name, operator, value) are those of a
    silence that came by Alertmanager's API. ``during`` names intervals, none for all the time. ``warn_before``: seconds
    before its end at which a warning is raised if it suppresses an alert, 0 for none.
    """

    match: Mapping[str, Sequence[str]]
    starts_at: float
    ends_at: float
    author: str
    comment: str
    created_at: float
    during: tuple[str, ...] = ()
    warn_before: float = 0.0
    id: int = 0
    tests: tuple[tuple[str, str, str], ...] = ()

    def is_active(self, now: float) -> bool:
        """Return whether ``now`` lies between its start and its end."""
        return self.starts_at <= now < self.ends_at


class Acknowledgement(msgspec.Struct, frozen=True):
    """``actor`` works on the alert since ``at``, until ``until`` (None: until the alert ends).

    ``severity`` is that of the alert at the time; ``reminded_at`` is the last reminder, ``at`` before the first.
    """

    alert_id: int
    actor: str
    at: float
    note: str
    until: float | None
    severity: str
    reminded_at: float


class StoredCooldown(msgspec.Struct, frozen=True):
    """A cooldown that an operator has set; ``seconds`` 0 lifts a configured one."""

    id: int
    match: Mapping[str, Sequence[str]]
    by: tuple[str, ...]
    seconds: float
    author: str
    created_at: float


RateStream: TypeAlias = tuple[str, str, str]
"""What a rate limit counts together: a receiver, a severity, and what the alerts count as (`rate_limits.counted_as`)."""


class RateWindow(msgspec.Struct, frozen=True):
    """How many notifications of a stream were sent since ``started_at``."""

    started_at: float
    sent: int


# --- incidents and escalation -------------------------------------------------------------------------

EntryKind = Literal["note", "started", "step", "skipped", "stopped", "ended", "raised"]


class Incident(msgspec.Struct, frozen=True):
    """The alerts of one group, from the first start to the last end; ``ended_at`` is None while one of them fires."""

    id: int
    key: str
    route: str
    labels: Mapping[str, str]
    opened_at: float
    ended_at: float | None = None


class Entry(msgspec.Struct, frozen=True):
    """What happened to an incident as a whole; ``receiver`` is the one that a step notified."""

    incident_id: int
    at: float
    kind: EntryKind
    actor: str
    text: str
    receiver: str | None = None


class Unacknowledged(msgspec.Struct, frozen=True):
    """A firing alert of an incident that nobody has acknowledged."""

    alert_id: int
    labels: Mapping[str, str]
    """With the severity to which it was raised, where it was."""

    @property
    def severity(self) -> str:
        """``P0`` … ``P3``."""
        return self.labels["severity"]


class Escalation(msgspec.Struct, frozen=True):
    """An incident's escalation by ``policy``, JSON as it was at the start.

    ``round`` and ``step`` (from 0) are due at ``due_at``, None when all are done. It is stopped since ``stopped_at``
    while every alert is acknowledged, suppressed or over; ``due_at`` is then when that is checked again.
    """

    incident_id: int
    policy: str
    round: int
    step: int
    started_at: float
    due_at: float | None
    stopped_at: float | None = None


class StoredOverride(msgspec.Struct, frozen=True):
    """``person`` is on call in ``schedule`` from ``starts_at`` until just before ``ends_at``."""

    id: int
    schedule: str
    person: str
    starts_at: int
    ends_at: int
    author: str
    created_at: float


_from_json = msgspec.json.Decoder(dict[str, str]).decode
