"""Groups of pushed metrics, as Prometheus' Pushgateway keeps them: each stays as it was pushed last, until it is deleted.

Source: https://github.com/prometheus/pushgateway#api. A group is known by its labels, ``job`` among them, which every
metric of it has. A push with POST replaces the metrics whose names it has, one with PUT all of the group.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from chainwatch.ingestion.model import IngestionError
from chainwatch.ingestion.names import label_problem, quoted
from chainwatch.ingestion.text import Exposition
from chainwatch.promql.series import NAME, Labels, Metadata

JOB = "job"
PUSH_TIME = "push_time_seconds"
PUSH_FAILURE_TIME = "push_failure_time_seconds"
_TIMES = {
    PUSH_TIME: Metadata("gauge", "Last Unix time when changing this group succeeded."),
    PUSH_FAILURE_TIME: Metadata("gauge", "Last Unix time when changing this group failed."),
}
_BASE64 = "@base64"
_PARTS = {
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "gaugehistogram": ("_bucket", "_gsum", "_gcount"),
    "summary": ("_sum", "_count", "_created"),
    "counter": ("_total", "_created"),
    "info": ("_info",),
}
"""By type of a metric, what may follow its name in the names of its series."""


@dataclass(frozen=True)
class Family:
    """A metric of a group: what is said of it, and the values of its series."""

    metadata: Metadata
    values: Mapping[Labels, float]


@dataclass(frozen=True)
class Group:
    """The metrics of one group by name. ``pushed_at`` and ``failed_at`` are Unix seconds, 0 for never."""

    labels: Labels
    families: Mapping[str, Family] = field(default_factory=dict)
    pushed_at: float = 0.0
    failed_at: float = 0.0

    @property
    def size(self) -> int:
        """How many series it has, without the times of its pushes."""
        return sum(len(family.values) for family in self.families.values())

    def pushed(self, exposition: Exposition, now: float, *, replaces_all: bool) -> Group:
        """Return the group after a push at ``now``. Raises ``IngestionError`` for samples that have a time or are twice."""
        new = self._families(exposition)
        return replace(self, families=new if replaces_all else {**self.families, **new}, pushed_at=now)

    def failed(self, now: float) -> Group:
        """Return the group after a push that was refused."""
        return replace(self, failed_at=now)

    def values(self) -> dict[Labels, float]:
        """Return the newest values of all its series, the times of its pushes among them."""
        times = {PUSH_TIME: self.pushed_at, PUSH_FAILURE_TIME: self.failed_at}
        found = {self.labels.put({NAME: name}): at for name, at in times.items()}
        for family in self.families.values():
            found |= family.values
        return found

    def metadata(self) -> dict[str, Metadata]:
        """Return what is said of its metrics."""
        return {name: family.metadata for name, family in self.families.items()} | _TIMES

    def _families(self, exposition: Exposition) -> dict[str, Family]:
        values: dict[str, dict[Labels, float]] = {}
        for labels, value, time in exposition.samples:
            name = labels[NAME]
            if time is not None:
                raise IngestionError(f"{labels}: pushed metrics have no time: leave it out")
            if name in _TIMES:
                raise IngestionError(f"{name}: chainwatch makes this metric itself: leave it out")
            own = values.setdefault(family_name(name, exposition.metadata), {})
            series = labels.put(self.labels)
            if series in own:
                raise IngestionError(
                    f"{series}: given twice, perhaps as the group's labels replace those of the metric"
                )
            own[series] = value
        return {
            name: Family(exposition.metadata.get(name, Metadata()), found) for name, found in values.items()
        }


def family_name(name: str, metadata: Mapping[str, Metadata]) -> str:
    """Return the metric to which a series of this ``name`` belongs: of ``x_bucket`` the histogram ``x``."""
    for kind, ends in _PARTS.items():
        for end in ends:
            base = name.removesuffix(end)
            if base != name and metadata.get(base, Metadata()).type == kind:
                return base
    return name


def group_labels(path: str) -> Labels:
    """Return the labels in what follows ``/metrics/`` of a path: ``job/NAME{/LABEL/VALUE}``. Raises ``IngestionError``.

    After a name that ends with ``@base64`` the value is base64 for URLs (RFC 4648, 5), padded or not; ``=`` stands for none.
    """
    parts = path.split("/")
    if len(parts) % 2:
        raise IngestionError("the path has a label without a value: /metrics/job/NAME{/LABEL/VALUE}")
    labels: dict[str, str] = {}
    for name, value in _pairs(parts):
        if name in labels:
            raise IngestionError(f"the label {quoted(name)} is twice in the path")
        if (problem := label_problem(name)) is not None:
            raise IngestionError(problem)
        if name.startswith("__"):
            raise IngestionError(f"the label {quoted(name)} is reserved: choose another name")
        labels[name] = value
    if not labels.get(JOB):
        raise IngestionError("the path names no job: /metrics/job/NAME{/LABEL/VALUE}")
    return Labels(labels)


def _pairs(parts: list[str]) -> Iterable[tuple[str, str]]:
    for name, value in zip(parts[::2], parts[1::2], strict=True):
        if name.endswith(_BASE64):
            yield name.removesuffix(_BASE64), _decoded(value)
        else:
            yield name, value


def _decoded(text: str) -> str:
    bare = text.rstrip("=")
    try:
        content = base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)
        return content.decode("utf-8")
    except (binascii.Error, ValueError):
        raise IngestionError(f"{quoted(text)} is no base64 for URLs of UTF-8") from None
