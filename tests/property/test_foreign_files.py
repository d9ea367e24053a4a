"""Whatever a file holds that a person names in the configuration, or the configuration itself: a typed error or none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chainwatch.chain.decode.abi import AbiError, load_abi
from chainwatch.chain.decode.decoder import ContractDecoder
from chainwatch.checker.expression import compile_condition
from chainwatch.checker.syntax import ConditionError
from chainwatch.config import ConfigError, parse_duration, read
from chainwatch.config.errors import Problem
from chainwatch.plan import make_plan
from tests.support.effort import effort_within
from tests.support.flows import EVENTS

ROOT = Path(__file__).parent.parent.parent
SHIPPED = (ROOT / "config.toml").read_text()
DIGITS = "9" * 5_000
HALF_PAIR = "\ud800"

odd_texts = st.sampled_from(
    [
        "",
        " ",
        "\0",
        HALF_PAIR,
        "x" * 70_000,
        DIGITS,
        "import",
        "a\"'\\\n",
        "²",
        "٣",
        "tuple",
        "event",
        "\u2028",
    ]
)
types = st.one_of(
    st.sampled_from(
        ["uint256", "tuple", "tuple[2]", "string", "bytes", "bytes33", "uint7", "fixed128x18", "function"]
    ),
    st.builds(
        "{}[{}]".format,
        st.sampled_from(["uint8", "string"]),
        st.sampled_from(["", "0", "1048577", DIGITS, "-1"]),
    ),
    st.builds(
        "{}{}".format,
        st.sampled_from(["fixed", "uint", "bytes", "ufixed8x"]),
        st.sampled_from([DIGITS, "0", "1x"]),
    ),
    st.sampled_from(["uint8" + "[]" * 70, "uint8" + "[1048576]" * 2]),
    odd_texts,
)
anything: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), odd_texts, st.text(max_size=5)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(odd_texts | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def either(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """As it should be, mostly."""
    return st.one_of(usual, usual, usual, anything)


params = st.recursive(
    st.fixed_dictionaries(
        {"name": either(st.text(max_size=3)), "type": either(types)},
        optional={"indexed": either(st.booleans())},
    ),
    lambda inner: st.fixed_dictionaries(
        {
            "name": st.just("t"),
            "type": st.sampled_from(["tuple", "tuple[]", "tuple[1048576]"]),
            "components": either(st.lists(inner, max_size=3)),
        }
    ),
    max_leaves=6,
)
entries = st.fixed_dictionaries(
    {
        "type": either(st.just("event")),
        "name": either(st.just("E")),
        "inputs": either(st.lists(params, max_size=5)),
    },
    optional={"anonymous": either(st.booleans())},
)


def deep(levels: int) -> str:
    opened = '{"name":"t","type":"tuple","components":['
    return '[{"type":"event","name":"E","inputs":[' + opened * levels + "]}" * levels + "]}]"


FIELD = {"name": "a", "type": "uint8"}


def event(inputs: list[Any]) -> dict[str, Any]:
    return {"type": "event", "name": "E", "inputs": inputs}


def refusal_of(file: Path, content: bytes) -> str | None:
    """Why the ABI cannot be loaded; None where its decoder could be made."""
    file.write_bytes(content)
    try:
        abi = load_abi(file)
    except AbiError as error:
        return str(error)
    ContractDecoder(list(abi.events))
    return None


@given(content=either(st.lists(entries, max_size=3)))
@example(content=[event([{"name": "a", "type": "uint8[1000000]"}] * 2)])
@example(content=[event([FIELD] * 5_000)])
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_an_abi_file_is_used_or_refused_with_a_reason(tmp_path: Path, content: Any) -> None:
    reason = refusal_of(tmp_path / "abi.json", json.dumps(content).encode())
    assert reason is None or 0 < len(reason.encode()) < 3_000  # a person must be able to read it


@pytest.mark.parametrize(
    "content",
    [
        deep(70).encode(),
        deep(440).encode(),
        b"[" * 200_000,
        b'[{"type":' + b"[" * 900 + b"]" * 900 + b"}]",
        f"[{DIGITS}]".encode(),
        f'[{{"type":"event","name":{DIGITS}}}]'.encode(),
        b"[NaN]",
        b'[{"type":Infinity}]',
        b"\xff\xfe[",
        "[1]".encode("utf-16"),
        b"\0",
        b"",
        b"[" + b" " * (33 * 2**20) + b"]",
        json.dumps([event([{"name": "a", "type": "tuple", "components": [FIELD] * 900}] * 900)]).encode(),
    ],
    ids=lambda content: repr(content[:20]),
)  # fmt: skip
def test_an_absurd_abi_file_is_refused_soon(tmp_path: Path, content: bytes) -> None:
    with effort_within(5):
        reason = refusal_of(tmp_path / "abi.json", content)
        assert reason is not None
        assert 0 < len(reason.encode()) < 3_000


toml_values = st.one_of(
    st.sampled_from(
        [
            DIGITS[:4_000], DIGITS, "0x" + "f" * 9_000, "0b" + "1" * 20_000, "-9223372036854775809", "nan", "inf", "1e999",
            "2020-01-01", "10:00:00", "2020-01-01T00:00:00Z", '"\\u0000"', '"\\U0010ffff"', '""', "[]", "{}", "[1, [2]]",
            "[" * 200 + "]" * 200, "{a=" * 150 + "1" + "}" * 150, '{ "" = "x" }', f'"{DIGITS}s"', '"PT1e9S"', '"=~("',
            f'"{"(" * 3_000}1{")" * 3_000}"', f'"{"not " * 2_000}true"', f'"{"-" * 5_000}1"', '"../../etc"', '"²"',
            f'"{"x" * 50_000}"', '"=~\\u0000"',
        ]
    ),
    anything.map(lambda value: json.dumps(value) if isinstance(value, str | bool | int) else "[]"),
)  # fmt: skip


@given(data=st.data())
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_configuration_is_used_or_refused_with_lines(tmp_path: Path, data: st.DataObject) -> None:
    lines = SHIPPED.splitlines()
    keys = [i for i, line in enumerate(lines) if " = " in line and not line.startswith("# ")]
    for index in data.draw(st.lists(st.sampled_from(keys), min_size=1, max_size=3)):
        lines[index] = lines[index].removeprefix("#").partition(" = ")[0] + " = " + data.draw(toml_values)
    for problem in check(tmp_path, "\n".join(lines).encode("utf-8", "surrogatepass")):
        assert problem.message
        assert 0 <= problem.line <= len(lines)


@pytest.mark.parametrize(
    "text",
    [
        "a" + ".a" * 3_000 + " = 1",
        "[" + "a." * 3_000 + "a]",
        "\n".join(f"k{i} = 1" for i in range(3_000)),
        f'"{"k" * 100_000}" = 1',
        f'"x" = "{HALF_PAIR}"',
        "[[routes" + ".routes" * 200 + "]]",
        "x = " + "[" * 3_000,
    ],
    ids=lambda text: repr(text[:20]),
)
def test_an_absurd_configuration_is_refused(tmp_path: Path, text: str) -> None:
    problems = check(tmp_path, f"{text}\n{SHIPPED}".encode("utf-8", "surrogatepass"))
    assert problems
    assert all(len(problem.message) < 3_000 for problem in problems)


def check(folder: Path, content: bytes) -> list[Problem]:
    """The problems of a configuration beside the shipped ABI files."""
    file = folder / "config.toml"
    file.write_bytes(content)
    if not (folder / "abi").exists():
        (folder / "abi").symlink_to(ROOT / "abi")
    try:
        make_plan(read(file, {}))
    except ConfigError as error:
        str(error).encode()
        return error.problems
    return []


@given(
    parts=st.lists(
        st.sampled_from(
            ["amount", "parts", "id", " ", "(", ")", "[", "]", "-", "not ", " and ", " in ", "**", "//", " == ", ",", ".",
             DIGITS, "0x" + "f" * 300, "1", '"', "len(", "abs(", "\0", HALF_PAIR, "²", "(" * 500, "not " * 500, "-" * 2_000,
             "1 ** " * 300]
        ),
        max_size=12,
    )
)  # fmt: skip
@settings(max_examples=400, deadline=None)
def test_a_condition_compiles_or_says_where_it_is_wrong(parts: list[str]) -> None:
    try:
        compile_condition("".join(parts), EVENTS["Sent"])
    except ConditionError as error:
        assert len(str(error)) < 20_000  # noqa: PT017


@given(
    text=st.text()
    | st.builds("".join, st.lists(st.sampled_from(["P", "T", "9" * 9_999, ".", "h", "ms", "-", "²", " "])))
)
def test_a_duration_is_a_number_of_seconds_or_refused(text: str) -> None:
    try:
        assert parse_duration(text) >= 0
    except ValueError as error:
        assert len(str(error)) < 200  # noqa: PT017
