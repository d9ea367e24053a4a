"""Clicks on buttons in Telegram, by long polling: core.telegram.org/bots/api#getupdates.

Telegram keeps updates for a day until the next call confirms them, so no click is lost by a restart; one that is delivered
twice has no second effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

import structlog

from chainwatch.alerting.providers.actions import Act, Action, Answer, named, parse_button
from chainwatch.alerting.providers.provider import DeliveryError
from chainwatch.alerting.providers.telegram_api import WHO, TelegramApi
from chainwatch.support.printable import clean

POLL = 25
"""Seconds for which Telegram waits for an update before it answers."""
EMPTY_PAUSE = 1.0
"""The least seconds between two calls of which the first brought nothing new."""
NUMBER_MAX = 2**52
"""The highest number of an update that can be; Telegram's are below 2^31."""
AT_ONCE = 3
"""Updates of one answer: each holds a whole message, and answers are read up to ``transport.ANSWER_MAX``."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds between attempts that fail; each pause is twice as long as the one before."""
FAILURES_MAX = 8
"""Attempts in a row after which listening fails and people are alerted: after about two minutes."""
ANSWER_MAX = 200
"""Characters of an answer to a click."""

NOT_ALLOWED = Answer("You may not do this: allowed_users does not name you.", done=False)
UNKNOWN = Answer("This button is not one of chainwatch's.", done=False)

_log = structlog.get_logger("chainwatch.telegram")


class Click(NamedTuple):
    """A click on a button. ``query``: Telegram's id of it; ``user``: who clicked, by id and by name in small letters."""

    query: str
    user: tuple[int, str]
    actor: str
    data: object


class Allowed(NamedTuple):
    """The people who may act on messages of one receiver: ids, and names in small letters without ``@``."""

    ids: frozenset[int]
    names: frozenset[str]

    @classmethod
    def of(cls, users: list[int | str]) -> Allowed:
        """Return the people of the key ``allowed_users``."""
        names = (user for user in users if isinstance(user, str))
        return cls(
            frozenset(user for user in users if isinstance(user, int)),
            frozenset(name.removeprefix("@").lower() for name in names),
        )

    def permits(self, user: tuple[int, str]) -> bool:
        """Return whether ``user`` is one of them."""
        number, name = user
        return number in self.ids or (bool(name) and name in self.names)


class Updates:
    """Polls for one bot, and answers every click."""

    def __init__(self, api: TelegramApi) -> None:
        self._api = api

    async def listen(self, allowed: Mapping[str, Allowed], act: Act) -> None:
        """Perform clicks, for ever. ``allowed``: by receiver who may. Raises ``DeliveryError`` where Telegram refuses."""
        loop = asyncio.get_running_loop()
        offset, failures = 0, 0
        known: set[int] = set()
        while True:
            began = loop.time()
            try:
                updates = await self._poll(offset)
                failures = 0
            except DeliveryError as error:
                failures += 1
                if error.permanent or failures >= FAILURES_MAX:
                    raise
                _log.warning("clicks in Telegram are not received", error=str(error), attempts=failures)
                own = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (failures - 1))
                await asyncio.sleep(max(own, error.retry_after or 0.0))
                continue
            new = [(number, click) for number, click in updates if number not in known]
            for number, click in new:
                if click is not None:
                    await self._answer(click, await _performed(click, allowed, act))
                offset = number + 1  # after a week without updates, their numbers begin anywhere, also lower
            known = {number for number, _ in updates}
            if not new:  # Telegram has waited for POLL seconds; what stands for it may have not
                await asyncio.sleep(max(0.0, began + EMPTY_PAUSE - loop.time()))

    async def _poll(self, offset: int) -> list[tuple[int, Click | None]]:
        """Return the next updates from ``offset`` on, by their numbers."""
        result = await self._api.call(
            "getUpdates",
            {"offset": offset, "timeout": POLL, "limit": AT_ONCE, "allowed_updates": ["callback_query"]},
            waits=POLL,
        )
        if not isinstance(result, list):
            raise DeliveryError(f"{WHO} answers, but not with updates")
        return [
            (one["update_id"], parse_click(one))
            for one in result
            if isinstance(one, dict) and _is_number(one.get("update_id"))
        ]

    async def _answer(self, click: Click, answer: Answer) -> None:
        """Answer a click, even one that is refused: until then the button shows that it waits."""
        try:
            await self._api.call(
                "answerCallbackQuery",
                {
                    "callback_query_id": click.query,
                    "text": clean(answer.text)[:ANSWER_MAX],
                    "show_alert": not answer.done,
                },
            )
        except DeliveryError as error:  # what was asked for is done all the same
            _log.warning("an answer to a click was not taken", error=str(error))


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value <= NUMBER_MAX


async def _performed(click: Click, allowed: Mapping[str, Allowed], act: Act) -> Answer:
    parsed = parse_button(click.data)
    if parsed is None:
        return UNKNOWN
    receivers = frozenset(name for name, people in allowed.items() if people.permits(click.user))
    if not receivers:
        _log.warning("a click was refused", by=click.actor, user=click.user[0])
        return NOT_ALLOWED
    kind, key = parsed
    return await act(Action(kind, key, receivers, click.actor, f"{WHO}, user {click.user[0]}"))


def parse_click(update: Mapping[str, Any]) -> Click | None:
    """Return the click (``callback_query``) that an update holds; None for every other one."""
    query = update.get("callback_query")
    user = query.get("from") if isinstance(query, dict) else None
    if not isinstance(query, dict) or not isinstance(user, dict):
        return None
    query_id, number = query.get("id"), user.get("id")
    if not isinstance(query_id, str) or type(number) is not int:
        return None
    name = user.get("username")
    actor = named(name, user.get("first_name"), str(number))
    return Click(query_id, (number, name.lower() if isinstance(name, str) else ""), actor, query.get("data"))
