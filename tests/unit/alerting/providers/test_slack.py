"""Slack: what a message says, what is edited and what replies, and what every refusal means."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.providers import DeliveryError, Receipt, Transport, pacing, slack
from chainwatch.alerting.providers.provider import LONGEST_PAUSE
from chainwatch.alerting.providers.slack import SlackProvider
from chainwatch.config import ConfigError, read_dict
from tests.support.chat import Fault
from tests.support.slack import APP_TOKEN, CHANNEL, Slack, buttons, refuses, texts
from tests.unit.alerting.helpers import T0, notification, notified


@pytest.fixture
async def server() -> AsyncIterator[Slack]:
    async with Slack() as server:
        yield server


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport() as transport:
        yield transport


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slack, "RATES", (pacing.Rate(1, 0.05),))


def configured(**table: Any) -> Any:
    data = {"receivers": {"ops": {"provider": "slack", **table}}, "routes": [{"receivers": ["ops"]}]}
    return read_dict(data, watches=False).settings().receivers["ops"]


def provider(server: Slack, transport: Transport, **more: Any) -> SlackProvider:
    return SlackProvider(configured(**{**server.settings, **more}), transport)


def resolved(**fields: Any) -> Notification:
    return notification(notified(status="resolved", ends_at=T0 + 60, **fields))


async def send(channel: SlackProvider, about: Notification, previous: Receipt | None = None) -> Receipt:
    return await channel.send(channel.render(about, previous))


def shown(message: dict[str, Any]) -> str:
    return "\n".join(part["text"] for part in texts(message))


# --- what a message says ------------------------------------------------------------------------------------


async def test_a_message_shows_severity_facts_and_time(server: Slack, transport: Transport) -> None:
    receipt = await send(provider(server, transport), notification())
    (message,) = server.messages.values()
    header, section, context = message["blocks"]
    assert header["text"]["text"] == "⚠️ FIRING 1: TransferOverdue"
    assert section["text"]["text"].splitlines() == [
        "*⚠️ P1 FIRING: TransferOverdue*",
        "execute is late",
        "*amount:* 12 ETH",
        "*transfer:* 0x01",
    ]
    assert "2023-11-14 22:13:20 UTC" in context["elements"][0]["text"]
    assert message["text"] == "FIRING 1: TransferOverdue — execute is late"
    assert receipt.remote_ids == {"to": CHANNEL, "channel": CHANNEL, "message": next(iter(server.messages))}


async def test_buttons_are_there_with_an_app_token_and_while_something_fires(
    server: Slack, transport: Transport
) -> None:
    channel = provider(server, transport, app_token=APP_TOKEN)
    firing = channel.render(notification(external_url="https://watch.example"), None).whole
    assert [one["text"]["text"] for one in buttons(dict(firing))] == ["Acknowledge", "Silence 1 h", "Open"]
    assert buttons(dict(firing))[0]["value"] == "acknowledge:" + "0" * 32
    taken = notification(notified(annotations={"acknowledged_by": "ann"}))
    assert [one["text"]["text"] for one in buttons(dict(channel.render(taken, None).whole))] == [
        "Silence 1 h"
    ]
    assert buttons(dict(channel.render(resolved(), None).whole)) == []
    without = provider(server, transport).render(notification(), None).whole
    assert buttons(dict(without)) == []


async def test_open_leads_to_the_only_alert_or_to_all(server: Slack, transport: Transport) -> None:
    channel = provider(server, transport)
    one = notification(notified(link="https://watch.example/alerts/7"), external_url="https://watch.example")
    assert buttons(dict(channel.render(one, None).whole))[0]["url"] == "https://watch.example/alerts/7"
    two = notification(notified(), notified(fingerprint="b"), external_url="https://watch.example")
    assert buttons(dict(channel.render(two, None).whole))[0]["url"] == "https://watch.example"


@pytest.mark.parametrize("text", ["x" * 20_000, "&" * 5_000, "<" * 3_000, "é😀" * 9_000, "a\n" * 9_000])
@pytest.mark.parametrize("number", [1, 60])
async def test_every_limit_is_kept_whatever_the_size(
    server: Slack, transport: Transport, text: str, number: int
) -> None:
    big = notified(annotations={"summary": text, "description": text, text[:900]: text}, reason=text)
    about = notification(
        *[big] * number, group_labels={"alertname": text}, note=text, external_url="https://w.example"
    )
    channel = provider(server, transport, app_token=APP_TOKEN)
    first = await send(channel, about)
    await send(channel, about, first)  # the server refuses what is beyond Slack's limits
    assert len(server.messages) == 2
    if number > 1:
        assert "more, not shown here" in shown(server.called("chat.postMessage")[0])


async def test_lines_that_do_not_fit_are_left_out_whole(server: Slack, transport: Transport) -> None:
    facts = {f"fact {i}": "v" * 900 for i in range(12)}
    body = provider(server, transport).render(notification(notified(annotations=facts)), None).whole
    lines = body["blocks"][1]["text"]["text"].splitlines()
    assert lines[1:3] == [f"*fact {i}:* {'v' * 900}" for i in range(2)]
    assert lines[3] == "… (11 more lines)"


# --- edits and replies --------------------------------------------------------------------------------------


async def test_a_later_notification_edits_the_first_message_and_replies_to_it(
    server: Slack, transport: Transport
) -> None:
    channel = provider(server, transport)
    first = await send(channel, notification())
    second = await send(channel, notification(notified(), notified(fingerprint="b")), first)
    await send(channel, resolved(), second)
    (original,) = (server.messages[t] for t in server.messages if t == first.remote_ids["message"])
    assert original["blocks"][0]["text"]["text"] == "✅ RESOLVED 1: TransferOverdue"
    _, reply, end = server.called("chat.postMessage")
    assert reply["thread_ts"] == end["thread_ts"] == first.remote_ids["message"]
    assert (reply["reply_broadcast"], end["reply_broadcast"]) == (True, False)
    assert [call.method for call in server.calls] == [
        "chat.postMessage",
        *("chat.update", "chat.postMessage") * 2,
    ]


async def test_an_update_edits_and_notifies_nobody(server: Slack, transport: Transport) -> None:
    channel = provider(server, transport)
    first = await send(channel, notification())
    again = await send(channel, notification(kind="update", note="Acknowledged by ann."), first)
    assert again.remote_ids == first.remote_ids
    assert len(server.called("chat.postMessage")) == 1
    assert "Acknowledged by ann." in shown(server.messages[first.remote_ids["message"]])


async def test_after_everything_was_over_what_fires_again_gets_a_message_of_its_own(
    server: Slack, transport: Transport
) -> None:
    channel = provider(server, transport)
    over = await send(channel, resolved(), await send(channel, notification()))
    again = await send(channel, notification(), over)
    assert again.remote_ids["message"] != over.remote_ids["message"]


async def test_a_message_that_was_deleted_is_replaced(server: Slack, transport: Transport) -> None:
    channel = provider(server, transport)
    first = await send(channel, notification())
    server.messages.clear()
    update = await send(channel, notification(kind="update"), first)
    assert update.remote_ids == {}
    assert server.messages == {}
    again = await send(channel, notification(), first)
    assert list(server.messages) == [again.remote_ids["message"]]


@pytest.mark.parametrize("code", ["update_failed", "block_mismatch", "no_word_of_slack_today"])
async def test_an_edit_that_is_refused_for_good_costs_no_notification(
    server: Slack, transport: Transport, code: str
) -> None:
    channel = provider(server, transport)
    first = await send(channel, notification())
    server.faults.append(refuses(code))
    again = await send(channel, resolved(), first)
    assert again.remote_ids["message"] != first.remote_ids["message"]
    assert len(server.messages) == 2


async def test_another_channel_gets_a_message_of_its_own(server: Slack, transport: Transport) -> None:
    earlier = Receipt({"to": "C9", "channel": "C9", "message": "1.2"})
    assert provider(server, transport).render(notification(), earlier).first is None


async def test_a_webhook_gets_every_notification_as_a_message(server: Slack, transport: Transport) -> None:
    channel = SlackProvider(configured(url=server.webhook, allow_private=True), transport)
    assert not channel.capabilities.edits
    for _ in range(2):
        assert await send(channel, notification()) == Receipt()
    assert [call.method for call in server.calls] == ["webhook", "webhook"]
    assert server.calls[1].at - server.calls[0].at >= 0.045


# --- limits and refusals ------------------------------------------------------------------------------------


async def test_receivers_of_one_channel_share_its_rate(server: Slack, transport: Transport) -> None:
    first, second = provider(server, transport), provider(server, transport)
    await asyncio.gather(*(send(one, notification()) for one in (first, second, first)))
    at = [call.at for call in server.calls]
    assert at[1] - at[0] >= 0.045
    assert at[2] - at[1] >= 0.045


async def refusal(channel: SlackProvider) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await send(channel, notification())
    assert "SECRET" not in str(caught.value)
    return caught.value


async def test_too_many_calls_are_made_again_when_slack_says(server: Slack, transport: Transport) -> None:
    server.faults.append(refuses("ratelimited", **{"Retry-After": "7"}))
    channel = provider(server, transport)
    error = await refusal(channel)
    assert (error.retry_after, error.permanent, error.refused) == (7.0, False, True)
    server.faults.append(refuses("ratelimited"))
    other = provider(server, transport, channel="C2")
    assert (await refusal(other)).retry_after == 30.0


async def test_a_long_pause_is_not_waited_for_by_others_of_the_channel(
    server: Slack, transport: Transport
) -> None:
    server.faults.append(refuses("ratelimited", **{"Retry-After": "900"}))
    await refusal(provider(server, transport))
    error = await refusal(provider(server, transport))
    assert error.retry_after == pytest.approx(900, abs=5)
    assert len(server.calls) == 1


async def test_a_pause_ends_when_a_person_asks_for_a_retry(server: Slack, transport: Transport) -> None:
    server.faults.append(refuses("ratelimited", **{"Retry-After": "900"}))
    channel = provider(server, transport)
    await refusal(channel)
    channel.end_pause()
    assert (await send(channel, notification())).remote_ids


@pytest.mark.parametrize("asked", ["999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_an_absurd_pause_does_not_silence_a_channel_for_years(
    server: Slack, transport: Transport, asked: str
) -> None:
    server.faults.append(refuses("ratelimited", **{"Retry-After": asked}))
    assert (await refusal(provider(server, transport))).retry_after == LONGEST_PAUSE
    error = await refusal(provider(server, transport))
    assert error.retry_after == pytest.approx(LONGEST_PAUSE, abs=5)


@pytest.mark.parametrize(
    ("code", "permanent"),
    [
        ("channel_not_found", True),
        ("not_in_channel", True),
        ("is_archived", True),
        ("invalid_auth", True),
        ("token_revoked", True),
        ("msg_too_long", True),
        ("invalid_blocks", True),
        ("internal_error", False),
        ("fatal_error", False),
        ("service_unavailable", False),
    ],
)
async def test_errors_are_for_good_or_may_pass(
    server: Slack, transport: Transport, code: str, permanent: bool
) -> None:
    server.faults.append(refuses(code))
    error = await refusal(provider(server, transport))
    assert error.permanent is permanent
    assert code in str(error)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_word_unknown_until_now_is_not_for_good_where_the_status_is_not(
    server: Slack, transport: Transport, status: int
) -> None:
    server.faults.append(Fault(status, '{"ok": false, "error": "backend_is_resting"}', {"Retry-After": "7"}))
    error = await refusal(provider(server, transport))
    assert (error.permanent, error.retry_after) == (False, 7.0)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(500, "oops"),
        Fault(503, ""),
        Fault(200, "not json"),
        Fault(200, "[" * 100_000),
        Fault(200, '{"ok": "yes"}'),
        Fault(200, '{"ok": true}'),
        Fault(200, '{"ok": true, "ts": 5, "channel": []}'),
        Fault(200, '{"ok": false, "error": {"x": 1}}'),
        Fault(200, "", cut=True),
        Fault(302, "", {"Location": "http://127.0.0.1:1/"}),
    ],
)
async def test_any_other_answer_is_an_error_that_holds_no_secret(
    server: Slack, transport: Transport, fault: Fault
) -> None:
    server.faults.append(fault)
    await refusal(provider(server, transport))


async def test_a_refusing_webhook_is_for_good_and_a_broken_one_is_not(
    server: Slack, transport: Transport
) -> None:
    channel = SlackProvider(configured(url=server.webhook, allow_private=True), transport)
    for status, said, permanent in (
        (404, "no_service", True),
        (403, "action_prohibited", True),
        (500, "", False),
    ):
        server.faults.append(Fault(status, said))
        error = await refusal(channel)
        assert error.permanent is permanent
        assert said in str(error)
    server.faults.append(Fault(200, "<html>a portal</html>"))
    assert "not as Slack does" in str(await refusal(channel))


async def test_an_answer_that_repeats_the_token_does_not_show_it(server: Slack, transport: Transport) -> None:
    server.faults.append(refuses(f"bad token {server.settings['token']}"))
    await refusal(provider(server, transport))


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({}, "either url or token"),
        ({"url": "https://hooks.slack.com/x", "token": "xoxb-1"}, "either url or token"),
        ({"token": "xoxb-1"}, "token and channel together"),
        ({"url": "https://hooks.slack.com/x", "app_token": "xapp-1"}, "token beside app_token"),
    ],
)
def test_settings_that_name_no_one_way_are_refused(table: dict[str, str], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as caught:
        configured(**table)
    assert "receivers.ops" in str(caught.value)
