"""The functions of ABIs: found by name or signature, or written out as in Solidity."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from chainwatch.chain.decode.abi import Abi, AbiError, parse_params, regular_params, tidy_signature
from chainwatch.model import AbiFunction, AbiParam
from chainwatch.support.abi.shape import ShapeError, tuple_of
from chainwatch.support.spelling import did_you_mean

_DECLARED = re.compile(r"\s*function\s+([A-Za-z_$][\w$]*)\s*(?=\()")
_MODIFIERS = re.compile(
    r"(?:\s*(?:external|public|payable|nonpayable|view|pure|virtual|override))*\s*(?:returns\s*\(.*\))?\s*;?\s*",
    re.DOTALL,
)
_RETURNS = re.compile(r"\breturns\s*(?=\()")
_TOKEN = re.compile(r"\s*([A-Za-z_$][\w$]*|\(|\)|,|(?:\[[0-9]*\])+)")
_LOCATIONS = ("memory", "calldata", "payable")
MAX_TEXT = 5_000
MAX_NESTING = 16
"""Characters of a function that is written out, and tuples within one another in it."""


def find_function(abi: Abi, named: str) -> AbiFunction:
    """Return the function ``named``: ``function name(type argument, …)``, else one of ``abi`` by its name or signature.

    Raises ``AbiError`` where there is none, or more than one.
    """
    if named.split(maxsplit=1)[:1] == ["function"]:
        return parse_function(named)
    wanted = tidy_signature(named)
    name, bracket, _ = wanted.partition("(")
    same_name = {
        one.signature: one
        for entry in abi.functions
        if entry.get("name") == name
        for one in [_of(abi, entry)]
    }
    found = [one for one in same_name.values() if not bracket or one.signature == wanted]
    if not found:
        names = [str(entry["name"]) for entry in abi.functions if entry.get("name")]
        hint = did_you_mean(wanted, list(same_name) or names) or "it has no functions"
        raise AbiError(f'{abi.source}: no function "{named}"; {hint}')
    if len(found) > 1:
        raise AbiError(f'{abi.source}: function "{named}" is ambiguous; name one of {", ".join(same_name)}')
    return found[0]


def find_view(abi: Abi | None, named: str) -> tuple[AbiFunction, tuple[AbiParam, ...]]:
    """Return the function ``named``, as `find_function` finds it, and what it returns.

    Without ``abi`` it must be written out. Raises ``AbiError``, also for one that returns nothing.
    """
    is_written_out = named.split(maxsplit=1)[:1] == ["function"]
    if abi is None and not is_written_out:
        raise AbiError(
            f'"{named}" is a function of no known ABI: name a `contract`, or write it out, such as '
            '"function balanceOf(address account) view returns (uint256)"'
        )
    if abi is None or is_written_out:
        function = parse_function(named)
        returns = _RETURNS.search(named)
        outputs = () if returns is None else _parse_params(named, returns.end(), 0)[0]
    else:
        function = find_function(abi, named)
        entry = next(entry for entry in abi.functions if _is(abi, entry, function))
        outputs = parse_params(entry, "outputs", f"{abi.source}: function {function.name}")
    if not outputs:
        raise AbiError(f'"{function.signature}" returns nothing: write out what it `returns (type name, …)`')
    return function, _regular(AbiFunction(function.name, outputs), f"what {function.name} returns").inputs


def parse_function(text: str) -> AbiFunction:
    """Parse ``function finalize((uint256 nonce, address sender) tx, bytes32[] proof)``. Raises ``AbiError``.

    Arguments without a name are called after their position: ``arg0``, ``arg1``, …, in tuples too.
    """
    if len(text) > MAX_TEXT:
        raise AbiError(f"a function of more than {MAX_TEXT} characters")
    declared = _DECLARED.match(text)
    if declared is None:
        raise AbiError('expected a function such as "function finalize(bytes32 id, uint256 amount)"')
    inputs, end = _parse_params(text, declared.end(), 0)
    if _MODIFIERS.fullmatch(text, end) is None:
        raise AbiError(f"expected the end of the function, not {text[end:].strip()[:40]!r}")
    return _regular(AbiFunction(declared[1], inputs), f"function {declared[1]}")


def _of(abi: Abi, entry: Mapping[str, Any]) -> AbiFunction:
    name = str(entry["name"])
    place = f"{abi.source}: function {name}"
    return _regular(AbiFunction(name, parse_params(entry, "inputs", place)), place)


def _is(abi: Abi, entry: Mapping[str, Any], function: AbiFunction) -> bool:
    return entry.get("name") == function.name and _of(abi, entry).signature == function.signature


def _regular(function: AbiFunction, place: str) -> AbiFunction:
    inputs = regular_params(function.inputs, place)
    try:
        tuple_of(inputs)
    except ShapeError as error:
        raise AbiError(f"{place}: {error}") from error
    return AbiFunction(function.name, inputs)


def _parse_params(text: str, at: int, depth: int) -> tuple[tuple[AbiParam, ...], int]:
    """Return the parameters of the list whose bracket opens at ``at``, and where it ends."""
    if depth > MAX_NESTING:
        raise AbiError(f"more than {MAX_NESTING} tuples inside one another")
    params: list[AbiParam] = []
    word, at = _next(text, at)
    assert word == "("
    if _next(text, at)[0] == ")":
        return (), _next(text, at)[1]
    while word != ")":
        param, at = _parse_param(text, at, depth)
        params.append(param)
        word, at = _next(text, at)
        if word not in (",", ")"):
            raise _unexpected("`,` or `)`", text, at, word)
    return tuple(params), at


def _parse_param(text: str, at: int, depth: int) -> tuple[AbiParam, int]:
    word, after = _next(text, at)
    components: tuple[AbiParam, ...] = ()
    if word == "tuple" and _next(text, after)[0] == "(":
        word, at = "(", after
    if word == "(":
        components, after = _parse_params(text, at, depth + 1)
        word = "tuple"
    elif not word[:1].isalpha():
        raise _unexpected("a type such as uint256 or bytes32[]", text, after, word)
    abi_type, name = word, ""
    word, end = _next(text, after)
    if word[:1] == "[":
        abi_type, after = abi_type + word, end
        word, end = _next(text, after)
    while word in _LOCATIONS:
        after = end
        word, end = _next(text, after)
    if word[:1].isalpha() or word[:1] in ("_", "$"):
        name, after = word, end
    return AbiParam(name, abi_type, components=components), after


def _next(text: str, at: int) -> tuple[str, int]:
    """Return the word at ``at``, empty at the end or for a foreign one, and where it ends."""
    found = _TOKEN.match(text, at)
    return (found[1], found.end()) if found else ("", at)


def _unexpected(wanted: str, text: str, at: int, word: str) -> AbiError:
    shown = repr(text[at - len(word) :].strip()[:40]) if text[at - len(word) :].strip() else "the end"
    return AbiError(f"expected {wanted}, not {shown}")
