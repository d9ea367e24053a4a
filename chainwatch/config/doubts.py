"""Warnings about parts of a configuration that are valid, but match nothing known.

Other programs may send alerts with any names and labels, so that none of these is certainly a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta

from chainwatch.config.draft import Draft
from chainwatch.config.for_each import labels_of
from chainwatch.config.toml_lines import KeyPath
from chainwatch.grammar import calendars
from chainwatch.grammar import matchers as matching
from chainwatch.model import SEVERITIES
from chainwatch.support.spelling import nearest

ALERTS = frozenset(
    (
        "ClockSkew",
        "DeepReorg",
        "EndpointDegraded",
        "FlowEvaluationFailed",
        "FlowUnmatched",
        "InvariantUnread",
        "InvariantViolated",
        "LogUndecodable",
        "LogsDisputed",
        "NetworkBlind",
        "NetworkLagging",
        "NetworkStalled",
        "ReceiverFailing",
        "ReceiverTest",
        "RuleFailing",
        "SamplesFull",
        "SilenceExpiring",
        "TaskFailed",
        "TransferMismatch",
        "TransferOrphan",
        "TransferOverdue",
        "TransferRepeated",
        "Watchdog",
    )
)
"""The names of the alerts that chainwatch raises by itself."""

RENAMED = {"RuleFailed": "FlowEvaluationFailed"}
"""What alerts were called by earlier versions, and what they are called now."""

LABELS = frozenset(
    (
        "alertname",
        "check",
        "contract",
        "destination",
        "endpoint",
        "event",
        "flow",
        "group",
        "invariant",
        "network",
        "origin",
        "receiver",
        "rule",
        "severity",
        "silence",
        "step",
        "task",
        "transfer",
    )
)
"""The labels of these alerts."""

_LOOKS_LIKE_PATTERN = re.compile(r"[.)\]][*+?]|\(\?|\||^\^|\$$|\\[dwsbDWSB.]|\[[^\]]*[^\]\d][^\]]*\]")


def note_doubts(draft: Draft) -> None:
    """Warn in ``draft`` of every matcher and interval that nothing can match."""
    known = _known_values(draft)
    for path in _matches(draft):
        _doubt_match(draft, path, known)
    for path in _lists(draft, ("inhibit",)):
        for place, text in draft.texts((*path, "equal")):
            for label in text.split("="):
                _doubt_label(draft, place, label)
    for name, interval in draft.parts.intervals.items():
        if not _has_a_day(interval.days, interval.months, interval.years):
            draft.warn(("intervals", name), "no day of any year is one of its days and in its months")
    _doubt_scrapes(draft)


def _doubt_scrapes(draft: Draft) -> None:
    """Warn of what others can read or fake on the way to a target."""
    for path in _lists(draft, ("scrape",)):
        if draft.value((*path, "insecure")) is True:
            draft.warn((*path, "insecure"), "any certificate is accepted", "name the authority in `ca`")
        is_open = draft.value((*path, "scheme")) in (None, "http")
        for key in ("password", "token"):
            if is_open and draft.value((*path, key)) is not None:
                draft.warn((*path, key), "sent without encryption", 'give `scheme = "https"`')


def _known_values(draft: Draft) -> dict[str, frozenset[str]]:
    """Return the values that a label of chainwatch's own alerts can have, where these are few."""
    networks, receivers = draft.names("networks"), draft.names("receivers")
    flows = draft.parts.flows.values()
    steps = {flow.opens.step for flow in flows} | {s.step for flow in flows for s in flow.expects}
    all_flows_valid = len(draft.parts.flows) == len(draft.names("flows"))
    named = frozenset(rule.alert for rule in draft.parts.rules if rule.alert)
    known = {"alertname": ALERTS | named, "severity": frozenset(SEVERITIES), "receiver": frozenset(receivers)}
    if draft.value(("rule_files",)):
        del known["alertname"]  # these are read later
    if networks:
        known |= {"network": frozenset(networks), "flow": frozenset(draft.names("flows"))}
    if steps and all_flows_valid:
        known["step"] = frozenset(steps)
    return known


def _matches(draft: Draft) -> Iterator[KeyPath]:
    """Yield the paths of all matchers."""
    yield from _route_matches(draft, ())
    for section in ("lifecycle", "cooldowns", "acknowledge"):
        yield from ((*path, "match") for path in _lists(draft, (section,)))
    for path in _lists(draft, ("inhibit",)):
        yield from ((*path, "source"), (*path, "target"))


def _route_matches(draft: Draft, parent: KeyPath) -> Iterator[KeyPath]:
    for route in _lists(draft, (*parent, "routes")):
        yield (*route, "match")
        yield from _route_matches(draft, route)


def _doubt_match(draft: Draft, path: KeyPath, known: dict[str, frozenset[str]]) -> None:
    match = draft.value(path)
    if not isinstance(match, dict):
        return
    foreign = False
    for label in match:
        tests = list(draft.texts((*path, label)))
        foreign |= label == "alertname" and not any(_meets(text, ALERTS) for _, text in tests)
        for place, text in tests:
            _doubt_value(draft, place, label, text, known.get(label))
    if not foreign:  # an alert of another program may have any labels
        for label in match:
            _doubt_label(draft, (*path, label), label)


def _doubt_value(draft: Draft, place: KeyPath, label: str, text: str, known: frozenset[str] | None) -> None:
    operator = next((o for o in matching.OPERATORS if text.startswith(o)), "")
    shown = draft.quote(place)
    if not operator and label != "check" and _LOOKS_LIKE_PATTERN.search(text):
        draft.warn(place, f"{shown} is taken as it stands", 'a pattern begins with "=~"')
    elif operator in ("", "=", "=~") and known is not None and not _meets(text, known):
        if label == "severity" and not operator:
            return  # refused already
        value = text.removeprefix(operator)
        hint = _renamed(value) if label == "alertname" else ""
        if not hint:
            near = nearest(value, known)
            hint = f'did you mean "{near}"?' if near else "fine if another program sends such alerts"
        draft.warn(place, f"no alert of chainwatch has the label {label} {operator or '='} {shown}", hint)


def _renamed(value: str) -> str:
    return f'it is called "{RENAMED[value]}" now' if value in RENAMED else ""


def _doubt_label(draft: Draft, place: KeyPath, label: str) -> None:
    if (
        draft.names("networks")
        and label not in LABELS
        and label not in labels_of(draft.parts.elements.values())
    ):
        near = nearest(label, LABELS)
        if not near and (draft.value(("rules",)) or draft.value(("rule_files",))):
            return  # alerts of rules may have any labels
        hint = f'did you mean "{near}"?' if near else "fine if another program sends such alerts"
        draft.warn(place, f'no alert of chainwatch has the label "{label[:100]}"', hint)


def _meets(text: str, known: frozenset[str]) -> bool:
    """Return whether one of the ``known`` values passes the test; true for an invalid test, which is reported elsewhere."""
    try:
        (matcher,) = matching.build({"label": [text]})
    except ValueError:
        return True
    return any(matcher.takes({"label": value}) for value in known)


def _has_a_day(days: list[str], months: list[str], years: list[str]) -> bool:
    """Return whether any day matches all three, in the given years or in any."""
    of_month, of_year = calendars.parse_days(days), calendars.parse_names(months, calendars.MONTHS, 1)
    spans = calendars.parse_years(years) or ((2000, 2003),)
    if not days:
        return True
    return any(
        calendars.is_day_in(of_month, day) and (not of_year or any(a <= day.month <= b for a, b in of_year))
        for first, last in spans
        for year in range(first, min(last, first + 3) + 1)
        for day in _days(year)
    )


def _days(year: int) -> Iterator[date]:
    day = date(year, 1, 1)
    while day.year == year:
        yield day
        if day == date.max:
            return
        day += timedelta(days=1)


def _lists(draft: Draft, path: KeyPath) -> list[KeyPath]:
    value = draft.value(path)
    return [(*path, index) for index in range(len(value))] if isinstance(value, list) else []
