"""Proposes a flow from the transactions of both sides of one transfer. Pure.

Every pair of an event of each side is tried: do they share an id, or a counter of the origin? Which value names the other
network? The best pairs come first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from chainwatch.init.evidence import (
    WRITTEN,
    SeenLog,
    Side,
    Value,
    ids,
    kind,
    made_equal,
    named,
    plain_values,
    slices,
)

Numbers = Sequence[tuple[str, Mapping[str, int | str]]]
"""Attributes by which networks may be named, the likeliest first: each with what it is on which network."""

_FROM = frozenset(("src", "source", "origin", "from", "emitter"))
_TO = frozenset(("dst", "dest", "destination", "to", "target", "remote"))
_NETWORK = frozenset(("chain", "domain", "eid", "selector", "network", "chainid"))
_COUNTER = frozenset(("nonce", "sequence", "seq", "counter", "index", "id", "number"))
_OTHERS = frozenset(
    ("caller", "relayer", "executor", "operator", "payer", "amount", "fee", "value", "token", "gas")
)
"""Words in names of what may be equal on both sides by chance."""
_SENDER = frozenset(("sender", "emitter", "from"))
_RECEIVER = frozenset(("receiver", "recipient", "to"))
_BEST = 12
"""How many proposals there are at most."""
_SLICED = ((4, 256), (2, 2), (8, 1 << 40))
"""The bytes in which a network's number may stand, each with the least number to look for: zeros are everywhere."""


@dataclass(frozen=True)
class Contract:
    """A contract of a proposed flow: its name, its ABI file, its address by network."""

    name: str
    abi: str
    addresses: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ProposedFlow:
    """A flow with one opening and one later step, as `init` writes it.

    ``named``: network → what ``network_by`` is there, where that is not its chain id. ``on``: the only network on which it
    opens; empty for all. ``origin`` and ``amount``, ``asset``, ``where`` may be empty. ``unsure``: what to look at.
    """

    contracts: tuple[Contract, ...]
    opens: tuple[str, str]
    """The contract and the event."""
    expects: tuple[str, str]
    key: tuple[str, ...]
    step_key: tuple[str, ...]
    network_by: str
    named: tuple[tuple[str, int | str], ...]
    destination: str
    origin: str
    on: str
    amount: str
    asset: str
    where: str
    within: str
    unsure: tuple[str, ...]


@dataclass(frozen=True)
class _Naming:
    """How the two events name networks: by which attribute, and what each network is called by it."""

    by: str
    numbers: Mapping[str, int | str]
    destination: Value | None
    origin: Value | None

    @property
    def quality(self) -> int:
        """How much is known: the more the better."""
        return 4 * (self.destination is not None) + 2 * (self.origin is not None) - (self.by != "chain_id")


_WithIds = tuple[SeenLog, Mapping[bytes, Value]]


@dataclass(frozen=True)
class _Pair:
    opening: SeenLog
    step: SeenLog
    key: tuple[tuple[str, str], ...]
    naming: _Naming
    rank: int
    unsure: tuple[str, ...]


def propose(sent: Side, paid: Side, numbers: Numbers) -> list[ProposedFlow]:
    """Return flows that have an event of ``sent`` as opening and one of ``paid`` as the later step, the likeliest first."""
    openings, steps = ([(log, ids(log)) for log in side.logs] for side in (sent, paid))
    pairs = [pair for o in openings for s in steps for pair in _pairs(sent, paid, o, s, numbers)]
    pairs.sort(key=lambda pair: pair.rank)
    return [_flow(sent, paid, pair) for pair in pairs[:_BEST]]


def _pairs(sent: Side, paid: Side, opened: _WithIds, followed: _WithIds, numbers: Numbers) -> Iterator[_Pair]:
    (opening, here), (step, there) = opened, followed
    naming = _naming(sent, paid, opening, step, numbers)
    key = _id_key(sent, opening, here, there)
    unsure: list[str] = []
    rank = 0
    if not key:
        key, unsure = _counter_key(opening, step, naming)
        rank = 100
    if not key:
        return
    rank += sum(10 * ("(" in text or "[" in text) for part in key for text in part)
    rank -= 20 * naming.quality
    yield _Pair(opening, step, key, naming, rank, tuple(unsure))


# --- keys -------------------------------------------------------------------------------------------------


def _id_key(
    sent: Side, opening: SeenLog, here: Mapping[bytes, Value], there: Mapping[bytes, Value]
) -> tuple[tuple[str, str], ...]:
    """Return the key's parts (of the opening, of the step) that are ids; the origin's transaction first, if it is one."""
    transaction = Value("transaction.hash", "hash", "bytes32", sent.tx_hash, sent.tx_hash)
    # A hash that both compute is one of contents, which transfers may share: an id is written in one of the events.
    both = [
        made_equal(here[word], there[word])
        for word in here
        if word in there and min(here[word].rank, there[word].rank) <= WRITTEN
    ]
    if sent.tx_hash in there:
        return (made_equal(transaction, there[sent.tx_hash]), *_simplest(both))
    if both:
        return tuple(_simplest(both))
    for value in there.values():
        if value.rank == 0 and (found := slices(opening, value)):
            return (made_equal(found[0], value),)
    return ()


def _simplest(parts: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(parts, key=lambda part: sum(map(len, part)))[:1]


def _counter_key(
    opening: SeenLog, step: SeenLog, naming: _Naming
) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """Return a key of the origin, those who send and receive, and a counter; and what is unsure of it."""
    if naming.origin is None:
        return (), []
    parts, unsure = [(f"network.{naming.by}", naming.origin.text)], []
    counters, from_bytes = 0, False
    used: set[str] = set()
    for value in plain_values(step):
        if value == naming.origin or named(value, _OTHERS) or kind(value) == "string":
            continue
        is_counter = kind(value) == "integer" and named(value, _COUNTER)
        if kind(value) == "integer" and not is_counter:
            continue
        plain = [one for one in plain_values(opening) if one.word == value.word and _may_be_equal(one, value)]
        places = [] if plain else [one for one in slices(opening, value) if one.text not in used]
        if not plain and not places:
            continue
        if len(plain or places) > 1:
            unsure.append(f"{value.text} of {step.event.name} stands in {opening.event.name} more than once")
        from_bytes |= not plain
        counters += is_counter
        chosen = (plain or places)[0]
        used.add(chosen.text)
        parts.append(made_equal(chosen, value))
    if not counters:
        return (), []
    if from_bytes and naming.destination is not None:
        parts.append((naming.destination.text, f"network.{naming.by}"))
    unsure.append("the key is made of a counter: is it unique to what stands beside it in the key?")
    return tuple(parts), unsure


def _may_be_equal(one: Value, other: Value) -> bool:
    """Return whether two values that are equal may be the same thing, by their names."""
    if one.name == other.name:
        return True
    return any(named(one, some) and named(other, some) for some in (_SENDER, _RECEIVER))


# --- networks ---------------------------------------------------------------------------------------------


def _naming(sent: Side, paid: Side, opening: SeenLog, step: SeenLog, numbers: Numbers) -> _Naming:
    found = [
        _Naming(
            by,
            known,
            _names(opening, known.get(paid.network), _FROM),
            _names(step, known.get(sent.network), _TO),
        )
        for by, known in numbers
    ]
    best = max(found, key=lambda one: one.quality)
    if best.destination is None or (best.origin is None and not _is_plain(best.destination)):
        best = _guessed(sent, paid, opening, step) or best
    return best


def _is_plain(value: Value) -> bool:
    return value.rank == 0


def _names(log: SeenLog, number: int | str | None, not_of: frozenset[str]) -> Value | None:
    """Return the value of ``log`` that is ``number`` and not named like the other end; also a slice of its bytes."""
    if number is None:
        return None
    for value in plain_values(log):
        is_it = str(value.value).lower() == str(number).lower() and kind(value) in ("integer", "string")
        if is_it and named(value, _NETWORK | _FROM | _TO) and not named(value, not_of):
            return value
    for width, least in _SLICED if isinstance(number, int) else ():
        if least <= int(number) < 1 << 8 * width:
            places = slices(log, Value("", "", f"uint{8 * width}", number, int(number).to_bytes(32)))
            if len(places) == 1:
                return places[0]
    return None


def _guessed(sent: Side, paid: Side, opening: SeenLog, step: SeenLog) -> _Naming | None:
    """Return the naming by arguments that are called like it, whose numbers are not known yet."""

    def called(log: SeenLog, by: frozenset[str]) -> Value | None:
        values = [v for v in plain_values(log) if kind(v) in ("integer", "string") and named(v, by)]
        return next((v for v in values if named(v, _NETWORK) or v.name.lower() in by), None)

    destination, origin = called(opening, _TO), called(step, _FROM)
    if destination is None or origin is None:
        return None
    last = re.findall("[A-Z]?[a-z]+", destination.name)[-1].lower()
    by = last if last in _NETWORK - {"chain", "network", "chainid"} else "bridge_id"
    return _Naming(by, {paid.network: destination.value, sent.network: origin.value}, destination, origin)


# --- the flow ---------------------------------------------------------------------------------------------


def _flow(sent: Side, paid: Side, pair: _Pair) -> ProposedFlow:
    naming, opening, step = pair.naming, pair.opening, pair.step
    unsure = list(pair.unsure)
    fixed = naming.destination is None
    if fixed:
        unsure.append(f"no value of {opening.event.name} names the destination: this flow goes one way only")
    elif naming.origin is None:
        unsure.append(
            f"no value of {step.event.name} names the origin: an orphan waits until every network was read"
        )
    if naming.destination is not None and naming.destination.rank:
        unsure.append(
            f"{naming.destination.text} is where {naming.numbers[paid.network]} stands: is it the field?"
        )
    texts = [text for text, _ in pair.key] + ([] if naming.destination is None else [naming.destination.text])
    where = _guard(texts)
    if where:
        unsure.append(f"{opening.event.name} may be of other apps too: choose yours in `where`")
    plain = [v for v in plain_values(opening) if kind(v) == "integer" and named(v, frozenset(("amount",)))]
    assets = [
        v for v in plain_values(opening) if v.type == "address" and named(v, frozenset(("token", "asset")))
    ]
    return ProposedFlow(
        contracts=_contracts(sent, paid, opening, step),
        opens=(opening.contract, opening.event.name),
        expects=(step.contract, step.event.name),
        key=tuple(text for text, _ in pair.key),
        step_key=tuple(text for _, text in pair.key),
        network_by=naming.by,
        named=() if naming.by == "chain_id" else tuple(naming.numbers.items()),
        destination=paid.network if naming.destination is None else naming.destination.text,
        origin=(sent.network if fixed else "") if naming.origin is None else naming.origin.text,
        on=sent.network if fixed else "",
        amount=plain[0].text if plain else "",
        asset=assets[0].text if assets and plain else "",
        where=where,
        within=_within(sent, paid),
        unsure=tuple(unsure),
    )


def _guard(texts: Sequence[str]) -> str:
    """Return the condition that the bytes are as long as the slices need; empty without slices."""
    longest: dict[str, int] = {}
    for text in texts:
        for name, end in re.findall(r"(\w+)\[[0-9]+:([0-9]*)\]", text):
            longest[name] = max(longest.get(name, 0), int(end or 0))
    return " and ".join(f"len({name}) >= {end}" for name, end in longest.items() if end)


def _contracts(sent: Side, paid: Side, opening: SeenLog, step: SeenLog) -> tuple[Contract, ...]:
    """Return the contracts of both events, each with its address on every network on which it was seen."""
    found: dict[str, dict[str, str]] = {opening.contract: {}, step.contract: {}}
    for side in (sent, paid):
        for log in side.logs:
            if log.contract in found:
                found[log.contract].setdefault(side.network, log.address)
    found[opening.contract][sent.network] = opening.address
    found[step.contract][paid.network] = step.address
    return tuple(Contract(name, "", tuple(addresses.items())) for name, addresses in found.items())


def with_addresses(
    flow: ProposedFlow, abis: Mapping[str, str], more: Mapping[tuple[str, str], str]
) -> ProposedFlow:
    """Return ``flow`` with the ABI files of its contracts, and ``more`` addresses by contract and network."""
    contracts = []
    for contract in flow.contracts:
        addresses = {
            network: address for (name, network), address in more.items() if name in ("", contract.name)
        }
        contracts.append(
            replace(
                contract,
                abi=abis[contract.name],
                addresses=tuple((dict(contract.addresses) | addresses).items()),
            )
        )
    return replace(flow, contracts=tuple(contracts))


def _within(sent: Side, paid: Side) -> str:
    """Return half an hour, or four times as long as this transfer took, in whole hours."""
    took = paid.timestamp - sent.timestamp if sent.timestamp and paid.timestamp else 0
    return "30m" if took * 4 <= 1_800 else f"{-(-took * 4 // 3_600)}h"
