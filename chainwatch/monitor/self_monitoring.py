"""Self-monitoring: what is wrong with networks, endpoints and the host's clock now, as signals. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable

from chainwatch.chain.errors import ChainReset, DeepReorg
from chainwatch.chain.status import NetworkStatus
from chainwatch.config import NetworkSettings
from chainwatch.model import Header, Signal
from chainwatch.support.conditions import ConditionSet

NETWORK_ALERTS = ("NetworkBlind", "NetworkStalled", "NetworkLagging", "LogsDisputed", "EndpointDegraded")
DEEP_REORG = "DeepReorg"
CLOCK_SKEW = "ClockSkew"
JUMP = 2.0
"""Seconds of difference to the monotonic clock from which on the host's clock counts as having jumped."""
UNREAD = ("NetworkBlind", DEEP_REORG)
"""The alerts that say that a network is not read."""
NEEDS_READING = frozenset(NETWORK_ALERTS) - {"NetworkBlind"}
"""The alerts that are unknown while a network is not read."""
WATCHDOG = "Watchdog"
START_GRACE = 20.0
"""Seconds after the start during which an alert from before goes on firing: first the networks must have been asked."""
BEGIN_AFTER = {"EndpointDegraded": 30.0, "LogsDisputed": 30.0, "NetworkLagging": 60.0, CLOCK_SKEW: 10.0}
"""Seconds that a condition must have held before it is reported; the others are reported at once."""
END_AFTER = 5.0
SLOW_END_AFTER = {"EndpointDegraded": 60.0}
"""Seconds that a condition must have been gone before its alert ends, so that one which comes and goes is one alert; the
second for the alerts named."""


class OwnConditions:
    """The conditions about networks and the clock: a `ConditionSet` that knows which networks could not be checked."""

    def __init__(self, firing: Iterable[Signal] = (), now: float = 0.0) -> None:
        """Restore ``firing``, such alerts that fire from before this process, which began ``now`` (Unix seconds)."""
        before = list(firing)
        self._conditions = ConditionSet(
            before,
            begin_after=lambda signal: BEGIN_AFTER.get(signal.labels["alertname"], 0.0),
            end_after=lambda signal: SLOW_END_AFTER.get(signal.labels["alertname"], END_AFTER),
        )
        self._unchecked = before
        """What fires from before this process and has not been checked since."""
        self._check_all_from = now + START_GRACE

    def changes(
        self, current: Iterable[Signal], now: float, unanswered: Container[str | None] = frozenset()
    ) -> list[Signal]:
        """Return the signals to store, given the conditions that hold ``now`` (Unix seconds): see `ConditionSet.changes`.

        ``unanswered`` are the networks that have not answered since the start: what fired about them before is kept.
        """
        found = list(current)
        if now >= self._check_all_from:
            self._unchecked = [s for s in self._unchecked if s.labels.get("network") in unanswered]
        unchecked = [signal.labels for signal in self._unchecked]
        unread = {s.labels["network"] for s in found if s.labels["alertname"] in UNREAD}

        def unknown(signal: Signal) -> bool:
            name, network = signal.labels["alertname"], signal.labels.get("network")
            return (name in NEEDS_READING and network in unread) or signal.labels in unchecked

        return self._conditions.changes(found, now, unknown)

    def commit(self, signals: Iterable[Signal]) -> None:
        """Note that ``signals``, which `changes` gave, are stored."""
        self._conditions.commit(signals)


def watchdog(now: int) -> Signal:
    """Return the alert that always fires: when its notifications stop, alerting is broken."""
    return Signal(
        {"alertname": WATCHDOG, "severity": "P3"},
        now,
        {
            "summary": "chainwatch is alive",
            "description": "This alert always fires; its absence is the alarm.",
        },
        source="process",
    )


def clock_signals(error: float | None, jump: float, now: float) -> list[Signal]:
    """Return what is wrong with the host's clock ``now``.

    ``error``: seconds by which it is ahead of the chains and the endpoints (negative: behind), None where that is unknown;
    where it is known, it alone counts. ``jump``: seconds by which the clock has jumped.
    """
    if error:
        what = f"this machine's clock is {_ahead(error)}"
        by = f"It is {_ahead(error)} by the newest blocks of the networks, or by the clocks of their endpoints."
    elif error is None and abs(jump) > JUMP:
        way = "ahead" if jump > 0 else "back"
        what = f"this machine's clock jumped {way} by {abs(jump):.0f} s"
        by = f"It jumped {way} by {abs(jump):.0f} s: more or less time than that has passed since chainwatch began."
    else:
        return []
    return [
        Signal(
            {"alertname": CLOCK_SKEW, "severity": "P2"},
            int(now),
            {
                "summary": f"chainwatch: {what}",
                "description": f"{by} Deadlines go by the blocks and waits by the time that passes, but times in messages, "
                "silences, quiet hours and on-call turns may be off. Have NTP set the clock: see `timedatectl` or "
                "`chronyc tracking`.",
            },
            source="process",
        )
    ]


def deep_reorg(network: str, error: DeepReorg, now: int) -> Signal:
    """Return what says that a network is halted, from ``now`` (Unix seconds) until an operator resumes it."""
    what = "its chain was reset" if isinstance(error, ChainReset) else "a reorg deeper than its window"
    return Signal(
        {"alertname": DEEP_REORG, "network": network, "severity": "P0"},
        now,
        {"summary": f"{network} is halted: {what}", "description": str(error)},
        source="network",
    )


def network_signals(
    settings: NetworkSettings, status: NetworkStatus, answered_at: float, now: float, ahead: float = 0.0
) -> list[Signal]:
    """Return what is wrong with one network ``now``.

    ``answered_at`` is its last answer as far as is known without ``status``, or the start of the process (Unix seconds);
    ``ahead``: seconds by which the clock of these times is ahead of the chains' time. A network that is halted has no
    other alerts than `DeepReorg`.
    """
    if status.state == "halted" and status.head is not None:
        return []
    signals = _endpoint_signals(settings, status, now)
    blind_since = max(status.last_answer_at or 0.0, answered_at)
    if now - blind_since > settings.blind_after:
        reason = f" ({status.last_error})" if status.last_error else ""
        return [*signals, _blind(settings, int(blind_since + settings.blind_after), reason)]
    if status.disputed is not None:
        signals.append(_disputed(settings, int(now), status.disputed))
    if status.head is None:
        return signals
    age = (status.last_answer_at or now) - ahead - status.head.timestamp  # nothing is known of the time since
    if _is_thrown_back(settings, status, now):
        signals.append(_thrown_back(settings, status.behind_since, status.head, status.checkpoint))
    elif settings.stall_after is not None and age > settings.stall_after:
        signals.append(
            _stalled(settings, int(status.head.timestamp + settings.stall_after), status.head, int(age))
        )
    behind = status.head.timestamp - (status.checkpoint or status.head).timestamp
    if behind > settings.lagging_after:
        signals.append(_lagging(settings, int(now), status.head, int(behind)))
    return signals


def _is_thrown_back(settings: NetworkSettings, status: NetworkStatus, now: float) -> bool:
    return status.behind_since is not None and now - status.behind_since > settings.blind_after


def _thrown_back(
    settings: NetworkSettings, since: float | None, head: Header, checkpoint: Header | None
) -> Signal:
    read = f", but block {checkpoint.number} was read already" if checkpoint else ""
    return _network_signal(
        "NetworkStalled",
        "P1",
        settings.name,
        int((since or 0.0) + settings.blind_after),
        f"{settings.name} was thrown back",
        f"The newest block that any endpoint has is {head.number}{read}: the node has lost blocks and reads them again, or "
        f"the chain was reset. Deadlines there are held. Ask another node; for a chain that was reset, stop chainwatch and "
        f"run `chainwatch rewind {settings.name} BLOCK`.",
    )


def _ahead(seconds: float) -> str:
    return f"{abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}"


def _blind(settings: NetworkSettings, starts_at: int, reason: str) -> Signal:
    return _network_signal(
        "NetworkBlind",
        "P1",
        settings.name,
        starts_at,
        f"{settings.name} cannot be read",
        f"No endpoint of {settings.name} has answered for {settings.blind_after:g} s{reason}. "
        "Deadlines there are held.",
    )


def _stalled(settings: NetworkSettings, starts_at: int, head: Header, age: int) -> Signal:
    return _network_signal(
        "NetworkStalled",
        "P1",
        settings.name,
        starts_at,
        f"{settings.name} makes no blocks",
        f"The newest block, {head.number}, is {age} s old. Deadlines there are held.",
    )


def _lagging(settings: NetworkSettings, starts_at: int, head: Header, behind: int) -> Signal:
    return _network_signal(
        "NetworkLagging",
        "P2",
        settings.name,
        starts_at,
        f"reading {settings.name} is behind its head",
        f"What is read is {behind} s of chain time behind the head, block {head.number}. "
        "Deadlines there are held until it has caught up.",
    )


def _disputed(settings: NetworkSettings, starts_at: int, reason: str) -> Signal:
    return _network_signal(
        "LogsDisputed",
        "P1",
        settings.name,
        starts_at,
        f"reading {settings.name} is paused: a block or its logs are unavailable, or not credible",
        f"{reason}. The block and those after it are read when that is settled; deadlines there are held until then.",
    )


def _endpoint_signals(settings: NetworkSettings, status: NetworkStatus, now: float) -> list[Signal]:
    return [
        Signal(
            {
                "alertname": "EndpointDegraded",
                "network": settings.name,
                "endpoint": endpoint.name,
                "severity": "P2",
            },
            int(now),
            {
                "summary": f"{endpoint.name} is {endpoint.state}",
                "description": f"{endpoint.last_error or 'it does not answer as it must'}. "
                "The network's other endpoints serve meanwhile, where there are any.",
            },
            source="network",
        )
        for endpoint in status.endpoints
        if endpoint.state != "ok"
    ]


def _network_signal(
    name: str, severity: str, network: str, starts_at: int, summary: str, description: str
) -> Signal:
    return Signal(
        {"alertname": name, "network": network, "severity": severity},
        starts_at,
        {"summary": summary, "description": description},
        source="network",
    )
