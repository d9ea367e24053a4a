"""Tables for people, in a terminal and in a pipe; JSON for machines."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from chainwatch.commands.show import watching as show
from chainwatch.operations.queries import AlertCounts, BlockView, NetworkView, QueueDepth, StatusView
from chainwatch.operations.views import AlertView, DeadlineView, StepView, TransferView

KEY = "0x" + "ab" * 32 + "/" + "9" * 78
UINT256 = 2**256 - 1


def step(late_by: int | None) -> StepView:
    return StepView("optimism", 17, 1_700_000_100, "0x00", late_by)


def transfer(**fields: Any) -> TransferView:
    usual: dict[str, Any] = {
        "flow": "connext",
        "key": KEY,
        "status": "overdue",
        "origin": "ethereum",
        "destination": "optimism",
        "opened_at": 1_700_000_000,
        "steps": {"xcall": step(0)},
        "deadlines": [DeadlineView("execute", 1_700_001_800, "overdue")],
    }
    return TransferView(**(usual | fields))


def alert(**fields: Any) -> AlertView:
    usual: dict[str, Any] = {
        "id": 1,
        "fingerprint": "f",
        "labels": {"alertname": "TransferOverdue", "severity": "P1"},
        "annotations": {"summary": "late"},
        "state": "firing",
        "starts_at": 1_700_000_000,
        "ends_at": None,
        "reason": "",
        "raised_at": 1_700_000_000.5,
        "resolved_at": None,
        "audience": "routed",
    }
    return AlertView(**(usual | fields))


def test_a_pipe_gets_each_row_as_one_whole_line(capsys: pytest.CaptureFixture[str]) -> None:
    show.transfers([transfer(), transfer(status="complete")], as_json=False)
    lines = [line for line in capsys.readouterr().out.splitlines() if KEY in line]
    assert len(lines) == 2
    assert "2023-11-14 22:13:20" in lines[0]
    assert "xcall, execute overdue" in lines[0]


@pytest.mark.parametrize("text", ["[red]x[/red]", "[/]", "[", "\\[bold]", "tail\\", ":smile:", "[link=x]y"])
def test_what_looks_like_markup_is_shown_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    show.alerts([alert(annotations={"summary": text})], as_json=False)
    assert text in capsys.readouterr().out


def test_characters_that_steer_a_terminal_do_not_reach_it(capsys: pytest.CaptureFixture[str]) -> None:
    show.alerts([alert(annotations={"summary": "a\x1b[2Jb\u202ec"})], as_json=False)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_a_time_that_no_calendar_has_breaks_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    show.transfers([transfer(opened_at=2**63)], as_json=False)
    assert str(2**63) in capsys.readouterr().out


def test_nothing_found_is_an_empty_table_and_an_empty_list(capsys: pytest.CaptureFixture[str]) -> None:
    show.transfers([], as_json=False)
    assert "flow" in capsys.readouterr().out
    show.transfers([], as_json=True)
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize("display", [show.transfers, show.alerts, show.queue, show.latency])
def test_json_keeps_integers_exactly(
    display: Callable[[Any, bool], None], capsys: pytest.CaptureFixture[str]
) -> None:
    display([{"value": UINT256, "text": "é[red]"}], True)
    assert json.loads(capsys.readouterr().out) == [{"value": UINT256, "text": "é[red]"}]


def test_a_status_reports_what_is_wrong_with_a_network(capsys: pytest.CaptureFixture[str]) -> None:
    network = NetworkView(
        name="ethereum",
        chain_id=1,
        state="blind",
        checkpoint=BlockView(17, "0x00", 5),
        head=None,
        lag_blocks=None,
        seen_until=5,
        error="ethereum[0] host: \x1b[2Jrefused",
    )
    view = StatusView(
        networks=[network],
        transfers={"open": 3},
        alerts=AlertCounts({"P0": 0}, 1),
        queues=[QueueDepth("ops", 1, 2, 3, 4)],
        undecoded_logs=2,
    )
    show.status(view, as_json=False)
    out = capsys.readouterr().out
    assert "ethereum: ethereum[0] host: \\x1b[2Jrefused" in out
    assert "2 stored logs cannot be decoded" in out
    assert [line.split() for line in out.splitlines() if line.startswith("ops")] == [
        ["ops", "1", "2", "3", "4"]
    ]


def test_an_alert_that_ended_says_when_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    show.alerts([alert(state="resolved", ends_at=1_700_000_060, reason="reorg")], as_json=False)
    assert "2023-11-14 22:14:20 UTC (reorg)" in capsys.readouterr().out


def test_steps_report_which_were_late_and_which_are_awaited(capsys: pytest.CaptureFixture[str]) -> None:
    steps = {"xcall": step(0), "execute": step(7), "reconcile": step(None)}
    deadlines = [DeadlineView("execute", 5, "late"), DeadlineView("settle", 5, "open")]
    show.transfers([transfer(steps=steps, deadlines=deadlines)], as_json=False)
    assert "xcall, execute late by 7 s, reconcile, settle open" in capsys.readouterr().out
