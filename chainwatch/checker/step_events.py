"""The events of one transfer by step, and which opening step expects which of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter

from chainwatch.checker.flow import DESTINATION, EXCLUDED, ORIGIN, Flow, Step, expected_network
from chainwatch.model import Occurrence, Transfer


def openings_of(flow: Flow, by_step: Mapping[str, list[Occurrence]]) -> list[Occurrence]:
    """Return the opening events; those that ``where`` leaves out only when there are no others."""
    found = by_step.get(flow.opening.name, [])
    if len(found) <= 1:
        return found
    return [o for o in found if EXCLUDED not in o.facts] or found


def by_step(transfer: Transfer) -> dict[str, list[Occurrence]]:
    """Return the events of each step, in order."""
    events: dict[str, list[Occurrence]] = {}
    for occurrence in transfer.occurrences:
        events.setdefault(occurrence.step, []).append(occurrence)
    return events


def group_events(
    step: Step, by_step: Mapping[str, list[Occurrence]], openings: Sequence[Occurrence]
) -> list[tuple[Occurrence | None, list[Occurrence]]]:
    """Return the events of ``step``, grouped by network and claimed origin, each group with the opening that expects it.

    In the order of the groups' first events: a network reports its events in order, so that the first stays the first (S3).
    """
    events = by_step.get(step.name)
    if events is None:
        return []
    if len(events) == 1:
        return [(matching_opening(openings, step, events[0]), events)]
    groups: dict[tuple[str, str], list[Occurrence]] = {}
    for event in events:
        groups.setdefault((event.network, claimed_origin(step, event)), []).append(event)
    return [(matching_opening(openings, step, some[0]), some) for some in groups.values()]


def matching_opening(openings: Sequence[Occurrence], step: Step, event: Occurrence) -> Occurrence | None:
    """Return the first of ``openings`` that expects ``event`` as its ``step``; None where none does."""
    claimed = claimed_origin(step, event)
    for opening in openings:
        if event.network == expected_network(step, opening) and claimed in ("", opening.network):
            return opening
    return None


def destination_of(opening: Occurrence) -> str:
    """Return the network that ``opening`` names as its destination; empty where it names none."""
    destination: str = opening.facts.get(DESTINATION, "")
    return destination


def claimed_origin(step: Step, event: Occurrence) -> str:
    """Return the network from which ``event`` says that it comes, or on which it must open; empty when neither is known."""
    claimed: str = event.facts.get(ORIGIN, "")
    return event.network if step.expected_on == "origin" and not claimed else claimed


log_position = attrgetter("network", "block", "log_index")
"""Of an occurrence: which log it is."""
step_position = attrgetter("step", "network", "block", "log_index", "item")
"""Of an occurrence: which log, or which element of it, it is as which step."""
chain_order = attrgetter("timestamp", "network", "block", "log_index", "item", "step")
"""Of an occurrence: sorts by chain time."""
