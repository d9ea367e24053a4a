"""The grammar of expressions: source text to one typed `Term` and the values it reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from chainwatch.checker import protocols
from chainwatch.checker.calls import AGGREGATES, CONTRACT, Calls
from chainwatch.checker.joins import Join
from chainwatch.checker.path import MAX_INDEX, Path, Step, parse_steps, resolve
from chainwatch.checker.place import CALL, EVENT, PLACE, PLACE_CODE, SIBLINGS_PLACE, TRANSACTION, place_text
from chainwatch.checker.scope import Read, Scope, first_name
from chainwatch.checker.syntax import ConditionError, Cursor, Token
from chainwatch.checker.terms import MAX_DEPTH, Term, TermBuilder
from chainwatch.model import AbiEvent, AbiParam
from chainwatch.support.spelling import did_you_mean

OPENING = "opening"
"""The prefix under which an ``assert`` reads the opening event."""

NETWORK = "network"

_WORDS = ("and", "or", "not", "in", "true", "false")
RESERVED = {*_WORDS, OPENING, EVENT, CALL, "item", *(param.name for param in PLACE)}
"""Names that no sibling can have, because they have a meaning of their own."""

NetworkAttributes: TypeAlias = Mapping[str, Mapping[str, int | str]]
"""By network, its attributes by name, as configured."""

ContractAddresses: TypeAlias = Mapping[str, Mapping[str, Sequence[str]]]
"""By configured contract, its checksummed addresses on each network."""

_NETWORK_PATH = Path(NETWORK, AbiParam(NETWORK, "string"), (NETWORK,))

_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")

_HINTS = {
    "is": "write `==`",
    "if": "join conditions by `and`, `or`, `not`",
    "AND": "write `and`",
    "OR": "write `or`",
}


class Parser:
    """Reads an expression by the precedence of Python's operators; ``reads`` are the values it needs."""

    builder = TermBuilder

    def __init__(
        self,
        source: str,
        scope: Scope,
        opening: Scope | None,
        networks: NetworkAttributes,
        contracts: ContractAddresses,
    ) -> None:
        self.cursor = Cursor(source)
        self.build = self.builder(source)
        self.reads: list[Read] = []
        self._indexes: dict[tuple[str, bool], int] = {}
        self._source = source
        self._scope = scope
        self._opening = opening
        self._networks = networks
        self._contracts = contracts
        self._nesting = 0
        self._calls = Calls(self.build)

    def condition(self) -> Term:
        """Return the whole source as one boolean; raises `ConditionError`."""
        term = self.value()
        self.build.require_boolean(term, "a condition")
        return term

    def value(self) -> Term:
        """Return the whole source as one value of any type; raises `ConditionError`."""
        term = self._either()
        if self.cursor.token.kind != "end":
            raise self._unexpected("an operator")
        return term

    def _either(self) -> Term:
        self._enter()
        operands = [self._both()]
        while self.cursor.accept("or"):
            operands.append(self._both())
        self._nesting -= 1
        return operands[0] if len(operands) == 1 else self.build.logic("or", operands)

    def _both(self) -> Term:
        operands = [self._negation()]
        while self.cursor.accept("and"):
            operands.append(self._negation())
        return operands[0] if len(operands) == 1 else self.build.logic("and", operands)

    def _negation(self) -> Term:
        words = []
        while word := self.cursor.accept("not"):
            words.append(word)
        term = self._comparison()
        for word in reversed(words):
            term = self.build.negation(term, word.column)
        return term

    def _comparison(self) -> Term:
        operands = [self._sum()]
        operators = []
        while operator_token := self.cursor.accept(*_COMPARISONS):
            operators.append(operator_token)
            operands.append(self._sum())
        if self.cursor.at("in", "not"):
            return self._membership(operands)
        return self.build.comparison(operands, operators) if operators else operands[0]

    def _membership(self, operands: list[Term]) -> Term:
        word = self.cursor.take()
        if word.text == "not":
            self.cursor.expect("name", "in", "`in` after `not`")
        if len(operands) > 1:
            message = "`in` cannot stand in a row with other comparisons"
            raise self.cursor.error(word.column, message, "join the two by `and`")
        right = self._sum()
        return self.build.membership(operands[0], right, negated=word.text == "not", column=word.column)

    def _sum(self) -> Term:
        term = self._product()
        while token := self.cursor.accept("+", "-"):
            term = self.build.arithmetic(token, term, self._product())
        return term

    def _product(self) -> Term:
        term = self._signed()
        while token := self.cursor.accept("*", "//", "%", "/"):
            term = self.build.arithmetic(token, term, self._signed())
        return term

    def _signed(self) -> Term:
        signs = []
        while sign := self.cursor.accept("-", "+"):
            signs.append(sign)
        term = self._power()
        for sign in reversed(signs):
            term = self.build.signed(term, sign)
        return term

    def _power(self) -> Term:
        base = self._atom()
        while bracket := self.cursor.accept("["):
            base = self._computed(self._slice_or_item(base, bracket))
        if self.cursor.at("."):
            message = "only the event's arguments have fields"
            raise self.cursor.error(self.cursor.token.column, message)
        token = self.cursor.accept("**")
        if token is None:
            return base
        self._enter()
        exponent = self._signed()
        self._nesting -= 1
        return self.build.arithmetic(token, base, exponent)

    def _slice_or_item(self, term: Term, bracket: Token) -> Term:
        first = self.cursor.token
        start = None if self.cursor.at(":") else self._bound()
        if self.cursor.accept(":"):
            stop = None if self.cursor.at("]") else self._bound()
            self.cursor.expect("operator", "]", "`]`")
            return self._calls.slice(term, start, stop, self.cursor.end)
        if start is None or start.value is None or self.cursor.end - first.column > len(str(MAX_INDEX)) + 1:
            message = "expected an index such as 0 or -1, or a slice such as 0:4"
            raise self.cursor.error(first.column, message)
        self.cursor.expect("operator", "]", "`]`")
        return self._calls.item(term, start.value, bracket.column + 1, self.cursor.end)

    def _bound(self) -> Term:
        self._enter()
        term = self._sum()
        self._nesting -= 1
        return term

    def _computed(self, term: Term) -> Term:
        """Return ``term`` as a value that is computed when its event is seen, where it needs no other event.

        So the facts that are kept for an ``assert`` hold a hash, not the bytes that are hashed.
        """
        parts = [self.reads[int(number)] for number in re.findall(r"\bp([0-9]+)\b", term.code)]
        if not parts or any(part.opening != parts[0].opening for part in parts):
            return term
        text = self._source[term.start : term.end]
        index = self._index_of(Read(text, parts[0].opening, None, term.code))
        return replace(term, code=f"p{index}", choices={})

    def _atom(self) -> Term:
        token = self.cursor.token
        if token.kind in ("number", "hex"):
            return self.build.integer(self.cursor.take())
        if token.kind == "string":
            return self.build.string(self.cursor.take())
        if self.cursor.at("true", "false", "True", "False"):
            return self.build.boolean(self.cursor.take())
        if self.cursor.at("(", "["):
            return self._group()
        if token.kind == "name" and token.text not in ("and", "or", "not", "in"):
            return self._field_or_call()
        raise self._unexpected("a value")

    def _group(self) -> Term:
        bracket = self.cursor.take()
        items, commas = self._items(")" if bracket.text == "(" else "]")
        if bracket.text == "(" and not commas and items:
            return items[0]
        if not items:
            raise self.cursor.error(bracket.column, "an empty list")
        return self.build.listing(items, bracket.column, self.cursor.end)

    def _items(self, closing: str) -> tuple[list[Term], int]:
        """Return the terms up to the ``closing`` bracket, which is taken, and how many commas there were."""
        items: list[Term] = []
        commas = 0
        while not self.cursor.at(closing):
            items.append(self._either())
            if not self.cursor.accept(","):
                break
            commas += 1
        self.cursor.expect("operator", closing, f"an operator or `{closing}`")
        return items, commas

    def _field_or_call(self) -> Term:
        start = self.cursor.token
        steps = parse_steps(self.cursor, slices=True)
        if self.cursor.at("("):
            name = Token("name", ".".join(str(step.key) for step in steps), start.column, self.cursor.end)
            if len(steps) > 1 and name.text not in protocols.FUNCTIONS:
                known = did_you_mean(name.text, protocols.FUNCTIONS)
                raise self.cursor.error(steps[-1].column, "values have no methods", known)
            self.cursor.take()
            arguments, _ = self._items(")")
            return self._called(name, arguments)
        return self._read(steps, start.column)

    def _called(self, name: Token, arguments: Sequence[Term]) -> Term:
        """Return ``name(arguments)``."""
        if name.text == CONTRACT:
            return self._contract_address(name, arguments)
        made = self._calls.call(name, arguments, self.cursor.end)
        return made if name.text in AGGREGATES else self._computed(made)

    def _read(self, steps: list[Step], start: int) -> Term:
        """Return the value at ``steps``."""
        scope, opening = self._scope, False
        if steps[0].key == OPENING and self._opening is not None:
            scope, opening = self._opening, True
            steps = self._within_opening(steps)
        event = scope.event
        named = {param.name for param in event.inputs}
        if (join := scope.joins.get(str(steps[0].key))) is not None:
            return self._read_sibling(join, steps, opening=opening, start=start)
        fields = event.inputs + tuple(param for param in PLACE if param.name not in named)
        if steps[0].key == EVENT and EVENT not in named:
            steps, fields = self._within_event(steps, event)
            named = set() if fields is PLACE else named
        if steps[0].key == OPENING and OPENING not in named:
            hint = "`opening` belongs to an `assert`"
            raise self.cursor.error(steps[0].column, "there is no opening event here", hint)
        owner = f"{OPENING} ({event.name})" if opening else event.name
        if steps[0].key == NETWORK and NETWORK not in named and len(steps) > 1:
            return self._network_attribute(steps[1:], opening=opening, start=start)
        fields += tuple(
            AbiParam(name, "tuple") for name in scope.joins
        )  # for the error about a misspelt name
        if steps[0].key == CALL and CALL not in named:
            return self._argument(scope, steps, opening=opening, start=start)
        path = resolve(self._source, steps, fields, owner)
        place = None if steps[0].key in named else PLACE_CODE.get(path.text)
        if place and path.text in TRANSACTION:
            path = replace(path, of_transaction=True)
        code = place or "event.args" + "".join(f"[{step!r}]" for step in path.steps)
        text = place_text(path.text, event) if place else path.text
        index = self._index_of(Read(text, opening, path, code))
        return self.build.field(index, path, start, self.cursor.end)

    def _read_sibling(self, join: Join, steps: list[Step], *, opening: bool, start: int) -> Term:
        """Return a value of the sibling by ``join``, which ``steps`` begin with."""
        if len(steps) == 1 or isinstance(steps[1].key, int):
            hint = f"name an argument of it: {join.name}.{first_name(join.event)}"
            raise self.cursor.error(steps[0].column, f"{join.name} is a whole event, {join.event.name}", hint)
        named = {param.name for param in join.event.inputs}
        fields = join.event.inputs + tuple(param for param in SIBLINGS_PLACE if param.name not in named)
        path = resolve(self._source, steps[1:], fields, f"{join.name} ({join.event.name})")
        path = replace(path, text=f"{join.name}.{path.text}", join=join)
        sibling = f"event.siblings[{self.build.name(join)}]"
        place = None if steps[1].key in named else PLACE_CODE.get(path.text.removeprefix(f"{join.name}."))
        code = f"{sibling}.args" + "".join(f"[{step!r}]" for step in path.steps)
        if place is not None:
            code = place.replace("event.", f"{sibling}.")
        index = self._index_of(Read(path.text, opening, path, code))
        return self.build.field(index, path, start, self.cursor.end)

    def _argument(self, scope: Scope, steps: list[Step], *, opening: bool, start: int) -> Term:
        """Return an argument of the function that the step names, from the transaction's calldata."""
        if scope.call is None:
            hint = 'the step names it: call = "function name(type argument, …)", or a name in the contract\'s ABI'
            message = f"there is no function for {scope.event.name} whose arguments could be read"
            raise self.cursor.error(steps[0].column, message, hint)
        function = scope.call.function
        if len(steps) == 1 or isinstance(steps[1].key, int):
            names = ", ".join(f"{CALL}.{param.name}" for param in function.inputs) or "it has none"
            raise self.cursor.error(steps[0].column, f"name an argument of {function.signature}", names)
        path = resolve(self._source, steps[1:], function.inputs, f"the function {function.name}")
        code = f"{self.build.name(scope.call)}(event.log)" + "".join(f"[{step!r}]" for step in path.steps)
        path = replace(path, text=f"{CALL}.{path.text}", steps=(CALL, *path.steps), of_transaction=True)
        index = self._index_of(Read(path.text, opening, path, code))
        return self.build.field(index, path, start, self.cursor.end)

    def _within_event(self, steps: list[Step], event: AbiEvent) -> tuple[list[Step], tuple[AbiParam, ...]]:
        """Return what follows ``event.``, or ``event.args.``, and the values of which it can be one."""
        if len(steps) > 2 and steps[1].key == "args":
            return steps[2:], event.inputs
        if len(steps) > 1 and steps[1].key in {param.name for param in PLACE}:
            return steps[1:], PLACE
        arguments = f"{EVENT}.args.{event.inputs[0].name}" if event.inputs else f"{EVENT}.args"
        hint = f"write {arguments}, …, or {', '.join(f'{EVENT}.{param.name}' for param in PLACE)}"
        raise self.cursor.error(steps[min(1, len(steps) - 1)].column, "name an argument of the event", hint)

    def _contract_address(self, name: Token, arguments: Sequence[Term]) -> Term:
        """Return the address of a configured contract on the network on which the event was seen."""
        if len(arguments) != 1 or arguments[0].kind != "string" or arguments[0].literal is None:
            what = f"{CONTRACT} takes the name of a configured contract in quotes"
            raise self.cursor.error(name.column, what, f'such as {CONTRACT}("token-bridge")')
        wanted = arguments[0].literal
        if wanted not in self._contracts:
            known = did_you_mean(wanted, self._contracts)
            raise self.cursor.error(arguments[0].start, f"no contract is called {wanted!r}", known)
        addresses = self._contracts[wanted]
        for network in self._networks or [NETWORK]:
            number = len(addresses.get(network, ()))
            if number != 1:
                what = f"contract {wanted!r} has {number or 'no'} address{'es' * (number > 1)} on {network}"
                raise self.cursor.error(arguments[0].start, f"{what}; {CONTRACT}(…) needs one")
        index = self._index_of_network(opening=False)
        choices = {network: addresses[network][0] for network in self._networks}
        term = self.build.choice(index, choices, name.column, self.cursor.end)
        return replace(term, type="address", size=0, choices={})

    def _network_attribute(self, steps: list[Step], *, opening: bool, start: int) -> Term:
        """Return an attribute of the network on which the event was seen; every network must have it."""
        name, column = str(steps[0].key), steps[0].column
        if len(steps) > 1:
            raise self.cursor.error(steps[1].column, f"network.{name} has no fields and no elements")
        known = dict.fromkeys(key for attributes in self._networks.values() for key in attributes)
        missing = [network for network, attributes in self._networks.items() if name not in attributes]
        if missing or not self._networks:
            where = f"network {missing[0]}" if missing else NETWORK
            hint = f"networks.{missing[0]} needs it too" if name in known else did_you_mean(name, known)
            raise self.cursor.error(column, f"{where} has no attribute {name!r}", hint)
        choices = {network: attributes[name] for network, attributes in self._networks.items()}
        integers = [network for network, value in choices.items() if isinstance(value, int)]
        if 0 < len(integers) < len(choices):
            text = next(network for network in choices if network not in integers)
            message = f"{name} is an integer on {integers[0]} and text on {text}"
            raise self.cursor.error(column, message)
        return self.build.choice(self._index_of_network(opening=opening), choices, start, self.cursor.end)

    def _index_of_network(self, *, opening: bool) -> int:
        scope = self._opening if opening and self._opening is not None else self._scope
        text = place_text(NETWORK, scope.event)
        return self._index_of(Read(text, opening, _NETWORK_PATH, PLACE_CODE[NETWORK]))

    def _index_of(self, read: Read) -> int:
        """Return the number under which the expression reads it."""
        index = self._indexes.setdefault((read.text, read.opening), len(self.reads))
        if index == len(self.reads):
            self.reads.append(read)
        return index

    def _within_opening(self, steps: list[Step]) -> list[Step]:
        reserved = f"`{OPENING}` is the opening event in an `assert`"
        event = self._scope.event
        if any(param.name == OPENING for param in event.inputs):
            reserved += f"; the argument {OPENING} of {event.name} cannot be read here"
        if len(steps) == 1 or isinstance(steps[1].key, int):
            raise self.cursor.error(steps[0].column, f"name a field of {OPENING}", reserved)
        return steps[1:]

    def _enter(self) -> None:
        self._nesting += 1
        if self._nesting > MAX_DEPTH:
            message = f"more than {MAX_DEPTH} operations inside one another"
            raise self.cursor.error(self.cursor.token.column, message, "split the condition")

    def _unexpected(self, wanted: str) -> ConditionError:
        token = self.cursor.token
        message = f"expected {wanted}, not {self.cursor.shown()}"
        return self.cursor.error(token.column, message, _HINTS.get(token.text, ""))
