"""Nineteen scenarios of alerting, from the outside: what is sent when, and what each webhook is to hear when.

They are those that Prometheus Alertmanager is accepted by, written anew. Run them with a clock that is an argument
(``tests/unit/alerting/test_scenarios.py``) or live (``python -m scripts.bench.scenarios``). Times are seconds from the
start of a scenario.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

TOLERANCE = 0.15
"""Seconds by which a message, or a time in it, may be off."""


class Alert(NamedTuple):
    """An alert as sent or as reported; ``ends`` is None while it fires, or where nothing is said of it."""

    labels: Mapping[str, str]
    starts: float | None = None
    ends: float | None = None
    annotations: Mapping[str, str] = {}


class Push(NamedTuple):
    """Alerts that are sent in one batch."""

    at: float
    alerts: tuple[Alert, ...]


class Silence(NamedTuple):
    """A silence that is added at ``at``."""

    at: float
    match: Mapping[str, Sequence[str]]
    starts: float
    ends: float


class Expire(NamedTuple):
    """All silences are ended."""

    at: float


class Reload(NamedTuple):
    """The configuration is read again, with this routing."""

    at: float
    route: Mapping[str, Any]


class Restart(NamedTuple):
    """The process ends, and another one takes over."""

    at: float


Act = Push | Silence | Expire | Reload | Restart


class Want(NamedTuple):
    """A message that ``receiver`` is to hear at ``at``, or between that and ``until``."""

    at: float
    alerts: tuple[Alert, ...]
    receiver: str = "hook"
    until: float | None = None


class Arrival(NamedTuple):
    """A message that a receiver took."""

    at: float
    receiver: str
    alerts: tuple[Alert, ...]


class Scenario(NamedTuple):
    """``receivers``: name → settings beside those of the webhook; ``down_until``: receiver → when it begins to answer."""

    name: str
    route: Mapping[str, Any]
    acts: tuple[Act, ...]
    wants: tuple[Want, ...]
    receivers: Mapping[str, Mapping[str, Any]] = {"hook": {}}
    inhibit: tuple[Mapping[str, Any], ...] = ()
    resolve_timeout: float = 300.0
    down_until: Mapping[str, float] = {}

    @property
    def ends(self) -> float:
        """When everything was received, and what must not come would have come."""
        return max(want.until or want.at for want in self.wants) + 0.6

    def config(self, urls: Mapping[str, str], route: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The configuration, with each receiver's URL."""
        hooks = {
            name: {"provider": "webhook", "url": urls[name], "allow_private": True, **settings}
            for name, settings in self.receivers.items()
        }
        routes = [{"receivers": list(hooks), **(self.route if route is None else route)}]
        return {"receivers": hooks, "routes": routes, "inhibit": list(self.inhibit)}


def deviation(scenario: Scenario, received: Sequence[Arrival]) -> float:
    """By how many seconds what was received is off at most. Raises ``AssertionError`` where something else was received."""
    worst = 0.0
    for name in scenario.receivers:
        wanted = [want for want in scenario.wants if want.receiver == name]
        got = [one for one in received if one.receiver == name]
        assert len(got) == len(wanted), f"{name} received {_notified(got)}, not {_notified(wanted)}"
        for want in wanted:
            same = [one for one in got if _keys(one) == _keys(want)]
            assert same, f"{name} received {_notified(got)}, not {_notified([want])}"
            one = min(same, key=lambda one: abs(one.at - want.at))
            got.remove(one)
            until = want.at if want.until is None else want.until
            worst = max(worst, want.at - one.at, one.at - until, _difference(name, want, one))
    assert worst <= TOLERANCE, (
        f"off by {worst * 1000:.0f} ms: received {_notified(received)}, not {_notified(scenario.wants)}"
    )
    return worst


def _difference(name: str, want: Want, one: Arrival) -> float:
    expected = {_key(alert): alert for alert in want.alerts}
    found = {_key(alert): alert for alert in one.alerts}
    notified = f"{name} received {_notified([one])}, not {_notified([want])}"
    worst = 0.0
    for key, alert in expected.items():
        assert alert.annotations == found[key].annotations, notified
        for a, b in ((alert.starts, found[key].starts), (alert.ends, found[key].ends)):
            assert (a is None) == (b is None), notified
            worst = max(worst, abs((a or 0.0) - (b or 0.0)))
    return worst


def _keys(message: Arrival | Want) -> list[tuple[tuple[str, str], ...]]:
    return sorted(_key(alert) for alert in message.alerts)


def _key(alert: Alert) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((k, v) for k, v in alert.labels.items() if k != "severity"))


def _notified(messages: Sequence[Arrival | Want]) -> str:
    return "; ".join(
        f"{m.receiver} at {m.at:.2f}: "
        + ", ".join(
            f"{'/'.join(v for k, v in a.labels.items() if k != 'severity')}[{a.starts}..{a.ends}]"
            + (f" {dict(a.annotations)}" if a.annotations else "")
            for a in m.alerts
        )
        for m in messages
    )


def _a(name: str, starts: float | None = None, ends: float | None = None, **labels: str) -> Alert:
    return Alert({"alertname": name, **labels}, starts, ends)


def _noted(alert: Alert, text: str) -> Alert:
    return alert._replace(annotations={"ann": text})


def _timing(wait: str, interval: str, repeat: str, *group_by: str) -> dict[str, Any]:
    return {
        "group_wait": wait,
        "group_interval": interval,
        "repeat_interval": repeat,
        "group_by": list(group_by),
    }


EACH_SECOND = _timing("1s", "1s", "1ms")
JOB_DOWN = {
    "source": {"alertname": "JobDown"},
    "target": {"alertname": "InstanceDown"},
    "equal": ["job", "zone"],
}


def _job(name: str, zone: str, starts: float | None = None, ends: float | None = None) -> Alert:
    return _a(name, starts, ends, job="testjob", zone=zone)


def _v(value: str, starts: float | None = None, ends: float | None = None) -> Alert:
    return _a("test", starts, ends, lbl=value)


SCENARIOS = (
    Scenario(
        "merging: the earliest start, the newest annotations, the latest end",
        _timing("1s", "1s", "1ms", "alertname"),
        (
            Push(1.0, (_a("test", 1.1),)),
            Push(1.2, (_a("test", 1.0),)),
            Push(2.1, (_noted(_a("test", 2.0), "v1"),)),
            Push(3.6, (_noted(_a("test", 1.5), "v2"),)),
            Push(4.6, (_noted(_a("test", 3.0, 4.5), "v2"),)),
            Push(4.8, (_noted(_a("test", 2.9, 4.8), "v3"),)),
            Push(4.81, (_noted(_a("test", 2.9, 4.1), "v3"),)),
            Push(5.3, (_a("test"),)),
        ),
        (
            Want(2, (_a("test", 1),)),
            Want(3, (_noted(_a("test", 1), "v1"),)),
            Want(4, (_noted(_a("test", 1), "v2"),)),
            Want(5, (_noted(_a("test", 1, 4.8), "v3"),)),
            Want(6, (_a("test", 5.3),)),
        ),
    ),
    Scenario(
        "repeat: what still fires is sent again",
        _timing("1s", "1s", "1ms", "alertname"),
        (Push(1.0, (_a("test", 1),)), Push(3.5, (_a("test", 1, 3),))),
        (Want(2, (_a("test", 1),)), Want(3, (_a("test", 1),)), Want(4, (_a("test", 1, 3),))),
    ),
    Scenario(
        "retry: a receiver that is down hears of it soon after, the other one once",
        _timing("1s", "1s", "3s", "alertname"),
        (Push(1.0, (_a("test1"),)),),
        (
            Want(2, (_a("test1", 1),)),
            Want(5, (_a("test1", 1),)),
            Want(4.5, (_a("test1", 1),), "failing", until=5.0),
        ),
        receivers={"hook": {}, "failing": {}},
        down_until={"failing": 4.5},
    ),
    Scenario(
        "batching: a group in one message, and again only after the repeat interval",
        _timing("1s", "1s", "4900ms"),
        (
            Push(1.1, (_a("test1", 1),)),
            Push(1.7, (_a("test5", 1),)),
            Push(3.3, (_a("test2", 1.5), _a("test3", 1.5), _a("test4", 1.6))),
        ),
        (
            Want(2.1, (_a("test1", 1), _a("test5", 1))),
            *(
                Want(
                    at,
                    (_a("test1", 1), _a("test5", 1), _a("test2", 1.5), _a("test3", 1.5), _a("test4", 1.6)),
                )
                for at in (4.1, 9.1)
            ),
        ),
    ),
    Scenario(
        "resolved: what is not sent again has ended after the resolve timeout",
        _timing("1s", "5s", "4h", "alertname"),
        (Push(1.0, (_v("v1"), _v("v2"), _v("v3"))),),
        (
            Want(2, (_v("v1", 1), _v("v2", 1), _v("v3", 1))),
            Want(12, (_v("v1", 1, 11), _v("v2", 1, 11), _v("v3", 1, 11))),
        ),
        resolve_timeout=10.0,
    ),
    Scenario(
        "resolved filter: who does not hear of ends hears of nothing but what fires",
        _timing("1s", "5s", "4h", "alertname"),
        (
            Push(1.0, (_v("v1"), _v("v2"))),
            Push(3.0, (_v("v3"),)),
            Push(4.0, (_v("v1", 1, 4),)),
            Push(8.0, (_v("v3", 3),)),
        ),
        (
            Want(2, (_v("v1", 1), _v("v2", 1))),
            Want(7, (_v("v1", 1, 4), _v("v2", 1), _v("v3", 3))),
            Want(12, (_v("v2", 1, 11), _v("v3", 3))),
            Want(2, (_v("v1", 1), _v("v2", 1)), "firing-only"),
            Want(7, (_v("v2", 1), _v("v3", 3)), "firing-only"),
        ),
        receivers={"hook": {}, "firing-only": {"send_resolved": False}},
        resolve_timeout=10.0,
    ),
    Scenario(
        "reload: nothing is sent twice, and the group's interval begins anew",
        _timing("1s", "6s", "10m"),
        (
            Push(1.0, (_a("test1"),)),
            Reload(3.0, _timing("1s", "6s", "10m")),
            Push(4.0, (_a("test2"),)),
        ),
        (Want(2, (_a("test1", 1),)), Want(9, (_a("test1", 1), _a("test2", 4)))),
    ),
    Scenario(
        "reload: what waits for its group is sent at once, then by the new interval",
        _timing("1s", "60s", "10m"),
        (
            Push(1.0, (_a("test1"),)),
            Push(2.5, (_a("test2"),)),
            Reload(3.0, _timing("1s", "2s", "10m")),
            Push(3.5, (_a("test3"),)),
        ),
        (
            Want(2, (_a("test1", 1),)),
            Want(3, (_a("test1", 1), _a("test2", 2.5))),
            Want(5, (_a("test1", 1), _a("test2", 2.5), _a("test3", 3.5))),
        ),
    ),
    Scenario(
        "restart: nothing is sent twice, and nothing is forgotten",
        _timing("1s", "2s", "5s"),
        (Push(1.0, (_a("test1"),)), Push(2.2, (_a("test2"),)), Restart(2.5)),
        (
            Want(2, (_a("test1", 1),)),
            Want(4, (_a("test1", 1), _a("test2", 2.2))),
            Want(10, (_a("test1", 1), _a("test2", 2.2))),
        ),
    ),
    Scenario(
        "silencing: what is silenced is left out, and reported when that is over",
        EACH_SECOND,
        (
            Push(1.0, (_a("test1", 1),)),
            Push(1.0, (_a("test2", 1),)),
            Silence(2.3, {"alertname": ["test1"]}, 2.5, 4.5),
        ),
        (
            Want(2, (_a("test1", 1), _a("test2", 1))),
            Want(3, (_a("test2", 1),)),
            Want(4, (_a("test2", 1),)),
            Want(5, (_a("test1", 1), _a("test2", 1))),
        ),
    ),
    Scenario(
        "a silence taken back: everything is sent on the next tick",
        EACH_SECOND,
        (
            Push(1.0, (_a("test1", 1),)),
            Push(1.0, (_a("test2", 1),)),
            Silence(1.3, {"alertname": ["=~.+"]}, 1.5, 100.0),
            Expire(3.5),
        ),
        (Want(4, (_a("test1", 1), _a("test2", 1))),),
    ),
    Scenario(
        "inhibition: what another alert explains is left out until that has ended",
        _timing("1s", "1s", "1s"),
        (
            Push(1.0, (_job("test1", "aa"),)),
            Push(1.0, (_job("InstanceDown", "aa"),)),
            Push(1.0, (_job("InstanceDown", "ab"),)),
            Push(2.2, (_job("JobDown", "aa"),)),
            Push(3.6, (_job("JobDown", "aa", 2.2, 3.6),)),
        ),
        (
            Want(2, (_job("test1", "aa", 1), _job("InstanceDown", "aa", 1), _job("InstanceDown", "ab", 1))),
            Want(3, (_job("test1", "aa", 1), _job("InstanceDown", "ab", 1), _job("JobDown", "aa", 2.2))),
            Want(
                4,
                (
                    _job("test1", "aa", 1),
                    _job("InstanceDown", "aa", 1),
                    _job("InstanceDown", "ab", 1),
                    _job("JobDown", "aa", 2.2, 3.6),
                ),
            ),
        ),
        inhibit=(JOB_DOWN,),
    ),
    Scenario(
        "inhibition to the end: both ends are sent together",
        _timing("1s", "1s", "1s"),
        (
            Push(1.0, (_job("InstanceDown", "aa"),)),
            Push(1.0, (_job("JobDown", "aa"),)),
            Push(2.6, (_job("JobDown", "aa", 1, 2.6),)),
            Push(2.6, (_job("InstanceDown", "aa", 1, 2.6),)),
        ),
        (
            Want(2, (_job("JobDown", "aa", 1),)),
            Want(3, (_job("InstanceDown", "aa", 1, 2.6), _job("JobDown", "aa", 1, 2.6))),
        ),
        inhibit=(JOB_DOWN,),
    ),
    Scenario(
        "grouping: a message for each set of labels, each with a clock of its own",
        _timing("1s", "2s", "4h", "alertname"),
        (
            Push(1.0, (_v("v1"), _a("other"))),
            Push(1.4, (_v("v2"),)),
            Push(1.6, (_a("third"),)),
            Push(3.0, (_a("other", lbl="v9"),)),
        ),
        (
            Want(2, (_v("v1", 1), _v("v2", 1.4))),
            Want(2, (_a("other", 1),)),
            Want(2.6, (_a("third", 1.6),)),
            Want(4, (_a("other", 1), _a("other", 3, lbl="v9"))),
        ),
    ),
    Scenario(
        "a new beginning: what fires again after its end is sent as new",
        _timing("1s", "2s", "4h", "alertname"),
        (
            Push(1.0, (_a("test", 1),)),
            Push(3.0, (_a("test", 1, 3.0),)),
            Push(5.0, (_a("test", 5.0),)),
        ),
        (
            Want(2, (_a("test", 1),)),
            Want(4, (_a("test", 1, 3),)),
            Want(6, (_a("test", 5),)),
            Want(2, (_a("test", 1),), "firing-only"),
            Want(6, (_a("test", 5),), "firing-only"),
        ),
        receivers={"hook": {}, "firing-only": {"send_resolved": False}},
    ),
    Scenario(
        "a blip before the group is sent: alone it is sent to nobody, and the group keeps its ticks",
        _timing("1s", "2s", "4h", "alertname"),
        (
            Push(1.0, (_v("v1", 1), _a("other", 1))),
            Push(1.5, (_v("v1", 1, 1.5),)),
            Push(2.5, (_v("v2", 2.5),)),
        ),
        (Want(2, (_a("other", 1),)), Want(4, (_v("v2", 2.5),))),
    ),
    Scenario(
        "a blip between two ticks: its end is sent beside what fires",
        _timing("1s", "2s", "4h", "alertname"),
        (
            Push(1.0, (_v("v1", 1),)),
            Push(2.5, (_v("v2", 2.5),)),
            Push(3.0, (_v("v2", 2.5, 3.0),)),
            Push(4.5, (_v("v3", 4.5), _v("v4", 4.5))),
            Push(5.0, (_v("v4", 4.5, 5.0),)),
        ),
        (
            Want(2, (_v("v1", 1),)),
            Want(4, (_v("v1", 1), _v("v2", 2.5, 3.0))),
            Want(6, (_v("v1", 1), _v("v3", 4.5), _v("v4", 4.5, 5.0))),
        ),
    ),
    Scenario(
        "a blip in a group that has emptied: it is sent to nobody, and ticks go on",
        _timing("1s", "2s", "4h", "alertname"),
        (
            Push(1.0, (_v("v1", 1),)),
            Push(2.5, (_v("v1", 1, 2.5),)),
            Push(6.5, (_v("v1", 6.5),)),
            Push(7.0, (_v("v1", 6.5, 7.0),)),
            Push(8.2, (_v("v2", 8.2),)),
        ),
        (Want(2, (_v("v1", 1),)), Want(4, (_v("v1", 1, 2.5),)), Want(10, (_v("v2", 8.2),))),
    ),
    Scenario(
        "at once: without a group wait nothing waits",
        _timing("0s", "1s", "4h", "..."),
        (Push(1.0, (_v("v1"), _v("v2"))), Push(1.2, (_v("v3"),))),
        (Want(1, (_v("v1", 1),)), Want(1, (_v("v2", 1),)), Want(1.2, (_v("v3", 1.2),))),
    ),
)
