"""Follows the lists of contracts over which invariants are made."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import sqlalchemy as sa

from chainwatch.checker.invariants.invariant import Invariant
from chainwatch.config.for_each import LISTING, SEPARATOR, name_of
from chainwatch.invariants.kept_checks import KeptChecks
from chainwatch.model import Header, to_hex
from chainwatch.store import definitions, elements, invariants

DELETED, STOPPED = "deleted", "stopped"
"""Why alerts of an invariant end that was made while this runs."""
NO_LONGER_LISTED = "no longer listed"
"""Why alerts of an element end that its list has no more."""


class Listed(NamedTuple):
    """A list that has changed: the invariant's name in the configuration, and the block at which it was read."""

    family: str
    network: str
    header: Header


def family_of(name: str) -> str:
    """Return the table's name of an invariant that is made of an element."""
    return name.partition(SEPARATOR)[0]


def listing_of(name: str) -> str:
    """Return the name of what reads the lists of the invariant ``name``, if it is made of an element of one."""
    return name_of(family_of(name), LISTING)


def why_gone(connection: sa.Connection, name: str, running: Collection[str]) -> str:
    """Return why the invariant ``name`` is none of those that are ``running``: the reason of its alerts' end."""
    if listing_of(name) in running:
        return NO_LONGER_LISTED
    definition = definitions.find(connection, family_of(name))
    if definition is None or definition.is_deleted:
        return DELETED
    return NO_LONGER_LISTED if definition.is_running and name != definition.name else STOPPED


def update(connection: sa.Connection, checks: KeptChecks, judged: Iterable[Invariant]) -> list[Listed]:
    """Store the lists that were read, by the newest answered check of each of ``judged``; return those that changed.

    A list that is too long, so that the check does not hold, stays as it was.
    """
    known: dict[str, elements.Lists] | None = None
    changed = []
    for invariant in judged:
        if invariant.element is None or invariant.element.template is None:
            continue
        check = invariants.last_answered(checks.of(invariant.name))
        if check is None or not check.holds:
            continue
        readings = invariants.readings_at(connection, check.places(invariant.name))
        own = readings.get((invariant.name, check.network, check.block))
        content = {k: v for one in readings.values() for k, v in (one.content or {}).items()}
        if own is None or content.keys() != {value.name for value in invariant.values}:
            continue
        lists = elements_of(content)
        known = elements.load(connection) if known is None else known
        if known.get(invariant.title) != lists:
            elements.save(connection, invariant.title, lists)
            header = Header(check.block, own.hash, b"", check.timestamp)
            changed.append(Listed(invariant.title, check.network, header))
    return changed


def elements_of(content: Mapping[str, list[object]]) -> elements.Lists:
    """Return by label the elements that contracts have listed."""
    return {label: _items(items) for label, items in content.items()}


def _items(items: list[object]) -> list[str | int]:
    """Return what a contract has listed as texts and integers, each once."""
    found = dict.fromkeys(to_hex(item) if isinstance(item, bytes) else item for item in items)
    return list(found)  # type: ignore[arg-type]  # the compiler has checked their types
