"""Notifications that a channel takes in several parts: a request for each alert, a mailbox for each recipient."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from chainwatch.alerting.providers.provider import DeliveryError

UNFINISHED_MAX = 256
"""Notifications of which some parts were taken that are remembered; for older ones, all parts are sent again."""

REFUSALS_MAX = 10
"""Parts of one notification that may be refused, while none was taken, before the others are left for the next attempt."""

T = TypeVar("T")


class TakenParts:
    """Which parts of unfinished notifications the channel has taken, so that the next attempt sends only the others.

    Notifications are known by their idempotency keys, parts by names of the provider's. This is in memory only: after a
    restart all parts are sent again, so each must carry a key by which its receiver recognizes it.
    """

    def __init__(self) -> None:
        self._begun: OrderedDict[str, _Progress] = OrderedDict()

    def of(self, key: str) -> frozenset[str]:
        """Return the parts of notification ``key`` that were taken."""
        return frozenset(self._begun[key].taken) if key in self._begun else frozenset()

    def add(self, key: str, parts: Iterable[str]) -> None:
        """Note that ``parts`` of notification ``key`` were taken."""
        self._progress(key).taken.update(parts)

    async def send(self, key: str, parts: Mapping[str, T], send: Callable[[T], Awaitable[None]]) -> None:
        """Let ``send`` send those of ``parts``, by name, that were not taken yet, one after the other.

        A part that is refused for good does not hold up the others: once any was taken all are tried, and the next attempt
        begins with those that were not refused before. Raises ``DeliveryError`` while any is left.
        """
        refusals: list[DeliveryError] = []
        progress = self._progress(key)
        left = [name for name in parts if name not in progress.taken]
        for name in sorted(left, key=progress.refused.__contains__):
            try:
                await send(parts[name])
            except DeliveryError as error:
                if not error.permanent:
                    if not any(progress):
                        self.finish(key)  # nothing to remember
                    raise
                progress.refused.add(name)
                refusals.append(error)
                if len(refusals) >= REFUSALS_MAX and not progress.taken:
                    break
            else:
                progress.taken.add(name)
        if refusals:
            raise refusals[0]
        self.finish(key)

    def finish(self, key: str) -> None:
        """Forget notification ``key``: every part was taken."""
        self._begun.pop(key, None)

    def _progress(self, key: str) -> _Progress:
        progress = self._begun.setdefault(key, _Progress(set(), set()))
        self._begun.move_to_end(key)
        if len(self._begun) > UNFINISHED_MAX:
            self._begun.popitem(last=False)
        return progress


class _Progress(NamedTuple):
    """The parts of a notification that were taken, and those that were refused for good."""

    taken: set[str]
    refused: set[str]
