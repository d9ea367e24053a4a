"""Whatever a chain says, the message of no registered provider gains markup, a link, a mention or a hidden character.

A provider joins by a row in ``TABLES``, the keys that its settings need, and where people read its messages, a function in
``READERS``.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from rich.text import Text

from chainwatch.alerting.providers import Transport, build_provider
from chainwatch.config import read_dict
from chainwatch.config.receivers import PROVIDERS
from tests.property.test_channels_hostile_text import _about, _has_nothing_hidden, hostile
from tests.support.telegram import Html

URL = "https://channel.example/hook"
TABLES: dict[str, dict[str, Any]] = {
    "alertmanager": {"urls": [URL]},
    "apprise": {"url": "json://channel.example/"},
    "console": {},
    "discord": {"url": URL},
    "email": {"host": "mail.example", "from": "a@mail.example", "to": ["b@mail.example"]},
    "exec": {"command": ["/bin/true"]},
    "file": {"path": "alerts.jsonl"},
    "pagerduty": {"routing_key": "0123456789abcdef0123456789abcdef"},
    "slack": {"token": "xoxb-1", "channel": "C1", "app_token": "xapp-1"},
    "telegram": {"token": "1:A", "chat_id": 1, "allowed_users": [1]},
    "webhook": {"url": URL},
}

_MRKDWN_LINK = re.compile(r"<https?://[^<>|]+\|[^<>|]+>")
_EMOJI = re.compile(r":(?:[\w+-]*[^\W\d][\w+-]*|100|1234):")
_LOOSE_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_TELEGRAM_FINDS = re.compile(r"://|[@#]|\w\.[^\W\d_]{2}|(?:^|\s)/\w|\$[A-Za-z]|\+\d", re.MULTILINE)


def _read_slack(message: Any) -> Iterator[str]:
    for content in (message.whole, message.follow_up):
        texts = [block["text"] for block in content["blocks"] if "text" in block]
        texts += [e for block in content["blocks"] if block["type"] == "context" for e in block["elements"]]
        for text in texts:
            assert text["type"] == "mrkdwn" or text["emoji"] is False
            if text["type"] == "mrkdwn":
                assert text["verbatim"] is True
                yield text["text"]
                _read_mrkdwn(text["text"])
            else:
                yield text["text"].lstrip("✅⚠\ufe0f ")
        yield content["text"]
        _read_mrkdwn(content["text"])


def _read_mrkdwn(text: str) -> None:
    for line in _MRKDWN_LINK.sub("", text).split("\n"):
        ours = line.removeprefix("> ")
        assert not re.search(r"[<>@`~]|://", ours)
        assert not re.match(r"\s*&gt;", ours)
        assert not re.search("&(?!(?:amp|lt|gt);)", ours)
        assert ours.count("*") in (0, 2)
        assert not _EMOJI.search(ours)
        assert not _LOOSE_UNDERSCORE.search(ours)


def _read_telegram(message: Any) -> Iterator[str]:
    for content in (message.whole, message.follow_up):
        assert content["parse_mode"] == "HTML"
        assert content["link_preview_options"] == {"is_disabled": True}
        page = Html(content["text"])
        assert page.problem is None
        assert {entity.tag for entity in page.entities} <= {"b", "code"}
        assert not _TELEGRAM_FINDS.search(page.outside_code)
        yield page.text


READERS: dict[str, Callable[[Any], Iterator[str]]] = {"slack": _read_slack, "telegram": _read_telegram}
"""By provider what yields the texts that people see, and asserts that there is nothing else in them."""


def _built(name: str, transport: Transport) -> Any:
    assert name in TABLES, f"add the keys that {name} needs to TABLES"
    data = {"receivers": {"ops": {"provider": name, **TABLES[name]}}, "routes": [{"receivers": ["ops"]}]}
    return build_provider(read_dict(data, watches=False).settings().receivers["ops"], transport)


def _strings(message: Any) -> Iterator[str]:
    """Every text in a message, whatever its form."""
    if isinstance(message, str):
        yield message
    elif isinstance(message, bytes):
        yield message.decode()
    elif isinstance(message, Text):
        yield message.plain
    elif isinstance(message, dict):
        for key, value in message.items():
            yield from _strings(key)
            yield from _strings(value)
    elif isinstance(message, list | tuple):
        for item in message:
            yield from _strings(item)


@pytest.mark.parametrize("name", PROVIDERS)
@given(said=hostile)
def test_a_message_can_be_sent_whatever_it_says(name: str, said: str) -> None:
    stored = said.encode(errors="replace").decode()  # no database holds a half of a surrogate pair
    texts = list(_strings(_built(name, Transport()).render(_about(stored), None)))
    assert texts
    msgspec.json.encode(texts)


@pytest.mark.parametrize("name", READERS)
@given(said=hostile)
def test_people_see_what_was_said_and_nothing_more(name: str, said: str) -> None:
    provider = _built(name, Transport())
    shown = list(READERS[name](provider.render(_about(said), None)))
    usual = list(READERS[name](provider.render(_about("x"), None)))
    for text, wanted in zip(shown, usual, strict=True):
        assert _has_nothing_hidden(re.sub("[\n✅⚠\ufe0f]", "", text))
        own = [line for line in text.split("\n") if not line.startswith(("> ", "│ "))]
        assert len(own) <= wanted.count("\n") + 1
