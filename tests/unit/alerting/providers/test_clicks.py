"""Clicks in Slack (Socket Mode) and Telegram (long polling), over real connections that break in every way."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chainwatch.alerting.providers import (
    Action,
    Answer,
    DeliveryError,
    Transport,
    build_provider,
    slack_socket,
    telegram_updates,
)
from chainwatch.alerting.providers.slack_socket import pause
from chainwatch.config import read_dict
from tests.support import slack, telegram
from tests.support.chat import Fault
from tests.support.slack import Slack
from tests.support.telegram import ANN, EVE, Telegram
from tests.support.waiting import PATIENCE, eventually
from tests.unit.alerting.helpers import notification

KEY = "0" * 32


class People:
    """Performs what is clicked, and remembers it."""

    def __init__(self) -> None:
        self.actions: list[Action] = []
        self.answer = Answer("1 alert acknowledged.")

    async def act(self, action: Action) -> Answer:
        self.actions.append(action)
        return self.answer


def built(transport: Transport, **tables: dict[str, Any]) -> dict[str, Any]:
    data = {"receivers": tables, "routes": [{"receivers": list(tables)}]}
    receivers = read_dict(data, watches=False).settings().receivers
    return {name: build_provider(settings, transport) for name, settings in receivers.items()}


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport() as transport:
        yield transport


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slack_socket, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(telegram_updates, "FIRST_PAUSE", 0.01)


@asynccontextmanager
async def listening(providers: dict[str, Any], people: People) -> AsyncIterator[asyncio.Task[None]]:
    first = next(iter(providers.values()))
    task = asyncio.create_task(first.listen(providers, people.act))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(look: Callable[[], Any]) -> None:
    await eventually(lambda: bool(look()))


# --- Slack --------------------------------------------------------------------------------------------------


@pytest.fixture
async def slack_app(transport: Transport) -> AsyncIterator[tuple[Slack, dict[str, Any], str]]:
    """A Slack, its receiver with buttons, and a message with them."""
    async with Slack() as server:
        providers = built(transport, ops={**server.settings, "app_token": slack.APP_TOKEN})
        channel = providers["ops"]
        receipt = await channel.send(channel.render(notification(), None))
        yield server, providers, receipt.remote_ids["message"]


SlackApp = tuple[Slack, dict[str, Any], str]


async def test_a_click_in_slack_is_confirmed_performed_and_answered(slack_app: SlackApp) -> None:
    server, providers, message = slack_app
    people = People()
    async with listening(providers, people):
        await server.until_connected()
        await server.click(message, "Acknowledge")
        assert await server.until_acknowledged() == [{"envelope_id": "e2"}]
        (answer,) = await server.until("chat.postEphemeral")
    assert people.actions == [
        Action("acknowledge", KEY, frozenset({"ops"}), "ann", "Slack, user UANN"),
    ]
    assert answer == {"channel": slack.CHANNEL, "user": "UANN", "text": "1 alert acknowledged."}


async def test_slack_gets_its_confirmation_while_the_click_is_still_performed(slack_app: SlackApp) -> None:
    server, providers, message = slack_app
    people, gate = People(), asyncio.Event()

    async def act(action: Action) -> Answer:
        await gate.wait()
        return await People.act(people, action)

    people.act = act  # type: ignore[method-assign]
    async with listening(providers, people):
        await server.until_connected()
        for _ in range(3):
            await server.click(message, "Silence 1 h")
        await server.until_acknowledged(3)
        assert people.actions == []
        gate.set()
        await server.until("chat.postEphemeral", 3)
    assert [action.kind for action in people.actions] == ["silence"] * 3


async def test_an_answer_shows_no_markup_of_what_it_names(slack_app: SlackApp) -> None:
    server, providers, message = slack_app
    people = People()
    people.answer = Answer("Acknowledged already, by <!channel> *x*.")
    async with listening(providers, people):
        await server.until_connected()
        await server.click(message, "Acknowledge")
        (answer,) = await server.until("chat.postEphemeral")
    assert answer["text"] == "Acknowledged already, by &lt;!channel&gt; ＊x＊."


FOREIGN = [
    "not json",
    "[" * 100_000,
    "[]",
    '{"type": 5}',
    '{"type": "interactive"}',
    '{"type": "interactive", "payload": 7}',
    '{"type": "interactive", "payload": {"type": "block_actions", "actions": {}}}',
    '{"type": "interactive", "payload": {"type": "block_actions", "actions": [null], "user": [], "channel": 1}}',
    '{"type": "interactive", "payload": {"type": "block_actions", "user": {"id": "<!U>"}, "channel": {"id": "C1"}, '
    '"actions": [{"value": "acknowledge:' + KEY + '"}]}}',
    '{"type": "interactive", "payload": {"type": "view_submission"}}',
    '{"type": "events_api", "payload": {"event": {}}}',
    b"\x00\xff",
]


@pytest.mark.parametrize("said", FOREIGN)
async def test_anything_else_over_the_socket_does_nothing(slack_app: SlackApp, said: str | bytes) -> None:
    server, providers, message = slack_app
    people = People()
    async with listening(providers, people):
        await server.until_connected()
        await server.say(said)
        await server.click(message, "Acknowledge")
        await server.until("chat.postEphemeral")
    assert len(people.actions) == 1


async def test_every_envelope_is_confirmed_whatever_is_in_it(slack_app: SlackApp) -> None:
    server, providers, _ = slack_app
    async with listening(providers, People()):
        await server.until_connected()
        await server.say(json.dumps({"type": "slash_commands", "envelope_id": "x1", "payload": {}}))
        assert await server.until_acknowledged() == [{"envelope_id": "x1"}]


@pytest.mark.parametrize(
    "end",
    [
        lambda server: server.say(json.dumps({"type": "disconnect", "reason": "refresh_requested"})),
        lambda server: server.hang_up(1001),
        lambda server: server.hang_up(1011),
        lambda server: server.say("x" * 1_000_000),
    ],
    ids=["disconnect", "close", "error", "too much"],
)
async def test_a_connection_that_ends_is_made_again(
    slack_app: SlackApp, end: Callable[[Slack], Awaitable[None]]
) -> None:
    server, providers, message = slack_app
    people = People()
    async with listening(providers, people):
        await server.until_connected()
        await end(server)
        await server.until_connected(2)
        await server.click(message, "Acknowledge")
        await until(lambda: people.actions)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(500, "oops"),
        Fault(200, "half", cut=True),
        Fault(200, '{"ok": true}'),
        Fault(200, '{"ok": true, "url": "http://127.0.0.1:1/"}'),
        Fault(200, '{"ok": true, "url": "ws://127.0.0.1:1/"}'),
        slack.refuses("internal_error"),
        slack.refuses("ratelimited", **{"Retry-After": "0"}),
    ],
)
async def test_a_connection_that_does_not_come_up_is_tried_again(slack_app: SlackApp, fault: Fault) -> None:
    server, providers, _ = slack_app
    server.faults.extend([fault] * 3)
    async with listening(providers, People()):
        await server.until_connected()
    assert len(server.called("apps.connections.open")) == 4


async def test_a_token_that_is_refused_is_an_error_that_people_are_alerted_of(slack_app: SlackApp) -> None:
    server, providers, _ = slack_app
    server.faults.append(slack.refuses("invalid_auth"))
    async with listening(providers, People()) as task:
        with pytest.raises(DeliveryError, match="the token is not valid"):
            await asyncio.wait_for(asyncio.shield(task), PATIENCE)


async def test_a_slack_that_stays_away_is_an_error_too(slack_app: SlackApp) -> None:
    server, providers, _ = slack_app
    server.faults.extend([Fault(503)] * 20)
    async with listening(providers, People()) as task:
        with pytest.raises(DeliveryError, match="503"):
            await asyncio.wait_for(asyncio.shield(task), PATIENCE)


@pytest.mark.parametrize("said", [["hello", "disconnect"], ["disconnect"], []])
async def test_a_slack_that_ends_every_connection_at_once_is_an_error_too(
    slack_app: SlackApp, said: list[str]
) -> None:
    server, providers, _ = slack_app
    server.greeting = [{"type": kind, "reason": "link_disabled"} for kind in said]
    server.hangs_up = True
    async with listening(providers, People()) as task:
        with pytest.raises(DeliveryError, match=r"closed|ended"):
            await asyncio.wait_for(asyncio.shield(task), PATIENCE)


async def test_a_slack_that_never_greets_is_an_error_too(
    slack_app: SlackApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, providers, _ = slack_app
    monkeypatch.setattr(slack_socket, "CONNECT_WITHIN", 1.5)
    monkeypatch.setattr(slack_socket, "FAILURES_MAX", 2)
    server.greeting = []
    async with listening(providers, People()) as task:
        with pytest.raises(DeliveryError, match="greeting"):
            await asyncio.wait_for(asyncio.shield(task), PATIENCE)


async def test_an_address_of_a_private_network_is_refused(transport: Transport) -> None:
    async with Slack() as server:
        table = {**server.settings, "app_token": slack.APP_TOKEN, "allow_private": False}
        async with listening(built(transport, ops=table), People()) as task:
            with pytest.raises(DeliveryError, match="not public"):
                await asyncio.wait_for(asyncio.shield(task), PATIENCE)


def test_pauses_grow_up_to_half_a_minute() -> None:
    slack_socket_pauses = [pause(number, 1.0) for number in (1, 2, 3, 50)]
    assert slack_socket_pauses == sorted(slack_socket_pauses)
    assert slack_socket_pauses[-1] == 30.0
    assert pause(50, 0.0) == 15.0


# --- Telegram -----------------------------------------------------------------------------------------------

TelegramBot = tuple[Telegram, dict[str, Any], int]


@pytest.fixture
async def bot(transport: Transport) -> AsyncIterator[TelegramBot]:
    """A Telegram, two receivers of one bot, and a message of the first with buttons."""
    async with Telegram() as server:
        providers = built(
            transport,
            ops={**server.settings, "allowed_users": [7]},
            others={**server.settings, "allowed_users": ["@Eve"]},
        )
        channel = providers["ops"]
        receipt = await channel.send(channel.render(notification(), None))
        yield server, providers, int(receipt.remote_ids["message"])


async def test_a_click_in_telegram_is_performed_and_answered(bot: TelegramBot) -> None:
    server, providers, message = bot
    people = People()
    async with listening(providers, people):
        number = await server.click(message, "Acknowledge")
        (answer,) = await server.until("answerCallbackQuery")
        await until(lambda: not server.updates)
    assert people.actions == [
        Action("acknowledge", KEY, frozenset({"ops"}), "Ann_M", "Telegram, user 7"),
    ]
    assert answer == {
        "callback_query_id": f"q{number}",
        "text": "1 alert acknowledged.",
        "show_alert": False,
    }


async def test_each_person_acts_on_the_messages_that_allow_it(bot: TelegramBot) -> None:
    server, providers, message = bot
    people = People()
    async with listening(providers, people):
        await server.click(message, "Silence 1 h", EVE)
        await server.until("answerCallbackQuery")
    assert [action.receivers for action in people.actions] == [frozenset({"others"})]


async def test_a_stranger_is_refused_politely(bot: TelegramBot) -> None:
    server, providers, message = bot
    people = People()
    async with listening(providers, people):
        await server.click(message, "Acknowledge", {"id": 9, "first_name": "Mallory"})
        (answer,) = await server.until("answerCallbackQuery")
    assert people.actions == []
    assert (answer["text"], answer["show_alert"]) == (telegram_updates.NOT_ALLOWED.text, True)


@pytest.mark.parametrize("data", ["acknowledge:1", "resolve:" + KEY, "x" * 64, 7])
async def test_a_foreign_button_is_answered_and_does_nothing(bot: TelegramBot, data: Any) -> None:
    server, providers, message = bot
    people = People()
    async with listening(providers, people):
        await server.click(message, "Acknowledge", data=data)
        (answer,) = await server.until("answerCallbackQuery")
    assert people.actions == []
    assert answer["text"] == telegram_updates.UNKNOWN.text


async def test_a_bot_is_polled_once_whatever_the_number_of_its_receivers(bot: TelegramBot) -> None:
    _, providers, _ = bot
    assert providers["ops"].account == providers["others"].account


@pytest.mark.parametrize(
    "update",
    [
        {"update_id": 5},
        {"update_id": 5, "callback_query": 7},
        {"update_id": 5, "callback_query": {"id": 1, "from": ANN}},
        {"update_id": 5, "callback_query": {"id": "x", "from": {"id": True}}},
        {"update_id": 5, "message": {"text": "/start"}},
    ],
)
async def test_any_other_update_is_confirmed_and_does_nothing(
    bot: TelegramBot, update: dict[str, Any]
) -> None:
    server, providers, message = bot
    people = People()
    async with listening(providers, people):
        await server.put(update)
        await server.click(message, "Acknowledge")
        await until(lambda: people.actions and not server.updates)
    assert len(people.actions) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(502, "<html>"),
        Fault(200, "not json"),
        Fault(200, '{"ok": true, "result": 7}'),
        Fault(200, "", cut=True),
        telegram.refuses(409, "Conflict: terminated by other getUpdates request"),
        telegram.refuses(429, "Too Many Requests", retry_after=0),
    ],
)
async def test_polling_goes_on_after_failures(bot: TelegramBot, fault: Fault) -> None:
    server, providers, message = bot
    server.poll_faults.extend([fault] * 3)
    people = People()
    async with listening(providers, people):
        await server.click(message, "Acknowledge")
        await until(lambda: people.actions)


@pytest.mark.parametrize(
    "result",
    [
        "[]",
        '[{"update_id": "1"}, 7, null]',
        '[{"update_id": 3, "callback_query": {"id": "q", "from": {"id": 7}, "data": "x"}}]',
        '[{"update_id": 99999999999999999999999}]',
    ],
)
async def test_a_server_that_answers_at_once_and_always_the_same_is_not_asked_without_pause(
    bot: TelegramBot, result: str
) -> None:
    server, providers, _ = bot
    fault = Fault(200, f'{{"ok": true, "result": {result}}}')
    server.poll_faults.extend([fault] * 10_000)
    async with listening(providers, People()) as task:
        await asyncio.sleep(0.5)
        assert not task.done()
    assert len(server.called("getUpdates")) <= 3
    assert len(server.called("answerCallbackQuery")) <= 1


async def test_after_a_quiet_week_updates_with_lower_numbers_are_taken_once(bot: TelegramBot) -> None:
    server, providers, _ = bot
    for number in (500, 3):
        query = {"id": f"q{number}", "from": ANN, "data": f"acknowledge:{KEY}"}
        result = json.dumps({"ok": True, "result": [{"update_id": number, "callback_query": query}]})
        server.poll_faults.extend([Fault(200, result)] * 2)
    people = People()
    async with listening(providers, people):
        await server.until("getUpdates", 4)
    assert len(people.actions) == 2
    assert [call["offset"] for call in server.called("getUpdates")] == [0, 501, 501, 4]


async def test_a_query_that_is_too_old_to_be_answered_is_performed_all_the_same(bot: TelegramBot) -> None:
    server, providers, message = bot
    server.faults.append(telegram.refuses(400, "Bad Request: query is too old and response timeout expired"))
    people = People()
    async with listening(providers, people):
        await server.click(message, "Acknowledge")
        await server.until("answerCallbackQuery")
        await server.click(message, "Acknowledge")
        await server.until("answerCallbackQuery", 2)
    assert len(people.actions) == 2


async def test_a_bot_whose_token_is_refused_is_an_error_that_people_are_alerted_of(bot: TelegramBot) -> None:
    server, providers, _ = bot
    server.poll_faults.append(telegram.refuses(401, "Unauthorized"))
    async with listening(providers, People()) as task:
        with pytest.raises(DeliveryError, match="the token is not valid") as caught:
            await asyncio.wait_for(asyncio.shield(task), PATIENCE)
    assert "secret" not in str(caught.value).lower()


async def test_a_click_that_came_while_nobody_polled_is_performed_later(bot: TelegramBot) -> None:
    server, providers, message = bot
    await server.click(message, "Acknowledge")
    people = People()
    async with listening(providers, people):
        await until(lambda: people.actions and not server.updates)
    async with listening(providers, people):
        await until(lambda: server.polling)
    assert len(people.actions) == 1
