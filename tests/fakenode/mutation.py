"""Answers spoilt by structure: types, sizes, nesting, digits, encodings, missing and doubled members, errors, HTTP.

What comes out is never a lie that could be the truth (another amount, another hash of the right length): against those
there are blooms, several endpoints and `agreement`.
"""

from __future__ import annotations

import copy
import gzip
import json
import re
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple

DEEP, DEEPER, DIGITS, INFINITE, LONG = "@DEEP@", "@DEEPER@", "@DIGITS@", "@INFINITE@", "@LONG@"
PLACES = {
    DEEP: b"[" * 600 + b"]" * 600,
    DEEPER: b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    DIGITS: b"9" * 10_000,
    INFINITE: b"1e999",
    LONG: b'"' + b"x" * 200_000 + b'"',
}
"""What stands in JSON where these texts were: much of it cannot be made by `json.dumps`."""

STRANGE: tuple[Any, ...] = (
    *PLACES,
    *(None, True, False, 0, -1, 1.5, 10**400, -(2**70)),
    *("", "0x", "0xzz", "latest", "\0", "\ud800", "٣", "²", "\u2028\u202e", "🜁" * 50, "null", "{}"),
    *([], {}, [None], [[]], [{}], {"": None}, {"a": {"b": []}}, ["0x"] * 1000),
)

QUANTITIES = (
    "number",
    "timestamp",
    "blockNumber",
    "logIndex",
    "transactionIndex",
    "blockTimestamp",
    "result",
)
NO_QUANTITY = (
    *(
        "0x" + "f" * 10_000,
        "0x" + "9" * 4_301,
        "0x-1",
        "0x+1",
        "-0x1",
        "0x1.5",
        "1e5",
        "0x²",
        "0x٣",
        "²",
        "٣",
    ),
    *("0x1 1", "0x_", "0x__1", "0x" + "0" * 20_000 + "zz", "1", "0b1", "0x1\0", "1" * 5_000),
)

MESSAGES = (
    "exceeds maximum block range of 1,024",
    "block range 010 to 011",
    "block range is limited to 0 blocks",
    f"block range is limited to {'9' * 5_000} blocks",
    "block range 0x to 0xg",
    f"range 0x{'f' * 5_000} to 0x{'f' * 5_001}",
    "query returned more than ² results",
    "header not found",
    "daily request count exceeded, request rate limited",
    "range " * 20_000,
    "\ud800\0\u2028",
    "",
)
CODES = (-32000, -32602, -32005, -32603, 429, 0, 2**31, 2**70, -(2**200), 1.5, "x", None)

RETRY_AFTER = (
    "Mon, 99999999999999999999 Jan 2024 00:00:00 GMT",
    "Mon, 31 Feb 2024 99:99:99 GMT",
    *("²", "9" * 5_000, "1e999", "nan", "-1", "", "0", "0x10", "\u0663", "Mon, 01 Jan 0000 00:00:00 +9999"),
)
STATUSES = (201, 204, 301, 307, 400, 401, 404, 413, 418, 429, 429, 429, 500, 502, 503, 599)


class Spoilt(NamedTuple):
    """An HTTP answer: ``pieces`` with ``pause`` seconds after each, raw if ``status`` is 0; ``pieces`` None: no answer."""

    pieces: tuple[bytes, ...] | None
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    pause: float = 0.0


def spoil(dice: Random, answer: Any) -> Spoilt:
    """``answer`` (parsed JSON, which is not changed) as a broken node might send it."""
    kind = dice.random()
    if kind < 0.7:
        return Spoilt((spoilt_text(dice, answer),))
    return dice.choice(_HTTP)(dice, json.dumps(answer).encode())


def spoilt_text(dice: Random, answer: Any) -> bytes:
    """``answer`` as JSON that is not, or not of this shape."""
    if dice.random() < 0.2:
        return dice.choice(_TEXT)(dice, json.dumps(answer).encode())
    tree = {"": copy.deepcopy(answer)}
    for _ in range(dice.choice((1, 1, 1, 2, 5))):
        spots = [spot for spot in _spots(tree) if spot[1] != "" or dice.random() < 0.2]
        if spots:
            spot, change = dice.choice(spots), dice.choice(_STRUCTURE)
            (_strange if _is_of_topics(*spot) and change in _LYING else change)(dice, *spot)
    text = json.dumps(tree.get("")).encode()
    for name, place in PLACES.items():
        text = text.replace(b'"' + name.encode() + b'"', place)
    return text


def _is_of_topics(tree: Any, key: Any) -> bool:
    """Other topics, or in another order, are those of another log that may well be there."""
    return key == "topics" or (
        isinstance(tree, list) and all(isinstance(t, str) and len(t) == 66 for t in tree)
    )


def _spots(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in ``tree`` with each of its keys."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _spots(tree[key])


# --- structure -----------------------------------------------------------------------------------------


def _strange(dice: Random, tree: Any, key: Any) -> None:
    tree[key] = copy.deepcopy(dice.choice(STRANGE))


def _missing(dice: Random, tree: Any, key: Any) -> None:
    del tree[key]


def _wrapped(dice: Random, tree: Any, key: Any) -> None:
    tree[key] = dice.choice(([tree[key]], {"result": tree[key]}, [tree[key]] * 3))


def _repeated(dice: Random, tree: Any, key: Any) -> None:
    if isinstance(tree, list):
        tree.insert(dice.randrange(len(tree) + 1), copy.deepcopy(tree[key]))
    else:
        tree[f"{key}2"] = copy.deepcopy(tree[key])


def _shuffled(dice: Random, tree: Any, key: Any) -> None:
    if isinstance(tree, list):
        dice.shuffle(tree)
    else:
        order = list(tree.items())
        dice.shuffle(order)
        tree.clear()
        tree.update(order)


def _grown(dice: Random, tree: Any, key: Any) -> None:
    if isinstance(tree[key], str | list) and tree[key]:
        tree[key] = tree[key] * dice.choice((2, 50, 1_000))


def _digits(dice: Random, tree: Any, key: Any) -> None:
    if key in QUANTITIES and isinstance(tree[key], str):
        tree[key] = dice.choice(NO_QUANTITY)
    elif isinstance(tree[key], str) and tree[key].startswith("0x") and len(tree[key]) > 4:
        tree[key] = dice.choice(
            (tree[key][2:], tree[key][:-1], tree[key] + "ff", tree[key][:-2] + "²³", "0x")
        )


def _number(dice: Random, tree: Any, key: Any) -> None:
    if isinstance(tree[key], str) and re.fullmatch("0x[0-9a-f]+", tree[key]):
        tree[key] = int(tree[key], 16)


def _refusal(dice: Random, tree: Any, key: Any) -> None:
    while isinstance(tree, list) and tree and isinstance(tree[0], dict) and "id" in tree[0]:
        tree = dice.choice(tree)
    if isinstance(tree, dict):
        error: Any = {"code": dice.choice(CODES), "message": dice.choice(MESSAGES)}
        error["data"] = copy.deepcopy(dice.choice(STRANGE))
        whole = tree[""] if "" in tree and isinstance(tree[""], dict) else tree
        whole["error"] = dice.choice(
            (error, error, error, error["message"], [error], copy.deepcopy(error["data"]))
        )
        if dice.random() < 0.7:
            whole.pop("result", None)


_STRUCTURE: tuple[Callable[[Random, Any, Any], None], ...] = (
    *(_strange, _strange, _strange, _missing, _wrapped, _repeated, _shuffled, _grown),
    *(_digits, _digits, _number, _refusal),
)


_LYING = (_missing, _repeated, _shuffled, _grown)


# --- text ----------------------------------------------------------------------------------------------


def _cut(dice: Random, text: bytes) -> bytes:
    return text[: dice.randrange(len(text))]


def _doubled_member(dice: Random, text: bytes) -> bytes:
    found = list(re.finditer(rb'"\w+":', text))
    if not found:
        return text + text
    match = dice.choice(found)
    return (
        text[: match.start()] + match[0] + dice.choice((b"null,", b"[],", b'"0x",')) + text[match.start() :]
    )


def _stray_bytes(dice: Random, text: bytes) -> bytes:
    at = dice.randrange(len(text))
    return (
        text[:at]
        + dice.choice((b"\xff", b"\0", b"\xc0\x80", b"\xed\xa0\x80", b"\x1f\x8b", b",", b"}"))
        + text[at:]
    )


def _recoded(dice: Random, text: bytes) -> bytes:
    return text.decode().encode(dice.choice(("utf-16", "utf-32", "utf-8-sig", "utf-7")))


def _other(dice: Random, text: bytes) -> bytes:
    return dice.choice(
        (
            b"",
            b" ",
            b"null",
            b"NaN",
            b"[]",
            b"{}",
            b"[{}]",
            b'"x"',
            b"<html>502</html>",
            b"[" * 100_000,
            text + text,
        )
    )


_TEXT: tuple[Callable[[Random, bytes], bytes], ...] = (_cut, _doubled_member, _stray_bytes, _recoded, _other)


# --- HTTP ----------------------------------------------------------------------------------------------


def _status(dice: Random, text: bytes) -> Spoilt:
    headers = (("Retry-After", dice.choice(RETRY_AFTER)),) if dice.random() < 0.8 else ()
    body = dice.choice(
        (text, b"", b"overloaded", b'{"jsonrpc":"2.0","id":1,"error":"' + b"x" * 50_000 + b'"}')
    )
    return Spoilt((body,), dice.choice(STATUSES), (*headers, ("Location", "http://127.0.0.1:1/")))


def _trickled(dice: Random, text: bytes) -> Spoilt:
    size = max(1, len(text) // 40)
    pieces = tuple(text[i : i + size] for i in range(0, len(text), size))
    return Spoilt(pieces, pause=dice.choice((0.001, 0.2)))


def _silent(dice: Random, text: bytes) -> Spoilt:
    return Spoilt(None)


def _encoded(dice: Random, text: bytes) -> Spoilt:
    body = dice.choice(
        (text, gzip.compress(text)[:-9], gzip.compress(text) + b"x", b"\x1f\x8b", gzip.compress(text))
    )
    return Spoilt(
        (body,), headers=(("Content-Encoding", dice.choice(("gzip", "deflate", "br", "x", "gzip, gzip"))),)
    )


def _raw(dice: Random, text: bytes) -> Spoilt:
    size = str(len(text)).encode()
    heads = (
        b"HTTP/1.1 200 OK\r\nContent-Length: " + str(len(text) + 9).encode() + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 400 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + size + b"\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 400 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 2_000 + b"\r\n",
        b"HTTP/1.1 99999 \xff\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
        b"\x16\x03\x01\x02\x00",
        b"",
    )
    return Spoilt((dice.choice(heads) + text,), 0)


_HTTP: tuple[Callable[[Random, bytes], Spoilt], ...] = (
    _status,
    _status,
    _trickled,
    _silent,
    _encoded,
    _raw,
    _raw,
)
