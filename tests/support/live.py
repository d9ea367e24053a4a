"""A `chainwatch run` in a process of its own that watches nothing: its alerts come through its database."""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Self

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.config import Settings, from_dict
from chainwatch.model import Signal
from chainwatch.store.alerting import outbox
from chainwatch.store.database import Database
from tests.support.notified import NotifiedAlert, notified
from tests.support.ports import free_port
from tests.support.process import Chainwatch
from tests.support.receiver import Receiver
from tests.support.waiting import eventually


class Live:
    """An async context manager that starts and kills it.

    Its receivers are webhooks of ``receiver``, each on the path of its name. The network is one that nobody serves.
    """

    def __init__(self, folder: Path, receiver: Receiver, config: Mapping[str, Any]) -> None:
        self.receiver = receiver
        self.url = f"sqlite:///{folder / 'live.db'}"
        self.watch = Chainwatch(folder, "")
        self._listen = f"127.0.0.1:{free_port()}"
        self.configure(config)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.watch.kill()

    def configure(self, config: Mapping[str, Any]) -> None:
        """Write this configuration, whose ``receivers`` are names with further keys, or whole tables with a provider."""
        hooks = {
            name: keys
            if "provider" in keys
            else {
                "provider": "webhook",
                "url": f"{self.receiver.url}/{name}",
                "allow_private": True,
                **keys,
            }
            for name, keys in config["receivers"].items()
        }
        nobody = {"chain_id": 1, "rpc": [f"http://127.0.0.1:{free_port()}"], "blind_after": "1h"}
        whole = {
            "store": {"url": self.url},
            "networks": {"nowhere": nobody},
            "api": {"listen": self._listen},
            **config,
            "receivers": hooks,
        }
        self.settings: Settings = from_dict(whole)
        self.watch.config.write_text(to_toml(whole))

    async def start(self) -> None:
        """Start it, again too, and wait until it runs."""
        starts = self.watch.log.count('"running"')
        self.watch.start()
        await eventually(lambda: self.watch.log.count('"running"') > starts)

    def raise_signals(self, signals: Sequence[Signal], now: float) -> None:
        """Let alerts begin and end ``now``, as another process on the same database may."""
        with closing(Database.open(self.url)) as database, database.transaction() as connection:
            AlertEngine.of(self.settings, 0).apply(connection, signals, now)

    def queued(self, receiver: str) -> list[outbox.QueuedNotification]:
        """The notifications of a receiver, oldest first."""
        with closing(Database.open(self.url)) as database, database.reading() as connection:
            return list(reversed(outbox.list_notifications(connection, receiver=receiver)))

    def notified(self, receiver: str, name: str) -> list[NotifiedAlert]:
        """What a receiver was sent about the alerts of this name; a delivery that was repeated counts once."""
        requests = [request for request in self.receiver.requests if request.path == f"/{receiver}"]
        return [alert for alert in notified(requests) if alert.name == name]


def fires(name: str, at: float, **labels: str) -> Signal:
    """A condition that is true from ``at`` on."""
    return Signal({"alertname": name, "severity": "P1", **labels}, int(at), {"summary": name})


def to_toml(config: Mapping[str, Any]) -> str:
    """``config`` as TOML, a line for each of its keys."""
    return "".join(f"{key} = {_value(value)}\n" for key, value in config.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)
