"""A real Alertmanager as a receiver: it has what fires here, also after it was restarted, and nothing else."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chainwatch.alerting.providers import DeliveryError, Transport, build_provider
from chainwatch.alerting.providers.alertmanager import AlertmanagerProvider, AlertmanagerSettings
from chainwatch.alerting.providers.webhook_bodies import alertmanager
from chainwatch.alerting.runtime import AlertingConfig, AlertingRuntime
from chainwatch.config import from_dict
from chainwatch.model import Signal
from chainwatch.store.database import Database
from tests.support.alertmanager import PROGRAM, Alertmanager
from tests.support.receiver import Answer, Receiver
from tests.support.waiting import PATIENCE
from tests.unit.alerting.helpers import T0, notification, notified

needs_alertmanager = pytest.mark.skipif(PROGRAM is None, reason="prometheus-alertmanager is not installed")


@pytest.fixture
async def theirs(tmp_path: Path) -> AsyncIterator[Alertmanager]:
    async with Alertmanager(tmp_path) as running:
        yield running


def _provider(transport: Transport, *urls: str) -> AlertmanagerProvider:
    table = {"name": "am", "provider": "alertmanager", "urls": list(urls), "allow_private": True}
    built = build_provider(AlertmanagerSettings.model_validate(table), transport)
    assert isinstance(built, AlertmanagerProvider)
    return built


async def _until(condition: Callable[[list[dict[str, Any]]], bool], theirs: Alertmanager) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition(await theirs.alerts()):
            await asyncio.sleep(0.1)


@needs_alertmanager
async def test_labels_and_annotations_arrive_as_they_are_and_the_end_ends_it(theirs: Alertmanager) -> None:
    labels = {"alertname": "TransferOverdue", "severity": "P1", "transfer": '0x01\n"é<'}
    alert = notified(labels={**labels, "bad-name": "x", "0": "y", "empty": ""}, link="https://cw.example/1")
    ended = notified(labels=alert.labels, status="resolved", ends_at=T0 + 60)
    async with Transport() as transport:
        provider = _provider(transport, theirs.url)
        await provider.send(provider.render(notification(alert), None))
        (found,) = await theirs.alerts()
        assert found["labels"] == {**labels, "bad_name": "x", "_0": "y"}
        assert found["annotations"] == {"summary": "execute is late", "amount": "12 ETH"}
        assert found["startsAt"] == "2023-11-14T22:13:20.000Z"
        assert found["generatorURL"] == "https://cw.example/1"
        await provider.send(provider.render(notification(ended), None))
    assert await theirs.alerts() == []


@needs_alertmanager
async def test_what_fires_is_sent_again_after_a_restart_of_alertmanager(
    theirs: Alertmanager, database_url: str
) -> None:
    settings = from_dict(
        {
            "networks": {"n": {"chain_id": 1, "rpc": ["http://127.0.0.1:1"]}},
            "receivers": {
                "am": {
                    "provider": "alertmanager",
                    "urls": theirs.url,
                    "resend_every": "200ms",
                    "allow_private": True,
                }
            },
            "routes": [{"receivers": ["am"], "group_wait": "0s", "group_interval": "1s"}],
        }
    )
    labels = {"alertname": "NetworkBlind", "network": "n", "severity": "P1"}
    with closing(Database.open(database_url, durable=False)) as database:
        runtime = AlertingRuntime(database, AlertingConfig.of(settings))
        await runtime.resume()
        await runtime.start()
        try:
            now = int(time.time())
            await runtime.raise_signals([Signal(labels, now, {"summary": "x"}, source="network")])
            await _until(lambda found: len(found) == 1, theirs)
            theirs.stop()
            await theirs.start()
            await _until(lambda found: len(found) == 1, theirs)
            await runtime.raise_signals([Signal(labels, now, {}, now + 1, "over", source="network")])
            await _until(lambda found: not found, theirs)
            await asyncio.sleep(0.5)
            assert await theirs.alerts() == []
        finally:
            await runtime.close()


def _shape(value: Any) -> Any:
    """The keys and the types of a JSON value; of a list those of its first item."""
    if isinstance(value, dict):
        return {key: _shape(one) for key, one in value.items()}
    return [_shape(one) for one in value[:1]] if isinstance(value, list) else type(value).__name__


@needs_alertmanager
async def test_a_webhook_gets_what_alertmanager_would_send_it(tmp_path: Path) -> None:
    labels = {"alertname": "TransferOverdue", "severity": "P1"}
    alert = notified(labels=labels, link="https://cw.example/1")
    async with Receiver() as hook, Alertmanager(tmp_path, hook.url) as theirs, Transport() as transport:
        provider = _provider(transport, theirs.url)
        await provider.send(provider.render(notification(alert), None))
        (sent, *_) = await hook.wait_for(1)
    real = sent.json()
    ours = json.loads(
        msgspec.json.encode(alertmanager(notification(alert, external_url="https://cw.example")))
    )
    assert _shape(ours) == _shape(real)
    for volatile in ("receiver", "externalURL", "groupKey"):
        del ours[volatile], real[volatile]
    for message in (ours, real):
        del message["alerts"][0]["fingerprint"], message["alerts"][0]["endsAt"]
    assert ours == real


async def test_of_several_instances_one_has_to_take_it() -> None:
    async with Receiver() as up, Receiver(lambda _: Answer(503)) as down, Transport() as transport:
        provider = _provider(transport, down.url, f"{up.url}/prefix/")
        await provider.send(provider.render(notification(), None))
        assert [request.path for request in up.requests] == ["/prefix/api/v2/alerts"]
        up.usual = lambda _: Answer(400)
        with pytest.raises(DeliveryError, match="503") as caught:
            await provider.send(provider.render(notification(), None))
    assert not caught.value.permanent


async def test_an_instance_that_hangs_delays_no_alert_to_the_others() -> None:
    hangs = Answer(delay=60.0)
    async with Receiver() as up, Receiver(lambda _: hangs) as hanging, Transport() as transport:
        provider = _provider(transport, hanging.url, up.url)
        began = time.monotonic()
        for _ in range(10):
            await provider.send(provider.render(notification(), None))
        assert time.monotonic() - began < 30
        assert len(up.requests) == 10
        hanging.usual = lambda _: Answer()
        await provider.resend(_loaded)  # it waits for all, so an instance that answers again is noticed
        hanging.requests.clear()
        for _ in range(3):
            await provider.send(provider.render(notification(), None))
        assert len(hanging.requests) == 3


async def _loaded() -> Any:
    return notification()


@needs_alertmanager
async def test_what_a_chain_says_of_the_future_fires_now_and_ends_when_it_is_over(
    theirs: Alertmanager,
) -> None:
    ahead = int(time.time()) + 400_000_000
    async with Transport() as transport:
        provider = _provider(transport, theirs.url)
        await provider.send(provider.render(notification(notified(starts_at=ahead)), None))
        assert len(await theirs.alerts()) == 1
        over = notified(status="resolved", starts_at=ahead, ends_at=ahead + 60)
        await provider.send(provider.render(notification(over), None))
        assert await theirs.alerts() == []


async def test_a_storm_is_sent_in_parts() -> None:
    async with Receiver() as server, Transport() as transport:
        provider = _provider(transport, server.url)
        await provider.send(provider.render(notification(*[notified()] * 1200), None))
    assert [len(request.json()) for request in server.requests] == [500, 500, 200]


async def test_nothing_resolved_is_sent_as_firing_by_a_resending_that_began_before() -> None:
    async with Receiver() as server, Transport() as transport:
        provider = _provider(transport, server.url)
        began, proceed = asyncio.Event(), asyncio.Event()

        async def slow_load() -> Any:
            began.set()
            await proceed.wait()
            return notification()

        resending = asyncio.create_task(provider.resend(slow_load))
        await began.wait()
        ended = notification(notified(status="resolved", ends_at=T0 + 1))
        sending = asyncio.create_task(provider.send(provider.render(ended, None)))
        await asyncio.sleep(0.05)
        proceed.set()
        await asyncio.gather(resending, sending)
    assert server.requests[-1].json()[0]["endsAt"] == "2023-11-14T22:13:21Z"
