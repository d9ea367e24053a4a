"""The message about a group that one channel keeps up to date, and which message a notification changes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.providers.provider import Receipt


class EditedMessage(NamedTuple):
    """``whole``: the body of a message with all of the group; ``follow_up``: of a short one, None where nobody is notified.

    ``first``: the receipt's ids of the message that ``whole`` replaces, if there is one. ``is_over``: nothing in it fires.
    """

    whole: Mapping[str, Any]
    follow_up: Mapping[str, Any] | None
    first: Mapping[str, str] | None
    is_over: bool


def compose(
    notification: Notification,
    previous: Receipt | None,
    to: str,
    *,
    whole: Mapping[str, Any],
    follow_up: Callable[[Notification], Mapping[str, Any]],
) -> EditedMessage:
    """Return the message for the channel ``to``; an update, of which nobody is notified, has no ``follow_up``."""
    return EditedMessage(
        whole=whole,
        follow_up=None if notification.kind == "update" else follow_up(notification),
        first=first_message(notification, previous, to),
        is_over=not notification.firing,
    )


def first_message(notification: Notification, previous: Receipt | None, to: str) -> Mapping[str, str] | None:
    """Return the ids of the message to edit, as ``receipt`` made them; None for a message of its own.

    That is one for the group's first notification, for each digest, after the receiver was configured with another channel
    (``to``), and when something fires again after everything in the earlier message was over.
    """
    ids = previous.remote_ids if previous is not None else {}
    fires_again = "over" in ids and bool(notification.firing)
    stands_alone = notification.kind == "digest" or fires_again
    return ids if ids.get("to") == to and not stands_alone else None


def receipt(to: str, *, is_over: bool, **ids: str) -> Receipt:
    """Return the receipt of a message to the channel ``to``, as configured.

    ``is_over``: nothing in the message fires; ``ids``: what the channel calls it.
    """
    return Receipt({"to": to, **ids, **({"over": "yes"} if is_over else {})})
