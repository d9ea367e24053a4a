"""What the configured invariants depend on, as texts that change with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chainwatch.config import Settings
from chainwatch.config.for_each import SAMPLE, name_of
from chainwatch.config.invariant_values import ValueSettings
from chainwatch.config.invariants import InvariantSettings, TriggerSettings
from chainwatch.pipeline.checker import fingerprint

VERSION = 2
"""Raise it when the same configuration checks otherwise than before: all begins anew then."""

_REPORTING = ("severity", "for", "align", "every", "message", "runbook_url")
"""Keys that say when an invariant is checked and how a breach is reported, but not what is read or must hold."""


def fingerprints(settings: Settings) -> dict[str, tuple[str, str]]:
    """Return by invariant the fingerprints of which events it counts, and of all that it compiles to.

    That is its table with the ABI files, addresses, flows, assets and other invariants that it uses, but for the keys by
    which nothing else is read or must hold. What reads a list counts for the elements, too; the sample of these has none.
    """
    found = {
        name: (fingerprint([VERSION]), fingerprint([VERSION, _without_reporting(asdict(one))]))
        for name, one in settings.look_ups.items()
    }
    for name, table in settings.invariants.items():
        element = settings.elements.get(name)
        if element is not None and element.is_sample:
            continue
        used = [table]
        if element is not None and element.template is not None:
            used += [
                settings.invariants[n] for n in [name_of(element.family, SAMPLE)] if n in settings.invariants
            ]
        values = [_resolved(settings, value) for one in used for value in one.values.values()]
        triggers = [one.every for one in used if isinstance(one.every, TriggerSettings)]
        named = {value.contract for value in values} | {one.contract for one in triggers}
        contracts = _contracts(settings, named - {None})
        flows = [
            settings.flows[flow].counting()
            for flow in sorted({v.flow for v in values if v.flow})
            if flow in settings.flows
        ]
        assets = {asset for value in values for asset in value.asset or ()}
        events = [
            *([v.contract, v.event, v.of, v.where, v.address] for v in values if v.event),
            *([one.contract, one.event, one.where] for one in triggers),
        ]
        whole = [
            VERSION,
            _dump(table),
            [_value(value) for value in values],
            contracts,
            flows,
            {name: asset for name, asset in settings.assets.items() if name in assets},
            element and element.template and _without_reporting(element.template),
        ]
        found[name] = (fingerprint([VERSION, events, contracts]), fingerprint(whole))
    return found


def _resolved(settings: Settings, value: ValueSettings) -> ValueSettings:
    """Return ``value``, or the one of another invariant that it is."""
    for _ in range(len(settings.invariants)):
        name, _, key = (value.invariant or "").rpartition(".")
        if name not in settings.invariants or key not in settings.invariants[name].values:
            break
        value = settings.invariants[name].values[key]
    return value


def _contracts(settings: Settings, names: set[Any]) -> dict[str, Any]:
    return {
        name: (settings.contracts[name].address, Path(settings.contracts[name].abi).read_bytes())
        for name in sorted(names)
        if name in settings.contracts
    }


def _dump(table: InvariantSettings) -> dict[str, Any]:
    whole = _without_reporting(table.model_dump(exclude={"values"}, by_alias=True))
    return {**whole, "values": {n: _value(v) for n, v in table.values.items()}}


def _without_reporting(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in _REPORTING}


def _value(value: ValueSettings) -> dict[str, Any]:
    """Return the settings of a value, the secret ones too."""
    http = None if value.http is None else value.http.get_secret_value()
    return {**value.model_dump(), "http": http}
