"""chainwatch watching itself: what is wrong with networks and endpoints right now, as signals. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from chainwatch.chain.status import NetworkStatus
from chainwatch.config import NetworkSettings
from chainwatch.model import Header, Signal

NETWORK_ALERTS = ("NetworkBlind", "NetworkStalled", "NetworkLagging", "LogsDisputed", "EndpointDegraded")
DEEP_REORG = "DeepReorg"
CLOCK_SKEW = "ClockSkew"
JUMP = 2.0
"""Seconds between the host's clock and the one that everything waits by, from which on the host's has jumped."""
DARK = ("NetworkBlind", DEEP_REORG)
HIDDEN_IN_THE_DARK = frozenset(NETWORK_ALERTS) - {"NetworkBlind"}
"""The alerts that say that a network is not looked at, and those that cannot be judged meanwhile."""
WATCHDOG = "Watchdog"
START_GRACE = 20
"""Seconds after the start until an alert from before is taken to hold no more: first the networks must have been asked."""
PATIENCE = {"EndpointDegraded": 30.0, "LogsDisputed": 30.0, "NetworkLagging": 60.0, CLOCK_SKEW: 10.0}
"""Seconds that a condition must have held before it is told; the others are told at once."""

PEACE = 5
COOLDOWN = {"EndpointDegraded": 60}
"""Seconds that a condition must have been gone before its alert ends, those of some alerts: what comes and goes is one."""

Labels = tuple[tuple[str, str], ...]


class Holding:
    """Which self-watch conditions hold; tells what changed since the last look."""

    def __init__(self, firing: Iterable[Signal] = (), now: int = 0) -> None:
        """``firing``: such alerts that fire already, from before this process, which began ``now`` (Unix seconds)."""
        self._raised = {_key(signal.labels): signal for signal in firing}
        self._inherited = set(self._raised)
        self._judge_inherited_at = now + START_GRACE
        self._since: dict[Labels, int] = {}
        self._gone_since: dict[Labels, int] = {}

    def update(
        self, current: Iterable[Signal], now: int, unheard: Container[str | None] = frozenset()
    ) -> list[Signal]:
        """The signals to raise and to end, given those that hold ``now`` (Unix seconds).

        ``unheard`` are the networks that have not answered since the start: what fired about them before is kept.
        """
        holding = {_key(signal.labels): signal for signal in current}
        explained = _explained_by_blindness(holding)
        self._since = {key: now if key in explained else self._since.get(key, now) for key in holding}
        new = {
            key: signal
            for key, signal in holding.items()
            if key not in self._raised
            and now - self._since[key] >= PATIENCE.get(signal.labels["alertname"], 0.0)
        }
        if now >= self._judge_inherited_at:
            self._inherited = {k for k in self._inherited if self._raised[k].labels.get("network") in unheard}
        gone = self._raised.keys() - holding.keys() - self._inherited - _hidden(self._raised, holding)
        self._gone_since = {key: self._gone_since.get(key, now) for key in gone}
        over = [key for key in self._raised if now - self._gone_since.get(key, now) >= _peace(key)]
        ended = [
            # a clock that was set back since then makes no end earlier than its start
            Signal(s.labels, s.starts_at, s.annotations, max(s.starts_at, self._gone_since[key]), "recovered")
            for key, s in ((key, self._raised.pop(key)) for key in over)
        ]
        self._raised |= new
        return [*new.values(), *ended]


def _explained_by_blindness(holding: Mapping[Labels, Signal]) -> set[Labels]:
    """What is wrong with endpoints of networks that cannot be read at all: `NetworkBlind` tells of it already."""
    blind = {s.labels["network"] for s in holding.values() if s.labels["alertname"] == "NetworkBlind"}
    return {
        key
        for key, signal in holding.items()
        if signal.labels["alertname"] == "EndpointDegraded" and signal.labels["network"] in blind
    }


def _hidden(raised: Mapping[Labels, Signal], holding: Mapping[Labels, Signal]) -> set[Labels]:
    """What was told of networks that nobody looks at now: that it is not seen does not mean that it is over."""
    dark = {s.labels["network"] for s in holding.values() if s.labels["alertname"] in DARK}
    return {
        key
        for key, signal in raised.items()
        if signal.labels["alertname"] in HIDDEN_IN_THE_DARK and signal.labels["network"] in dark
    }


def watchdog(now: int) -> Signal:
    """The alert that always fires: who stops hearing of it knows that the path of alerts is broken."""
    return Signal(
        {"alertname": WATCHDOG, "severity": "P3"},
        now,
        {
            "summary": "chainwatch is alive",
            "description": "This alert always fires; its absence is the alarm.",
        },
    )


def clock_signals(error: float | None, jump: float, now: float) -> list[Signal]:
    """What is wrong with the host's clock ``now``.

    ``error``: seconds by which it is ahead of the chains and the endpoints (negative: behind), None where they do not
    tell; where they do, a jump has made it right or wrong. ``jump``: seconds by which it has jumped.
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
        )
    ]


def network_signals(
    settings: NetworkSettings, status: NetworkStatus, heard_at: float, now: float, ahead: float = 0.0
) -> list[Signal]:
    """What is wrong with one network ``now``.

    ``heard_at`` is when it answered last as far as is known without ``status``, or when the process began (Unix seconds);
    ``ahead``: seconds by which the clock that these are told by is ahead of the chains' time.
    A network that is halted is not looked at: `DeepReorg` says why.
    """
    if status.state == "halted" and status.head is not None:
        return []
    signals = _endpoint_signals(settings, status, now)
    blind_since = max(status.last_answer_at or 0.0, heard_at)
    if now - blind_since > settings.blind_after:
        reason = f" ({status.last_error})" if status.last_error else ""
        return [*signals, _blind(settings, int(blind_since + settings.blind_after), reason)]
    if status.disputed is not None:
        signals.append(_disputed(settings, int(now), status.disputed))
    if status.head is None:
        return signals
    age = (status.last_answer_at or now) - ahead - status.head.timestamp  # since then nobody has looked
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
        f"reading {settings.name} is held: a block or its logs are not to be had, or cannot be believed",
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
    )


def _peace(key: Labels) -> int:
    return COOLDOWN.get(dict(key)["alertname"], PEACE)


def _key(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))
