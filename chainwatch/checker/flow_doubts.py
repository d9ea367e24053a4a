"""What of a flow's steps, networks and conditions can match nothing, or says nothing. Pure.

Nearly all of it is likely, not certain: a warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import combinations

from chainwatch.checker.flow_parts import FlowParts, StepParts, argument_name, words
from chainwatch.checker.flow_terms import FlowTerms
from chainwatch.checker.syntax import ConditionError, Token, tokenize
from chainwatch.checker.terms import kind_of
from chainwatch.config import StepSettings
from chainwatch.config.toml_lines import KeyPath

_FROM = frozenset(("src", "source", "origin"))
_TO = frozenset(("dst", "dest", "destination"))
_NUMBERS = {
    "eid": "LayerZero numbers networks by endpoint ids, such as 30101 for Ethereum",
    "domain": "Circle and others number networks by domains of their own, such as 0 for Ethereum",
    "selector": "Chainlink numbers networks by selectors, such as 5009297550715157269 for Ethereum",
}
"""By the last word of an argument's name, what numbers it mostly holds that are no chain ids."""


def doubt_flow(flow: FlowParts, terms: FlowTerms) -> None:
    """Note in ``terms`` what the flow's steps, networks and conditions cannot mean."""
    _doubt_equal_steps(flow, terms)
    _doubt_places(flow, terms)
    _doubt_fixed_networks(flow, terms)
    for step in (flow.opening, *flow.expected):
        _doubt_amounts(step, terms)
        for key in ("origin", "destination"):
            text = getattr(step.settings, key, None)
            if text is not None and text not in flow.networks:
                _doubt_network_value(flow, terms, step, key, text)
        if step.settings.where is not None:
            _doubt_where(flow, terms, step, step.settings.where)
        asserted = getattr(step.settings, "assert_", None)
        if asserted is not None:
            _doubt_assert(flow, terms, step, asserted)
        _doubt_within(flow, terms, step)
        _doubt_siblings(flow, terms, step)


# --- steps ------------------------------------------------------------------------------------------------


def _doubt_equal_steps(flow: FlowParts, terms: FlowTerms) -> None:
    """Warn of one event that is two steps, with nothing to say which of them it is."""
    for one, other in combinations((flow.opening, *flow.expected), 2):
        if (one.contract, one.event.signature) != (other.contract, other.event.signature):
            continue
        opens = one is flow.opening
        chosen = (one.settings.where, other.settings.where)
        if any(chosen) and chosen[0] != chosen[1]:
            continue
        if opens and (one.settings.origin or one.settings.on or other.settings.on != "destination"):
            continue
        if not opens and one.settings.on != other.settings.on:
            continue
        message = (
            f"{other.event.name} is step {one.settings.step} too: nothing says which of the two an event is"
        )
        hint = (
            "give both a `where`, or `opens` the `origin` that the event names"
            if opens
            else "give both a `where`"
        )
        terms.warn((*other.at, "event"), message, hint)


def _doubt_places(flow: FlowParts, terms: FlowTerms) -> None:
    """Warn of networks where transfers open, and where a step of another contract cannot be seen."""
    opening = flow.opening
    fixed = opening.settings.on or getattr(opening.settings, "destination", None) in flow.networks
    if fixed:
        return
    for step in flow.expected:
        if step.settings.on != "destination" or step.contract == opening.contract:
            continue
        here, there = set(flow.places[step.contract]), set(flow.origins)
        if here & there and (missing := [name for name in flow.origins if name not in here]):
            where = ", ".join(missing)
            message = (
                f"contract {step.contract!r} has no address on {where}, where {opening.contract!r} has one: transfers to "
                f"{where} are untracked"
            )
            terms.warn((*step.at, "event"), message, f"add the address to contracts.{step.contract}.address")


def _doubt_fixed_networks(flow: FlowParts, terms: FlowTerms) -> None:
    opening, origins = flow.opening, flow.origins
    destination = flow.settings.opens.destination
    if destination in flow.networks and destination in origins:
        every = len(origins) == 1
        message = f"transfers {'open on' if every else 'that open on'} {destination}" + (
            " only, and go there too" if every else " would go to that network itself"
        )
        others = [name for name in flow.networks if name != destination]
        hint = (
            f'opens needs on = "{others[0]}"'
            if not every and others
            else "name the other end, or the argument that names it"
        )
        terms.warn((*opening.at, "destination"), message, hint)
    for step in flow.expected:
        origin = step.settings.origin
        others = [name for name in origins if name != origin]
        if origin in flow.networks and origin in origins and others and opening.settings.origin is None:
            message = (
                f"transfers open on {', '.join(others)} too; a step of those would count as one from {origin}"
            )
            terms.warn(
                (*step.at, "origin"),
                message,
                f'name the argument that says it, or give opens on = "{origin}"',
            )
        if (
            step.settings.on == "destination"
            and len(origins) == 1
            and list(flow.places[step.contract]) == [*origins]
        ):
            message = (
                f"contract {step.contract!r} is on {origins[0]} alone, where the transfers open: no other network can be "
                "their destination"
            )
            terms.warn(
                (*step.at, "on"),
                message,
                f"add its address on the other networks to contracts.{step.contract}.address",
            )


def _doubt_amounts(step: StepParts, terms: FlowTerms) -> None:
    for key, kinds, what in (
        ("amount", ("integer",), "an integer"),
        ("asset", ("address", "bytes"), "an address"),
    ):
        text = getattr(step.settings, key)
        if text is None:
            continue
        try:
            value = terms.value_of(text, step.scope, (*step.at, key))
        except ConditionError:
            continue
        if kind_of(value.type) not in kinds:
            terms.warn((*step.at, key), f"{text} is {value.type}, {what} is expected", value.note)


def _doubt_siblings(flow: FlowParts, terms: FlowTerms, step: StepParts) -> None:
    """Warn of siblings that nothing reads, and of a call that nothing reads: these cost what they are not used for."""
    settings = step.settings
    texts = [
        *(part.text for part in step.key),
        *(settings.key or ()),
        *(getattr(settings, "alias", None) or ()),
    ]
    texts += [text for key in _READING if isinstance(text := getattr(settings, key, None), str)]
    later = [text for one in flow.expected if (text := getattr(one.settings, "assert_", None)) is not None]
    own = " ".join(texts)
    opening = " ".join(later) if step is flow.opening else ""
    for name in [*settings.with_, *(["call"] if settings.call else [])]:
        word = rf"(?<![\w.]){re.escape(name)}\s*\."
        if re.search(word, own) or re.search(rf"\bopening\.{re.escape(name)}\s*\.", opening):
            continue
        at = (*step.at, "call") if name == "call" else (*step.at, "with", name)
        terms.warn(
            at, f"nothing of step {settings.step} reads {name}.…", "use it in an expression, or leave it out"
        )


_READING = ("origin", "destination", "amount", "asset", "where", "assert_", "covers")
"""The keys of a step that are expressions, beside its key."""


def _doubt_within(flow: FlowParts, terms: FlowTerms, step: StepParts) -> None:
    settings = step.settings
    if not isinstance(settings, StepSettings):
        return
    for name in flow.destinations(step):
        block_time = flow.networks[name].block_time
        if block_time is not None and settings.within < block_time:
            message = f"{settings.within:g} s is less than {name} takes for one block ({block_time:g} s)"
            terms.warn((*step.at, "within"), message, "every transfer to it would be overdue")


# --- networks ---------------------------------------------------------------------------------------------


def _doubt_network_value(flow: FlowParts, terms: FlowTerms, step: StepParts, key: str, text: str) -> None:
    """Warn of a value that is named like the other end, or like numbers that ``network_by`` does not have."""
    at, by = (*step.at, key), flow.settings.network_by
    named = words(argument_name(text))
    wrong = _FROM if key == "destination" else _TO
    if wrong & set(named) and not (_TO if wrong is _FROM else _FROM) & set(named):
        end = "come from" if key == "destination" else "go to"
        terms.warn(
            at, f"{text} is named like the network that transfers {end}", f"which argument names the {key}?"
        )
    is_opening = step is flow.opening
    if text == f"network.{by}" and (key == "destination" if is_opening else flow.is_elsewhere(step)):
        here, there = ("origin", "destination") if is_opening else ("destination", "origin")
        message = (
            f"{text} is that of the {here}, where {step.event.name} is seen: it never names another network"
        )
        terms.warn(at, message, f"which argument names the {there}?")
    try:
        value = terms.value_of(text, step.scope, at)
    except ConditionError:
        return
    numbers = [network.attribute(by) for network in flow.networks.values()]
    if kind_of(value.type) == "string" and all(isinstance(number, int) for number in numbers):
        near = [
            name
            for name, some in _free_attributes(flow).items()
            if all(isinstance(v, str) and not v.startswith("0x") for v in some)
        ]
        hint = (
            f'network_by = "{near[0]}"'
            if near
            else "write the networks' names in events as an attribute, and name it in network_by"
        )
        terms.warn(at, f"{text} is a string, and the {by} of every network a number", hint)
    elif named and by == "chain_id" and "network_by" not in flow.settings.model_fields_set:
        known = [name for name in _free_attributes(flow) if name in named]
        what = f"networks have the attribute {known[0]}" if known else _NUMBERS.get(named[-1])
        if what:
            name = known[0] if known else named[-1]
            message = f"{text} is compared with chain ids; {what}"
            terms.warn(
                at, message, f'write network_by = "{name}", or network_by = "chain_id" where it is right'
            )


def _free_attributes(flow: FlowParts) -> dict[str, list[int | str]]:
    """Return the values of the attributes that every network has, by name."""
    tables = [network.attributes for network in flow.networks.values()]
    return (
        {name: [table[name] for table in tables] for name in tables[0] if all(name in t for t in tables)}
        if tables
        else {}
    )


# --- conditions -------------------------------------------------------------------------------------------


def _doubt_where(flow: FlowParts, terms: FlowTerms, step: StepParts, source: str) -> None:
    at = (*step.at, "where")
    comparisons, is_certain = _comparisons(source)
    for left, operator, right in comparisons:
        if _same(left, right):
            terms.warn(at, f"{left} {operator} {right} says the same of every event")
        elif is_certain and operator == "==":
            _doubt_named(flow, terms, step, (left, right), at)
            _doubt_range(terms, step, (left, right), at)


def _doubt_range(terms: FlowTerms, step: StepParts, sides: tuple[str, str], at: KeyPath) -> None:
    """Warn where an integer must equal a number that its type has not."""
    for text, other in (sides, sides[::-1]):
        if not re.fullmatch("[0-9_]{1,90}", other) or re.fullmatch("[0-9_]+", text):
            continue
        try:
            value = terms.value_of(text, step.scope, at)
        except ConditionError:
            continue
        if kind_of(value.type) == "integer" and int(other.replace("_", "")) >= 2**value.bits:
            terms.warn(at, f"{text} == {other} never holds: {text} is at most {2**value.bits - 1}")


def _doubt_named(
    flow: FlowParts, terms: FlowTerms, step: StepParts, sides: tuple[str, str], at: KeyPath
) -> None:
    """Warn where what names a network must equal what names none, or the event's own network."""
    by = flow.settings.network_by
    origin, destination = (getattr(step.settings, key, None) for key in ("origin", "destination"))
    values = [str(value) for n in flow.networks.values() if (value := n.attribute(by)) is not None]
    for value, other in (sides, sides[::-1]):
        literal = _literal(other)
        if (
            value in {origin, destination} - {None, *flow.networks}
            and literal is not None
            and literal not in values
        ):
            near = next((text for text in values if text.lower() == literal.lower()), "")
            hint = (
                f'its {by} is written "{near}"' if near else f"the {by} of the networks: {', '.join(values)}"
            )
            terms.warn(at, f"{value} == {other} is the {by} of no network", hint)
        elif value == destination and other == f"network.{by}":
            terms.warn(at, f"{value} == {other} is true of transfers to their own network only", "write !=")


def _doubt_assert(flow: FlowParts, terms: FlowTerms, step: StepParts, source: str) -> None:
    keys = {(part.text, wanted.text) for part, wanted in zip(step.key, flow.opening.key, strict=False)}
    comparisons, is_certain = _comparisons(source)
    for left, operator, right in comparisons:
        shown, at = f"{left} {operator} {right}", (*step.at, "assert")
        pairs = {(left, right.removeprefix("opening.")), (right, left.removeprefix("opening."))}
        if _same(left, right):
            terms.warn(at, f"{shown} says the same of every event", f"did you mean opening.{right}?")
        elif is_certain and operator == "==" and "opening." not in shown:
            _doubt_named(flow, terms, step, (left, right), at)
        elif ("opening." in left) != ("opening." in right) and pairs & keys:
            if operator == "==":
                terms.warn(at, f"{shown} says nothing: both are the key, which is equal")
            elif operator == "!=" and is_certain:
                terms.warn(
                    at,
                    f"{shown} never holds: both are the key, which is equal",
                    "every transfer is a mismatch",
                )


def _comparisons(source: str) -> tuple[list[tuple[str, str, str]], bool]:
    """Return the comparisons ``a == b`` and ``a != b`` outside of brackets, and whether all of them must hold."""
    tokens = tokenize(source)
    found: list[tuple[str, str, str]] = []
    certain = True
    for part in _split(tokens, ("and", "or")):
        certain &= not (part and part[0].text == "not")
        places = [
            i for i, (depth, token) in enumerate(_depths(part)) if not depth and token.text in _COMPARED
        ]
        if len(places) == 1 and part[places[0]].text in ("==", "!="):
            left, right = part[: places[0]], part[places[0] + 1 :]
            if left and right and left[0].text != "not":
                found.append((_text(source, left), part[places[0]].text, _text(source, right)))
    return found, certain and not any(not depth and token.text == "or" for depth, token in _depths(tokens))


_COMPARED = ("==", "!=", "<", "<=", ">", ">=", "in")


def _depths(tokens: Sequence[Token]) -> Iterator[tuple[int, Token]]:
    depth = 0
    for token in tokens:
        is_operator = token.kind == "operator"
        depth -= is_operator and token.text in ")]"
        yield depth, token
        depth += is_operator and token.text in "(["


def _split(tokens: Sequence[Token], by: tuple[str, ...]) -> Iterator[list[Token]]:
    part: list[Token] = []
    for depth, token in _depths(tokens):
        if token.kind == "end" or (not depth and token.kind == "name" and token.text in by):
            yield part
            part = []
        else:
            part.append(token)


def _text(source: str, tokens: Sequence[Token]) -> str:
    return source[tokens[0].column : tokens[-1].end]


def _same(left: str, right: str) -> bool:
    return re.sub(r"\s", "", left) == re.sub(r"\s", "", right)


def _literal(text: str) -> str | None:
    """Return the text of a number or of a string in quotes; None for what is neither."""
    if re.fullmatch(r"[0-9][0-9_]*", text):
        return str(int(text.replace("_", ""))) if len(text) < 100 else text
    return text[1:-1] if re.fullmatch(r"\"[^\"]*\"|'[^']*'", text) else None
