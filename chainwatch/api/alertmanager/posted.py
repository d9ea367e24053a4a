"""The bodies that Alertmanager's clients post: parsed to alerts and silences, and refused as Alertmanager refuses them.

Source: ``api/v2/openapi.yaml`` and ``api.go`` of Prometheus Alertmanager.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from chainwatch.alerting.delivery.notification import LAST_TIME
from chainwatch.alerting.engine.submission import Submission
from chainwatch.alerting.policy.lifecycle import fingerprint, normal_annotations
from chainwatch.alerting.policy.severities import Severities
from chainwatch.api.alertmanager.errors import INVALID_TYPE, REQUIRED, TOO_FEW, Refused
from chainwatch.grammar.matchers import LabelTest, build_tests, takes
from chainwatch.model import RULE, SENT_SEVERITY
from chainwatch.operations.tested_silences import WantedSilence
from chainwatch.support.bounds import ANNOTATION_MAX, LABEL_MAX, cut
from chainwatch.support.nesting import decode_json

TEXT_MAX = 10_000
"""Characters of a silence's author or comment, and of a test."""
TESTS_MAX = 100
"""The most tests of one silence."""

_NO_UTF8 = re.compile("[\udc80-\udcff]")
_ESCAPE = re.compile(
    r"\\(?:u[dD][89aAbB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)

_URI = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:|/)[^\s\x00-\x1f\x7f]*")


class PostedAlerts(NamedTuple):
    """The valid alerts of a body, and what is wrong with the others."""

    valid: list[Submission]
    invalid: list[str]


class PostedSilence(NamedTuple):
    """A silence, and the id of the one that it changes, empty for none."""

    wanted: WantedSilence
    id: str


class InvalidSilence(ValueError):
    """A silence that Alertmanager refuses; the message is the answer."""


def parse_alerts(body: bytes, severities: Severities, now: float, resolve_timeout: float) -> PostedAlerts:
    """Parse a list of alerts that are posted at ``now``. Raises ``Refused`` where any cannot be read at all.

    ``resolve_timeout``: seconds after which one without an end of its own ends.
    """
    alerts = _decoded(body, "alerts")
    if not isinstance(alerts, list):
        raise _unparsed("alerts", f"a list is expected, not {_kind(alerts)}")
    read = [_read_alert(alert, at) for at, alert in enumerate(alerts)]
    found = PostedAlerts([], [])
    for one in read:
        wrong = _what_is_wrong(one, now + resolve_timeout)
        if wrong:
            found.invalid.append(wrong)
        else:
            found.valid.append(_submission(one, severities))
    return found


def parse_silence(body: bytes, now: float) -> PostedSilence:
    """Parse a silence that is posted at ``now``. Raises ``Refused`` and ``InvalidSilence``."""
    silence = _decoded(body, "silence")
    if not isinstance(silence, dict):
        raise _unparsed("silence", f"an object is expected, not {_kind(silence)}")
    comment, author = (_text(silence, key, "silence", required=True) for key in ("comment", "createdBy"))
    ends_at = _time(silence, "endsAt", "silence", required=True)
    tests = _tests(silence)
    starts_at = _time(silence, "startsAt", "silence", required=True)
    id_ = _text(silence, "id", "silence")
    begins, ends = starts_at or 0.0, ends_at or 0.0
    if begins >= ends:
        raise InvalidSilence("Failed to create silence: start time must be before end time")
    if ends < now:
        raise InvalidSilence("Failed to create silence: end time can't be in the past")
    _check_tests(tests)
    for text in (comment, author):
        if "\0" in text or len(text) > TEXT_MAX:
            raise InvalidSilence(
                f"silence invalid: author and comment have at most {TEXT_MAX} characters, and no NUL"
            )
    return PostedSilence(WantedSilence(tests, begins, ends, author, comment), id_)


# --- alerts -------------------------------------------------------------------------------------------


class _Alert(NamedTuple):
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: float | None
    ends_at: float | None
    generator_url: str


def _read_alert(alert: Any, at: int) -> _Alert:
    if not isinstance(alert, dict):
        raise _unparsed("alerts", f"entry {at}: an object is expected, not {_kind(alert)}")
    url = _text(alert, "generatorURL", "alerts")
    if alert.get("labels") is None:
        raise Refused(REQUIRED, f"{at}.labels in body is required")
    if url and not _is_uri(url):
        raise Refused(INVALID_TYPE, f'{at}.generatorURL in body must be of type uri: "{url[:200]}"')
    labels = {name: value for name, value in _pairs(alert, "labels", at).items() if value}
    starts_at, ends_at = (_time(alert, key, "alerts") for key in ("startsAt", "endsAt"))
    return _Alert(labels, _pairs(alert, "annotations", at), starts_at, ends_at, url)


def _what_is_wrong(alert: _Alert, ends_by: float) -> str:
    ends_at = ends_by if alert.ends_at is None else alert.ends_at
    if not alert.labels:
        return "at least one label pair required"
    for name, value in alert.labels.items():
        if not name or "\0" in name or name in (SENT_SEVERITY, RULE) or len(name) > LABEL_MAX:
            return f"invalid label set: invalid name {_quoted(name)}"
        if "\0" in value:
            return f"invalid label set: invalid value {_quoted(value)}"
    if any("\0" in text for pair in alert.annotations.items() for text in pair):
        return "invalid annotations: a text holds the character NUL"
    if alert.starts_at is not None and alert.starts_at > ends_at:
        return "start time must be before end time"
    return ""


def _submission(alert: _Alert, severities: Severities) -> Submission:
    labels = {"alertname": ""} | severities.stored_labels(alert.labels)
    annotations = normal_annotations(alert.annotations, alert.labels)
    url = cut(alert.generator_url, ANNOTATION_MAX)
    return Submission(fingerprint(labels), labels, annotations, alert.starts_at, alert.ends_at, url)


def _pairs(alert: Mapping[str, Any], key: str, at: int) -> dict[str, str]:
    pairs = alert.get(key)
    if pairs is None:
        return {}
    if not isinstance(pairs, dict):
        raise _unparsed("alerts", f"{at}.{key}: an object is expected, not {_kind(pairs)}")
    for value in pairs.values():
        if value is not None and not isinstance(value, str):
            raise _unparsed("alerts", f"{at}.{key}: texts are expected, not {_kind(value)}")
    return {name: value or "" for name, value in pairs.items()}


# --- silences -----------------------------------------------------------------------------------------


def _tests(silence: Mapping[str, Any]) -> tuple[LabelTest, ...]:
    matchers = silence.get("matchers")
    if matchers is None:
        raise Refused(REQUIRED, "matchers in body is required")
    if not isinstance(matchers, list):
        raise _unparsed("silence", f"matchers: a list is expected, not {_kind(matchers)}")
    if not matchers:
        raise Refused(TOO_FEW, "matchers in body should have at least 1 items")
    return tuple(_test(matcher, at) for at, matcher in enumerate(matchers))


def _test(matcher: Any, at: int) -> LabelTest:
    if not isinstance(matcher, dict):
        raise _unparsed("silence", f"matchers.{at}: an object is expected, not {_kind(matcher)}")
    for key, kind in (("isRegex", bool), ("name", str), ("value", str), ("isEqual", bool)):
        value = matcher.get(key)
        if value is None and key != "isEqual":
            raise Refused(REQUIRED, f"matchers.{at}.{key} in body is required")
        if value is not None and not isinstance(value, kind):
            raise _unparsed("silence", f"matchers.{at}.{key}: {_kind(value)} is not expected")
    is_equal = matcher.get("isEqual") is not False
    operator = {(True, True): "=~", (True, False): "!~", (False, True): "=", (False, False): "!="}
    return matcher["name"], operator[matcher["isRegex"], is_equal], matcher["value"]


def _check_tests(tests: tuple[LabelTest, ...]) -> None:
    """Raise ``InvalidSilence`` for tests that no silence may have."""
    if len(tests) > TESTS_MAX:
        raise InvalidSilence(f"silence invalid: at most {TESTS_MAX} matchers are possible")
    for at, (name, operator, value) in enumerate(tests):
        where = f"silence invalid: invalid label matcher {at}"
        if not name or "\0" in name or name in (SENT_SEVERITY, RULE) or len(name) > LABEL_MAX:
            raise InvalidSilence(f"{where}: invalid label name {_quoted(name)}")
        if "\0" in value or len(value) > TEXT_MAX:
            raise InvalidSilence(f"{where}: invalid label value {_quoted(value)}")
        try:
            build_tests([(name, operator, value)])
        except ValueError as error:
            raise InvalidSilence(f"{where}: invalid regular expression {_quoted(value)}: {error}") from None
    if all(test[1] in ("=", "=~") and takes(build_tests([test]), {}) for test in tests):
        raise InvalidSilence("silence invalid: at least one matcher must not match the empty string")


# --- JSON ---------------------------------------------------------------------------------------------


def _decoded(body: bytes, name: str) -> Any:
    if body.strip() in (b"", b"null"):
        raise Refused(REQUIRED, f"{name} in body is required")
    try:
        return decode_json(body)
    except ValueError:
        pass
    try:
        return decode_json(_with_replacements(body))
    except ValueError as error:
        raise _unparsed(name, str(error)[:200]) from None


def _with_replacements(json: bytes) -> bytes:
    """Return ``json`` with U+FFFD, as Go's parser reads them, for half pairs of surrogates and bytes that are no UTF-8."""
    text = _NO_UTF8.sub("\ufffd", json.decode("utf-8", "surrogateescape"))
    return _ESCAPE.sub(lambda escape: "\\ufffd" if escape["half"] else escape[0], text).encode()


def _text(table: Mapping[str, Any], key: str, of: str, *, required: bool = False) -> str:
    value = table.get(key)
    if value is None and required:
        raise Refused(REQUIRED, f"{key} in body is required")
    if value is not None and not isinstance(value, str):
        raise _unparsed(of, f"{key}: a text is expected, not {_kind(value)}")
    return value or ""


def _time(table: Mapping[str, Any], key: str, of: str, *, required: bool = False) -> float | None:
    """Return a time as Unix seconds, to the millisecond; None for none, which Go writes as a time of the year 1."""
    text = _text(table, key, of, required=required)
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        moment = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() if at.year > 1 else None
    except (ValueError, OverflowError):
        raise _unparsed(of, f"{key}: parsing time {_quoted(text)} failed") from None
    return None if moment is None else round(min(moment, float(LAST_TIME)), 3)


def _is_uri(text: str) -> bool:
    try:
        urlsplit(text)
    except ValueError:
        return False
    return _URI.fullmatch(text) is not None


def _unparsed(name: str, reason: str) -> Refused:
    return Refused(400, f'parsing {name} body from "" failed, because {reason}')


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _quoted(text: str) -> str:
    return msgspec.json.encode(text[:200]).decode()
