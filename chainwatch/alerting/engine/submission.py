"""Alerts as other programs send them, merged with those sent before as Alertmanager does: pure.

Source: ``POST /api/v2/alerts`` and ``types.Alert.Merge`` of Prometheus Alertmanager. An alert without an end ends by
itself ``resolve_timeout`` after it was last sent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from chainwatch.alert_model import Alert, Expiry
from chainwatch.alerting.delivery.notification import LAST_TIME
from chainwatch.alerting.policy.lifecycle import fingerprint, normal_annotations, normal_labels
from chainwatch.model import Signal

DEFAULT_SEVERITY = "P2"
"""Of alerts sent without the label ``severity``."""
NOT_SENT_AGAIN = "not sent again"

_SPELLINGS = {
    "labels": "labels",
    "annotations": "annotations",
    "starts_at": "starts_at",
    "startsAt": "starts_at",
    "ends_at": "ends_at",
    "endsAt": "ends_at",
}
_IGNORED = frozenset({"generatorURL", "generator_url"})


class Submission(msgspec.Struct, frozen=True):
    """One alert as sent, with normal labels. Times are Unix seconds, None where none was given.

    ``generator_url``: where its sender shows it, or empty.
    """

    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: float | None = None
    ends_at: float | None = None
    generator_url: str = ""


def parse(alerts: Sequence[Mapping[str, Any]], ended_by: float = math.inf) -> list[Submission]:
    """Parse alerts: ``labels``, ``annotations``, ``starts_at`` and ``ends_at`` as RFC 3339, ``datetime`` or Unix seconds.

    Alertmanager's ``startsAt`` and ``endsAt`` mean the same; its ``generatorURL`` is ignored. A ``datetime`` without a
    zone is UTC. ``ended_by``: when an alert without an end ends by itself. Raises ``ValueError`` for the first invalid
    alert, naming its index.
    """
    found = []
    for place, alert in enumerate(alerts):
        try:
            one = _parse(alert)
            if one.ends_at is None and one.starts_at is not None and one.starts_at > ended_by:
                raise ValueError(
                    "starts_at lies so far ahead that it would end before, when it is not sent again: give ends_at"
                )
            found.append(one)
        except ValueError as error:
            raise ValueError(f"alert {place}: {error}") from None
    return found


def signal_of(
    sent: Submission, known: Alert | None, expiry: Expiry | None, now: float, resolve_timeout: float
) -> tuple[Signal | None, Expiry | None]:
    """Return the signal that ``sent`` is at ``now``, and when its alert ends by itself; None where there is none.

    ``known`` is the newest alert of its fingerprint, ``expiry`` when that one ends by itself. Intervals that overlap are
    merged: the earliest start; of two ends the later, unless that one was only a time-out.
    """
    end = sent.ends_at if sent.ends_at is not None else now + resolve_timeout
    start = sent.starts_at if sent.starts_at is not None else (now if sent.ends_at is None else end)
    overlaps = known is not None and _overlaps(start, end, known.starts_at, _end(known, expiry))
    if known is not None and overlaps:
        start = min(start, known.starts_at)
    if end <= now:
        return _ended(sent, known, start, end, overlaps), None
    timeout = sent.ends_at is None
    if overlaps and expiry is not None and expiry.expires_at > end and not expiry.timeout:
        end = expiry.expires_at
    signal = Signal(sent.labels, round(start, 3), sent.annotations)
    return signal, Expiry(sent.fingerprint, end, timeout, now, sent.generator_url)


def _ended(sent: Submission, known: Alert | None, start: float, end: float, overlaps: bool) -> Signal | None:
    """Return the signal that an alert ended; None for one that was never sent as firing, or had ended already."""
    if known is None:
        return None
    if known.state == "resolved" and (not overlaps or end <= (known.ends_at or 0)):
        return None
    starts_at = known.starts_at if known.state == "resolved" else min(known.starts_at, start)
    return Signal(
        sent.labels,
        round(starts_at, 3),
        sent.annotations,
        round(max(end, starts_at), 3),
        "resolved by its sender",
    )


def _overlaps(start: float, end: float, known_start: float, known_end: float) -> bool:
    return known_start < end < known_end or known_start < start < known_end


def _end(known: Alert, expiry: Expiry | None) -> float:
    if known.ends_at is not None:
        return known.ends_at
    return math.inf if expiry is None else expiry.expires_at


def _parse(alert: Mapping[str, Any]) -> Submission:
    if not isinstance(alert, Mapping):
        raise ValueError(f"expected a table with labels, found {type(alert).__name__}")
    fields: dict[str, Any] = {}
    for key, value in alert.items():
        if key not in _IGNORED:
            if key not in _SPELLINGS:
                raise ValueError(f"unknown key {key!r}; expected {', '.join(_SPELLINGS)}")
            fields[_SPELLINGS[key]] = value
    labels = _pairs(fields, "labels")
    labels = {name: value for name, value in labels.items() if value}  # an empty label is none
    given = {"severity": DEFAULT_SEVERITY, **labels}
    labels = normal_labels(given)
    annotations = normal_annotations(_pairs(fields, "annotations"), given)
    starts_at, ends_at = (_time(fields, key) for key in ("starts_at", "ends_at"))
    if starts_at is not None and ends_at is not None and ends_at < starts_at:
        raise ValueError("ends_at lies before starts_at")
    return Submission(fingerprint(labels), labels, annotations, starts_at, ends_at)


def _pairs(fields: Mapping[str, Any], key: str) -> dict[str, str]:
    pairs = fields.get(key) or {}
    if not isinstance(pairs, Mapping):
        raise ValueError(f"{key}: expected a table of text to text, found {type(pairs).__name__}")
    for name, value in pairs.items():
        for text in (name, value):
            if not isinstance(text, str):
                kind = type(text).__name__
                raise ValueError(f"{key}: expected a table of text to text, found {kind} at {name!r}")
            if not text.isascii():
                _check_encodable(text, f"{key}: {name!r}")
    return dict(pairs)


def _check_encodable(text: str, where: str) -> None:
    """Raise ``ValueError`` for half of a surrogate pair: no database and no message can hold it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{where}: no Unicode text, {error.reason} at {error.start}") from None


def _time(fields: Mapping[str, Any], key: str) -> float | None:
    value = fields.get(key)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        if value is not None and not 0 <= value < 1e11:
            raise ValueError(f"{key}: expected Unix seconds, found {value!r}")
        return value
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(
                f"{key}: expected a time such as 2026-01-31T12:00:00Z, found {value!r}"
            ) from None
    if not isinstance(value, datetime):
        raise ValueError(f"{key}: expected a time, found {type(value).__name__}")
    if value.year == 1:
        return None  # Go's way of saying "no time"
    return min((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp(), float(LAST_TIME))
