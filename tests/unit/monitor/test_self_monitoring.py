"""What is wrong with networks, from their status; and which alerts about it begin, stay and end."""

from collections.abc import Iterable
from typing import Any

import pytest

from chainwatch.chain.status import EndpointStatus, NetworkStatus
from chainwatch.config import NetworkSettings
from chainwatch.model import Header, Signal
from chainwatch.monitor.self_monitoring import (
    BEGIN_AFTER,
    END_AFTER,
    START_GRACE,
    OwnConditions,
    clock_signals,
    network_signals,
    watchdog,
)

T0 = 1_700_000_000
SETTINGS = NetworkSettings.model_validate(
    {
        "name": "alpha",
        "chain_id": 1,
        "rpc": ["http://node"],
        "blind_after": "15s",
        "block_time": "12s",
        "lagging_after": "5m",
    }
)


def header(number: int, timestamp: int) -> Header:
    return Header(number, b"\x01" * 32, b"\x02" * 32, timestamp)


def endpoint(state: str = "ok", error: str | None = None) -> EndpointStatus:
    return EndpointStatus("alpha[0] node", state, "http", 1, 0, 0.0, 0.1, T0, error, None)


def status(**fields: Any) -> NetworkStatus:
    """A network in health at T0, but for ``fields``."""
    healthy: dict[str, Any] = {
        "name": "alpha",
        "chain_id": 1,
        "state": "live",
        "head": header(100, T0 - 5),
        "checkpoint": header(100, T0 - 5),
        "seen_until": T0,
        "lag_blocks": 0,
        "last_answer_at": float(T0),
        "last_error": None,
        "disputed": None,
        "transport": "polling",
        "endpoints": (endpoint(),),
    }
    return NetworkStatus(**(healthy | fields))


def names(signals: list[Signal]) -> list[str]:
    return [signal.labels["alertname"] for signal in signals]


def wrong(now: float = T0, answered_at: float = T0 - 1000, **fields: Any) -> list[Signal]:
    return network_signals(SETTINGS, status(**fields), answered_at, now)


# --- what is wrong ------------------------------------------------------------------------------------


def test_nothing_is_wrong_with_a_network_in_health() -> None:
    assert wrong() == []


def test_a_network_is_blind_once_nothing_has_answered_for_long_enough() -> None:
    assert wrong(now=T0 + 15) == []
    (signal,) = wrong(now=T0 + 16, last_error="alpha[0] node: cannot connect")
    assert signal.labels == {"alertname": "NetworkBlind", "network": "alpha", "severity": "P1"}
    assert signal.starts_at == T0 + 15
    assert "alpha[0] node: cannot connect" in signal.annotations["description"]


def test_a_block_whose_logs_are_in_dispute_is_reported() -> None:
    (signal,) = wrong(disputed="net[0] node: no logs of block 7, against its bloom")
    assert signal.labels == {"alertname": "LogsDisputed", "network": "alpha", "severity": "P1"}
    assert "no logs of block 7, against its bloom" in signal.annotations["description"]


def test_a_network_that_never_answered_is_blind_so_long_after_the_start() -> None:
    silent: dict[str, Any] = {"last_answer_at": None, "head": None, "checkpoint": None}
    assert wrong(now=T0 + 15, answered_at=T0, **silent) == []
    assert names(wrong(now=T0 + 16, answered_at=T0, **silent)) == ["NetworkBlind"]


def test_reading_anew_after_a_crash_is_not_blindness_at_once() -> None:
    assert wrong(now=T0 + 1, answered_at=T0, last_answer_at=None, head=None) == []


def test_a_network_stalls_with_the_age_of_its_head() -> None:
    assert wrong(now=T0 + 235, last_answer_at=T0 + 235.0) == []
    (signal,) = wrong(now=T0 + 236, last_answer_at=T0 + 236.0)
    assert signal.labels["alertname"] == "NetworkStalled"
    assert signal.starts_at == T0 - 5 + 240


def test_a_network_that_does_not_answer_is_not_reported_to_stand_still() -> None:
    assert names(wrong(now=T0 + 600, last_answer_at=T0 + 599.0)) == ["NetworkStalled"]
    assert wrong(now=T0 + 244, last_answer_at=T0 + 230.0) == [], "nobody has looked since"


def test_of_a_halted_network_only_the_reason_is_reported() -> None:
    assert wrong(now=T0 + 1000, state="halted", endpoints=(endpoint("down"),)) == []
    never_read: dict[str, Any] = {"state": "halted", "head": None, "last_answer_at": None}
    assert names(wrong(now=T0 + 1000, answered_at=T0, **never_read)) == ["NetworkBlind"]


def test_a_network_without_block_time_never_stalls() -> None:
    settings = SETTINGS.model_copy(update={"block_time": None, "stall_after": None})
    late = status(last_answer_at=T0 + 1e6)
    assert network_signals(settings, late, T0, T0 + 1e6) == []


def test_reading_lags_by_chain_time_and_not_by_blocks() -> None:
    assert wrong(checkpoint=header(1, T0 - 305)) == []
    (signal,) = wrong(checkpoint=header(99, T0 - 306))
    assert signal.labels == {"alertname": "NetworkLagging", "network": "alpha", "severity": "P2"}


def test_a_network_that_was_never_read_does_not_lag() -> None:
    assert wrong(checkpoint=None) == []


@pytest.mark.parametrize("state", ["down", "degraded", "refused"])
def test_an_endpoint_that_is_not_well_is_reported(state: str) -> None:
    (signal,) = wrong(endpoints=(endpoint(state, "HTTP status 500"), endpoint()))
    assert signal.labels["alertname"] == "EndpointDegraded"
    assert signal.labels["endpoint"] == "alpha[0] node"
    assert "HTTP status 500" in signal.annotations["description"]


def test_an_endpoint_is_the_same_alert_whatever_is_wrong_with_it() -> None:
    labels = [wrong(endpoints=(endpoint(s, s),))[0].labels for s in ("down", "degraded")]
    assert labels[0] == labels[1]


# --- what begins, stays and ends ----------------------------------------------------------------------


def signal(name: str = "NetworkBlind", at: int = T0, **labels: str) -> Signal:
    return Signal({"alertname": name, "severity": "P1", "network": "alpha", **labels}, at, {"summary": name})


class Watch:
    """The conditions with whatever they give stored at once."""

    def __init__(self, firing: Iterable[Signal] = (), now: float = 0.0) -> None:
        self._conditions = OwnConditions(firing, now)

    def update(self, current: Iterable[Signal], now: float, **unanswered: set[str | None]) -> list[Signal]:
        changes = self._conditions.changes(current, now, **unanswered)
        self._conditions.commit(changes)
        return changes


def test_a_condition_is_reported_when_it_begins_and_when_it_has_been_gone_for_a_while() -> None:
    watch = Watch()
    blind = signal()
    assert watch.update([blind], T0) == [blind]
    assert watch.update([signal(at=T0 + 1)], T0 + 1) == []
    for second in range(2, 2 + int(END_AFTER)):
        assert watch.update([], T0 + second) == []
    (ended,) = watch.update([], T0 + 2 + int(END_AFTER))
    assert (ended.labels, ended.starts_at, ended.ends_at) == (blind.labels, T0, T0 + 2)
    assert ended.reason == "recovered"
    assert watch.update([], T0 + 100) == []


def test_a_condition_may_begin_again() -> None:
    watch = Watch()
    watch.update([signal()], T0)
    watch.update([], T0 + 1)
    watch.update([], T0 + 1 + int(END_AFTER))
    again = signal(at=T0 + 50)
    assert watch.update([again], T0 + 50) == [again]


def test_what_comes_and_goes_every_second_is_one_alert() -> None:  # S10
    watch = Watch()
    notified = [watch.update([signal()] if second % 2 else [], T0 + second) for second in range(600)]
    assert [s.ends_at for changes in notified for s in changes] == [None]


@pytest.mark.parametrize("name", BEGIN_AFTER)
def test_some_conditions_must_hold_for_a_while(name: str) -> None:
    watch = Watch()
    lasting = signal(name)
    patience = int(BEGIN_AFTER[name])
    assert watch.update([lasting], T0) == []
    assert watch.update([], T0 + 5) == []
    assert watch.update([lasting], T0 + 10) == []
    assert watch.update([lasting], T0 + 9 + patience) == []
    assert watch.update([lasting], T0 + 10 + patience) == [lasting]


def test_endpoints_of_a_blind_network_are_reported_of_only_when_they_stay_behind_after_it() -> None:
    watch, patience = Watch(), int(BEGIN_AFTER["EndpointDegraded"])
    endpoint_down = signal("EndpointDegraded")
    blind = signal("NetworkBlind")
    assert watch.update([endpoint_down, blind], T0) == [blind]
    assert watch.update([endpoint_down, blind], T0 + 3 * patience) == []
    assert watch.update([endpoint_down], T0 + 4 * patience - 1) == []
    notified = watch.update([endpoint_down], T0 + 4 * patience)
    assert [s for s in notified if s.ends_at is None] == [endpoint_down]


@pytest.mark.parametrize("dark", ["NetworkBlind", "DeepReorg"])
@pytest.mark.parametrize("name", ["NetworkStalled", "NetworkLagging", "LogsDisputed", "EndpointDegraded"])
def test_what_cannot_be_seen_any_more_has_not_recovered_S5(dark: str, name: str) -> None:
    watch, patience = Watch(), int(BEGIN_AFTER.get(name, 0))
    wrong = signal(name)
    watch.update([wrong], T0)
    watch.update([wrong], T0 + patience)
    unseen = T0 + patience + 1
    assert watch.update([signal(dark)], unseen) == [signal(dark)]
    assert watch.update([signal(dark)], unseen + 1000) == []
    watch.update([wrong], unseen + 2000)
    ended = watch.update([wrong], unseen + 2000 + int(END_AFTER))
    assert [(s.labels["alertname"], s.reason) for s in ended] == [(dark, "recovered")]


def test_conditions_of_several_networks_do_not_touch_each_other() -> None:
    watch = Watch()
    alpha, beta = signal(), signal(network="beta")
    assert watch.update([alpha], T0) == [alpha]
    assert watch.update([alpha, beta], T0 + 1) == [beta]
    watch.update([beta], T0 + 2)
    assert [s.labels["network"] for s in watch.update([beta], T0 + 2 + int(END_AFTER))] == ["alpha"]


def test_an_alert_from_before_is_neither_raised_again_nor_ended_at_once() -> None:
    watch = Watch([signal(at=T0 - 500)], T0)
    assert watch.update([], T0) == []
    assert watch.update([signal()], T0 + 1) == []
    assert watch.update([], T0 + START_GRACE - 1) == []


def test_an_alert_from_before_ends_with_the_start_and_the_words_that_were_reported() -> None:
    watch = Watch([signal(at=T0 - 500)], T0)
    watch.update([], T0 + START_GRACE)
    (ended,) = watch.update([], T0 + START_GRACE + int(END_AFTER))
    assert ended.starts_at == T0 - 500
    assert ended.annotations == {"summary": "NetworkBlind"}
    assert ended.ends_at == T0 + START_GRACE


def test_what_fired_about_a_network_is_kept_until_the_network_has_been_heard() -> None:
    halted, gone = signal("DeepReorg", at=T0 - 500), signal(at=T0 - 500, network="removed")
    watch = Watch([halted, gone], T0)
    for second in range(100):
        ended = watch.update([], T0 + second, unanswered={"alpha"})
        assert [s.labels["network"] for s in ended] == (
            ["removed"] if second == START_GRACE + int(END_AFTER) else []
        )
    assert watch.update([halted], T0 + 100) == []


def test_the_watchdog_is_reported_once_and_never_ends() -> None:
    watch = Watch()
    notified = [watch.update([watchdog(T0 + second)], T0 + second) for second in range(300)]
    assert [names(changes) for changes in notified if changes] == [["Watchdog"]]
    restarted = Watch([watchdog(T0)], T0 + 300)
    assert all(restarted.update([watchdog(t)], t) == [] for t in range(T0 + 300, T0 + 600))


# --- the host's clock ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("error", "says"), [(30.0, "30 s ahead"), (-600.4, "600 s behind")])
def test_a_clock_that_disagrees_with_the_chains_is_reported_with_what_to_do(error: float, says: str) -> None:
    (signal,) = clock_signals(error, 0.0, T0)
    assert signal.labels == {"alertname": "ClockSkew", "severity": "P2"}
    assert says in signal.annotations["summary"]
    assert "NTP" in signal.annotations["description"]


@pytest.mark.parametrize(
    ("jump", "says"), [(3600.0, "jumped ahead by 3600 s"), (-30.0, "jumped back by 30 s")]
)
def test_a_jump_is_reported_where_nothing_says_which_time_is_right(jump: float, says: str) -> None:
    (signal,) = clock_signals(None, jump, T0)
    assert says in signal.annotations["summary"]


def test_a_clock_that_is_right_now_is_no_news_whatever_it_was() -> None:
    assert clock_signals(0.0, -3600.0, T0) == []
    assert clock_signals(None, 1.0, T0) == []


def test_a_wrong_clock_is_no_stalled_network() -> None:
    now = T0 + 600.0
    assert names(network_signals(SETTINGS, status(last_answer_at=now), now, now)) == ["NetworkStalled"]
    assert network_signals(SETTINGS, status(last_answer_at=now), now, now, ahead=600.0) == []


def test_a_node_that_was_thrown_back_is_reported_whatever_the_block_time() -> None:
    settings = SETTINGS.model_copy(update={"block_time": None, "stall_after": None})
    back = status(head=header(50, T0 - 605), checkpoint=header(100, T0 - 5), behind_since=float(T0 - 16))
    (signal,) = network_signals(settings, back, T0, T0)
    assert signal.labels == {"alertname": "NetworkStalled", "network": "alpha", "severity": "P1"}
    assert signal.starts_at == T0 - 1
    assert "chainwatch rewind alpha" in signal.annotations["description"]
    assert "50" in signal.annotations["description"]
    momentary = back._replace(behind_since=float(T0 - 14))
    assert network_signals(settings, momentary, T0, T0) == []


def test_an_alert_from_before_the_clock_was_set_back_does_not_end_before_its_start() -> None:
    ahead = Signal({"alertname": "ClockSkew", "severity": "P2"}, T0 + 3600)
    watch = Watch([ahead], T0)
    watch.update([], T0 + int(START_GRACE))
    (ended,) = watch.update([], T0 + int(START_GRACE + END_AFTER))
    assert ended.ends_at == ended.starts_at == T0 + 3600
