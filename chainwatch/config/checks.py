"""Checks between parts of a configuration: names that must exist, values that must differ.

Needs no ABI and no network. Compares the file's raw values, so that an invalid part is still compared with the others, and
the names of invalid parts still count as known.
"""

from __future__ import annotations

from collections.abc import Iterator

from chainwatch.config.draft import Draft
from chainwatch.config.errors import key_text
from chainwatch.config.networks import NetworkSettings
from chainwatch.config.people import PERSON, SCHEDULE
from chainwatch.config.toml_lines import KeyPath
from chainwatch.grammar.durations import format_duration
from chainwatch.grammar.matchers import OPERATORS
from chainwatch.support.spelling import did_you_mean, nearest

_PLACES = ("origin", "destination")
_NOUNS = {"people": "person", "oncall": "on-call schedule"}


def cross_check(draft: Draft, *, watches: bool) -> None:
    """Note in ``draft`` every contradiction between its parts; a configuration that ``watches`` needs networks."""
    _check_networks(draft, watches)
    for section in ("contracts", "assets"):
        _check_addresses(draft, section)
    _check_assets(draft)
    for flow in draft.names("flows"):
        _check_flow(draft, ("flows", flow))
    for name, one in draft.parts.look_ups.items():
        _check_known(draft, ("invariants", name, "network"), one.layer1, "networks")
        if one.layer2 != one.layer1:
            _check_known(draft, ("invariants", name, "l2"), one.layer2, "networks")
    for layer, network in draft.parts.pessimism.networks.items():
        _check_known(draft, ("pessimism", layer), network, "networks")
    if watches:
        _check_retention(draft)
    _check_routes(draft)
    _check_acknowledge(draft)
    _check_people(draft)
    _check_receivers(draft)
    _check_scrapes(draft)


def _check_retention(draft: Draft) -> None:
    """Check that what values of invariants count is kept for as long."""
    kept_for = draft.parts.store.retention
    for name, invariant in draft.parts.invariants.items():
        for value, settings in invariant.values.items():
            if settings.within is not None and settings.within > kept_for:
                what = f"what has happened is kept for {format_duration(kept_for)} only, by [store] retention"
                draft.add(("invariants", name, "values", value, "within"), what, "at most as long as that")


# --- networks and contracts ---------------------------------------------------------------------------


def _check_networks(draft: Draft, watches: bool) -> None:
    networks = draft.names("networks")
    if watches and draft.value(("networks",)) in (None, {}):
        draft.add(("networks",), "no networks: expected at least one table [networks.NAME]")
    first_with: dict[int, str] = {}
    for network in networks:
        if network in _PLACES:
            draft.add(
                ("networks", network),
                f'no network can be called "{network}": `on` has its own meaning for it',
            )
        path = ("networks", network, "chain_id")
        chain_id = draft.value(path)
        if isinstance(chain_id, int):
            first = first_with.setdefault(chain_id, network)
            if first != network:
                draft.add(path, f'network "{first}" has the chain_id {chain_id} already', "give each its own")


def _check_addresses(draft: Draft, section: str) -> None:
    for name in draft.names(section):
        path = (section, name, "address")
        addresses = draft.value(path)
        if addresses == {}:
            draft.add(path, "expected an address on at least one network, found none")
        elif isinstance(addresses, dict):
            for network in addresses:
                _check_known(draft, (*path, network), network, "networks")


def _check_assets(draft: Draft) -> None:
    """Report an address that two assets have: which symbol is right?"""
    first_with: dict[tuple[str, str], str] = {}
    for name, asset in draft.parts.assets.items():
        for network in draft.names("networks"):
            for address in asset.addresses_on(network):
                first = first_with.setdefault((network, address), name)
                if first != name:
                    draft.add(
                        ("assets", name, "address"), f'asset "{first}" has this address on {network} too'
                    )


def _check_known(draft: Draft, path: KeyPath, name: str, section: str) -> bool:
    """Return whether ``section`` has a table called ``name``; a problem at ``path`` when not."""
    known = draft.names(section)
    if name not in known:
        shown = draft.quote(path) if draft.value(path) == name else f'"{name}"'
        hint = did_you_mean(name, known) or f"write [{section}.NAME] first"
        draft.add(path, f"no {_NOUNS.get(section, section[:-1])} is called {shown}", hint)
    return name in known


def _check_scrapes(draft: Draft) -> None:
    """Report a job that two tables have: their targets would have the same series."""
    first_with: dict[str, int] = {}
    for index in range(_length(draft, ("scrape",))):
        path = ("scrape", index, "job")
        job = _text(draft, path)
        if job is not None and first_with.setdefault(job, index) != index:
            draft.add(
                path,
                f"scrape[{first_with[job]}] has this job already",
                "give each its own, or put the targets together",
            )


# --- flows --------------------------------------------------------------------------------------------


def _check_flow(draft: Draft, flow: KeyPath) -> None:
    opening = (*flow, "opens")
    steps = [(*flow, "expects", index) for index in range(_length(draft, (*flow, "expects")))]
    siblings = [place for step in (opening, *steps) for place in _siblings(draft, step)]
    for part in (flow, opening, *steps, *siblings):
        contract = _text(draft, (*part, "contract"))
        if contract is not None:
            _check_known(draft, (*part, "contract"), contract, "contracts")
    _check_step_names(draft, [opening, *steps])
    network = _text(draft, (*opening, "on"))
    if network is not None and _check_known(draft, (*opening, "on"), network, "networks"):
        _check_deployed(draft, opening, network)
    for step in steps:
        _check_on(draft, flow, step)
    _check_network_by(draft, flow, [opening, *steps])


def _siblings(draft: Draft, step: KeyPath) -> list[KeyPath]:
    """Return the paths of the siblings that ``step`` names."""
    named = draft.value((*step, "with"))
    return [(*step, "with", name) for name in named] if isinstance(named, dict) else []


def _check_step_names(draft: Draft, steps: list[KeyPath]) -> None:
    seen: set[str] = set()
    for step in steps:
        name = _text(draft, (*step, "step"))
        if name in seen:
            path = (*step, "step")
            draft.add(
                path,
                f"another step of the flow is called {draft.quote(path)} already",
                "give each its own name",
            )
        elif name is not None:
            seen.add(name)


def _check_on(draft: Draft, flow: KeyPath, step: KeyPath) -> None:
    """Check that the network where ``step`` is expected is known from the opening step, and has the contract."""
    on = _text(draft, (*step, "on")) or "destination"
    networks = draft.names("networks")
    if on in networks:
        _check_deployed(draft, step, on)
    elif on not in _PLACES:
        path = (*step, "on")
        message = f"expected origin, destination or a network's name, found {draft.quote(path)}"
        draft.add(path, message, did_you_mean(on, [*_PLACES, *networks]))
    elif isinstance(draft.value((*flow, "opens")), dict):
        named = _text(draft, (*flow, "opens", on))
        if named in networks:
            _check_deployed(draft, step, named)
        elif named is None and on == "destination":
            hint = f"give it in [{key_text((*flow, 'opens'))}], or set `on` to a network's name"
            draft.add((*step, "on"), "cannot be resolved: the opening step has no `destination`", hint)


def _check_deployed(draft: Draft, step: KeyPath, network: str) -> None:
    contract = _contract_of(draft, step)
    if contract in draft.names("contracts") and not _is_deployed(draft, contract, network):
        draft.add(
            (*step, "on"),
            f'the step is to be seen on network "{network}", where contract "{contract}" has no address',
            f'add "{network}" to {key_text(("contracts", contract, "address"))}',
        )


def _check_network_by(draft: Draft, flow: KeyPath, steps: list[KeyPath]) -> None:
    """Check that every network on which the flow's events are seen has the attribute, each a different value."""
    path = (*flow, "network_by")
    attribute = _text(draft, path) or "chain_id"
    if attribute in ("chain_id", "name"):
        return
    contracts = {_contract_of(draft, step) for step in steps}
    values = {network: _attribute(draft, network, attribute) for network in draft.names("networks")}
    if values and not any(value is not None for value in values.values()):
        known = {"chain_id", "name", *(key for network in values for key in _free_keys(draft, network))}
        draft.add(path, f"no network has the attribute {draft.quote(path)}", did_you_mean(attribute, known))
        return
    first_with: dict[str, str] = {}
    for network, value in values.items():
        if value is not None:
            text = str(value).lower()  # as it is compared with what events say
            first = first_with.setdefault(text, network)
            if first != network:
                message = f'network "{first}" has the same value, and flow "{flow[1]}" names networks by it'
                draft.add(("networks", network, attribute), message)
        elif any(_is_deployed(draft, contract, network) for contract in contracts if contract):
            near = nearest(attribute, _free_keys(draft, network))
            message = f'the attribute by which flow "{flow[1]}" names networks ({key_text(path)}) is missing'
            draft.add(("networks", network), message, f'is "{near}" meant for it?' if near else "")


def _attribute(draft: Draft, network: str, name: str) -> int | str | None:
    value = draft.value(("networks", network, name)) if name in _free_keys(draft, network) else None
    return value if isinstance(value, int | str) else None


def _free_keys(draft: Draft, network: str) -> list[str]:
    table = draft.value(("networks", network))
    return (
        [key for key in table if key not in NetworkSettings.model_fields] if isinstance(table, dict) else []
    )


def _contract_of(draft: Draft, step: KeyPath) -> str | None:
    """Return the contract that emits the event of a flow's step."""
    return _text(draft, (*step, "contract")) or _text(draft, (*step[:2], "contract"))


def _is_deployed(draft: Draft, contract: str, network: str) -> bool:
    addresses = draft.value(("contracts", contract, "address"))
    return network in addresses if isinstance(addresses, dict) else addresses is not None


# --- receivers and routes -----------------------------------------------------------------------------


def _check_routes(draft: Draft, parent: KeyPath = ()) -> None:
    catch_all: KeyPath | None = None
    for route in _tables(draft, (*parent, "routes")):
        for path, name in draft.texts((*route, "receivers")):
            _check_known(draft, path, name, "receivers")
        if not parent and isinstance(draft.value(route), dict) and draft.value((*route, "receivers")) is None:
            draft.add((*route, "receivers"), "missing; expected: Names of receivers.")
        for key in ("mute_times", "active_times"):
            for path, name in draft.texts((*route, key)):
                _check_known(draft, path, name, "intervals")
        for path, name in draft.texts((*route, "match", "flow")):
            if not name.startswith(OPERATORS):
                _check_known(draft, path, name, "flows")
        if catch_all is not None:
            message = f"never reached: {key_text(catch_all)} takes every alert before it"
            draft.add(route, message, "put it before that one, or set `continue = true` there")
        elif not draft.value((*route, "match")) and draft.value((*route, "continue")) is not True:
            catch_all = route
        for key, section in (("escalation", "escalations"), ("template", "templates")):
            if (named := _text(draft, (*route, key))) is not None:
                _check_known(draft, (*route, key), named, section)
        _check_routes(draft, route)


def _check_acknowledge(draft: Draft) -> None:
    for rule in _tables(draft, ("acknowledge",)):
        for path, name in draft.texts((*rule, "during")):
            _check_known(draft, path, name, "intervals")


def _check_receivers(draft: Draft) -> None:
    reached = {*_reached(draft, ()), *_reached_by_escalation(draft)}
    for receiver in draft.names("receivers"):
        if (template := _text(draft, ("receivers", receiver, "template"))) is not None:
            _check_known(draft, ("receivers", receiver, "template"), template, "templates")
        if receiver not in reached:
            draft.add(
                ("receivers", receiver), "no route leads to this receiver", "name it in a route, or remove it"
            )


def _reached_by_escalation(draft: Draft) -> Iterator[str]:
    for policy in draft.names("escalations"):
        for step in _tables(draft, ("escalations", policy, "steps")):
            yield from (name for _, name in draft.texts((*step, "notify")))
    for person in draft.names("people"):
        yield from (name for _, name in _contacts(draft, person))


def _reached(draft: Draft, parent: KeyPath) -> Iterator[str]:
    for route in _tables(draft, (*parent, "routes")):
        yield from (name for _, name in draft.texts((*route, "receivers")))
        yield from _reached(draft, route)


# --- people -------------------------------------------------------------------------------------------


def _check_people(draft: Draft) -> None:
    for person in draft.names("people"):
        for path, name in _contacts(draft, person):
            _check_known(draft, path, name, "receivers")
    for schedule in draft.names("oncall"):
        for layer in _tables(draft, ("oncall", schedule, "layers")):
            for path, name in draft.texts((*layer, "people")):
                _check_known(draft, path, name, "people")
            for path, name in draft.texts((*layer, "during")):
                _check_known(draft, path, name, "intervals")
    for policy in draft.names("escalations"):
        for step in _tables(draft, ("escalations", policy, "steps")):
            for path, name in draft.texts((*step, "notify")):
                _check_notified(draft, path, name)
            for path, name in draft.texts((*step, "if_time")):
                _check_known(draft, path, name, "intervals")


def _check_notified(draft: Draft, path: KeyPath, name: str) -> None:
    """Note a problem unless ``name`` is a receiver, or a schedule or person after its mark."""
    for mark, section in ((SCHEDULE, "oncall"), (PERSON, "people"), ("", "receivers")):
        if name.startswith(mark):
            _check_known(draft, path, name.removeprefix(mark), section)
            return


def _contacts(draft: Draft, person: str) -> Iterator[tuple[KeyPath, str]]:
    """Yield the receivers of a person, with the path at which each is named."""
    yield from draft.texts(("people", person, "receivers"))
    by_severity = draft.value(("people", person, "by_severity"))
    for severity in by_severity if isinstance(by_severity, dict) else ():
        yield from draft.texts(("people", person, "by_severity", severity))


# --- raw values -----------------------------------------------------------------------------


def _text(draft: Draft, path: KeyPath) -> str | None:
    value = draft.value(path)
    return value if isinstance(value, str) else None


def _tables(draft: Draft, path: KeyPath) -> list[KeyPath]:
    """Return the paths of the tables in the list at ``path``."""
    return [(*path, index) for index in range(_length(draft, path))]


def _length(draft: Draft, path: KeyPath) -> int:
    value = draft.value(path)
    return len(value) if isinstance(value, list) else 0
