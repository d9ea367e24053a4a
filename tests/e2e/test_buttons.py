"""A click in Slack or Telegram on a running chainwatch: the alert is acknowledged, and every message about it says so."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import slack, telegram
from tests.support.live import Live, fires
from tests.support.receiver import Receiver
from tests.support.slack import Slack
from tests.support.telegram import EVE, Html, Telegram
from tests.support.waiting import eventually


@pytest.fixture
async def channels() -> AsyncIterator[tuple[Slack, Telegram]]:
    async with Slack() as chat, Telegram() as bot:
        yield chat, bot


def configuration(chat: Slack, bot: Telegram) -> dict[str, Any]:
    return {
        "receivers": {
            "team": {**chat.settings, "app_token": slack.APP_TOKEN},
            "phones": {**bot.settings, "allowed_users": [telegram.ANN["id"]]},
            "desk": {**bot.settings, "allowed_users": [telegram.ANN["id"]], "send_resolved": False},
        },
        "routes": [
            {
                "match": {"alertname": "Late"},
                "receivers": ["team", "phones"],
                "group_wait": "0s",
                "group_interval": "200ms",
            },
            {"receivers": ["desk"]},
        ],
    }


def words(message: dict[str, Any]) -> str:
    return "\n".join(part["text"] for part in slack.texts(message))


async def test_a_click_acknowledges_and_every_message_shows_it_also_after_a_restart(
    tmp_path: Path, channels: tuple[Slack, Telegram]
) -> None:
    chat, bot = channels
    async with Receiver() as nobody, Live(tmp_path, nobody, configuration(chat, bot)) as live:
        live.raise_signals([fires("Late", time.time())], time.time())
        await chat.until("chat.postMessage")
        await bot.until("sendMessage")
        await chat.until_connected()
        ((timestamp, message),) = chat.messages.items()
        ((number, _),) = bot.messages.items()
        assert [one["text"]["text"] for one in slack.buttons(message)] == ["Acknowledge", "Silence 1 h"]

        await chat.click(timestamp, "Acknowledge", user="ann")
        (answer,) = await chat.until("chat.postEphemeral")
        assert answer["text"] == "1 alert acknowledged."
        (alert,) = await live.watch.read("alerts", "--name", "Late")
        shown = await live.watch.read("alerts", "show", str(alert["id"]))
        assert (shown["acknowledged"]["by"], shown["acknowledged"]["note"]) == ("ann", "Slack, user UANN")
        await chat.until("chat.update")
        await bot.until("editMessageText")
        await eventually(lambda: "Acknowledged by ann" in words(chat.messages[timestamp]))
        await eventually(lambda: "Acknowledged by ann" in Html(bot.messages[number]["text"]).text)
        assert [one["text"] for one in telegram.buttons(bot.messages[number])] == ["Silence 1 h"]

        live.watch.kill()
        await live.start()
        await bot.click(number, "Silence 1 h", EVE)
        (refused,) = await bot.until("answerCallbackQuery")
        assert refused["show_alert"]
        await bot.click(number, "Silence 1 h")
        (_, answered) = await bot.until("answerCallbackQuery", 2)
        assert answered["text"].startswith("1 alert silenced until ")
        (silence,) = await live.watch.read("silences", "list")
        assert (silence["author"], silence["comment"]) == ("Ann_M", "Telegram, user 7")
        await eventually(lambda: "by Ann" in words(chat.messages[timestamp]))
        assert len(chat.called("chat.postMessage")) == len(bot.called("sendMessage")) == 1
        assert bot.most_polling == 1
        for secret in ("SECRET", telegram.TOKEN.partition(":")[2]):
            assert secret not in live.watch.written
