"""The severities of other programs: which of chainwatch's each stands for, and tests of one as tests of the other. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from chainwatch.grammar.matchers import LabelTest, Matcher, Matchers, tests_of
from chainwatch.model import SENT_SEVERITY, SEVERITIES, SEVERITY_NAMES
from chainwatch.support.bounds import LABEL_MAX, cut, cut_labels

OTHERWISE = "P2"
"""What every other severity stands for, and none."""


class Severities(msgspec.Struct, frozen=True):
    """``configured``: name in small letters → ``P0`` … ``P3``, beside the names that chainwatch knows itself."""

    configured: Mapping[str, str] = {}

    def of(self, sent: str) -> str:
        """Return what the label ``severity`` that a program sent stands for; empty for none."""
        name = sent.lower()
        return SEVERITY_NAMES.get(name) or self.configured.get(name, OTHERWISE)

    def stored_labels(self, sent: Mapping[str, str]) -> dict[str, str]:
        """Return labels that a program sent as they are stored: shortened, with one of chainwatch's severities.

        Where that is not the severity that was sent, the label ``__severity__`` has this one.
        """
        named = sent.get("severity", "")
        severity = self.of(named)
        labels = cut_labels(sent) | {"severity": severity}
        return labels if named == severity else labels | {SENT_SEVERITY: cut(named, LABEL_MAX)}

    def tests(self, matchers: Matchers) -> list[LabelTest] | None:
        """Return ``matchers`` as tests of labels as they are sent; None where no alert passes.

        A test of ``severity`` becomes one of all names that stand for what it takes.
        """
        found: list[LabelTest] = []
        for matcher in matchers:
            if matcher.name == "severity":
                severity = self._severity_tests(matcher)
                if severity is None:
                    return None
                found += severity
            else:
                name = "severity" if matcher.name == SENT_SEVERITY else matcher.name
                found += ((name, operator, value) for _, operator, value in tests_of(matcher))
        return found

    def _severity_tests(self, matcher: Matcher) -> list[LabelTest] | None:
        taken = {severity for severity in SEVERITIES if matcher.takes({"severity": severity})}
        if not taken:
            return None
        takes_others = OTHERWISE in taken
        names = [
            name
            for name, severity in {**self.configured, **SEVERITY_NAMES}.items()
            if (severity in taken) != takes_others
        ]
        if not names:
            return []
        pattern = "(?i:" + "|".join(re.escape(name) for name in sorted(names)) + ")"
        return [("severity", "!~" if takes_others else "=~", pattern)]
