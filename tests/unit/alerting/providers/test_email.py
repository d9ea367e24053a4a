"""E-mail over real SMTP: what a mail says, its conversation, and every answer of the server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.providers import DeliveryError, Receipt, Transport, build_provider
from chainwatch.alerting.providers import smtp as smtp_module
from chainwatch.alerting.providers.email import EmailProvider, EmailSettings
from chainwatch.config import ConfigError, from_dict, read_dict
from chainwatch.operations.online import ReceiverCheck, check_receivers
from chainwatch.plan import Plan, make_plan
from tests.support.mail import PASSWORD, USER, MailServer, certificate
from tests.support.waiting import PATIENCE
from tests.unit.alerting.helpers import T0, notification, notified
from tests.unit.test_plan import CONFIG

ANN, BEN = "ann@example.org", "ben@example.org"


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with MailServer() as server:
        yield server


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport() as transport:
        yield transport


def _provider(server: MailServer, transport: Transport, **settings: Any) -> EmailProvider:
    table = {
        "name": "mail",
        "provider": "email",
        "host": "127.0.0.1",
        "port": server.port,
        "security": "none",
        "from": "chainwatch <alerts@example.org>",
        "to": [f"Ann <{ANN}>", BEN],
        "allow_private": True,
    }
    built = build_provider(EmailSettings.model_validate({**table, **settings}), transport)
    assert isinstance(built, EmailProvider)
    return built


async def _deliver(
    provider: EmailProvider, message: Notification | None = None, previous: Receipt | None = None
) -> Receipt:
    return await provider.send(provider.render(message or notification(), previous))


async def _refusal(provider: EmailProvider, message: Notification | None = None) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await _deliver(provider, message)
    return caught.value


async def test_a_mail_has_text_and_html_and_goes_to_all(server: MailServer, transport: Transport) -> None:
    await _deliver(_provider(server, transport, cc="carl@example.org"))
    (mail,) = server.mails
    assert server.envelopes == [("alerts@example.org", (ANN, BEN, "carl@example.org"))]
    assert (mail["From"], mail["To"]) == ("chainwatch <alerts@example.org>", f"Ann <{ANN}>, {BEN}")
    assert mail["Cc"] == "carl@example.org"
    assert mail["Subject"] == "[P1] TransferOverdue"
    assert mail["Message-ID"] == f"<{'0' * 32}@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime.utcoffset() is not None
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    for part in (plain.get_content(), html.get_content()):
        assert all(said in part for said in ("TransferOverdue", "execute is late", "12 ETH", "FIRING"))
    assert "http" not in html.get_content()


async def test_the_end_of_an_alert_lands_in_the_conversation_of_its_beginning(
    server: MailServer, transport: Transport
) -> None:
    provider = _provider(server, transport)
    receipt = await _deliver(provider)
    both = notification(
        notified(), notified(labels={"alertname": "Other", "severity": "P0"}), idempotency_key="1" * 32
    )
    receipt = await _deliver(provider, both, receipt)
    ended = notification(notified(status="resolved", ends_at=T0 + 60), idempotency_key="2" * 32)
    await _deliver(provider, ended, receipt)
    first, more, last = server.mails
    for reply in (more, last):
        assert reply["In-Reply-To"] == reply["References"] == first["Message-ID"]
        assert reply["Subject"] == f"Re: {first['Subject']}"
    assert len({mail["Message-ID"] for mail in server.mails}) == 3
    assert (first["Importance"], more["Importance"], last["Importance"]) == (None, "high", None)


async def test_a_digest_is_a_table_and_never_a_reply(server: MailServer, transport: Transport) -> None:
    alerts = [notified(annotations={"summary": f"number {i}", "amount": "5 ETH"}) for i in range(150)]
    receipt = await _deliver(
        _provider(server, transport), notification(*alerts, kind="digest"), Receipt({"thread": "<x@y>"})
    )
    (mail,) = server.mails
    body = mail.get_body(("html",))
    assert body is not None
    assert "References" not in mail
    assert mail["Subject"] == "DIGEST FIRING 150: TransferOverdue"
    assert receipt.remote_ids == {}
    assert "number 99" in body.get_content()
    assert "and 50 more" in body.get_content()
    assert "5 ETH" not in body.get_content()


async def test_a_storm_is_cut_by_whole_alerts_before_mail_programs_cut_it(
    server: MailServer, transport: Transport
) -> None:
    wide = {f"fact{i}": "w" * 900 for i in range(40)}
    alerts = [notified(annotations={"summary": "s" * 900, **wide}) for _ in range(1000)]
    await _deliver(_provider(server, transport), notification(*alerts))
    body = server.mails[0].get_body(("html",))
    assert body is not None
    html = body.get_content()
    assert len(html.encode()) < 250_000
    assert html.count("<table") == html.count("</table>")
    assert "more." in html


async def test_a_repeated_attempt_is_the_same_mail(server: MailServer, transport: Transport) -> None:
    provider = _provider(server, transport)
    await _deliver(provider)
    await _deliver(provider)
    first, again = server.mails
    del first["Date"], again["Date"]
    assert first.as_bytes() == again.as_bytes()


@pytest.mark.parametrize(
    "said",
    [
        *("x\r\nBcc: evil@example.org", "x\nSubject: y", "é" * 900, "\x00\ud800"),
        *(
            "=?utf-8?q?x=0d=0aBcc:_evil?=",
            "=?utf-8?b?DQoNCjxoMT5QYXkgaGVyZTwvaDE+?=",
            "é =?utf-8?q?=0aX:_y?=",
        ),
    ],
)
async def test_text_from_a_chain_adds_no_header(server: MailServer, transport: Transport, said: str) -> None:
    alert = notified(labels={"alertname": said, "severity": "P1"}, annotations={"summary": said})
    message = notification(alert, group_labels={"alertname": said})
    provider = _provider(server, transport)
    await _deliver(provider, message, await _deliver(provider, message))
    usual = set(server.mails[0].keys())
    assert usual == {
        *("Date", "From", "To", "Subject", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type")
    }
    assert set(server.mails[1].keys()) == usual | {"In-Reply-To", "References"}
    assert all(len(recipients) == 2 for _, recipients in server.envelopes)


async def test_a_run_of_spaces_is_one_space_in_the_subject(server: MailServer, transport: Transport) -> None:
    said = f"<:=20{' ' * 70}= ?<"  # Python 3.13.0 never ends with the folding of this
    await _deliver(_provider(server, transport), notification(notified(), group_labels={"alertname": said}))
    assert server.mails[0]["Subject"] == "[P1] <:=20 = ?<"


# --- the connection -----------------------------------------------------------------------------------------


async def test_a_batch_goes_over_one_connection(server: MailServer, transport: Transport) -> None:
    provider = _provider(server, transport)
    for number in range(5):
        await _deliver(provider, notification(idempotency_key=f"{number:032x}"))
    assert (len(server.mails), server.connections) == (5, 1)


async def test_a_connection_that_was_closed_meanwhile_is_opened_again(
    server: MailServer, transport: Transport
) -> None:
    provider = _provider(server, transport)
    await _deliver(provider)
    server.hang_up()
    await _deliver(provider)
    assert (len(server.mails), server.connections) == (2, 2)


async def test_an_idle_connection_is_closed(
    server: MailServer, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_module, "IDLE", 0.0)
    provider = _provider(server, transport)
    await _deliver(provider)
    await asyncio.sleep(0.05)
    await _deliver(provider)
    assert server.connections == 2


async def test_no_connection_stays_open_to_a_server_that_hangs_at_the_end_of_it(
    server: MailServer, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_module, "IDLE", 0.0)
    leaving, closed = asyncio.Event(), asyncio.Event()

    async def hang_at_quit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        while line := await reader.readline():
            if line.startswith(b"QUIT"):
                leaving.set()
                continue
            writer.write(b"354 go on\r\n" if line.startswith(b"DATA") else b"250 done\r\n")
            if line.startswith(b"DATA"):
                await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 taken\r\n")
        writer.close()
        closed.set()

    async with await asyncio.start_server(hang_at_quit, "127.0.0.1", 0) as hanging:
        provider = _provider(server, transport, port=hanging.sockets[0].getsockname()[1])
        await _deliver(provider)
        await asyncio.wait_for(leaving.wait(), PATIENCE)
        await _deliver(provider)  # a new connection; the end of the first is not waited for
        await asyncio.wait_for(closed.wait(), PATIENCE)
        await transport.close()


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_mail_goes_over_tls_with_a_login(
    security: str, transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate(tmp_path)[0]))
    async with MailServer(security=security, auth=True, folder=tmp_path) as server:
        login = {"username": USER, "password": PASSWORD}
        await _deliver(_provider(server, transport, security=security, host="localhost", **login))
        assert len(server.mails) == 1
        error = await _refusal(
            _provider(
                server, transport, security=security, host="localhost", username=USER, password="wrong-one"
            )
        )
    assert "refuses the login: 535" in str(error)
    assert error.permanent


async def test_a_certificate_of_an_unknown_authority_is_refused(transport: Transport, tmp_path: Path) -> None:
    async with MailServer(security="tls", folder=tmp_path) as server:
        error = await _refusal(_provider(server, transport, security="tls", host="localhost"))
    assert str(error) == "the mail server cannot be reached: its certificate is not valid"


async def test_nothing_is_sent_unencrypted_where_starttls_is_not_offered(
    server: MailServer, transport: Transport
) -> None:
    error = await _refusal(
        _provider(server, transport, security="starttls", username=USER, password=PASSWORD)
    )
    assert error.permanent
    assert "STARTTLS" in str(error)
    assert PASSWORD not in str(error)
    assert server.mails == []


async def test_a_private_address_is_refused_by_default(server: MailServer, transport: Transport) -> None:
    for host in ("127.0.0.1", "localhost"):
        error = await _refusal(
            _provider(server, transport, host=host, security="starttls", allow_private=False)
        )
        assert "allow_private" in str(error)
        assert error.permanent
    assert server.connections == 0


async def test_unencrypted_mail_never_goes_to_a_public_address(
    server: MailServer, transport: Transport
) -> None:
    error = await _refusal(_provider(server, transport, host="192.88.99.1"))
    assert "public internet" in str(error)


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
async def test_an_online_check_logs_in_and_sends_nothing() -> None:
    def plan(server: MailServer, password: str) -> Plan:
        mail = {
            "provider": "email",
            "host": "127.0.0.1",
            "port": server.port,
            "security": "none",
            "allow_private": True,
            "from": "alerts@example.org",
            "to": ANN,
            "username": USER,
            "password": password,
        }
        return make_plan(
            read_dict(CONFIG | {"receivers": {"mail": mail}, "routes": [{"receivers": ["mail"]}]})
        )

    async with MailServer(auth=True) as server:
        (good,) = await check_receivers(plan(server, PASSWORD))
        (wrong,) = await check_receivers(plan(server, "wrong-one"))
        await server.stop()
        (away,) = await check_receivers(plan(server, PASSWORD))
        await server.start()
    assert good == ReceiverCheck("mail", "email", True, None)
    assert wrong.problem is not None
    assert "refuses the login: 535" in wrong.problem
    assert away.problem == "the mail server cannot be reached: the connection was refused"
    assert server.mails == []


# --- answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "reply", "said", "permanent"),
    [
        ("MAIL", "550 sender is blocked", "550 sender is blocked", True),
        ("MAIL", "451 try later", "451 try later", False),
        ("MAIL", "421 shutting down", "421 shutting down", False),
        ("RCPT", "421 too many", "421 too many", False),
        ("DATA", "552 too large", "552 too large", True),
        ("DATA", "452 disk is full", "452 disk is full", False),
        ("DATA", "554 spam\x07" + "x" * 9_000, "554 spam", True),
    ],
)
async def test_an_answer_that_is_not_yes(
    server: MailServer, transport: Transport, command: str, reply: str, said: str, permanent: bool
) -> None:
    server.answers[command] = [reply[:400]]
    provider = _provider(server, transport)
    error = await _refusal(provider)
    assert said in str(error)
    assert "\x07" not in str(error)
    assert (error.permanent, error.refused) == (permanent, True)
    assert server.mails == []
    await _deliver(provider)
    assert len(server.mails) == 1


async def test_greylisting_is_waited_for_and_nobody_gets_a_mail_twice(
    server: MailServer, transport: Transport
) -> None:
    server.answers[f"RCPT {BEN}"] = ["450 greylisted, come back"]
    provider = _provider(server, transport)
    error = await _refusal(provider)
    assert "refuses 1 of 2 recipients: 450 greylisted" in str(error)
    assert not error.permanent
    await _deliver(provider)
    assert [recipients for _, recipients in server.envelopes] == [(ANN,), (BEN,)]


async def test_one_wrong_recipient_does_not_keep_the_others_from_their_mail(
    server: MailServer, transport: Transport
) -> None:
    server.answers[f"RCPT {BEN}"] = ["550 no such mailbox"] * 2
    provider = _provider(server, transport)
    await _deliver(provider)
    await _deliver(provider, notification(idempotency_key="1" * 32))
    assert [recipients for _, recipients in server.envelopes] == [(ANN,), (ANN,)]


async def test_a_mail_that_no_recipient_may_get_is_refused_for_good(
    server: MailServer, transport: Transport
) -> None:
    server.answers["RCPT"] = ["550 no such mailbox"] * 2
    error = await _refusal(_provider(server, transport))
    assert error.permanent
    assert server.mails == []


@pytest.mark.parametrize("command", ["MAIL", "DATA"])
async def test_a_server_that_hangs_is_a_failed_delivery(
    server: MailServer, transport: Transport, command: str
) -> None:
    server.hangs_at = command
    error = await _refusal(_provider(server, transport, timeout="100ms"))
    assert "did not answer within 0.1 seconds" in str(error)
    assert not error.permanent


async def test_a_server_that_is_away_is_a_failed_delivery(server: MailServer, transport: Transport) -> None:
    await server.stop()
    error = await _refusal(_provider(server, transport))
    assert str(error) == "the mail server cannot be reached: the connection was refused"
    await server.start()


async def test_a_name_that_is_not_there_is_a_failed_delivery(
    server: MailServer, transport: Transport
) -> None:
    error = await _refusal(_provider(server, transport, host="mail.invalid"))
    assert str(error) == "the mail server cannot be reached: its name cannot be looked up"


READ = b""
"""In a script: read a line of the client."""


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ([], "closed the connection"),
        ([b"\xff\xfe\r\n"], "its answer is not SMTP"),
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "its answer is not SMTP"),
        ([b"220-" + b"x" * 60_000 + b"\r\n"] * 100, "its answer is not SMTP"),
        ([b"x" * 60_000] * 100, "its answer is not SMTP"),
        ([b"220 hi\r\n", READ, b"250-a\r\n"], "closed the connection"),
        ([b"220 hi\r\n250 more\r\n250 more\r\n"], "closed the connection"),
        ([b"220 hi\r\n", READ, b"250 ok\r\n", READ, b"550 \xc3\x28 no\r\n"], "answered 550"),
    ],
)
async def test_a_server_that_answers_anything_is_a_failed_delivery(
    transport: Transport, server: MailServer, script: list[bytes], said: str
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            for step in script:
                if step == READ:
                    await reader.readline()
                else:
                    writer.write(step)
                    await writer.drain()
        writer.close()

    odd = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with odd:
        port = odd.sockets[0].getsockname()[1]
        error = await _refusal(_provider(server, transport, port=port))
    assert said in str(error)
    assert str(error).isprintable()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"to": ["nobody"]}, "expected a mailbox"),
        ({"to": ["a@example.org\nBcc: b@example.org"]}, "expected a mailbox"),
        ({"to": ["a@example.org, b@example.org"]}, "expected a mailbox"),
        ({"to": []}, "at least one"),
        ({"security": "none"}, "allow_private"),
        ({"username": "x"}, "both of"),
        ({"username": "x", "password": " "}, "not empty"),
        ({"port": 0}, "at least 1"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(table: dict[str, Any], said: str) -> None:
    mail = {"provider": "email", "host": "smtp.example.org", "from": "a@example.org", "to": ["b@example.org"]}
    with pytest.raises(ConfigError, match=said):
        from_dict(
            {
                "networks": {"n": {"chain_id": 1, "rpc": ["http://127.0.0.1:1"]}},
                "receivers": {"mail": {**mail, **table}},
                "routes": [{"receivers": ["mail"]}],
            }
        )
