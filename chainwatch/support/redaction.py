"""Removes secrets from text, however they are spelt (S9): from log lines, and from what nodes and receivers answer."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Collection, Iterable, Iterator
from urllib.parse import SplitResult, parse_qsl, quote, quote_plus, unquote, urlsplit

KEY_MIN = 8
"""The fewest characters of a part of a secret that count as a key; shorter ones are words such as ``v3``."""
WORD_MIN = 6
"""The fewest characters of a part of a URL that is removed from its own server's answers."""
LONG_KEY_MIN = 20
"""The fewest characters that count as a key though they are all small letters."""
STRUCK_MIN = 4
"""The fewest characters of a secret that is removed: a shorter one occurs in every line, and removing it hides nothing."""
STRUCK = "***"


class Redactor:
    """Puts ``***`` in place of each of ``secrets``, in whichever spelling; never of a word in ``keep`` (small letters).

    A text shorter than a key is removed where it is a word of its own, not within words.
    """

    def __init__(self, secrets: Iterable[str] = (), keep: Collection[str] = ()) -> None:
        spelt = {form.lower(): form for secret in secrets for form in _spellings(secret)}
        forms = sorted((form for low, form in spelt.items() if low not in keep), key=len, reverse=True)
        self.longest = max(map(len, forms), default=0)
        """The most characters of a text that is removed."""
        self._any = re.compile("|".join(map(_pattern, forms)), re.IGNORECASE) if forms else None

    def __call__(self, text: str) -> str:
        """Return ``text`` without the secrets."""
        return text if self._any is None else self._any.sub(STRUCK, text)


def parts_of(secret: str) -> Iterator[str]:
    """Yield ``secret`` itself, and what of it may be a key: words, and parts of a URL that look like one."""
    if secret.startswith("sqlite:"):
        return  # a path
    yield secret
    if "://" not in secret:
        yield from (word for word in secret.split() if len(word) >= KEY_MIN)  # of "Bearer KEY"
        return
    try:
        url = urlsplit(secret)
    except ValueError:  # any text may be a password or a header
        return
    yield from _credentials(url)
    yield from (part for part in url.path.split("/") if _is_key(part))


def parts_of_url(url: str) -> Iterator[str]:
    """Yield all parts of ``url`` that may be a key, words included, to redact the answers of its server."""
    yield from parts_of(url)
    parts = urlsplit(url)
    values = [value or name for name, value in parse_qsl(parts.query, keep_blank_values=True)]
    pieces = [*parts.path.split("/"), *values, parts.username or ""]
    yield from (piece for piece in pieces if len(piece) >= WORD_MIN)


def _credentials(url: SplitResult) -> Iterator[str]:
    if url.password:
        yield url.password
    if url.password is not None or url.username:
        pair = f"{unquote(url.username or '')}:{unquote(url.password or '')}"
        yield b64encode(
            pair.encode(errors="replace")
        ).decode()  # as the header of basic authentication has it
    names = [*parse_qsl(url.query, keep_blank_values=True), (url.username or "", "")]
    yield from (part for name, value in names if len(part := value or name) >= KEY_MIN)


def _is_key(part: str) -> bool:
    """Return whether ``part`` of a path is none of its plain words, such as ``webhooks``."""
    if len(part) < KEY_MIN:
        return False
    return len(part) >= LONG_KEY_MIN or any(map(str.isdigit, part)) or not (part.islower() or part.isupper())


def _spellings(secret: str) -> Iterator[str]:
    """Yield the spellings of ``secret``, except those too short to be removed."""
    plain = secret.strip()
    encoded = (quote(plain, errors="replace"), quote(plain, safe="", errors="replace"))
    for spelt in (plain, unquote(plain), *encoded, quote_plus(plain, errors="replace")):
        for form in (spelt, json.dumps(spelt)[1:-1], json.dumps(spelt, ensure_ascii=False)[1:-1]):
            if len(form.strip()) >= STRUCK_MIN:
                yield form


def _pattern(form: str) -> str:
    return re.escape(form) if len(form) >= KEY_MIN else rf"(?<!\w){re.escape(form)}(?!\w)"


NOTHING_SECRET = Redactor()
