"""Alerts, groups and silences as Alertmanager answers them.

Source: ``api/v2/openapi.yaml`` of Prometheus Alertmanager: ``gettableAlert``, ``alertGroup``, ``gettableSilence``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

import msgspec

from chainwatch.alerting.policy.routing import Route
from chainwatch.alerting.runtime import RESOLVE_TIMEOUT
from chainwatch.operations.tested_silences import TestedSilence
from chainwatch.operations.unresolved_alerts import UnresolvedAlert, as_sent
from chainwatch.presentation.presenter import alert_page

VERSION = "0.25.0"
"""Of the Alertmanager whose API this is; amtool warns where its own differs."""
ROOT = "unrouted"
"""The receiver of alerts that no route takes, whom nothing notifies."""

_ID = "00000000-0000-4000-8000-{:012x}"
_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
_PREFIX = _ID[: _ID.index("{")].replace("-", "")
_OFFSET, _PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, 2**64 - 1


class Named(msgspec.Struct, frozen=True, gc=False):
    """A receiver."""

    name: str


class Status(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Whether an alert is sent."""

    state: Literal["unprocessed", "active", "suppressed"]
    silenced_by: Sequence[str]
    inhibited_by: Sequence[str]
    muted_by: Sequence[str]


class GettableAlert(
    msgspec.Struct,
    frozen=True,
    gc=False,
    rename={
        "generator_url": "generatorURL",
        "starts_at": "startsAt",
        "ends_at": "endsAt",
        "updated_at": "updatedAt",
    },
    omit_defaults=True,
):
    """An alert; ``generator_url`` is left out where there is none."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: str
    ends_at: str
    updated_at: str
    fingerprint: str
    receivers: Sequence[Named]
    status: Status
    generator_url: str = ""


class AlertGroup(msgspec.Struct, frozen=True, rename="camel"):
    """The alerts that a receiver is notified of together."""

    labels: Mapping[str, str]
    route_labels: Mapping[str, str]
    receiver: Named
    alerts: Sequence[GettableAlert]


def fingerprint(labels: Mapping[str, str]) -> str:
    """Return Alertmanager's fingerprint of labels: FNV-1a of names and values (``model.LabelSet.Fingerprint``)."""
    text = "".join([f"{name}\0{labels[name]}\0" for name in sorted(labels)])
    return _fnv(text)


def gettable(
    one: UnresolvedAlert, now: float, external_url: str, routes: Sequence[Route] | None = None
) -> GettableAlert:
    """Return an alert with the receivers to which ``routes`` of its own lead, by default all."""
    alert, expiry = one.alert, one.expiry
    labels, annotations = as_sent(alert)
    taking = one.routes if routes is None else routes
    muted = one.muted if len(one.muted) == len(one.routes) else []
    url = alert_page(external_url, alert.id)
    is_suppressed = bool(one.silenced_by) or one.inhibited_by is not None
    state: Literal["unprocessed", "active", "suppressed"] = "suppressed" if is_suppressed else "active"
    return GettableAlert(
        labels=labels,
        annotations=annotations,
        starts_at=rfc3339(alert.starts_at),
        ends_at=rfc3339(now + RESOLVE_TIMEOUT if expiry is None else expiry.expires_at),
        updated_at=rfc3339((expiry.sent_at if expiry is not None else 0.0) or alert.raised_at),
        fingerprint=fingerprint(labels),
        receivers=[Named(name) for name in one.receivers(taking) or [ROOT]],
        status=Status(
            state="unprocessed" if alert.state == "pending" else state,
            silenced_by=[silence_id(number) for number in one.silenced_by],
            inhibited_by=[] if one.inhibited_by is None else [fingerprint(as_sent(one.inhibited_by)[0])],
            muted_by=muting_intervals(muted),
        ),
        generator_url=url if expiry is None else expiry.generator_url,
    )


def muting_intervals(muted: Iterable[Route]) -> list[str]:
    """Return the names of the intervals by which routes may be muted."""
    return list(dict.fromkeys(name for route in muted for name in (*route.mute_times, *route.active_times)))


def rfc3339(at: float) -> str:
    """Return Unix seconds as Alertmanager writes times, in UTC and to the millisecond."""
    seconds, milliseconds = divmod(round(at * 1000), 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


def silence_id(number: int) -> str:
    """Return the id of a silence as a UUID, from which ``silence_number`` finds it."""
    return _ID.format(number)


def silence_number(text: str) -> int | None:
    """Return the number of the silence with this id; None where there can be none. Raises ``ValueError`` for no UUID."""
    if _UUID.fullmatch(text) is None:
        raise ValueError("no UUID")
    digits = text.replace("-", "").lower()
    return int(digits[len(_PREFIX) :], 16) if digits.startswith(_PREFIX) else None


def gettable_silence(one: TestedSilence) -> dict[str, object]:
    """Return a silence."""
    silence = one.silence
    return {
        "id": silence_id(silence.id),
        "status": {"state": one.state},
        "updatedAt": rfc3339(silence.created_at),
        "comment": silence.comment,
        "createdBy": silence.author,
        "startsAt": rfc3339(silence.starts_at),
        "endsAt": rfc3339(silence.ends_at),
        "matchers": [
            {
                "name": name,
                "value": value,
                "isRegex": operator in ("=~", "!~"),
                "isEqual": operator in ("=", "=~"),
            }
            for name, operator, value in one.tests
        ],
    }


@lru_cache(maxsize=2**14)
def _fnv(text: str) -> str:
    found = _OFFSET
    for byte in text.encode(errors="replace").replace(b"\0", b"\xff"):
        found = (found ^ byte) * _PRIME & _MASK
    return f"{found:016x}"


@lru_cache(maxsize=2**12)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()[:19]
