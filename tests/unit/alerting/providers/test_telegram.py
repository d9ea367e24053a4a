"""Telegram: what a message says, what is edited and what replies, and what every refusal means."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.providers import DeliveryError, Receipt, Transport, pacing, telegram
from chainwatch.alerting.providers.telegram import TelegramProvider
from chainwatch.config import ConfigError, read_dict
from tests.support.chat import Fault
from tests.support.telegram import GROUP, TOKEN, Html, Telegram, buttons, refuses
from tests.unit.alerting.helpers import T0, notification, notified


@pytest.fixture
async def server() -> AsyncIterator[Telegram]:
    async with Telegram() as server:
        yield server


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport() as transport:
        yield transport


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telegram, "TO_A_CHAT", pacing.Rate(1, 0.05))


def configured(**table: Any) -> Any:
    data = {"receivers": {"ops": {"provider": "telegram", **table}}, "routes": [{"receivers": ["ops"]}]}
    return read_dict(data, watches=False).settings().receivers["ops"]


def provider(server: Telegram, transport: Transport, **more: Any) -> TelegramProvider:
    return TelegramProvider(configured(**{**server.settings, **more}), transport)


def resolved(**fields: Any) -> Notification:
    return notification(notified(status="resolved", ends_at=T0 + 60, **fields))


async def send(channel: TelegramProvider, about: Notification, previous: Receipt | None = None) -> Receipt:
    return await channel.send(channel.render(about, previous))


# --- what a message says ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("severity", "emoji"), [("P0", "🚨"), ("P1", "⚠️"), ("P2", "⚡"), ("P3", "ℹ️")])
async def test_a_message_shows_severity_facts_and_time(
    server: Telegram, transport: Transport, severity: str, emoji: str
) -> None:
    labels = {"alertname": "TransferOverdue", "severity": severity, "transfer": "0x01"}
    receipt = await send(provider(server, transport), notification(notified(labels=labels)))
    ((number, message),) = server.messages.items()
    assert Html(message["text"]).text.splitlines() == [
        f"{emoji} FIRING 1: TransferOverdue",
        "",
        f"{emoji} {severity} FIRING: TransferOverdue",
        "execute is late",
        "amount: 12 ETH",
        "transfer: 0x01",
        "since 2023-11-14 22:13:20 UTC",
    ]
    assert message["link_preview_options"] == {"is_disabled": True}
    assert receipt.remote_ids == {"to": str(GROUP), "chat": str(GROUP), "message": str(number)}


async def test_buttons_are_there_for_allowed_users_while_something_fires(
    server: Telegram, transport: Transport
) -> None:
    channel = provider(server, transport, allowed_users=[7])

    def labels(about: Notification) -> list[str]:
        return [one["text"] for one in buttons(dict(channel.render(about, None).whole))]

    assert labels(notification()) == ["Acknowledge", "Silence 1 h"]
    assert labels(notification(notified(annotations={"acknowledged_by": "ann"}))) == ["Silence 1 h"]
    assert labels(resolved()) == []
    assert buttons(dict(provider(server, transport).render(notification(), None).whole)) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["x" * 20_000, "&" * 5_000, "<" * 3_000, "é😀" * 9_000, "a\n" * 9_000, '"' * 4_000]
)
@pytest.mark.parametrize("number", [1, 7, 60])
async def test_every_limit_is_kept_whatever_the_size(
    server: Telegram, transport: Transport, text: str, number: int
) -> None:
    big = notified(annotations={"summary": text, "description": text, text[:900]: text}, reason=text)
    about = notification(*[big] * number, group_labels={"alertname": text}, note=text)
    channel = provider(server, transport, allowed_users=[7])
    first = await send(channel, about)
    await send(channel, about, first)  # the server refuses what is beyond Telegram's limits
    assert all(len(one["text"].encode("utf-16-le")) // 2 <= 4096 for one in server.messages.values())
    assert len(server.messages) == 2


async def test_lines_and_alerts_that_do_not_fit_are_left_out_whole(
    server: Telegram, transport: Transport
) -> None:
    facts = {f"fact {i}": "v" * 900 for i in range(12)}
    channel = provider(server, transport)
    one = Html(channel.render(notification(notified(annotations=facts)), None).whole["text"])
    assert [line for line in one.text.splitlines() if "fact" in line] == [
        f"fact {i}: {'v' * 900}" for i in range(4)
    ]
    assert one.text.endswith("more lines)")
    many = Html(channel.render(notification(*[notified() for _ in range(60)]), None).whole["text"])
    assert "more, not shown here." in many.text


async def test_links_lead_to_explorers_and_hashes_stay_whole(server: Telegram, transport: Transport) -> None:
    from chainwatch.presentation.presenter import Shown

    tx = "0x" + "ab" * 32
    url = f"https://etherscan.io/tx/{tx}"
    one = notified(annotations={"fill_tx": tx}, shown={"fill_tx": Shown(network="ethereum", links={tx: url})})
    page = Html(provider(server, transport).render(notification(one), None).whole["text"])
    assert f"fill_tx: {tx} on ethereum" in page.text
    assert url in [entity.href for entity in page.entities]


# --- edits and replies --------------------------------------------------------------------------------------


async def test_a_later_notification_edits_the_first_message_and_replies_to_it(
    server: Telegram, transport: Transport
) -> None:
    channel = provider(server, transport)
    first = await send(channel, notification())
    second = await send(channel, notification(notified(), notified(fingerprint="b")), first)
    await send(channel, resolved(), second)
    number = int(first.remote_ids["message"])
    assert "✅ RESOLVED 1" in Html(server.messages[number]["text"]).text
    _, *replies = server.called("sendMessage")
    assert [reply["reply_parameters"]["message_id"] for reply in replies] == [number, number]
    assert [call.method for call in server.calls] == [
        "sendMessage",
        *("editMessageText", "sendMessage") * 2,
    ]


async def test_an_update_edits_and_notifies_nobody_even_twice(server: Telegram, transport: Transport) -> None:
    channel = provider(server, transport)
    first = await send(channel, notification())
    for _ in range(2):  # the second one changes nothing, which Telegram refuses
        again = await send(channel, notification(kind="update", note="Acknowledged by ann."), first)
        assert again.remote_ids == first.remote_ids
    assert len(server.called("sendMessage")) == 1


async def test_after_everything_was_over_what_fires_again_gets_a_message_of_its_own(
    server: Telegram, transport: Transport
) -> None:
    channel = provider(server, transport)
    over = await send(channel, resolved(), await send(channel, notification()))
    again = await send(channel, notification(), over)
    assert again.remote_ids["message"] != over.remote_ids["message"]


async def test_a_message_that_was_deleted_is_replaced(server: Telegram, transport: Transport) -> None:
    channel = provider(server, transport)
    first = await send(channel, notification())
    server.messages.clear()
    assert (await send(channel, notification(kind="update"), first)).remote_ids == {}
    again = await send(channel, notification(), first)
    assert list(server.messages) == [int(again.remote_ids["message"])]


async def test_an_edit_that_is_refused_for_good_costs_no_notification(
    server: Telegram, transport: Transport
) -> None:
    channel = provider(server, transport)
    first = await send(channel, notification())
    server.faults.append(refuses(400, "Bad Request: MESSAGE_AUTHOR_REQUIRED"))
    again = await send(channel, resolved(), first)
    assert again.remote_ids["message"] != first.remote_ids["message"]
    assert len(server.messages) == 2


async def test_a_group_that_became_a_supergroup_is_followed(server: Telegram, transport: Transport) -> None:
    channel = provider(server, transport, chat_id=-77)
    moved = "Bad Request: group chat was upgraded to a supergroup chat"
    server.faults.append(refuses(400, moved, migrate_to_chat_id=GROUP))
    error = await refusal(channel)
    assert not error.permanent
    assert f"set chat_id = {GROUP}" in str(error)
    sent = await send(channel, notification())
    assert sent.remote_ids["chat"] == str(GROUP)
    earlier = Receipt({"to": "-77", "chat": "-77", "message": "1"})
    server.faults.append(refuses(400, moved, migrate_to_chat_id=GROUP))
    assert (await send(channel, notification(), earlier)).remote_ids["chat"] == str(GROUP)


# --- limits and refusals ------------------------------------------------------------------------------------


async def refusal(channel: TelegramProvider) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await send(channel, notification())
    assert "secret" not in str(caught.value).lower()
    return caught.value


async def test_too_many_calls_are_made_again_when_telegram_says(
    server: Telegram, transport: Transport
) -> None:
    server.faults.append(refuses(429, "Too Many Requests: retry after 7", retry_after=7))
    error = await refusal(provider(server, transport))
    assert (error.retry_after, error.permanent, error.refused) == (7.0, False, True)


def test_a_group_has_a_limit_a_minute_too(transport: Transport) -> None:
    server = Telegram()
    assert len(provider(server, transport).capabilities.rates) == 2
    assert len(provider(server, transport, chat_id="@alerts").capabilities.rates) == 2
    assert len(provider(server, transport, chat_id=7).capabilities.rates) == 1


@pytest.mark.parametrize(
    ("code", "said", "permanent"),
    [
        (400, "Bad Request: chat not found", True),
        (400, "Bad Request: can't parse entities", True),
        (401, "Unauthorized", True),
        (403, "Forbidden: bot was blocked by the user", True),
        (404, "Not Found", True),
        (409, "Conflict: terminated by other getUpdates request", False),
        (500, "Internal Server Error", False),
    ],
)
async def test_errors_are_for_good_or_may_pass(
    server: Telegram, transport: Transport, code: int, said: str, permanent: bool
) -> None:
    server.faults.append(refuses(code, said))
    error = await refusal(provider(server, transport))
    assert error.permanent is permanent
    assert said in str(error)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(502, "<html>Bad Gateway</html>"),
        Fault(200, "not json"),
        Fault(200, "[" * 100_000),
        Fault(200, '{"ok": true, "result": []}'),
        Fault(200, '{"ok": true, "result": {"message_id": "1", "chat": 5}}'),
        Fault(200, '{"ok": false, "error_code": "x", "description": [1], "parameters": 7}'),
        Fault(200, "", cut=True),
        Fault(302, "", {"Location": "http://127.0.0.1:1/"}),
    ],
)
async def test_any_other_answer_is_an_error_that_holds_no_secret(
    server: Telegram, transport: Transport, fault: Fault
) -> None:
    server.faults.append(fault)
    await refusal(provider(server, transport))


async def test_an_answer_that_repeats_the_token_does_not_show_it(
    server: Telegram, transport: Transport
) -> None:
    server.faults.append(refuses(400, f"no such path /bot{TOKEN}/sendMessage"))
    await refusal(provider(server, transport))


async def test_a_server_that_cannot_be_reached_is_named_without_the_token(transport: Transport) -> None:
    await refusal(provider(Telegram(), transport))


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"token": "a/b", "chat_id": 1}, "a bot's token"),
        ({"token": TOKEN, "chat_id": True}, "a chat's id"),
        ({"token": TOKEN, "chat_id": 1, "allowed_users": [True]}, "a user's id"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(table: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as caught:
        configured(**table)
    assert "secret" not in str(caught.value).lower()


def test_a_chat_id_of_an_environment_variable_is_a_number() -> None:
    assert configured(token=TOKEN, chat_id=str(GROUP)).chat_id == GROUP
