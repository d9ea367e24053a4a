"""Rules in `chainwatch run`: a pushed sample, a webhook, kill -9 while an alert is pending and while it fires."""

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.live import Live
from tests.support.ports import free_port
from tests.support.receiver import Receiver
from tests.support.waiting import PATIENCE, eventually

HOLD = 4.0


async def ask(method: str, url: str, body: Any = None) -> tuple[int, Any]:
    async with aiohttp.request(method, url, json=body) as answer:
        text = await answer.read()
        return answer.status, await answer.json(content_type=None) if text else None


async def push(base: str, name: str, value: float) -> None:
    status, said = await ask("POST", f"{base}/samples", {"samples": [{"name": name, "value": value}]})
    assert status < 300, said


async def state_of(base: str, name: str) -> Any:
    _, listed = await ask("GET", f"{base}/v1/rules?name={name}")
    return listed["rows"][0]


async def until_state(base: str, name: str, state: str) -> Any:
    until = time.monotonic() + PATIENCE
    while True:
        rule = await state_of(base, name)
        if rule["state"] == state and (state == "inactive" or rule["alerts"]):
            return rule
        assert time.monotonic() < until, rule
        await asyncio.sleep(0.05)


async def test_for_goes_on_after_kill_and_what_fires_is_notified_once(
    tmp_path: Path, database_url: str
) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    (tmp_path / "rules.yml").write_text(
        "groups:\n- name: files\n  rules:\n  - {alert: Full, expr: disk_used > 0.9, labels: {severity: critical}}\n"
    )
    config = {
        "rule_files": ["*.yml"],
        "store": {"url": database_url},
        "receivers": {"ops": {}},
        "routes": [{"receivers": ["ops"], "group_wait": "0s", "group_interval": "100ms"}],
        "api": {"listen": f"127.0.0.1:{port}"},
        "rules": [{"alert": "Late", "query": "backlog > 10", "for": f"{HOLD:g}s", "severity": "P1"}],
    }
    async with Receiver() as receiver, Live(tmp_path, receiver, config) as live:

        async def listening(times: int) -> None:
            await eventually(lambda: live.watch.log.count("the API listens") == times)
            await eventually(lambda: live.watch.log.count("rules are evaluated") == times)

        await listening(1)
        await push(base, "backlog", 12)
        pending = await until_state(base, "Late", "pending")
        active_at = pending["alerts"][0]["active_at"]
        await asyncio.sleep(0.3)
        live.watch.kill()

        await live.start()
        await listening(2)
        (fired,) = await eventually(lambda: live.notified("ops", "Late"))
        assert (await state_of(base, "Late"))["alerts"][0]["active_at"] == active_at
        assert active_at + HOLD <= fired.starts_at < active_at + HOLD + PATIENCE
        assert fired.annotations["value"] == "12"
        assert "__rule__" not in fired.labels

        live.watch.kill()
        await live.start()
        await listening(3)
        await until_state(base, "Late", "firing")
        live.watch.send(signal.SIGHUP)
        await listening(4)
        await until_state(base, "Late", "firing")
        await push(base, "disk_used", 0.95)
        await eventually(lambda: live.notified("ops", "Full"))
        assert len(live.notified("ops", "Late")) == 1

        await push(base, "backlog", 3)
        resolved = (await eventually(lambda: live.notified("ops", "Late")[1:]))[0]
        assert (resolved.status, resolved.starts_at) == ("resolved", fired.starts_at)

        made = {"name": "Made", "query": "disk_used > 0.5", "duration": "0s", "severity": "high"}
        assert (await ask("POST", f"{base}/rules", made))[0] == 201
        await eventually(lambda: live.notified("ops", "Made"))
        _, shown = await ask("GET", f"{base}/rules/Made")
        assert (shown["evaluated"], shown["state"], shown["health"]) == (True, "firing", "ok")
        assert (await ask("DELETE", f"{base}/rules/Made"))[0] == 200
        await eventually(
            lambda: [one.status for one in live.notified("ops", "Made")] == ["firing", "resolved"]
        )
        assert "Traceback" not in live.watch.log
