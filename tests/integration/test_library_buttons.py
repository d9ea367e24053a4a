"""A click in a channel of the library's alert manager, whose database may refuse."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chainwatch import AlertManager
from tests.support import slack
from tests.support.slack import Slack, texts
from tests.support.waiting import eventually


@pytest.fixture
async def server() -> AsyncIterator[Slack]:
    async with Slack() as server:
        yield server


def configuration(server: Slack) -> dict[str, Any]:
    return {
        "receivers": {"team": {**server.settings, "app_token": slack.APP_TOKEN}},
        "routes": [{"receivers": ["team"], "group_wait": "0s"}],
    }


def words(message: dict[str, Any]) -> str:
    return "\n".join(part["text"] for part in texts(message))


async def test_a_click_acknowledges_and_a_command_updates_the_message_too(server: Slack) -> None:
    manager = await asyncio.to_thread(AlertManager.from_config, configuration(server))
    try:
        late, other = await manager.submit_async(
            [
                {"labels": {"alertname": name, "severity": "P1"}, "annotations": {"summary": name}}
                for name in ("Late", "Other")
            ]
        )
        await server.until("chat.postMessage", 2)
        await server.until_connected()
        first, second = sorted(server.messages, key=lambda t: "Other" in words(server.messages[t]))
        await server.click(first, "Acknowledge", user="ann")
        await eventually(lambda: "Acknowledged by ann" in words(server.messages[first]))
        shown = await asyncio.to_thread(manager.show, late)
        assert shown is not None
        assert shown["acknowledged"]["by"] == "ann"

        assert await asyncio.to_thread(manager.acknowledge, other, "ben")
        await eventually(lambda: "Acknowledged by ben" in words(server.messages[second]))
        assert len(server.called("chat.postMessage")) == 2
    finally:
        await manager.close_async(0.0)


async def test_after_a_reload_with_another_channel_only_its_buttons_are_listened_to(server: Slack) -> None:
    manager = await asyncio.to_thread(AlertManager.from_config, configuration(server))
    async with Slack() as another:
        try:
            await server.until_connected()
            await asyncio.to_thread(manager.reload, configuration(another))
            await another.until_connected()
            assert server.is_left
        finally:
            await manager.close_async(0.0)
    assert server.connections == another.connections == 1
