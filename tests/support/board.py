"""A provider as its author would add it, in one file: notes on a board, of which each group has one that is edited."""

from typing import ClassVar

from pydantic import Field, SecretStr

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.providers import Capabilities, DeliveryError, Receipt, Server, Transport
from chainwatch.config.receivers import ReceiverSettings


class BoardSettings(ReceiverSettings):
    """A board in memory."""

    token: SecretStr = Field(description="Opens the board (secret).")


Note = tuple[str, str | None]
"""A note's text, and the id of the note that it replaces."""


class BoardProvider:
    """Puts up one note for each group and edits it from then on."""

    settings_type = BoardSettings
    capabilities = Capabilities(keeps_receipts=True)
    server: Server | None = None

    notes: ClassVar[dict[str, list[str]]] = {}
    """Id → the versions of the note."""
    refusals: ClassVar[list[DeliveryError]] = []

    def __init__(self, settings: BoardSettings, transport: Transport) -> None:
        self.token = settings.token.get_secret_value()

    def render(self, notification: Notification, previous: Receipt | None) -> Note:
        text = ", ".join(sorted(f"{a.status} {a.labels['transfer']}" for a in notification.alerts))
        return text, None if previous is None else previous.remote_ids["note"]

    async def send(self, message: Note) -> Receipt:
        if self.refusals:
            raise self.refusals.pop()
        text, replaced = message
        note = replaced or f"{len(self.notes) + 1}"
        self.notes.setdefault(note, []).append(text)
        return Receipt({"note": note})
