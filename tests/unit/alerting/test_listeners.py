"""Listening follows the receivers: one task for each account, started again only where something changed."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from chainwatch.alerting.actions import Listeners
from chainwatch.alerting.providers.actions import Act, Action, Answer
from chainwatch.model import Signal
from chainwatch.support.supervise import Supervisor
from tests.unit.alerting.helpers import eventually


class Ears:
    """A provider that listens, and counts how often it began and ended."""

    heard: list[tuple[str, ...]]

    def __init__(self, account: str | None, heard: list[tuple[str, ...]]) -> None:
        self.account = account
        self.heard = heard

    async def listen(self, receivers: Mapping[str, Any], act: Act) -> None:
        self.heard.append(("begins", *receivers))
        try:
            await asyncio.Event().wait()
        finally:
            self.heard.append(("ends", *receivers))


async def ignore(_: Sequence[Signal]) -> None:
    pass


async def act(action: Action) -> Answer:
    raise AssertionError("nobody clicks")


async def test_receivers_of_one_account_share_a_task_and_changes_restart_only_theirs() -> None:
    heard: list[tuple[str, ...]] = []
    supervisor = Supervisor(ignore)
    listeners = Listeners(supervisor, act)
    a, b, c = Ears("one", heard), Ears("one", heard), Ears("two", heard)
    await listeners.follow({"a": a, "b": b, "c": c, "deaf": object(), "quiet": Ears(None, heard)})
    await eventually(lambda: len(heard) == 2)
    assert sorted(heard) == [("begins", "a", "b"), ("begins", "c")]

    await listeners.follow({"a": a, "b": b, "c": c})
    await listeners.follow({"b": b, "c": c})
    await eventually(lambda: len(heard) == 4)
    assert heard[2:] == [("ends", "a", "b"), ("begins", "b")]

    await listeners.follow({"c": c})
    await supervisor.stop(1.0, first=lambda _: True)
    assert heard[4:] == [("ends", "b"), ("ends", "c")]


async def test_after_every_task_was_ended_listening_begins_again() -> None:
    heard: list[tuple[str, ...]] = []
    one = Ears("one", heard)
    supervisor = Supervisor(ignore)
    listeners = Listeners(supervisor, act)
    for _ in range(2):
        await listeners.follow({"a": one})
        await eventually(lambda: heard[-1:] == [("begins", "a")])
        await supervisor.stop(1.0, first=lambda _: True)
        listeners.forget()
    assert heard == [("begins", "a"), ("ends", "a")] * 2
