"""How rules that are evaluated stand. Times are Unix seconds of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chainwatch.rules.evaluation import Alert
from chainwatch.rules.model import Rule
from chainwatch.rules.placed import PlacedGroup

Health = Literal["ok", "err", "unknown"]


@dataclass(frozen=True)
class RuleStatus:
    """One rule. ``key`` identifies it; ``alerts`` are those that are pending or fire.

    ``health`` is ``unknown`` before its first evaluation, ``err`` while it fails with ``error``; ``seconds``: how long its
    last evaluation took, which was at ``evaluated_at``.
    """

    key: str
    rule: Rule
    health: Health = "unknown"
    error: str = ""
    evaluated_at: float | None = None
    seconds: float = 0.0
    alerts: tuple[Alert, ...] = ()

    @property
    def state(self) -> Literal["inactive", "pending", "firing"]:
        """The most urgent state of its alerts."""
        states = {alert.state for alert in self.alerts}
        return "firing" if "firing" in states else "pending" if "pending" in states else "inactive"


@dataclass(frozen=True)
class GroupStatus:
    """One group; ``interval`` in seconds. ``slow``: it is evaluated apart from others, as it takes long."""

    name: str
    placed: PlacedGroup
    interval: float
    rules: tuple[RuleStatus, ...]
    evaluated_at: float | None = None
    seconds: float = 0.0
    slow: bool = False
