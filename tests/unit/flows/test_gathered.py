"""The events that one transaction gathers."""

from __future__ import annotations

from chainwatch.flows.gathered import Gathered


def test_transfers_that_lost_events_or_were_searched_for_are_judged_in_one_order_S7() -> None:
    keys = [("bridge", str(number)) for number in range(100)]
    gathered = Gathered({"bridge": 3})
    gathered.cut("alpha", 10, dict.fromkeys(reversed(keys[:60])))
    gathered.search(set(keys[40:]), {})
    assert gathered.touched() == sorted(keys)
