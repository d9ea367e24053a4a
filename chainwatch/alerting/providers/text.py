"""The parts of a notification as text for people, for every channel: a headline, facts in a fixed order, times.

All functions return single lines of printable characters; ``markdown`` escapes them for channels with Markdown, ``plain``
for channels that make links of whatever looks like an address.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from chainwatch.alerting.delivery.notification import LAST_TIME, Notification, NotifiedAlert
from chainwatch.grammar.durations import span
from chainwatch.model import RULE, SENT_SEVERITY
from chainwatch.presentation.presenter import NETWORK_OF, Shown
from chainwatch.support.printable import clean

PROSE = ("summary", "description", "runbook_url")
"""Annotations that are not facts of their own."""

NO_NAME = "(no name)"
"""In place of the name of an alert that another program sent without one."""

STORM = 20
"""Alerts of one notification from which on it is a storm: an overview precedes them."""
WAYS_SHOWN = 8

FACT_MAX = 1_000
"""Characters of a fact that are shown."""

LINES_MAX = 20
"""Lines of a description after the first that are shown."""

EMOJI = {"P0": "\U0001f6a8", "P1": "\u26a0\ufe0f", "P2": "\u26a1", "P3": "\u2139\ufe0f"}
"""By severity, for channels that show emoji."""
RESOLVED_EMOJI = "\u2705"

_MARKDOWN = re.compile(
    r"[\\*_~`|>#\[\]<]|(?<=\])\("  # emphasis, code, spoilers, headings, links, mentions
    r"|:(?=/|[\w+-]{0,64}[^\W\d][\w+-]{0,64}:|100:|1234:)"  # addresses, and names of emoji
    r"|\.(?=[^\W\d])|(?<=[wW]{3})\."  # addresses and invites without a scheme
    r"|^\s*(?:[-+=]|\d+[.)])"  # lists
)


_LINKABLE = re.compile(r"://|@|(?<=\S)\.(?=[^\W\d_]{2})")
"""What makes mail programs and others turn text into a link: addresses with a scheme, mailboxes, names of hosts."""


def markdown(text: str) -> str:
    """Escape ``text`` for one line of Markdown, Discord's too: it is shown as it is, without markup, links or mentions.

    ``@`` becomes its full-width form, since no escape prevents every mention.
    """
    return _MARKDOWN.sub(_escaped, clean(text)).replace("@", "\uff20")


def plain(text: str) -> str:
    """Return ``text`` on one line, with addresses of the web and of mailboxes written so that no program links to them."""
    return _LINKABLE.sub(_unlinked, clean(text))


def _unlinked(match: re.Match[str]) -> str:
    return {"://": "[:]//", ".": "[.]", "@": "\uff20"}[match[0]]


def _escaped(match: re.Match[str]) -> str:
    """Return the match with its last character escaped: that one makes a list or a heading of it."""
    return f"{match[0][:-1]}\\{match[0][-1]}"


def emoji(alert: NotifiedAlert) -> str:
    """Return the emoji of an alert as it stands: of its severity while it fires."""
    return EMOJI.get(alert.severity, EMOJI["P3"]) if alert.status == "firing" else RESOLVED_EMOJI


def units(text: str) -> int:
    """Return the length of ``text`` in UTF-16 units, as most channels count it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def within(lines: Iterable[str], limit: int, joint: str = "\n") -> str:
    """Return ``lines``, joined, up to the last one with which they take no more than ``limit`` UTF-16 units."""
    kept: list[str] = []
    left = limit
    for line in lines:
        left -= units(line) + (units(joint) if kept else 0)
        if left < 0:
            break
        kept.append(line)
    return joint.join(kept)


def cut(text: str, limit: int) -> str:
    """Return plain ``text`` in at most ``limit`` UTF-16 units; where it is cut it ends with ``…``."""
    if units(text) <= limit:
        return text
    kept = text.encode("utf-16-le", "surrogatepass")[: 2 * max(0, limit - 1)]
    return kept.decode("utf-16-le", "ignore") + "…"


def headline(notification: Notification) -> str:
    """Return one line, as ``FIRING 3, RESOLVED 1: TransferOverdue (destination=optimism)``."""
    counts = [
        f"{word} {len(alerts)}"
        for word, alerts in (("FIRING", notification.firing), ("RESOLVED", notification.resolved))
        if alerts
    ]
    kind = {"digest": "DIGEST ", "limited": "SUMMARY "}.get(notification.kind, "")
    return f"{kind}{', '.join(counts) or 'nothing'}: {title(notification)}"


def title(notification: Notification) -> str:
    """Return what the group is about, as ``TransferOverdue (destination=optimism)``, whatever fires in it."""
    labels = dict(notification.group_labels)
    name = labels.pop("alertname", None) or notification.common_labels.get("alertname", "several alerts")
    about = ", ".join(f"{k}={v}" for k, v in labels.items())
    return clean(f"{name}{f' ({about})' if about else ''}")


def overview(notification: Notification) -> list[str]:
    """Return the lines before the alerts: the note, and for a storm or summary counts, the oldest and the largest alert."""
    lines = [notification.note] if notification.note else []
    if notification.kind == "digest" and not notification.alerts:
        lines.append("Nothing new since the last digest.")
    if notification.kind == "limited":
        over_limit = [*notification.firing, *notification.resolved]
        names = _counted(alert.name for alert in over_limit)
        lines.append(f"And {len(over_limit)} more: {names}. They were over the rate limit.")
    if over := sum(alert.is_over for alert in notification.alerts):
        lines.append(f"{over} of these began and ended before a notification could be sent.")
    if len(notification.alerts) > STORM:
        lines += _storm(notification)
    return [clean(line) for line in lines]


def _storm(notification: Notification) -> list[str]:
    alerts = notification.firing or notification.resolved
    oldest = min(alerts, key=lambda alert: alert.starts_at)
    lines = [
        f"By severity: {_counted(alert.severity for alert in alerts)}",
        f"By route: {_counted(place(alert) for alert in alerts)}",
        f"Oldest: {_short(oldest)}, since {when(oldest.starts_at)}",
    ]
    amounts = [a for a in alerts if re.fullmatch("[0-9]{1,78}", a.annotations.get("amount", ""))]
    if amounts:
        largest = max(amounts, key=lambda alert: int(alert.annotations["amount"]))
        lines.append(f"Largest amount: {_amount(largest)}, {_short(largest)}")
    where = f" or {notification.external_url}" if notification.external_url else ""
    return [*lines, f"All of them: chainwatch alerts --limit {len(notification.alerts)}{where}"]


def _amount(alert: NotifiedAlert) -> str:
    """Return the amount in units of its asset, where they are known, and raw."""
    raw, shown = alert.annotations["amount"], alert.shown.get("amount")
    return f"{shown.formatted} ({raw})" if shown and shown.formatted else raw


def _counted(values: Iterable[str]) -> str:
    """Return counts, as ``ethereum → optimism 4,000, …``: the most frequent first, the rest summed up."""
    counts = Counter(values).most_common()
    shown = [f"{value} {number:,}" for value, number in counts[:WAYS_SHOWN]]
    rest = sum(number for _, number in counts[WAYS_SHOWN:])
    return ", ".join([*shown, *([f"others {rest:,}"] if rest else [])])


def place(alert: NotifiedAlert) -> str:
    """Return where the alert's condition is: ``origin → destination``, a network, or else the alert's name."""
    ends = [alert.labels[name] for name in ("origin", "destination") if alert.labels.get(name)]
    return " → ".join(ends) or alert.labels.get("network") or alert.name


def _short(alert: NotifiedAlert) -> str:
    return alert.annotations.get("summary") or alert.name


def by_urgency(notification: Notification) -> list[NotifiedAlert]:
    """Return the alerts as they should be read: firing before resolved, urgent before less urgent, else as they came."""
    return sorted(
        notification.alerts, key=lambda alert: (alert.status != "firing" or alert.is_over, alert.severity)
    )


def runbook(alert: NotifiedAlert) -> str:
    """Return the address of the alert's runbook; empty where it has none that can be a link."""
    url = alert.annotations.get("runbook_url", "")
    return (
        url if url.startswith(("https://", "http://")) and " " not in clean(url) and clean(url) == url else ""
    )


class Fact(NamedTuple):
    """A name and a value for people. ``links``: by parts of the value (transaction hashes, addresses) their pages."""

    name: str
    value: str
    links: Mapping[str, str] = {}


def name_of(alert: NotifiedAlert) -> str:
    """Return the alert's name, or what a template says instead."""
    return clean(alert.custom.title or alert.name or NO_NAME)


def facts(alert: NotifiedAlert) -> list[Fact]:
    """Return annotations first, then labels that identify the alert. Times are written out, amounts in units too.

    A template's fields take their place.
    """
    if alert.custom.fields is not None:
        return [Fact(clean(name), _shortened(clean(value))) for name, value in alert.custom.fields]
    beside = {name + NETWORK_OF for name in alert.shown}
    pairs = [(k, v) for k, v in alert.annotations.items() if k not in PROSE and k not in beside and v]
    named = {name for name, _ in pairs}
    pairs += [
        ("severity" if k == SENT_SEVERITY else k, v)
        for k, v in alert.labels.items()
        if k not in ("alertname", "severity", RULE) and k not in named and v
    ]
    shown = [_fact(name, value, alert.shown.get(name, Shown())) for name, value in pairs]
    return [fact for fact in shown if fact.name.strip() and fact.value.strip()]


def _fact(name: str, value: str, shown: Shown) -> Fact:
    value = _shortened(clean(_readable(name, value)))
    if shown.formatted:
        value = f"{clean(shown.formatted)} ({value})"
    if shown.network:
        value = f"{value} on {clean(shown.network)}"
    return Fact(clean(name), value, shown.links)


def summary(alert: NotifiedAlert) -> list[str]:
    """Return one or two lines: the summary, and the first line of the description. A template's body takes their place."""
    if alert.custom.body is not None:
        return [clean(line) for line in alert.custom.body[:LINES_MAX]]
    parts = [alert.annotations.get("summary", ""), *_description(alert)[:1]]
    return [clean(part) for part in parts if part.strip()]


def continued(alert: NotifiedAlert) -> list[str]:
    """Return the further lines of a description; a channel marks them, so that none looks like a fact or an alert."""
    if alert.custom.body is not None:
        return []
    further = _description(alert)[1:]
    shown = [clean(line.rstrip()) for line in further[:LINES_MAX]]
    left = len(further) - LINES_MAX
    return shown if left <= 0 else [*shown, f"… ({left:,} more lines)"]


def _description(alert: NotifiedAlert) -> list[str]:
    """Return the lines of the description that are not blank."""
    lines = re.split("\r?\n", alert.annotations.get("description", ""))
    return [line for line in lines if line.strip()]


def when(timestamp: float) -> str:
    """Return a time for people: ``2026-01-31 12:00:00 UTC``; the number itself where it is beyond the calendar."""
    try:
        return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):  # a chain may claim any time
        return str(timestamp)


@lru_cache(maxsize=1024)
def rfc3339(timestamp: float) -> str:
    """Return a time for machines: whole seconds without a fraction, a time beyond the calendar as its last second."""
    timestamp = min(timestamp, LAST_TIME)  # a chain may claim any time
    parts = "seconds" if timestamp == int(timestamp) else "milliseconds"
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec=parts).replace("+00:00", "Z")


def _readable(name: str, value: str) -> str:
    """Return a fact for people: annotations hold times and lengths of time in seconds."""
    if not re.fullmatch("[0-9]{1,78}", value):
        return value
    if name.endswith("_at"):
        return when(int(value))
    return span(int(value)) if name == "late_by" else value


def _shortened(value: str) -> str:
    left = len(value) - FACT_MAX
    return value if left <= 0 else f"{value[:FACT_MAX]}… ({left:,} more characters)"
