"""The scanner of key lines follows any valid TOML."""

from __future__ import annotations

import json
from typing import Any

import tomli
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.config.toml_lines import KeyPath, key_lines

KEYS = st.text(alphabet="ab.\"' #=[]{}é\\", max_size=4)
NOTES = st.sampled_from(["", " # note", " # [a] \"b' = {"])


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def multi_line(text: str) -> str:
    return '"""\n' + text.replace("\\", "\\\\").replace('"', '\\"') + '"""'


SCALARS = st.one_of(
    st.integers(-9, 9).map(str),
    st.sampled_from(
        ["true", "1.5e3", "1979-05-27 07:32:00Z", "''", "'#]}'", "'''a\n''b'''", '""""a"""""', "0xff"]
    ),
    KEYS.map(quoted),
    st.text(alphabet='ab\n"[]=#\\', max_size=8).map(multi_line),
)


@st.composite
def values(draw: st.DrawFn, depth: int = 2) -> str:
    kind = draw(st.sampled_from(["scalar", "array", "table"] if depth else ["scalar"]))
    if kind == "array":
        items = draw(st.lists(values(depth - 1), max_size=3))
        return "[\n" + "".join(f"{item}{draw(NOTES)}\n,\n" for item in items) + " ]"
    if kind == "table":
        keys = draw(st.lists(KEYS, max_size=3, unique=True))
        return "{ " + ", ".join(f"{quoted(key)} = {draw(values(depth - 1))}" for key in keys) + " }"
    return draw(SCALARS)


@st.composite
def documents(draw: st.DrawFn) -> str:
    def body() -> str:
        keys = draw(st.lists(KEYS, max_size=3, unique=True))
        return "".join(f"{quoted(key)} = {draw(values())}{draw(NOTES)}\n" for key in keys)

    text = body()
    for number in range(draw(st.integers(0, 3))):
        header = f"t{number}.{quoted(draw(KEYS))}"
        if draw(st.booleans()):
            text += f"[[{header}]]\n{body()}\n[[{header}]]{draw(NOTES)}\n{body()}"
        else:
            text += f"[ {header} ]\n{body()}"
    return text


def paths(value: Any, path: KeyPath = ()) -> set[KeyPath]:
    """The paths of everything inside ``value``."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return {path} - {()} | {found for key, item in inner for found in paths(item, (*path, key))}


@given(documents())
def test_exactly_the_keys_that_are_there_have_lines_and_in_their_order(text: str) -> None:
    lines = key_lines(text)
    assert set(lines) == paths(tomli.loads(text))
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
    for path, line in lines.items():
        assert line >= lines.get(path[:-1], 1)


@given(st.lists(KEYS, min_size=1, max_size=6, unique=True), st.data())
def test_a_key_s_line_is_where_it_was_written(keys: list[str], data: st.DataObject) -> None:
    text, expected = "", {}
    for key in keys:
        expected[key] = text.count("\n") + 1
        text += f"{quoted(key)} = {data.draw(values())}{data.draw(NOTES)}\n"
    lines = key_lines(text)
    assert {key: lines[(key,)] for key in keys} == expected
