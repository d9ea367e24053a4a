"""Which message a notification changes, for channels that keep one message about each group up to date. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.providers.provider import Receipt


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
