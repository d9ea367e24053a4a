"""Makes text from outside safe to show to people: on one line, with nothing hidden in it."""

from __future__ import annotations

import re

# Not printable by Python's own rule (controls, format characters, line and paragraph ends, surrogates, unassigned), and what
# is invisible or changes what stands before it all the same: variation selectors, joiners, fillers, blanks.
_HIDDEN = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufffc\U000e0100-\U000e01ef"
_PLAIN = re.compile(r"[ -~]*")
_HIDES = re.compile(f"[{_HIDDEN}]")


def clean(text: str) -> str:
    r"""Return ``text`` on one line; characters that are invisible, control a terminal or reverse text show as ``\n``,
    ``\u200b`` and so on.
    """
    if _PLAIN.fullmatch(text):
        return text
    if text.isprintable() and not _HIDES.search(text):
        return text
    return "".join(map(_shown, text))


def json_clean(written: str) -> str:
    """Return JSON with the same characters escaped as JSON has it; line ends between its values stay."""
    return _UNUSUAL.sub(_in_json, written)


def _shown(char: str) -> str:
    if char.isspace() and char not in _BREAKS:
        return " "
    if char.isprintable() and not _HIDES.match(char):
        return char
    return char.encode("unicode_escape").decode()


_BREAKS = frozenset("\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029")


_UNUSUAL = re.compile(r"[^\n -~]")


def _in_json(match: re.Match[str]) -> str:
    char = match[0]
    if _shown(char) in (char, " "):
        return char
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
