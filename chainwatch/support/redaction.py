"""Secrets struck out of text, however they are spelt (S9): of log lines, and of what nodes and receivers say."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Collection, Iterable, Iterator
from urllib.parse import SplitResult, parse_qsl, quote, quote_plus, unquote, urlsplit

KEY_MIN = 8
"""Characters of a part of a secret from which on it is taken for a key; shorter ones are words such as ``v3``."""
WORD_MIN = 6
"""Characters of the shortest part of a URL that is struck out of what its own server says."""
LONG_KEY_MIN = 20
"""Characters from which on it is one though it is made of small letters only."""
STRUCK_MIN = 4
"""Characters of the shortest secret that is struck out: a shorter one stands in every line, and hides nothing."""
STRUCK = "***"


class Redactor:
    """Puts ``***`` in place of each of ``secrets``, in whichever spelling; never of a word in ``keep`` (small letters).

    What is shorter than a key is struck out where it stands alone, not within words.
    """

    def __init__(self, secrets: Iterable[str] = (), keep: Collection[str] = ()) -> None:
        spelt = {form.lower(): form for secret in secrets for form in _spellings(secret)}
        forms = sorted((form for low, form in spelt.items() if low not in keep), key=len, reverse=True)
        self.longest = max(map(len, forms), default=0)
        """Characters of the longest text that is struck out."""
        self._any = re.compile("|".join(map(_pattern, forms)), re.IGNORECASE) if forms else None

    def __call__(self, text: str) -> str:
        """``text`` without the secrets."""
        return text if self._any is None else self._any.sub(STRUCK, text)


def parts_of(secret: str) -> Iterator[str]:
    """``secret`` itself, and what of it may be a key: words, and parts of a URL that look like one."""
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
    """All that may be a key in ``url``, a word or not: for what is said by whom it leads to."""
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
    """Whether ``part`` of a path is none of its plain words, such as ``webhooks``."""
    if len(part) < KEY_MIN:
        return False
    return len(part) >= LONG_KEY_MIN or any(map(str.isdigit, part)) or not (part.islower() or part.isupper())


def _spellings(secret: str) -> Iterator[str]:
    """How ``secret`` may be written, but for what is too short to be looked for."""
    plain = secret.strip()
    encoded = (quote(plain, errors="replace"), quote(plain, safe="", errors="replace"))
    for spelt in (plain, unquote(plain), *encoded, quote_plus(plain, errors="replace")):
        for form in (spelt, json.dumps(spelt)[1:-1], json.dumps(spelt, ensure_ascii=False)[1:-1]):
            if len(form.strip()) >= STRUCK_MIN:
                yield form


def _pattern(form: str) -> str:
    return re.escape(form) if len(form) >= KEY_MIN else rf"(?<!\w){re.escape(form)}(?!\w)"


NOTHING_SECRET = Redactor()
