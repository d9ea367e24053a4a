"""Listening follows the receivers: one task for each account, started again only where something changed."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from chainwatch.alerting.actions import Listeners
from chainwatch.alerting.providers.actions import Act, Action, Answer
from chainwatch.model import Signal
from chainwatch.support.supervise import Supervisor
from tests.support.waiting import eventually


class ListeningProvider:
    """A provider that listens, and counts how often it began and ended."""

    events: list[tuple[str, ...]]

    def __init__(self, account: str | None, events: list[tuple[str, ...]]) -> None:
        self.account = account
        self.events = events

    async def listen(self, receivers: Mapping[str, Any], act: Act) -> None:
        self.events.append(("begins", *receivers))
        try:
            await asyncio.Event().wait()
        finally:
            self.events.append(("ends", *receivers))


async def ignore(_: Sequence[Signal]) -> None:
    pass


async def act(action: Action) -> Answer:
    raise AssertionError("nobody clicks")


async def test_receivers_of_one_account_share_a_task_and_changes_restart_only_theirs() -> None:
    events: list[tuple[str, ...]] = []
    supervisor = Supervisor(ignore)
    listeners = Listeners(supervisor, act)
    a, b, c = (
        ListeningProvider("one", events),
        ListeningProvider("one", events),
        ListeningProvider("two", events),
    )
    await listeners.follow(
        {"a": a, "b": b, "c": c, "plain": object(), "quiet": ListeningProvider(None, events)}
    )
    await eventually(lambda: len(events) == 2)
    assert sorted(events) == [("begins", "a", "b"), ("begins", "c")]

    await listeners.follow({"a": a, "b": b, "c": c})
    await listeners.follow({"b": b, "c": c})
    await eventually(lambda: len(events) == 4)
    assert events[2:] == [("ends", "a", "b"), ("begins", "b")]

    await listeners.follow({"c": c})
    await supervisor.stop(1.0, first=lambda _: True)
    assert events[4:] == [("ends", "b"), ("ends", "c")]


async def test_after_every_task_was_ended_listening_begins_again() -> None:
    events: list[tuple[str, ...]] = []
    one = ListeningProvider("one", events)
    supervisor = Supervisor(ignore)
    listeners = Listeners(supervisor, act)
    for _ in range(2):
        await listeners.follow({"a": one})
        await eventually(lambda: events[-1:] == [("begins", "a")])
        await supervisor.stop(1.0, first=lambda _: True)
        listeners.forget()
    assert events == [("begins", "a"), ("ends", "a")] * 2
