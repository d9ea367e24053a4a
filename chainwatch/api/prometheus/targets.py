"""The targets of ``[[scrape]]``, as Prometheus lists its own (``/api/v1/targets``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from chainwatch.api.prometheus.parameters import Fields, text_of
from chainwatch.promql.formatting import format_duration
from chainwatch.rule_engine.scraping import TargetStatus

NEVER = "0001-01-01T00:00:00Z"
"""What Go writes for no time."""


class WantedTargets(NamedTuple):
    """Which targets are asked for: the ``active`` ones, of the job ``pool``; empty for all."""

    active: bool
    pool: str


def wanted_targets(fields: Fields) -> WantedTargets:
    """Return what a request asks for. Any ``state`` but ``dropped`` is answered, as Prometheus does."""
    return WantedTargets(text_of(fields, "state").lower() != "dropped", text_of(fields, "scrapePool"))


def listed_targets(statuses: Sequence[TargetStatus], wanted: WantedTargets) -> dict[str, Any]:
    """Return the targets; none is ever dropped, as none is discovered."""
    shown = [one for one in statuses if wanted.active and wanted.pool in ("", one.settings.job)]
    shown.sort(key=lambda one: (one.settings.job, one.labels))
    return {"activeTargets": list(map(_listed, shown)), "droppedTargets": [], "droppedTargetCounts": {}}


def _listed(status: TargetStatus) -> dict[str, Any]:
    settings = status.settings
    url = f"{settings.scheme}://{status.address}{settings.path}"
    interval, timeout = _length(settings.interval), _length(settings.patience)
    is_up = status.scraped_at is not None and not status.error
    return {
        "discoveredLabels": {
            "__address__": status.address,
            "__metrics_path__": settings.path,
            "__scheme__": settings.scheme,
            "__scrape_interval__": interval,
            "__scrape_timeout__": timeout,
            "job": settings.job,
        },
        "labels": dict(status.labels.pairs),
        "scrapePool": settings.job,
        "scrapeUrl": url,
        "globalUrl": url,
        "lastError": status.error,
        "lastScrape": NEVER if status.scraped_at is None else _moment(status.scraped_at),
        "lastScrapeDuration": status.took,
        "health": "up" if is_up else "unknown" if status.scraped_at is None else "down",
        "scrapeInterval": interval,
        "scrapeTimeout": timeout,
    }


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _length(seconds: float) -> str:
    return format_duration(round(seconds * 1000))
