"""Clicks on buttons in Slack, over Socket Mode: the connection is made from here, so no public URL is needed.

docs.slack.dev/apis/events-api/using-socket-mode. It goes through the transport of all providers (guarded against private
addresses, no proxies of the environment, bounded messages), which the client of slack_sdk does not permit.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection
from typing import Any, NamedTuple

import aiohttp
import msgspec
import structlog

from chainwatch.alerting.providers.actions import Act, Action, named, parse_button
from chainwatch.alerting.providers.provider import DeliveryError, Server
from chainwatch.alerting.providers.slack_api import WHO, SlackApi
from chainwatch.alerting.providers.slack_blocks import mrkdwn
from chainwatch.alerting.providers.transport import Transport, json_object

CONNECT_WITHIN = 15.0
"""Seconds for a WebSocket to open, and then for Slack's greeting."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds between attempts to connect; each pause is up to twice as long as the one before."""
STEADY_AFTER = 60.0
"""Seconds after which a connection that ends counts as a good one: Slack ends each after some hours."""
FAILURES_MAX = 8
"""Attempts in a row after which listening fails and people are alerted: after about two minutes."""
CLICKS_MAX = 100
"""Clicks that are performed at a time; more are dropped, and people click again."""
ID_MAX = 100
"""Characters of Slack's ids that are taken; they have about 11."""

_log = structlog.get_logger("chainwatch.slack")


class Click(NamedTuple):
    """A click on a button. ``channel`` and ``user`` are Slack's ids, by which the person is answered."""

    channel: str
    user: str
    action: Action


class SocketMode:
    """Listens with an app's token, and answers with a bot's, by a message that only the person who clicked sees."""

    def __init__(self, transport: Transport, api: SlackApi, app_token: str, token: str) -> None:
        self._transport = transport
        self._api = api
        self._app_token = app_token
        self._token = token
        self._performing: set[asyncio.Task[None]] = set()

    async def listen(self, receivers: Collection[str], act: Act) -> None:
        """Perform clicks, for ever. Raises ``DeliveryError`` where Slack refuses the token, or cannot be connected to."""
        loop = asyncio.get_running_loop()
        failures = 0
        try:
            while True:
                began = loop.time()
                asked = 0.0
                try:
                    await self._connect(frozenset(receivers), act)
                    failures = 0 if loop.time() - began >= STEADY_AFTER else failures + 1
                    if failures >= FAILURES_MAX:
                        raise DeliveryError(f"{WHO} has ended {failures} connections in a row at once")
                except DeliveryError as error:
                    if error.permanent or failures >= FAILURES_MAX - 1:
                        raise
                    failures += 1
                    asked = error.retry_after or 0.0
                    _log.warning("clicks in Slack are not received", error=str(error), attempts=failures)
                await asyncio.sleep(max(asked, pause(failures, random.random())))
        finally:
            for task in self._performing:
                task.cancel()
            await asyncio.gather(*self._performing, return_exceptions=True)

    async def _connect(self, receivers: frozenset[str], act: Act) -> None:
        """Take clicks until the connection ends. Raises ``DeliveryError`` where none comes up."""
        opened = await self._api.call("apps.connections.open", self._app_token, {})
        url = opened.get("url")
        schemes = ("wss://", "ws://") if self._api.url.startswith("http://") else ("wss://",)
        if not isinstance(url, str) or not url.startswith(schemes):
            raise DeliveryError(f"{WHO} names no address to connect to")
        server = Server(url, self._api.allow_private)
        async with self._transport.websocket(server, who=WHO, within=CONNECT_WITHIN) as socket:
            try:
                async with asyncio.timeout(CONNECT_WITHIN) as until_greeted:
                    await self._take_clicks(socket, until_greeted, receivers, act)
            except TimeoutError:
                raise DeliveryError(f"{WHO} opened a connection without a greeting") from None
            if until_greeted.when() is not None:
                raise DeliveryError(f"{WHO} closed the connection before its greeting")

    async def _take_clicks(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        until_greeted: asyncio.Timeout,
        receivers: frozenset[str],
        act: Act,
    ) -> None:
        """Take clicks until the connection ends; the greeting ends the time-out ``until_greeted``."""
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            envelope = json_object(message.data.encode(errors="replace"))
            if envelope.get("type") == "hello":
                until_greeted.reschedule(None)
            if envelope.get("type") == "disconnect" or not await _acknowledged(socket, envelope):
                return
            click = parse_click(envelope, receivers)
            if click is not None:
                self._start(click, act)

    def _start(self, click: Click, act: Act) -> None:
        if len(self._performing) >= CLICKS_MAX:
            _log.warning("a click in Slack was dropped: too many are waiting", by=click.action.actor)
            return
        task = asyncio.create_task(self._perform(click, act))
        self._performing.add(task)
        task.add_done_callback(self._performing.discard)

    async def _perform(self, click: Click, act: Act) -> None:
        answer = await act(click.action)
        message = {"channel": click.channel, "user": click.user, "text": mrkdwn(answer.text)}
        try:
            await self._api.call("chat.postEphemeral", self._token, message)
        except DeliveryError as error:  # what was asked for is done all the same
            _log.warning("an answer to a click was not taken", error=str(error))


async def _acknowledged(socket: aiohttp.ClientWebSocketResponse, envelope: dict[str, Any]) -> bool:
    """Confirm an envelope before anything is done about it: Slack waits for three seconds. False: the connection ended."""
    envelope_id = envelope.get("envelope_id")
    if isinstance(envelope_id, str):
        try:
            await socket.send_str(msgspec.json.encode({"envelope_id": envelope_id}).decode())
        except (aiohttp.ClientError, OSError):
            return False
    return True


def parse_click(envelope: dict[str, Any], receivers: frozenset[str]) -> Click | None:
    """Return the click that an envelope holds, on behalf of any of ``receivers``; None for every other one."""
    payload = _table(envelope, "payload")
    if envelope.get("type") != "interactive" or payload.get("type") != "block_actions":
        return None
    user = _table(payload, "user")
    channel, user_id = _id(_table(payload, "channel")), _id(user)
    actions = payload.get("actions")
    first = actions[0] if isinstance(actions, list) and actions else None
    clicked = parse_button(first.get("value")) if isinstance(first, dict) else None
    if clicked is None or channel is None or user_id is None:
        return None
    kind, key = clicked
    actor = named(user.get("username"), user.get("name"), user_id)
    action = Action(kind, key, receivers, actor, f"{WHO}, user {user_id}")
    return Click(channel, user_id, action)


def pause(failures: int, jitter: float) -> float:
    """Return the seconds before the next attempt after so many failures in a row; ``jitter`` is in [0, 1)."""
    longest: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** max(0, failures - 1))
    return longest * (0.5 + 0.5 * jitter)


def _table(parent: dict[str, Any], key: str) -> dict[str, Any]:
    value = parent.get(key)
    return value if isinstance(value, dict) else {}


def _id(table: dict[str, Any]) -> str | None:
    value = table.get("id")
    return value if isinstance(value, str) and value.isalnum() and len(value) <= ID_MAX else None
