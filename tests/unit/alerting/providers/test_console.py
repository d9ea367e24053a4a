"""Alerts on a terminal."""

import sys
from io import StringIO

import pytest
from rich.console import Console

from chainwatch.alerting.delivery.notification import NotifiedAlert
from chainwatch.alerting.providers import Transport, build_provider
from chainwatch.alerting.providers.console import SHOWN_MAX, ConsoleProvider, ConsoleSettings, layout, render
from chainwatch.alerting.providers.provider import DeliveryError
from tests.unit.alerting.helpers import T0, notification, notified


def _provider(**settings: object) -> ConsoleProvider:
    built = build_provider(
        ConsoleSettings.model_validate({"name": "con", "provider": "console", **settings}), Transport()
    )
    assert isinstance(built, ConsoleProvider)
    return built


async def _deliver(provider: ConsoleProvider) -> None:
    await provider.send(provider.render(notification(), None))


def _shown(*alerts: NotifiedAlert, terminal: Console | None = None) -> str:
    return layout(render(notification(*alerts)), terminal).plain


def test_a_firing_alert_says_what_since_when_and_its_facts() -> None:
    shown = _shown()
    assert shown.splitlines()[0] == " P1  FIRING TransferOverdue  since 2023-11-14 22:13:20 UTC"
    assert [line.strip() for line in shown.splitlines()[1:]] == [
        "execute is late",
        "amount: 12 ETH",
        "transfer: 0x01",
    ]


def test_a_resolved_alert_says_when_and_why_it_ended() -> None:
    shown = _shown(notified(status="resolved", ends_at=T0 + 90, reason="reorg"))
    assert "RESOLVED" in shown
    assert "after 1m 30s (reorg)" in shown


def test_text_from_the_chain_is_shown_as_it_is() -> None:
    shown = _shown(notified(annotations={"summary": "[bold]\x1b[2J[/bold]"}))
    assert r"[bold]\x1b[2J[/bold]" in shown


def test_a_description_keeps_its_lines_and_none_of_them_looks_like_a_fact() -> None:
    said = "The relayer is out of gas.\r\n\n  Top it up.\namount: 1\n P0  FIRING X\u2028y"
    shown = _shown(notified(annotations={"summary": "a\nb", "description": said, "amount": "12\n3"}))
    assert shown.splitlines()[1:-1] == [
        r"     a\nb",
        "     The relayer is out of gas.",
        "     │   Top it up.",
        "     │ amount: 1",
        r"     │  P0  FIRING X\u2028y",
        r"     amount: 12\n3",
    ]


def test_a_description_of_very_many_lines_is_cut() -> None:
    shown = _shown(notified(annotations={"description": "x\n" * 5_000})).splitlines()
    assert len(shown) < 30
    assert "     │ … (4,979 more lines)" in shown


def test_what_goes_on_in_a_further_row_of_a_terminal_does_not_look_like_a_fact() -> None:
    terminal = Console(width=40, file=StringIO(), force_terminal=True)
    said = "x" * 33 + " amount: 1 " + "y" * 60
    shown = _shown(notified(annotations={"description": said, "amount": "12"}), terminal=terminal)
    assert [row for row in shown.splitlines() if row.startswith("     amount")] == ["     amount: 12"]


def test_a_storm_is_counted_rather_than_shown() -> None:
    shown = _shown(*[notified()] * (SHOWN_MAX + 7))
    assert "… and 7 more" in shown


async def test_it_is_written_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    await _deliver(_provider(color="never"))
    assert capsys.readouterr().out.startswith(" P1  FIRING TransferOverdue")


async def test_colours_can_be_forced(capsys: pytest.CaptureFixture[str]) -> None:
    await _deliver(_provider(color="always"))
    assert "\x1b[1;31m" in capsys.readouterr().out


async def test_a_closed_standard_output_is_a_failed_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    with pytest.raises(DeliveryError, match="standard output"):
        await _deliver(_provider())
