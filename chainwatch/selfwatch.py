"""chainwatch watching itself: what is wrong with networks and endpoints right now, as signals. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from chainwatch.chain.observer import NetworkStatus
from chainwatch.model import Signal
from chainwatch.settings import NetworkSettings

NETWORK_ALERTS = ("NetworkBlind", "NetworkStalled", "NetworkLagging", "EndpointDegraded")
WATCHDOG = "Watchdog"
ENDPOINT_TROUBLE_AFTER = 30.0
"""Seconds that an endpoint may be in trouble before it is told: the next one has long taken over."""

Labels = tuple[tuple[str, str], ...]


class Holding:
    """Which self-watch conditions hold; tells what changed since the last look."""

    def __init__(self, firing: Iterable[Mapping[str, str]] = (), now: int = 0) -> None:
        """``firing``: the labels of such alerts that fire already, from before this process."""
        self._signals: dict[Labels, Signal] = {_key(labels): Signal(labels, now) for labels in firing}

    def update(self, current: Iterable[Signal], now: int) -> list[Signal]:
        """The signals to raise and to end, given those that hold ``now`` (Unix seconds)."""
        holding = {_key(signal.labels): signal for signal in current}
        changes = [signal for key, signal in holding.items() if key not in self._signals]
        changes += [
            Signal(gone.labels, gone.starts_at, gone.annotations, now, "recovered")
            for key, gone in self._signals.items()
            if key not in holding
        ]
        self._signals = {key: self._signals.get(key, signal) for key, signal in holding.items()}
        return changes


def watchdog(now: int) -> Signal:
    """The alert that always fires: who stops hearing of it knows that the path of alerts is broken."""
    return Signal(
        {"alertname": WATCHDOG, "severity": "P3"},
        now,
        {"summary": "chainwatch is alive", "description": "This alert always fires; its absence is the alarm."},
    )


def network_signals(settings: NetworkSettings, status: NetworkStatus, started: float, now: float) -> list[Signal]:
    """What is wrong with one network ``now``; ``started`` is when the process began to follow it (Unix seconds)."""
    blind_since = max(status.last_answer_at or 0.0, started)
    if now - blind_since > settings.blind_after:
        reason = f" ({status.last_error})" if status.last_error else ""
        return [
            _network_signal(
                "NetworkBlind",
                "P1",
                settings.name,
                int(blind_since + settings.blind_after),
                f"{settings.name} cannot be read",
                f"No endpoint of {settings.name} has answered for {settings.blind_after:g} s{reason}. Deadlines there are held.",
            ),
            *_endpoint_signals(settings, status, now),
        ]
    signals: list[Signal] = []
    if status.head_timestamp is not None:
        age = now - status.head_timestamp
        if settings.stall_after is not None and age > settings.stall_after:
            signals.append(
                _network_signal(
                    "NetworkStalled",
                    "P1",
                    settings.name,
                    int(status.head_timestamp + settings.stall_after),
                    f"{settings.name} makes no blocks",
                    f"The newest block, {status.head}, is {int(age)} s old. Deadlines there are held.",
                )
            )
        behind = status.head_timestamp - (status.checkpoint_timestamp or status.head_timestamp)
        if behind > settings.lagging_after:
            signals.append(
                _network_signal(
                    "NetworkLagging",
                    "P2",
                    settings.name,
                    int(now),
                    f"reading {settings.name} is behind its head",
                    f"What is read is {int(behind)} s of chain time behind the head, block {status.head}. "
                    "Deadlines there are held until it has caught up.",
                )
            )
    return signals + _endpoint_signals(settings, status, now)


def _endpoint_signals(settings: NetworkSettings, status: NetworkStatus, now: float) -> list[Signal]:
    return [
        Signal(
            {
                "alertname": "EndpointDegraded",
                "network": settings.name,
                "endpoint": endpoint.name,
                "severity": "P2",
            },
            int(endpoint.since),
            {
                "summary": f"{endpoint.name} is {endpoint.state}",
                "description": f"{endpoint.last_error or 'it does not answer as it must'}. Others serve meanwhile, where there are any.",
            },
        )
        for endpoint in status.endpoints
        if endpoint.state != "ok" and (endpoint.state == "refused" or now - endpoint.since > ENDPOINT_TROUBLE_AFTER)
    ]


def _network_signal(
    name: str, severity: str, network: str, starts_at: int, summary: str, description: str
) -> Signal:
    return Signal(
        {"alertname": name, "network": network, "severity": severity},
        starts_at,
        {"summary": summary, "description": description},
    )


def _key(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))
