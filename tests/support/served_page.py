"""The page of a monitor that has something to show, served in a thread of its own: a browser is driven beside it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from chainwatch.alerting.runtime import AlertingRuntime
from chainwatch.api import server
from chainwatch.config import read_dict
from chainwatch.config.api import parse_listen
from chainwatch.model import Checkpoint, Header, Signal
from chainwatch.monitor.companions import Running
from chainwatch.monitor.heartbeat import Health
from chainwatch.operations import access as tokens
from chainwatch.operations import alert_actions, live_alerting, rota, silencing
from chainwatch.operations.context import Access, Context
from chainwatch.plan import Plan, make_plan
from chainwatch.rule_engine.engine import RuleEngine
from chainwatch.store import blocks
from chainwatch.store.alerting import alerts
from chainwatch.store.blocks import NetworkState
from chainwatch.store.database import Database
from chainwatch.tsdb.tsdb import Tsdb
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE

KEY = "0x" + "7f3a" * 16
TX = "0x" + "c0de" * 16
HOSTILE = "<script>document.title='owned'</script>\u202egnp.\u202c {{ 7*7 }} <img src=x onerror=alert(1)> "
"""What anybody may write on a chain."""


class ServedPage:
    """A page at ``url``; ``access`` writes as the process behind it does, and ``samples`` are what it queries."""

    def __init__(self, url: str, access: Access, plan: Plan, samples: Tsdb) -> None:
        self.url = url
        self.samples = samples
        self.access = access
        self.plan = plan

    def raise_alert(self, name: str, severity: str, summary: str, **more: str) -> int:
        """An alert begins now; return its ID. ``more``: labels, and with ``note_`` before their names annotations."""
        labels = {"alertname": name, "severity": severity}
        labels |= {key: text for key, text in more.items() if not key.startswith("note_")}
        notes = {key.removeprefix("note_"): text for key, text in more.items() if key.startswith("note_")}
        signal = Signal(labels, time.time() - 190, {"summary": summary, **notes}, source="event")
        with self.access.database.transaction() as connection:
            self.access.context.engine.apply(connection, [signal], time.time())
        return self.newest()

    def newest(self) -> int:
        """The ID of the alert that was raised last."""
        with self.access.database.reading() as connection:
            return alerts.last_raised(connection, 1)[0].id

    def make_token(self, name: str, role: str) -> str:
        return self.access.write(tokens.add_token, name, role, "test").token


def config(url: str, port: int) -> dict[str, Any]:
    return {
        "store": {"url": url},
        "api": {"listen": f"127.0.0.1:{port}"},
        "networks": {
            name: {
                "chain_id": number,
                "rpc": ["http://127.0.0.1:1"],
                "explorer": f"https://{name}.explorer.example",
            }
            for number, name in enumerate(("ethereum", "optimism", "base"), 1)
        },
        "receivers": {"ops": {"provider": "console"}, "phone": {"provider": "console"}},
        "people": {"anna": {"receivers": ["phone"]}, "ben": {"receivers": ["phone"]}},
        "intervals": {"office": {"times": ["09:00-17:00"], "weekdays": ["monday-friday"]}},
        "oncall": {"primary": {"layers": [{"people": ["anna", "ben"], "start": "2026-01-05"}]}},
        "escalations": {"wake": {"repeat": 1, "steps": [{"wait": "5m", "notify": ["oncall:primary"]}]}},
        "rules": [
            {
                "alert": "QueueGrows",
                "query": 'deriv(queue_depth{queue=~"' + "a" * 120 + '|<b>"}[10m]) > 0',
                "for": "5m",
                "severity": "P1",
                "annotations": {"summary": "{{ $labels.queue }} <script>alert(1)</script>"},
            },
            {"record": "queue:depth:max", "query": "max by (queue) (queue_depth)", "group": "queues"},
        ],
        "routes": [
            {
                "match": {"severity": ["P0", "P1"]},
                "receivers": ["ops"],
                "group_wait": "0s",
                "escalation": "wake",
            },
            {"receivers": ["ops"], "group_wait": "30s"},
        ],
    }


@contextmanager
def serving_page(
    folder: Path, fill: Callable[[ServedPage], None], tables: Mapping[str, Any] = MappingProxyType({})
) -> Iterator[ServedPage]:
    """Serve the page on a fresh database that ``fill`` fills; ``tables`` are further ones of the configuration."""
    url, port = f"sqlite:///{folder}/page.db", free_port()
    plan = make_plan(read_dict({**config(url, port), **tables}, watches=False))
    with closing(Database.open(url, durable=False)) as database:
        with database.reading() as connection:
            context = Context.of(plan, connection)
        engine = RuleEngine()
        engine.loaded.set()
        page = ServedPage(f"http://127.0.0.1:{port}", Access(database, context), plan, engine.tsdb)
        fill(page)
        ready, loop = threading.Event(), asyncio.new_event_loop()
        task = loop.create_task(_serve(plan, database, ready, engine))
        thread = threading.Thread(target=_run, args=(loop, task), daemon=True)
        thread.start()
        assert ready.wait(PATIENCE)
        try:
            yield page
        finally:
            loop.call_soon_threadsafe(task.cancel)
            thread.join(PATIENCE)
            loop.close()


def _run(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    with suppress(asyncio.CancelledError):
        loop.run_until_complete(task)


async def _serve(plan: Plan, database: Database, ready: threading.Event, engine: RuleEngine) -> None:
    alerting = AlertingRuntime(database, live_alerting.alerting(plan.settings))
    await alerting.resume()
    tasks = server.companions(lambda: None, engine)(Running(plan, database, alerting, Health([])))
    waiting = asyncio.ensure_future(_until_it_listens(plan, ready))
    try:
        await tasks["api"]()
    finally:
        waiting.cancel()
        await alerting.close()


async def _until_it_listens(plan: Plan, ready: threading.Event) -> None:
    address = parse_listen(plan.settings.api.listen)
    while not ready.is_set():
        try:
            _, writer = await asyncio.open_connection(address.host, address.port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            ready.set()


def fill(page: ServedPage) -> None:
    """What a bad night looks like."""
    now = time.time()
    with page.access.database.transaction() as connection:
        for number, (name, state, age) in enumerate(
            (("ethereum", "live", 8), ("optimism", "live", 2), ("base", "blind", 412)), 1
        ):
            head = Header(20_000_000 + number, bytes(32), bytes(32), int(now) - age)
            blocks.add_network(connection, number, number, Checkpoint(name, head, 1, 1, int(now) - age))
            error = "no endpoint answers: timed out" if state == "blind" else None
            at = NetworkState(name, state, head.number + number, int(now), error, now + 3_600)
            blocks.save_states(connection, [at])
    page.access.write(rota.add_override, "primary", "anna", "ben", lasts=28_800)
    for number in range(3):
        _overdue(page, f"0x{number:04x}" + "7f3a" * 15, f"4{number}", "execute", "optimism")
    page.raise_alert(
        "InvariantViolated",
        "P0",
        "The bridge on base holds less than optimism has minted",
        network="base",
        note_description="locked 1,204.5 WETH, minted 1,310.0 WETH: 105.5 WETH are not backed",
        note_runbook_url="https://runbooks.example/bridge-not-backed",
        note_tx=TX,
    )
    taken = _overdue(page, KEY, "17", "prove", "base")
    page.access.write(
        alert_actions.acknowledge, [taken], "ben", "the relayer is restarted, watching", lasts=3_600
    )
    page.raise_alert("NetworkLagging", "P2", "base is 38 blocks behind", network="base")
    page.raise_alert("ReceiverFailing", "P3", "the receiver phone failed 3 times", receiver_name="phone")
    page.access.write(
        silencing.add_silence,
        {"alertname": "NetworkLagging"},
        "anna",
        "known: the provider is upgraded",
        lasts=7_200,
    )


def _overdue(page: ServedPage, key: str, amount: str, step: str, network: str) -> int:
    labels: Mapping[str, str] = {
        "flow": "canonical-bridge",
        "transfer": key,
        "step": step,
        "origin": "ethereum",
        "destination": network,
    }
    return page.raise_alert(
        "TransferOverdue",
        "P1",
        f"{amount} WETH from ethereum to {network}: {step} is overdue",
        note_description=f"The step {step} was due on {network} and has not been seen.",
        note_xcall_tx=TX,
        note_xcall_tx_network="ethereum",
        **labels,
    )
