"""The siblings that a step's configuration names, checked and compiled. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from chainwatch.checker.expression import Scope
from chainwatch.checker.flow_terms import FlowTerms
from chainwatch.checker.joins import Join
from chainwatch.checker.parser import RESERVED
from chainwatch.config import OpeningSettings, StepSettings
from chainwatch.config.toml_lines import KeyPath
from chainwatch.model import AbiEvent

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def compile_joins(
    terms: FlowTerms,
    settings: OpeningSettings | StepSettings,
    event: AbiEvent,
    at: KeyPath,
    contract_networks: Callable[[str], Sequence[str]],
) -> dict[str, Join] | None:
    """Return the siblings of the step ``settings`` by name; None where there is no such event.

    What is wrong is noted in ``terms``.
    """
    joins: dict[str, Join] = {}
    for name, sibling in settings.with_.items():
        place = (*at, "with", name)
        _check_name(terms, name, event, place)
        contract = sibling.contract or settings.contract or terms.settings.contract
        found = terms.event_of(contract, sibling.event, place)
        if found is None:
            continue
        where = terms.condition(sibling.where, Scope(found), None, (*place, "where"))
        joins[name] = Join(name, contract, found, sibling.pick, where)
        _check_networks(terms, settings, contract, contract_networks, place)
    return joins if len(joins) == len(settings.with_) else None


def _check_name(terms: FlowTerms, name: str, event: AbiEvent, at: KeyPath) -> None:
    if _NAME.fullmatch(name) is None:
        terms.problem(at, f"{name!r} cannot be read in an expression", "use letters, digits and _")
    elif name.lower() in RESERVED:
        terms.problem(at, f"{name} has a meaning of its own in expressions", "give the sibling another name")
    elif any(param.name == name for param in event.inputs):
        message = f"{event.name} has an argument {name}: which of the two would {name} be?"
        terms.problem(at, message, "give the sibling another name")


def _check_networks(
    terms: FlowTerms,
    settings: OpeningSettings | StepSettings,
    contract: str,
    contract_networks: Callable[[str], Sequence[str]],
    at: KeyPath,
) -> None:
    """Check that the sibling's contract is on the networks on which the step can be seen."""
    own = contract_networks(settings.contract or terms.settings.contract)
    seen_on = [network for network in own if settings.on in (None, "origin", "destination", network)]
    siblings_on = contract_networks(contract)
    lacking = [network for network in seen_on if network not in siblings_on]
    if not lacking:
        return
    message = f"contract {contract!r} has no address on {' or '.join(lacking)}"
    if len(lacking) == len(seen_on):
        message += f", where {settings.step} is seen: no transaction has both events"
        terms.problem((*at, "contract"), message)
    else:
        terms.warn((*at, "contract"), f"{message}: each event {settings.event} there cannot be judged")
