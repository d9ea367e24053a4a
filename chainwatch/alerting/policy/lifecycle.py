"""An alert's life, pending → firing → resolved: the next state from the newest alert of a condition and one signal. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from chainwatch.alert_model import Alert
from chainwatch.model import SEVERITIES, SEVERITY_NAMES, Signal
from chainwatch.support.bounds import ANNOTATION_MAX, LABEL_MAX, cut, cut_labels

WHOLE = "_whole"
"""The suffix of the annotation that has the whole value of a label that was cut."""


def normal_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels with ``severity`` as ``P0`` … ``P3`` and values of at most ``bounds.LABEL_MAX`` bytes.

    Raises ``ValueError`` where ``alertname`` is missing or the severity is unknown. An alert that another program sent
    without a name has an empty one.
    """
    if "alertname" not in labels:
        raise ValueError(f"an alert needs the label alertname; it has {sorted(labels)}")
    severity = SEVERITY_NAMES.get(labels.get("severity", "").lower())
    if severity is None:
        raise ValueError(
            f"alert {labels['alertname']}: severity {labels.get('severity')!r} is none of "
            f"{', '.join(SEVERITIES)} or {', '.join(SEVERITY_NAMES)}"
        )
    return cut_labels(labels) | {"severity": severity}


def normal_annotations(annotations: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, str]:
    """Return the annotations, and the whole value of every label that is cut as ``LABEL_whole``.

    Each has at most ``bounds.ANNOTATION_MAX`` bytes.
    """
    whole = {f"{name}{WHOLE}": value for name, value in labels.items() if cut(value, LABEL_MAX) is not value}
    return {name: cut(value, ANNOTATION_MAX) for name, value in {**annotations, **whole}.items()}


def fingerprint(labels: Mapping[str, str]) -> str:
    """Return what identifies a condition: 16 hex digits over its labels, whatever their order."""
    text = "".join([f"{name}\xff{labels[name]}\xff" for name in sorted(labels)])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def transition(known: Alert | None, signal: Signal, print_: str, now: float) -> Alert:
    """Return the alert after ``signal``, which came at ``now`` (Unix seconds).

    ``known`` is the newest alert of its condition, ``print_`` the fingerprint of the signal's labels, which are normal
    ones. Returns ``known`` itself when nothing changes, and an alert with id 0 when an episode begins: the condition
    fires, or a signal with an end reports one that began and ended unseen.
    """
    if known is None or _is_another_episode(known, signal):
        return _begin(signal, print_, now)
    after = msgspec.structs.replace(
        known,
        annotations=dict(signal.annotations) or known.annotations,
        starts_at=signal.starts_at,
        ends_at=signal.ends_at,
    )
    if signal.ends_at is not None:
        after = msgspec.structs.replace(
            after,
            state="resolved",
            reason=signal.reason,
            resolved_at=now if known.state != "resolved" else known.resolved_at,
        )
    return known if after == known else after


def _is_another_episode(known: Alert, signal: Signal) -> bool:
    if known.state != "resolved":
        return False
    return signal.ends_at is None or signal.starts_at != known.starts_at


def _begin(signal: Signal, print_: str, now: float) -> Alert:
    ended = signal.ends_at is not None
    return Alert(
        id=0,
        fingerprint=print_,
        labels=dict(signal.labels),
        annotations=dict(signal.annotations),
        starts_at=signal.starts_at,
        raised_at=now,
        state="resolved" if ended else "firing",
        ends_at=signal.ends_at,
        reason=signal.reason if ended else "",
        resolved_at=now if ended else None,
        source=signal.source,
    )
