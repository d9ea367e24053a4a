"""What a generic webhook was sent, alert by alert."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from tests.support.receiver import Received


class NotifiedAlert(NamedTuple):
    """One alert in one delivery; times are Unix seconds, `ends_at` None while it fires."""

    status: str
    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: float
    ends_at: float | None
    arrived_at: float

    @property
    def name(self) -> str:
        return self.labels["alertname"]


def notified(requests: Iterable[Received]) -> list[NotifiedAlert]:
    """Every alert of every delivery, in the order of arrival; a delivery that was repeated counts once."""
    once: dict[str, Received] = {}
    for request in requests:
        once.setdefault(request.headers["Idempotency-Key"], request)
    return [alert for request in once.values() for alert in alerts_of(request)]


def alerts_of(request: Received) -> Iterator[NotifiedAlert]:
    """Every alert of one delivery."""
    for alert in request.json()["alerts"]:
        firing = alert["status"] == "firing"
        yield NotifiedAlert(
            alert["status"],
            alert["fingerprint"],
            alert["labels"],
            alert["annotations"],
            _seconds(alert["startsAt"]),
            None if firing else _seconds(alert["endsAt"]),
            request.arrived_at,
        )


def _seconds(rfc3339: str) -> float:
    return datetime.fromisoformat(rfc3339).timestamp()
