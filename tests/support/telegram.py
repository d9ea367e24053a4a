"""A Telegram: the methods of its Bot API that matter here, from core.telegram.org/bots/api."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from html.parser import HTMLParser
from typing import Any, NamedTuple

from aiohttp import web

from tests.support.chat import Chat, Fault, faulty

TOKEN = "123456789:AAFsecretSECRETsecret"
GROUP = -1001234567890
ANN = {"id": 7, "is_bot": False, "first_name": "Ann", "username": "Ann_M"}
EVE = {"id": 8, "is_bot": False, "first_name": "Eve", "username": "eve"}


def refuses(code: int, description: str, **parameters: int) -> Fault:
    """Telegram's way to refuse."""
    body = {"ok": False, "error_code": code, "description": description, "parameters": parameters}
    return Fault(code, json.dumps(body))


class Telegram(Chat):
    """An async context manager. Calls of `getUpdates` use up `poll_faults` in place of `faults`."""

    def __init__(self, port: int | None = None) -> None:
        super().__init__(port)
        self.poll_faults: deque[Fault] = deque()
        self.messages: dict[int, dict[str, Any]] = {}
        """Id → the message as it stands."""
        self.updates: dict[int, dict[str, Any]] = {}
        """Those that are not confirmed."""
        self._ids = itertools.count(100)
        self.polling = 0
        self.most_polling = 0

    def _routes(self) -> list[web.RouteDef]:
        return [web.post("/bot{token}/{method}", self._method)]

    @property
    def settings(self) -> dict[str, Any]:
        """The receiver's table, without buttons."""
        return {
            "provider": "telegram",
            "token": TOKEN,
            "chat_id": GROUP,
            "api_url": f"http://127.0.0.1:{self.port}",
            "allow_private": True,
        }

    async def click(
        self, message_id: int, button: str, user: dict[str, Any] = ANN, data: str | None = None
    ) -> int:
        """A person clicks a button; the update's number."""
        found = [one for one in buttons(self.messages[message_id]) if one["text"] == button] or [{}]
        number = next(self._ids)
        query = {
            "id": f"q{number}",
            "from": user,
            "message": {"message_id": message_id, "chat": {"id": GROUP}, "date": 1},
            "chat_instance": "1",
            "data": data or found[0].get("callback_data"),
        }
        await self.put({"update_id": number, "callback_query": query})
        return number

    async def put(self, update: dict[str, Any]) -> None:
        """An update comes."""
        async with self._changed:
            self.updates[update["update_id"]] = update
            self._changed.notify_all()

    async def _method(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        arguments = json.loads(await request.read())
        faults = self.poll_faults if method == "getUpdates" else self.faults
        fault = faults.popleft() if faults else None
        refusal = self._refusal(request, method, arguments) if fault is None else fault
        result = None
        if refusal is None:
            result = (
                await self._poll(arguments) if method == "getUpdates" else self._result(method, arguments)
            )
        await self._note(method, arguments)
        if refusal is not None:
            return await faulty(request, refusal)
        return web.json_response({"ok": True, "result": result})

    def _refusal(self, request: web.Request, method: str, arguments: dict[str, Any]) -> Fault | None:
        if request.match_info["token"] != TOKEN:
            return refuses(401, "Unauthorized")
        if method not in ("sendMessage", "editMessageText"):
            return None
        if arguments["chat_id"] != GROUP:
            return refuses(400, "Bad Request: chat not found")
        if (why := broken(arguments)) is not None:
            return refuses(400, f"Bad Request: {why}")
        if method == "editMessageText":
            before = self.messages.get(arguments["message_id"])
            if before is None:
                return refuses(400, "Bad Request: message to edit not found")
            if _shown(before) == _shown(arguments):
                return refuses(400, "Bad Request: message is not modified: specified new message content …")
        return None

    def _result(self, method: str, arguments: dict[str, Any]) -> Any:
        if method == "answerCallbackQuery":
            return True
        number = arguments.get("message_id") or next(self._ids)
        self.messages[number] = arguments
        return {"message_id": number, "chat": {"id": GROUP, "type": "supergroup"}, "date": 1, "text": "…"}

    async def _poll(self, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        offset = arguments.get("offset", 0)
        self.updates = {number: one for number, one in self.updates.items() if number >= offset}
        self.polling += 1
        self.most_polling = max(self.most_polling, self.polling)
        try:
            async with asyncio.timeout(arguments["timeout"]), self._changed:
                await self._changed.wait_for(lambda: bool(self.updates))
        except TimeoutError:
            return []
        finally:
            self.polling -= 1
        return [self.updates[number] for number in sorted(self.updates)][: arguments["limit"]]


def buttons(message: dict[str, Any]) -> list[dict[str, str]]:
    """The buttons of a message."""
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    return [button for row in rows for button in row]


def _shown(message: dict[str, Any]) -> tuple[Any, Any]:
    return message["text"], message.get("reply_markup")


class Entity(NamedTuple):
    """Something that Telegram marks in a text."""

    tag: str
    href: str


class Html(HTMLParser):
    """Parses a message as Telegram does: its text, and its entities."""

    ALLOWED = frozenset({"a", "b", "code"})

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.outside_code = ""
        self.entities: list[Entity] = []
        self.problem: str | None = None
        self._open: list[str] = []
        self.feed(html)
        self.close()
        if self._open:
            self.problem = "can't parse entities: a tag is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.ALLOWED:
            self.problem = f'can\'t parse entities: unsupported start tag "{tag}"'
        self._open.append(tag)
        self.entities.append(Entity(tag, dict(attrs).get("href") or ""))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.problem = "can't parse entities: unmatched end tag"

    def handle_data(self, data: str) -> None:
        self.text += data
        if "code" not in self._open:
            self.outside_code += data


def broken(arguments: dict[str, Any]) -> str | None:
    """Why Telegram would refuse a message's content; None where it takes it."""
    parsed = Html(arguments["text"])
    if parsed.problem is not None:
        return parsed.problem
    length = len(parsed.text.encode("utf-16-le")) // 2
    if not parsed.text.strip():
        return "message text is empty"
    if length > 4096:
        return "message is too long"
    for button in buttons(arguments):
        if len(button["callback_data"].encode()) > 64:
            return "BUTTON_DATA_INVALID"
    return None
