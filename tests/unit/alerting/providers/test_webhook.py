"""Alertmanager's webhook body, the signature, and where messages may not go."""

import hashlib
import hmac
import json
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr, ValidationError

from chainwatch.alerting.delivery.notification import Notification, NotifiedAlert
from chainwatch.alerting.providers import build_provider
from chainwatch.alerting.providers.provider import DeliveryError
from chainwatch.alerting.providers.transport import Transport, is_public
from chainwatch.alerting.providers.webhook import WebhookProvider, WebhookSettings
from chainwatch.alerting.providers.webhook_bodies import alertmanager
from tests.support.mail import certificate
from tests.support.receiver import Answer, Receiver
from tests.unit.alerting.helpers import T0, notification, notified


def _provider(url: str, transport: Transport, **settings: Any) -> WebhookProvider:
    settings = {"name": "hook", "provider": "webhook", "url": url, "allow_private": True, **settings}
    built = build_provider(WebhookSettings.model_validate(settings), transport)
    assert isinstance(built, WebhookProvider)
    return built


async def _deliver(url: str, message: Notification | None = None, **settings: Any) -> None:
    async with Transport() as transport:
        provider = _provider(url, transport, **settings)
        await provider.send(provider.render(message or notification(), None))


@pytest.fixture
async def server() -> AsyncIterator[Receiver]:
    async with Receiver() as server:
        yield server


async def test_the_body_is_alertmanagers_version_4(server: Receiver) -> None:
    message = notification(
        notified(link="http://cw/alerts/1"),
        notified(
            status="resolved",
            labels={"alertname": "TransferOverdue", "transfer": "0x02", "severity": "P1"},
            annotations={"summary": "other"},
            ends_at=T0 + 60,
        ),
        external_url="http://cw",
    )
    await _deliver(server.url, message)
    assert server.requests[0].json() == {
        "version": "4",
        "groupKey": '{}/{}:{alertname="TransferOverdue"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "ops",
        "groupLabels": {"alertname": "TransferOverdue"},
        "commonLabels": {"alertname": "TransferOverdue", "severity": "P1"},
        "commonAnnotations": {},
        "externalURL": "http://cw",
        "alerts": [
            {
                "status": "firing",
                "labels": {"alertname": "TransferOverdue", "transfer": "0x01", "severity": "P1"},
                "annotations": {"summary": "execute is late", "amount": "12 ETH"},
                "startsAt": "2023-11-14T22:13:20Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://cw/alerts/1",
                "fingerprint": "00112233aabbccdd",
            },
            {
                "status": "resolved",
                "labels": {"alertname": "TransferOverdue", "transfer": "0x02", "severity": "P1"},
                "annotations": {"summary": "other"},
                "startsAt": "2023-11-14T22:13:20Z",
                "endsAt": "2023-11-14T22:14:20Z",
                "generatorURL": "",
                "fingerprint": "00112233aabbccdd",
            },
        ],
    }


def test_times_have_a_fraction_where_they_are_no_whole_seconds() -> None:
    (alert,) = alertmanager(notification(notified(status="resolved", starts_at=T0 + 0.25, ends_at=T0 + 1)))[
        "alerts"
    ]
    assert (alert["startsAt"], alert["endsAt"]) == ("2023-11-14T22:13:20.250Z", "2023-11-14T22:13:21Z")


async def test_the_idempotency_key_and_own_headers_are_sent(server: Receiver) -> None:
    headers = {"Authorization": SecretStr("Bearer x")}
    await _deliver(server.url, notification(idempotency_key="abc"), headers=headers)
    sent = server.requests[0].headers
    assert (sent["Idempotency-Key"], sent["Authorization"]) == ("abc", "Bearer x")
    assert "X-Chainwatch-Signature" not in sent


async def test_the_signature_is_over_timestamp_and_body(server: Receiver) -> None:
    await _deliver(server.url, secret="k3y-k3y")
    (request,) = server.requests
    signed = request.headers["X-Chainwatch-Timestamp"].encode() + b"." + request.body
    wanted = hmac.new(b"k3y-k3y", signed, hashlib.sha256).hexdigest()
    assert request.headers["X-Chainwatch-Signature"] == f"sha256={wanted}"
    assert json.loads(request.body)["version"] == "4"


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_every_2xx_means_taken(server: Receiver, status: int) -> None:
    server.script.append(Answer(status))
    await _deliver(server.url)
    assert len(server.requests) == 1


async def test_an_answer_cut_off_after_its_status_means_taken(server: Receiver) -> None:
    server.script.append(Answer(200, drop=True))
    await _deliver(server.url)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "said", "permanent", "retry_after"),
    [
        (Answer(500), "500 Internal Server Error", False, None),
        (Answer(503, headers={"Retry-After": "12"}), "503", False, 12.0),
        (Answer(429, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}), "429", False, 0.0),
        (
            Answer(
                429,
                headers={
                    "Date": "Wed, 21 Oct 2015 07:27:48 GMT",
                    "Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT",
                },
            ),
            "429",
            False,
            12.0,
        ),
        (Answer(429, headers={"Retry-After": "soon"}), "429", False, None),
        (Answer(408), "408", False, None),
        (Answer(404), "404 Not Found", True, None),
        (Answer(413), "413", True, None),
        (Answer(307, headers={"Location": "/elsewhere"}), "307", True, None),
    ],
)
async def test_every_other_answer_is_a_failed_delivery(
    server: Receiver, answer: Answer, said: str, permanent: bool, retry_after: float | None
) -> None:
    server.script.append(answer)
    with pytest.raises(DeliveryError, match=said) as caught:
        await _deliver(server.url)
    assert (caught.value.permanent, caught.value.retry_after) == (permanent, retry_after)
    assert len(server.requests) == 1


async def test_a_server_that_hangs_is_a_failed_delivery(server: Receiver) -> None:
    server.script.append(Answer(delay=1.0))
    with pytest.raises(DeliveryError, match=r"within 0\.05 seconds"):
        await _deliver(server.url, timeout="50ms")


async def test_a_server_that_is_away_is_a_failed_delivery_that_names_no_secret_s9(server: Receiver) -> None:
    await server.stop()
    with pytest.raises(DeliveryError) as caught:
        await _deliver(f"{server.url}/token")
    assert str(caught.value) == "the webhook cannot be reached: the connection was refused"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"])
async def test_a_private_address_is_refused_by_default(server: Receiver, host: str) -> None:
    with pytest.raises(DeliveryError, match="allow_private") as caught:
        await _deliver(f"http://{host}:{server.port}/", allow_private=False)
    assert caught.value.permanent
    assert server.requests == []


async def test_the_address_is_checked_where_the_connection_goes_and_not_where_the_name_once_led(
    server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def rebound(self: object, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", rebound)
    monkeypatch.setattr(aiohttp.DefaultResolver, "resolve", rebound)
    with pytest.raises(DeliveryError, match="allow_private"):
        await _deliver(f"http://public.example:{server.port}/", allow_private=False)
    assert server.requests == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "239.1.1.1",
        "255.255.255.255",
        "240.0.0.1",
        "198.18.0.1",
        "::",
        "::1",
        "fe80::1%eth0",
        "fc00::1",
        "fec0::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fd00:ec2::254",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_the_method_and_a_bearer_token_are_as_configured(server: Receiver, method: str) -> None:
    await _deliver(server.url, method=method, token="t0k3n-t0k3n")
    (request,) = server.requests
    assert (request.method, request.headers["Authorization"]) == (method, "Bearer t0k3n-t0k3n")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"token": "t", "headers": {"authorization": "Basic x"}}, "no `token` beside"),
        ({"token": "t", "url": "https://me:pw@hook.example"}, "no `token` beside"),
        ({"client_key": "key.pem"}, "`client_cert` beside"),
        ({"headers": {"X-Chainwatch-Timestamp": "0"}}, "does not send by itself"),
        ({"method": "GET"}, "'POST', 'PUT' or 'PATCH'"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any], said: str) -> None:
    table = {"name": "hook", "provider": "webhook", "url": "https://hook.example", **settings}
    with pytest.raises(ValueError, match=said):
        WebhookSettings.model_validate(table)


# --- a counterparty -----------------------------------------------------------------------------------------


def _two() -> Notification:
    labels = {"alertname": "TransferOverdue", "severity": "P0", "flow": "xcall", "destination": "optimism"}
    firing = notified(labels=labels)
    return notification(firing, notified(status="resolved", fingerprint="11" * 8, ends_at=T0 + 60))


async def test_a_storm_is_several_requests_that_servers_take_and_is_continued_where_it_stopped(
    server: Receiver,
) -> None:
    annotations = {"summary": "x" * 800}
    alerts = [notified(fingerprint=f"{i:016x}", annotations=annotations) for i in range(3000)]
    server.usual = lambda request: Answer(413 if len(request.body) > 1_048_576 else 200)
    server.script.extend([Answer(), Answer(500)])
    async with Transport() as transport:
        provider = _provider(server.url, transport)
        message = provider.render(notification(*alerts), None)
        with pytest.raises(DeliveryError):
            await provider.send(message)
        await provider.send(message)
    taken = [server.requests[0], *server.requests[2:]]
    assert [one["fingerprint"] for r in taken for one in r.json()["alerts"]] == [
        a.fingerprint for a in alerts
    ]
    assert len({request.headers["Idempotency-Key"] for request in taken}) == len(taken) > 3
    assert {request.json()["groupKey"] for request in taken} == {notification().group_key}


async def test_a_counterparty_gets_one_flat_object_for_each_alert(server: Receiver) -> None:
    await _deliver(server.url, _two(), format="counterparty", secret="k3y-k3y")
    first, second = server.requests
    assert first.json() == {
        "network": "optimism",
        "type": "TransferOverdue",
        "severity": "high",
        "session": "xcall",
        "alert_id": "00112233aabbccdd-2023-11-14T22:13:20Z",
        "timestamp": "2023-11-14T22:13:20Z",
        "content": "FIRING: TransferOverdue\nexecute is late\namount: 12 ETH\nflow: xcall\ndestination: optimism",
    }
    assert second.json()["timestamp"] == "2023-11-14T22:14:20Z"
    assert second.json()["content"].startswith("RESOLVED: TransferOverdue\n")
    assert first.headers["Idempotency-Key"] != second.headers["Idempotency-Key"]
    assert first.headers["X-Chainwatch-Signature"] != second.headers["X-Chainwatch-Signature"]


async def test_a_counterparty_that_fails_midway_gets_no_alert_twice(server: Receiver) -> None:
    async with Transport() as transport:
        provider = _provider(server.url, transport, format="counterparty")
        message = provider.render(_two(), None)
        server.script += [Answer(200), Answer(500)]
        with pytest.raises(DeliveryError, match="500"):
            await provider.send(message)
        await provider.send(message)
    keys = [request.headers["Idempotency-Key"] for request in server.requests]
    assert (len(keys), keys[1]) == (3, keys[2])
    assert keys[0] != keys[1]


# --- TLS ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def tls_server(tmp_path: Path) -> AsyncIterator[Receiver]:
    """A server that demands a certificate by the authority in ``tmp_path``."""
    cert, key = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=cert)
    context.load_cert_chain(cert, key)
    context.verify_mode = ssl.CERT_REQUIRED
    async with Receiver(tls=context) as server:
        yield server


async def test_a_client_certificate_and_an_own_authority(tls_server: Receiver, tmp_path: Path) -> None:
    files: dict[str, Any] = {"client_cert": tmp_path / "cert.pem", "client_key": tmp_path / "key.pem"}
    await _deliver(tls_server.url, ca=tmp_path / "cert.pem", **files)
    assert len(tls_server.requests) == 1
    with pytest.raises(DeliveryError, match="certificate is not valid"):
        await _deliver(tls_server.url, **files)
    with pytest.raises(DeliveryError, match="cannot be reached"):
        await _deliver(tls_server.url, ca=tmp_path / "cert.pem")
    assert len(tls_server.requests) == 1


async def test_a_renewed_certificate_is_read_without_a_restart(tls_server: Receiver, tmp_path: Path) -> None:
    own, key = tmp_path / "own.pem", tmp_path / "key.pem"
    async with Transport() as transport:
        files = {"client_cert": own, "client_key": key, "ca": tmp_path / "cert.pem"}
        provider = _provider(tls_server.url, transport, **files)
        for content in (None, b"no certificate"):
            if content is not None:
                own.write_bytes(content)
            with pytest.raises(DeliveryError, match="a TLS file for the webhook cannot be used") as caught:
                await provider.send(provider.render(notification(), None))
            assert caught.value.permanent
            assert str(tmp_path) not in str(caught.value)
        own.write_bytes((tmp_path / "cert.pem").read_bytes())
        await provider.send(provider.render(notification(), None))
    assert len(tls_server.requests) == 1


def test_a_time_beyond_all_calendars_is_reported_as_their_last() -> None:
    (reported,) = alertmanager(notification(notified(starts_at=2.0**63)))["alerts"]
    assert reported["startsAt"] == "9999-12-31T23:59:59Z"


TEMPLATED = '{"text": {{ alerts[0].annotations.summary | json }}, "level": {{ status | json }}, "n": {{ alerts | length }}}'


def _templated(body: str, *alerts: NotifiedAlert) -> dict[str, Any]:
    settings = WebhookSettings(
        name="ops", provider="webhook", url=SecretStr("https://hooks.example"), format="template", body=body
    )
    message = WebhookProvider(settings, Transport()).render(notification(*alerts or (notified(),)), None)
    decoded: dict[str, Any] = json.loads(message.requests[""].content)
    return decoded


def test_a_template_makes_the_body() -> None:
    assert _templated(TEMPLATED) == {"text": "execute is late", "level": "firing", "n": 1}


def test_a_storm_is_rendered_by_the_template_too() -> None:
    alerts = [notified(annotations={"summary": "x" * 400, "send_tx": "0x" + "5e" * 32}) for _ in range(100)]
    made = _templated('{"all": {{ alerts | json }}}', *alerts)
    assert len(made["all"]) == 100


@pytest.mark.parametrize("hostile", ['"', "\\", "\n", "\u2028", '", "level": "resolved', "{{ x }}", "\ud800"])
def test_text_from_a_chain_stays_one_json_text(hostile: str) -> None:
    settings = WebhookSettings(
        name="ops",
        provider="webhook",
        url=SecretStr("https://hooks.example"),
        format="template",
        body=TEMPLATED,
    )
    alert = notified(annotations={"summary": f"a{hostile}b"})
    message = WebhookProvider(settings, Transport()).render(notification(alert), None)
    assert json.loads(message.requests[""].content)["level"] == "firing"


@pytest.mark.parametrize("body", ["not JSON", "{{ alerts[0].name | int }}"])
def test_a_template_that_makes_no_json_sends_alertmanager_s_body_with_a_note(body: str) -> None:
    sent = _templated(body)
    assert sent["alerts"][0]["labels"]["alertname"] == "TransferOverdue"
    assert "the template of this webhook failed" in sent["note"]


@pytest.mark.parametrize(
    "keys", [{"format": "template"}, {"body": "{}"}, {"format": "template", "body": "{{ x"}]
)
def test_format_and_body_belong_together_and_the_body_must_compile(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WebhookSettings(name="ops", provider="webhook", url=SecretStr("https://hooks.example"), **keys)
