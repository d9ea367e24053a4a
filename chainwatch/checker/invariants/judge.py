"""What the checks of an invariant come to: broken since when, not read since when, and the alerts of both. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from shlex import quote
from typing import Any, NamedTuple

from chainwatch.checker.invariants.history_parser import KEPT_ACCEPTED, is_earlier
from chainwatch.checker.invariants.invariant import Invariant, Values
from chainwatch.model import to_hex

UNREAD_AFTER = 300
"""Seconds without a check that was answered, after which `InvariantUnread` fires: of chain time since the first such check,
and of the clock, as a network that is far behind passes through hours of chain time before anything can be read."""
VIOLATED, UNREAD = "violated", "unread"
"""The conditions of an invariant."""
HELD_BLOCK, HELD_AT = "held_block", "held_at"
"""Annotations: the last block at which an invariant held that does not now, and its time."""
SHOWN = 300
"""The most characters that are shown of one value."""
CUT = "…"
"""What stands in place of the rest."""


class Checked(NamedTuple):
    """A check: where it was made, and whether the invariant holds; None where that is not known, perhaps by ``error``."""

    network: str
    block: int
    timestamp: int
    holds: bool | None
    error: str | None = None


class Standing(NamedTuple):
    """How an invariant stands by its checks so far."""

    latest: Checked | None = None
    """The newest check that was answered."""
    broken_since: Checked | None = None
    """The first of the checks that failed up to the newest answered one."""
    unread_since: Checked | None = None
    """The first check after the newest answered one."""
    newest: Checked | None = None


class Condition(NamedTuple):
    """A condition that holds: what identifies and explains it, and since when."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    check: Checked


def fold(checks: Iterable[Checked]) -> Standing:
    """Return how an invariant stands by ``checks``, in the order of their times."""
    latest = broken = unread = newest = None
    for check in checks:
        newest = check
        if check.holds is None:
            unread = unread or check
        else:
            latest, unread = check, None
            broken = None if check.holds else broken or check
    return Standing(latest, broken, unread, newest)


def is_violated(invariant: Invariant, standing: Standing) -> bool:
    """Return whether it has been broken for as long as it must be."""
    broken, latest = standing.broken_since, standing.latest
    return (
        broken is not None
        and latest is not None
        and (latest.timestamp - broken.timestamp >= invariant.hold_for)
    )


def is_unread(standing: Standing, seen: int, waited: float) -> bool:
    """Return whether no check has been answered for too long.

    ``seen`` is until which chain time its networks are seen; ``waited`` for how many seconds nothing was answered.
    """
    unread = standing.unread_since
    return unread is not None and min(waited, seen - unread.timestamp) >= UNREAD_AFTER


def violated(invariant: Invariant, check: Checked, positions: Mapping[str, int], values: Values) -> Condition:
    """Return the condition of an invariant that was broken first at ``check``, with its ``values``."""
    read = shown(values)
    accepted = values.get(KEPT_ACCEPTED) or {}
    others = shown({name: value for name, value in accepted.items() if value != values.get(name)})
    differences = "; ".join(invariant.differences(values)) if values else ""
    where = ", ".join(f"block {block} of {network}" for network, block in sorted(positions.items()))
    fact = f"{differences}: {read}" if differences else read
    if others:
        to_accept = f"if that is right: chainwatch invariants accept {quote(invariant.name)}"
        fact = f"{fact} (accepted: {others}) at {where}; {to_accept}"
    else:
        fact = f"{fact} at {where}"
    annotations = {
        "summary": f"{invariant.name} does not hold: {invariant.condition.source}",
        "description": said(invariant.message, fact),
        "values": read,
        **({"accepted": others} if others else {}),
        **({"difference": differences} if differences else {}),
        "block": str(check.block),
        "block_network": check.network,
    }
    return Condition(labels_of(VIOLATED, invariant), _with_link(invariant, annotations), check)


def with_held(annotations: dict[str, str], network: str, block: int, timestamp: int) -> dict[str, str]:
    """Return the annotations of a violation with the last block at which the invariant held."""
    at = datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    description = annotations["description"].partition(_HELD)[0]
    return {
        **annotations,
        "description": f"{description}{_HELD} block {block} of {network}, {at}",
        HELD_BLOCK: str(block),
        HELD_AT: at,
    }


def unread(invariant: Invariant, since: Checked, newest: Checked) -> Condition:
    """Return the condition of an invariant whose values have not been read since ``since``."""
    reason = newest.error or since.error or "no endpoint has answered"
    annotations = {
        "summary": f"{invariant.name} cannot be checked",
        "description": f"Nothing is known of it since block {since.block} of {since.network}: {reason}. An alert about it "
        "that fires goes on firing.",
        "block": str(since.block),
        "block_network": since.network,
    }
    return Condition(labels_of(UNREAD, invariant), _with_link(invariant, annotations), since)


def uncheckable(name: str, severity: str, reason: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the labels and annotations of the alert about an invariant that is left unchecked for ``reason``."""
    labels = {"alertname": "InvariantUnread", "severity": severity, "invariant": name}
    return labels, {
        "summary": f"{name} cannot be checked",
        "description": f"{reason[:1].upper()}{reason[1:]}. An alert about it that fires goes on firing.",
    }


def shown(values: Values) -> str:
    """Return values as text: ``locked = 5, minted = 7``."""
    return ", ".join(
        f"{name} = {shown_value(value)}" for name, value in values.items() if not is_earlier(name)
    )


def shown_value(value: Any) -> str:
    """Return a value as text, of which a long one is cut off."""
    if isinstance(value, bytes):
        text = to_hex(value)
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{name}: {shown_value(item)}" for name, item in value.items()) + "}"
    elif isinstance(value, list):
        text = "[" + ", ".join(map(shown_value, value[:20])) + ("]" if len(value) <= 20 else f", {CUT}]")
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}{CUT}"


def said(message: str, fact: str) -> str:
    """Return what a person wanted to read, before a fact."""
    text = message.rstrip(" .")
    return f"{text}{' ' if text.endswith(('?', '!')) else '. '}{fact}" if text else fact


def labels_of(condition: str, invariant: Invariant) -> dict[str, str]:
    """Return the labels of the alert about ``condition``, `VIOLATED` or `UNREAD`."""
    networks = invariant.networks
    where = {"network": networks[0]} if len(networks) == 1 else {}
    return {
        "alertname": "InvariantViolated" if condition == VIOLATED else "InvariantUnread",
        "severity": invariant.severity,
        "invariant": invariant.title,
        **where,
        **invariant.labels,
    }


_HELD = "; it held last at"


def _with_link(invariant: Invariant, annotations: dict[str, str]) -> dict[str, str]:
    if invariant.runbook_url is not None:
        annotations["runbook_url"] = invariant.runbook_url
    return annotations
