"""Notifications that a channel takes in several parts: a request for each alert, a mailbox for each recipient."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

from chainwatch.alerting.providers.provider import DeliveryError

UNFINISHED_MAX = 256
"""Notifications of which some parts were taken that are remembered; for older ones, all parts are sent again."""

REFUSALS_MAX = 10
"""Parts of one notification that may be refused before the others are not tried: it is likely the same for all."""

T = TypeVar("T")


class TakenParts:
    """Which parts of unfinished notifications the channel has taken, so that the next attempt sends only the others.

    Notifications are known by their idempotency keys, parts by names of the provider's. This is in memory only: after a
    restart all parts are sent again, so each must carry a key by which its receiver recognizes it.
    """

    def __init__(self) -> None:
        self._taken: OrderedDict[str, set[str]] = OrderedDict()

    def of(self, key: str) -> frozenset[str]:
        """Return the parts of notification ``key`` that were taken."""
        return frozenset(self._taken.get(key, ()))

    def add(self, key: str, parts: Iterable[str]) -> None:
        """Note that ``parts`` of notification ``key`` were taken."""
        self._taken.setdefault(key, set()).update(parts)
        self._taken.move_to_end(key)
        if len(self._taken) > UNFINISHED_MAX:
            self._taken.popitem(last=False)

    async def send(self, key: str, parts: Mapping[str, T], send: Callable[[T], Awaitable[None]]) -> None:
        """Let ``send`` send those of ``parts``, by name, that were not taken yet, one after the other.

        A part that is refused for good does not hold up the others. Raises ``DeliveryError`` while any is left.
        """
        refusals: list[DeliveryError] = []
        taken = self.of(key)
        for name, part in parts.items():
            if name in taken:
                continue
            try:
                await send(part)
            except DeliveryError as error:
                if not error.permanent:
                    raise
                refusals.append(error)
                if len(refusals) >= REFUSALS_MAX:
                    break
            else:
                self.add(key, [name])
        if refusals:
            raise refusals[0]
        self.finish(key)

    def finish(self, key: str) -> None:
        """Forget notification ``key``: every part was taken."""
        self._taken.pop(key, None)
