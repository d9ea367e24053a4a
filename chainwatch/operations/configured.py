"""What the configuration has: flows and receivers, also those created beside it.

No address of a receiver is shown, as it may be secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.checker.flow import Step
from chainwatch.operations.context import Context
from chainwatch.operations.created import Extended


class FlowStepView(msgspec.Struct, frozen=True):
    """A step: the event that it is, the networks where that can be seen, and the seconds in which it must follow."""

    name: str
    contract: str
    event: str
    networks: Sequence[str]
    within: int | None


class FlowView(msgspec.Struct, frozen=True):
    """A flow: its opening step first."""

    name: str
    steps: Sequence[FlowStepView]


class ReceiverView(msgspec.Struct, frozen=True):
    """A receiver and the provider that delivers to it; None for one that a program has registered.

    ``origin``: ``file``, ``api`` for one that was created through the HTTP server, or ``program``.
    """

    name: str
    provider: str | None
    origin: str


def list_flows(connection: sa.Connection, context: Context, now: float) -> list[FlowView]:
    """Return the flows in the configuration's order."""
    return [
        FlowView(
            flow.name,
            [_step(flow.opening, is_opening=True), *(_step(s, is_opening=False) for s in flow.expected)],
        )
        for flow in context.flows.values()
    ]


def list_receivers(connection: sa.Connection, context: Context, now: float) -> list[ReceiverView]:
    """Return the receivers: those of the file, then those that were created, then those that a program has registered."""
    return receivers_of(Extended(context.settings, context.created, context.problems), context.receivers)


def receivers_of(extended: Extended, names: Iterable[str]) -> list[ReceiverView]:
    """Return the receivers called ``names``."""
    known = extended.settings.receivers
    return [
        ReceiverView(name, known[name].provider if name in known else None, extended.origin_of(name))
        for name in names
    ]


def _step(step: Step, *, is_opening: bool) -> FlowStepView:
    within = None if is_opening else int(step.within)
    return FlowStepView(step.name, step.contract, step.event.name, sorted(step.networks), within)
