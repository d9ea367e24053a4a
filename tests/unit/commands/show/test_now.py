"""The screen of `chainwatch top` at any size."""

from __future__ import annotations

import pytest

from chainwatch.commands.show.now import KEYS, Shown, screen
from chainwatch.model import TRANSFER_STATUSES
from chainwatch.operations.alert_details import AcknowledgementView
from chainwatch.operations.glance import Glance
from chainwatch.operations.queries import AlertCounts, BlockView, NetworkView, QueueDepth, StatusView
from chainwatch.operations.urgency import Urgency, UrgentAlert
from chainwatch.operations.views import AlertView, StepView, TransferView

NOW = 1_700_000_000.0
EVIL = "\x1b[2J\x07evil\n\u202e[bold]漢字漢字"


def alert(number: int, name: str = "TransferOverdue", by: str | None = None) -> UrgentAlert:
    labels = {"alertname": name, "severity": "P1", "flow": "bridge"}
    view = AlertView(number, "f", "firing", labels, {}, NOW - 7_500, None, "", NOW, None, "all")
    taken = AcknowledgementView(by, NOW, "", None) if by else None
    return UrgentAlert(view, "P1", None, taken, None, None)


def shown(alerts: int = 3, networks: int = 2, transfers: int = 2, name: str = "alpha") -> Shown:
    found = [alert(n, by="anna" if n == 2 else None) for n in range(1, alerts + 1)]
    block = BlockView(17_000_000, "0x", NOW)
    status = StatusView(
        [NetworkView(f"{name}{n}", 1, block, 17_000_002, 2, NOW - 12, "live", None) for n in range(networks)],
        {**dict.fromkeys(TRANSFER_STATUSES, 0), "open": transfers},
        AlertCounts({"P1": alerts}, 0),
        [QueueDepth("ops", pending=4, dead=1)],
        0,
    )
    step = StepView(name, 1, NOW, "0x", 0, "5", None, "5 USDC")
    flights = [
        TransferView("bridge", f"0x{n:064x}", "open", "alpha", "beta", NOW - 61, {"sent": step}, [])
        for n in range(transfers)
    ]
    urgency = [Urgency("P1", alerts, min(1, alerts), found)] if found else []
    return Shown(Glance(status, urgency, flights), found[0].alert.id if found else None, "")


def lines(what: Shown, width: int = 120, height: int = 30) -> list[str]:
    return screen(what, width, height, NOW).plain.split("\n")


def test_a_wide_screen_has_everything() -> None:
    found = lines(shown())
    text = "\n".join(found)
    assert found[0] == (
        "chainwatch: 3 P1 firing, 2 not acknowledged   4 queued   1 undeliverable   22:13:20 UTC"
    )
    assert found[-1] == KEYS
    assert "▶ P1" in text
    assert "acknowledged by anna" in text
    assert "2h 5m" in text
    assert "17,000,000" in text
    assert "12s ago" in text
    assert "alpha → beta" in text
    assert "5 USDC" in text


def test_a_narrow_screen_has_what_matters() -> None:
    text = "\n".join(lines(shown(), width=60))
    assert "TransferOverdue" in text
    assert "acknowledged by anna" in text
    assert "alpha0" in text
    assert "0x0000" in text
    assert "5 USDC" not in text


@pytest.mark.parametrize("width", [1, 2, 7, 20, 40, 79, 80, 99, 100, 300])
@pytest.mark.parametrize("height", [1, 2, 3, 4, 8, 15, 24, 200])
@pytest.mark.parametrize("name", ["alpha", EVIL, ""])
def test_it_fits_every_terminal_whatever_the_text(width: int, height: int, name: str) -> None:
    for alerts, networks, transfers in ((0, 0, 0), (1, 1, 0), (100, 40, 100)):
        found = screen(shown(alerts, networks, transfers, name), width, height, NOW)
        rows = found.split("\n", allow_blank=True)
        assert len(rows) <= height
        assert all(row.cell_len <= width for row in rows)
        assert "\x1b" not in found.plain
        assert "\u202e" not in found.plain


@pytest.mark.parametrize("chosen", [1, 37, 100])
def test_the_chosen_alert_is_on_the_screen(chosen: int) -> None:
    found = lines(shown(alerts=100)._replace(chosen=chosen), height=24)
    (marked,) = [line for line in found if line.startswith("▶")]
    assert marked
    assert "of 100)" in "".join(found)


def test_every_list_has_its_share() -> None:
    found = "\n".join(lines(shown(alerts=100, networks=40, transfers=100), height=30))
    assert "alpha0" in found
    assert "bridge" in found
    assert found.count("P1  ") >= 8


def test_nothing_is_said_to_fire_where_nothing_does() -> None:
    assert "nothing fires" in lines(shown(alerts=0))[0]
