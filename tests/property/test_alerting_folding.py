"""S6 through outages and crashes, with messages folded: all delivered, in order, a key for one message only."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from tempfile import TemporaryDirectory
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.providers import DeliveryError, Receipt
from chainwatch.store.database import Database
from tests.unit.alerting.delivery.test_queue import Bench
from tests.unit.alerting.helpers import T0, ScriptedProvider, ends, fires

Fate = Literal["taken", "refused", "lost", "taken, but the answer was lost"]
Step = Literal["change 1", "change 2", "change 3", "wait", "crash"]

fates = st.lists(st.sampled_from(Fate.__args__), max_size=25)  # type: ignore[attr-defined]  # of a Literal
steps = st.lists(st.sampled_from(Step.__args__), min_size=3, max_size=20)  # type: ignore[attr-defined]  # likewise


class Fated(ScriptedProvider):
    """A receiver that takes messages once by their key, whatever becomes of its answers."""

    def __init__(self, given_fates: list[Fate]) -> None:
        super().__init__()
        self._fates = list(given_fates)
        self.known: dict[str, Notification] = {}
        self.differed = False

    async def send(self, message: Notification) -> Receipt:
        await asyncio.sleep(0)
        fate = self._fates.pop(0) if self._fates else "taken"
        if fate == "refused":
            raise DeliveryError("503", refused=True)
        if fate == "lost":
            raise DeliveryError("no answer")
        known = self.known.setdefault(message.idempotency_key, message)
        self.differed |= _said(known) != _said(message)
        if fate != "taken":
            raise DeliveryError("no answer")
        return Receipt()


def _said(message: Notification) -> list[tuple[str, str, float]]:
    return [(alert.fingerprint, alert.status, alert.starts_at) for alert in message.alerts]


async def _live_through(given_steps: list[Step], given_fates: list[Fate]) -> tuple[Fated, dict[str, int]]:
    """What the receiver knows in the end, and how often each alert changed."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # a reader may still be closing its file
        database = Database.open(f"sqlite:///{folder}/alerts.db", durable=False)
        bench, changes = Bench(database), defaultdict[str, int](int)
        bench.provider = provider = Fated(given_fates)
        bench.start()
        try:
            for step in given_steps:
                if step == "wait":
                    bench.clock.advance(3.0)
                    await asyncio.sleep(0.005)
                elif step == "crash":
                    await bench.crash()
                    bench.start()
                else:
                    name = step.removeprefix("change ")
                    at = T0 + changes[name] // 2 * 100
                    await bench.apply(fires(name, at=at) if changes[name] % 2 == 0 else ends(name, at=at))
                    changes[name] += 1
            await bench.until(lambda: "pending" not in bench.statuses())
        finally:
            await bench.crash()
            database.close()
    return provider, dict(changes)


@given(steps, fates)
@settings(max_examples=40, deadline=None)
def test_a_receiver_is_reported_everything_and_in_order_s6(
    given_steps: list[Step], given_fates: list[Fate]
) -> None:
    provider, changes = asyncio.run(_live_through(given_steps, given_fates))
    received = defaultdict(list)
    for message in provider.known.values():
        for alert in message.alerts:
            received[alert.labels["transfer"]].append((alert.starts_at, alert.status))
    assert not provider.differed, "a key stands for one message"
    for name, number in changes.items():
        wanted = [(T0 + n // 2 * 100, "resolved" if n % 2 else "firing") for n in range(number)]
        assert list(dict.fromkeys(received[name])) == wanted, (
            "each change is first sent after those before it"
        )
        assert received[name][-1] == wanted[-1], "what was sent last holds"
        if "crash" not in given_steps and not any("lost" in fate for fate in given_fates):
            assert received[name] == wanted, "nothing is sent twice where every answer came and was noted"
