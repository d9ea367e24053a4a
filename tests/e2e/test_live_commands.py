"""Commands take effect on the running process at once: each typed in a process of its own."""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from chainwatch.cli import main
from tests.support.live import Live, fires
from tests.support.notified import NotifiedAlert
from tests.support.receiver import Answer, Received, Receiver
from tests.support.waiting import eventually

AT_ONCE = {"group_wait": "0s", "group_interval": "200ms"}
PAGE = {"steps": [{"wait": "8s", "notify": "oncall:primary"}]}
SOON = 5.0
"""Seconds within which a command has taken effect on a slow machine, from its end on: before anything else happens."""
TAKEN_IN = 2.0
"""Seconds after which a command has usually taken effect even there."""

CONFIG: dict[str, Any] = {
    "receivers": {"ops": {}, "anna": {}, "bob": {}, "busy": {}, "down": {}},
    "people": {"anna": {"receivers": "anna"}, "bob": {"receivers": "bob"}},
    "oncall": {"primary": {"layers": [{"people": ["anna"]}]}},
    "escalations": {"page": PAGE},
    "routes": [
        {
            "match": {"alertname": ["Acked", "Open"]},
            "receivers": ["ops"],
            "group_by": ["alertname"],
            "repeat_interval": "8s",
            "escalation": "page",
            **AT_ONCE,
        },
        {"match": {"alertname": "Busy"}, "receivers": ["busy"], **AT_ONCE},
        {"match": {"alertname": "Down"}, "receivers": ["down"], "group_by": ["..."], **AT_ONCE},
        {"match": {"alertname": "Paged"}, "receivers": ["ops"], "escalation": "page", **AT_ONCE},
        {"receivers": ["ops"], **AT_ONCE},
    ],
}


@pytest.fixture
async def live(tmp_path: Path) -> Any:
    async with Receiver(answer) as receiver, Live(tmp_path, receiver, CONFIG) as live:
        yield live


def answer(request: Received) -> Answer:
    """Everybody takes what comes, but for one who is busy and one who is down, until `mended` is set."""
    if mended.is_set() or request.path not in ("/busy", "/down"):
        return Answer()
    return (
        Answer(status=429, headers={"Retry-After": "600"}) if request.path == "/busy" else Answer(status=503)
    )


mended = asyncio.Event()


async def test_every_command_takes_effect_on_the_running_process_at_once(live: Live) -> None:
    """Five stories side by side in one process, as each waits most of the time."""
    mended.clear()
    await command(live, "oncall", "override", "add", "primary", "bob", "--for", "1h")
    began = time.time()
    live.raise_signals([fires(name, began) for name in ("Acked", "Open", "Paged", "Ended")], began)
    firing = {alert["labels"]["alertname"]: str(alert["id"]) for alert in await live.watch.read("alerts")}
    _, *delays = await asyncio.gather(
        overridden(live),
        acknowledged(live, firing["Acked"]),
        resolved(live, firing["Ended"]),
        silenced(live),
        retried(live),
    )
    print(f"seconds until unack, resolve, expire and retry took effect: {delays}")
    assert all(delay < SOON for delay in delays), delays
    assert [t.status for t in live.notified("ops", "Ended")] == ["firing", "resolved"]
    # Until now nobody took these on: they were repeated, and woke whom the override named.
    assert len(live.notified("ops", "Open")) >= 2
    assert live.notified("bob", "Open")
    assert live.notified("anna", "Open") == live.notified("anna", "Acked") == []


async def command(live: Live, *words: str) -> float:
    """Type a command; when it ended."""
    done = await live.watch.command(*words)
    assert done.code == 0, done.err
    return time.time()


def requests(live: Live, receiver: str) -> list[Received]:
    """Every attempt to notify a receiver."""
    return [request for request in live.receiver.requests if request.path == f"/{receiver}"]


async def arrival(look: Callable[[], Sequence[NotifiedAlert | Received]], after: float) -> float:
    """Seconds from ``after`` to the first of what there is."""
    return (await eventually(look))[0].arrived_at - after


async def acknowledged(live: Live, alert_id: str) -> float:
    """It is repeated no more and wakes nobody, unlike its twin; given back, it is sent again."""
    await eventually(lambda: live.notified("ops", "Acked"))
    await command(live, "alerts", "ack", alert_id, "--by", "anna")
    await asyncio.sleep(TAKEN_IN)
    # Where the command took long, both were repeated, and the next step taken, before it began.
    sent, others = len(live.notified("ops", "Acked")), len(live.notified("ops", "Open"))
    woken = live.notified("bob", "Acked")
    await eventually(lambda: len(live.notified("ops", "Open")) > others and live.notified("bob", "Open"))
    assert len(live.notified("ops", "Acked")) == sent
    assert live.notified("bob", "Acked") == woken
    given_back = await command(live, "alerts", "unack", alert_id)
    return await arrival(lambda: live.notified("ops", "Acked")[sent:], given_back)


async def overridden(live: Live) -> None:
    """The next page goes to who stands in."""
    await eventually(lambda: live.notified("bob", "Paged"))
    assert live.notified("anna", "Paged") == []


async def resolved(live: Live, alert_id: str) -> float:
    """Whoever was notified of it is notified of its end."""
    await eventually(lambda: live.notified("ops", "Ended"))
    ended = await command(live, "alerts", "resolve", alert_id, "--note", "mended")
    return await arrival(lambda: live.notified("ops", "Ended")[1:], ended)


async def silenced(live: Live) -> float:
    """What begins in a silence is sent when it is ended."""
    await command(live, "silences", "add", "alertname=Muted", "--for", "1h")
    now = time.time()
    live.raise_signals([fires("Muted", now), fires("Loud", now)], now)
    await eventually(lambda: live.notified("ops", "Loud"))
    await asyncio.sleep(TAKEN_IN)
    assert live.notified("ops", "Muted") == []
    expired = await command(live, "silences", "expire", "1")
    return await arrival(lambda: live.notified("ops", "Muted"), expired)


def retry_all(live: Live, receiver: str) -> None:
    """Type ``queue retry`` where this process is the shell."""
    line = ["--config", str(live.watch.config), "queue", "retry", "--receiver", receiver]
    done = CliRunner().invoke(main, line, env=live.watch.environ)
    assert done.exit_code == 0, done.stderr


async def retried(live: Live) -> float:
    """What waits for a receiver that is left alone is sent, because a person says so."""
    now = time.time()
    live.raise_signals([fires("Busy", now), *(fires("Down", now, number=str(n)) for n in range(6))], now)
    await eventually(lambda: requests(live, "down")[7:])  # the next probe is 21 s away
    mended.set()
    await asyncio.to_thread(
        retry_all, live, "down"
    )  # in this process: before the next probe, however slow a start is
    first = time.time()
    await eventually(lambda: [q.status for q in live.queued("down")] == ["delivered"] * 6)
    assert time.time() - first < 2 * SOON  # all of them, one after the other until it has taken something
    second = await command(live, "queue", "retry", "--receiver", "busy")
    return await arrival(lambda: requests(live, "busy")[1:], second)
