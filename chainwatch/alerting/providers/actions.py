"""What people do by the buttons of a message: from the channel to an operation, and its answer back to the channel.

A button holds its kind and the idempotency key of the message's notification. The key is random (122 bits), known only to
the channel that got the message, and stored with the notification: nobody can make a button up, and one that was clicked
twice, or copied to another channel, finds nothing left to do.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol, cast, runtime_checkable

import msgspec

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.support.printable import clean

ActionKind = Literal["acknowledge", "silence"]

SILENCED_FOR = 3_600.0
"""Seconds for which the button "Silence 1 h" silences."""
NAME_MAX = 80
"""Characters of a person's name that are kept: people choose their own in a channel."""


class Action(msgspec.Struct, frozen=True):
    """What a person asked for by a button.

    ``notification_key``: the idempotency key of the notification whose message was clicked. ``receivers``: names of the
    receivers whose messages this person may act upon. ``actor``: the person's name; ``via``: the channel, and what the
    channel calls the person, for the record.
    """

    kind: ActionKind
    notification_key: str
    receivers: frozenset[str]
    actor: str
    via: str


class Answer(msgspec.Struct, frozen=True):
    """What became of an action. ``text``: one line for the person; ``done``: whether it has, or already had, its effect."""

    text: str
    done: bool = True


Act = Callable[[Action], Awaitable[Answer]]
"""Performs an action. It never raises: a failure is an answer too."""


@runtime_checkable
class Listening(Protocol):
    """A provider whose messages have buttons."""

    @property
    def account(self) -> str | None:
        """What the channel knows this program by: receivers with the same account are listened to together, once.

        It may be secret. None where the settings ask for no buttons.
        """
        ...

    async def listen(self, receivers: Mapping[str, Any], act: Act) -> None:
        """Let ``act`` perform what people click, for ever. Raises where a connection cannot go on; it is restarted then.

        ``receivers``: by name the providers with this account, of which this is one.
        """
        ...


def button(kind: ActionKind, notification: Notification) -> str:
    """Return the data of a button under the message of ``notification``."""
    return f"{kind}:{notification.idempotency_key}"


def parse_button(data: object) -> tuple[ActionKind, str] | None:
    """Return a button's kind and its notification's idempotency key; None for anything that ``button`` does not make."""
    found = _BUTTON.fullmatch(data) if isinstance(data, str) else None
    return None if found is None else (cast("ActionKind", found[1]), found[2])


def named(*names: object) -> str:
    """Return the first of ``names`` that is text, for the record, or a question mark."""
    texts = (clean(name).strip()[:NAME_MAX] for name in names if isinstance(name, str))
    return next((text for text in texts if text), "?")


_BUTTON = re.compile("(acknowledge|silence):([0-9a-f]{32})")
