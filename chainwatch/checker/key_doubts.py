"""Keys that no transfer can share, or that too many do: what is certain is a problem, what is likely a warning. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chainwatch.checker.expression import Value
from chainwatch.checker.flow_parts import FlowParts, KeyPart, StepParts, words
from chainwatch.checker.flow_terms import FlowTerms
from chainwatch.support.keccak import checksum_address

_POSITIONS = frozenset(("block.number", "block.timestamp", "log.index"))
_VAGUE = frozenset(
    (
        *("recipient", "receiver", "sender", "depositor", "owner", "account", "user", "caller", "to", "from"),
        *("amount", "token", "asset", "fee", "refund"),
    )
)
"""The last words of names of arguments that many transfers share."""
_COUNTER = frozenset(["nonce", "sequence", "seq", "counter", "count", "index"])
_ID = frozenset(("id", "guid", "hash", "nonce", "sequence"))
_COUNTER_BITS = 128
"""An integer of at most so many bits is no hash: it is counted by each contract for itself."""
_HASH = frozenset(("hash", "tx", "transaction"))
_TRANSACTION = frozenset(("tx", "transaction"))
"""Words in names of arguments."""


def doubt_keys(flow: FlowParts, terms: FlowTerms) -> None:
    """Note in ``terms`` which keys cannot be, or are probably not, those of one transfer."""
    if flow.settings.match == "key":  # else transfers may share a key
        _doubt_opening(flow, terms)
    for step in flow.expected:
        if len(step.key) != len(flow.opening.key):
            continue  # it is found otherwise than by the opening's key
        for index, (wanted, part) in enumerate(zip(flow.opening.key, step.key, strict=True)):
            _check(_Pair(flow, terms, step, index, wanted, part))
        _doubt_order(flow, terms, step)


# --- one part beside the opening's ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pair:
    """A part of an expected step's key and the opening step's, which must be equal."""

    flow: FlowParts
    terms: FlowTerms
    step: StepParts
    index: int
    wanted: KeyPart
    part: KeyPart

    @property
    def texts(self) -> set[str]:
        return {self.wanted.text.removeprefix("event."), self.part.text.removeprefix("event.")}

    @property
    def sides(self) -> str:
        """Both parts with their events, for messages."""
        opening, event = self.flow.opening.event.name, self.step.event.name
        return f"{self.part.text} of {event} must equal {self.wanted.text} of {opening}"

    def problem(self, message: str, hint: str = "") -> None:
        self.terms.problem(self.step.part_at(self.index), message, hint)

    def warn(self, message: str, hint: str = "") -> None:
        self.terms.warn(self.step.part_at(self.index), message, hint)


def _check(pair: _Pair) -> None:
    wanted, part, step = pair.wanted, pair.part, pair.step
    elsewhere = pair.flow.is_elsewhere(step)
    if pair.texts == {"transaction.hash"} and elsewhere:
        near = next((p.name for p in step.event.inputs if _TRANSACTION & set(words(p.name))), "")
        hint = f"is {near} the origin's? then {near} belongs into the key of step {step.settings.step}"
        pair.problem(
            f"{pair.sides}, which is another transaction: no transfer has both", hint if near else ""
        )
    elif pair.texts == {"emitter"} and elsewhere and _never_same_address(pair):
        pair.problem(f"{pair.sides}, which has other addresses: no transfer has both")
    elif pair.texts & _POSITIONS:
        text = min(pair.texts & _POSITIONS)
        pair.warn(f"{text} is a position in one chain: two events have the same by chance only")
    elif wanted.value is not None and part.value is not None:
        _check_types(pair, part.value, wanted.value)
        if wanted.text == pair.flow.settings.opens.destination and part.text == step.settings.origin:
            message = f"{pair.sides}: {wanted.text} names the destination, {part.text} the origin"
            pair.warn(message, "give both keys the same end, or mend origin or destination")
        else:
            _doubt_name(pair)
    elif wanted.value is None and part.value is not None:
        _check_attribute(pair, wanted, part, part.value, pair.flow.origins, step.settings.origin)
    elif part.value is None and wanted.value is not None:
        named, places = pair.flow.settings.opens.destination, pair.flow.destinations(step)
        _check_attribute(pair, part, wanted, wanted.value, places, named)
    elif "name" in (wanted.attribute, part.attribute) and elsewhere:
        name = step.settings.step
        message = f"network is another for {name} than for the opening on another network: their keys differ"
        pair.warn(message, f"give {name} a key that takes it from the event")


def _never_same_address(pair: _Pair) -> bool:
    flow, step, opening = pair.flow, pair.step, pair.flow.opening
    routes = [(a, b) for a in flow.origins for b in flow.destinations(step) if a != b]
    return bool(routes) and not any(
        pair.terms.addresses(opening.contract, [a]) & pair.terms.addresses(step.contract, [b])
        for a, b in routes
    )


def _check_types(pair: _Pair, value: Value, wanted: Value) -> None:
    """Report bytes that always have another number than those which they must equal; warn of text beside other types."""
    kinds = {pair.part.kind, pair.wanted.kind}
    if kinds == {"bytes"} and value.length and wanted.length and value.length != wanted.length:
        message = f"{pair.sides}, but has {value.length} bytes, not {wanted.length}: no transfer has both"
        pair.problem(message, "a slice [a:b] has b - a bytes")
    elif kinds == {"bytes"} and value.length != wanted.length:
        part, length = (pair.part, wanted.length) if not value.length else (pair.wanted, value.length)
        message = f"{pair.sides}: they are equal only where {part.text} has {length} bytes"
        mends = f"write keccak({part.text})" + (
            f", or bytes32({part.text}) where it is no more" if length == 32 else ""
        )
        pair.warn(message, mends)
    elif "string" in kinds and kinds & {"address", "bytes"}:
        text = (pair.part if pair.part.kind == "string" else pair.wanted).text
        note = value.note or wanted.note
        mend = f"address(unhex({text}))" if "address" in kinds else f"unhex({text})"
        hint = f"{note}: write keccak({text})" if note else f"write {mend}"
        pair.warn(f"{pair.sides}: one is text, the other is not", hint)


def _check_attribute(
    pair: _Pair, attribute: KeyPart, other: KeyPart, value: Value, places: Sequence[str], named: str | None
) -> None:
    """Check an attribute of the network of one end, on one of ``places``, against a value of the other end's event.

    ``named`` is the text of what that event names this network by.
    """
    networks = [pair.flow.networks[name] for name in places if name in pair.flow.networks]
    values = {network.name: network.attribute(attribute.attribute) for network in networks}
    known = {name: value for name, value in values.items() if value is not None}
    by = pair.flow.settings.network_by
    if other.text == named:
        differing = [n.name for n in networks if str(values[n.name]) != str(n.attribute(by))]
        what = f"{attribute.text} is compared with {other.text}, which names networks by {by}"
        own = attribute.attribute not in ("chain_id", "name")
        hint = f"write network.{by}" + (f', or network_by = "{attribute.attribute}"' if own else "")
        if differing and len(differing) == len(networks):
            pair.problem(f"{what}: on no network are the two equal", hint)
        elif differing:
            pair.warn(f"{what}: on {', '.join(differing)} the two differ", hint)
    elif known and not any(_is_text_of(one, other.kind, value) for one in known.values()):
        name, first = next(iter(known.items()))
        mend = f"write {'address' if other.kind == 'address' else 'bytes32'}({attribute.text})"
        message = (
            f"{attribute.text} is {first!r} on {name}, which {other.text} ({value.type}) never is in a key"
        )
        pair.problem(message, mend if str(first).startswith("0x") else "")


def _is_text_of(attribute: int | str, kind: str, value: Value) -> bool:
    """Return whether an attribute can be the text of ``value`` in a key."""
    text = str(attribute)
    match kind:
        case "integer":
            return re.fullmatch("-?[0-9]+", text) is not None
        case "address":
            is_one = re.fullmatch("0x[0-9a-fA-F]{40}", text) is not None
            return is_one and text == checksum_address(bytes.fromhex(text[2:]))
        case "bytes":
            is_hex = re.fullmatch("0x([0-9a-f]{2})*", text) is not None
            return is_hex and 2 * value.length in (0, len(text) - 2)
        case "boolean":
            return text in ("true", "false")
    return True


def _doubt_name(pair: _Pair) -> None:
    """Warn where the opening event has an argument with the very name of the step's, or the step's a better one."""
    name, opening = pair.part.name, pair.flow.opening
    used = {one.name for one in opening.key}
    if name and pair.wanted.name not in ("", name) and name in {p.name for p in opening.event.inputs} - used:
        pair.warn(f"{pair.sides}, which has an argument {name} too", f"is {name} meant for both?")
    elif pair.wanted.text == "transaction.hash" and not _HASH & set(words(name)):
        others = {one.name for one in pair.step.key}
        inputs = [p.name for p in pair.step.event.inputs if p.name not in others]
        if near := next((one for one in inputs if _HASH & set(words(one))), ""):
            pair.warn(pair.sides, f"is {near} meant?")


def _doubt_order(flow: FlowParts, terms: FlowTerms, step: StepParts) -> None:
    """Warn where a part of the key has the name of another part of the opening's."""
    keys = flow.opening.key, step.key
    # An attribute of the network is that of the origin in one event, and of the destination in the other.
    wanted, names = (["" if part.attribute else part.name for part in key] for key in keys)
    for index, (name, there) in enumerate(zip(names, wanted, strict=True)):
        if flow.opening.key[index].text == flow.settings.opens.destination:
            continue  # the network of a step there is the other end, not the opening's own
        if name and name != there and wanted.count(name) == names.count(name) == 1:
            place = wanted.index(name)
            message = f"{step.key[index].text} is part {index + 1} of this key, but part {place + 1} of the opening step's"
            terms.warn(step.part_at(index), message, "the parts of all keys stand in one order")
            return


# --- the opening's key by itself --------------------------------------------------------------------------


def _doubt_opening(flow: FlowParts, terms: FlowTerms) -> None:
    """Warn of a key that transfers share: no id among its parts, or an id that each network counts for itself."""
    opening = flow.opening
    vague = list(_vague(flow))
    if flow.settings.match == "nth":
        return  # keys may be shared
    if len(vague) == len(opening.key):
        what = " and ".join(part.text for part in opening.key)
        message = f"{what} of {opening.event.name} is no id: transfers with the same values become one"
        terms.warn(opening.key_at, message, _id_hint(flow))
    elif len(flow.origins) > 1 and not any(_names_origin(flow, part) for part in opening.key):
        ids = [part for part in opening.key if part not in vague]
        if all(_is_counted(part) for part in ids):
            here = f"network.{flow.settings.network_by}"
            first, second = flow.origins[:2]
            message = (
                f"{ids[0].text} is counted by each network for itself: a transfer from {first} and one from {second} "
                "would have the same key"
            )
            hint = f'add the origin: "{here}" here, and in the expected steps the argument that names it'
            terms.warn(opening.key_at, message, hint)


def _id_hint(flow: FlowParts) -> str:
    names = [p.name for p in flow.opening.event.inputs if _ID & set(words(p.name)[-1:])]
    return (
        f"is {names[0]} the id?"
        if names
        else "add what distinguishes them, such as a nonce or a message's hash"
    )


def _vague(flow: FlowParts) -> Iterator[KeyPart]:
    settings = flow.opening.settings
    named = {settings.amount, settings.asset, settings.origin, flow.settings.opens.destination} - {None}
    for part in flow.opening.key:
        is_vague = part.text in named or bool(_VAGUE & set(words(part.name)[-1:]))
        if part.value is None or part.kind in ("address", "boolean") or is_vague or part.text == "emitter":
            yield part


def _names_origin(flow: FlowParts, part: KeyPart) -> bool:
    origin = flow.opening.settings.origin
    return bool(part.attribute) or part.text == origin or "network" in part.text or part.text == "emitter"


def _is_counted(part: KeyPart) -> bool:
    """Return whether it is a plain argument that counts: what is computed may hold the origin."""
    if part.kind != "integer" or part.value is None or part.value.path is None:
        return False
    return part.value.bits <= _COUNTER_BITS or bool(_COUNTER & set(words(part.name)[-1:]))
