"""Invariants over lists: ``for_each.token = ["usdc", "dai"]`` makes one of each, in whose texts ``${token}`` is replaced.

A list can also be read from a contract: ``for_each.owner = { network = …, contract = …, call = "getOwners" }``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from chainwatch.config.invariant_values import Argument
from chainwatch.config.toml_lines import KeyPath
from chainwatch.config.types import Address, Expected, Table, Text
from chainwatch.support.bounds import cut

INVARIANTS, FOR_EACH = "invariants", "for_each"
ELEMENTS_MAX = 1_000
"""Invariants that one table may become."""
LISTING, SAMPLE = "*", "?"
"""In names, in place of an element: for what reads the lists, and for the sample that is compiled in its stead."""
SEPARATOR = ":"
NAME_MAX = 500
"""Bytes of the elements in an invariant's name."""
_SPECIAL = re.compile(f"[%,{re.escape(LISTING + SAMPLE)}]")
_TAKEN = ("alertname", "severity", "invariant", "event")
"""Labels that alerts of invariants have already."""
_CONDITIONS = ("assert", "where")
"""Keys whose texts are conditions."""
_QUOTES = frozenset("'\"\\")
_SAMPLES: Mapping[str, Any] = {"address": "0x" + "1".rjust(40, "0"), "string": "sample", "bool": True}


def _label(name: str) -> str:
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) or name in _TAKEN:
        raise Expected(f"a name of letters, digits and `_`, other than {', '.join(_TAKEN)}")
    return name


def _item(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise Expected("text or an integer")
    return value


def _distinct(items: list[Any]) -> list[Any]:
    if len({str(item) for item in items}) < len(items):
        raise Expected("each element once")
    return items


class ListSettings(Table):
    """A list that a contract keeps. It is read again at each check."""

    network: Text = Field(description="Network it is read on.")
    contract: Text | None = Field(
        default=None, description="Contract it is read of, which has one address there."
    )
    address: Address | None = Field(
        default=None, description="Address it is read of, in place of `contract`."
    )
    call: Text = Field(
        description="Function that returns the list: of the contract's ABI by name or signature, or written out."
    )
    args: list[Argument] = Field(default=[], description="The function's arguments, as of a value.")
    output: Text | None = Field(
        default=None, description="Which of several returned values is the list, by name."
    )


Items = Annotated[
    list[Annotated[Any, BeforeValidator(_item)]], Field(min_length=1), AfterValidator(_distinct)
]
ForEach = dict[
    Annotated[str, AfterValidator(_label)],
    Annotated[
        Annotated[Items, Tag("given")] | Annotated[ListSettings, Tag("read")],
        Discriminator(lambda value: "read" if isinstance(value, dict | ListSettings) else "given"),
    ],
]


class Element(NamedTuple):
    """What an invariant that ``for_each`` has made is one of: the table's name, and its labels.

    ``template``: of what reads the lists, the table as it was written.
    """

    family: str
    labels: Mapping[str, str]
    template: Mapping[str, Any] | None = None
    is_sample: bool = False


Lists = Mapping[str, Sequence[Any] | Mapping[str, Any]]
"""By label, the elements, or the table that says where they are read."""


def names_in(table: object) -> frozenset[str]:
    """Return the names that ``${…}`` may have in the texts of an invariant's table: those of its lists."""
    lists = table.get(FOR_EACH) if isinstance(table, dict) else None
    return frozenset(lists) if isinstance(lists, dict) else frozenset()


def _has_lists(table: object) -> bool:
    return isinstance(table, dict) and FOR_EACH in table


def expand_all(
    data: Mapping[str, Any], is_valid: Callable[[str, Any], bool]
) -> tuple[dict[str, Any], dict[str, Element], dict[str, str]]:
    """Return the configuration ``data`` with all invariants of lists expanded, what was made, and mistakes by name.

    Lists that are not valid by ``is_valid``, which takes an invariant's name and its lists, are left out.
    """
    tables = data.get(INVARIANTS)
    if not isinstance(tables, dict) or not any(map(_has_lists, tables.values())):
        return dict(data), {}, {}
    made: dict[str, Any] = {}
    elements: dict[str, Element] = {}
    mistakes: dict[str, str] = {}
    for name, table in tables.items():
        if not _has_lists(table):
            made[name] = table
        elif is_valid(name, table[FOR_EACH]):
            try:
                for one, filled, element in expand(name, table, table[FOR_EACH]):
                    if one in tables:
                        raise ValueError(f"names of their own: one is {one}, as another invariant is called")
                    made[one], elements[one] = filled, element
            except ValueError as error:
                mistakes[name] = f"expected {error}"
    return {**data, INVARIANTS: made}, elements, mistakes


def expand(
    family: str, table: Mapping[str, Any], lists: Lists
) -> Iterator[tuple[str, dict[str, Any], Element]]:
    """Yield the invariants that ``table`` becomes, by name. Raises ``ValueError`` for too many."""
    rest = {key: value for key, value in table.items() if key != FOR_EACH}
    read = {label: where for label, where in lists.items() if isinstance(where, Mapping)}
    if read:
        given_ones = prod(len(items) for items in lists.values() if isinstance(items, list))
        condition = (
            " * ".join([*(f"len({label})" for label in read), str(given_ones)]) + f" <= {ELEMENTS_MAX}"
        )
        reads: dict[str, Any] = {"values": dict(read), "assert": condition}
        reads |= {key: rest[key] for key in ("every", "severity", "align") if key in rest}
        yield name_of(family, LISTING), reads, Element(family, {}, table)
        sample: dict[str, Any] = {label: _sample(where) for label, where in read.items()}
        given = {label: items[0] for label, items in lists.items() if isinstance(items, list)}
        yield (
            name_of(family, SAMPLE),
            _filled(rest, {**given, **sample}),
            Element(family, {}, is_sample=True),
        )
        return
    total = 1
    for items in lists.values():
        total *= len(items)
    if total > ELEMENTS_MAX:
        raise ValueError(f"at most {ELEMENTS_MAX} invariants, these lists make {total}")
    for chosen in product(*(items for items in lists.values() if not isinstance(items, Mapping))):
        chosen_of: dict[str, Any] = dict(zip(lists, chosen, strict=True))
        labels = {label: str(item) for label, item in chosen_of.items()}
        yield element_name(family, labels.values()), _filled(rest, chosen_of), Element(family, labels)


def element_name(family: str, texts: Iterable[str]) -> str:
    """Return the name of the invariant of ``family`` that is made of elements.

    They may be any texts, as a contract lists them: different ones have different names, of a length that an index takes.
    """
    escaped = (_SPECIAL.sub(lambda found: f"%{ord(found[0]):02X}", text) for text in texts)
    return family + SEPARATOR + cut(",".join(escaped), NAME_MAX)


def name_of(family: str, what: str) -> str:
    """Return the name of what reads the lists of ``family``, `LISTING`, or of the sample of an element, `SAMPLE`."""
    return family + SEPARATOR + what


def labels_of(elements: Collection[Element]) -> frozenset[str]:
    """Return the labels that alerts of ``elements`` have, those of elements that contracts list too."""
    templates = (one.template for one in elements if one.template is not None)
    return frozenset[str]().union(
        *(one.labels for one in elements), *(names_in(table) for table in templates)
    )


def labels_in_conditions(table: Mapping[str, Any]) -> frozenset[str]:
    """Return the labels whose elements are put into conditions of an invariant's ``table``."""
    found: set[str] = set()
    for key, value in table.items():
        if isinstance(value, Mapping):
            found |= labels_in_conditions(value)
        elif key in _CONDITIONS:
            found.update(_PLACE.findall(str(value)))
    return frozenset(found)


def may_end_text(element: str) -> bool:
    """Return whether a text of a condition into which ``element`` is put may end in it: the rest would be a condition."""
    return not _QUOTES.isdisjoint(element)


def path_in_file(elements: Mapping[str, Element], path: KeyPath) -> KeyPath:
    """Return the path in the file of what an expanded invariant has at ``path``."""
    element = elements.get(str(path[1])) if len(path) > 1 and path[0] == INVARIANTS else None
    if element is None:
        return path
    inner = path[2:]
    if element.template is not None and inner[:1] == ("values",):
        inner = (FOR_EACH, *inner[1:])
    return (path[0], element.family, *inner)


def _sample(where: Mapping[str, Any]) -> Any:
    """Return something of the type of a list's elements: addresses, unless the function is written out."""
    found = re.search(r"\breturns\s*\(\s*(\w+)\s*\[", str(where.get("call", "")))
    abi_type = found[1] if found else "address"
    if abi_type.startswith("bytes"):
        return (
            "0x" + "00" * int(abi_type[5:] or 1) if abi_type[5:].isdecimal() or abi_type == "bytes" else "0x"
        )
    return _SAMPLES.get(abi_type, 1)


def _filled(value: Any, element: Mapping[str, Any]) -> Any:
    """Return ``value`` with ``${label}`` replaced in all its texts; a text that is nothing else becomes the element."""
    if isinstance(value, dict):
        return {key: _filled(item, element) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, element) for item in value]
    if not isinstance(value, str):
        return value
    whole = _PLACE.fullmatch(value)
    if whole and whole[1] in element:
        return element[whole[1]]
    return _PLACE.sub(lambda found: str(element.get(found[1], found[0])), value)


_PLACE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
