"""The documented example, config.toml, and the reference written from the models."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli
from pydantic import BaseModel

from chainwatch.config import Settings, load
from chainwatch.config.types import Table

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "config.toml"
CHAINS = ROOT / "tests" / "data" / "connext" / "chains.json"

COMMENTED = re.compile(r"^#(?=[a-z_]+ = )", re.MULTILINE)
"""The mark of a key left at its default; prose has a space after the sign."""


def environ(text: str) -> dict[str, str]:
    """A value for every variable the example uses in a setting."""
    return {
        name: f"https://{name.lower().replace('_', '-')}.example/x"
        for name in re.findall(r'"\$\{([A-Z_]+)\}', text)
    }


def example(text: str, tmp_path: Path) -> Settings:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return load(path, environ(text))


@pytest.fixture
def as_it_stands(tmp_path: Path) -> Settings:
    return example(EXAMPLE.read_text(), tmp_path)


@pytest.fixture
def with_every_key(tmp_path: Path) -> Settings:
    every_key = COMMENTED.sub("", EXAMPLE.read_text())
    return example(
        every_key.replace('format = "alertmanager"', 'format = "template"'), tmp_path
    )  # it has a body


def test_the_example_loads_and_names_every_variable_it_needs_at_its_top(as_it_stands: Settings) -> None:
    assert list(as_it_stands.networks) == ["ethereum", "optimism", "bnb", "gnosis", "polygon", "arbitrum"]
    head = EXAMPLE.read_text().partition("\n\n")[0]
    assert all(name in head for name in environ(EXAMPLE.read_text()))


def test_the_example_has_every_key_of_every_table(with_every_key: Settings) -> None:
    written = tomli.loads(COMMENTED.sub("", EXAMPLE.read_text()))
    unwritten: dict[str, set[str]] = {}
    for model, table in tables(with_every_key, written):
        keys = {field.alias or key for key, field in type(model).model_fields.items()} - {
            "name",
            "attributes",
            "folder",
            "elements",
            "look_ups",
            "for_each",  # each table that has it is expanded to others
        }
        kind = type(model).__name__
        unwritten[kind] = unwritten.get(kind, keys) - table.keys()
    assert {kind: keys for kind, keys in unwritten.items() if keys} == {}
    assert len(unwritten) >= 18, "a kind of table has no example"


def tables(model: Any, written: Any) -> list[tuple[Table, dict[str, Any]]]:
    """Every model in the settings with the table it was read from."""
    found: list[tuple[Table, dict[str, Any]]] = []
    if isinstance(model, Table):
        found.append((model, written))
        for key, field in type(model).model_fields.items():
            found += tables(getattr(model, key), written.get(field.alias or key))
    elif isinstance(model, dict) and isinstance(written, dict):
        found += [
            pair for key, value in model.items() if key in written for pair in tables(value, written[key])
        ]
    elif isinstance(model, list) and isinstance(written, list):
        found += [pair for value, table in zip(model, written, strict=True) for pair in tables(value, table)]
    return found


def test_a_key_left_out_in_the_example_stands_there_with_its_default(
    as_it_stands: Settings, with_every_key: Settings
) -> None:
    for default, written in pairs(as_it_stands, with_every_key):
        for key in type(default).model_fields:
            value = getattr(default, key)
            if (key, getattr(written, key)) == ("format", "template"):
                continue  # the fixture sets it, for `body`
            if value not in (None, [], {}) and not isinstance(value, BaseModel | dict | list):
                assert getattr(written, key) == value, (type(default).__name__, key)


def pairs(one: Any, other: Any) -> list[tuple[Table, Table]]:
    """The models at the same places of two settings."""
    if isinstance(one, Table):
        inner = [
            pair for key in type(one).model_fields for pair in pairs(getattr(one, key), getattr(other, key))
        ]
        return [(one, other), *inner]
    if isinstance(one, dict):
        return [pair for key, value in one.items() if ":" not in key for pair in pairs(value, other.get(key))]
    if isinstance(one, list):
        return [pair for a, b in zip(one, other, strict=False) for pair in pairs(a, b)]
    return []


def test_the_example_s_networks_are_connext_s(with_every_key: Settings) -> None:
    facts = {chain["chainId"]: chain for chain in json.loads(CHAINS.read_text())}
    for name, network in with_every_key.networks.items():
        chain = facts[network.chain_id]
        assert network.attributes["domain"] == chain["domainId"]
        assert network.start_block == chain["startBlock"]
        assert with_every_key.contracts["connext"].addresses_on(name) == [chain["connext"]]


@pytest.mark.slow
def test_the_reference_is_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "docs.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
