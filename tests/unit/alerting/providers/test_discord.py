"""Discord messages within Discord's limits, and every answer that Discord or something in its place gives."""

import asyncio
import contextlib
import gzip
import json
import logging
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from chainwatch.alerting.delivery.notification import NotifiedAlert
from chainwatch.alerting.providers import Receipt, build_provider, discord
from chainwatch.alerting.providers.discord import DiscordProvider, DiscordSettings, confirmed, fit, payload
from chainwatch.alerting.providers.provider import DeliveryError
from chainwatch.alerting.providers.text import markdown
from chainwatch.alerting.providers.transport import ANSWER_MAX, Transport
from tests.support.discord import discord as as_discord
from tests.support.discord import rate_limited
from tests.support.receiver import Answer, Receiver
from tests.support.waiting import PATIENCE
from tests.unit.alerting.helpers import T0, notification, notified

TOKEN = "s3cr3t-token"


def _settings(base: str = "https://discord.com", **more: Any) -> DiscordSettings:
    url = SecretStr(f"{base}/api/webhooks/123/{TOKEN}")
    return DiscordSettings(name="ops", provider="discord", url=url, **more)


async def _deliver(provider: DiscordProvider) -> Receipt:
    return await provider.send(provider.render(notification(), None))


def _json(*alerts: NotifiedAlert, **more: Any) -> dict[str, Any]:
    return payload(notification(*alerts), _settings(**more))


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


@pytest.fixture
async def server() -> AsyncIterator[Receiver]:
    async with Receiver(as_discord) as server:
        yield server


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport() as transport:
        yield transport


@pytest.fixture
def provider(server: Receiver, transport: Transport) -> DiscordProvider:
    built = build_provider(_settings(server.url, allow_private=True), transport)
    assert isinstance(built, DiscordProvider)
    return built


def test_a_message_has_a_headline_and_an_embed_per_alert() -> None:
    message = _json(notified(), notified(status="resolved", ends_at=T0 + 60, reason="late"))
    assert message["content"] == "**FIRING 1, RESOLVED 1: TransferOverdue**"
    firing, resolved = message["embeds"]
    assert firing["title"] == "P1 FIRING: TransferOverdue"
    assert firing["color"] == discord.COLORS["P1"]
    assert {"name": "amount", "value": "12 ETH", "inline": True} in firing["fields"]
    assert resolved["color"] == discord.RESOLVED_COLOR
    assert "after 1m (late)" in resolved["description"].replace("\\", "")


def test_nobody_is_mentioned_and_markdown_is_shown_as_it_is() -> None:
    message = _json(notified(annotations={"summary": "@everyone <@&1> **[x](http://evil)** `y`"}))
    assert message["allowed_mentions"] == {"parse": []}
    (embed,) = message["embeds"]
    assert embed["description"].startswith(r"＠everyone \<＠&1\> \*\*\[x\]\(http\://evil)\*\* \`y\`")


def test_a_runbook_is_the_link_of_the_title_only_when_it_is_a_web_address() -> None:
    assert _json(notified(annotations={"runbook_url": "https://r.example"}))["embeds"][0]["url"]
    assert not _json(notified(annotations={"runbook_url": "javascript:x"}))["embeds"][0]["url"]


def test_a_description_keeps_its_lines_as_quotes_and_a_summary_has_one() -> None:
    said = "Out of gas.\nTop it up: **now**\n\nEnded <t:0:f>"
    (embed,) = _json(notified(annotations={"summary": "a\nb", "description": said}))["embeds"]
    shown = embed["description"]
    assert shown.splitlines()[:-1] == [
        r"a\\nb",
        "Out of gas.",
        r"> Top it up: \*\*now\*\*",
        r"> Ended \<t:0:f\>",
    ]


def test_alerts_that_do_not_fit_are_counted() -> None:
    message = _json(*[notified() for _ in range(25)])
    assert len(message["embeds"]) == 10
    assert "… and 15 more" in message["content"]


long_text = st.text(st.sampled_from("a*\\_@<\U0001f525\n"), max_size=40).flatmap(
    lambda piece: st.integers(0, 400).map(lambda times: piece * times)
)


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(long_text, long_text, st.dictionaries(long_text.filter(bool), long_text, max_size=30)),
        min_size=1,
        max_size=12,
    )
)
def test_every_message_stays_within_discords_limits(
    drawn: list[tuple[str, str, dict[str, str]]],
) -> None:
    message = _json(
        *(
            notified(
                labels={"alertname": name or "X", "severity": "P0"},
                annotations={"summary": summary, **facts},
            )
            for name, summary, facts in drawn
        )
    )
    assert _units(message["content"]) <= 2000
    assert 0 < len(message["embeds"]) <= 10
    total = 0
    for embed in message["embeds"]:
        assert 0 < _units(embed["title"]) <= 256
        assert _units(embed["description"] or "") <= 4096
        assert len(embed["fields"]) <= 25
        texts = [embed["title"], embed["description"] or "", embed["footer"]["text"]]
        for field in embed["fields"]:
            assert 0 < _units(field["name"]) <= 256
            assert 0 < _units(field["value"]) <= 1024
            texts += [field["name"], field["value"]]
        total += sum(map(_units, texts))
    assert total <= 6000


@given(long_text, st.integers(1, 300))
def test_a_cut_never_leaves_half_an_escape(text: str, limit: int) -> None:
    cut = fit(markdown(text), limit)
    assert _units(cut) <= limit
    before = cut.removesuffix("…")
    assert (len(before) - len(before.rstrip("\\"))) % 2 == 0


async def test_a_message_is_sent_and_confirmed(server: Receiver, provider: DiscordProvider) -> None:
    receipt = await _deliver(provider)
    assert receipt.remote_ids["message"].isdecimal()
    (request,) = server.requests
    assert request.query["wait"] == "true"
    assert request.path.endswith(TOKEN)
    assert request.json()["embeds"][0]["title"] == "P1 FIRING: TransferOverdue"


async def test_the_first_message_follows_its_group_and_each_change_is_announced(
    server: Receiver, provider: DiscordProvider
) -> None:
    first = await _deliver(provider)
    over = notification(notified(status="resolved", ends_at=T0 + 60, reason="in time"))
    last = await provider.send(provider.render(over, first))
    posted, edit, announced = server.requests
    assert (posted.method, edit.method, announced.method) == ("POST", "PATCH", "POST")
    assert edit.path == f"{posted.path}/messages/{first.remote_ids['message']}"
    assert edit.json()["embeds"][0]["title"] == "P1 RESOLVED: TransferOverdue"
    assert announced.json()["embeds"][0]["title"] == "P1 RESOLVED: TransferOverdue"
    assert "fields" not in announced.json()["embeds"][0] or not announced.json()["embeds"][0]["fields"]
    assert last.remote_ids["message"] == first.remote_ids["message"]
    again = provider.render(notification(), last)
    assert again.first is None, "what fires again is a message of its own"


async def test_an_update_changes_the_first_message_and_announces_nothing(
    server: Receiver, provider: DiscordProvider
) -> None:
    first = await _deliver(provider)
    await provider.send(provider.render(notification(notified(), kind="update"), first))
    assert [request.method for request in server.requests] == ["POST", "PATCH"]
    assert await provider.send(provider.render(notification(notified(), kind="update"), None)) == Receipt()
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "code"),
    [
        *((status, 10008) for status in (403, 404, 405)),
        (400, 50083),  # the thread is archived
        (429, 30046),  # too many edits of a message older than an hour
        (400, 50035),
    ],
)
async def test_where_the_first_message_cannot_be_edited_a_new_one_takes_its_place(
    server: Receiver, provider: DiscordProvider, status: int, code: int
) -> None:
    first = await _deliver(provider)
    server.script.append(Answer(status, json.dumps({"message": "Not this one", "code": code})))
    second = await provider.send(provider.render(notification(), first))
    assert [request.method for request in server.requests] == ["POST", "PATCH", "POST"]
    assert server.requests[2].json()["embeds"][0]["fields"]
    assert second.remote_ids["message"] != first.remote_ids["message"]


@pytest.mark.parametrize(("status", "code"), [(400, 50083), (429, 30046)])
async def test_an_update_of_a_message_that_can_not_be_edited_any_more_is_over(
    server: Receiver, provider: DiscordProvider, status: int, code: int
) -> None:
    first = await _deliver(provider)
    server.script.append(Answer(status, json.dumps({"message": "Not this one", "code": code})))
    assert await provider.send(provider.render(notification(kind="update"), first)) == Receipt()


@pytest.mark.parametrize("answer", [rate_limited(1.5), Answer(500)])
async def test_an_edit_that_fails_is_a_failed_delivery(
    server: Receiver, provider: DiscordProvider, answer: Answer
) -> None:
    first = await _deliver(provider)
    server.script.append(answer)
    with pytest.raises(DeliveryError):
        await provider.send(provider.render(notification(), first))
    assert len(server.requests) == 2


async def test_a_receipt_of_another_channel_is_not_edited(
    server: Receiver, provider: DiscordProvider
) -> None:
    first = await _deliver(provider)
    elsewhere = Receipt({**first.remote_ids, "to": "/api/webhooks/999"})
    assert provider.render(notification(), elsewhere).first is None
    assert TOKEN not in json.dumps(dict(first.remote_ids))


def test_only_whom_the_configuration_names_is_mentioned_and_only_while_it_fires() -> None:
    mentions = {"P0": ["@everyone"], "P1": ["<@&42>", "<@7>"]}
    hostile = notified(annotations={"summary": "@everyone <@&1> @here"})
    body = payload(notification(hostile), _settings(mentions=mentions))
    assert body["content"].splitlines()[0] == "<@&42> <@7>"
    assert body["allowed_mentions"] == {"parse": [], "users": ["7"], "roles": ["42"]}
    assert "@everyone" not in json.dumps(body)
    over = payload(notification(notified(status="resolved", ends_at=T0)), _settings(mentions=mentions))
    assert over["allowed_mentions"] == {"parse": []}
    urgent = notified(labels={"alertname": "A", "severity": "P0"})
    assert payload(notification(urgent), _settings(mentions=mentions))["allowed_mentions"] == {
        "parse": ["everyone"]
    }


@pytest.mark.parametrize("mention", ["everyone", "<@&abc>", "@someone", "<@1> x"])
def test_what_is_no_mention_is_refused(mention: str) -> None:
    with pytest.raises(ValidationError):
        _settings(mentions={"P0": [mention]})


async def test_an_answer_without_content_means_taken(server: Receiver, provider: DiscordProvider) -> None:
    server.script.append(Answer(204))
    assert await _deliver(provider) == Receipt()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "said", "permanent", "retry_after"),
    [
        (rate_limited(1.5), "429 Too Many Requests", False, 1.5),
        (rate_limited(64.0, everywhere=True), "429", False, 64.0),
        (Answer(429, "<html>", {"Retry-After": "7"}), "429", False, 7.0),
        (Answer(500, "<html>oops</html>"), "500 Internal Server Error", False, None),
        (Answer(502, ""), "502 Bad Gateway", False, None),
        (
            Answer(404, json.dumps({"message": "Unknown Webhook"})),
            "404 Not Found: Unknown Webhook",
            True,
            None,
        ),
        (Answer(401, "{}"), "401", True, None),
        (Answer(400, json.dumps({"message": "Invalid Form Body"})), "Invalid Form Body", True, None),
        (Answer(200, "<html>log in</html>"), "not as Discord does", False, None),
        (Answer(200, "[]"), "not as Discord does", False, None),
        (Answer(200, drop=True), "not as Discord does", False, None),
        (Answer(302, headers={"Location": "/elsewhere"}), "redirects", True, None),
    ],
)
async def test_every_other_answer_is_a_failed_delivery_that_names_no_secret_s9(
    server: Receiver,
    provider: DiscordProvider,
    answer: Answer,
    said: str,
    permanent: bool,
    retry_after: float | None,
) -> None:
    server.script.append(answer)
    with pytest.raises(DeliveryError) as caught:
        await _deliver(provider)
    error = caught.value
    assert said in str(error)
    assert (error.permanent, error.retry_after) == (permanent, retry_after)
    assert TOKEN not in str(error)
    assert error.__cause__ is None


async def test_a_rate_limit_that_is_used_up_is_waited_for(
    server: Receiver, provider: DiscordProvider
) -> None:
    spent = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "0.2"}
    server.script.append(Answer(204, headers=spent))
    await _deliver(provider)
    await _deliver(provider)
    first, second = server.requests
    assert second.arrived_at - first.arrived_at >= 0.19


@pytest.mark.parametrize(
    "answer",
    [
        Answer(204, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "0.3"}),
        Answer(429, '{"retry_after": 0.3}'),
    ],
    ids=["used up", "refused"],
)
async def test_receivers_that_share_a_webhook_share_its_rate_limit(
    server: Receiver, transport: Transport, answer: Answer
) -> None:
    ops, oncall = (DiscordProvider(_settings(server.url, allow_private=True), transport) for _ in range(2))
    server.script.append(answer)
    with contextlib.suppress(DeliveryError):
        await _deliver(ops)
    await _deliver(oncall)
    first, second = server.requests
    assert second.arrived_at - first.arrived_at >= 0.29


async def test_an_absurd_rate_limit_delays_one_message_and_not_all_that_come_s8(
    server: Receiver, provider: DiscordProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discord, "LONGEST_WAIT", 0.1)
    used_up = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "1e308"}
    server.script.append(Answer(200, '{"id": "1"}', used_up))
    await _deliver(provider)
    await _deliver(provider)
    monkeypatch.setattr(discord, "LONGEST_WAIT", 30.0)
    async with asyncio.timeout(PATIENCE):
        await _deliver(provider)
    first, second, third = server.requests
    assert second.arrived_at - first.arrived_at >= 0.09
    assert third.arrived_at - second.arrived_at < 25


async def test_a_server_that_hangs_is_a_failed_delivery(
    server: Receiver, provider: DiscordProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discord, "TIMEOUT", 0.05)
    server.script.append(Answer(delay=0.5))
    with pytest.raises(DeliveryError, match="did not answer within"):
        await _deliver(provider)


async def test_a_server_that_is_away_is_a_failed_delivery_that_names_no_secret_s9(
    server: Receiver, provider: DiscordProvider
) -> None:
    await server.stop()
    with pytest.raises(DeliveryError) as caught:
        await _deliver(provider)
    assert str(caught.value) == "Discord cannot be reached: the connection was refused"


async def test_no_log_line_holds_the_token_s9(
    provider: DiscordProvider, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await _deliver(provider)
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254"])
async def test_a_private_address_is_refused_by_default(
    server: Receiver, transport: Transport, host: str
) -> None:
    provider = DiscordProvider(_settings(f"http://{host}:{server.port}"), transport)
    with pytest.raises(DeliveryError, match="allow_private") as caught:
        await _deliver(provider)
    assert caught.value.permanent
    assert server.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(server: Receiver, provider: DiscordProvider, status: int) -> None:
    server.script.append(Answer(status, headers={"Location": f"{server.url}/api/webhooks/1/other"}))
    with pytest.raises(DeliveryError, match="redirects"):
        await _deliver(provider)
    assert len(server.requests) == 1


@pytest.mark.slow
async def test_an_answer_of_any_size_is_read_to_a_bound_s10(
    server: Receiver, provider: DiscordProvider
) -> None:
    bomb = gzip.compress(b'{"id": "' + b"0" * 200_000_000)
    endless = f'{{"id": "1", "more": "{"x" * (ANSWER_MAX * 20)}"}}'
    for answer in (Answer(200, endless), Answer(200, bomb, {"Content-Encoding": "gzip"})):
        server.script.append(answer)
        tracemalloc.start()
        with pytest.raises(DeliveryError, match="not as Discord does"):
            await _deliver(provider)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 60 * ANSWER_MAX  # the test's own server holds the answer
    assert "identity" in server.requests[0].headers["Accept-Encoding"]


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        '{"retry_after": 1' + "0" * 5_000 + "}",
        '{"retry_after": 1e999, "message": {"a": [1]}}',
        '{"retry_after": -1, "message": null}',
        '{"retry_after": true}',
        "\x00\x1b[2J",
    ],
)
async def test_whatever_is_said_is_a_failed_delivery(
    server: Receiver, provider: DiscordProvider, body: str
) -> None:
    server.script.append(
        Answer(429, body, {"Retry-After": "Mon, 99999999999999999999 Jan 2024 00:00:00 GMT"})
    )
    with pytest.raises(DeliveryError, match="429"):
        await _deliver(provider)


async def test_an_answer_that_repeats_the_token_does_not_spread_it_s9(
    server: Receiver, provider: DiscordProvider
) -> None:
    server.script.append(Answer(404, json.dumps({"message": f"no {TOKEN} here"})))
    with pytest.raises(DeliveryError, match="no \\*\\*\\* here"):
        await _deliver(provider)
    for said in (TOKEN.upper(), "x" * (discord.DETAIL_MAX - 5) + TOKEN):
        server.script.append(Answer(404, json.dumps({"message": said})))
        with pytest.raises(DeliveryError) as caught:
            await _deliver(provider)
        assert TOKEN[:5] not in str(caught.value).lower()


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://d.example/api/webhooks/1/t", "https://d.example/api/webhooks/1/t?wait=true"),
        ("https://d.example/w?thread_id=7", "https://d.example/w?thread_id=7&wait=true"),
    ],
)
def test_the_message_is_asked_for(url: str, wanted: str) -> None:
    assert confirmed(url) == wanted


def test_a_time_beyond_all_calendars_is_reported_as_their_last() -> None:
    (embed,) = _json(notified(starts_at=2.0**63))["embeds"]
    assert embed["timestamp"] == "9999-12-31T23:59:59"
