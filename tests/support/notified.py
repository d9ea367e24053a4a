"""What a generic webhook was sent, alert by alert."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple, TypeVar

from tests.support.receiver import Received

T = TypeVar("T")

POLL = 0.02


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


async def eventually(look: Callable[[], T], timeout: float = 60.0) -> T:
    """What `look` returns, as soon as that is something; AssertionError with its last word after `timeout` seconds."""
    end = time.monotonic() + timeout
    while not (found := look()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s; in the end it was {found!r}")
        await asyncio.sleep(POLL)
    return found
