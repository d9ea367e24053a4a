"""The events that one transaction gathers."""

from __future__ import annotations

from chainwatch.flows.gathered import Gathered


def test_transfers_that_lost_events_or_were_searched_for_are_judged_in_one_order_S7() -> None:
    keys = [("bridge", str(number)) for number in range(100)]
    gathered = Gathered({"bridge": 3})
    gathered.cut("alpha", 10, dict.fromkeys(reversed(keys[:60])))
    gathered.search(set(keys[40:]), {})
    assert gathered.touched() == sorted(keys)


def test_events_that_were_released_are_not_dropped_again_by_a_reorg_from_before_them_S4() -> None:
    key = ("bridge", "1")
    gathered = Gathered({"bridge": 3})
    gathered.cut("alpha", 10, {key: ()})
    gathered.release([key])
    assert gathered.touched() == []

    gathered.cut("alpha", 12, {key: ()})
    assert gathered.change(key).cut == {"alpha": 12}
