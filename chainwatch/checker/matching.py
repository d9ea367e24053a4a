"""Checks how a flow's events find their transfers: numbered keys and aliases. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from chainwatch.checker.flow_terms import FlowTerms
from chainwatch.config import FlowSettings
from chainwatch.config.toml_lines import KeyPath
from chainwatch.support.spelling import did_you_mean


def check(settings: FlowSettings, terms: FlowTerms, origins: Sequence[str]) -> None:
    """Note what is wrong with ``match``, ``alias`` and ``by`` of a flow whose transfers open on ``origins``."""
    _check_aliases(settings, terms)
    _check_each(settings, terms)
    _check_ranges(settings, terms)
    if settings.match == "nth":
        _check_numbered(settings, terms, origins)


def alias_of(settings: FlowSettings, step: str) -> list[str]:
    """Return the expressions of the alias that ``step`` gives, empty for none."""
    return next((s.alias for s in settings.expects if s.step == step and s.alias), [])


def _check_aliases(settings: FlowSettings, terms: FlowTerms) -> None:
    names = [step.step for step in settings.expects if step.alias]
    used = {step.by for step in settings.expects}
    for index, step in enumerate(settings.expects):
        at: KeyPath = ("expects", index)
        if step.by and step.by not in names:
            message = f"there is no step {step.by!r} with an alias"
            terms.problem((*at, "by"), message, did_you_mean(step.by, names))
        if step.by and step.alias:
            message = "a step that is found by an alias cannot give another: only one leads from step to step"
            terms.problem((*at, "alias"), message)
        elif step.alias and step.step not in used:
            terms.warn((*at, "alias"), "no step is found by it", f'a later step says by = "{step.step}"')
        if step.alias and step.step.isdigit():
            terms.problem((*at, "step"), "a step with an alias needs a name that is no number")


def range_of(text: str) -> tuple[str, str] | None:
    """Return the two ends of ``first..last``; None where it is none."""
    first, dots, last = text.partition("..")
    return (first.strip(), last.strip()) if dots and first.strip() and last.strip() else None


def _check_ranges(settings: FlowSettings, terms: FlowTerms) -> None:
    for index, step in enumerate(settings.expects):
        at: KeyPath = ("expects", index, "covers")
        if step.covers and range_of(step.covers) is None:
            hint = (
                'both ends belong to it: write "first..end - 1" where the event names the end after the last'
            )
            terms.problem(at, f"expected a range such as first..last, not {step.covers}", hint)
        if step.covers and (step.alias or step.by):
            terms.problem(at, "a step of a range of transfers cannot have `alias` or `by`")


def _check_each(settings: FlowSettings, terms: FlowTerms) -> None:
    """Refuse elements of an event that serves both ends of a transfer: which end each is could not be said."""
    opens = settings.opens
    for index, step in enumerate(settings.expects):
        same = (step.contract or settings.contract, step.event) == (
            opens.contract or settings.contract,
            opens.event,
        )
        if same and (step.each or opens.each):
            terms.problem(
                ("expects", index, "event"),
                f"{step.event} opens transfers too: `each` cannot distinguish the two",
            )


def _check_numbered(settings: FlowSettings, terms: FlowTerms, origins: Sequence[str]) -> None:
    """Warn where the key of openings does not say from where to where they go: each network counts by itself."""
    opens = settings.opens
    parts = opens.key or settings.key
    has_origin = len(origins) < 2 or any(
        p.startswith(("network.", "transaction.")) or p == opens.origin for p in parts
    )
    if not has_origin:
        terms.warn(
            ("match",),
            "openings of the same key on two networks are counted apart, and get the same numbers",
            "add the origin to the key, such as network.chain_id",
        )
    has_destination = (
        opens.destination is None or opens.destination in terms.networks or opens.destination in parts
    )
    if not has_destination:
        terms.warn(
            ("match",),
            "openings of the same key to two networks are counted together, but their steps on each network apart",
            f'add "{opens.destination}" to the key, and to that of later steps their own network',
        )
