"""The nineteen scenarios of ``tests/support/scenarios.py``, live, side by side in one process, over loopback webhooks.

``python -m scripts.bench.scenarios [--database]`` takes some fifteen seconds and prints by how many milliseconds each was
off at most; it fails where something else was received. ``--database``: on disk; else in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import structlog

from chainwatch import AlertManager
from tests.support.notified import alerts_of
from tests.support.receiver import Answer, Received, Receiver
from tests.support.scenarios import (
    SCENARIOS,
    TOLERANCE,
    Act,
    Alert,
    Arrival,
    Expire,
    Push,
    Reload,
    Restart,
    Scenario,
    Silence,
    deviation,
)

HEAD_START = 1.0
"""Seconds for all alert managers to be made in."""


def main() -> None:
    """Run them all and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", action="store_true", help="on disk")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    rows = asyncio.run(_run_all(arguments.database))
    print(f"| scenario | off by at most (allowed: {TOLERANCE * 1000:.0f} ms) |\n| --- | --- |")
    for scenario, said in zip(SCENARIOS, rows, strict=True):
        print(f"| {scenario.name} | {said} |")
    sys.exit(not all(row.endswith(" ms") for row in rows))


async def _run_all(on_disk: bool) -> list[str]:
    begin = time.time() + HEAD_START
    return await asyncio.gather(*(_run(scenario, begin, on_disk) for scenario in SCENARIOS))


async def _run(scenario: Scenario, begin: float, on_disk: bool) -> str:
    async with AsyncExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        hooks = {name: Receiver(_answering(scenario, name, begin)) for name in scenario.receivers}
        for hook in hooks.values():
            await opened.enter_async_context(hook)
        player = _Player(scenario, hooks, folder, begin, on_disk=on_disk or _restarts(scenario))
        await player.start()
        try:
            for act in scenario.acts:
                await asyncio.sleep(begin + act.at - time.time())
                await player.do(act)
            await asyncio.sleep(begin + scenario.ends - time.time())
        finally:
            await player.stop()
        try:
            return f"{deviation(scenario, player.received()) * 1000:.0f} ms"
        except AssertionError as error:
            return f"**{error}**"


class _Player:
    """Plays a scenario through the library."""

    def __init__(
        self, scenario: Scenario, hooks: dict[str, Receiver], folder: Path, begin: float, *, on_disk: bool
    ) -> None:
        self._scenario = scenario
        self._hooks = hooks
        self._folder = folder
        self._begin = begin
        self._on_disk = on_disk
        self._silences: list[int] = []
        self._alerts: AlertManager

    async def start(self) -> None:
        self._alerts = await asyncio.to_thread(
            AlertManager.from_config,
            self._config(self._scenario.route),
            resolve_timeout=self._scenario.resolve_timeout,
        )

    async def stop(self) -> None:
        await self._alerts.close_async(0)

    async def do(self, act: Act) -> None:
        match act:
            case Push(_, alerts):
                await self._alerts.submit_async([self._sent(alert) for alert in alerts])
            case Silence(_, match, starts, ends):
                number = await asyncio.to_thread(
                    self._alerts.add_silence, match, self._begin + ends, starts_at=self._begin + starts
                )
                self._silences.append(number)
            case Expire():
                for number in self._silences:
                    await asyncio.to_thread(self._alerts.end_silence, number)
            case Reload(_, route):
                await self._alerts.reload_async(self._config(route))
            case Restart():
                await self.stop()
                await self.start()

    def received(self) -> list[Arrival]:
        """What was taken, message by message."""
        return [
            Arrival(
                request.arrived_at - self._begin,
                name,
                tuple(
                    Alert(
                        one.labels,
                        one.starts_at - self._begin,
                        None if one.ends_at is None else one.ends_at - self._begin,
                        one.annotations,
                    )
                    for one in alerts_of(request)
                ),
            )
            for name, hook in self._hooks.items()
            for request in hook.requests
            if request.arrived_at - self._begin >= self._scenario.down_until.get(name, 0.0)
        ]

    def _config(self, route: Any) -> dict[str, Any]:
        config = self._scenario.config({name: hook.url for name, hook in self._hooks.items()}, route)
        if self._on_disk:
            config["store"] = {"url": f"sqlite:///{self._folder}/alerts.db"}
        return config

    def _sent(self, alert: Alert) -> dict[str, Any]:
        sent: dict[str, Any] = {"labels": alert.labels, "annotations": alert.annotations}
        if alert.starts is not None:
            sent["startsAt"] = self._begin + alert.starts
        if alert.ends is not None:
            sent["endsAt"] = self._begin + alert.ends
        return sent


def _answering(scenario: Scenario, name: str, begin: float) -> Any:
    opens = begin + scenario.down_until.get(name, 0.0)

    def answer(request: Received) -> Answer:
        return Answer(status=503 if request.arrived_at < opens else 200)

    return answer


def _restarts(scenario: Scenario) -> bool:
    return any(isinstance(act, Restart) for act in scenario.acts)


if __name__ == "__main__":
    main()
