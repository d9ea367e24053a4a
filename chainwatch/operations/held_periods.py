"""For how long an alert was muted, by receiver: read from its history."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from chainwatch.alert_model import Alert, Transition
from chainwatch.config import format_duration
from chainwatch.store.alerting.outbox import QueuedNotification


class HeldPeriod(msgspec.Struct):
    """What muted an alert for a receiver: ``why`` in a word or two, ``detail`` by what; ``until`` is None while it does.

    ``missed``: the alert was resolved by then, and was never sent.
    """

    why: str
    detail: str
    since: float
    until: float | None = None
    missed: bool = False


def held_periods(
    happened: Sequence[Transition], sent: Sequence[QueuedNotification], alert: Alert
) -> dict[str, list[HeldPeriod]]:
    """Return the periods by receiver, in order. An alert over a rate limit is held until its summary is queued."""
    found: dict[str, list[HeldPeriod]] = {}
    for one in happened:
        if one.receiver is None or one.kind not in ("held", "released", "not notified"):
            continue
        periods = found.setdefault(one.receiver, [])
        last = periods[-1] if periods and periods[-1].until in (None, one.at) else None
        if one.kind == "not notified" and last is None:  # nothing but its group's wait
            last = HeldPeriod(one.cause, one.note, alert.raised_at)
            periods.append(last)
        if last is not None:
            last.until, last.missed = one.at, one.kind == "not notified"
        if one.kind == "held":
            periods.append(HeldPeriod(one.cause, one.note, one.at))
    for receiver, periods in found.items():
        if periods and periods[-1].until is None:
            queued = (n.created_at for n in sent if n.receiver == receiver)
            periods[-1].until = next((at for at in queued if at >= periods[-1].since), None)
    return found


def worded(period: HeldPeriod, now: float) -> str:
    """Return a period as text, as ``silenced: by silence 1 of ann, for 10m``."""
    lasted = max(0, round((now if period.until is None else period.until) - period.since))
    return f"{period.why}: {period.detail}, for {format_duration(lasted)}"
