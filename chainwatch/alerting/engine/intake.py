"""Signals and alerts of other programs, prepared for the alert engine inside the caller's transaction.

An alert that another program sends ends by itself unless it is sent again; a row beside it says when.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Alert, Expiry
from chainwatch.alerting.engine.submission import NOT_SENT_AGAIN, Submission, signal_of
from chainwatch.alerting.policy.lifecycle import fingerprint, normal_annotations, normal_labels
from chainwatch.model import Signal
from chainwatch.store.alerting import alerts, expiries
from chainwatch.support.printable import clean

_PROSE = ("summary", "description")

EXPIRED_AT_ONCE = 1_000
"""The most alerts that expire in one transaction."""


class Taken(msgspec.Struct, frozen=True):
    """Signals with normal labels, their fingerprints in the same order, and the newest alerts of these before them."""

    signals: Sequence[Signal]
    prints: Sequence[str]
    known: Mapping[str, Alert]


NOTHING = Taken((), (), {})


def recognized(connection: sa.Connection, signals: Sequence[Signal]) -> Taken:
    """Return chainwatch's own signals with their newest alerts. Raises ``ValueError`` for invalid labels.

    Summaries and descriptions become one line each, whatever a chain or a node has put into them.
    """
    if not signals:
        return NOTHING
    normal = [_normal(signal) for signal in signals]
    prints = [fingerprint(signal.labels) for signal in normal]
    return Taken(normal, prints, alerts.newest(connection, prints))


def _normal(signal: Signal) -> Signal:
    labels = normal_labels(signal.labels)
    one_line = {name: clean(signal.annotations[name]) for name in _PROSE if name in signal.annotations}
    annotations = signal.annotations and normal_annotations({**signal.annotations, **one_line}, signal.labels)
    return msgspec.structs.replace(signal, labels=labels, annotations=annotations)


def rounds(sent: Sequence[Submission]) -> Iterator[dict[str, Submission]]:
    """Yield ``sent`` in rounds by fingerprint: an alert that was sent twice is in two rounds, in the order it was sent."""
    waiting = list(sent)
    while waiting:
        first: dict[str, Submission] = {}
        for one in waiting:
            first.setdefault(one.fingerprint, one)
        yield first
        waiting = [one for one in waiting if first[one.fingerprint] is not one]


def take(
    connection: sa.Connection, sent: Mapping[str, Submission], now: float, resolve_timeout: float
) -> Taken:
    """Return one round of alerts sent at ``now`` as signals; stores when each of them ends by itself.

    ``resolve_timeout``: seconds after which one without an end of its own ends.
    """
    known = alerts.newest(connection, sent)
    ending = expiries.find(connection, list(known))
    signals: dict[str, Signal] = {}
    kept: list[Expiry] = []
    settled: list[str] = []
    for print_, submission in sent.items():
        signal, expiry = signal_of(submission, known.get(print_), ending.get(print_), now, resolve_timeout)
        if signal is not None:
            signals[print_] = signal
        if expiry is not None:
            kept.append(expiry)
        elif print_ in ending:
            settled.append(print_)
    expiries.save(connection, kept)
    expiries.delete(connection, settled)
    return Taken(list(signals.values()), list(signals), known)


def expired(connection: sa.Connection, now: float) -> Taken:
    """Return the ends of up to ``EXPIRED_AT_ONCE`` alerts that were not sent again by ``now``."""
    due = expiries.due(connection, now, EXPIRED_AT_ONCE)
    known = alerts.newest(connection, [expiry.fingerprint for expiry in due])
    expiries.delete(connection, [expiry.fingerprint for expiry in due])
    ended = {
        e.fingerprint: known[e.fingerprint].signal(round(e.expires_at, 3), NOT_SENT_AGAIN)
        for e in due
        if e.fingerprint in known and known[e.fingerprint].state != "resolved"
    }
    return Taken(list(ended.values()), list(ended), known)
