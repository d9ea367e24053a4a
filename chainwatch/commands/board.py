"""What ``chainwatch top`` shows, and what its keys do."""

from __future__ import annotations

from collections.abc import Callable

from chainwatch.alerting.providers.actions import SILENCED_FOR
from chainwatch.commands.keyboard import DOWN, UP
from chainwatch.commands.show.now import Shown, alerts_of
from chainwatch.operations import alert_actions, silencing
from chainwatch.operations.context import Access
from chainwatch.operations.errors import OperationError, StoreError
from chainwatch.operations.glance import glance
from chainwatch.operations.urgency import UrgentAlert

_MOVES = {UP: -1, "k": -1, DOWN: 1, "j": 1}


class Board:
    """One alert is chosen, as long as any fires. ``actor`` presses the keys. Raises ``StoreError`` when it is made.

    ``is_over``: somebody has asked to end it.
    """

    def __init__(self, access: Access, actor: str) -> None:
        self.is_over = False
        self._access = access
        self._actor = actor
        self._glance = access.read(glance)
        self._chosen: int | None = None
        self._position = 0
        self._message = ""
        self._problem = ""
        """Why the last reading failed."""
        self._asked: UrgentAlert | None = None
        """The alert about which it is asked whether to silence it."""
        self._choose(0)

    @property
    def shown(self) -> Shown:
        """What the screen shows."""
        return Shown(self._glance, self._chosen, self._message or self._problem)

    def read(self) -> None:
        """Read everything again. The chosen alert stays chosen; where it fires no more, the one in its place is."""
        try:
            self._glance = self._access.read(glance)
        except StoreError as error:
            self._problem = f"what is shown is old: {error}"
            return
        self._problem = ""
        ids = [one.alert.id for one in alerts_of(self._glance)]
        self._choose(ids.index(self._chosen) if self._chosen in ids else self._position)

    def press(self, key: str) -> None:
        """Do what ``key`` is for; any key but y is a no to a question."""
        asked, self._asked, self._message = self._asked, None, ""
        if asked is not None:
            if key == "y":
                self._do(lambda: self._silence(asked))
        elif key == "q":
            self.is_over = True
        elif key in _MOVES:
            self._choose(self._position + _MOVES[key])
        elif key in ("a", "s") and (chosen := self._chosen_alert()) is not None:
            if key == "a":
                self._do(lambda: self._acknowledge(chosen))
            else:
                self._asked = chosen
                self._message = f"Silence {_named(chosen)} for 1 h? Press y, or any other key not to."

    def _choose(self, position: int) -> None:
        found = alerts_of(self._glance)
        self._position = max(0, min(position, len(found) - 1))
        self._chosen = found[self._position].alert.id if found else None

    def _chosen_alert(self) -> UrgentAlert | None:
        return next((one for one in alerts_of(self._glance) if one.alert.id == self._chosen), None)

    def _do(self, act: Callable[[], str]) -> None:
        try:
            self._message = act()
        except (OperationError, StoreError) as error:
            self._message = f"nothing was done: {error}"
        else:
            self.read()

    def _acknowledge(self, chosen: UrgentAlert) -> str:
        if chosen.acknowledged is not None:
            return f"{_named(chosen)} is acknowledged already, by {chosen.acknowledged.by}"
        changed = self._access.write(alert_actions.acknowledge, [chosen.alert.id], self._actor, "by top")
        return f"{_named(chosen)} {'acknowledged' if changed.done else 'fires no more'}"

    def _silence(self, chosen: UrgentAlert) -> str:
        match = {name: f"={value}" for name, value in chosen.alert.labels.items() if value}
        added = self._access.write(silencing.add_silence, match, self._actor, "by top", lasts=SILENCED_FOR)
        return f"{_named(chosen)} silenced for 1 h: silence {added.id}, which hides {added.hides} now"


def _named(one: UrgentAlert) -> str:
    return f"{one.severity} {one.alert.name}"
