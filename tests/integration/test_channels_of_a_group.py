"""A group of alerts from its beginning to its end, through the library, a database and its queues: pages, mails, lines."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from chainwatch import AlertManager, Severity
from tests.support.mail import MailServer
from tests.support.pagerduty import ROUTING_KEY, PagerDuty
from tests.support.receiver import Receiver
from tests.support.waiting import eventually

AT_ONCE = {"group_wait": "0s", "group_interval": "50ms"}


def _config(file: Path, **receivers: dict[str, Any]) -> dict[str, Any]:
    return {
        "store": {"url": f"sqlite:///{file}"},
        "receivers": receivers,
        "routes": [{"receivers": list(receivers), **AT_ONCE}],
    }


def _mail(server: MailServer) -> dict[str, Any]:
    return {
        "provider": "email",
        "host": "127.0.0.1",
        "port": server.port,
        "security": "none",
        "allow_private": True,
        "from": "chainwatch@example.org",
        "to": "ops@example.org",
    }


async def test_an_incident_is_triggered_acknowledged_and_resolved_at_pagerduty(tmp_path: Path) -> None:
    pagerduty = PagerDuty()
    async with Receiver(pagerduty) as server:
        receiver = {
            "provider": "pagerduty",
            "url": server.url,
            "routing_key": ROUTING_KEY,
            "allow_private": True,
        }
        async with AlertManager.from_config(_config(tmp_path / "x.db", pager=receiver)) as alerts:
            print_ = await alerts.send_alert_async(Severity.HIGH, "payments", "QueueStuck", "no progress")
            await eventually(lambda: pagerduty.alerts == {print_: "triggered"})
            assert await asyncio.to_thread(alerts.acknowledge, print_, "anna")
            await eventually(lambda: pagerduty.alerts == {print_: "acknowledged"})
            assert await alerts.resolve_async(print_, "restarted")
            await eventually(lambda: pagerduty.alerts == {print_: "resolved"})
    assert [action for action, _ in pagerduty.events] == ["trigger", "acknowledge", "resolve"]


async def test_a_conversation_goes_on_after_a_restart_and_the_next_incident_begins_another(
    tmp_path: Path,
) -> None:
    async with MailServer() as server:
        config = _config(tmp_path / "x.db", mail=_mail(server))
        async with AlertManager.from_config(config) as alerts:
            print_ = await alerts.send_alert_async(Severity.HIGH, "payments", "QueueStuck", "no progress")
            await eventually(lambda: len(server.mails) == 1)
        async with AlertManager.from_config(config) as alerts:
            assert await alerts.resolve_async(print_, "restarted")
            await eventually(lambda: len(server.mails) == 2)
    first, second = server.mails
    assert second["References"] == first["Message-ID"]
    assert second["Subject"] == f"Re: {first['Subject']}"
    body = second.get_body(("plain",))
    assert body is not None
    assert body.get_content().startswith("RESOLVED 1: QueueStuck")


async def test_an_acknowledgement_is_no_mail_and_no_line_of_its_own(tmp_path: Path) -> None:
    lines = tmp_path / "alerts.jsonl"
    taken = tmp_path / "taken"
    command = [
        sys.executable,
        "-c",
        "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + '\\n')",
        str(taken),
    ]
    async with MailServer() as server:
        receivers = {
            "mail": _mail(server),
            "log": {"provider": "file", "path": str(lines)},
            "script": {"provider": "exec", "command": command},
        }
        async with AlertManager.from_config(_config(tmp_path / "x.db", **receivers)) as alerts:
            print_ = await alerts.send_alert_async(Severity.LOW, "payments", "QueueStuck", "no progress")
            await eventually(lambda: len(server.mails) == 1 and taken.exists())
            assert await asyncio.to_thread(alerts.acknowledge, print_, "anna")
            await alerts.resolve_async(print_)
    assert len(server.mails) == 2
    for file in (lines, taken):
        written = [json.loads(line) for line in file.read_text().splitlines()]
        assert [body["status"] for body in written] == ["firing", "resolved"]
