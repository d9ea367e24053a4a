"""Transfers of a bridge between the networks of the served page, as a monitor finds them: real logs of one ABI."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from chainwatch.chain.decode.abi import load_abi, topic0
from chainwatch.chain.status import EndpointStatus, NetworkStatus
from chainwatch.flows.transfer_index import prepare
from chainwatch.model import Batch, Checkpoint, Event, Header, RawLog
from chainwatch.monitor.endpoint_records import EndpointRecords
from chainwatch.operations import rota
from chainwatch.pipeline.pipeline import Pipeline
from chainwatch.plan import Plan
from chainwatch.registry import build_checkers
from chainwatch.store import blocks
from chainwatch.store.alerting import outbox
from chainwatch.store.alerting.outbox import Payload
from tests.support.served_page import HOSTILE, ServedPage

FLOW = "bridge"
BRIDGE, TOKEN, ANNA, BEN = ("0x" + digits * 20 for digits in ("b1", "70", "a1", "be"))
CHAINS = {"ethereum": 1, "optimism": 2, "base": 3}


def tables(folder: Path) -> dict[str, Any]:
    """The tables of the configuration that the bridge adds; its ABI is put into ``folder``."""
    inputs: list[dict[str, Any]] = [
        {"name": "id", "type": "bytes32", "indexed": True},
        {"name": "to", "type": "uint256"},
        {"name": "token", "type": "address"},
        {"name": "amount", "type": "uint256"},
        {"name": "recipient", "type": "address"},
        {"name": "memo", "type": "string"},
    ]
    events = {"Sent": inputs, "Filled": [inputs[0], inputs[3]]}
    abi = [
        {
            "type": "event",
            "anonymous": False,
            "name": name,
            "inputs": [{"indexed": False, **one} for one in some],
        }
        for name, some in events.items()
    ]
    file = folder / "bridge.json"
    file.write_text(json.dumps(abi))
    return {
        "contracts": {"bridge": {"abi": str(file), "address": BRIDGE}},
        "assets": {"WETH": {"decimals": 18, "address": dict.fromkeys(CHAINS, TOKEN)}},
        "flows": {
            FLOW: {
                "contract": "bridge",
                "key": "id",
                "opens": {
                    "step": "send",
                    "event": "Sent",
                    "destination": "to",
                    "amount": "amount",
                    "asset": "token",
                },
                "expects": [
                    {
                        "step": "fill",
                        "event": "Filled",
                        "on": "destination",
                        "within": "10m",
                        "severity": "P1",
                    }
                ],
            }
        },
    }


def key_of(number: int) -> str:
    """The key of the transfer with this number."""
    return "0x" + hashlib.sha256(str(number).encode()).hexdigest()


class Chains:
    """The logs of the bridge, by network."""

    def __init__(self, plan: Plan, begin: int) -> None:
        self.plan = plan
        self.begin = begin
        self.events: dict[str, list[Event]] = {name: [] for name in CHAINS}
        self._abi = load_abi(Path(plan.settings.contracts["bridge"].abi))

    def block(self, at: int) -> int:
        """The number of the block at a time."""
        return 20_000_000 + (at - self.begin) // 12

    def send(self, number: int, at: int, origin: str, destination: str, memo: str = "") -> None:
        text = memo.encode()
        padded = text + bytes(-len(text) % 32)
        words = (CHAINS[destination], int(TOKEN, 16), (number + 1) * 10**17, int(ANNA, 16), 5 * 32, len(text))
        self._emit("Sent", number, at, origin, b"".join(word.to_bytes(32, "big") for word in words) + padded)

    def fill(self, number: int, at: int, network: str) -> None:
        self._emit("Filled", number, at, network, ((number + 1) * 10**17).to_bytes(32, "big"))

    def _emit(self, name: str, number: int, at: int, network: str, data: bytes) -> None:
        topics = (topic0(self._abi.event(name)) or b"", bytes.fromhex(key_of(number)[2:]))
        tx_hash = hashlib.sha256(f"{name}/{number}".encode()).digest()
        log = RawLog(self.block(at), bytes(32), at, number, tx_hash, bytes.fromhex(BRIDGE[2:]), topics, data)
        event = self.plan.watches[network].decode(log)
        assert isinstance(event, Event), event
        self.events[network].append(event)


def fill(page: ServedPage, number: int = 24) -> None:
    """A day of transfers: the last of them in flight, one late, three overdue; an endpoint, notifications, an override."""
    now = int(time.time())
    chains = Chains(page.plan, now - 86_400)
    for one in range(number):
        sent = now - 86_000 + one * (85_000 // number)
        origin, destination = ("ethereum", "optimism") if one % 3 else ("optimism", "ethereum")
        chains.send(one, sent, origin, destination, HOSTILE if one == number - 1 else "")
        if one < number - 3:
            chains.fill(one, sent + (900 if one == number - 4 else 40 + one % 7 * 9), destination)
    chains.send(number, now - 30, "ethereum", "base")
    _read(page, page.plan, chains, now)
    _watch_endpoint(page, now)
    _give_up(page)
    page.access.write(
        rota.add_override, "primary", "anna", "anna", starts_at=time.time() + 86_400, lasts=28_800
    )


def _read(page: ServedPage, plan: Plan, chains: Chains, now: int) -> None:
    engine = page.access.context.engine
    pipeline = Pipeline(build_checkers(plan), plan.settings.networks, plan.decode, engine, plan.sources)
    last = {name: Header(chains.block(now - 2), bytes(32), bytes(32), now - 2) for name in CHAINS}
    with page.access.database.transaction() as connection:
        for number, name in enumerate(CHAINS, 1):
            first = Header(chains.block(now - 86_400), bytes(32), bytes(32), now - 86_400)
            blocks.add_network(connection, number, number, Checkpoint(name, first, 1, 1, first.timestamp))
        batches = [
            Batch(
                name, first.number + 1, last[name], tuple(sorted(some, key=_position)), headers=(last[name],)
            )
            for name, some in chains.events.items()
        ]
        pipeline.process(connection, batches, float(now))
        engine.flush(connection, float(now))
        flows = {flow.name: flow for flow in plan.flows}
        while (update := prepare(connection, flows, 1000)) is not None:
            update.save(connection)


def _watch_endpoint(page: ServedPage, now: int) -> None:
    """An endpoint over a day, in which it was degraded for two hours and down for one."""
    records = EndpointRecords()
    with page.access.database.transaction() as connection:
        for at in range(now - 86_000, now + 3_600, 300):
            hour = (now - at) // 3600
            state = "down" if hour == 5 else "degraded" if hour in (11, 12) else "ok"
            reads = (at - now + 86_400) // 10
            one = EndpointStatus(
                "ethereum[0] rpc.example", state, "http", reads, 24, 0.02, 0.083, now, HOSTILE, None
            )
            status = NetworkStatus(
                "ethereum", 1, "live", None, None, 0, 0, None, None, None, "polling", (one,)
            )
            changes = records.follow({"ethereum": status}, float(at))
            assert changes is not None
            changes.save(connection)


def _give_up(page: ServedPage) -> None:
    """Notifications that are given up."""
    now = time.time()
    with page.access.database.transaction() as connection:
        new = [("phone", f"{HOSTILE}/{one}", Payload({"alertname": "Late"}, (1,), ())) for one in range(3)]
        outbox.enqueue(connection, new, now - 60)
        for queued in outbox.list_notifications(connection, receiver="phone"):
            outbox.mark_dead(connection, queued, HOSTILE, now - 5)


def _position(event: Event) -> tuple[int, int]:
    return event.log.block_number, event.log.log_index
