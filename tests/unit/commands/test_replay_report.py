"""What the report of a replay says to people."""

import pytest

from chainwatch.commands.show import watching as show


def test_a_flow_whose_events_never_come_together_is_named_with_the_numbers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reason = "12 go to networks that it does not watch: ?42220 (12)"
    report = {"networks": [], "events": 12, "transfers": {}, "alerts": [], "latency": []}
    show.replay({**report, "unmatched": [{"flow": "bridge", "reason": reason}]}, as_json=False)
    assert f"flow bridge: no transfer has two of its steps: {reason}" in capsys.readouterr().out
    show.replay({**report, "unmatched": [{"flow": "bridge", "reason": "?\x1b[2J"}]}, as_json=False)
    assert "\x1b" not in capsys.readouterr().out
    show.replay({**report, "unmatched": []}, as_json=False)
    assert "no transfer" not in capsys.readouterr().out
